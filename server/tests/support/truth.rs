//! Compares what a bar said with what the store had read at that moment.

use app::wire::FileType;

use super::store::Moment;

/// How far a bar may run ahead, per body under way: what is in the queue, the kernel and on the wire.
pub const AHEAD_PER_CONNECTION: u64 = 512 * 1024;
/// How far a bar may lag, for longer than [`BEHIND_FOR_MS`].
pub const BEHIND: u64 = 256 * 1024;
pub const BEHIND_FOR_MS: f64 = 300.0;
/// Positions of a 2 MB/s bar that make it a moving one.
pub const POSITIONS: usize = 20;

/// A bar's value at a time.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// Wall clock, milliseconds since 1970.
    pub at_ms: f64,
    pub sent: u64,
}

/// What a comparison found.
#[derive(Clone, Copy, Debug)]
pub struct Verdict {
    /// Distinct values.
    pub positions: usize,
    /// The most that a value was over the store's counter, and how many bodies were open then.
    pub ahead: u64,
    /// The most by which the bytes allowed ahead were passed.
    pub over_allowance: u64,
    /// The longest time that the bar was more than [`BEHIND`] behind.
    pub behind_ms: f64,
}

/// Compares values, in order of time, with the counter's timeline.
#[must_use]
pub fn compare(seen: &[Seen], store: &[Moment]) -> Verdict {
    let mut values: Vec<u64> = seen.iter().map(|seen| seen.sent).collect();
    assert!(values.is_sorted(), "a bar never goes back");
    values.dedup();
    let mut verdict = Verdict { positions: values.len(), ahead: 0, over_allowance: 0, behind_ms: 0.0 };
    for seen in seen {
        let ahead = seen.sent.saturating_sub(counter_at(store, seen.at_ms));
        let allowed = AHEAD_PER_CONNECTION * u64::from(open_around(store, seen.at_ms));
        verdict.ahead = verdict.ahead.max(ahead);
        verdict.over_allowance = verdict.over_allowance.max(ahead.saturating_sub(allowed));
    }
    verdict.behind_ms = longest_behind(seen, store);
    verdict
}

/// Fails unless the values are a true bar's.
pub fn assert_true(name: &str, seen: &[Seen], store: &[Moment]) {
    let verdict = compare(seen, store);
    println!("{name}: {verdict:?} from {} values and {} moments", seen.len(), store.len());
    assert!(verdict.positions >= POSITIONS, "{name} jumps: {verdict:?}");
    assert_eq!(verdict.over_allowance, 0, "{name} runs ahead of the store: {verdict:?}");
    assert!(verdict.behind_ms <= BEHIND_FOR_MS, "{name} lags: {verdict:?}");
}

/// A name for a bar.
#[must_use]
pub fn bar_name(file: FileType) -> &'static str {
    match file {
        FileType::DocsFile => "document",
        FileType::MsaImgs => "image",
    }
}

/// The counter at a time: its last moment not after it.
fn counter_at(store: &[Moment], at_ms: f64) -> u64 {
    let after = store.partition_point(|moment| moment.at_ms <= at_ms);
    after.checked_sub(1).map_or(0, |last| store[last].bytes)
}

/// Bodies open at a time or shortly around it, one at least: a body is on its way before the store knows.
fn open_around(store: &[Moment], at_ms: f64) -> u32 {
    const SLACK_MS: f64 = 100.0;
    let near = store.iter().filter(|moment| (moment.at_ms - at_ms).abs() <= SLACK_MS);
    let before = store.partition_point(|moment| moment.at_ms <= at_ms - SLACK_MS);
    let standing = before.checked_sub(1).map_or(0, |last| store[last].open);
    near.map(|moment| moment.open).max().unwrap_or(0).max(standing).max(1)
}

/// The longest time from a moment of the counter to the value that tells as much, in milliseconds.
#[must_use]
pub fn slowest_news(seen: &[Seen], counter: &[(f64, u64)]) -> f64 {
    let told_at =
        |bytes| seen.iter().find(|seen| seen.sent >= bytes).map_or(f64::INFINITY, |seen| seen.at_ms);
    counter.iter().map(|(at_ms, bytes)| told_at(*bytes) - at_ms).fold(0.0, f64::max)
}

/// The longest time for which the counter was more than [`BEHIND`] over the bar's value.
fn longest_behind(seen: &[Seen], store: &[Moment]) -> f64 {
    let mut longest = 0.0_f64;
    let mut since: Option<f64> = None;
    let (mut value, mut counter) = (0, 0);
    let mut seen = seen.iter().peekable();
    let mut store = store.iter().peekable();
    loop {
        let seen_at = seen.peek().map_or(f64::INFINITY, |seen| seen.at_ms);
        let store_at = store.peek().map_or(f64::INFINITY, |moment| moment.at_ms);
        let now = seen_at.min(store_at);
        if now.is_infinite() {
            return longest;
        }
        if let Some(since) = since {
            longest = longest.max(now - since);
        }
        if seen_at <= store_at {
            value = seen.next().map_or(value, |seen| seen.sent);
        } else {
            counter = store.next().map_or(counter, |moment| moment.bytes);
        }
        since = (counter > value + BEHIND).then(|| since.unwrap_or(now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A store that reads 20 KiB every 10 ms.
    fn store() -> Vec<Moment> {
        let moment = |n: u32| Moment { at_ms: f64::from(n) * 10.0, bytes: u64::from(n) * 20_480, open: 1 };
        (0..=300).map(moment).collect()
    }

    fn seen(every: usize, shift: i64) -> Vec<Seen> {
        let value = |m: &Moment| Seen { at_ms: m.at_ms, sent: m.bytes.saturating_add_signed(shift) };
        store().iter().step_by(every).map(value).collect()
    }

    #[test]
    fn late_news_are_found() {
        let counter: Vec<_> = store().iter().map(|moment| (moment.at_ms, moment.bytes)).collect();
        assert!(slowest_news(&seen(1, 0), &counter) == 0.0);
        assert!(slowest_news(&seen(3, 0), &counter) == 20.0);
        assert!(slowest_news(&seen(1, -1), &counter).is_infinite(), "the last byte is never told");
    }

    #[test]
    fn a_bar_that_follows_is_true() {
        assert_true("follows", &seen(3, 100 << 10), &store());
    }

    #[test]
    #[should_panic(expected = "runs ahead")]
    fn a_bar_that_runs_ahead_is_found() {
        assert_true("ahead", &seen(3, 600 << 10), &store());
    }

    #[test]
    #[should_panic(expected = "lags")]
    fn a_bar_that_stands_still_is_found() {
        let mut seen = seen(3, 0);
        seen.retain(|seen| !(1000.0..1500.0).contains(&seen.at_ms));
        assert_true("lags", &seen, &store());
    }

    #[test]
    #[should_panic(expected = "jumps")]
    fn a_bar_that_jumps_is_found() {
        assert_true("jumps", &seen(60, 0), &store());
    }

    #[test]
    #[should_panic(expected = "never goes back")]
    fn a_bar_that_goes_back_is_found() {
        let mut seen = seen(3, 0);
        seen[50].sent = 0;
        assert_true("back", &seen, &store());
    }
}
