//! From the press of the button to the end of the POST.

use std::time::Duration;

use leptos::prelude::{WithUntracked, window};
use leptos::task::spawn_local;

use super::{Live, PRESS, SILENCE, address_of, is_past, later};
use crate::send::{self, Chosen, Step, bytes_of};
use crate::sentences::{Kind, shown, unreadable};
use crate::transfers::{PostEnd, Row, Transfers};
use crate::wire::FileType;
use crate::{choosing, dom};

/// How long the server may take to confirm a cancel, and to tell how a broken POST ended.
const PATIENCE: Duration = Duration::from_secs(5);
/// A second press this soon is a double click on Upload and no wish to cancel.
const DOUBLE_CLICK: Duration = Duration::from_millis(500);
/// The code of a client id that is not of the browser's session.
const FOREIGN: &str = "client_id_foreign";

impl Live {
    /// The one button: Upload, Cancel, or room for more.
    pub(super) fn press(&'static self) {
        let (stored, pending) = self
            .state
            .with_untracked(|state| (state.transfers.stored() > 0, state.has_pending(&self.session.kinds)));
        if self.asks(Transfers::is_running) {
            if is_past(self.pressed_at.get(), DOUBLE_CLICK) {
                self.ask_to_cancel();
            }
        } else if stored && !pending {
            for kind in self.session.kinds {
                self.clear(kind);
            }
            dom::focus(FileType::DocsFile.field());
        } else {
            self.start();
        }
    }

    /// Chosen and not yet stored: what a press of Upload sends.
    fn pending(&self) -> Vec<Chosen> {
        let is_stored = |kind: &Kind| {
            self.state.with_untracked(|state| state.transfers.row(kind.file_type).is_some_and(Row::is_stored))
        };
        let kinds = self.session.kinds.into_iter().filter(|kind| !is_stored(kind));
        kinds
            .filter_map(|kind| Some(Chosen { file_type: kind.file_type, file: choosing::file(kind)? }))
            .collect()
    }

    pub(super) fn start(&'static self) {
        if self.asks(Transfers::is_running) {
            return;
        }
        let files = self.pending();
        if files.is_empty() {
            self.refuse_empty();
            return;
        }
        self.is_renewed.set(false);
        self.begin(files);
        // What had it is gone, or of no use while it runs.
        dom::focus(PRESS);
    }

    fn begin(&'static self, files: Vec<Chosen>) {
        let press = js_sys::Date::now();
        self.pressed_at.set(press);
        let sizes: Vec<_> = files.iter().map(|chosen| (chosen.file_type, bytes_of(&chosen.file))).collect();
        self.change(|state| state.transfers.begin(&sizes));
        self.sent.set((0, 0));
        self.ending.take();
        self.is_ending.set(false);
        self.remember();
        self.is_posting.set(true);
        later(SILENCE + Duration::from_millis(100), move || self.leave());
        let posted = send::post(
            &files,
            &self.client_id.borrow(),
            Box::new(move |step| match step {
                Step::Sent(sent, whole) => {
                    self.sent.set((sent, whole));
                    self.moved_at.set(js_sys::Date::now());
                    self.leave();
                }
                Step::Ended(status, body) => self.posted(press, status, &body),
            }),
        );
        match posted {
            Ok(request) => drop(self.post.replace(Some(request))),
            Err(_) => self.posted(press, 0, ""),
        }
    }

    fn posted(&'static self, press: f64, status: u16, body: &str) {
        if !self.is_last(press) {
            return;
        }
        self.is_posting.set(false);
        match self.ending.take().unwrap_or_else(|| send::read_answer(status, body)) {
            PostEnd::Lost => {
                self.look_for_moved_files();
                // The socket may still tell how it really ended.
                self.change_of(press, Transfers::break_off);
                later(PATIENCE, move || self.settle(press, PostEnd::Lost));
            }
            PostEnd::Refused(problem) if problem.code == FOREIGN && !self.is_renewed.replace(true) => {
                self.renew(Some(PostEnd::Refused(problem)));
            }
            end => self.settle(press, end),
        }
    }

    /// A file that was changed or moved since it was chosen breaks the POST as a bad connection does.
    fn look_for_moved_files(&'static self) {
        for Chosen { file_type, file } in self.pending() {
            let kind = self.session.kinds[file_type.index()];
            spawn_local(async move {
                if !choosing::is_readable(&file).await {
                    self.refuse(kind, unreadable(self.session.words, &shown(&file.name())));
                }
            });
        }
    }

    /// The browser's session has ended while the page was open: the page is asked for again, which begins another, and
    /// the upload goes on under an id of that. `refused` is how it ends otherwise.
    pub(super) fn renew(&'static self, refused: Option<PostEnd>) {
        let press = self.pressed_at.get();
        let address = window().location().href().unwrap_or_default();
        let mut refused = Some(refused);
        self.ask("GET", &address, move |_, page| {
            let refused = refused.take().flatten();
            let mut pieces = page.split('"').skip_while(|piece| !piece.ends_with("data-client-id="));
            match pieces.nth(1) {
                Some(client_id) => {
                    self.client_id.replace(client_id.to_owned());
                    self.feed.hurry();
                    // Unless it was cancelled since.
                    if refused.is_some() && self.is_last(press) && self.asks(Transfers::is_running) {
                        self.begin(self.pending());
                    }
                }
                None => {
                    if let Some(end) = refused {
                        self.settle(press, end);
                    }
                }
            }
        });
    }

    fn settle(&'static self, press: f64, end: PostEnd) {
        self.change_of(press, |transfers| transfers.settle(end));
        self.end_links();
        self.find_keys();
    }

    /// What became of a POST, unless another one has begun since.
    fn change_of(&'static self, press: f64, change: impl FnOnce(&mut Transfers)) {
        if self.is_last(press) {
            self.change(|state| change(&mut state.transfers));
        }
    }

    /// Whether Upload was not pressed again since.
    fn is_last(&self, press: f64) -> bool {
        self.pressed_at.get().total_cmp(&press).is_eq()
    }

    /// What is stored already is not thrown away by one press.
    fn ask_to_cancel(&'static self) {
        if self.asks(|transfers| transfers.parts_at_stake() > 0) {
            self.change(|state| state.asks_to_cancel = true);
            later(Duration::ZERO, || dom::focus("confirm"));
        } else {
            self.cancel();
        }
    }

    /// Tells the server; the request is dropped only when it has confirmed, or not in time.
    pub(super) fn cancel(&'static self) {
        if !self.asks(Transfers::is_running) || self.asks(Transfers::is_cancelling) {
            return;
        }
        self.change(|state| state.transfers.cancel());
        match self.upload_id() {
            Some(upload_id) => {
                if !self.feed.cancel(&upload_id) {
                    self.ask("DELETE", &address_of(&upload_id), |_, _| {});
                }
                self.end_post(PATIENCE, PostEnd::Dropped);
            }
            None => self.end_post(Duration::ZERO, PostEnd::Dropped),
        }
    }

    /// Whoever calls first sets the time.
    pub(super) fn end_post(&'static self, time: Duration, end: PostEnd) {
        if self.is_ending.replace(true) {
            return;
        }
        let press = self.pressed_at.get();
        let post = self.post.borrow().clone();
        later(time, move || {
            if !self.is_last(press) {
                // The POST may still run, in vain.
            } else if self.is_posting.get() {
                self.ending.replace(Some(end));
            } else {
                // A POST that is dead already has nobody left to say so.
                self.settle(press, end);
            }
            if let Some(post) = post {
                drop(post.abort());
            }
        });
    }
}
