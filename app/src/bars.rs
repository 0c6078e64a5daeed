//! A file's two lanes: what the server has received, and part by part what the store took.
//!
//! Every width is a number of one message, painted in one go together with the `data-` attributes
//! that repeat it, so no reader of the page sees half of a change. Nothing is interpolated: no
//! event, no motion. Painting by hand instead of by a view keeps 30 kB off the page.

use leptos::prelude::*;
use wasm_bindgen::JsCast;
use web_sys::{Element, HtmlElement};

use crate::captions::{caption, look, value_text};
use crate::sentences::{Kind, noun};
use crate::transfers::Row;
use crate::wire::{FileMessage, PartState, Status};
use crate::words::{Word, Words};

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

/// The lanes before anything has moved; hidden by the card's state until then.
#[component]
pub fn Bars(words: Words, kind: Kind) -> impl IntoView {
    view! {
        <div class="bars" id=bars_id(kind)>
            <div class="lane" aria-hidden="true">
                <span class="lane-name">{words.text(Word::Received)}</span>
                <span class="track thin">
                    <span class="fill"></span>
                </span>
            </div>
            <div class="lane">
                <span class="lane-name" aria-hidden="true">{words.text(Word::Stored)}</span>
                <span
                    class="track parts"
                    role="progressbar"
                    aria-label=words.fill(Word::IntoStorage, &[noun(words, kind.file_type)])
                    aria-valuemin="0"
                    aria-valuemax="100"
                ></span>
            </div>
            <p class="headline"></p>
            <p class="detail"></p>
        </div>
    }
}

fn bars_id(kind: Kind) -> String {
    format!("{}-bars", kind.wire_name())
}

/// Shows one row: lanes, words and `data-` attributes, all of the same message.
pub fn paint(words: Words, kind: Kind, row: &Row) {
    let Some(bars) = document().get_element_by_id(&bars_id(kind)) else {
        return;
    };
    let state = row.message.as_ref();
    let number = |read: fn(&FileMessage) -> u64| state.map_or(0, read);
    let total = state.and_then(|state| state.total).unwrap_or(row.size);
    let (received, sent, stored) =
        (number(|state| state.received), number(|state| state.sent), number(|state| state.stored));
    let progress = number(|state| u64::from(state.progress));
    write(&bars, "data-look", look(row).name());
    write(&bars, "data-received", &received.to_string());
    write(&bars, "data-sent", &sent.to_string());
    write(&bars, "data-stored", &stored.to_string());
    write(&bars, "data-total", &total.to_string());
    write(&bars, "data-progress", &progress.to_string());
    write_or_remove(&bars, "data-status", state.map(|state| status_word(state.status)));
    // The thin lane's name says whose count it is.
    let (name, share_of) =
        row.left.map_or((Word::Received, share(received, total)), |left| (Word::Sent, share(left, row.size)));
    write_or_remove(&bars, "data-left", row.left.map(|left| left.to_string()).as_deref());
    if let Some(label) = find(&bars, ".lane-name") {
        label.set_text_content(Some(words.text(name)));
    }
    if let Some(fill) = find(&bars, ".thin > .fill") {
        style(&fill, "inline-size", &percent(share_of));
    }
    if let Some(lane) = find(&bars, ".parts") {
        let now = progress.to_string();
        write_or_remove(&lane, "aria-valuenow", state.map(|_| now.as_str()));
        write(&lane, "aria-valuetext", &value_text(words, row));
        paint_lane(&lane, &storage_lane(row, total));
    }
    let said = caption(words, row);
    for (selector, text) in [(".headline", &said.headline), (".detail", &said.detail)] {
        if let Some(line) = find(&bars, selector) {
            line.set_text_content(Some(text));
        }
    }
}

fn paint_lane(lane: &Element, parts: &[Segment]) {
    let shown = lane.children();
    for place in (parts.len()..shown.length() as usize).rev() {
        if let Some(surplus) = u32::try_from(place).ok().and_then(|place| shown.item(place)) {
            surplus.remove();
        }
    }
    for (part, place) in parts.iter().zip(0..) {
        let Some(element) = shown.item(place).or_else(|| add_part(lane)) else {
            return;
        };
        write(&element, "data-state", word(part.state));
        style(&element, "flex-grow", &part.bytes.to_string());
        if let Some(fill) = element.first_element_child() {
            style(&fill, "inline-size", &percent(part.filled));
        }
    }
}

fn add_part(lane: &Element) -> Option<Element> {
    let part = document().create_element("span").ok()?;
    let fill = document().create_element("span").ok()?;
    part.set_class_name("part");
    fill.set_class_name("fill");
    part.append_child(&fill).ok()?;
    lane.append_child(&part).ok()?;
    Some(part)
}

fn find(inside: &Element, selector: &str) -> Option<Element> {
    inside.query_selector(selector).ok().flatten()
}

fn write(element: &Element, name: &str, value: &str) {
    drop(element.set_attribute(name, value));
}

/// What the server has not told yet is absent.
fn write_or_remove(element: &Element, name: &str, value: Option<&str>) {
    drop(match value {
        Some(value) => element.set_attribute(name, value),
        None => element.remove_attribute(name),
    });
}

/// By the object model and not by an attribute, which the page's policy forbids.
fn style(element: &Element, name: &str, value: &str) {
    if let Some(element) = element.dyn_ref::<HtmlElement>() {
        drop(element.style().set_property(name, value));
    }
}

fn storage_lane(row: &Row, total: u64) -> Vec<Segment> {
    let Some(state) = &row.message else {
        return Vec::new();
    };
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
