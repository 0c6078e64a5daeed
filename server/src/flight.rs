//! How many parts of one file are on their way at once: more while each still passes as quickly, fewer when
//! they only queue in the store, and never more than memory allows.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// What a file begins with: enough to hide the store's answer behind the next parts.
const FIRST_LIMIT: usize = 4;
/// What memory cannot take away: one part waits for its answer while the next one streams.
const LEAST: usize = 2;
/// Connections of one file; more than what S3's guide calls for on a fast network.
const MOST: usize = 64;
/// A part that passes in less needs no further company: four of 5 MiB in that time are a gigabyte a second.
const SOON: Duration = Duration::from_millis(20);
/// After so many parts the store may be another than it was: its quickest answer is measured anew, with half as many
/// parts on their way, since those that queue would hide it.
const MEASURED_FOR: u32 = 256;

/// The parts of one file on their way. Cheap to clone; all clones are the same flight.
#[derive(Clone, Default)]
pub struct Flight {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    landed: Notify,
}

#[derive(Default)]
struct State {
    running: usize,
    /// How often a part had to wait for the limit.
    waits: u64,
    limit: Limit,
}

/// A part on its way; [`Flight::land`] takes it when the store has acknowledged it.
#[derive(Debug)]
pub struct Departure {
    at: Instant,
    waits: u64,
}

impl Flight {
    /// Waits until one more part may be on its way; past [`LEAST`], only while `affords` says so.
    ///
    /// # Cancellation
    /// Safe.
    pub async fn depart(&self, affords: impl Fn() -> bool) -> Departure {
        loop {
            let landed = self.shared.landed.notified();
            tokio::pin!(landed);
            landed.as_mut().enable();
            if let Some(departure) = self.try_depart(&affords) {
                return departure;
            }
            landed.await;
        }
    }

    fn try_depart(&self, affords: impl Fn() -> bool) -> Option<Departure> {
        let mut state = self.lock();
        if state.running >= state.limit.parts() {
            state.waits += 1;
            return None;
        }
        if state.running >= LEAST && !affords() {
            return None;
        }
        state.running += 1;
        Some(Departure { at: Instant::now(), waits: state.waits })
    }

    /// The store has acknowledged a part.
    pub fn land(&self, departure: &Departure) {
        let mut state = self.lock();
        state.running -= 1;
        let is_tight = state.waits > departure.waits;
        state.limit.adjust(departure.at.elapsed(), is_tight);
        drop(state);
        self.shared.landed.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The pure part: how many parts pay off, from how long they took.
///
/// A store that limits each connection answers as quickly however many there are; one that is at its own limit
/// answers later the more there are. TCP Vegas tells a free path from a full one in the same way.
#[derive(Debug)]
struct Limit {
    parts: usize,
    quickest: Duration,
    measured: u32,
    /// No part was late so far: the limit is far away.
    is_ramping: bool,
}

impl Default for Limit {
    fn default() -> Self {
        Self { parts: FIRST_LIMIT, quickest: Duration::MAX, measured: 0, is_ramping: true }
    }
}

impl Limit {
    const fn parts(&self) -> usize {
        self.parts
    }

    /// A part took so long; `is_tight`: another one waited for the limit meanwhile.
    fn adjust(&mut self, took: Duration, is_tight: bool) {
        if self.measured >= MEASURED_FOR {
            *self = Self { parts: (self.parts / 2).max(FIRST_LIMIT), ..Self::default() };
        }
        self.measured += 1;
        self.quickest = self.quickest.min(took);
        let is_quick = took <= self.quickest * 3 / 2;
        self.is_ramping &= is_quick;
        if took > self.quickest * 5 / 2 {
            self.parts = (self.parts - 1).max(LEAST);
        } else if is_tight && is_quick && took >= SOON {
            self.parts = (self.parts + if self.is_ramping { 2 } else { 1 }).min(MOST);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn parts_that_pass_as_quickly_become_more() {
        let mut limit = Limit::default();
        for _ in 0..4 {
            limit.adjust(ms(115), true);
        }
        assert_eq!(limit.parts(), 12, "three times as many after the first round");
        limit.adjust(ms(200), true);
        assert_eq!(limit.parts(), 12);
        limit.adjust(ms(115), true);
        assert_eq!(limit.parts(), 13);
        for _ in 0..100 {
            limit.adjust(ms(115), true);
        }
        assert_eq!(limit.parts(), MOST);
    }

    #[test]
    fn parts_that_queue_in_the_store_stay_few() {
        let mut limit = Limit::default();
        for _ in 0..1000 {
            // A store of one speed in all: with more parts each takes longer.
            limit.adjust(ms(100 * limit.parts() as u64), true);
            assert!(limit.parts() <= 3 * FIRST_LIMIT);
        }
    }

    #[test]
    fn a_store_that_becomes_slow_gets_fewer() {
        let mut limit = Limit::default();
        for _ in 0..12 {
            limit.adjust(ms(100), true);
        }
        for _ in 0..MOST {
            limit.adjust(ms(1000), true);
        }
        assert_eq!(limit.parts(), LEAST);
    }

    #[test]
    fn nobody_who_did_not_wait_gets_more() {
        let mut limit = Limit::default();
        for _ in 0..50 {
            limit.adjust(ms(100), false);
        }
        assert_eq!(limit.parts(), FIRST_LIMIT);
    }

    #[test]
    fn a_store_next_door_needs_no_more() {
        let mut limit = Limit::default();
        for _ in 0..50 {
            limit.adjust(ms(8), true);
        }
        assert_eq!(limit.parts(), FIRST_LIMIT);
    }

    #[tokio::test]
    async fn a_part_departs_when_another_has_landed() {
        let flight = Flight::default();
        let mut departed = Vec::new();
        for _ in 0..FIRST_LIMIT {
            departed.push(flight.depart(|| true).await);
        }
        let next = flight.depart(|| true);
        tokio::pin!(next);
        assert!(futures_util::poll!(&mut next).is_pending());
        flight.land(&departed[0]);
        next.await;
    }

    #[tokio::test]
    async fn without_memory_two_are_on_their_way() {
        let flight = Flight::default();
        let first = flight.depart(|| false).await;
        flight.depart(|| false).await;
        let third = flight.depart(|| false);
        tokio::pin!(third);
        assert!(futures_util::poll!(&mut third).is_pending());
        flight.land(&first);
        third.await;
    }
}
