//! The process-wide byte budget: slabs of one pool. Take the permit, then hold the bytes.
//!
//! A [`Slab`] is allocation and permit in one: both come back when the last reference to its bytes goes, be it
//! the part's, the replay copy's or the HTTP client's queue's. So what is paid for is what is held.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::live::Live;

/// Bytes of a slab, and so of the largest HTTP body frame: the store connection's queue is bounded by 16
/// frames, and progress moves in steps of this size (FACTS.md 1.8).
pub const SLAB: usize = 16 * 1024;
/// Slabs every admitted upload owns (64 KiB), so that it always moves, however full the budget is.
const WINDOW: u32 = 4;
/// Free slabs that are kept for the next upload while none runs: 1 MiB.
const KEPT_AT_REST: usize = 64;
/// Between two looks for others' copies by uploads that wait on after the first: each is a walk over all.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// The budget of the process. Cheap to clone.
#[derive(Clone)]
pub struct Budget {
    shared: Arc<Shared>,
}

struct Shared {
    /// Slabs that nobody has taken or reserved.
    free: Arc<Semaphore>,
    slabs: usize,
    /// Windows that could be reserved if nothing were borrowed.
    windows: Arc<Semaphore>,
    /// Allocated and not in use, the latest last: it is still in the processor's cache.
    pool: Mutex<Vec<Box<[u8]>>>,
    /// Slabs in the pool and outside.
    allocated: AtomicUsize,
    accounts: Mutex<Vec<Weak<Account>>>,
    next_look: Mutex<Instant>,
    given_up: AtomicU64,
    waiting: Live,
}

/// One upload's side of the budget.
struct Account {
    budget: Arc<Shared>,
    window: Arc<Semaphore>,
    /// The window's slabs, and its place among the windows.
    _reserved: (OwnedSemaphorePermit, OwnedSemaphorePermit),
    since: Instant,
    /// Slabs taken since then.
    taken: AtomicU64,
    /// Slabs held beyond the window.
    borrowed: AtomicUsize,
    copies: Mutex<Vec<GiveUp>>,
    /// It has given up copies, and no part has begun since: it is hardly worth asking again.
    is_bare: AtomicBool,
}

/// Gives up copies that are kept only for a replay; returns how many slabs that were.
type GiveUp = Box<dyn Fn(Extent) -> usize + Send + Sync>;

/// Which copies are given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Those of parts that have sent something: it comes free at once.
    Sent,
    /// Those of every part, from here on.
    All,
}

