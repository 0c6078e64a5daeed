//! The sizes in an AVIF: of every item (`ispe`), and of every track of a sequence (`tkhd`, `av01`).
//!
//! ISO/IEC 14496-12, 4.2, 8.3.2 and 12.1.3; ISO/IEC 23008-12, 6.5.3. A grid has an `ispe` of its own, as large as all of it.

use super::{Said, be16, be32};

/// Boxes of which only the sizes within are of interest.
const CONTAINERS: [&[u8; 4]; 7] = [b"iprp", b"ipco", b"moov", b"trak", b"mdia", b"minf", b"stbl"];
const HEADER_LEN: usize = 8;

#[derive(Debug, Default)]
pub(super) enum Walk {
    #[default]
    Box,
    /// A box whose length did not fit into 32 bits: the length follows.
    Long([u8; 4]),
    /// Width and height, in fractions of as many bits, and where the box behind them begins.
    Size { fraction: u32, then: u64 },
    /// Width and height of a sample entry.
    Sample { then: u64 },
}

impl Walk {
    pub(super) fn read(&mut self, header: &[u8], at: u64) -> Said {
        match std::mem::take(self) {
            Self::Box => {
                let kind = [header[4], header[5], header[6], header[7]];
                match be32(header) {
                    // It goes on to the end of the file.
                    0 => self.open(kind, at + 8, u64::MAX),
                    1 => {
                        *self = Self::Long(kind);
                        Said::next(at + 8, 8)
                    }
                    len if len < 8 => Said::NOTHING,
                    len => self.open(kind, at + 8, at + u64::from(len)),
                }
            }
            Self::Long(kind) => {
                let len = u64::from(be32(header)) << 32 | u64::from(be32(&header[4..]));
                // It counts from the first half of the header.
                self.open(kind, at + 8, (at - 8).saturating_add(len))
            }
            Self::Size { fraction, then } => {
                let size = Said::size(be32(header) >> fraction, be32(&header[4..]) >> fraction);
                size.then(Said::next(then, HEADER_LEN))
            }
            Self::Sample { then } => {
                Said::size(be16(header), be16(&header[2..])).then(Said::next(then, HEADER_LEN))
            }
        }
    }

    /// The box with content from `start` to `end`.
    fn open(&mut self, kind: [u8; 4], start: u64, end: u64) -> Said {
        let (at, len) = match &kind {
            b"meta" => (start + 4, HEADER_LEN),
            b"stsd" => (start + 8, HEADER_LEN),
            kind if CONTAINERS.contains(&kind) => (start, HEADER_LEN),
            // Width and height come last, in every version.
            b"ispe" | b"tkhd" if end != u64::MAX && end.saturating_sub(start) >= 8 => {
                *self = Self::Size { fraction: if kind == *b"tkhd" { 16 } else { 0 }, then: end };
                (end - 8, 8)
            }
            b"av01" => {
                *self = Self::Sample { then: end };
                (start + 24, 4)
            }
            _ => (end, HEADER_LEN),
        };
        Said::next(at, len)
    }
}
