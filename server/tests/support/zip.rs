//! ZIP archives record by record, as any writer may write them, or as nobody should.

use super::sample::crc32;

const STORED: u16 = 0;
const DEFLATED: u16 = 8;
/// Flags: sizes follow the contents; names are UTF-8.
pub const DESCRIPTOR: u16 = 1 << 3;
pub const UTF8: u16 = 1 << 11;
/// Systems that an entry may be from, with the version of APPNOTE.
pub const DOS: u16 = 20;
pub const UNIX: u16 = 3 << 8 | 20;

/// A file in an archive.
#[derive(Clone)]
pub struct Entry {
    pub name: String,
    pub packed: Vec<u8>,
    pub method: u16,
    pub crc: u32,
    /// Size as both headers state it.
    pub unpacked: u64,
    pub flags: u16,
    pub made_by: u16,
    /// External: a Unix mode in the upper half.
    pub attributes: u32,
    pub local_extra: Vec<u8>,
    pub central_extra: Vec<u8>,
    /// Sizes and place in 64 bits, though they need only 32.
    pub is_long: bool,
}

impl Entry {
    #[must_use]
    pub fn stored(name: &str, content: &[u8]) -> Self {
        Self {
            name: name.to_owned(),
            packed: content.to_vec(),
            method: STORED,
            crc: crc32(content),
            unpacked: content.len() as u64,
            flags: 0,
            made_by: DOS,
            attributes: 0,
            local_extra: Vec::new(),
            central_extra: Vec::new(),
            is_long: false,
        }
    }

    /// Deflated, as far as the format goes: in blocks that are stored.
    #[must_use]
    pub fn deflated(name: &str, content: &[u8]) -> Self {
        let mut packed = Vec::new();
        let mut blocks = content.chunks(65_535).peekable();
        while let Some(block) = blocks.next() {
            let len = block.len() as u16;
            packed.push(u8::from(blocks.peek().is_none()));
            packed.extend([len.to_le_bytes(), (!len).to_le_bytes()].concat());
            packed.extend(block);
        }
        Self { packed, method: DEFLATED, ..Self::stored(name, content) }
    }

    /// `size` zeros, at most, in a 159th of the room: what a bomb is made of.
    #[must_use]
    pub fn zeros(name: &str, size: usize) -> Self {
        // One fixed block: a zero, the zero before 258 times over, the end (RFC 1951, 3.2.6).
        let mut bits = Bits::default();
        let runs = (size - 1) / 258;
        bits.push(0b011, 3);
        bits.push_code(0b0011_0000, 8);
        for _ in 0..runs {
            bits.push_code(0b1100_0101, 8);
            bits.push_code(0, 5);
        }
        bits.push_code(0, 7);
        let content = vec![0; 1 + runs * 258];
        Self { packed: bits.bytes, method: DEFLATED, ..Self::stored(name, &content) }
    }

    /// Both headers from "version needed" to "extra length"; a stream's local header knows no sizes yet.
    fn shared(&self, is_local: bool, extra: &[u8]) -> Vec<u8> {
        let waits = is_local && self.flags & DESCRIPTOR != 0;
        let short = |number: u64| match (waits, self.is_long) {
            (_, true) => u32::MAX,
            (true, false) => 0,
            (false, false) => u32::try_from(number).unwrap(),
        };
        let version: u16 = if self.is_long { 45 } else { 20 };
        let mut shared = [version, self.flags, self.method, 0, 0x21].map(u16::to_le_bytes).concat();
        shared.extend(if waits { [0; 4] } else { self.crc.to_le_bytes() });
        shared.extend(short(self.packed.len() as u64).to_le_bytes());
        shared.extend(short(self.unpacked).to_le_bytes());
        shared.extend((self.name.len() as u16).to_le_bytes());
        shared.extend((extra.len() as u16).to_le_bytes());
        shared
    }

