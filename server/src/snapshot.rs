//! One file's state as a value, and the message that tells it whole.
//!
//! Everything here keeps the law `stored <= sent <= received <= total`, and nothing goes back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use app::wire::{ActivePart, FileMessage, FileType, MAX_PART_STATES, PartState, Status, Waiting};

use crate::error::Failure;
use crate::parts::{MIN_PART_SIZE, PartPlan};

/// Most parts that a message lists as being sent.
const MAX_ACTIVE: usize = 8;

/// For a file that did not come: its failure's own sentence would blame the wrong one.
const MISSED: &str = "Another file failed before this one came. Nothing of it was stored. Try again.";

/// Everything that is known of one file of an upload.
pub struct FileState {
    file_type: FileType,
    started: Instant,
    /// The whole file was received.
    arrived: Option<Instant>,
    ended: Option<Instant>,
    status: Status,
    failure: Option<Failure>,
    /// The failure is another file's.
    missed: bool,
    key: Option<String>,
    seq: u64,
    /// Rises with every change, so that a watcher knows whether it has told this state.
    version: u64,
    received: u64,
    sent: u64,
    stored: u64,
    total: Option<u64>,
    part_size: Option<u64>,
    parts: Option<u32>,
    states: Vec<PartState>,
    parts_stored: u32,
    running: BTreeMap<u32, Running>,
    retries: u32,
    moved: Instant,
    /// True while the form waits for the client.
    waits_for_client: Arc<AtomicBool>,
    begun: bool,
}

/// What the metrics and the log say of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figures {
    pub received: u64,
    pub stored: u64,
    pub parts_stored: u32,
    pub retries: u32,
    /// Once it has ended.
    pub outcome: Option<Ending>,
    /// Since the request's head: until the whole file was received, and until it was stored.
    pub received_in: Option<Duration>,
    pub stored_in: Option<Duration>,
}

/// How a file has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    pub word: &'static str,
    pub failure: Option<Failure>,
}

/// A part on its way.
struct Running {
    len: u64,
    /// The furthest any attempt got.
    furthest: u64,
    /// How far this attempt got.
    sent: u64,
    attempt: u32,
}

impl FileState {
    #[must_use]
    pub fn new(
        file_type: FileType,
        plan: Option<PartPlan>,
        started: Instant,
        waits_for_client: Arc<AtomicBool>,
    ) -> Self {
        Self {
            file_type,
            started,
            arrived: None,
            ended: None,
            status: Status::Buffering,
            failure: None,
            missed: false,
            key: None,
            seq: 0,
            version: 1,
            received: 0,
            sent: 0,
            stored: 0,
            total: plan.map(|plan| plan.total()),
            part_size: plan.map(|plan| plan.part_size()),
            parts: plan.map(|plan| plan.parts()),
            states: vec![PartState::Empty; plan.map_or(0, |plan| plan.parts() as usize)],
            parts_stored: 0,
            running: BTreeMap::new(),
            retries: 0,
            moved: Instant::now(),
            waits_for_client,
            begun: false,
        }
    }

    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    #[must_use]
    pub fn is_terminal(&self) -> bool {
        self.status.is_terminal()
    }

    /// The file's part of the form has begun.
    pub fn begin(&mut self) {
        self.begun = true;
        self.touch();
    }

    pub fn receive(&mut self, bytes: u64) {
        self.received += bytes;
        if self.total == Some(self.received) {
            self.status = Status::Processing;
        }
        self.touch();
    }

    /// The whole file was received: its size and parts are known now, if they were not before.
    pub fn arrive(&mut self, plan: PartPlan) {
        self.total = Some(plan.total());
        self.part_size = Some(plan.part_size());
        self.parts = Some(plan.parts());
        self.states.resize(self.states.len().max(plan.parts() as usize), PartState::Empty);
        self.status = Status::Processing;
        self.touch();
        self.arrived = Some(self.moved);
    }

