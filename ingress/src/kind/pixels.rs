//! How many pixels an image says it has, by its headers, while it streams by.
//!
//! The headers say where the next one lies, and what is between them is not kept: a picture's EXIF of megabytes, or a
//! directory at the end of the file, costs nothing. Headers point forwards here; one that has gone by is not read again
//! (README, "What is accepted", says what follows from that). A file whose headers cannot be followed has no size that
//! a decoder could find either: it has no pixels.

mod gif;
mod isobmff;
mod jpeg;
mod tiff;

use super::MediaType;
pub(super) use tiff::has_directory as has_tiff_directory;

/// A header to be read: where it begins in the file, and how long it is, in bytes. Never longer than [`LONGEST`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Header {
    at: u64,
    len: usize,
}

/// The longest [`Header`], in bytes: an entry of a TIFF's directory with 64-bit offsets.
const LONGEST: usize = 20;

/// What one header says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Said {
    /// Width times height; 0 if the header is about something else.
    pixels: u64,
    next: Option<Header>,
}

impl Said {
    const NOTHING: Self = Self { pixels: 0, next: None };

    const fn next(at: u64, len: usize) -> Self {
        Self { pixels: 0, next: Some(Header { at, len }) }
    }

    fn size(width: impl Into<u64>, height: impl Into<u64>) -> Self {
        Self { pixels: width.into().saturating_mul(height.into()), next: None }
    }

    const fn then(self, next: Self) -> Self {
        Self { next: next.next, ..self }
    }
}

/// Which headers a format has, one after the other.
#[derive(Debug)]
enum Walk {
    Png,
    Webp,
    WebpFrame([u8; 4]),
    Gif(gif::Walk),
    Jpeg(jpeg::Walk),
    Tiff(tiff::Walk),
    Avif(isobmff::Walk),
}

impl Walk {
    fn read(&mut self, header: &[u8], at: u64) -> Said {
        match self {
            Self::Png => png(header, at),
            Self::Webp => {
                *self = Self::WebpFrame([header[0], header[1], header[2], header[3]]);
                Said::next(at + 8, if header.starts_with(b"VP8L") { 5 } else { 10 })
            }
            Self::WebpFrame(kind) => webp(*kind, header),
            Self::Gif(walk) => walk.read(header, at),
            Self::Jpeg(walk) => walk.read(header, at),
            Self::Tiff(walk) => walk.read(header, at),
            Self::Avif(walk) => walk.read(header, at),
        }
    }
}

/// Reads an image's headers as they come by.
#[derive(Debug)]
pub(super) struct Survey {
    walk: Walk,
    next: Option<Header>,
    /// Of the header that is being read.
    held: Vec<u8>,
    /// Bytes of the file that have come by.
    position: u64,
    largest: u64,
}

impl Survey {
    /// `None` for what has no pixels.
    pub(super) fn of(media: MediaType) -> Option<Self> {
        let (walk, at, len) = match media {
            MediaType::Png => (Walk::Png, 8, 16),
            MediaType::Webp => (Walk::Webp, 12, 8),
            MediaType::Gif => (Walk::Gif(gif::Walk::default()), 6, 7),
            MediaType::Jpeg => (Walk::Jpeg(jpeg::Walk::default()), 2, 1),
            MediaType::Tiff => (Walk::Tiff(tiff::Walk::default()), 0, 8),
            MediaType::Avif => (Walk::Avif(isobmff::Walk::default()), 0, 8),
            MediaType::Pdf | MediaType::Docx | MediaType::Svg => return None,
        };
        let next = Some(Header { at, len });
        Some(Self { walk, next, held: Vec::with_capacity(LONGEST), position: 0, largest: 0 })
    }

    /// Takes the file's next bytes; the pixels of the largest picture found so far.
    pub(super) fn push(&mut self, mut bytes: &[u8]) -> u64 {
        while let Some(Header { at, len }) = self.next {
            let gap = at.saturating_sub(self.position);
            let skipped = usize::try_from(gap).unwrap_or(usize::MAX).min(bytes.len());
            let taken = (len - self.held.len()).min(bytes.len() - skipped);
            self.held.extend_from_slice(&bytes[skipped..skipped + taken]);
            self.position += (skipped + taken) as u64;
            bytes = &bytes[skipped + taken..];
            if self.held.len() < len {
                break;
            }
            let said = self.walk.read(&self.held, at);
            self.held.clear();
            self.largest = self.largest.max(said.pixels);
            self.next = said.next.filter(|next| next.at >= self.position);
        }
        self.largest
    }
}

/// A chunk's length, name and first 8 bytes. IHDR is the first, or in Apple's own PNGs the second.
fn png(chunk: &[u8], at: u64) -> Said {
    match &chunk[4..8] {
        b"IHDR" => Said::size(be32(&chunk[8..]), be32(&chunk[12..])),
        b"CgBI" => Said::next(at + 12 + u64::from(be32(chunk)), 16),
        _ => Said::NOTHING,
    }
}

/// The beginning of the first chunk (RFC 9649, 2.5 to 2.7). Frames lie within the canvas of VP8X.
fn webp(kind: [u8; 4], data: &[u8]) -> Said {
    match &kind {
        b"VP8 " => Said::size(le16(&data[6..]) & 0x3fff, le16(&data[8..]) & 0x3fff),
        b"VP8L" => {
            let bits = le32(&data[1..]);
            Said::size((bits & 0x3fff) + 1, ((bits >> 14) & 0x3fff) + 1)
        }
        b"VP8X" => Said::size((le32(&data[4..]) & 0xff_ffff) + 1, (le32(&data[6..]) >> 8) + 1),
        _ => Said::NOTHING,
    }
}

const fn le16(bytes: &[u8]) -> u16 {
    u16::from_le_bytes([bytes[0], bytes[1]])
}

const fn be16(bytes: &[u8]) -> u16 {
    u16::from_be_bytes([bytes[0], bytes[1]])
}

const fn le32(bytes: &[u8]) -> u32 {
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

const fn be32(bytes: &[u8]) -> u32 {
    u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

#[cfg(test)]
mod tests;
