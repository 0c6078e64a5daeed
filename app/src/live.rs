//! The page at work: whatever happens to it changes one state, and one effect paints that.

mod news;
mod places;
mod posting;
mod reload;

use std::cell::{Cell, RefCell};
use std::time::Duration;

use leptos::mount::mount_to_body;
use leptos::prelude::*;
use wasm_bindgen::JsCast;
use web_sys::{Element, Event, EventTarget, XmlHttpRequest};

use crate::feed::Feed;
use crate::send::{self, Step};
use crate::sentences::Kind;
use crate::session::Session;
use crate::state::State;
use crate::transfers::{PostEnd, Row, Transfers};
use crate::wire::FileMessage;
use crate::{awake, captions, choosing, dom, paint};

/// A server that has said nothing for so long after the press is not heard, connected or not; and without a network, a
/// connection that moves nothing for so long is broken.
const SILENCE: Duration = Duration::from_secs(2);
/// The one button's id.
const PRESS: &str = "press";

/// The page for as long as its program runs.
struct Live {
    session: Session,
    state: RwSignal<State>,
    feed: Feed,
    client_id: RefCell<String>,
    /// The POST under way.
    post: RefCell<Option<XmlHttpRequest>>,
    /// How it ends if we end it.
    ending: RefCell<Option<PostEnd>>,
    is_posting: Cell<bool>,
    /// A timer is set to end it.
    is_ending: Cell<bool>,
    /// The session was asked for anew since the last press.
    is_renewed: Cell<bool>,
    /// When Upload was last pressed, in ms; tells one upload from the next.
    pressed_at: Cell<f64>,
    /// Bytes of the form that have left the browser, and that it has in all.
    sent: Cell<(u64, u64)>,
    /// What the socket has told since the last change.
    heard: RefCell<Vec<FileMessage>>,
    /// When something new to read was shown, in ms, and whether more of it is due.
    read_at: Cell<f64>,
    is_read_later: Cell<bool>,
    /// When the browser last sent or heard something, in ms.
    moved_at: Cell<f64>,
}

/// Brings the server's page to life; once, in the browser.
pub fn start() {
    let session = Session::from_document();
    mount_to_body(move || {
        let live: &'static Live = Box::leak(Box::new(Live {
            state: RwSignal::new(State::default()),
            feed: Feed::default(),
            client_id: RefCell::new(session.client_id.clone()),
            post: RefCell::default(),
            ending: RefCell::default(),
            is_posting: Cell::default(),
            is_ending: Cell::default(),
            is_renewed: Cell::default(),
            pressed_at: Cell::default(),
            sent: Cell::default(),
            heard: RefCell::default(),
            read_at: Cell::default(),
            is_read_later: Cell::default(),
            moved_at: Cell::default(),
            session,
        }));
        live.wake();
    });
}

impl Live {
    fn wake(&'static self) {
        Effect::new(move |last: Option<State>| {
            self.state.with(|state| {
                paint::paint(state, last.as_ref(), &self.session);
                state.clone()
            })
        });
        let document: EventTarget = document().into();
        let of_document = [
            "click",
            "change",
            "submit",
            "dragover",
            "dragleave",
            "drop",
            "paste",
            "toggle",
            "visibilitychange",
        ];
        for name in of_document {
            dom::listen(&document, name, Box::new(move |event| self.hear(&event)));
        }
        for name in ["online", "offline", "beforeunload"] {
            dom::listen(&window(), name, Box::new(move |event| self.hear(&event)));
        }
        for kind in self.session.kinds {
            if choosing::file(kind).is_some() {
                self.look_again(kind);
            }
        }
        self.look_at_network();
        self.recall();
        let client_id = move || self.client_id.borrow().clone();
        self.feed.watch(Box::new(client_id), Box::new(move |news| self.take_news(news)));
        if let Some(main) = dom::find_in_page("main") {
            dom::mark(&main, "data-awake", true);
        }
    }

    /// One ear for all: each closure of its own would cost the page more than the question.
    fn hear(&'static self, event: &Event) {
        match event.type_().as_str() {
            "click" => self.click(event),
            "change" => self.choose(event),
            "submit" => {
                event.prevent_default();
                self.press();
            }
            "dragover" => self.drag(event, true),
            "dragleave" => self.drag(event, false),
            "drop" => self.take_drop(event),
            "paste" => self.take_paste(event),
            // Of the details, which are written only while somebody looks.
            "toggle" => self.change(|_| {}),
            "visibilitychange" => awake::keep(self.asks(Transfers::is_running)),
            "beforeunload" => {
                // What the server has whole it stores without us.
                if self.asks(Transfers::is_running) && !self.asks(Transfers::is_received) {
                    event.prevent_default();
                }
            }
            _ => self.look_at_network(),
        }
    }