impl Budget {
    /// A budget of `limit` bytes, rounded down to whole slabs.
    #[must_use]
    pub fn new(limit: u64) -> Self {
        let slabs = usize::try_from(limit / SLAB as u64).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        let shared = Shared {
            free: Arc::new(Semaphore::new(slabs)),
            windows: Arc::new(Semaphore::new(slabs / WINDOW as usize)),
            slabs,
            pool: Mutex::default(),
            allocated: AtomicUsize::new(0),
            accounts: Mutex::default(),
            next_look: Mutex::new(Instant::now()),
            given_up: AtomicU64::new(0),
            waiting: Live::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Bytes taken now, windows included.
    #[must_use]
    pub fn used(&self) -> usize {
        (self.shared.slabs - self.shared.free.available_permits()) * SLAB
    }

    /// Bytes that slabs have been allocated for, those kept for the next upload included.
    #[must_use]
    pub fn allocated(&self) -> usize {
        self.shared.allocated.load(Ordering::Relaxed) * SLAB
    }

    /// How often an upload gave up its replay copies for want of memory, since the start.
    #[must_use]
    pub fn given_up(&self) -> u64 {
        self.shared.given_up.load(Ordering::Relaxed)
    }

    /// Uploads that wait for memory.
    #[must_use]
    pub fn waiting(&self) -> i64 {
        self.shared.waiting.now()
    }

    /// Admits an upload by reserving its window.
    ///
    /// Where others hold the memory, they give up replay copies and it is waited for; `None` when windows alone
    /// fill the budget.
    ///
    /// # Cancellation
    /// Safe: the place in the queue is given up.
    pub async fn admit(&self) -> Option<Allowance> {
        self.admit_since(Instant::now()).await
    }

    async fn admit_since(&self, since: Instant) -> Option<Allowance> {
        let shared = &self.shared;
        let windows = Arc::clone(&shared.windows).try_acquire_owned().ok()?;
        let reserved = match Arc::clone(&shared.free).try_acquire_many_owned(WINDOW) {
            Ok(reserved) => reserved,
            Err(_) => shared.reserve_from_others().await,
        };
        let account = Arc::new(Account {
            budget: Arc::clone(&self.shared),
            window: Arc::new(Semaphore::new(WINDOW as usize)),
            _reserved: (reserved, windows),
            since,
            taken: AtomicU64::new(0),
            borrowed: AtomicUsize::new(0),
            copies: Mutex::default(),
            is_bare: AtomicBool::new(false),
        });
        lock(&self.shared.accounts).push(Arc::downgrade(&account));
        Some(Allowance { account })
    }
}

/// What one upload may take: its own window, and whatever the budget has left. Cheap to clone.
#[derive(Clone)]
pub struct Allowance {
    account: Arc<Account>,
}

impl Allowance {
    /// Waits for an empty slab.
    ///
    /// When neither the window nor the budget has one, copies kept for a replay are given up, those of the
    /// fastest client first: it loses the least by sending again. Past that, one comes as the upload's own
    /// bytes leave for the store.
    ///
    /// # Cancellation
    /// Safe: nothing is taken unless the slab is returned.
    pub async fn slab(&self) -> Slab {
        let permit = match self.account.try_take() {
            Some(permit) => permit,
            None => self.account.wait().await,
        };
        self.account.slab(permit)
    }

    /// Waits, first come first served, for the memory of `bytes` at once.
    ///
    /// # Cancellation
    /// Safe: the place in the queue is given up.
    pub async fn reserve(&self, bytes: u64) -> Reserve {
        let slabs = u32::try_from(bytes.div_ceil(SLAB as u64)).unwrap_or(u32::MAX);
        let _waiting = self.account.budget.waiting.count();
        let permit = Arc::clone(&self.account.budget.free).acquire_many_owned(slabs).await;
        let permit = permit.expect("the budget is never closed");
        Reserve { permit: Permit::borrowed(permit, &self.account) }
    }

    /// Whether `bytes` more would stay within an equal share of the budget for each running upload.
    #[must_use]
    pub fn affords(&self, bytes: u64) -> bool {
        let budget = &self.account.budget;
        let share = budget.slabs / lock(&budget.accounts).len().max(1);
        let held = self.account.borrowed.load(Ordering::Relaxed) + WINDOW as usize;
        (held * SLAB) as u64 + bytes <= (share * SLAB) as u64
    }

    /// A part begins, whose copy is kept.
    pub fn begin_part(&self) {
        self.account.is_bare.store(false, Ordering::Relaxed);
    }

    /// How to give up what this upload keeps for a replay; it returns how many slabs that were.
    pub fn gives_up_by(&self, give_up: impl Fn(Extent) -> usize + Send + Sync + 'static) {
        lock(&self.account.copies).push(Box::new(give_up));
    }
}

impl Account {
    fn try_take(self: &Arc<Self>) -> Option<Permit> {
        if let Ok(permit) = Arc::clone(&self.window).try_acquire_owned() {
            return Some(Permit::of_window(permit, self));
        }
        let permit = Arc::clone(&self.budget.free).try_acquire_owned().ok()?;
        Some(Permit::borrowed(permit, self))
    }

    /// A slab that somebody gives up, or that comes free.
    async fn wait(self: &Arc<Self>) -> Permit {
        let _waiting = self.budget.waiting.count();
        tokio::select! {
            biased;
            permit = Arc::clone(&self.window).acquire_owned() => {
                Permit::of_window(permit.expect("the window is never closed"), self)
            }
            permit = Arc::clone(&self.budget.free).acquire_owned() => {
                Permit::borrowed(permit.expect("the budget is never closed"), self)
            }
            never = self.make_room() => match never {},
        }
    }

    /// Lets others give up copies, and if that did not help, this upload: then its window comes free as it sends.
    async fn make_room(self: &Arc<Self>) -> Infallible {
        if !self.is_bare.load(Ordering::Relaxed) || self.budget.may_look() {
            self.budget.relieve(1, Some(self));
        }
        // What was given up may have gone to somebody who waited longer.
        tokio::task::yield_now().await;
        self.give_up(Extent::All);
        std::future::pending().await
    }

    fn slab(&self, permit: Permit) -> Slab {
        self.taken.fetch_add(1, Ordering::Relaxed);
        let free = lock(&self.budget.pool).pop();
        let allocate = || {
            self.budget.allocated.fetch_add(1, Ordering::Relaxed);
            vec![0; SLAB].into()
        };
        Slab { buffer: free.unwrap_or_else(allocate), len: 0, permit }
    }

    fn has_borrowed_copies(&self) -> bool {
        !self.is_bare.load(Ordering::Relaxed) && self.borrowed.load(Ordering::Relaxed) > 0
    }

    /// Gives up copies; returns how many slabs they were.
    fn give_up(&self, extent: Extent) -> usize {
        let given_up = lock(&self.copies).iter().map(|give_up| give_up(extent)).sum();
        let is_bare = extent == Extent::All || given_up > 0;
        if is_bare && !self.is_bare.swap(true, Ordering::Relaxed) {
            self.budget.given_up.fetch_add(1, Ordering::Relaxed);
        }
        given_up
    }

    /// Slabs a second since the upload began.
    fn pace(&self) -> u64 {
        let millis = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
        self.taken.load(Ordering::Relaxed).saturating_mul(1000) / millis
    }
}

impl Shared {
    /// A window of what others give up, or of what comes free.
    async fn reserve_from_others(&self) -> OwnedSemaphorePermit {
        let _waiting = self.waiting.count();
        self.relieve(WINDOW as usize, None);
        let reserved = Arc::clone(&self.free).acquire_many_owned(WINDOW);
        tokio::pin!(reserved);
        loop {
            tokio::select! {
                biased;
                reserved = &mut reserved => return reserved.expect("the budget is never closed"),
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            // What was given up may have gone into a window, or to somebody who waited longer.
            if self.may_look() {
                self.relieve(WINDOW as usize, None);
            }
        }
    }

    /// Makes uploads give up replay copies until `wanted` slabs are free or on their way, the fastest first, and
    /// none that is slower than the one that asks.
    fn relieve(&self, wanted: usize, asking: Option<&Arc<Account>>) {
        let asks = |account: &Arc<Account>| asking.is_some_and(|asking| Arc::ptr_eq(account, asking));
        let running: Vec<_> = lock(&self.accounts).iter().filter_map(Weak::upgrade).collect();
        let holders = running.into_iter().filter(|account| asks(account) || account.has_borrowed_copies());
        let mut holders: Vec<_> = holders.map(|account| (account.pace(), account)).collect();
        holders.sort_by_key(|(pace, _)| std::cmp::Reverse(*pace));
        let mut given_up = 0;
        for (_, holder) in holders {
            given_up += holder.give_up(if asks(&holder) { Extent::All } else { Extent::Sent });
            if given_up >= wanted || asks(&holder) {
                break;
            }
        }
    }

    fn may_look(&self) -> bool {
        let (mut next, now) = (lock(&self.next_look), Instant::now());
        let may = now >= *next;
        if may {
            *next = now + LOOK_EVERY;
        }
        may
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let mut accounts = lock(&self.budget.accounts);
        accounts.retain(|account| account.strong_count() > 0);
        if accounts.is_empty() {
            let mut pool = lock(&self.budget.pool);
            let surplus = pool.len().saturating_sub(KEPT_AT_REST);
            pool.drain(..surplus);
            pool.shrink_to_fit();
            self.budget.allocated.fetch_sub(surplus, Ordering::Relaxed);
        }
    }
}

/// The right to hold slabs, from the upload's window or from the budget.
struct Permit {
    slabs: OwnedSemaphorePermit,
    /// The window's reservation outlives the upload's own handle.
    account: Arc<Account>,
    is_borrowed: bool,
}

impl Permit {
    fn of_window(slabs: OwnedSemaphorePermit, account: &Arc<Account>) -> Self {
        Self { slabs, account: Arc::clone(account), is_borrowed: false }
    }

    fn borrowed(slabs: OwnedSemaphorePermit, account: &Arc<Account>) -> Self {
        account.borrowed.fetch_add(slabs.num_permits(), Ordering::Relaxed);
        Self { slabs, account: Arc::clone(account), is_borrowed: true }
    }

    fn split_one(&mut self) -> Option<Self> {
        let slabs = self.slabs.split(1)?;
        Some(Self { slabs, account: Arc::clone(&self.account), is_borrowed: self.is_borrowed })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.is_borrowed {
            self.account.borrowed.fetch_sub(self.slabs.num_permits(), Ordering::Relaxed);
        }
    }
}

/// The memory of a whole part, taken slab by slab.
pub struct Reserve {
    permit: Permit,
}

impl Reserve {
    /// An empty slab; `None` when all are taken.
    pub fn slab(&mut self) -> Option<Slab> {
        let permit = self.permit.split_one()?;
        Some(Arc::clone(&permit.account).slab(permit))
    }
}

/// 16 KiB of the budget, filled from the front.
pub struct Slab {
    buffer: Box<[u8]>,
    len: usize,
    permit: Permit,
}

impl Slab {
    /// Copies what fits of `bytes`; returns how much that was.
    pub fn fill(&mut self, bytes: &[u8]) -> usize {
        let room = &mut self.buffer[self.len..];
        let count = room.len().min(bytes.len());
        room[..count].copy_from_slice(&bytes[..count]);
        self.len += count;
        count
    }

    #[must_use]
    pub fn is_full(&self) -> bool {
        self.len == SLAB
    }

    /// What it holds, to be shared; the slab comes back when the last clone or slice of it goes.
    #[must_use]
    pub fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Slab {
    fn as_ref(&self) -> &[u8] {
        &self.buffer[..self.len]
    }
}

impl Drop for Slab {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.buffer);
        lock(&self.permit.account.budget.pool).push(buffer);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW_BYTES: usize = WINDOW as usize * SLAB;

    fn budget(slabs: usize) -> Budget {
        Budget::new((slabs * SLAB) as u64)
    }

    #[tokio::test]
    async fn a_permit_lives_as_long_as_the_last_slice_of_its_slab() {
        let budget = budget(16);
        let allowance = budget.admit().await.unwrap();
        let mut slabs = Vec::new();
        for _ in 0..=WINDOW {
            let mut slab = allowance.slab().await;
            assert_eq!(slab.fill(&[7; 1000]), 1000);
            slabs.push(slab.freeze());
        }
        assert_eq!(budget.used(), WINDOW_BYTES + SLAB, "one beyond the window");
        let slice = slabs.pop().unwrap().slice(10..20);
        assert_eq!(budget.used(), WINDOW_BYTES + SLAB);
        drop(slice);
        assert_eq!(budget.used(), WINDOW_BYTES);
        drop(allowance);
        assert_eq!(budget.used(), WINDOW_BYTES, "the window is held by its slabs");
        drop(slabs);
        assert_eq!(budget.used(), 0);
        assert_eq!(budget.allocated(), (WINDOW as usize + 1) * SLAB, "kept for the next upload");
    }

    #[tokio::test]
    async fn an_upload_moves_within_its_window_when_the_budget_is_used_up() {
        let budget = budget(2 * WINDOW as usize);
        let first = budget.admit().await.unwrap();
        let second = budget.admit().await.unwrap();
        assert!(budget.admit().await.is_none(), "no window is left for a third upload");
        let mut held = Vec::new();
        for _ in 0..WINDOW {
            held.push(first.slab().await);
        }
        let waits = first.slab();
        tokio::pin!(waits);
        assert!(futures_util::poll!(&mut waits).is_pending());
        assert_eq!(budget.waiting(), 1);
        drop(second.slab().await);
        held.pop();
        drop(waits.await);
        assert_eq!(budget.waiting(), 0);
    }

    /// An upload that holds `slabs` beyond its window, all of them replay copies.
    async fn holder(budget: &Budget, slabs: usize, since: Instant) -> (Allowance, Arc<Mutex<Vec<Slab>>>) {
        let allowance = budget.admit_since(since).await.unwrap();
        let copies = Arc::new(Mutex::new(Vec::new()));
        for _ in 0..WINDOW as usize + slabs {
            let slab = allowance.slab().await;
            copies.lock().unwrap().push(slab);
        }
        let held = Arc::downgrade(&copies);
        allowance.gives_up_by(move |_| {
            held.upgrade().map_or(0, |held| std::mem::take(&mut *held.lock().unwrap()).len())
        });
        (allowance, copies)
    }

    #[tokio::test]
    async fn the_fastest_client_gives_up_its_copies_first() {
        let budget = budget(3 * WINDOW as usize + 4);
        let begun = Instant::now();
        let long_ago = begun.checked_sub(std::time::Duration::from_secs(60)).unwrap();
        let (_slow, slow_copies) = holder(&budget, 2, long_ago).await;
        let (_fast, fast_copies) = holder(&budget, 2, begun).await;
        let (third, third_copies) = holder(&budget, 0, long_ago).await;
        assert_eq!(budget.used(), (3 * WINDOW as usize + 4) * SLAB, "nothing is free");
        let _slab = third.slab().await;
        assert!(fast_copies.lock().unwrap().is_empty(), "the fastest has given up");
        assert_eq!(slow_copies.lock().unwrap().len(), WINDOW as usize + 2, "the slow one keeps its copy");
        assert_eq!(third_copies.lock().unwrap().len(), WINDOW as usize);
        assert_eq!(budget.given_up(), 1);
    }

    #[tokio::test]
    async fn nobody_slower_gives_up_for_a_fast_client() {
        let budget = budget(2 * WINDOW as usize + 2);
        let begun = Instant::now();
        let long_ago = begun.checked_sub(std::time::Duration::from_secs(60)).unwrap();
        let (_slow, slow_copies) = holder(&budget, 2, long_ago).await;
        let (fast, fast_copies) = holder(&budget, 0, begun).await;
        let _slab = fast.slab().await;
        assert!(fast_copies.lock().unwrap().is_empty(), "it gave up its own");
        assert_eq!(slow_copies.lock().unwrap().len(), WINDOW as usize + 2);
    }

    /// Its older part gave up its copy for another upload, its newer one had sent nothing yet and kept its own.
    #[tokio::test]
    async fn an_upload_that_gave_up_some_copies_gives_up_the_rest_when_it_must() {
        let budget = budget(WINDOW as usize + 2);
        let allowance = budget.admit().await.unwrap();
        let (older, newer) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new())));
        let parts = (Arc::clone(&older), Arc::clone(&newer));
        allowance.gives_up_by(move |extent| {
            let older = std::mem::take(&mut *parts.0.lock().unwrap()).len();
            let newer =
                if extent == Extent::All { std::mem::take(&mut *parts.1.lock().unwrap()).len() } else { 0 };
            older + newer
        });
        for _ in 0..WINDOW {
            let slab = allowance.slab().await;
            newer.lock().unwrap().push(slab);
        }
        for _ in 0..2 {
            let slab = allowance.slab().await;
            older.lock().unwrap().push(slab);
        }
        budget.shared.relieve(1, None);
        assert!(older.lock().unwrap().is_empty() && !newer.lock().unwrap().is_empty());
        let others = Arc::clone(&budget.shared.free).try_acquire_many_owned(2).unwrap();
        // As if somebody had just looked around in vain.
        *lock(&budget.shared.next_look) = Instant::now() + Duration::from_secs(60);
        let moved = tokio::time::timeout(Duration::from_secs(5), allowance.slab()).await;
        assert!(moved.is_ok(), "its window comes free");
        drop(others);
    }

