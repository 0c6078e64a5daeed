//! What a page remembers of its upload across a reload, in its tab's own storage.

use leptos::prelude::window;
use web_sys::Storage;

use crate::wire::FileType;

const ITEM: &str = "bucket-brigade";

/// An upload that was begun.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// The id it was sent under: it belongs to the browser's session, and so to the next page as well.
    pub client_id: String,
    pub upload_id: String,
    /// Each file's bytes and name.
    pub files: Vec<(FileType, u64, String)>,
}

impl Memory {
    /// A line for the ids, and one for each file.
    fn to_text(&self) -> String {
        let mut text = [&self.client_id, " ", &self.upload_id].concat();
        for (file_type, bytes, name) in &self.files {
            text.push_str(&["\n", file_type.field(), " ", &bytes.to_string(), " ", name].concat());
        }
        text
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.split('\n');
        let (client_id, upload_id) = lines.next()?.split_once(' ')?;
        let file = |line: &str| {
            let (field, rest) = line.split_once(' ')?;
            let (bytes, name) = rest.split_once(' ')?;
            let file_type = FileType::ALL.into_iter().find(|known| known.field() == field)?;
            Some((file_type, bytes.parse().ok()?, name.to_owned()))
        };
        let files = lines.filter_map(file).collect();
        Some(Self { client_id: client_id.to_owned(), upload_id: upload_id.to_owned(), files })
    }
}

/// Names have no line breaks: they are kept as they are shown.
pub fn keep(memory: &Memory) {
    if let Some(storage) = storage() {
        drop(storage.set_item(ITEM, &memory.to_text()));
    }
}

#[must_use]
pub fn recall() -> Option<Memory> {
    Memory::parse(&storage()?.get_item(ITEM).ok()??)
}

pub fn forget() {
    if let Some(storage) = storage() {
        drop(storage.remove_item(ITEM));
    }
}

/// Browsers may forbid it.
fn storage() -> Option<Storage> {
    window().session_storage().ok()?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_recalled() {
        let memory = Memory {
            client_id: "p_1".to_owned(),
            upload_id: String::new(),
            files: vec![
                (FileType::DocsFile, 12, "a b\u{fffd}.pdf".to_owned()),
                (FileType::MsaImgs, u64::MAX, String::new()),
            ],
        };
        assert_eq!(Memory::parse(&memory.to_text()), Some(memory));
        assert_eq!(Memory::parse("nonsense"), None);
        assert_eq!(Memory::parse("a b\nother 1 c").map(|memory| memory.files), Some(Vec::new()));
    }
}
