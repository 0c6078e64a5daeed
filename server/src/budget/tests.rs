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
