//! Writes a state into the document. What a file's lanes show is of one message, all in one go.
//!
//! By hand and not by views: what a browser needs to bring views of this size to life weighs more than all the rest.

use leptos::prelude::document;
use web_sys::Element;

use crate::captions::{
    button, cancel_question, caption, look, note, report, summary, title, title_icon, value_text,
};
use crate::dom::{find, find_in_page, mark, say, style, write};
use crate::lanes::{Segment, percent, status_word, storage_lane, thin_lane, word};
use crate::sentences::Kind;
use crate::session::Session;
use crate::state::State;
use crate::transfers::{Row, Transfers};
use crate::wire::FileMessage;
use crate::words::{Word, Words, decimal};

/// Shows what has changed since the state that was painted last. Lanes move with each message; words are written when
/// there is something new to read, since each text has the browser lay out the page anew.
pub fn paint(state: &State, last: Option<&State>, session: &Session) {
    let Some(main) = find_in_page("main") else { return };
    let words = session.words;
    let has_words = last.is_none_or(|last| last.reading != state.reading);
    for kind in session.kinds {
        let selector = [".card[data-file-type=", kind.wire_name(), "]"].concat();
        let Some(card) = find(&main, &selector) else { continue };
        let row = state.transfers.row(kind.file_type);
        let last = last.and_then(|last| last.transfers.row(kind.file_type));
        if let Some(row) = row.filter(|row| Some(*row) != last)
            && let Some(bars) = find(&card, ".bars")
        {
            paint_lanes(&bars, row, last);
        }
        if has_words {
            paint_card(&card, state, kind, words);
        }
    }
    if !has_words {
        return;
    }
    let all = &state.transfers;
    let is_running = all.is_running();
    if let Some(primary) = find(&main, ".primary") {
        mark(&primary, "data-running", is_running);
        // Not `disabled`, which would take the focus from it.
        write(&primary, "aria-disabled", all.is_cancelling().then_some("true"));
    }
    say(&main, ".primary", button(words, all, state.has_pending(&session.kinds)));
    say(&main, ".summary", &summary(words, all));
    let question = if state.asks_to_cancel { cancel_question(words, all) } else { String::new() };
    say_if_any(&main, ".confirm", "#confirm-question", &question);
    say_if_any(&main, ".note", ".note", &note(words, state));
    say(&main, "[role=status]", &state.status);
    say(&main, "[role=alert]", &state.alert);
    paint_details(&main, all, words);
    let title = title(words, all);
    if document().title() != title {
        document().set_title(&title);
    }
    let icon = title_icon(all);
    if let Some(link) = find_in_page("link[rel=icon]")
        && link.get_attribute("href").as_deref() != Some(icon)
    {
        write(&link, "href", Some(icon));
    }
}

/// A piece that is only there while it has something to say.
fn say_if_any(main: &Element, piece: &str, line: &str, text: &str) {
    if let Some(piece) = find(main, piece) {
        mark(&piece, "hidden", text.is_empty());
    }
    say(main, line, text);
}

fn paint_card(card: &Element, state: &State, kind: Kind, words: Words) {
    let place = &state.places[kind.file_type.index()];
    let row = state.transfers.row(kind.file_type);
    write(card, "data-state", Some(state.of_card(kind)));
    mark(card, "data-hovered", place.hovered);
    let preview = place.chosen.as_ref();
    mark(card, "data-here", preview.is_some_and(|preview| preview.is_here));
    for input in ["input", "#camera"] {
        if let Some(input) = find(card, input) {
            mark(&input, "disabled", row.is_some_and(|row| !row.is_over()));
        }
    }
    say(card, ".file-name", preview.map_or("", |preview| &preview.name));
    say(card, ".file-size", preview.map_or("", |preview| &preview.size));
    if let Some(badge) = find(card, ".badge") {
        write(&badge, "data-badge", preview.map(|preview| ending(&preview.name)).as_deref());
    }
    if let Some(thumb) = find(card, ".thumb") {
        // As a background, so that of a picture which this browser cannot show the badge below is left.
        let url = preview.and_then(|preview| preview.thumbnail.as_deref());
        style(
            &thumb,
            "background-image",
            &url.map_or_else(|| "none".to_owned(), |url| ["url(", url, ")"].concat()),
        );
    }
    let refusal = place.refusal.as_ref();
    say(card, ".error .headline", refusal.map_or("", |refusal| &refusal.sentence));
    say(card, ".error .detail", refusal.map_or("", |refusal| &refusal.advice));
    if let Some(row) = row
        && let Some(bars) = find(card, ".bars")
    {
        paint_words(&bars, row, words);
    }
    let key = row.and_then(Row::key).unwrap_or_default();
    say_if_any(card, ".key", ".key code", key);
    say(card, ".copy", words.text(if place.copied { Word::Copied } else { Word::CopyKey }));
    if let Some(anchor) = find(card, ".key a") {
        let link = row.and_then(Row::link).filter(|link| **link != place.ended_link);
        write(&anchor, "href", link);
        mark(&anchor, "hidden", link.is_none());
    }
}

