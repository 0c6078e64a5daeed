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
    orphans: VecDeque<Orphan>,
}

impl Open {
    fn leave(&mut self, orphan: Orphan) {
        if self.orphans.len() < MOST_ORPHANS {
            self.orphans.push_back(orphan);
        }
    }
}

/// What nobody carries any more.
struct Orphan {
    key: String,
    /// The store's name for the upload; `None` where its answer was lost: there may be any number of them to this key.
    id: Option<String>,
}

/// An orphan that is carried again.
pub enum Adopted {
    Upload(Carried),
    /// Whatever is open to this key.
    Key(Alive),
}

impl OpenUploads {
    /// An upload to this key is alive from now on, before the store is asked to open it.
    pub fn begin(&self, key: String) -> Alive {
        self.lock().alive.insert(key.clone());
        Alive { open: self.clone(), key, in_doubt: false }
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
    pub fn adopt(&self) -> Option<Adopted> {
        let Orphan { key, id } = self.lock().orphans.pop_front()?;
        let alive = self.begin(key);
        Some(match id {
            Some(id) => Adopted::Upload(alive.opened(id)),
            None => Adopted::Key(alive.doubted(true)),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps the sweeper from an upload.
pub struct Alive {
    open: OpenUploads,
    key: String,
    in_doubt: bool,
}

impl Alive {
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Whether the store may hold uploads to this key that it has not named to us: dropped then, it is an orphan.
    pub fn doubted(mut self, in_doubt: bool) -> Self {
        self.in_doubt = in_doubt;
        self
    }

    /// The store has opened it under this id.
    pub fn opened(self, id: String) -> Carried {
        Carried { alive: self, id, is_ended: false }
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        let mut open = self.open.lock();
        open.alive.remove(&self.key);
        if self.in_doubt {
            open.leave(Orphan { key: self.key.clone(), id: None });
        }
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
        self.alive.key()
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
        if !self.is_ended {
            let orphan = Orphan { key: self.alive.key.clone(), id: Some(self.id.clone()) };
            self.alive.open.lock().leave(orphan);
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
        let Some(Adopted::Upload(adopted)) = open.adopt() else { panic!("its id is known") };
        assert_eq!((adopted.key(), adopted.id()), ("2", "b"));
        assert!(open.is_alive("2") && open.adopt().is_none());
        adopted.end();
        assert_eq!(open.orphans(), 0);
    }

    /// The first of two Creates may have opened one, too: that is looked for when the second has ended.
    #[test]
    fn what_the_store_may_have_opened_unheard_is_adopted() {
        let open = OpenUploads::default();
        let second = open.begin("1".to_owned()).doubted(true).opened("b".to_owned());
        assert_eq!(open.orphans(), 0);
        second.end();
        let Some(Adopted::Key(alive)) = open.adopt() else { panic!("its id is not known") };
        assert!(alive.key() == "1" && open.is_alive("1"));
        drop(alive);
        assert_eq!(open.orphans(), 1, "until it was looked for");
    }
}
