//! The law of the progress messages: what must hold in each, and from one to the next.

use app::wire::{FileMessage, MAX_PART_STATES, PartState, Status};

/// The messages of one file of one upload, as one socket heard them.
#[derive(Default)]
pub struct Law {
    last: Option<FileMessage>,
}

impl Law {
    /// Judges the next message; `text` is it on the wire.
    ///
    /// # Errors
    /// Which rule it breaks.
    pub fn judge(&mut self, message: &FileMessage, text: &str) -> Result<(), String> {
        let judged = shape(message, text)
            .and_then(|()| numbers(message))
            .and_then(|()| parts(message))
            .and_then(|()| words(message))
            .and_then(|()| self.last.as_ref().map_or(Ok(()), |last| follows(last, message)));
        self.last = Some(message.clone());
        judged
    }
}

fn rule(holds: bool, name: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(name.to_owned()) }
}

fn shape(m: &FileMessage, text: &str) -> Result<(), String> {
    let at = |member: &str| text.find(&format!("\"{member}\":")).unwrap_or(usize::MAX);
    let places = ["file_type", "status", "progress", "message"].map(at);
    rule(places.is_sorted() && places[0] == 1, "the four old members come first")?;
    rule(places[3] < at("upload_id") && at("upload_id") != usize::MAX, "the new members follow")?;
    rule(m.upload_id.len() == 22, "an upload id has 22 characters")?;
    rule((m.status == Status::Error) == m.code.is_some(), "an error, and only that, has a code")?;
    rule(m.key.is_none(), "no key on a socket")
}

fn numbers(m: &FileMessage) -> Result<(), String> {
    rule(m.stored <= m.sent, "stored <= sent")?;
    rule(m.sent <= m.received, "sent <= received")?;
    rule(m.total.is_none_or(|total| m.received <= total), "received <= total")?;
    match (m.status, m.total) {
        (Status::Completed, total) => {
            rule(m.progress == 100, "completed is 100")?;
            rule(total == Some(m.stored), "completed is all stored")
        }
        (_, None | Some(0)) => rule(m.progress == 0, "no percentage without a total"),
        (_, Some(total)) => rule(
            u64::from(m.progress) == (m.sent * 100 / total).min(99),
            "progress is floor(100 x sent / total), 99 at most",
        ),
    }
}

fn parts(m: &FileMessage) -> Result<(), String> {
    rule(m.total.is_some() == m.parts.is_some(), "parts are known with the total")?;
    rule(m.total.is_some() == m.part_size.is_some(), "the part size is known with the total")?;
    rule(m.parts.is_none_or(|parts| m.parts_stored <= parts), "no more parts stored than there are")?;
    rule(m.active.len() <= 8, "at most eight active parts")?;
    rule(m.active.iter().all(|part| part.part >= 1 && part.attempt >= 1), "parts count from 1")?;
    if let (Some(total), Some(size), Some(parts)) = (m.total, m.part_size, m.parts)
        && total > 0
    {
        rule(u64::from(parts) == total.div_ceil(size), "parts = total / part size, rounded up")?;
    }
    let is_spelled = m.parts.is_none_or(|parts| parts <= MAX_PART_STATES);
    match &m.part_states {
        None => rule(!is_spelled || m.parts.is_none(), "the states of up to 40 parts are spelled out"),
        Some(states) => {
            rule(is_spelled, "the states of more than 40 parts are not spelled out")?;
            rule(states.chars().all(|c| PartState::from_digit(c).is_some()), "states are 0 to 4")?;
            let stored = states.matches(PartState::Stored.digit()).count();
            rule(stored == m.parts_stored as usize, "as many 3s as parts stored")?;
            rule(m.parts.is_none_or(|parts| states.len() == parts as usize), "one digit a part")
        }
    }
}

fn words(m: &FileMessage) -> Result<(), String> {
    let text = m.message.as_str();
    let fits = match m.status {
        Status::Buffering => text == "Buffering data",
        Status::Completed => text == "Completed!",
        Status::Error => text.ends_with('.') && text.contains(' '),
        Status::Processing if m.parts == Some(1) && m.total.is_some_and(|total| total < 5 << 20) => {
            text == "Processing buffered data"
        }
        Status::Processing => text == processing(m),
    };
    rule(fits, "the text of the status")
}

/// "Processing part N", N the lowest part not stored, "final" when only the last is left.
fn processing(m: &FileMessage) -> String {
    let states = m.part_states.clone().unwrap_or_default();
    let lowest = states.chars().position(|c| c != PartState::Stored.digit()).unwrap_or(states.len()) + 1;
    match m.parts {
        Some(parts) if lowest as u32 >= parts => "Processing final part buffered data".to_owned(),
        _ => format!("Processing part {lowest} buffered data"),
    }
}

fn follows(last: &FileMessage, m: &FileMessage) -> Result<(), String> {
    rule(!last.status.is_terminal(), "nothing follows the end")?;
    rule(m.seq > last.seq, "seq rises")?;
    rule(m.at_ms >= last.at_ms, "time does not go back")?;
    rule(m.received >= last.received, "received does not fall")?;
    rule(m.sent >= last.sent, "sent does not fall")?;
    rule(m.stored >= last.stored, "stored does not fall")?;
    rule(m.progress >= last.progress, "progress does not fall")?;
    rule(m.parts_stored >= last.parts_stored, "parts stored do not fall")?;
    rule(m.retries >= last.retries, "retries do not fall")?;
    rule(last.total.is_none() || m.total == last.total, "a known total stays")?;
    let goes_back = last.status == Status::Processing && m.status == Status::Buffering;
    rule(!goes_back, "processing does not become buffering")
}
