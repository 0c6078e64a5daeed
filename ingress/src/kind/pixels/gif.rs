//! The screen and every frame of a GIF: decoders let a frame be larger than its screen (GIF89a, 18 and 20).

use super::{Said, le16};

const EXTENSION: u8 = 0x21;
const IMAGE: u8 = 0x2c;

#[derive(Debug, Default)]
pub(super) enum Walk {
    #[default]
    Screen,
    /// What comes next: an extension, a frame or the end.
    Block,
    Frame,
    /// The length of data that follow, or 0.
    Data,
}

impl Walk {
    pub(super) fn read(&mut self, header: &[u8], at: u64) -> Said {
        let end = at + header.len() as u64;
        match self {
            Self::Screen => {
                *self = Self::Block;
                let size = Said::size(le16(header), le16(&header[2..]));
                size.then(Said::next(end + colors(header[4]), 1))
            }
            Self::Block => match header[0] {
                // The label says nothing of the extension's length.
                EXTENSION => {
                    *self = Self::Data;
                    Said::next(end + 1, 1)
                }
                IMAGE => {
                    *self = Self::Frame;
                    Said::next(end, 9)
                }
                _ => Said::NOTHING,
            },
            Self::Frame => {
                *self = Self::Data;
                let size = Said::size(le16(&header[4..]), le16(&header[6..]));
                // Behind the colours: the code size, then data.
                size.then(Said::next(end + colors(header[8]) + 1, 1))
            }
            Self::Data => {
                if header[0] == 0 {
                    *self = Self::Block;
                }
                Said::next(end + u64::from(header[0]), 1)
            }
        }
    }
}

/// Length of the colour table that `flags` announce, in bytes.
const fn colors(flags: u8) -> u64 {
    if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) }
}
