//! One file of an upload, from what the server, the answer of the POST and the browser say of it.

use crate::pace::Pace;
use crate::sentences::{CLIENT_GONE, CONNECTION_LOST, UNCONFIRMED};
use crate::wire::{FileMessage, FileOutcome, FileType, Outcome, PartState, Status};

/// One file from the press of Upload on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// As the browser declared it, in bytes.
    pub size: u64,
    /// The latest state; `None` until the server has spoken.
    pub message: Option<FileMessage>,
    /// What the answer of the POST said.
    pub outcome: Option<FileOutcome>,
    /// Bytes that left the browser, while nobody tells how far the server is.
    pub left: Option<u64>,
    pub pace: Pace,
    /// Whether the browser has no network, for the words of what broke.
    pub offline: bool,
    /// The person pressed Cancel while it ran.
    pub(super) cancelling: bool,
    /// The page was reloaded since it was sent.
    pub restored: bool,
}

impl Row {
    pub(super) fn new(size: u64) -> Self {
        Self {
            size,
            message: None,
            outcome: None,
            left: None,
            pace: Pace::default(),
            offline: false,
            cancelling: false,
            restored: false,
        }
    }

    pub(super) fn take(&mut self, message: FileMessage) {
        self.pace.take(&message, message.total.unwrap_or(self.size));
        self.message = Some(message);
        self.left = None;
    }

    /// What the socket would have said last: everything is in the store.
    pub(super) fn complete(&mut self, file_type: FileType) {
        let mut state = self.last(file_type);
        state.status = Status::Completed;
        state.progress = 100;
        // When it ended only the socket would know.
        state.at_ms = 0;
        state.total = Some(self.size);
        state.received = self.size;
        state.sent = self.size;
        state.stored = self.size;
        state.parts_stored = state.parts.unwrap_or(0);
        state.part_states =
            state.part_states.map(|states| states.chars().map(|_| PartState::Stored.digit()).collect());
        self.message = Some(state);
    }

    pub(super) fn fail(&mut self, file_type: FileType, code: &str, text: &str) {
        let mut state = self.last(file_type);
        state.status = Status::Error;
        state.code = Some(code.to_owned());
        text.clone_into(&mut state.message);
        self.message = Some(state);
    }

    /// The latest state without anything that speaks of movement.
    fn last(&mut self, file_type: FileType) -> FileMessage {
        let mut state = self.message.take().unwrap_or_else(|| FileMessage {
            file_type,
            status: Status::Buffering,
            progress: 0,
            message: String::new(),
            upload_id: String::new(),
            seq: 0,
            received: 0,
            sent: 0,
            stored: 0,
            total: Some(self.size),
            part_size: None,
            parts: None,
            parts_stored: 0,
            part_states: None,
            active: Vec::new(),
            waiting: None,
            retries: 0,
            at_ms: 0,
            code: None,
            key: None,
            link: None,
        });
        state.active.clear();
        state.waiting = None;
        self.left = None;
        self.pace = Pace::default();
        state
    }

    /// Bytes in all, as far as anybody knows.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.message.as_ref().and_then(|state| state.total).unwrap_or(self.size)
    }

    pub(super) fn seq(&self) -> Option<u64> {
        self.message.as_ref().map(|state| state.seq)
    }

    #[must_use]
    pub fn status(&self) -> Option<Status> {
        self.message.as_ref().map(|state| state.status)
    }

    #[must_use]
    pub fn is_over(&self) -> bool {
        self.status().is_some_and(Status::is_terminal)
    }

    /// Whether its end is awaited, and nothing else.
    #[must_use]
    pub fn is_cancelling(&self) -> bool {
        self.cancelling && !self.is_over()
    }

    /// Ended because the connection did.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        matches!(self.code(), Some(CONNECTION_LOST | CLIENT_GONE))
    }

    /// Ended by the page, for want of a word from the server.
    pub(super) fn is_guess(&self) -> bool {
        matches!(self.code(), Some(CONNECTION_LOST | UNCONFIRMED))
    }

    #[must_use]
    pub fn is_stored(&self) -> bool {
        self.status() == Some(Status::Completed)
    }

    /// What became of it, as the answer of the POST said; without one, of a file that the server ended
    /// before it came, that it did not come.
    #[must_use]
    pub fn told(&self) -> Option<Outcome> {
        let told = self.outcome.as_ref().map(|outcome| outcome.outcome);
        told.or_else(|| {
            let state = self.message.as_ref()?;
            let missed = state.seq > 0 && state.received == 0 && !self.is_guess();
            (missed && state.status == Status::Error).then_some(Outcome::NotReceived)
        })
    }

    /// Id of the upload whose message this is.
    #[must_use]
    pub fn upload_id(&self) -> Option<&str> {
        self.message.as_ref().map(|state| state.upload_id.as_str())
    }

    /// The error's code, once failed.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        let state = self.message.as_ref().filter(|state| state.status == Status::Error)?;
        Some(state.code.as_deref().unwrap_or("unknown"))
    }

    /// Where the object can be fetched for a while, if an answer has told it.
    #[must_use]
    pub fn link(&self) -> Option<&str> {
        let told = self.outcome.as_ref().and_then(|outcome| outcome.link.as_deref());
        told.or_else(|| self.message.as_ref().and_then(|state| state.link.as_deref()))
    }

    /// The object's key, once an answer has told it.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        let told = self.outcome.as_ref().and_then(|outcome| outcome.key.as_deref());
        told.or_else(|| self.message.as_ref().and_then(|state| state.key.as_deref()))
    }
}
