//! What a ZIP's directory lists, and what of it may not be in a document.
//!
//! Everything is judged by what the directory states. A local header or packed data that say otherwise are not looked
//! at: who unpacks must count for himself.

use super::{ENTRY_LEN, NotWord, entry_len, u16_at, u32_at, u64_at};

/// Most entries of a document: every formula of an old one is two.
const MAX_ENTRIES: usize = 16_384;
/// Unpacked contents of this size harm nobody, however well they are packed, in bytes.
const HARMLESS: u64 = 64 * 1024 * 1024;
/// How many times larger than packed the contents of a larger document may be. Text and styles reach 30; Apache POI
/// draws the same line for each entry.
const MAX_RATIO: u64 = 100;
/// Largest size of all contents unpacked, in bytes: what POI allows a single one.
const MAX_UNPACKED: u64 = u32::MAX as u64;
/// Bits of a Unix mode that say what an entry is, and those of a symbolic link.
const KIND: u32 = 0o170_000;
const SYMLINK: u32 = 0o120_000;

/// A directory in order.
pub(super) struct Directory {
    entries: Vec<Entry>,
    /// Where in the file it begins: what is packed lies before it.
    start: u64,
}

impl Directory {
    /// Reads `bytes`, the directory at `start`; `None` unless it is of `count` entries and nothing else.
    pub(super) fn read(mut bytes: &[u8], start: u64, count: u64) -> Option<Self> {
        let mut entries = Vec::new();
        while !bytes.is_empty() {
            let (entry, rest) = bytes.split_at_checked(entry_len(bytes)?)?;
            entries.push(Entry::read(entry)?);
            bytes = rest;
        }
        (entries.len() as u64 == count).then_some(Self { entries, start })
    }

    pub(super) fn check(&self) -> Result<(), NotWord> {
        let has = |is: fn(&Entry) -> bool| self.entries.iter().any(is);
        if has(|entry| entry.file_name() == "vbaproject.bin") {
            Err(NotWord::Macros)
        } else if has(|entry| entry.name == "[content_types].xml")
            && has(Entry::is_main_part)
            && !has(Entry::leads_elsewhere)
            && self.is_harmless_unpacked()
        {
            Ok(())
        } else {
            Err(NotWord::Other)
        }
    }

    fn is_harmless_unpacked(&self) -> bool {
        let sum = |size: fn(&Entry) -> u64| self.entries.iter().map(size).fold(0, u64::saturating_add);
        let (packed, unpacked) = (sum(|entry| entry.packed), sum(|entry| entry.unpacked));
        // Contents that overlap are unpacked once for each entry: their sizes exceed the file.
        self.entries.len() <= MAX_ENTRIES
            && packed <= self.start
            && unpacked <= MAX_UNPACKED
            && (unpacked <= HARMLESS || unpacked / MAX_RATIO <= packed)
    }
}

/// An entry.
struct Entry {
    /// In lower case: part names ignore case.
    name: String,
    /// Sizes, in bytes.
    packed: u64,
    unpacked: u64,
    /// By its Unix mode, from whatever system it says it is: some readers look at nothing else.
    is_link: bool,
}

impl Entry {
    fn read(bytes: &[u8]) -> Option<Self> {
        let name = bytes.get(ENTRY_LEN..ENTRY_LEN + u16_at(bytes, 28))?;
        let (packed, unpacked) = (u32_at(bytes, 20), u32_at(bytes, 24));
        // The 64-bit field has only those numbers that did not fit, in this order.
        let mut long = Self::long_numbers(bytes);
        let mut full = |short: u32| match short {
            u32::MAX => long.next(),
            short => Some(short.into()),
        };
        let unpacked = full(unpacked)?;
        let packed = full(packed)?;
        let is_link = (u32_at(bytes, 38) >> 16) & KIND == SYMLINK;
        Some(Self { name: String::from_utf8_lossy(name).to_ascii_lowercase(), packed, unpacked, is_link })
    }

    /// The numbers of the entry's extra field 1 (APPNOTE 4.5.3).
    fn long_numbers(bytes: &[u8]) -> impl Iterator<Item = u64> {
        let start = ENTRY_LEN + u16_at(bytes, 28);
        let mut extra = bytes.get(start..start + u16_at(bytes, 30)).unwrap_or_default();
        let mut numbers: &[u8] = &[];
        while extra.len() >= 4 {
            let (kind, len) = (u16_at(extra, 0), u16_at(extra, 2));
            let Some(field) = extra[4..].get(..len) else { break };
            if kind == 1 {
                numbers = field;
                break;
            }
            extra = &extra[4 + len..];
        }
        numbers.chunks_exact(8).map(|number| u64_at(number, 0))
    }

    fn file_name(&self) -> &str {
        self.name.rsplit('/').next().unwrap_or_default()
    }

    /// `word/document.xml`, or as Word for the web writes it, `word/document2.xml`.
    fn is_main_part(&self) -> bool {
        self.name
            .strip_prefix("word/document")
            .and_then(|rest| rest.strip_suffix(".xml"))
            .is_some_and(|number| number.bytes().all(|digit| digit.is_ascii_digit()))
    }

    /// Whether it might be unpacked anywhere but below the directory that it is unpacked in.
    fn leads_elsewhere(&self) -> bool {
        let is_drive = || self.name.as_bytes().get(1) == Some(&b':');
        let is_up = || self.name.split('/').any(|step| step == "..");
        self.is_link
            || self.name.starts_with('/')
            || self.name.contains(['\\', '\0'])
            || is_drive()
            || is_up()
    }
}
