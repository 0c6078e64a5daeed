//! Folds the server's messages into one row a file. Pure: no leptos, no browser.
//!
//! A message is a whole state and carries `seq`, so order, repeats and losses do not matter: the
//! highest wins, and nothing follows a terminal one.

mod row;

use crate::sentences::{CONNECTION_LOST, UNCONFIRMED};
use crate::wire::{FileMessage, FileOutcome, FileType, Outcome, Problem, Status, UploadAnswer};
pub use row::Row;

/// The files of the upload under way, and of the last one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transfers {
    upload_id: Option<String>,
    /// Uploads of this client id that are not ours to show: a reconnect tells of them again.
    past: Vec<String>,
    cancelling: bool,
    /// The POST died without an answer.
    broken: bool,
    /// The socket has told of this upload before it had an end: what it tells of the end is of this one, and not of one
    /// that had ended before this page heard of it.
    heard: bool,
    /// The browser says that it has no network.
    offline: bool,
    rows: [Option<Row>; 2],
    /// The last quarter worth announcing: 0, 25, 50 or 75.
    milestone: u8,
    milestone_ms: u64,
}

/// How the POST ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PostEnd {
    Stored(UploadAnswer),
    Refused(Problem),
    /// The connection broke without an answer.
    Lost,
    /// We dropped it, after a cancel that nobody confirmed.
    Dropped,
}

/// Least time between two announced quarters: a screen reader needs it to finish.
const MILESTONE_MS: u64 = 10_000;

impl Transfers {
    /// Starts a new upload; files that are not part of it keep their row.
    pub fn begin(&mut self, files: &[(FileType, u64)]) {
        self.past.extend(self.upload_id.take());
        self.cancelling = false;
        self.broken = false;
        self.heard = false;
        self.milestone = 0;
        self.milestone_ms = 0;
        for &(file_type, size) in files {
            self.rows[file_type.index()] = Some(Row { offline: self.offline, ..Row::new(size) });
        }
    }

    /// Takes in one message; false when it changes nothing.
    pub fn fold(&mut self, message: FileMessage) -> bool {
        if self.upload_id.as_ref() != Some(&message.upload_id) && !self.adopt(&message.upload_id) {
            return false;
        }
        let before = self.percent();
        let Some(row) = &mut self.rows[message.file_type.index()] else {
            return false;
        };
        // The answer of the POST may come first; only the socket knows how long it took.
        let is_late = row.is_stored() && message.status == Status::Completed;
        let is_open = !row.is_over() || is_late || (row.is_guess() && message.status != Status::Buffering);
        if row.seq() >= Some(message.seq) || !is_open {
            return false;
        }
        self.heard |= !message.status.is_terminal();
        let at_ms = message.at_ms;
        row.take(message);
        self.pass_milestone(before, at_ms);
        self.cancelling &= self.is_running();
        true
    }

    /// One that comes too soon is passed over: said later it would be false.
    fn pass_milestone(&mut self, before: u8, at_ms: u64) {
        let quarter = self.percent() / 25 * 25;
        if quarter > before && quarter < 100 && self.is_running() && at_ms >= self.milestone_ms + MILESTONE_MS
        {
            self.milestone = quarter;
            self.milestone_ms = at_ms;
        }
    }

    /// The last quarter that was passed, of all files together.
    #[must_use]
    pub const fn milestone(&self) -> u8 {
        self.milestone
    }

    /// The first unknown id after the press is the new upload's; any other belongs to the past.
    fn adopt(&mut self, upload_id: &str) -> bool {
        if self.past.iter().any(|past| past == upload_id) {
            return false;
        }
        let waits = |row: &Row| !row.is_over() || row.is_guess();
        let ours = self.upload_id.is_none() && self.rows.iter().flatten().any(waits);
        if ours {
            self.upload_id = Some(upload_id.to_owned());
        } else {
            self.past.push(upload_id.to_owned());
        }
        ours
    }

