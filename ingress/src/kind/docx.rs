//! A DOCX by its ZIP directory, without unpacking anything.
//!
//! Layout of the records: PKWARE APPNOTE 6.3.10, 4.3.12 (directory entry) and 4.3.14 to 4.3.16 (end of directory).

mod directory;

use directory::Directory;

/// What a ZIP begins with, unless it is empty.
pub(super) const LOCAL_HEADER: &[u8] = b"PK\x03\x04";
const ENTRY: &[u8] = b"PK\x01\x02";
const END: &[u8] = b"PK\x05\x06";
const ENTRY_LEN: usize = 46;
const END_LEN: usize = 22;
/// The end record with 64-bit numbers, and the record behind it that says where it is.
const END64: &[u8] = b"PK\x06\x06";
const END64_LEN: usize = 56;
const LOCATOR: &[u8] = b"PK\x06\x07";
const LOCATOR_LEN: usize = 20;

/// How much of a file's end is kept, in bytes, while no directory is in sight.
const TAIL_BYTES: usize = 64 * 1024;
/// The largest directory that is kept and read, in bytes: some 14,000 entries. A directory of more than
/// [`TAIL_BYTES`] is no rarity, every formula of an old document is two entries.
const MAX_DIRECTORY_BYTES: usize = 1024 * 1024;
/// How many places are tried as the beginning of a directory: packed data may look like one.
const MAX_TRIES: usize = 256;

/// Why an archive is not an acceptable document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotWord {
    Macros,
    Other,
}

/// The end of a ZIP file that streams by.
#[derive(Debug)]
pub(super) struct Archive {
    tail: Vec<u8>,
    /// Bytes of the file before the tail.
    dropped: u64,
}

impl Archive {
    pub(super) const fn new() -> Self {
        Self { tail: Vec::new(), dropped: 0 }
    }

    pub(super) fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            // At places of the file, whatever its pieces: or they would decide what is found.
            let to_look = TAIL_BYTES - (self.dropped as usize + self.tail.len()) % TAIL_BYTES;
            let (next, rest) = bytes.split_at(bytes.len().min(to_look));
            self.tail.extend_from_slice(next);
            if next.len() == to_look && self.tail.len() > TAIL_BYTES {
                self.shorten();
            }
            bytes = rest;
        }
    }

    /// Drops what is neither among the last bytes nor in the directory that has begun.
    fn shorten(&mut self) {
        let surplus = self.tail.len() - TAIL_BYTES;
        let drop = match open_directory(&self.tail) {
            Some(start) if self.tail.len() - start <= MAX_DIRECTORY_BYTES => start.min(surplus),
            _ => surplus,
        };
        self.tail.drain(..drop);
        self.dropped += drop as u64;
    }

    /// Bytes in memory.
    pub(super) const fn held(&self) -> usize {
        self.tail.len()
    }

    /// Whether the whole file, as pushed, is a Word document without macros that is safe to unpack.
    pub(super) fn check(&self) -> Result<(), NotWord> {
        self.directory().ok_or(NotWord::Other)?.check()
    }

    /// The directory that the end record points to, with as many entries as it says.
    fn directory(&self) -> Option<Directory> {
        let last = self.tail.len().checked_sub(END_LEN)?;
        let at = (0..=last).rev().take(usize::from(u16::MAX) + 1).find(|at| {
            let record = &self.tail[*at..];
            record.starts_with(END) && record.len() == END_LEN + u16_at(record, 20)
        })?;
        let end = self.end(at)?;
        let start = usize::try_from(end.start.checked_sub(self.dropped)?).ok()?;
        let bytes = self.tail[..at].get(start..start.checked_add(usize::try_from(end.len).ok()?)?)?;
        Directory::read(bytes, end.start, end.entries)
    }

    /// What the end record at `at` says, or in its place the one with 64-bit numbers.
    fn end(&self, at: usize) -> Option<End> {
        let record = &self.tail[at..];
        let short = End {
            entries: u16_at(record, 10) as u64,
            len: u32_at(record, 12).into(),
            start: u32_at(record, 16).into(),
        };
        let locator = at.checked_sub(LOCATOR_LEN).map(|start| &self.tail[start..at]);
        let Some(locator) = locator.filter(|locator| locator.starts_with(LOCATOR)) else {
            return Some(short);
        };
        let start = usize::try_from(u64_at(locator, 8).checked_sub(self.dropped)?).ok()?;
        let long = self.tail[..at].get(start..)?.get(..END64_LEN).filter(|long| long.starts_with(END64))?;
        let long = End { entries: u64_at(long, 32), len: u64_at(long, 40), start: u64_at(long, 48) };
        // Readers differ in which of the two they ask.
        let agrees = |short: u64, none: u32, long: u64| short == u64::from(none) || short == long;
        let agree = agrees(short.entries, u16::MAX.into(), long.entries)
            && agrees(short.len, u32::MAX, long.len)
            && agrees(short.start, u32::MAX, long.start);
        agree.then_some(long)
    }
}