    fn click(&'static self, event: &Event) {
        let Some(button) = closest(event, "[data-do]") else { return };
        let kind = self.kind_at(event);
        match (button.get_attribute("data-do").unwrap_or_default().as_str(), kind) {
            ("retry", _) => self.start(),
            ("confirm", _) => self.cancel(),
            ("keep", _) => self.change(|state| state.asks_to_cancel = false),
            ("report", _) => {
                copy(
                    &self
                        .state
                        .with_untracked(|state| captions::report(self.session.words, &state.transfers)),
                );
            }
            ("remove", Some(kind)) => {
                self.clear(kind);
                dom::focus(kind.file_type.field());
            }
            ("copy", Some(kind)) => {
                let key =
                    |state: &State| state.transfers.row(kind.file_type).and_then(Row::key).map(str::to_owned);
                if copy(&self.state.with_untracked(key).unwrap_or_default()) {
                    self.change(|state| state.places[kind.file_type.index()].copied = true);
                }
            }
            _ => {}
        }
    }

    fn look_at_network(&'static self) {
        let offline = !window().navigator().on_line();
        self.change(|state| state.transfers.set_offline(offline));
        self.moved_at.set(js_sys::Date::now());
        if offline {
            self.look_at_silence();
        }
    }

    /// Without a network a connection may stay silent for minutes; but this machine's own server needs none.
    fn look_at_silence(&'static self) {
        later(SILENCE, move || {
            if window().navigator().on_line() || !self.asks(Transfers::is_sending) {
                return;
            }
            if !is_past(self.moved_at.get(), SILENCE) {
                self.look_at_silence();
            } else {
                self.end_post(Duration::ZERO, PostEnd::Lost);
            }
        });
    }

    /// Changes the state and says aloud what is worth it.
    fn change(&'static self, change: impl FnOnce(&mut State)) {
        let mut change = Some(change);
        self.change_by(&mut |state| {
            if let Some(change) = change.take() {
                change(state);
                state.reading += 1;
            }
        });
    }

    /// Compiled once and not for every change.
    fn change_by(&'static self, change: &mut dyn FnMut(&mut State)) {
        let mut lost = None;
        let mut is_running = false;
        let mut is_answered = false;
        self.state.update(|state| {
            let before = state.transfers.clone();
            let reading = state.reading;
            let asked = state.asks_to_cancel;
            change(state);
            lost = state.speak(self.session.words, &before, &self.session.kinds);
            is_running = state.transfers.is_running();
            state.asks_to_cancel &= is_running && !state.transfers.is_cancelling();
            is_answered = asked && !state.asks_to_cancel;
            if !is_running {
                state.held_back = None;
            }
            if state.reading != reading {
                self.read_at.set(js_sys::Date::now());
            }
        });
        awake::keep(is_running);
        // The question goes, by a press or because there is nothing to cancel any more, and its focus would be lost.
        if is_answered && dom::find_in_page(".confirm:focus-within").is_some() {
            dom::focus(PRESS);
        }
        if let Some(kind) = lost {
            // The view follows first: until then the button is not there to have the focus.
            later(Duration::ZERO, move || dom::focus(&[kind.file_type.field(), "-retry"].concat()));
        }
    }

    /// Compiled once and not for every question.
    fn asks(&self, question: fn(&Transfers) -> bool) -> bool {
        self.state.with_untracked(|state| question(&state.transfers))
    }

    fn upload_id(&self) -> Option<String> {
        self.state.with_untracked(|state| state.transfers.upload_id().map(str::to_owned))
    }

    fn ask(&'static self, method: &str, address: &str, mut on_answer: impl FnMut(u16, &str) + 'static) {
        let on_step = move |step| {
            if let Step::Ended(status, body) = step {
                on_answer(status, &body);
            }
        };
        // One that cannot even begin is one that is not answered.
        drop(send::ask(method, address, Box::new(on_step)));
    }

    /// The card an event is in.
    fn kind_at(&self, event: &Event) -> Option<Kind> {
        let card = closest(event, ".card")?.get_attribute("data-file-type")?;
        self.session.kinds.into_iter().find(|kind| kind.wire_name() == card)
    }
}

fn closest(event: &Event, selector: &str) -> Option<Element> {
    event.target()?.dyn_into::<Element>().ok()?.closest(selector).ok().flatten()
}

/// Clipboards are for secure contexts only; elsewhere a text can be marked by hand.
fn copy(text: &str) -> bool {
    let is_secure = window().is_secure_context();
    if is_secure {
        drop(window().navigator().clipboard().write_text(text));
    }
    is_secure
}

/// Compiled once and not for every time.
fn later(time: Duration, then: impl FnOnce() + 'static) {
    let then: Box<dyn FnOnce()> = Box::new(then);
    set_timeout(then, time);
}

fn address_of(upload_id: &str) -> String {
    ["uploads/", upload_id].concat()
}

/// Whether so much time has passed since a moment in ms.
fn is_past(since: f64, time: Duration) -> bool {
    js_sys::Date::now() - since >= time.as_secs_f64() * 1_000.0
}
