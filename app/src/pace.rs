//! How fast a file moves and how long it still takes, by the server's clock. Pure; whole numbers only.

use crate::wire::FileMessage;

/// After so long an old speed counts half.
const HALF_LIFE_MS: u64 = 3_000;
/// What is shown stands for so long, so that it can be read.
const REFRESH_MS: u64 = 2_000;
/// Nothing is said before so much is known: time, states and percent.
const LEAST_MS: u64 = 2_000;
const LEAST_SAMPLES: u32 = 3;
const LEAST_PERCENT: u64 = 5;
/// What the store needs for its last word, when it is quick.
const LAST_WORD_MS: u64 = 300;

/// What can be said of a file that moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Speed {
    /// Bytes a second that the store takes: it is shown beside how many it has taken.
    pub rate: u64,
    /// Milliseconds until the store has everything, as it looks now.
    pub left_ms: u64,
}

/// Time left, in the steps that people are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeLeft {
    Minutes(u64),
    Seconds(u64),
    LessThanTen,
    Moment,
}

/// Two legs overlap: from the browser to the server, and from there to the store. The slower one decides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    received: Leg,
    sent: Leg,
    samples: u32,
    began_ms: u64,
    at_ms: u64,
    shown: Option<Speed>,
    shown_ms: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Leg {
    bytes: u64,
    /// Bytes a second: a mean over the time it moved, each moment counting less the longer ago it was. A burst at the
    /// beginning so counts for its own few milliseconds.
    rate: u64,
    /// What that time comes to.
    time_us: u64,
}

impl Leg {
    /// The share that is kept of what was, half-life / ln 2 / (dt + half-life / ln 2), is the exponential's for all short
    /// steps.
    fn take(&mut self, bytes: u64, passed_ms: u64) {
        let now = bytes.saturating_sub(self.bytes).saturating_mul(1_000) / passed_ms;
        let half_life = HALF_LIFE_MS * 1_000;
        let old =
            self.time_us.saturating_mul(half_life) / passed_ms.saturating_mul(693).saturating_add(half_life);
        let new = passed_ms.saturating_mul(1_000);
        self.time_us = old.saturating_add(new);
        self.rate = self.rate.saturating_mul(old).saturating_add(now.saturating_mul(new)) / self.time_us;
        self.bytes = bytes;
    }

    /// `None` when it stands.
    fn left_ms(self, total: u64) -> Option<u64> {
        match total.saturating_sub(self.bytes) {
            0 => Some(0),
            rest => rest.saturating_mul(1_000).checked_div(self.rate),
        }
    }
}

impl Pace {
    /// Takes in a state. What waits has no speed, and starts anew when it goes on.
    pub fn take(&mut self, state: &FileMessage, total: u64) {
        if state.waiting.is_some() || state.status.is_terminal() {
            *self = Self::default();
            return;
        }
        if self.at_ms == 0 {
            *self = Self { began_ms: state.at_ms, at_ms: state.at_ms, ..Self::default() };
            (self.received.bytes, self.sent.bytes) = (state.received, state.sent);
            return;
        }
        let passed_ms = state.at_ms.saturating_sub(self.at_ms);
        if passed_ms == 0 {
            return;
        }
        self.received.take(state.received, passed_ms);
        self.sent.take(state.sent, passed_ms);
        self.at_ms = state.at_ms;
        self.samples += 1;
        if self.shown.is_none() || self.at_ms >= self.shown_ms + REFRESH_MS {
            self.shown = self.known(state, total);
            self.shown_ms = self.at_ms;
        }
    }

    fn known(&self, state: &FileMessage, total: u64) -> Option<Speed> {
        let known = self.samples >= LEAST_SAMPLES
            && self.at_ms - self.began_ms >= LEAST_MS
            && state.received.saturating_mul(100) >= total.saturating_mul(LEAST_PERCENT);
        if !known {
            return None;
        }
        let legs = self.received.left_ms(total)?.max(self.sent.left_ms(total)?);
        Some(Speed { rate: self.sent.rate, left_ms: legs.saturating_add(LAST_WORD_MS) })
    }

    /// What to show; it stands for two seconds.
    #[must_use]
    pub const fn shown(&self) -> Option<Speed> {
        self.shown
    }
}

