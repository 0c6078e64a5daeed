//! What the clients upload: incompressible bytes in memory, from which sendfile sends.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;

use rustix::fs::{MemfdFlags, memfd_create};

use crate::program::Failure;

/// Size in bytes; a longer upload sends it again and again.
pub const LENGTH: u64 = 512 * 1024 * 1024;
/// How far apart two uploads begin, so that one's bytes cannot pass for another's.
const STRIDE: u64 = 4096;
/// Bytes of an upload before those of the payload.
const OPENING: usize = 32;

/// The two files of the form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Document,
    Image,
}

impl Kind {
    /// The first bytes of upload `number`: of its type, and with the number in them.
    pub fn opening(self, number: u32) -> [u8; OPENING] {
        let mut opening = [b' '; OPENING];
        let digits = format!("{number:08}");
        match self {
            Self::Document => {
                opening[..9].copy_from_slice(b"%PDF-1.7\n");
                opening[9] = b'%';
            }
            Self::Image => {
                opening[..20]
                    .copy_from_slice(b"\xFF\xD8\xFF\xE0\x00\x10JFIF\0\x01\x01\0\x00\x01\x00\x01\0\0");
                // A comment of eight characters.
                opening[20..24].copy_from_slice(b"\xFF\xFE\x00\x0A");
            }
        }
        opening[NUMBER].copy_from_slice(&digits.as_bytes()[..8]);
        opening
    }
}

/// Where the opening has the upload's number.
const NUMBER: std::ops::Range<usize> = 24..32;

/// Lies in memory without a name: whatever ends us, nothing of it stays.
pub struct Payload(File);

impl Payload {
    /// # Errors
    /// There is not enough memory.
    pub fn make() -> Result<Self, Failure> {
        let cannot = |error: std::io::Error| Failure::new(format!("{} MiB in memory: {error}", LENGTH >> 20));
        let descriptor = memfd_create("bench", MemfdFlags::CLOEXEC).map_err(|error| cannot(error.into()))?;
        let mut file = File::from(descriptor);
        let mut state = 0x9E37_79B9_7F4A_7C15;
        let mut block = vec![0; 1024 * 1024];
        for _ in 0..LENGTH >> 20 {
            fill(&mut block, &mut state);
            file.write_all(&block).map_err(cannot)?;
        }
        Ok(Self(file))
    }

    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Where in the payload upload `number` goes on after its opening.
    pub fn offset(number: u32) -> u64 {
        u64::from(number) * STRIDE % LENGTH
    }

    /// Whether these are the bytes of one upload, from the first to the last.
    pub fn is_origin_of(&self, object: &[u8]) -> bool {
        let Some((opening, rest)) = object.split_at_checked(OPENING) else { return false };
        let number = std::str::from_utf8(&opening[NUMBER]).ok().and_then(|digits| digits.trim().parse().ok());
        let Some(number) = number else { return false };
        let is_opening = [Kind::Document, Kind::Image].iter().any(|kind| kind.opening(number) == opening);
        let mut expected = vec![0; rest.len()];
        // Only objects shorter than the payload are kept for comparison.
        is_opening && self.0.read_exact_at(&mut expected, Self::offset(number)).is_ok() && expected == rest
    }
}

/// xorshift64: as good as noise to a compressor, and 512 MiB take a fraction of a second.
fn fill(block: &mut [u8], state: &mut u64) {
    for word in block.chunks_exact_mut(8) {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        word.copy_from_slice(&state.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_opening_is_of_its_type_and_tells_the_number() {
        assert!(Kind::Document.opening(7).starts_with(b"%PDF-1.7\n"));
        assert!(Kind::Image.opening(7).starts_with(b"\xFF\xD8\xFF\xE0\x00\x10JFIF\0"));
        assert_ne!(Kind::Image.opening(7), Kind::Image.opening(8));
    }
}
