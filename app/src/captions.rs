//! A row in words: the lines under the bars and what a screen reader hears. Pure.

use crate::lanes::segments;
use crate::pace::TimeLeft;
use crate::sentences::{CLIENT_GONE, advice, amount_of, cause, duration, is_open, noun, size};
use crate::state::State;
use crate::transfers::{Row, Transfers};
use crate::wire::{FileMessage, FileType, PartState, Status, Waiting};
use crate::words::{Word, Words, decimal, joined};

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
pub fn caption(words: Words, row: &Row) -> Caption {
    if row.is_cancelling() {
        return headline(words.text(Word::Cancelling));
    }
    if let Some(left) = row.left {
        return blind(words, row, left);
    }
    let Some(state) = &row.message else {
        return headline(words.text(Word::Starting));
    };
    match state.status {
        Status::Completed => stored(words, row, state),
        Status::Error if row.code() == Some("cancelled") => headline(words.text(Word::CancelledNothing)),
        Status::Error => failed(words, row, state),
        _ => under_way(words, row, state),
    }
}

/// Of what left the browser nobody knows yet how much is stored.
fn blind(words: Words, row: &Row, left: u64) -> Caption {
    if left == row.size {
        let detail = words.text(Word::Unconfirmable).to_owned();
        return Caption { headline: words.text(Word::AllSent).to_owned(), detail };
    }
    Caption {
        headline: words.fill(Word::SentHere, &[&percent_left(row, left)]),
        detail: words.fill(Word::NotConfirmed, &[&amount_of(words, left, row.size)]),
    }
}

fn percent_left(row: &Row, left: u64) -> String {
    decimal(left.saturating_mul(100) / row.size.max(1))
}

fn under_way(words: Words, row: &Row, state: &FileMessage) -> Caption {
    let percent = decimal(state.progress.into());
    let total = state.total.unwrap_or(row.size);
    let say = |rest: &str| words.fill(Word::PercentAnd, &[&percent, rest]);
    let receives = state.waiting.is_none() && state.sent == 0 && state.status == Status::Buffering;
    let headline = match state.waiting {
        Some(Waiting::Client) => say(words.text(Word::WaitingForYou)),
        Some(Waiting::Storage) => say(words.text(Word::StorageSlow)),
        Some(Waiting::Retry) => say(&retrying(words, state)),
        None if receives => say(words.text(Word::Receiving)),
        None if is_checked(state) => say(words.text(Word::Checking)),
        None if first_retrying(state).is_some() => say(&retrying(words, state)),
        None => match parts_stored(words, state) {
            Some(parts) => say(&parts),
            None => words.fill(Word::PercentSent, &[&percent]),
        },
    };
    let (word, bytes) =
        if receives { (Word::AmountReceived, state.received) } else { (Word::AmountSent, state.sent) };
    let amount = words.fill(word, &[&amount_of(words, bytes, total)]);
    Caption { headline, detail: paced(words, row, amount) }
}

/// With speed and time left, once they are known and while it moves.
fn paced(words: Words, row: &Row, amount: String) -> String {
    let Some(speed) = row.pace.shown() else { return amount };
    let rate = words.fill(Word::PerSecond, &[&size(words, speed.rate)]);
    let left = match speed.time_left() {
        TimeLeft::Minutes(minutes) => words.fill(Word::MinutesLeft, &[&decimal(minutes)]),
        TimeLeft::Seconds(seconds) => words.fill(Word::SecondsLeft, &[&decimal(seconds)]),
        TimeLeft::LessThanTen => words.text(Word::LessThanTen).to_owned(),
        TimeLeft::Moment => words.text(Word::AMoment).to_owned(),
    };
    [&amount, " \u{2013} ", &rate, " \u{2013} ", &left].concat()
}

/// Whether all that is left is the store's word for the whole file, and for none of several parts.
fn is_checked(state: &FileMessage) -> bool {
    let has_parts = state.parts <= Some(1) || state.parts == Some(state.parts_stored);
    Some(state.sent) == state.total && has_parts
}

/// "3 of 5 parts stored"; of a single part there is nothing to count.
fn parts_stored(words: Words, state: &FileMessage) -> Option<String> {
    let parts = state.parts.filter(|&parts| parts > 1)?;
    Some(words.fill(Word::PartsStored, &[&decimal(state.parts_stored.into()), &decimal(parts.into())]))
}

fn stored(words: Words, row: &Row, state: &FileMessage) -> Caption {
    let size = size(words, row.size);
    let headline = match state.at_ms {
        0 => words.fill(Word::StoredSize, &[&size]),
        ms => words.fill(Word::StoredSizeIn, &[&size, &duration(words, ms)]),
    };
    Caption { headline, detail: String::new() }
}

fn failed(words: Words, row: &Row, state: &FileMessage) -> Caption {
    let code = row.code().unwrap_or_default();
    // What a broken connection is called the page knows better than the server.
    if row.restored && code == CLIENT_GONE {
        let headline = words.fill(Word::FileInterrupted, &[noun(words, state.file_type)]);
        return Caption { headline, detail: words.text(Word::ChooseAgain).to_owned() };
    }
    let headline = if !row.is_lost() {
        cause(words, code, row.told(), &state.message)
    } else if row.offline {
        words.text(Word::Offline).to_owned()
    } else {
        words.fault(code).unwrap_or_default().to_owned()
    };
    Caption { headline, detail: advice(words, code, row.told(), &state.upload_id) }
}