    /// A new attempt at part `number` begins.
    pub fn attempt(&mut self, number: u32, len: u64, attempt: u32) {
        let running = self.running.entry(number).or_insert(Running { len, furthest: 0, sent: 0, attempt });
        running.sent = 0;
        running.attempt = attempt;
        self.set_state(number, if attempt > 1 { PartState::Retrying } else { PartState::Sending });
        self.touch();
    }

    /// The connection has taken `bytes` of part `number` in this attempt.
    pub fn send(&mut self, number: u32, bytes: u64) {
        let Some(running) = self.running.get_mut(&number) else { return };
        running.sent = bytes;
        self.sent += bytes.saturating_sub(running.furthest);
        running.furthest = running.furthest.max(bytes);
        let state = match *running {
            Running { len, .. } if bytes >= len => PartState::Sent,
            Running { attempt: 2.., .. } if bytes == 0 => PartState::Retrying,
            _ => PartState::Sending,
        };
        self.set_state(number, state);
        self.touch();
    }

    /// An attempt failed and another will follow.
    pub fn retry(&mut self, number: u32) {
        self.retries += 1;
        if let Some(running) = self.running.get_mut(&number) {
            running.sent = 0;
        }
        self.set_state(number, PartState::Retrying);
        self.version += 1;
    }

    /// The store has acknowledged part `number`.
    pub fn store(&mut self, number: u32) {
        let Some(running) = self.running.remove(&number) else { return };
        self.sent += running.len.saturating_sub(running.furthest);
        self.stored += running.len;
        self.parts_stored += 1;
        self.set_state(number, PartState::Stored);
        self.touch();
    }

    /// The store has confirmed the whole object.
    pub fn complete(&mut self, key: String) {
        self.key = Some(key);
        self.running.clear();
        self.status = Status::Completed;
        self.end();
    }

    /// The file is not stored. The first failure stands.
    pub fn fail(&mut self, failure: Failure) {
        if self.is_terminal() {
            return;
        }
        self.failure = Some(failure);
        self.running.clear();
        self.status = Status::Error;
        self.end();
    }

    /// The file did not come, because another one failed; it ends with that one's failure.
    pub fn miss(&mut self, failure: Failure) {
        self.missed |= !self.is_terminal();
        self.fail(failure);
    }

    /// When this state turns into one that waits, if nothing moves until then.
    #[must_use]
    pub fn waits_at(&self, after: Duration) -> Option<Instant> {
        (!self.is_terminal() && self.begun).then(|| self.moved + after)
    }

    /// What the file has been waiting for, for `after` or longer.
    #[must_use]
    pub fn waiting(&self, now: Instant, after: Duration) -> Option<Waiting> {
        if self.waits_at(after).is_none_or(|at| now < at) {
            return None;
        }
        if self.states.contains(&PartState::Retrying) {
            return Some(Waiting::Retry);
        }
        let arriving = self.status == Status::Buffering;
        Some(if arriving && self.waits_for_client.load(Ordering::Relaxed) {
            Waiting::Client
        } else {
            Waiting::Storage
        })
    }

    /// Tells the state, under a new sequence number.
    pub fn message(&mut self, upload_id: &str, now: Instant, waiting_after: Duration) -> FileMessage {
        self.seq += 1;
        let at = self.ended.unwrap_or(now).saturating_duration_since(self.started);
        let spelled = self.parts.is_none_or(|parts| parts <= MAX_PART_STATES)
            && self.states.len() <= MAX_PART_STATES as usize;
        let active = self.running.iter().take(MAX_ACTIVE).map(|(part, running)| ActivePart {
            part: *part,
            sent: running.sent,
            attempt: running.attempt,
        });
        FileMessage {
            file_type: self.file_type,
            status: self.status,
            progress: self.progress(),
            message: self.words(),
            upload_id: upload_id.to_owned(),
            seq: self.seq,
            received: self.received,
            sent: self.sent,
            stored: self.stored,
            total: self.total,
            part_size: self.part_size,
            parts: self.parts,
            parts_stored: self.parts_stored,
            part_states: spelled.then(|| self.states.iter().map(|state| state.digit()).collect()),
            active: active.collect(),
            waiting: self.waiting(now, waiting_after),
            retries: self.retries,
            at_ms: u64::try_from(at.as_millis()).unwrap_or(u64::MAX),
            code: self.failure.map(|failure| failure.code().to_owned()),
            key: None,
            link: None,
        }
    }

