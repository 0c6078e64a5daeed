//! The pages of a TIFF, or of one with 64-bit offsets, and their tiles (TIFF 6.0, section 2; BigTIFF).

use super::{Said, be16, be32, le16, le32};

const WIDTH: u16 = 256;
const HEIGHT: u16 = 257;
const TILE_WIDTH: u16 = 322;
const TILE_HEIGHT: u16 = 323;

/// Whether the file that begins with `head` has its first directory behind its own header: one inside it, where
/// some decoders would read it, is past looking at.
pub(in super::super) fn has_directory(head: &[u8]) -> bool {
    let order = Order::of(head);
    let (at, len) = if order.is_big { (8, 16) } else { (4, 8) };
    head.get(at..len).is_none_or(|offset| order.offset(offset) >= len as u64)
}

#[derive(Debug, Default)]
pub(super) struct Walk {
    order: Order,
    next: Next,
    /// Entries of the directory that are still to come.
    entries: u64,
    /// Largest width and height stated in this directory, of the page and of a tile.
    page: [u64; 2],
    tile: [u64; 2],
}

/// What the next header is.
#[derive(Debug, Default)]
enum Next {
    #[default]
    Start,
    /// The second half of a 64-bit header.
    StartBig,
    Count,
    Entry,
    /// Where the next page's directory is.
    Link,
}

impl Walk {
    pub(super) fn read(&mut self, header: &[u8], at: u64) -> Said {
        let (order, end) = (self.order, at + header.len() as u64);
        match self.next {
            Next::Start => {
                self.order = Order::of(header);
                if self.order.is_big {
                    self.next = Next::StartBig;
                    return Said::next(8, 8);
                }
                self.directory(self.order.offset(&header[4..]))
            }
            Next::StartBig | Next::Link => self.directory(order.offset(header)),
            Next::Count => {
                self.entries = if order.is_big { order.offset(header) } else { order.u16(header).into() };
                self.entry_or_link(end)
            }
            Next::Entry => {
                self.entries -= 1;
                let size = self.entry(header);
                size.then(self.entry_or_link(end))
            }
        }
    }

    /// A directory's beginning; 0 says that there is none.
    fn directory(&mut self, at: u64) -> Said {
        self.next = Next::Count;
        (self.page, self.tile) = ([0; 2], [0; 2]);
        if at == 0 { Said::NOTHING } else { Said::next(at, if self.order.is_big { 8 } else { 2 }) }
    }

    fn entry_or_link(&mut self, at: u64) -> Said {
        let (entry, link) = if self.order.is_big { (20, 8) } else { (12, 4) };
        let is_entry = self.entries > 0;
        self.next = if is_entry { Next::Entry } else { Next::Link };
        Said::next(at, if is_entry { entry } else { link })
    }

    fn entry(&mut self, entry: &[u8]) -> Said {
        let value = self.order.value(entry);
        let (size, side) = match self.order.u16(entry) {
            WIDTH => (&mut self.page, 0),
            HEIGHT => (&mut self.page, 1),
            TILE_WIDTH => (&mut self.tile, 0),
            TILE_HEIGHT => (&mut self.tile, 1),
            _ => return Said::NOTHING,
        };
        size[side] = size[side].max(value);
        Said::size(size[0], size[1])
    }
}

/// How numbers are written.
#[derive(Clone, Copy, Debug, Default)]
struct Order {
    is_little: bool,
    /// Offsets have 64 bits.
    is_big: bool,
}

impl Order {
    fn of(head: &[u8]) -> Self {
        let is_little = head.starts_with(b"II");
        let version = head.get(2..4).map_or(0, |two| if is_little { le16(two) } else { be16(two) });
        Self { is_little, is_big: version == 43 }
    }

    fn u16(self, bytes: &[u8]) -> u16 {
        if self.is_little { le16(bytes) } else { be16(bytes) }
    }

    fn u32(self, bytes: &[u8]) -> u64 {
        if self.is_little { le32(bytes) } else { be32(bytes) }.into()
    }

    fn u64(self, bytes: &[u8]) -> u64 {
        let (first, second) = (self.u32(bytes), self.u32(&bytes[4..]));
        if self.is_little { second << 32 | first } else { first << 32 | second }
    }

    fn offset(self, bytes: &[u8]) -> u64 {
        if self.is_big { self.u64(bytes) } else { self.u32(bytes) }
    }

    /// The one number of an entry; 0 for what is none. Signed ones count as decoders take them, without the sign.
    fn value(self, entry: &[u8]) -> u64 {
        let value = &entry[if self.is_big { 12 } else { 8 }..];
        match self.u16(&entry[2..]) {
            1 | 6 => value[0].into(),
            3 | 8 => self.u16(value).into(),
            4 | 9 | 13 => self.u32(value),
            16..=18 if self.is_big => self.u64(value),
            _ => 0,
        }
    }
}
