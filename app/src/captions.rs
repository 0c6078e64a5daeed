//! A row in words: the lines under the bars and what a screen reader hears. Pure.

use crate::sentences::{advice, amount_of, duration, is_open, noun, size};
use crate::transfers::{Row, Transfers};
use crate::wire::{FileMessage, FileType, PartState, Status, Waiting};

/// What is written beside the lanes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caption {
    pub headline: String,
    pub detail: String,
}

/// How a card looks; its `data-state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    Running,
    Waiting,
    Stored,
    Cancelled,
    Failed,
}

impl Look {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Stored => "stored",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
        }
    }
}

/// A line for a live region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spoken {
    Status(String),
    Alert(String),
}

#[must_use]
pub fn look(row: &Row) -> Look {
    match (row.code(), &row.message) {
        (Some("cancelled"), _) => Look::Cancelled,
        (Some(_), _) => Look::Failed,
        _ if row.left.is_some() => Look::Running,
        (None, Some(state)) if state.status == Status::Completed => Look::Stored,
        (None, Some(state)) if state.waiting.is_some() => Look::Waiting,
        _ => Look::Running,
    }
}

#[must_use]
pub fn caption(row: &Row) -> Caption {
    if let Some(left) = row.left {
        return blind(row, left);
    }
    let Some(state) = &row.message else {
        return lines("Starting", String::new());
    };
    match state.status {
        Status::Completed => stored(row, state),
        Status::Error if row.code() == Some("cancelled") => {
            lines("Cancelled \u{2013} nothing was stored", String::new())
        }
        Status::Error => lines(cause(&state.message), failed_advice(row, state)),
        _ => under_way(row, state),
    }
}

/// Of what left the browser nobody knows yet how much is stored.
fn blind(row: &Row, left: u64) -> Caption {
    if left == row.size {
        return lines(
            "Everything is sent from this browser",
            "Waiting for the server to confirm it.".to_owned(),
        );
    }
    let amount = format!("{}, not yet confirmed by the server", amount_of(left, row.size));
    lines(&format!("{} % sent from this browser", percent_left(row, left)), amount)
}

fn percent_left(row: &Row, left: u64) -> u64 {
    left.saturating_mul(100) / row.size.max(1)
}

fn under_way(row: &Row, state: &FileMessage) -> Caption {
    let percent = state.progress;
    let total = state.total.unwrap_or(row.size);
    let amount = format!("{} sent to storage", amount_of(state.sent, total));
    let say = |rest: String| format!("{percent} % \u{2013} {rest}");
    match state.waiting {
        Some(Waiting::Client) => {
            return lines(&say("waiting for your connection".to_owned()), amount);
        }
        Some(Waiting::Storage) => return lines(&say("storage is slow".to_owned()), amount),
        Some(Waiting::Retry) => return lines(&say(retrying(state)), amount),
        None => {}
    }
    if state.sent == 0 && state.status == Status::Buffering {
        let received = format!("{} received", amount_of(state.received, total));
        return lines(&say("receiving".to_owned()), received);
    }
    if Some(state.sent) == state.total {
        return lines(&say("checking with storage".to_owned()), amount);
    }
    let headline = if first_retrying(state).is_some() {
        say(retrying(state))
    } else if let Some(parts) = state.parts.filter(|&parts| parts > 1) {
        say(format!("{} of {parts} parts stored", state.parts_stored))
    } else {
        format!("{percent} % sent to storage")
    };
    lines(&headline, amount)
}

fn stored(row: &Row, state: &FileMessage) -> Caption {
    let headline = match state.at_ms {
        0 => format!("Stored \u{2013} {}", size(row.size)),
        ms => format!("Stored \u{2013} {} in {}", size(row.size), duration(ms)),
    };
    lines(&headline, String::new())
}

/// The server's words up to "Nothing of it was stored", "Try again" or "This is not your file": the
/// advice says these, and knows more.
fn cause(message: &str) -> &str {
    let repeats = |three: &[u8]| matches!(three, b". N" | b". T");
    let end = message.as_bytes().windows(3).position(repeats);
    end.map_or(message, |end| &message[..=end])
}

fn failed_advice(row: &Row, state: &FileMessage) -> String {
    advice(row.code().unwrap_or_default(), row.told(), &state.upload_id)
}

fn retrying(state: &FileMessage) -> String {
    match first_retrying(state) {
        Some((part, attempt)) if state.parts != Some(1) => {
            format!("part {part} did not arrive in storage, trying again (attempt {attempt})")
        }
        Some((_, attempt)) => format!("storage did not take it, trying again (attempt {attempt})"),
        None => "storage did not take it, trying again".to_owned(),
    }
}

/// Number and attempt of the first part that is tried again.
fn first_retrying(state: &FileMessage) -> Option<(u32, u32)> {
    let again = state.active.iter().find(|active| active.attempt > 1);
    if let Some(active) = again {
        return Some((active.part, active.attempt));
    }
    let states = state.part_states.as_ref()?;
    let place = states.chars().position(|digit| digit == PartState::Retrying.digit())?;
    Some((u32::try_from(place).ok()? + 1, 2))
}

