//! The process-wide byte budget: take the permit, then hold the bytes.
//!
//! A permit is tied to the allocation it pays for ([`Permit::pay`]): it comes back when the last
//! reference to those bytes goes, be it ours, the replay copy's or the HTTP client's queue's.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes every admitted upload owns, so that it always moves, however full the budget is.
pub const WINDOW: u32 = 64 * 1024;

/// The budget of the process. Cheap to clone.
#[derive(Clone)]
pub struct Budget {
    shared: Arc<Semaphore>,
    limit: usize,
}

impl Budget {
    /// A budget of `limit` bytes.
    #[must_use]
    pub fn new(limit: u64) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Self { shared: Arc::new(Semaphore::new(limit)), limit }
    }

    /// Bytes taken now, windows included.
    #[must_use]
    pub fn used(&self) -> usize {
        self.limit - self.shared.available_permits()
    }

    /// Admits an upload by reserving its window; `None` when even that is not to be had.
    #[must_use]
    pub fn admit(&self) -> Option<Allowance> {
        let reserved = Arc::clone(&self.shared).try_acquire_many_owned(WINDOW).ok()?;
        Some(Allowance {
            shared: Arc::clone(&self.shared),
            window: Arc::new(Semaphore::new(WINDOW as usize)),
            _reserved: Arc::new(reserved),
        })
    }
}

/// What one upload may take: its own window, and whatever the budget has left. Cheap to clone.
#[derive(Clone)]
pub struct Allowance {
    shared: Arc<Semaphore>,
    window: Arc<Semaphore>,
    _reserved: Arc<OwnedSemaphorePermit>,
}

impl Allowance {
    /// Waits for `bytes` (at most [`WINDOW`]).
    ///
    /// When the shared budget is used up, `relieve` is called once to give up what the upload can
    /// do without; after that the window serves, and is refilled as its bytes leave.
    ///
    /// # Cancellation
    /// Safe: nothing is taken unless the permit is returned.
    pub async fn take(&self, bytes: u32, relieve: impl FnOnce()) -> Permit {
        if let Ok(permit) = Arc::clone(&self.shared).try_acquire_many_owned(bytes) {
            return Permit { permit, window: None };
        }
        relieve();
        let from_window = async {
            let permit = Arc::clone(&self.window).acquire_many_owned(bytes).await;
            Permit { permit: permit.expect("the window is never closed"), window: Some(self.clone()) }
        };
        let from_shared = async {
            let permit = Arc::clone(&self.shared).acquire_many_owned(bytes).await;
            Permit { permit: permit.expect("the budget is never closed"), window: None }
        };
        tokio::select! {
            biased;
            permit = from_window => permit,
            permit = from_shared => permit,
        }
    }

    /// Waits, first come first served, for the memory of a whole part.
    ///
    /// # Cancellation
    /// Safe: the place in the queue is given up.
    pub async fn take_part(&self, bytes: u32) -> Permit {
        let permit = Arc::clone(&self.shared).acquire_many_owned(bytes).await;
        Permit { permit: permit.expect("the budget is never closed"), window: None }
    }
}

/// The right to hold some bytes.
pub struct Permit {
    permit: OwnedSemaphorePermit,
    /// A window's bytes outlive the upload's own handle on it.
    window: Option<Allowance>,
}

impl Permit {
    /// Ties the permit to `bytes`: it is given back when the last clone or slice of the result goes.
    #[must_use]
    pub fn pay(self, bytes: Bytes) -> Bytes {
        Bytes::from_owner(Paid { bytes, _permit: self })
    }

    /// Splits off the right to `bytes` of it; `None` when there are fewer left.
    pub fn split(&mut self, bytes: usize) -> Option<Self> {
        let permit = self.permit.split(bytes)?;
        Some(Self { permit, window: self.window.clone() })
    }
}

struct Paid {
    bytes: Bytes,
    _permit: Permit,
}

impl AsRef<[u8]> for Paid {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_permit_lives_as_long_as_the_last_slice_of_its_bytes() {
        let budget = Budget::new(1 << 20);
        let allowance = budget.admit().unwrap();
        let paid = allowance.take(1000, || ()).await.pay(Bytes::from(vec![7; 1000]));
        let slice = paid.slice(10..20);
        drop(paid);
        assert_eq!(budget.used(), WINDOW as usize + 1000);
        drop(slice);
        assert_eq!(budget.used(), WINDOW as usize);
        drop(allowance);
        assert_eq!(budget.used(), 0);
    }

    #[tokio::test]
    async fn an_upload_moves_within_its_window_when_the_budget_is_used_up() {
        let budget = Budget::new(u64::from(WINDOW) * 2);
        let first = budget.admit().unwrap();
        let second = budget.admit().unwrap();
        assert!(budget.admit().is_none(), "no window is left for a third upload");
        let mut relieved = false;
        let held = first.take(WINDOW, || relieved = true).await.pay(Bytes::from(vec![0; WINDOW as usize]));
        assert!(relieved);
        let waits = first.take(1, || ());
        tokio::pin!(waits);
        assert!(futures_util::poll!(&mut waits).is_pending());
        let _other = second.take(WINDOW, || ()).await;
        drop(held);
        drop(waits.await);
    }

    #[tokio::test]
    async fn a_whole_part_is_split_into_pieces() {
        let budget = Budget::new(1 << 20);
        let mut part = budget.admit().unwrap().take_part(5000).await;
        let piece = part.split(4000).unwrap().pay(Bytes::from(vec![0; 4000]));
        assert!(part.split(4000).is_none());
        drop(part);
        assert_eq!(budget.used(), 4000);
        drop(piece);
        assert_eq!(budget.used(), 0);
    }
}