/// What stands where a picture would: the end of the name.
fn ending(name: &str) -> String {
    let end = name.rsplit_once('.').map_or("", |(_, end)| end);
    end.chars().take(4).collect::<String>().to_ascii_uppercase()
}

/// Shows how far a row is: lanes and `data-` attributes, all of the same message.
fn paint_lanes(bars: &Element, row: &Row, last: Option<&Row>) {
    let written = last.map(attributes);
    for (place, (name, value)) in attributes(row).into_iter().enumerate() {
        if written.as_ref().is_none_or(|written| written[place].1 != value) {
            write(bars, name, value.as_deref());
        }
    }
    if last.map(thin_lane) != Some(thin_lane(row))
        && let Some(fill) = find(bars, ".thin > .fill")
    {
        fill_up(&fill, thin_lane(row));
    }
    if let Some(lane) = find(bars, ".parts") {
        let now = |row: &Row| row.message.as_ref().map(|state| state.progress);
        if last.map(now) != Some(now(row)) {
            write(&lane, "aria-valuenow", now(row).map(|now| decimal(u64::from(now))).as_deref());
        }
        paint_lane(&lane, &storage_lane(row), &last.map(storage_lane).unwrap_or_default());
    }
}

/// A row's numbers, for whoever reads the document.
fn attributes(row: &Row) -> [(&'static str, Option<String>); 8] {
    let state = row.message.as_ref();
    let number = |read: fn(&FileMessage) -> u64| Some(decimal(state.map_or(0, read)));
    [
        ("data-received", number(|state| state.received)),
        ("data-sent", number(|state| state.sent)),
        ("data-stored", number(|state| state.stored)),
        ("data-total", Some(decimal(row.total()))),
        ("data-progress", number(|state| u64::from(state.progress))),
        ("data-left", row.left.map(decimal)),
        ("data-status", state.map(|state| status_word(state.status).to_owned())),
        ("data-look", Some(look(row).name().to_owned())),
    ]
}

/// Says how far a row is.
fn paint_words(bars: &Element, row: &Row, words: Words) {
    // The thin lane's name says whose count it is.
    say(bars, ".lane-name", words.text(if row.left.is_some() { Word::Sent } else { Word::Received }));
    if let Some(lane) = find(bars, ".parts") {
        write(&lane, "aria-valuetext", Some(&value_text(words, row)));
    }
    let caption = caption(words, row);
    say(bars, ".headline", &caption.headline);
    say(bars, ".detail", &caption.detail);
}

fn paint_lane(lane: &Element, parts: &[Segment], last: &[Segment]) {
    let mut shown = lane.first_element_child();
    for (place, part) in parts.iter().enumerate() {
        let was = last.get(place).filter(|_| shown.is_some());
        let Some(element) = shown.or_else(|| add_part(lane)) else { return };
        if was.map(|was| was.state) != Some(part.state) {
            write(&element, "data-state", Some(word(part.state)));
        }
        if was.map(|was| was.bytes) != Some(part.bytes) {
            style(&element, "flex-grow", &decimal(part.bytes));
        }
        if was.map(|was| was.filled) != Some(part.filled)
            && let Some(fill) = element.first_element_child()
        {
            fill_up(&fill, part.filled);
        }
        shown = element.next_element_sibling();
    }
    while let Some(surplus) = shown {
        shown = surplus.next_element_sibling();
        surplus.remove();
    }
}

/// By a shift and not by a size, for which the browser would lay out and paint the page anew at each message.
fn fill_up(fill: &Element, hundredths: u32) {
    style(fill, "--filled", &percent(hundredths));
}

fn add_part(lane: &Element) -> Option<Element> {
    let part = add(lane, "span", "part")?;
    add(&part, "span", "fill")?;
    Some(part)
}

fn add(inside: &Element, tag: &str, class: &str) -> Option<Element> {
    let element = document().create_element(tag).ok()?;
    element.set_class_name(class);
    inside.append_child(&element).ok()?;
    Some(element)
}

/// For whoever wants to know, and only while they look.
fn paint_details(main: &Element, all: &Transfers, words: Words) {
    let Some(details) = find(main, "details") else { return };
    mark(&details, "hidden", all.upload_id().is_none());
    if details.has_attribute("open") {
        say(&details, ".report", &report(words, all));
    }
}