    /// Takes in how much of the form has left the browser, and of how much; shared out in the form's
    /// order, with all that is no file counted as sent first.
    pub fn leave(&mut self, sent: u64, whole: u64) {
        let files: u64 = self.rows.iter().flatten().filter(|row| !row.is_over()).map(|row| row.size).sum();
        let mut left = sent.saturating_sub(whole.saturating_sub(files));
        for row in self.rows.iter_mut().flatten().filter(|row| !row.is_over()) {
            let share = left.min(row.size);
            row.left = Some(share);
            left -= share;
        }
    }

    /// The POST died without an answer. The socket may still tell how it ended; without a network
    /// nothing can.
    pub fn break_off(&mut self) {
        self.broken = true;
        self.set_offline(self.offline);
    }

    /// Takes in what the browser says of its network.
    pub fn set_offline(&mut self, offline: bool) {
        self.offline = offline;
        for row in self.rows.iter_mut().flatten() {
            row.offline = offline;
        }
        if self.is_broken() && offline {
            self.settle(PostEnd::Lost);
        }
    }

    /// Takes in the end of the POST. A row whose terminal message came first keeps it.
    pub fn settle(&mut self, end: PostEnd) {
        match end {
            PostEnd::Stored(answer) => {
                self.trust(Some(&answer.upload_id));
                for file in answer.files {
                    self.close(file, None);
                }
            }
            PostEnd::Refused(problem) => {
                self.trust(problem.upload_id.as_ref());
                for file in problem.files {
                    let told = file.code.as_ref() == Some(&problem.code);
                    self.close(file, told.then_some(&problem.detail));
                }
                self.fail_rest(&problem.code, &problem.detail, |_| true);
            }
            // What the server has whole it goes on storing, and goes on telling of.
            PostEnd::Lost => {
                self.fail_rest(CONNECTION_LOST, "", |row| row.status() != Some(Status::Processing));
            }
            PostEnd::Dropped => self.fail_rest(UNCONFIRMED, "", |_| true),
        }
        self.cancelling &= self.is_running();
    }

    /// The answer names its upload for certain, the socket's first message only most likely.
    fn trust(&mut self, upload_id: Option<&String>) {
        if upload_id.is_none() || self.upload_id.as_ref() == upload_id {
            return;
        }
        if self.upload_id.is_some() {
            for row in self.rows.iter_mut().flatten() {
                row.message = None;
            }
        }
        self.past.extend(self.upload_id.take());
        self.upload_id = upload_id.cloned();
    }

    fn close(&mut self, outcome: FileOutcome, detail: Option<&String>) {
        let file_type = FileType::ALL.into_iter().find(|known| known.field() == outcome.field);
        let Some(file_type) = file_type else { return };
        let Some(row) = &mut self.rows[file_type.index()] else { return };
        if !row.is_over() {
            match outcome.outcome {
                Outcome::Stored => row.complete(file_type),
                _ => {
                    let code = outcome.code.clone().unwrap_or_default();
                    // The detail is of the file which is to blame.
                    let detail = detail.filter(|_| outcome.outcome != Outcome::NotReceived);
                    let text = detail.map_or("", String::as_str);
                    row.fail(file_type, &code, text);
                }
            }
        }
        row.outcome = Some(outcome);
    }

    fn fail_rest(&mut self, code: &str, text: &str, which: impl Fn(&Row) -> bool) {
        for file_type in FileType::ALL {
            if let Some(row) = &mut self.rows[file_type.index()]
                && !row.is_over()
                && which(row)
            {
                row.fail(file_type, code, text);
            }
        }
    }

    /// Goes on with an upload that a page before this one began.
    pub fn restore(&mut self, upload_id: &str, files: &[(FileType, u64)]) {
        self.begin(files);
        self.upload_id = Some(upload_id.to_owned());
        for row in self.rows.iter_mut().flatten() {
            row.restored = true;
        }
    }

    /// Takes in what a snapshot knows besides the state: where a file is stored.
    pub fn find(&mut self, told: FileMessage) {
        if self.upload_id() == Some(&told.upload_id)
            && let Some(row) = &mut self.rows[told.file_type.index()]
            && row.is_stored()
            && let Some(state) = &mut row.message
        {
            state.key = told.key;
            state.link = told.link;
        }
    }

