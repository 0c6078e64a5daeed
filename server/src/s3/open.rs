//! The multipart uploads that this process carries, and those that it has left open.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Left uploads that are remembered; those beyond are found by their age.
const MOST_ORPHANS: usize = 10_000;

/// Cheap to clone; all clones are the same.
#[derive(Clone, Default)]
pub struct OpenUploads(Arc<Mutex<Open>>);

#[derive(Default)]
struct Open {
    /// Keys: each is one upload's, and known before the store has named it.
    alive: HashSet<String>,
    /// The longest left first, so that one which the store never lets go does not stand before the others.
    orphans: VecDeque<UploadName>,
}

/// How the store names a multipart upload.
#[derive(Clone, Debug, PartialEq, Eq)]
struct UploadName {
    key: String,
    id: String,
}

impl OpenUploads {
    /// An upload to this key is alive from now on, before the store is asked to open it.
    pub fn begin(&self, key: String) -> Alive {
        self.lock().alive.insert(key.clone());
        Alive { open: self.clone(), key }
    }

    #[must_use]
    pub fn is_alive(&self, key: &str) -> bool {
        self.lock().alive.contains(key)
    }

    /// Uploads that were left open and wait to be aborted.
    #[must_use]
    pub fn orphans(&self) -> usize {
        self.lock().orphans.len()
    }

    /// The next of them, carried again.
    pub fn adopt(&self) -> Option<Carried> {
        let UploadName { key, id } = self.lock().orphans.pop_front()?;
        Some(self.begin(key).opened(id))
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps the sweeper from an upload.
pub struct Alive {
    open: OpenUploads,
    key: String,
}

impl Alive {
    /// The store has opened it under this id.
    pub fn opened(self, id: String) -> Carried {
        Carried { alive: self, id, is_ended: false }
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.open.lock().alive.remove(&self.key);
    }
}

/// An open upload, while somebody carries it; dropped before its end, the sweeper has to come for it.
pub struct Carried {
    alive: Alive,
    id: String,
    is_ended: bool,
}

impl Carried {
    #[must_use]
    pub fn key(&self) -> &str {
        &self.alive.key
    }

    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Completed or aborted: nothing of it is left to do.
    pub fn end(mut self) {
        self.is_ended = true;
    }
}

impl Drop for Carried {
    fn drop(&mut self) {
        let name = UploadName { key: self.alive.key.clone(), id: self.id.clone() };
        let mut open = self.alive.open.lock();
        if !self.is_ended && open.orphans.len() < MOST_ORPHANS {
            open.orphans.push_back(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_before_its_end_is_adopted() {
        let open = OpenUploads::default();
        let begin = |key: &str| open.begin(key.to_owned());
        drop(begin("refused by the store"));
        let (ended, left) = (begin("1").opened("a".to_owned()), begin("2").opened("b".to_owned()));
        assert!(open.is_alive("1") && open.is_alive("2") && !open.is_alive("refused by the store"));
        ended.end();
        drop(left);
        assert!(!open.is_alive("1") && !open.is_alive("2"));
        assert_eq!(open.orphans(), 1);
        let adopted = open.adopt().unwrap();
        assert_eq!((adopted.key(), adopted.id()), ("2", "b"));
        assert!(open.is_alive("2") && open.adopt().is_none());
        adopted.end();
        assert_eq!(open.orphans(), 0);
    }
}
