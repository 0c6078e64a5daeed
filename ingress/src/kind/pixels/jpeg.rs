//! A JPEG's first frame header, behind however many comments and tables (ITU T.81, annex B).

use super::{Said, be16};

#[derive(Debug, Default)]
pub(super) enum Walk {
    /// Bytes up to the next 0xFF; there should be none, but decoders pass over them.
    #[default]
    Stray,
    /// Behind 0xFF: more of them, or what makes it a marker.
    Marker,
    Segment,
    Frame,
}

impl Walk {
    pub(super) fn read(&mut self, header: &[u8], at: u64) -> Said {
        let end = at + header.len() as u64;
        match self {
            Self::Stray => {
                if header[0] == 0xff {
                    *self = Self::Marker;
                }
                Said::next(end, 1)
            }
            Self::Marker => self.marker(header[0], end),
            Self::Segment => {
                *self = Self::Stray;
                match be16(header) {
                    0 | 1 => Said::NOTHING,
                    len => Said::next(at + u64::from(len), 1),
                }
            }
            Self::Frame => Said::size(be16(&header[3..]), be16(&header[5..])),
        }
    }

    fn marker(&mut self, marker: u8, end: u64) -> Said {
        match marker {
            0xff => Said::next(end, 1),
            0x00 | 0x01 | 0xd0..=0xd8 => {
                *self = Self::Stray;
                Said::next(end, 1)
            }
            // The scan or the end: no decoder takes a frame header after these.
            0xd9 | 0xda => Said::NOTHING,
            0xc0..=0xcf if !matches!(marker, 0xc4 | 0xc8 | 0xcc) => {
                *self = Self::Frame;
                Said::next(end, 7)
            }
            _ => {
                *self = Self::Segment;
                Said::next(end, 2)
            }
        }
    }
}