/// What an end record says of the directory.
struct End {
    entries: u64,
    len: u64,
    /// Where in the file it begins.
    start: u64,
}

/// Whether the first entry of the ZIP that begins with `head` is one that Office documents begin with.
pub(super) fn begins_like_word(head: &[u8]) -> bool {
    let firsts: [&[u8]; 5] = [b"[Content_Types].xml", b"_rels/", b"word/", b"docProps/", b"customXml/"];
    head.get(30..).is_some_and(|name| firsts.iter().any(|first| name.starts_with(first)))
}

/// Where in `tail` a directory begins that may still be going on, or be the file's own.
fn open_directory(tail: &[u8]) -> Option<usize> {
    let mut from = 0;
    for _ in 0..MAX_TRIES {
        let start = from + memchr::memmem::find(&tail[from..], ENTRY)?;
        from = match follow(tail, start) {
            Run::Open => return Some(start),
            Run::Ended(end) => end,
            Run::Broken => start + ENTRY.len(),
        };
    }
    None
}

/// Where a row of directory entries leads.
enum Run {
    /// To the end of what is there.
    Open,
    /// To an end record with something else behind it: an archive within the archive.
    Ended(usize),
    Broken,
}

fn follow(tail: &[u8], mut at: usize) -> Run {
    loop {
        let rest = &tail[at..];
        if rest.len() < ENTRY.len() {
            return Run::Open;
        } else if rest.starts_with(ENTRY) {
            match entry_len(rest) {
                Some(len) if len <= rest.len() => at += len,
                _ => return Run::Open,
            }
        } else if rest.starts_with(END64) {
            match rest.get(4..12).map(|_| u64_at(rest, 4)) {
                Some(len) if len < rest.len() as u64 - 12 => at += 12 + len as usize,
                _ => return Run::Open,
            }
        } else if rest.starts_with(LOCATOR) {
            if rest.len() < LOCATOR_LEN {
                return Run::Open;
            }
            at += LOCATOR_LEN;
        } else if rest.starts_with(END) {
            let len = if rest.len() < END_LEN { END_LEN } else { END_LEN + u16_at(rest, 20) };
            return if len >= rest.len() { Run::Open } else { Run::Ended(at + len) };
        } else {
            return Run::Broken;
        }
    }
}

/// Length of the entry that `bytes` begins with; `None` if it is none, or its fixed part is cut.
fn entry_len(bytes: &[u8]) -> Option<usize> {
    (bytes.len() >= ENTRY_LEN && bytes.starts_with(ENTRY))
        .then(|| ENTRY_LEN + u16_at(bytes, 28) + u16_at(bytes, 30) + u16_at(bytes, 32))
}

fn u16_at(bytes: &[u8], at: usize) -> usize {
    usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}