    /// Whether a file is stored and nobody has told under which key.
    #[must_use]
    pub fn lacks_key(&self) -> bool {
        self.rows.iter().flatten().any(|row| row.is_stored() && row.key().is_none())
    }

    /// How many parts of what runs are stored already: a Cancel would delete them.
    #[must_use]
    pub fn parts_at_stake(&self) -> u32 {
        let running = self.rows.iter().flatten().filter(|row| !row.is_over());
        running.filter_map(|row| row.message.as_ref()).map(|state| state.parts_stored).sum()
    }

    /// Bytes of this upload's files that the server has, as far as it has said.
    #[must_use]
    pub fn received(&self) -> u64 {
        let ours = self.rows.iter().flatten().filter(|row| row.upload_id() == self.upload_id());
        ours.filter_map(|row| row.message.as_ref()).map(|state| state.received).sum()
    }

    /// The person pressed Cancel.
    pub fn cancel(&mut self) {
        self.cancelling = true;
        for row in self.rows.iter_mut().flatten() {
            row.cancelling = !row.is_over();
        }
    }

    /// Forgets one file's row, or with it the last trace of an upload.
    pub fn forget(&mut self, file_type: FileType) {
        self.rows[file_type.index()] = None;
    }

    #[must_use]
    pub const fn row(&self, file_type: FileType) -> Option<&Row> {
        self.rows[file_type.index()].as_ref()
    }

    /// Id of the upload under way or last ended, once known.
    #[must_use]
    pub fn upload_id(&self) -> Option<&str> {
        self.upload_id.as_deref()
    }

    #[must_use]
    pub const fn is_cancelling(&self) -> bool {
        self.cancelling
    }

    /// Whether any file may still move.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.rows.iter().flatten().any(|row| !row.is_over())
    }

    /// How many files are stored.
    #[must_use]
    pub fn stored(&self) -> usize {
        self.rows.iter().flatten().filter(|row| row.is_stored()).count()
    }

    /// Whether files run on although their POST is dead.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.broken && self.is_running()
    }

    /// Whether only the browser's own count is known of a file.
    #[must_use]
    pub fn is_blind(&self) -> bool {
        self.rows.iter().flatten().any(|row| row.left.is_some())
    }

    /// Whether the server has said nothing yet of what runs.
    #[must_use]
    pub fn is_unheard(&self) -> bool {
        self.rows.iter().flatten().all(|row| row.is_over() || row.message.is_none())
    }

    /// Whether every file has ended, and one of this upload's not well: the rest of its POST is in vain.
    #[must_use]
    pub fn is_in_vain(&self) -> bool {
        let failed = |row: &Row| row.code().is_some() && row.upload_id() == self.upload_id();
        self.heard && !self.is_running() && self.rows.iter().flatten().any(failed)
    }

    /// Whether the server has every byte and goes on without this page.
    #[must_use]
    pub fn is_received(&self) -> bool {
        let has_all = |row: &Row| row.is_over() || row.status() == Some(Status::Processing);
        self.is_running() && self.rows.iter().flatten().all(has_all)
    }

    /// Whether bytes still have to leave the browser, as far as anybody knows.
    #[must_use]
    pub fn is_sending(&self) -> bool {
        let sends = |row: &Row| {
            !row.is_over() && row.status() != Some(Status::Processing) && row.left != Some(row.size)
        };
        self.rows.iter().flatten().any(sends)
    }

    /// Percent of all files together, and at most 99 until every one is stored.
    #[must_use]
    pub fn percent(&self) -> u8 {
        let rows = || self.rows.iter().flatten();
        let total: u64 = rows().map(|row| row.size).sum();
        let sent: u64 = rows().map(|row| row.message.as_ref().map_or(0, |state| state.sent)).sum();
        let most = if rows().all(Row::is_stored) { 100 } else { 99 };
        u8::try_from(sent.saturating_mul(100) / total.max(1)).unwrap_or(100).min(most)
    }
}

#[cfg(test)]
pub(crate) mod tests;