    #[must_use]
    pub fn figures(&self) -> Figures {
        let since_start = |at: Instant| at.saturating_duration_since(self.started);
        let word = match self.failure {
            None => "stored",
            Some(_) if self.missed => "not_received",
            Some(Failure::Cancelled) => "cancelled",
            Some(_) => "failed",
        };
        Figures {
            received: self.received,
            stored: self.stored,
            parts_stored: self.parts_stored,
            retries: self.retries,
            outcome: self.ended.map(|_| Ending { word, failure: self.failure }),
            received_in: self.arrived.map(since_start),
            stored_in: self.ended.filter(|_| self.failure.is_none()).map(since_start),
        }
    }

    /// The object's key, once it is stored.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    fn progress(&self) -> u8 {
        if self.status == Status::Completed {
            return 100;
        }
        let Some(total) = self.total.filter(|total| *total > 0) else { return 0 };
        let percent = u128::from(self.sent) * 100 / u128::from(total);
        u8::try_from(percent).unwrap_or(99).min(99)
    }

    fn words(&self) -> String {
        match self.status {
            Status::Buffering => "Buffering data".to_owned(),
            Status::Completed => "Completed!".to_owned(),
            Status::Error if self.missed => MISSED.to_owned(),
            Status::Error => self.failure.unwrap_or(Failure::Internal).sentence().to_owned(),
            Status::Processing => match self.parts {
                Some(parts) if self.total >= Some(MIN_PART_SIZE) => self.part_words(parts),
                _ => "Processing buffered data".to_owned(),
            },
        }
    }

    fn part_words(&self, parts: u32) -> String {
        let lowest = self.states.iter().position(|state| *state != PartState::Stored);
        match lowest.and_then(|index| u32::try_from(index + 1).ok()) {
            Some(lowest) if lowest < parts => format!("Processing part {lowest} buffered data"),
            _ => "Processing final part buffered data".to_owned(),
        }
    }

    fn set_state(&mut self, number: u32, state: PartState) {
        let index = number.saturating_sub(1) as usize;
        if self.states.len() <= index {
            self.states.resize(index + 1, PartState::Empty);
        }
        self.states[index] = state;
    }

    fn end(&mut self) {
        self.touch();
        self.ended = Some(self.moved);
    }

    fn touch(&mut self) {
        self.version += 1;
        self.moved = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AFTER: Duration = Duration::from_secs(2);

    const MIB: u64 = 1 << 20;

    fn state(total: Option<u64>) -> FileState {
        let plan = total.map(|total| PartPlan::new(total, 5 * MIB));
        FileState::new(FileType::DocsFile, plan, Instant::now(), Arc::default())
    }

    fn tell(state: &mut FileState) -> FileMessage {
        let message = state.message("u", Instant::now(), AFTER);
        assert!(message.stored <= message.sent && message.sent <= message.received, "{message:?}");
        assert!(message.total.is_none_or(|total| message.received <= total), "{message:?}");
        message
    }

    #[test]
    fn a_replayed_part_never_takes_progress_back() {
        let mut file = state(Some(8 * MIB));
        file.begin();
        file.receive(5 * MIB);
        file.attempt(1, 5 * MIB, 1);
        file.send(1, 4 * MIB);
        assert_eq!(tell(&mut file).progress, 50);
        file.retry(1);
        file.attempt(1, 5 * MIB, 2);
        let retried = tell(&mut file);
        assert_eq!((retried.sent, retried.retries, retried.part_states.as_deref()), (4 * MIB, 1, Some("40")));
        file.send(1, 2 * MIB);
        assert_eq!(tell(&mut file).sent, 4 * MIB);
        file.send(1, 5 * MIB);
        assert_eq!(tell(&mut file).part_states.as_deref(), Some("20"));
        file.store(1);
        let stored = tell(&mut file);
        assert_eq!(
            (stored.stored, stored.sent, stored.part_states.as_deref()),
            (5 * MIB, 5 * MIB, Some("30"))
        );
    }

    #[test]
    fn a_hundred_percent_comes_only_with_completion() {
        let mut file = state(Some(3));
        file.receive(3);
        file.attempt(1, 3, 1);
        file.send(1, 3);
        file.store(1);
        let message = tell(&mut file);
        assert_eq!((message.progress, message.status), (99, Status::Processing));
        assert_eq!(message.message, "Processing buffered data");
        file.complete("k".to_owned());
        let done = tell(&mut file);
        assert_eq!((done.progress, done.message.as_str()), (100, "Completed!"));
        file.fail(Failure::Internal);
        assert_eq!(tell(&mut file).status, Status::Completed);
    }

    #[test]
    fn a_file_that_did_not_come_is_not_blamed() {
        let mut file = state(Some(9));
        file.miss(Failure::TypeMismatch);
        let message = tell(&mut file);
        assert_eq!((message.code.as_deref(), message.message.as_str()), (Some("type_mismatch"), MISSED));
        let mut stored = state(Some(3));
        stored.complete("k".to_owned());
        stored.miss(Failure::TypeMismatch);
        assert_eq!(stored.message("u", Instant::now(), AFTER).message, "Completed!");
    }

    #[test]
    fn the_old_words_name_the_lowest_part_that_is_not_stored() {
        let mut file = state(Some(15 * MIB));
        file.receive(15 * MIB);
        assert_eq!(tell(&mut file).message, "Processing part 1 buffered data");
        for part in 1..=3 {
            file.attempt(part, 5 * MIB, 1);
        }
        file.store(2);
        assert_eq!(tell(&mut file).message, "Processing part 1 buffered data");
        file.store(1);
        assert_eq!(tell(&mut file).message, "Processing final part buffered data");
    }

    #[test]
    fn an_unknown_size_shows_no_percentage_until_the_end() {
        let mut file = state(None);
        file.receive(7);
        let message = tell(&mut file);
        assert_eq!((message.total, message.progress, message.part_states.as_deref()), (None, 0, Some("")));
        file.arrive(PartPlan::new(7, 5 * MIB));
        let message = tell(&mut file);
        assert_eq!(
            (message.total, message.parts, message.part_states.as_deref()),
            (Some(7), Some(1), Some("0"))
        );
    }

    #[test]
    fn waiting_says_for_whom() {
        let waits = Arc::new(AtomicBool::new(true));
        let mut file = FileState::new(
            FileType::MsaImgs,
            Some(PartPlan::new(9, MIB)),
            Instant::now(),
            Arc::clone(&waits),
        );
        let later = Instant::now() + AFTER + AFTER;
        assert_eq!(file.waiting(later, AFTER), None, "its part of the form has not begun");
        file.begin();
        assert_eq!(file.waiting(Instant::now(), AFTER), None);
        assert_eq!(file.waiting(later, AFTER), Some(Waiting::Client));
        waits.store(false, Ordering::Relaxed);
        assert_eq!(file.waiting(later, AFTER), Some(Waiting::Storage));
        file.attempt(1, 9, 1);
        file.retry(1);
        assert_eq!(file.waiting(later, AFTER), Some(Waiting::Retry));
        file.fail(Failure::StorageBusy);
        assert_eq!(file.waiting(later, AFTER), None);
    }
}
