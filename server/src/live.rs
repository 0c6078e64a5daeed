//! Counts of what exists now, for the gauges.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// Counts what exists while it lives. A clone is the same count.
#[derive(Clone, Default)]
pub struct Live(Arc<AtomicI64>);

/// One of the things that [`Live`] counts.
pub struct Counted(Live);

impl Live {
    #[must_use]
    pub fn count(&self) -> Counted {
        self.0.fetch_add(1, Ordering::Relaxed);
        Counted(self.clone())
    }

    /// How many there are now.
    #[must_use]
    pub fn now(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}