    fn local(&self) -> Vec<u8> {
        let waits = self.flags & DESCRIPTOR != 0;
        let (unpacked, packed) = (self.unpacked, self.packed.len() as u64);
        let mut extra = self.local_extra.clone();
        if self.is_long {
            extra.extend(long_field(&if waits { [0, 0] } else { [unpacked, packed] }));
        }
        let mut record =
            [b"PK\x03\x04", &self.shared(true, &extra)[..], self.name.as_bytes(), &extra].concat();
        record.extend(&self.packed);
        if waits {
            record.extend([&b"PK\x07\x08"[..], &self.crc.to_le_bytes()].concat());
            for size in [packed, unpacked] {
                record.extend(&size.to_le_bytes()[..if self.is_long { 8 } else { 4 }]);
            }
        }
        record
    }

    fn central(&self, at: u64) -> Vec<u8> {
        let mut extra = self.central_extra.clone();
        if self.is_long {
            extra.extend(long_field(&[self.unpacked, self.packed.len() as u64, at]));
        }
        let at = if self.is_long { u32::MAX } else { at as u32 };
        let shared = self.shared(false, &extra);
        let made_by = self.made_by.to_le_bytes();
        let (attributes, at) = (self.attributes.to_le_bytes(), at.to_le_bytes());
        [b"PK\x01\x02", &made_by[..], &shared, &[0; 6], &attributes, &at, self.name.as_bytes(), &extra]
            .concat()
    }
}

/// An archive.
#[derive(Clone, Default)]
pub struct Zip {
    pub entries: Vec<Entry>,
    /// Ends with numbers of 64 bits; `Some(true)`: and with nothing in the place of the shorter ones.
    pub long_end: Option<bool>,
}

impl Zip {
    #[must_use]
    pub fn of(entries: impl IntoIterator<Item = Entry>) -> Self {
        Self { entries: entries.into_iter().collect(), long_end: None }
    }

    /// Every entry changed.
    #[must_use]
    pub fn each(mut self, change: impl FnMut(&mut Entry)) -> Self {
        self.entries.iter_mut().for_each(change);
        self
    }

    #[must_use]
    pub fn with(mut self, entry: Entry) -> Self {
        self.entries.push(entry);
        self
    }

    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let (mut file, mut directory) = (Vec::new(), Vec::new());
        for entry in &self.entries {
            directory.extend(entry.central(file.len() as u64));
            file.extend(entry.local());
        }
        let (count, len, start) = (self.entries.len() as u64, directory.len() as u64, file.len() as u64);
        file.extend(directory);
        if self.long_end.is_some() {
            let at = file.len() as u64;
            file.extend(b"PK\x06\x06\x2c\0\0\0\0\0\0\0\x2d\0\x2d\0\0\0\0\0\0\0\0\0");
            file.extend([count, count, len, start].map(u64::to_le_bytes).concat());
            file.extend([&b"PK\x06\x07\0\0\0\0"[..], &at.to_le_bytes(), b"\x01\0\0\0"].concat());
        }
        let hides = self.long_end == Some(true);
        let count = if hides { u16::MAX } else { count as u16 };
        let [len, start] = [len, start].map(|number| if hides { u32::MAX } else { number as u32 });
        file.extend([&b"PK\x05\x06\0\0\0\0"[..], &count.to_le_bytes(), &count.to_le_bytes()].concat());
        file.extend([&len.to_le_bytes()[..], &start.to_le_bytes(), &[0; 2]].concat());
        file
    }
}

/// The extra field with 64-bit numbers.
fn long_field(numbers: &[u64]) -> Vec<u8> {
    let mut field = [&b"\x01\0"[..], &(numbers.len() as u16 * 8).to_le_bytes()].concat();
    numbers.iter().for_each(|number| field.extend(number.to_le_bytes()));
    field
}

/// Bits from the lowest of each byte on.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    used: u32,
}

impl Bits {
    /// A number, its lowest bit first.
    fn push(&mut self, number: u32, count: u32) {
        for bit in 0..count {
            if self.used.is_multiple_of(8) {
                self.bytes.push(0);
            }
            let last = self.bytes.last_mut().expect("there is one");
            *last |= ((number >> bit & 1) as u8) << (self.used % 8);
            self.used += 1;
        }
    }

    /// A Huffman code, its highest bit first.
    fn push_code(&mut self, code: u32, count: u32) {
        self.push(code.reverse_bits() >> (32 - count), count);
    }
}
