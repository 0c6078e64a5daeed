//! Sample files made by code: valid by their bytes, of any exact size, never the same twice.

use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine;

pub const KIB: usize = 1024;
pub const MIB: usize = 1024 * KIB;

/// One grey pixel block; the JFIF header is the first 20 bytes.
const JPEG: [u8; 159] = [
    0xff, 0xd8, 0xff, 0xe0, 0x00, 0x10, 0x4a, 0x46, 0x49, 0x46, 0x00, 0x01, 0x01, 0x00, 0x00, 0x01, 0x00,
    0x01, 0x00, 0x00, 0xff, 0xdb, 0x00, 0x43, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xc0, 0x00, 0x0b, 0x08, 0x00, 0x08, 0x00, 0x08, 0x01, 0x01, 0x11, 0x00,
    0xff, 0xc4, 0x00, 0x14, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0xff, 0xc4, 0x00, 0x14, 0x10, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xff, 0xda, 0x00, 0x08, 0x01, 0x01, 0x00,
    0x00, 0x3f, 0x00, 0x3f, 0xff, 0xd9,
];
const JFIF_END: usize = 20;

/// The smallest PDF that [`pdf`] makes.
#[must_use]
pub fn smallest_pdf() -> Vec<u8> {
    pdf_around(&[])
}

/// A PDF of one empty page and a stream, `size` bytes in all.
#[must_use]
pub fn pdf(size: usize) -> Vec<u8> {
    pdf_of(another_seed(), size)
}

/// The PDF of that size that belongs to a seed.
#[must_use]
pub fn pdf_of(seed: u64, size: usize) -> Vec<u8> {
    let frame = pdf_around(&[]);
    assert!(size >= frame.len(), "a PDF has at least {} bytes", frame.len());
    let mut noise = noise_of(seed, size - frame.len());
    let start = frame.windows(7).position(|word| word == b"stream\n").expect("a PDF has a stream") + 7;
    calm(&mut noise, start);
    let file = pdf_around(&noise);
    assert_eq!(file.len(), size);
    file
}

/// A grey JPEG, padded with comments to `size` bytes.
#[must_use]
pub fn jpeg(size: usize) -> Vec<u8> {
    jpeg_of(another_seed(), size)
}

/// The JPEG of that size that belongs to a seed; only the smallest has no room for a difference.
#[must_use]
pub fn jpeg_of(seed: u64, size: usize) -> Vec<u8> {
    assert!(size == JPEG.len() || size >= JPEG.len() + 4, "a JPEG cannot have {size} bytes");
    let mut file = JPEG[..JFIF_END].to_vec();
    let mut padding = size - JPEG.len();
    let comments = noise_of(seed, padding);
    while padding > 0 {
        // A comment is at least four bytes: the last two share what is left.
        let segment = match padding {
            0..=65_537 => padding,
            65_538..=65_541 => padding - 4,
            _ => 65_537,
        };
        file.extend([0xff, 0xfe]);
        file.extend(u16::try_from(segment - 2).unwrap().to_be_bytes());
        let start = file.len();
        file.extend(&comments[padding - segment + 4..padding]);
        calm(&mut file[start..], start);
        padding -= segment;
    }
    file.extend(&JPEG[JFIF_END..]);
    assert_eq!(file.len(), size);
    file
}

/// One grey pixel as PNG, padded with a private chunk to `size` bytes.
#[must_use]
pub fn png(size: usize) -> Vec<u8> {
    const IHDR: [u8; 13] = [0, 0, 0, 1, 0, 0, 0, 1, 8, 0, 0, 0, 0];
    const IDAT: [u8; 10] = [0x78, 0x9c, 0x63, 0x68, 0x00, 0x00, 0x00, 0x82, 0x00, 0x81];
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    chunk(&mut file, *b"IHDR", &IHDR);
    let frame = file.len() + (12 + IDAT.len()) + 12 + 12;
    assert!(size >= frame, "a PNG has at least {frame} bytes");
    chunk(&mut file, *b"brIg", &noise(size - frame));
    chunk(&mut file, *b"IDAT", &IDAT);
    chunk(&mut file, *b"IEND", &[]);
    assert_eq!(file.len(), size);
    file
}

/// A Word document with one empty paragraph and a medium that fills it to `size` bytes, nothing compressed.
#[must_use]
pub fn docx(size: usize) -> Vec<u8> {
    let frame = word(&[], &[]).len();
    assert!(size >= frame, "a DOCX has at least {frame} bytes");
    let file = word(&noise(size - frame), &[]);
    assert_eq!(file.len(), size);
    file
}

/// The same with a macro project inside.
#[must_use]
pub fn docx_with_macros() -> Vec<u8> {
    word(&noise(10 * KIB), &[("word/vbaProject.bin", &[0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1])])
}

/// A ZIP that is no document.
#[must_use]
pub fn zip() -> Vec<u8> {
    archive(&[("a.txt", b"hello")])
}

/// A Windows program: DOS header, PE header, `size` bytes in all.
#[must_use]
pub fn exe(size: usize) -> Vec<u8> {
    let mut file = noise(size);
    file[..0x80].fill(0);
    file[..2].copy_from_slice(b"MZ");
    file[0x3c..0x40].copy_from_slice(&0x80_u32.to_le_bytes());
    file[0x80..0x86].copy_from_slice(b"PE\0\0\x64\x86");
    file
}