/// For `aria-valuetext`, which replaces the number for a screen reader and so repeats it.
#[must_use]
pub fn value_text(row: &Row) -> String {
    if let Some(left) = row.left {
        return format!("{} percent sent from this browser", percent_left(row, left));
    }
    let Some(state) = &row.message else {
        return "starting".to_owned();
    };
    let percent = state.progress;
    match (look(row), state.waiting) {
        (Look::Stored, _) => "100 percent, stored".to_owned(),
        (Look::Cancelled, _) => "cancelled".to_owned(),
        (Look::Failed, _) => format!("failed at {percent} percent"),
        (_, Some(Waiting::Client)) => format!("{percent} percent, waiting for your connection"),
        (_, Some(Waiting::Storage)) => format!("{percent} percent, storage is slow"),
        (_, Some(Waiting::Retry)) => format!("{percent} percent, trying again"),
        (_, None) if Some(state.sent) == state.total => format!("{percent} percent, finishing"),
        (_, None) => match state.parts.filter(|&parts| parts > 1) {
            Some(parts) => {
                format!("{percent} percent sent to storage, {} of {parts} parts stored", state.parts_stored)
            }
            None => format!("{percent} percent sent to storage"),
        },
    }
}

/// What a change is worth saying aloud, if anything: a state once, a quarter now and then.
#[must_use]
pub fn announcement(file_type: FileType, before: Option<&Row>, after: Option<&Row>) -> Option<Spoken> {
    let after = after?;
    let noun = noun(file_type);
    if before.is_none_or(Row::is_over) && !after.is_over() {
        return Some(Spoken::Status(format!("Uploading the {noun}.")));
    }
    let before = before?;
    let (was, is) = (look(before), look(after));
    let Caption { headline, detail } = caption(after);
    match is {
        Look::Failed if is != was => Some(Spoken::Alert(format!("{headline} {detail}"))),
        Look::Stored if is != was => Some(Spoken::Status(format!("The {noun} is stored."))),
        Look::Cancelled if is != was => {
            Some(Spoken::Status(format!("The {noun} was cancelled. Nothing was stored.")))
        }
        Look::Waiting if is != was => Some(Spoken::Status(format!("The {noun}: {headline}."))),
        Look::Running if after.milestone > before.milestone => {
            let milestone = after.milestone;
            Some(Spoken::Status(format!("The {noun}: {milestone} percent sent to storage.")))
        }
        _ => None,
    }
}

/// What the page's one button does now; `waiting` is whether a chosen file is not stored yet.
#[must_use]
pub fn button(all: &Transfers, waiting: bool) -> String {
    let label = match (all.is_cancelling(), all.is_running(), waiting, all.stored()) {
        (true, ..) => "Cancelling",
        (_, true, ..) => "Cancel",
        (_, _, false, 2) => "Upload two more",
        (_, _, false, 1) => "Upload another",
        _ => "Upload",
    };
    label.to_owned()
}

/// Why there is nothing live to show; empty when there is.
#[must_use]
pub fn note(all: &Transfers, connected: bool) -> String {
    let text = match (all.is_running(), all.is_broken(), connected && !all.is_blind()) {
        (true, true, _) => "The connection broke. Asking the server what became of the upload.",
        (true, _, false) => {
            "Live progress is not available. The upload is still running; the bars show what was sent from this \
             browser, not what is stored."
        }
        _ => "",
    };
    text.to_owned()
}

/// The page's one line for both files; empty while bytes still have to come.
#[must_use]
pub fn summary(all: &Transfers) -> String {
    if all.is_running() {
        // True because the transfer runs in a task of the server's own.
        let may_leave = all.is_received() && !all.is_cancelling();
        let text = "Everything is received: you can leave this page now.";
        return if may_leave { text.to_owned() } else { String::new() };
    }
    match FileType::ALL.map(|file_type| all.row(file_type)) {
        [Some(document), Some(image)] if all.stored() == 2 => both_stored(document, image),
        rows => {
            let ends = FileType::ALL.into_iter().zip(rows);
            let ends = ends.filter_map(|(file_type, row)| row.map(|row| ended(file_type, row)));
            ends.collect::<Vec<_>>().join(" ")
        }
    }
}

fn both_stored(document: &Row, image: &Row) -> String {
    let ended_ms = |row: &Row| row.message.as_ref().map_or(0, |state| state.at_ms);
    // Two uploads have two clocks.
    let one_upload = document.upload_id() == image.upload_id();
    match ended_ms(document).max(ended_ms(image)) {
        ms if ms > 0 && one_upload => format!("Both stored in {}.", duration(ms)),
        _ => "Both stored.".to_owned(),
    }
}

fn ended(file_type: FileType, row: &Row) -> String {
    let noun = noun(file_type);
    match look(row) {
        Look::Stored => format!("The {noun} is stored."),
        Look::Cancelled => format!("The {noun} was cancelled."),
        _ if is_open(row.code().unwrap_or_default(), row.told()) => {
            format!("The {noun} did not get through.")
        }
        _ => format!("The {noun} is not stored."),
    }
}

/// For the window: a person in another tab sees how far it is.
#[must_use]
pub fn title(all: &Transfers) -> String {
    if all.is_running() {
        return if all.is_blind() {
            "Sending \u{2013} Upload".to_owned()
        } else {
            format!("{} % \u{2013} Upload", all.percent())
        };
    }
    let ends = FileType::ALL.map(|file_type| all.row(file_type).map(look));
    let word = if ends.contains(&Some(Look::Failed)) {
        "Failed \u{2013} "
    } else if ends.contains(&Some(Look::Stored)) {
        "Stored \u{2013} "
    } else {
        ""
    };
    format!("{word}Upload")
}

fn lines(headline: &str, detail: String) -> Caption {
    Caption { headline: headline.to_owned(), detail }
}
