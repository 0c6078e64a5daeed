//! A file's two lanes: what the server has received, and part by part what the store took.
//!
//! Every width is a number of one message, painted together with the `data-` attributes that
//! repeat it. Nothing is interpolated: no event, no motion.

use leptos::prelude::*;

use crate::captions::{caption, look, value_text};
use crate::sentences::noun;
use crate::transfers::Row;
use crate::wire::{FileMessage, FileType, PartState, Status};

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

/// `part` of `whole` in hundredths of a percent, rounded down.
#[must_use]
pub fn share(part: u64, whole: u64) -> u32 {
    let hundredths = u128::from(part) * 10_000 / u128::from(whole.max(1));
    u32::try_from(hundredths.min(10_000)).unwrap_or(10_000)
}

fn percent(hundredths: u32) -> String {
    format!("{}.{:02}%", hundredths / 100, hundredths % 100)
}

const fn word(state: PartState) -> &'static str {
    match state {
        PartState::Empty => "empty",
        PartState::Sending => "sending",
        PartState::Sent => "sent",
        PartState::Stored => "stored",
        PartState::Retrying => "retrying",
    }
}

const fn status_word(status: Status) -> &'static str {
    match status {
        Status::Buffering => "buffering",
        Status::Processing => "processing",
        Status::Completed => "completed",
        Status::Error => "error",
    }
}

/// The lanes and the words of one row, all of one message: rebuilt as a whole, so that no reader
/// of the page ever sees half of a change.
pub fn bars(file_type: FileType, row: &Row) -> AnyView {
    let state = row.message.as_ref();
    let number = |read: fn(&FileMessage) -> u64| state.map_or(0, read);
    let total = state.and_then(|state| state.total).unwrap_or(row.size);
    let received = share(number(|state| state.received), total);
    let words = caption(row);
    view! {
        <div
            class="bars"
            data-look=look(row).name()
            data-received=number(|state| state.received)
            data-sent=number(|state| state.sent)
            data-stored=number(|state| state.stored)
            data-total=total
            data-progress=state.map_or(0, |state| state.progress)
            data-status=state.map(|state| status_word(state.status))
        >
            <div class="lane" aria-hidden="true">
                <span class="lane-name">"received"</span>
                <span class="track thin">
                    <span class="fill" style:inline-size=percent(received)></span>
                </span>
            </div>
            <div class="lane">
                <span class="lane-name" aria-hidden="true">"stored"</span>
                <span
                    class="track"
                    role="progressbar"
                    aria-label=format!("The {} into storage", noun(file_type))
                    aria-valuemin="0"
                    aria-valuemax="100"
                    aria-valuenow=state.map(|state| state.progress)
                    aria-valuetext=value_text(row)
                >
                    {storage_lane(row, total)}
                </span>
            </div>
            <p class="headline">{words.headline}</p>
            <p class="detail">{words.detail}</p>
        </div>
    }
    .into_any()
}

fn storage_lane(row: &Row, total: u64) -> Vec<AnyView> {
    let Some(state) = &row.message else {
        return Vec::new();
    };
    if state.status == Status::Completed {
        return vec![segment("stored", total, 10_000)];
    }
    let parts = segments(state);
    if !parts.is_empty() {
        let view = |part: Segment| segment(word(part.state), part.bytes, part.filled);
        return parts.into_iter().map(view).collect();
    }
    // Solid what is stored, hatched what is on its way: one plain fill each, side by side.
    let sent = if state.status == Status::Error { state.stored } else { state.sent };
    let on_its_way = sent.saturating_sub(state.stored);
    let rest = total.saturating_sub(sent);
    let fills = [("stored", state.stored, 10_000), ("sent", on_its_way, 10_000), ("empty", rest, 0)];
    fills.into_iter().filter(|fill| fill.1 > 0).map(|fill| segment(fill.0, fill.1, fill.2)).collect()
}

fn segment(word: &'static str, bytes: u64, filled: u32) -> AnyView {
    view! {
        <span class="part" data-state=word style:flex-grow=bytes.to_string()>
            <span class="fill" style:inline-size=percent(filled)></span>
        </span>
    }
    .into_any()
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
        assert_eq!(percent(share(u64::MAX - 1, u64::MAX)), "99.99%");
        assert_eq!(percent(share(0, 0)), "0.00%");
        assert_eq!(percent(share(5, 4)), "100.00%");
    }
}