    #[tokio::test]
    async fn a_new_upload_gets_its_window_from_the_copies_of_others() {
        let budget = budget(3 * WINDOW as usize);
        let (_first, copies) = holder(&budget, 2 * WINDOW as usize, Instant::now()).await;
        let second = budget.admit().await.unwrap();
        assert!(copies.lock().unwrap().is_empty());
        let _third = budget.admit().await.unwrap();
        assert!(budget.admit().await.is_none(), "windows alone fill the budget");
        drop(second);
    }

    #[tokio::test]
    async fn a_share_shrinks_as_uploads_come() {
        let budget = budget(64);
        let first = budget.admit().await.unwrap();
        let half = 32 * SLAB as u64;
        assert!(first.affords(half));
        let second = budget.admit().await.unwrap();
        assert!(!first.affords(half), "its own window counts");
        assert!(first.affords(half - WINDOW_BYTES as u64));
        drop(second);
        assert!(first.affords(half));
    }

    #[tokio::test]
    async fn a_reserve_is_taken_slab_by_slab() {
        let budget = budget(64);
        let allowance = budget.admit().await.unwrap();
        let mut part = allowance.reserve(2 * SLAB as u64 - 1).await;
        let slab = part.slab().unwrap();
        drop(part.slab().unwrap());
        assert!(part.slab().is_none());
        drop(part);
        assert_eq!(budget.used(), WINDOW_BYTES + SLAB);
        drop(slab);
        assert_eq!(budget.used(), WINDOW_BYTES);
        drop(allowance);
        assert_eq!(budget.used(), 0);
    }

    #[tokio::test]
    async fn at_rest_little_is_kept() {
        let budget = budget(256);
        let allowance = budget.admit().await.unwrap();
        let mut slabs = Vec::new();
        for _ in 0..128 {
            slabs.push(allowance.slab().await);
        }
        drop(slabs);
        assert_eq!(budget.allocated(), 128 * SLAB);
        drop(allowance);
        assert_eq!(budget.allocated(), KEPT_AT_REST * SLAB);
    }
}
