//! What a client may do to us: how long it may keep us waiting, and how fast it may speak. Pure clocks.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// Least rate of a client over a whole window, in bytes a second (Apache's `MinRate`).
const MIN_RATE: u64 = 500;

/// How long a client may keep us waiting.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Without a byte.
    pub silence: Duration,
    /// Waiting time over which the rate must reach 500 B/s.
    pub rate_window: Duration,
}

/// The client has kept us waiting for longer than our patience.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the client moves too few bytes")]
pub struct TooSlow;

/// Runs only while we wait for a client: to send, or to read.
pub struct WaitClock {
    patience: Patience,
    waits_since: Option<Instant>,
    /// May be due before the running wait is over: a timer that is set anew for each chunk would cost more than
    /// one that is looked at when it is due.
    silence: Option<Pin<Box<Sleep>>>,
    /// Time and bytes of the window over which the rate is measured.
    waited: Duration,
    bytes: u64,
}

impl WaitClock {
    #[must_use]
    pub fn new(patience: Patience) -> Self {
        Self { patience, waits_since: None, silence: None, waited: Duration::ZERO, bytes: 0 }
    }

    /// Nothing moves: wakes the task when the client has been silent for too long.
    pub fn wait(&mut self, context: &mut Context<'_>) -> Poll<TooSlow> {
        let over = *self.waits_since.get_or_insert_with(Instant::now) + self.patience.silence;
        let silence = self.silence.get_or_insert_with(|| Box::pin(sleep_until(over)));
        while silence.as_mut().poll(context).is_ready() {
            if Instant::now() >= over {
                return Poll::Ready(TooSlow);
            }
            silence.as_mut().reset(over);
        }
        Poll::Pending
    }

    /// So many bytes have moved.
    ///
    /// # Errors
    /// The client stayed under the least rate for a whole window of waiting.
    pub fn moved(&mut self, bytes: usize) -> Result<(), TooSlow> {
        let waited = self.waits_since.take().map(|since| since.elapsed());
        self.note(waited.unwrap_or_default(), bytes)
    }

    fn note(&mut self, waited: Duration, bytes: usize) -> Result<(), TooSlow> {
        self.waited += waited;
        self.bytes += bytes as u64;
        if self.waited < self.patience.rate_window {
            return Ok(());
        }
        let too_slow = self.bytes < MIN_RATE * self.waited.as_secs();
        self.waited = Duration::ZERO;
        self.bytes = 0;
        if too_slow { Err(TooSlow) } else { Ok(()) }
    }
}

/// How fast a client may speak: a bucket of `burst` units that fills again by one unit each `per_unit` (GCRA).
#[derive(Debug)]
pub struct Pace {
    per_unit: Duration,
    burst: Duration,
    /// When the bucket is full again.
    full_at: Option<Instant>,
}

impl Pace {
    #[must_use]
    pub fn new(per_unit: Duration, burst: u32) -> Self {
        Self { per_unit, burst: per_unit * burst, full_at: None }
    }

    /// Takes `units` that came at `now`; the time from which more are welcome, if that is not yet.
    pub fn take(&mut self, units: u32, now: Instant) -> Option<Instant> {
        let welcome_at = self.welcomes_at(units, now);
        self.full_at = Some(self.full_after(units, now));
        welcome_at
    }

    /// The time from which `units` are welcome, if that is not yet.
    #[must_use]
    pub fn welcomes_at(&self, units: u32, now: Instant) -> Option<Instant> {
        let welcome_at = self.full_after(units, now).checked_sub(self.burst)?;
        (welcome_at > now).then_some(welcome_at)
    }

    /// Whether all that was ever taken is welcome again.
    #[must_use]
    pub fn is_full(&self, now: Instant) -> bool {
        self.full_at.is_none_or(|at| at <= now)
    }

    fn full_after(&self, units: u32, now: Instant) -> Instant {
        self.full_at.map_or(now, |at| at.max(now)) + self.per_unit * units
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trickle_ends_it_after_a_window_of_waiting() {
        let second = Duration::from_secs(1);
        let mut clock = WaitClock::new(Patience { silence: second, rate_window: 20 * second });
        for n in 1..20 {
            assert_eq!(clock.note(second, 499), Ok(()), "second {n}");
        }
        assert_eq!(clock.note(second, 499), Err(TooSlow));
        for n in 1..=100 {
            assert_eq!(clock.note(second, 500), Ok(()), "second {n}");
        }
        for _ in 0..100 {
            assert_eq!(clock.note(Duration::ZERO, 1), Ok(()), "nobody waited");
        }
    }

    #[test]
    fn a_pace_lets_a_burst_pass_and_then_so_many_a_second() {
        let mut pace = Pace::new(Duration::from_secs(3), 10);
        let start = Instant::now();
        for _ in 0..10 {
            assert_eq!(pace.take(1, start), None);
        }
        assert_eq!(pace.take(1, start), Some(start + Duration::from_secs(3)));
        let later = start + Duration::from_secs(6);
        assert_eq!(pace.take(1, later), None);
        assert_eq!(pace.take(2, later), Some(later + Duration::from_secs(6)));
        let much_later = start + Duration::from_secs(3600);
        assert_eq!(pace.take(10, much_later), None);
    }
}