impl Speed {
    /// Rounded up, since people rather wait less than they were told.
    #[must_use]
    pub const fn time_left(self) -> TimeLeft {
        match self.left_ms.div_ceil(1_000) {
            0..3 => TimeLeft::Moment,
            3..10 => TimeLeft::LessThanTen,
            seconds @ 10..60 => TimeLeft::Seconds(seconds.div_ceil(5) * 5),
            seconds => TimeLeft::Minutes(seconds.div_ceil(60)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transfers::tests::message;
    use crate::wire::Waiting;

    const TOTAL: u64 = 24_000_000;

    /// A file that moves at these speeds in bytes a second, 10 states a second; what is shown after `seconds`.
    fn after(seconds: u64, receive: u64, send: u64) -> Option<Speed> {
        let mut pace = Pace::default();
        for tick in 1..=seconds * 10 {
            pace.take(&at(tick * 100, tick * receive / 10, tick * send / 10), TOTAL);
        }
        pace.shown()
    }

    fn at(at_ms: u64, received: u64, sent: u64) -> FileMessage {
        let mut state = message(at_ms);
        (state.at_ms, state.received, state.sent) =
            (at_ms, received.min(TOTAL), sent.min(received).min(TOTAL));
        state
    }

    #[test]
    fn the_slower_leg_decides() {
        let speed = after(4, 2_000_000, 500_000).expect("4 s are enough");
        assert_eq!(speed.rate, 500_000);
        // Shown since 2.1 s: 23 MB at 500 kB/s.
        assert!((44_000..47_000).contains(&speed.left_ms), "{speed:?}");
        assert_eq!(speed.time_left(), TimeLeft::Seconds(50));
    }

    #[test]
    fn nothing_is_said_too_soon() {
        assert_eq!(after(1, 2_000_000, 2_000_000), None, "2 s");
        assert_eq!(after(5, 200_000, 200_000), None, "5 percent");
        let mut pace = Pace::default();
        for (at_ms, bytes) in [(1, 0), (2_500, 5_000_000), (5_000, 10_000_000)] {
            pace.take(&at(at_ms, bytes, bytes), TOTAL);
        }
        assert_eq!(pace.shown(), None, "three samples");
    }

    #[test]
    fn what_stands_has_no_time_left() {
        assert_eq!(after(5, 1_000_000, 0), None);
    }

    #[test]
    fn waiting_takes_it_away_at_once() {
        let mut pace = Pace::default();
        for tick in 1..=40 {
            pace.take(&at(tick * 100, tick * 100_000, tick * 100_000), TOTAL);
        }
        assert!(pace.shown().is_some());
        let mut state = at(4_200, 4_000_000, 4_000_000);
        state.waiting = Some(Waiting::Client);
        pace.take(&state, TOTAL);
        assert_eq!(pace, Pace::default());
    }

    #[test]
    fn it_stands_for_two_seconds() {
        let mut pace = Pace::default();
        let mut shown = Vec::new();
        for tick in 1..=80 {
            pace.take(&at(tick * 100, tick * tick * 3_000, tick * tick * 3_000), TOTAL);
            shown.extend(pace.shown());
        }
        shown.dedup();
        // Shown first at about 2.1 s, then at most every two seconds up to 8.
        assert!((2..=4).contains(&shown.len()), "{shown:?}");
    }

    #[test]
    fn half_of_an_old_speed_is_forgotten_in_the_half_life() {
        let mut leg = Leg::default();
        // A minute of a megabyte a second, and three seconds of nothing.
        (1..=600).for_each(|tick| leg.take(tick * 100_000, 100));
        assert_eq!(leg.rate, 1_000_000);
        (0..30).for_each(|_| leg.take(60_000_000, 100));
        assert!((480_000..520_000).contains(&leg.rate), "{leg:?}");
    }

    /// What the kernel takes at once is no speed of the store.
    #[test]
    fn a_burst_at_the_beginning_is_soon_over() {
        let mut leg = Leg::default();
        leg.take(1_000_000, 10);
        (1..=40).for_each(|tick| leg.take(1_000_000 + tick * 300_000, 100));
        assert!((3_000_000..3_300_000).contains(&leg.rate), "{leg:?}");
    }

    #[test]
    fn time_left_is_told_in_steps() {
        let told = |left_ms| Speed { rate: 1, left_ms }.time_left();
        assert_eq!(told(1_900), TimeLeft::Moment);
        assert_eq!(told(2_001), TimeLeft::LessThanTen);
        assert_eq!(told(9_000), TimeLeft::LessThanTen);
        assert_eq!(told(31_000), TimeLeft::Seconds(35));
        assert_eq!(told(61_000), TimeLeft::Minutes(2));
    }
}
