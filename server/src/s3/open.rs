//! The multipart uploads that this process has opened and not ended: which are alive, and which nobody carries any more.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Given up uploads that are remembered; those beyond are found by their age.
const MOST_ORPHANS: usize = 10_000;

/// Cheap to clone; all clones are the same.
#[derive(Clone, Default)]
pub struct OpenUploads(Arc<Mutex<Open>>);

#[derive(Default)]
struct Open {
    alive: HashSet<UploadName>,
    /// The longest left first, so that one which the store never lets go does not stand before the others.
    orphans: VecDeque<UploadName>,
}

/// How the store names a multipart upload.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UploadName {
    pub key: String,
    pub id: String,
}

impl OpenUploads {
    /// An upload that somebody carries from now on.
    pub fn begin(&self, name: UploadName) -> Carried {
        self.lock().alive.insert(name.clone());
        Carried { open: self.clone(), name, is_ended: false }
    }

    #[must_use]
    pub fn is_alive(&self, name: &UploadName) -> bool {
        self.lock().alive.contains(name)
    }

    /// Uploads that were left open and wait to be aborted.
    #[must_use]
    pub fn orphans(&self) -> usize {
        self.lock().orphans.len()
    }

    /// The next of them, carried again.
    pub fn adopt(&self) -> Option<Carried> {
        let name = self.lock().orphans.pop_front()?;
        Some(self.begin(name))
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An open upload's name, while somebody carries it; dropped before its end, the sweeper has to come for it.
pub struct Carried {
    open: OpenUploads,
    pub name: UploadName,
    is_ended: bool,
}

impl Carried {
    /// Completed or aborted: nothing of it is left to do.
    pub fn end(mut self) {
        self.is_ended = true;
    }
}

impl Drop for Carried {
    fn drop(&mut self) {
        let mut open = self.open.lock();
        open.alive.remove(&self.name);
        if !self.is_ended && open.orphans.len() < MOST_ORPHANS {
            open.orphans.push_back(self.name.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_before_its_end_is_adopted() {
        let open = OpenUploads::default();
        let name = |id: &str| UploadName { key: "k".to_owned(), id: id.to_owned() };
        let (ended, left) = (open.begin(name("1")), open.begin(name("2")));
        assert!(open.is_alive(&name("1")) && open.is_alive(&name("2")));
        ended.end();
        drop(left);
        assert!(!open.is_alive(&name("1")) && !open.is_alive(&name("2")));
        assert_eq!(open.orphans(), 1);
        let adopted = open.adopt().unwrap();
        assert_eq!(adopted.name, name("2"));
        assert!(open.is_alive(&name("2")) && open.adopt().is_none());
        adopted.end();
        assert_eq!(open.orphans(), 0);
    }
}
