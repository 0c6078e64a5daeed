//! The page at work: whatever happens to it changes one state, and one effect paints that.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use leptos::mount::mount_to_body;
use leptos::prelude::*;
use leptos::task::spawn_local;
use wasm_bindgen::JsCast;
use web_sys::{ClipboardEvent, DataTransfer, DragEvent, Element, Event, EventTarget, Url, XmlHttpRequest};

use crate::choosing::{self, Handed};
use crate::feed::{Feed, News};
use crate::memory::{self, Memory};
use crate::send::{self, Chosen, Step, bytes_of};
use crate::sentences::{Kind, Refusal, folder, nothing_chosen, shown, size, too_many, unreadable};
use crate::session::Session;
use crate::state::{Preview, State};
use crate::transfers::{PostEnd, Row, Transfers};
use crate::wire::{FileMessage, FileType};
use crate::words::Word;
use crate::{awake, captions, dom, json, paint};

/// How long the server may take to confirm a cancel, and to tell how a broken POST ended.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a POST may take to answer once the socket has told that it failed: the answer has the key of
/// what was stored before, but a browser reads it only when all is sent or the connection breaks.
const FAREWELL: Duration = Duration::from_secs(1);
/// A server that has said nothing for so long after the press is not heard, connected or not; and without a network, a
/// connection that moves nothing for so long is broken.
const SILENCE: Duration = Duration::from_secs(2);
const SILENCE_MS: f64 = 2_000.0;
/// A second press this soon is a double click on Upload and no wish to cancel.
const DOUBLE_CLICK_MS: f64 = 500.0;
/// Between two changes by the socket: 30 messages a second and file are more than anybody sees.
const MOMENT_MS: f64 = 25.0;
/// Between two texts that differ in numbers only: nobody reads faster.
const READING_MS: f64 = 250.0;
const READING: Duration = Duration::from_millis(250);
/// How far the browser may be ahead of the server by what lies in sockets on both sides: 4 MiB that Linux sends from and
/// 6 MiB that it receives into, at most (tcp(7), `tcp_wmem` and `tcp_rmem`), and some.
const MOST_UNDERWAY: u64 = 16 << 20;
/// The one button's id.
const PRESS: &str = "press";
/// The code of a client id that is not of the browser's session.
const FOREIGN: &str = "client_id_foreign";

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
    /// What the socket has told since the last change, and when that was, in ms.
    heard: RefCell<Vec<FileMessage>>,
    folded_at: Cell<f64>,
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
            folded_at: Cell::default(),
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
        if let Some(main) = find("main") {
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
            // It does not bubble, but is of no element here either.
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
                    self.change(|state| state.places[kind.index()].copied = true);
                }
            }
            _ => {}
        }
    }

    fn choose(&'static self, event: &Event) {
        let Some(kind) = self.kind_at(event) else { return };
        let input = event.target().and_then(|target| target.dyn_into::<Element>().ok());
        if input.is_some_and(|input| input.id() == "camera") {
            let photo = choosing::input("camera").and_then(|input| input.files()?.get(0));
            choosing::empty("camera");
            if let Some(photo) = photo {
                choosing::put(kind, &photo);
            }
        }
        self.look_again(kind);
    }

    fn drag(&'static self, event: &Event, is_over: bool) {
        let Some(transfer) = transfer(event).filter(choosing::has_files) else { return };
        event.prevent_default();
        let leaves = || event.unchecked_ref::<DragEvent>().related_target().is_none();
        if !is_over && !leaves() {
            return;
        }
        let takers = if is_over && !self.asks(Transfers::is_running) {
            choosing::takers(&transfer, &self.session.kinds)
        } else {
            [false; 2]
        };
        self.hover(takers);
    }

    fn hover(&'static self, takers: [bool; 2]) {
        if self.state.with_untracked(|state| state.places.each_ref().map(|place| place.hovered)) != takers {
            self.change(|state| {
                for (place, hovered) in state.places.iter_mut().zip(takers) {
                    place.hovered = hovered;
                }
            });
        }
    }

    fn take_drop(&'static self, event: &Event) {
        let Some(transfer) = transfer(event).filter(choosing::has_files) else { return };
        // A file that misses the cards must not replace the page.
        event.prevent_default();
        self.hover([false; 2]);
        let here = self.kind_at(event).map_or(FileType::DocsFile, |kind| kind.file_type);
        self.take(&transfer, here);
    }

    fn take_paste(&'static self, event: &Event) {
        let pasted = event.unchecked_ref::<ClipboardEvent>().clipboard_data();
        if let Some(transfer) = pasted.filter(choosing::has_files) {
            event.prevent_default();
            self.take(&transfer, FileType::MsaImgs);
        }
    }

    fn take(&'static self, transfer: &DataTransfer, here: FileType) {
        if self.asks(Transfers::is_running) {
            return;
        }
        let words = self.session.words;
        let handed = choosing::hand_out(transfer, &self.session.kinds, here);
        for (kind, Handed { files, has_folder }) in self.session.kinds.into_iter().zip(handed) {
            match &*files {
                _ if has_folder => self.refuse(kind, folder(words)),
                [] => {}
                [file] => {
                    choosing::put(kind, file);
                    self.look_again(kind);
                }
                many => {
                    self.refuse(kind, too_many(words, kind, u32::try_from(many.len()).unwrap_or(u32::MAX)))
                }
            }
        }
    }

    /// Takes in what an input holds now; the last result of this file makes room for it.
    fn look_again(&'static self, kind: Kind) {
        self.forget(kind);
        match choosing::look(self.session.words, kind) {
            Ok(chosen) => self.show(kind, chosen),
            Err(refusal) => self.refuse(kind, refusal),
        }
    }

    fn show(&'static self, kind: Kind, chosen: Option<Preview>) {
        let words = self.session.words;
        self.change(move |state| {
            let place = &mut state.places[kind.index()];
            if let Some(url) = place.chosen.take().and_then(|before| before.thumbnail) {
                drop(Url::revoke_object_url(&url));
            }
            if let Some(preview) = &chosen {
                let noun = crate::sentences::noun(words, kind.file_type);
                state.status = words.fill(Word::SayChosen, &[&preview.name, &preview.size, noun]);
            }
            place.chosen = chosen;
            place.refusal = None;
            place.copied = false;
        });
    }

    fn refuse(&'static self, kind: Kind, refusal: Refusal) {
        self.forget(kind);
        choosing::empty(kind.file_type.field());
        self.show(kind, None);
        self.change(move |state| {
            state.alert = crate::words::joined(&refusal.sentence, &refusal.advice);
            state.places[kind.index()].refusal = Some(refusal);
        });
    }

    /// Room for another file.
    fn clear(&'static self, kind: Kind) {
        self.forget(kind);
        choosing::empty(kind.file_type.field());
        self.show(kind, None);
    }

    fn forget(&'static self, kind: Kind) {
        self.change(|state| state.transfers.forget(kind.file_type));
        if self.state.with_untracked(|state| {
            self.session.kinds.iter().all(|kind| state.transfers.row(kind.file_type).is_none())
        }) {
            memory::forget();
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
            if js_sys::Date::now() - self.moved_at.get() < SILENCE_MS {
                self.look_at_silence();
            } else {
                self.end_post(Duration::ZERO, PostEnd::Lost);
            }
        });
    }

    fn take_news(&'static self, news: News) {
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
        let since = js_sys::Date::now() - self.folded_at.get();
        if is_end || since >= MOMENT_MS {
            self.fold();
        } else if is_first {
            let rest = Duration::from_secs_f64((MOMENT_MS - since) / 1_000.0);
            later(rest, move || self.fold());
        }
    }

    fn fold(&'static self) {
        let heard = self.heard.take();
        if heard.is_empty() {
            return;
        }
        let now = js_sys::Date::now();
        self.folded_at.set(now);
        let known = self.upload_id();
        let is_soon = now - self.read_at.get() < READING_MS;
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
    fn leave(&'static self) {
        let (sent, whole) = self.sent.get();
        let is_silent = self.since_press() > SILENCE_MS && self.asks(Transfers::is_unheard);
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
        if is_answered && find(".confirm:focus-within").is_some() {
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

    fn since_press(&self) -> f64 {
        js_sys::Date::now() - self.pressed_at.get()
    }

    /// The one button: Upload, Cancel, or room for more.
    fn press(&'static self) {
        let (stored, pending) = self
            .state
            .with_untracked(|state| (state.transfers.stored() > 0, state.has_pending(&self.session.kinds)));
        if self.asks(Transfers::is_running) {
            if self.since_press() > DOUBLE_CLICK_MS {
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

    fn start(&'static self) {
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
        for kind in self.session.kinds {
            let Some(file) = choosing::file(kind) else { continue };
            spawn_local(async move {
                if !choosing::is_readable(&file).await {
                    self.refuse(kind, unreadable(self.session.words, &shown(&file.name())));
                }
            });
        }
    }

    /// The browser's session has ended while the page was open: the page is asked for again, which begins another, and
    /// the upload goes on under an id of that. `refused` is how it ends otherwise.
    fn renew(&'static self, refused: Option<PostEnd>) {
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
                    if refused.is_some() {
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

    fn ask(&'static self, method: &str, address: &str, mut on_answer: impl FnMut(u16, &str) + 'static) {
        let on_step = move |step| {
            if let Step::Ended(status, body) = step {
                on_answer(status, &body);
            }
        };
        // One that cannot even begin is one that is not answered.
        drop(send::ask(method, address, Box::new(on_step)));
    }

    fn refuse_empty(&'static self) {
        let refusal = nothing_chosen(self.session.words);
        let [document, _] = self.session.kinds;
        self.change(|state| {
            state.alert = refusal.sentence.clone();
            // What is refused already says why.
            if state.places.iter().all(|place| place.refusal.is_none()) {
                state.places[document.index()].refusal = Some(refusal);
            }
        });
        dom::focus(document.file_type.field());
    }

    fn settle(&'static self, press: f64, end: PostEnd) {
        self.change_of(press, |transfers| transfers.settle(end));
        self.end_links();
        self.find_keys();
    }

    /// What became of a POST, unless another one has begun since.
    fn change_of(&'static self, press: f64, change: impl FnOnce(&mut Transfers)) {
        if self.pressed_at.get().total_cmp(&press).is_eq() {
            self.change(|state| change(&mut state.transfers));
        }
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
    fn cancel(&'static self) {
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
    fn end_post(&'static self, time: Duration, end: PostEnd) {
        if self.is_ending.replace(true) {
            return;
        }
        let press = self.pressed_at.get();
        later(time, move || {
            if !self.is_posting.get() {
                // A POST that is dead already has nobody left to say so.
                self.settle(press, end);
            } else if self.pressed_at.get().total_cmp(&press).is_eq() {
                self.ending.replace(Some(end));
                if let Some(post) = &*self.post.borrow() {
                    drop(post.abort());
                }
            }
        });
    }

    /// For the next page in this tab.
    fn remember(&self) {
        let files = self.session.kinds.into_iter().filter_map(|kind| {
            let bytes = self.state.with_untracked(|state| Some(state.transfers.row(kind.file_type)?.size))?;
            Some((kind.file_type, bytes, shown(&choosing::file(kind)?.name())))
        });
        memory::keep(&Memory {
            client_id: self.client_id.borrow().clone(),
            upload_id: self.upload_id().unwrap_or_default(),
            files: files.collect(),
        });
    }

    /// Goes on with the upload of the page before this one.
    fn recall(&'static self) {
        let Some(memory) = memory::recall() else { return };
        let fresh = self.client_id.replace(memory.client_id.clone());
        if memory.upload_id.is_empty() {
            // That page went before the server had said a word: nobody can tell any more.
            self.restore(&memory);
            self.change(|state| state.transfers.settle(PostEnd::Lost));
            memory::forget();
            return;
        }
        self.ask("GET", &address_of(&memory.upload_id), move |status, body| {
            let is_idle = self.pressed_at.get() == 0.0;
            let files = json::snapshot(body).filter(|_| status == 200 && is_idle);
            if files.is_none() {
                memory::forget();
            }
            if status == 403 {
                self.client_id.replace(fresh.clone());
            }
            if let Some(files) = files {
                self.restore(&memory);
                self.heard.replace(files);
                self.fold();
                self.end_links();
            }
        });
    }

    fn restore(&'static self, memory: &Memory) {
        let words = self.session.words;
        let sizes: Vec<_> = memory.files.iter().map(|(file_type, bytes, _)| (*file_type, *bytes)).collect();
        self.change(|state| {
            state.transfers.restore(&memory.upload_id, &sizes);
            for (file_type, bytes, name) in &memory.files {
                let size = size(words, *bytes);
                let preview = Preview { name: name.clone(), size, thumbnail: None, is_here: false };
                state.places[*file_type as usize].chosen = Some(preview);
            }
        });
    }

    /// What the socket told was stored, without an answer of the POST to say where.
    fn find_keys(&'static self) {
        let Some(upload_id) = self.upload_id().filter(|_| self.asks(Transfers::lacks_key)) else { return };
        self.ask("GET", &address_of(&upload_id), move |_, body| {
            for message in json::snapshot(body).unwrap_or_default() {
                self.change(|state| state.transfers.find(message));
            }
            self.end_links();
        });
    }

    /// A link that no longer works is taken away.
    fn end_links(&'static self) {
        for kind in self.session.kinds {
            let link =
                |state: &State| state.transfers.row(kind.file_type).and_then(Row::link).map(str::to_owned);
            let Some(link) = self.state.with_untracked(link) else { continue };
            if let Some(seconds) = seconds_of(&link) {
                later(Duration::from_secs(seconds), move || {
                    self.change(|state| state.places[kind.index()].ended_link = link);
                });
            }
        }
    }

    /// The card an event is in.
    fn kind_at(&self, event: &Event) -> Option<Kind> {
        let card = closest(event, ".card")?.get_attribute("data-file-type")?;
        self.session.kinds.into_iter().find(|kind| kind.wire_name() == card)
    }
}

fn find(selector: &str) -> Option<Element> {
    document().query_selector(selector).ok().flatten()
}

fn closest(event: &Event, selector: &str) -> Option<Element> {
    event.target()?.dyn_into::<Element>().ok()?.closest(selector).ok().flatten()
}

fn transfer(event: &Event) -> Option<DataTransfer> {
    event.dyn_ref::<DragEvent>()?.data_transfer()
}

fn address_of(upload_id: &str) -> String {
    ["/uploads/", upload_id].concat()
}

/// How long a link holds, as S3 writes it there.
fn seconds_of(link: &str) -> Option<u64> {
    link.split('&').find_map(|pair| pair.strip_prefix("X-Amz-Expires="))?.parse().ok()
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
