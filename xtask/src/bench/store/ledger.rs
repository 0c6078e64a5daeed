//! What the store has: sizes of parts and objects, and the bytes of a few.

use std::collections::{BTreeMap, HashMap};

/// Content of a part or an object.
#[derive(Debug, Default)]
pub struct Content {
    /// In bytes, without framing.
    pub size: u64,
    /// The bytes themselves, of an object that is compared.
    pub kept: Option<Vec<u8>>,
}

/// What was completed so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub objects: u64,
    pub bytes: u64,
    /// Objects whose every byte was compared with what was sent.
    pub compared: u64,
    /// Of these, those that were not the same.
    pub different: u64,
}

#[derive(Default)]
pub struct Ledger {
    pub tally: Tally,
    uploads: HashMap<String, Upload>,
    /// Sizes by key, in bytes.
    objects: HashMap<String, u64>,
    /// Objects begun.
    begun: u64,
}

struct Upload {
    key: String,
    is_kept: bool,
    parts: BTreeMap<u32, Content>,
}

impl Ledger {
    /// Counts a new object; whether it is one in `every`.
    pub fn begin(&mut self, every: Option<u64>) -> bool {
        self.begun += 1;
        every.is_some_and(|every| (self.begun - 1).is_multiple_of(every))
    }

    /// The new upload's id.
    pub fn create(&mut self, key: String, is_kept: bool) -> String {
        let id = format!("upload-{}", self.begun);
        self.uploads.insert(id.clone(), Upload { key, is_kept, parts: BTreeMap::new() });
        id
    }

    /// Whether the bytes of this upload's parts are kept; `None` when there is no such upload.
    pub fn is_kept(&self, upload: &str) -> Option<bool> {
        self.uploads.get(upload).map(|upload| upload.is_kept)
    }

    /// Whether there is such an upload.
    pub fn put_part(&mut self, upload: &str, number: u32, content: Content) -> bool {
        self.uploads.get_mut(upload).map(|upload| upload.parts.insert(number, content)).is_some()
    }

    /// Makes an object of the parts, in their order; its bytes, when they are to be compared.
    /// `None` when there is no such upload.
    pub fn complete(&mut self, upload: &str) -> Option<Option<Vec<u8>>> {
        let Upload { key, is_kept, parts } = self.uploads.remove(upload)?;
        let size = parts.values().map(|part| part.size).sum();
        let kept = is_kept.then(|| parts.into_values().filter_map(|part| part.kept).flatten().collect());
        self.put(key, size);
        Some(kept)
    }

    pub fn put(&mut self, key: String, size: u64) {
        self.tally.objects += 1;
        self.tally.bytes += size;
        self.objects.insert(key, size);
    }

    pub fn abort(&mut self, upload: &str) -> bool {
        self.uploads.remove(upload).is_some()
    }

    pub fn compared(&mut self, is_same: bool) {
        self.tally.compared += 1;
        self.tally.different += u64::from(!is_same);
    }

    /// In bytes.
    pub fn size(&self, key: &str) -> Option<u64> {
        self.objects.get(key).copied()
    }

    pub fn delete(&mut self, key: &str) {
        self.objects.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_its_parts_in_order_of_their_numbers() {
        let mut ledger = Ledger::default();
        let is_kept = ledger.begin(Some(50));
        let upload = ledger.create("bucket/key".to_owned(), is_kept);
        for (number, bytes) in [(2, b"cd"), (1, b"ab")] {
            let content = Content { size: 2, kept: Some(bytes.to_vec()) };
            assert!(ledger.put_part(&upload, number, content));
        }
        assert_eq!(ledger.complete(&upload), Some(Some(b"abcd".to_vec())));
        assert_eq!((ledger.tally.objects, ledger.tally.bytes), (1, 4));
        assert_eq!(ledger.size("bucket/key"), Some(4));
        assert_eq!(ledger.complete(&upload), None, "it is over");
    }

    #[test]
    fn one_object_in_so_many_is_kept() {
        let mut ledger = Ledger::default();
        let kept: Vec<bool> = (0..5).map(|_| ledger.begin(Some(2))).collect();
        assert_eq!(kept, [true, false, true, false, true]);
        assert!(!ledger.begin(None));
    }
}
