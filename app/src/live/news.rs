//! What the socket tells, what the browser tells, and what is asked for besides.

use std::time::Duration;

use leptos::prelude::WithUntracked;

use super::{Live, SILENCE, address_of, is_past, later};
use crate::feed::News;
use crate::state::State;
use crate::transfers::{PostEnd, Row, Transfers};
use crate::wire::FileMessage;
use crate::{captions, json};

/// How long a POST may take to answer once the socket has told that it failed: the answer has the key of
/// what was stored before, but a browser reads it only when all is sent or the connection breaks.
const FAREWELL: Duration = Duration::from_secs(1);
/// Within it comes what the server has to say of both files at once, in two messages.
const MOMENT: Duration = Duration::from_millis(4);
/// Between two texts that differ in numbers only: nobody reads faster.
const READING: Duration = Duration::from_millis(500);
/// How far the browser may be ahead of the server by what lies in sockets on both sides: 4 MiB that Linux sends from and
/// 6 MiB that it receives into, at most (tcp(7), `tcp_wmem` and `tcp_rmem`), and some.
const MOST_UNDERWAY: u64 = 16 << 20;

impl Live {
    pub(super) fn take_news(&'static self, news: News) {
        match news {
            News::Connected => self.change(|state| state.connected = true),
            News::Message(message) => self.hear_of(*message),
            News::Gone { is_foreign } => {
                self.change(|state| state.connected = false);
                if is_foreign {
                    self.renew(None);
                }
            }
        }
    }

    /// What the two files have to say within a moment is one change, and painted once.
    fn hear_of(&'static self, message: FileMessage) {
        self.moved_at.set(js_sys::Date::now());
        let is_end = message.status.is_terminal();
        let is_first = self.heard.borrow().is_empty();
        self.heard.borrow_mut().push(message);
        if is_end {
            self.fold();
        } else if is_first {
            later(MOMENT, move || self.fold());
        }
    }

    pub(super) fn fold(&'static self) {
        let heard = self.heard.take();
        if heard.is_empty() {
            return;
        }
        let known = self.upload_id();
        let is_soon = !is_past(self.read_at.get(), READING);
        let mut heard = Some(heard);
        self.change_by(&mut |state| {
            let before = state.transfers.clone();
            for message in heard.take().unwrap_or_default() {
                state.transfers.fold(message);
            }
            let is_quiet = is_soon && captions::read_alike(&before, &state.transfers);
            state.reading += u32::from(!is_quiet);
        });
        if is_soon && !self.is_read_later.replace(true) {
            later(READING, move || {
                self.is_read_later.set(false);
                self.change(|_| {});
            });
        }
        if self.upload_id() != known {
            self.remember();
        }
        if self.asks(Transfers::is_in_vain) {
            self.end_post(FAREWELL, PostEnd::Dropped);
        }
        if !self.is_posting.get() {
            self.find_keys();
        }
    }

    /// Takes in how much has left the browser. While the socket tells nothing, that is all there is to show; and what the
    /// server does not get of it, something between here and there keeps.
    pub(super) fn leave(&'static self) {
        let (sent, whole) = self.sent.get();
        let is_silent = is_past(self.pressed_at.get(), SILENCE) && self.asks(Transfers::is_unheard);
        let connected = self.state.with_untracked(|state| state.connected);
        let received = self.state.with_untracked(|state| state.transfers.received());
        let is_heard = !self.asks(Transfers::is_unheard);
        let is_held = connected && is_heard && sent > received.saturating_add(MOST_UNDERWAY);
        let held_back = is_held.then_some((sent, received));
        if is_silent || !connected || held_back.is_some() {
            self.change(|state| {
                state.held_back = held_back;
                if is_silent || !connected {
                    state.transfers.leave(sent, whole);
                }
            });
        } else if self.state.with_untracked(|state| state.held_back.is_some()) {
            self.change(|state| state.held_back = None);
        }
    }

    /// What the socket told was stored, without an answer of the POST to say where.
    pub(super) fn find_keys(&'static self) {
        let Some(upload_id) = self.upload_id().filter(|_| self.asks(Transfers::lacks_key)) else { return };
        self.ask("GET", &address_of(&upload_id), move |_, body| {
            for message in json::snapshot(body).unwrap_or_default() {
                self.change(|state| state.transfers.find(message));
            }
            self.end_links();
        });
    }

    /// A link that no longer works is taken away.
    pub(super) fn end_links(&'static self) {
        for kind in self.session.kinds {
            let link =
                |state: &State| state.transfers.row(kind.file_type).and_then(Row::link).map(str::to_owned);
            let Some(link) = self.state.with_untracked(link) else { continue };
            if let Some(seconds) = seconds_of(&link) {
                later(Duration::from_secs(seconds), move || {
                    self.change(|state| state.places[kind.file_type.index()].ended_link = link);
                });
            }
        }
    }
}

/// How long a link holds, as S3 writes it there.
fn seconds_of(link: &str) -> Option<u64> {
    link.split('&').find_map(|pair| pair.strip_prefix("X-Amz-Expires="))?.parse().ok()
}
