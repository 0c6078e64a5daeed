//! CRC64NVME of a whole from those of its parts, and as S3 writes it.
//!
//! `crc_fast` hashes faster than memory; only its own combination, by matrices, takes a third of a millisecond a
//! part, which was 5 % of an upload. Multiplication modulo the polynomial takes two microseconds.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// CRC-64/NVME's polynomial, reflected: the highest bit is the constant term.
const POLYNOMIAL: u64 = 0x9a6c_9329_ac4b_c9b5;
/// The polynomial 1.
const ONE: u64 = 1 << 63;
/// What one byte of zeros multiplies a remainder by: x^8.
const BYTE: u64 = ONE >> 8;

/// The checksum of some bytes and then `len` more, from the checksums of both.
#[must_use]
pub fn combine(first: u64, second: u64, len: u64) -> u64 {
    multiply(power(BYTE, len), first) ^ second
}

/// As S3 writes it: base64 of the big-endian value.
#[must_use]
pub fn text(crc: u64) -> String {
    STANDARD.encode(crc.to_be_bytes())
}

fn power(mut base: u64, mut exponent: u64) -> u64 {
    let mut power = ONE;
    while exponent > 0 {
        if exponent & 1 == 1 {
            power = multiply(power, base);
        }
        base = multiply(base, base);
        exponent >>= 1;
    }
    power
}

/// The product of two polynomials, modulo CRC-64/NVME's.
fn multiply(a: u64, mut b: u64) -> u64 {
    let mut product = 0;
    for degree in 0..u64::BITS {
        if a & (ONE >> degree) != 0 {
            product ^= b;
        }
        b = (b >> 1) ^ if b & 1 == 1 { POLYNOMIAL } else { 0 };
    }
    product
}

#[cfg(test)]
mod tests {
    use super::*;
    use crc_fast::CrcAlgorithm::Crc64Nvme;
    use crc_fast::checksum;

    #[test]
    fn the_parts_checksums_are_the_wholes() {
        let bytes: Vec<u8> = (0..100_000_u32).map(|n| (n % 253) as u8).collect();
        for at in [0, 1, 7, 8, 4_096, 65_537, 99_999, 100_000] {
            let (first, second) = bytes.split_at(at);
            let (first, second_crc) = (checksum(Crc64Nvme, first), checksum(Crc64Nvme, second));
            assert_eq!(
                combine(first, second_crc, second.len() as u64),
                checksum(Crc64Nvme, &bytes),
                "at {at}"
            );
        }
    }

    #[test]
    fn long_parts_are_combined_as_the_library_does() {
        for len in [5 << 20, (5 << 20) + 1, 5 << 30, u64::MAX / 16] {
            let (first, second) = (0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210);
            assert_eq!(
                combine(first, second, len),
                crc_fast::checksum_combine(Crc64Nvme, first, second, len),
                "{len} bytes"
            );
        }
    }

    #[test]
    fn the_catalogues_check_value_is_written_as_s3_does() {
        assert_eq!(checksum(Crc64Nvme, b"123456789"), 0xae8b_1486_0a79_9888);
        assert_eq!(text(0xae8b_1486_0a79_9888), "rosUhgp5mIg=");
    }
}