/// Bytes without a pattern, other ones at each call.
#[must_use]
pub fn noise(size: usize) -> Vec<u8> {
    noise_of(another_seed(), size)
}

fn another_seed() -> u64 {
    static SEED: AtomicU64 = AtomicU64::new(0x9e37_79b9_7f4a_7c15);
    SEED.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed)
}

/// The same bytes for the same seed.
fn noise_of(seed: u64, size: usize) -> Vec<u8> {
    let mut state = seed | 1;
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}

/// A carriage return may begin a delimiter, so a parser keeps it back until more has come. None in the noise that starts
/// there ends a KiB of its file, where tests let a client pause.
fn calm(noise: &mut [u8], start: usize) {
    for byte in noise.iter_mut().skip(KIB - 1 - start % KIB).step_by(KIB) {
        if *byte == b'\r' {
            *byte = b'.';
        }
    }
}

fn pdf_around(stream: &[u8]) -> Vec<u8> {
    let mut file = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n".to_vec();
    let mut offsets = Vec::new();
    let mut object = |file: &mut Vec<u8>, body: &[u8]| {
        offsets.push(file.len());
        let number = offsets.len();
        file.extend(format!("{number} 0 obj\n").as_bytes());
        file.extend(body);
        file.extend(b"\nendobj\n");
    };
    object(&mut file, b"<< /Type /Catalog /Pages 2 0 R >>");
    object(&mut file, b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>");
    object(&mut file, b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 72 72] >>");
    let mut filler = format!("<< /Length {:010} >>\nstream\n", stream.len()).into_bytes();
    filler.extend(stream);
    filler.extend(b"\nendstream");
    object(&mut file, &filler);
    let table = file.len();
    file.extend(b"xref\n0 5\n0000000000 65535 f \n");
    for offset in offsets {
        file.extend(format!("{offset:010} 00000 n \n").as_bytes());
    }
    file.extend(format!("trailer\n<< /Size 5 /Root 1 0 R >>\nstartxref\n{table:010}\n%%EOF\n").as_bytes());
    file
}

fn word(padding: &[u8], more: &[(&str, &[u8])]) -> Vec<u8> {
    let mut entries = word_parts().to_vec();
    entries.push(("word/media/filler.bin", padding));
    entries.extend(more);
    archive(&entries)
}

/// The parts that make a package a Word document, of one empty paragraph: name and content.
#[must_use]
pub fn word_parts() -> [(&'static str, &'static [u8]); 3] {
    let types = br#"<?xml version="1.0" encoding="UTF-8" standalone="yes"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Default Extension="bin" ContentType="application/octet-stream"/><Override PartName="/word/document.xml" ContentType="application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"/></Types>"#;
    let relations = br#"<?xml version="1.0" encoding="UTF-8" standalone="yes"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" Target="word/document.xml"/></Relationships>"#;
    let document = br#"<?xml version="1.0" encoding="UTF-8" standalone="yes"?><w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:body><w:p/></w:body></w:document>"#;
    [("[Content_Types].xml", types), ("_rels/.rels", relations), ("word/document.xml", document)]
}

/// A ZIP of stored entries.
fn archive(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut directory = Vec::new();
    for (name, content) in entries {
        let offset = u32::try_from(file.len()).unwrap();
        let size = u32::try_from(content.len()).unwrap().to_le_bytes();
        let name_size = u16::try_from(name.len()).unwrap().to_le_bytes();
        // From "version needed" to "extra length": the same in both headers.
        let mut shared = vec![20, 0, 0, 0, 0, 0, 0, 0, 0x21, 0];
        shared.extend(crc32(content).to_le_bytes());
        shared.extend(size);
        shared.extend(size);
        shared.extend(name_size);
        shared.extend([0, 0]);
        file.extend(b"PK\x03\x04");
        file.extend(&shared);
        file.extend(name.as_bytes());
        file.extend(*content);
        directory.extend(b"PK\x01\x02\x14\x00");
        directory.extend(&shared);
        directory.extend([0; 10]);
        directory.extend(offset.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let count = u16::try_from(entries.len()).unwrap().to_le_bytes();
    let start = u32::try_from(file.len()).unwrap();
    file.extend(&directory);
    file.extend(b"PK\x05\x06\0\0\0\0");
    file.extend(count);
    file.extend(count);
    file.extend(u32::try_from(directory.len()).unwrap().to_le_bytes());
    file.extend(start.to_le_bytes());
    file.extend([0, 0]);
    file
}

fn chunk(file: &mut Vec<u8>, name: [u8; 4], content: &[u8]) {
    file.extend(u32::try_from(content.len()).unwrap().to_be_bytes());
    let start = file.len();
    file.extend(name);
    file.extend(content);
    let check = crc32(&file[start..]);
    file.extend(check.to_be_bytes());
}

/// The CRC64NVME of a file as S3 writes it: base64 of the big-endian number.
#[must_use]
pub fn crc64nvme(bytes: &[u8]) -> String {
    let sum = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, bytes);
    base64::engine::general_purpose::STANDARD.encode(sum.to_be_bytes())
}

/// The checksum of ZIP and PNG.
#[must_use]
pub fn crc32(bytes: &[u8]) -> u32 {
    let sum = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32IsoHdlc, bytes);
    u32::try_from(sum).unwrap()
}
