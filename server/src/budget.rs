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
    /// Slabs in the pool and outside, and the most that there ever were.
    allocated: AtomicUsize,
    most_allocated: AtomicUsize,
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
            most_allocated: AtomicUsize::new(0),
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

    /// The most of it that there ever was, in bytes.
    #[must_use]
    pub fn most_allocated(&self) -> usize {
        self.shared.most_allocated.load(Ordering::Relaxed) * SLAB
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
            let before = self.budget.allocated.fetch_add(1, Ordering::Relaxed);
            self.budget.most_allocated.fetch_max(before + 1, Ordering::Relaxed);
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
mod tests;