fn retrying(words: Words, state: &FileMessage) -> String {
    match first_retrying(state) {
        Some((part, attempt)) if state.parts != Some(1) => {
            words.fill(Word::PartRetry, &[&decimal(part.into()), &decimal(attempt.into())])
        }
        Some((_, attempt)) => words.fill(Word::StorageRetry, &[&decimal(attempt.into())]),
        None => words.text(Word::StorageRetries).to_owned(),
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
pub fn value_text(words: Words, row: &Row) -> String {
    if row.is_cancelling() {
        return words.text(Word::Cancelling).to_owned();
    }
    if let Some(left) = row.left {
        return words.fill(Word::ValueSentHere, &[&percent_left(row, left)]);
    }
    let Some(state) = &row.message else {
        return words.text(Word::ValueStarting).to_owned();
    };
    let percent = decimal(state.progress.into());
    let say = |rest: &str| words.fill(Word::ValueAnd, &[&percent, rest]);
    match (look(row), state.waiting) {
        (Look::Stored, _) => words.text(Word::ValueStored).to_owned(),
        (Look::Cancelled, _) => words.text(Word::ValueCancelled).to_owned(),
        (Look::Failed, _) => words.fill(Word::ValueFailed, &[&percent]),
        (_, Some(Waiting::Client)) => say(words.text(Word::WaitingForYou)),
        (_, Some(Waiting::Storage)) => say(words.text(Word::StorageSlow)),
        (_, Some(Waiting::Retry)) => say(words.text(Word::TryingAgain)),
        (_, None) if is_checked(state) => say(words.text(Word::Finishing)),
        (_, None) => {
            let sent = words.fill(Word::ValueSent, &[&percent]);
            match parts_stored(words, state) {
                Some(parts) => words.fill(Word::Listed, &[&sent, &parts]),
                None => sent,
            }
        }
    }
}

/// What a change of one file is worth saying aloud, if anything: a state once.
#[must_use]
pub fn announcement(
    words: Words,
    file_type: FileType,
    before: Option<&Row>,
    after: Option<&Row>,
) -> Option<Spoken> {
    let after = after?;
    let noun = noun(words, file_type);
    let status = |word, rest: &str| Some(Spoken::Status(words.fill(word, &[noun, rest])));
    if before.is_none_or(Row::is_over) && !after.is_over() {
        return status(Word::SayUploading, "");
    }
    let before = before?;
    let (was, is) = (look(before), look(after));
    match is {
        _ if is == was => None,
        Look::Failed => {
            let Caption { headline, detail } = caption(words, after);
            Some(Spoken::Alert(joined(&headline, &detail)))
        }
        Look::Stored => status(Word::IsStored, ""),
        Look::Cancelled => status(Word::SayCancelled, ""),
        Look::Waiting => status(Word::SayWaiting, &caption(words, after).headline),
        Look::Running => None,
    }
}

/// Whether nothing but numbers has changed: words for them can wait a moment.
#[must_use]
pub fn read_alike(before: &Transfers, after: &Transfers) -> bool {
    let reads = |all: &Transfers, file_type| {
        let state = |row: &Row| {
            let state = row.message.as_ref()?;
            Some((state.status, state.waiting, state.parts_stored, first_retrying(state)))
        };
        all.row(file_type).map(|row| (look(row), state(row)))
    };
    let is_same = |file_type| reads(before, file_type) == reads(after, file_type);
    before.milestone() == after.milestone() && FileType::ALL.into_iter().all(is_same)
}

/// A quarter of all files, now and then.
#[must_use]
pub fn quarter(words: Words, before: &Transfers, after: &Transfers) -> Option<String> {
    let quarter = after.milestone();
    (quarter > before.milestone()).then(|| words.fill(Word::SayPercent, &[&decimal(quarter.into())]))
}

/// What the page's one button does now; `waiting` is whether a chosen file is not stored yet.
#[must_use]
pub fn button(words: Words, all: &Transfers, waiting: bool) -> &'static str {
    words.text(match (all.is_cancelling(), all.is_running(), waiting, all.stored()) {
        (true, ..) => Word::Cancelling,
        (_, true, ..) => Word::Cancel,
        (_, _, false, 2) => Word::UploadTwoMore,
        (_, _, false, 1) => Word::UploadAnother,
        _ => Word::Upload,
    })
}

/// Why there is nothing live to show; empty when there is.
#[must_use]
pub fn note(words: Words, state: &State) -> String {
    let all = &state.transfers;
    if !all.is_running() {
        return String::new();
    }
    if let Some((sent, received)) = state.held_back {
        return words.fill(Word::NoteHeldBack, &[&size(words, sent), &size(words, received)]);
    }
    let word = match (all.is_broken(), all.is_blind(), state.connected) {
        (true, ..) => Word::NoteBroken,
        (_, true, true) => Word::NoteUnheard,
        (_, _, false) => Word::NoteBlind,
        (_, false, true) => return String::new(),
    };
    words.text(word).to_owned()
}

/// Whether to throw away what is stored already.
#[must_use]
pub fn cancel_question(words: Words, all: &Transfers) -> String {
    match all.parts_at_stake() {
        1 => words.text(Word::CancelQuestionOne).to_owned(),
        parts => words.fill(Word::CancelQuestion, &[&decimal(parts.into())]),
    }
}

/// All that is known of an upload, for whoever runs the service: by line, so that it can be sent to them.
#[must_use]
pub fn report(words: Words, all: &Transfers) -> String {
    let Some(upload_id) = all.upload_id() else { return String::new() };
    let mut lines = [words.text(Word::Reference), " ", upload_id, "\n"].concat();
    for file_type in FileType::ALL {
        let Some(row) = all.row(file_type) else { continue };
        let Caption { headline, detail } = caption(words, row);
        let said = joined(&headline, &detail);
        let code = row.code().unwrap_or_default();
        let line = [noun(words, file_type), ": ", &said, " ", code];
        lines.push_str(line.concat().trim_end());
        lines.push('\n');
        let Some(state) = &row.message else { continue };
        for (segment, part) in segments(state).iter().zip(1..) {
            let attempt = state
                .active
                .iter()
                .find(|active| u64::from(active.part) == part)
                .map(|active| active.attempt);
            let word = words.text(match segment.state {
                PartState::Empty => Word::PartEmpty,
                PartState::Sending => Word::PartSending,
                PartState::Sent => Word::PartSent,
                PartState::Stored => Word::PartStored,
                PartState::Retrying => Word::PartRetrying,
            });
            let again = attempt.filter(|&attempt| attempt > 1).map_or_else(String::new, |attempt| {
                [", ", &words.fill(Word::Attempt, &[&decimal(attempt.into())])].concat()
            });
            let size = size(words, segment.bytes);
            lines.push_str(
                &["  ", words.text(Word::Part), " ", &decimal(part), ": ", &size, ", ", word, &again, "\n"]
                    .concat(),
            );
        }
    }
    lines
}

/// The page's one line for both files; empty while bytes still have to come.
#[must_use]
pub fn summary(words: Words, all: &Transfers) -> String {
    if all.is_running() {
        // True because the transfer runs in a task of the server's own.
        let may_leave = all.is_received() && !all.is_cancelling();
        return if may_leave { words.text(Word::MayLeave).to_owned() } else { String::new() };
    }
    match FileType::ALL.map(|file_type| all.row(file_type)) {
        [Some(document), Some(image)] if all.stored() == 2 => both_stored(words, document, image),
        [document, image] => {
            let ended = |file_type, row: Option<&Row>| {
                row.map_or_else(String::new, |row| words.fill(ended(row), &[noun(words, file_type)]))
            };
            joined(&ended(FileType::DocsFile, document), &ended(FileType::MsaImgs, image))
        }
    }
}

fn both_stored(words: Words, document: &Row, image: &Row) -> String {
    let ended_ms = |row: &Row| row.message.as_ref().map_or(0, |state| state.at_ms);
    // Two uploads have two clocks.
    let one_upload = document.upload_id() == image.upload_id();
    match ended_ms(document).max(ended_ms(image)) {
        ms if ms > 0 && one_upload => words.fill(Word::BothStoredIn, &[&duration(words, ms)]),
        _ => words.text(Word::BothStored).to_owned(),
    }
}

fn ended(row: &Row) -> Word {
    match look(row) {
        Look::Stored => Word::IsStored,
        Look::Cancelled => Word::IsCancelled,
        _ if is_open(row.code().unwrap_or_default(), row.told()) => Word::IsLost,
        _ => Word::NotStored,
    }
}

/// For the window: a person in another tab sees how far it is.
#[must_use]
pub fn title(words: Words, all: &Transfers) -> String {
    let ends = FileType::ALL.map(|file_type| all.row(file_type).map(look));
    let word = if all.is_running() {
        if all.is_blind() { Word::TitleSending } else { Word::TitlePercent }
    } else if ends.contains(&Some(Look::Failed)) {
        Word::TitleFailed
    } else if ends.contains(&Some(Look::Stored)) {
        Word::TitleStored
    } else {
        Word::Title
    };
    words.fill(word, &[&decimal(all.percent().into())])
}

/// The window's icon says it too.
#[must_use]
pub fn title_icon(all: &Transfers) -> &'static str {
    let ends = FileType::ALL.map(|file_type| all.row(file_type).map(look));
    if all.is_running() {
        "favicon-running.svg"
    } else if ends.contains(&Some(Look::Failed)) {
        "favicon-failed.svg"
    } else if ends.contains(&Some(Look::Stored)) {
        "favicon-stored.svg"
    } else {
        "favicon.svg"
    }
}

fn headline(text: &str) -> Caption {
    Caption { headline: text.to_owned(), detail: String::new() }
}
