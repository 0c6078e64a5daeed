//! A file's two lanes as numbers: what the server has received, and part by part what the store took. Pure.
//!
//! Every width is a number of one message. Nothing is interpolated: no event, no motion.

use crate::transfers::Row;
use crate::wire::{FileMessage, PartState, Status};
use crate::words::decimal;

/// One part of the storage lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Its share of the lane's width.
    pub bytes: u64,
    pub state: PartState,
    /// Hundredths of a percent of it that are on their way.
    pub filled: u32,
}

/// The storage lane's segments; empty when there are too many parts to tell apart.
#[must_use]
pub fn segments(state: &FileMessage) -> Vec<Segment> {
    let (Some(total), Some(part_size), Some(states)) =
        (state.total, state.part_size.filter(|&size| size > 0), &state.part_states)
    else {
        return Vec::new();
    };
    let parts = states.chars().zip(0_u64..);
    parts
        .map(|(digit, place)| {
            let bytes = total.saturating_sub(place * part_size).min(part_size);
            let part = match PartState::from_digit(digit) {
                // Of a file that failed only what the store had confirmed is still shown.
                Some(part) if part == PartState::Stored || state.status != Status::Error => part,
                _ => PartState::Empty,
            };
            let active = state.active.iter().find(|active| u64::from(active.part) == place + 1);
            let filled = match part {
                PartState::Empty => 0,
                PartState::Sent | PartState::Stored => 10_000,
                PartState::Sending | PartState::Retrying => {
                    active.map_or(0, |active| share(active.sent, bytes))
                }
            };
            Segment { bytes, state: part, filled }
        })
        .collect()
}

/// `part` of `whole` in hundredths of a percent, rounded down. Right up to 1.8 PB; a store takes
/// 54 TB at most, and a division of 128 bits would cost the page 1 kB.
#[must_use]
pub fn share(part: u64, whole: u64) -> u32 {
    let hundredths = part.saturating_mul(10_000) / whole.max(1);
    u32::try_from(hundredths.min(10_000)).unwrap_or(10_000)
}

/// Hundredths of a percent as a width.
#[must_use]
pub fn percent(hundredths: u32) -> String {
    let (whole, rest) = (u64::from(hundredths / 100), u64::from(hundredths % 100));
    [&decimal(whole), ".", &decimal(rest / 10), &decimal(rest % 10), "%"].concat()
}

/// As the style sheet calls it.
#[must_use]
pub const fn word(state: PartState) -> &'static str {
    match state {
        PartState::Empty => "empty",
        PartState::Sending => "sending",
        PartState::Sent => "sent",
        PartState::Stored => "stored",
        PartState::Retrying => "retrying",
    }
}

/// As the wire calls it.
#[must_use]
pub const fn status_word(status: Status) -> &'static str {
    match status {
        Status::Buffering => "buffering",
        Status::Processing => "processing",
        Status::Completed => "completed",
        Status::Error => "error",
    }
}

/// What the thin lane shows of a row, in hundredths of a percent: what the server has received, or, where nobody tells
/// that, what has left the browser.
#[must_use]
pub fn thin_lane(row: &Row) -> u32 {
    let received = row.message.as_ref().map_or(0, |state| state.received);
    row.left.map_or_else(|| share(received, row.total()), |left| share(left, row.size))
}

/// What the storage lane shows of a row.
#[must_use]
pub fn storage_lane(row: &Row) -> Vec<Segment> {
    let Some(state) = &row.message else {
        return Vec::new();
    };
    let total = row.total();
    let whole = |bytes, state, filled| Segment { bytes, state, filled };
    if state.status == Status::Completed {
        return vec![whole(total, PartState::Stored, 10_000)];
    }
    let parts = segments(state);
    if !parts.is_empty() {
        return parts;
    }
    // Solid what is stored, hatched what is on its way: one plain fill each, side by side.
    let sent = if state.status == Status::Error { state.stored } else { state.sent };
    let mut fills = vec![
        whole(state.stored, PartState::Stored, 10_000),
        whole(sent.saturating_sub(state.stored), PartState::Sent, 10_000),
        whole(total.saturating_sub(sent), PartState::Empty, 0),
    ];
    fills.retain(|fill| fill.bytes > 0);
    fills
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transfers::tests::message;
    use crate::wire::ActivePart;

    #[test]
    fn segments_are_as_wide_as_their_bytes() {
        let mut state = message(1);
        state.total = Some(25_000_000);
        state.part_size = Some(5 << 20);
        state.part_states = Some("33140".to_owned());
        state.active = vec![
            ActivePart { part: 3, sent: 655_360, attempt: 1 },
            ActivePart { part: 4, sent: 0, attempt: 2 },
        ];
        let lane = segments(&state);
        assert_eq!(lane.iter().map(|part| part.bytes).sum::<u64>(), 25_000_000);
        assert_eq!(lane[4].bytes, 25_000_000 - 4 * (5 << 20));
        assert_eq!(lane.iter().map(|part| part.filled).collect::<Vec<_>>(), [10_000, 10_000, 1_250, 0, 0]);
    }

    #[test]
    fn too_many_parts_have_no_segments() {
        let mut state = message(1);
        state.part_states = None;
        assert_eq!(segments(&state), []);
    }

    #[test]
    fn widths_round_down() {
        assert_eq!(percent(share(1, 3)), "33.33%");
        let largest = 10_000 * (5 << 30);
        assert_eq!(percent(share(largest - 1, largest)), "99.99%");
        assert_eq!(percent(share(0, 0)), "0.00%");
        assert_eq!(percent(share(5, 4)), "100.00%");
    }
}
