//! The page: two cards, one button, one line that sums up.

use std::time::Duration;

use futures_channel::oneshot;
use leptos::prelude::*;
use leptos::task::spawn_local;

use crate::captions::{Spoken, announcement, button, note, summary, title};
use crate::card::{Card, Place};
use crate::feed::Feed;
use crate::send::{self, Abort, Chosen, bytes_of};
use crate::sentences::{Kind, nothing_chosen};
use crate::transfers::{PostEnd, Row, Transfers};
use crate::wire::{FileMessage, FileType};
use crate::words::{Word, Words};

/// What the server tells a page about itself, by attributes of `<body>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Where the form goes.
    pub upload: String,
    pub client_id: String,
    /// Largest accepted document, in bytes.
    pub max_document: u64,
    /// Largest accepted image, in bytes.
    pub max_image: u64,
    pub allow_svg: bool,
    /// In the page's language.
    pub words: Words,
}

impl Session {
    /// What the page says of one of its files.
    #[must_use]
    pub const fn kind(&self, file_type: FileType) -> Kind {
        let limit = match file_type {
            FileType::DocsFile => self.max_document,
            FileType::MsaImgs => self.max_image,
        };
        Kind { file_type, limit, svg: self.allow_svg }
    }

    /// Reads the attributes that `shell` wrote.
    #[must_use]
    pub fn from_document() -> Self {
        let body = document().body();
        let read = |name: &str| body.as_ref().and_then(|body| body.get_attribute(name));
        let number = |name| read(name).and_then(|text| text.parse().ok()).unwrap_or(0);
        Self {
            upload: send::upload_url(),
            client_id: read("data-client-id").unwrap_or_default(),
            max_document: number("data-max-document"),
            max_image: number("data-max-image"),
            allow_svg: number("data-allow-svg") == 1,
            words: Words::parse(read("data-words").unwrap_or_default()),
        }
    }
}

/// How long the server may take to confirm a cancel, and to tell how a broken POST ended.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a POST may take to answer once the socket has told that it failed: the answer has the key of
/// what was stored before, but a browser reads it only when all is sent or the connection breaks.
const FAREWELL: Duration = Duration::from_secs(1);
/// A server that has said nothing for so long after the press is not heard, connected or not; and without a network, a
/// connection that moves nothing for so long is broken.
const SILENCE_MS: u32 = 2_000;
/// A second press this soon is a double click on Upload and no wish to cancel.
const DOUBLE_CLICK_MS: f64 = 500.0;

/// A piece of the view that follows the signals it reads. Boxed, so that a view is compiled once
/// for all texts and once for all flags: each closure type of its own would cost the page 1 kB.
pub type Live<T> = Box<dyn Fn() -> T + Send>;

/// Everything the cards share.
#[derive(Clone, Copy)]
pub struct Page {
    pub words: Words,
    places: [Place; 2],
    transfers: RwSignal<Transfers>,
    feed: Feed,
    client_id: StoredValue<String>,
    /// Ends the POST under way.
    abort: StoredValue<Option<oneshot::Sender<Abort>>>,
    /// When Upload was last pressed, in ms; tells one upload from the next.
    pressed_at: StoredValue<f64>,
    /// Bytes of the form that have left the browser, and that it has in all.
    sent: StoredValue<(u64, u64)>,
    /// When the browser last sent or heard something, in ms.
    moved_at: StoredValue<f64>,
    awake: RwSignal<bool>,
    status: RwSignal<String>,
    alert: RwSignal<String>,
}

impl Page {
    fn new(session: &Session) -> Self {
        Self {
            words: session.words,
            places: FileType::ALL.map(|file_type| Place::new(session.kind(file_type))),
            transfers: RwSignal::new(Transfers::default()),
            feed: Feed::new(),
            client_id: StoredValue::new(session.client_id.clone()),
            abort: StoredValue::new(None),
            pressed_at: StoredValue::new(0.0),
            sent: StoredValue::new((0, 0)),
            moved_at: StoredValue::new(0.0),
            awake: RwSignal::new(false),
            status: RwSignal::new(String::new()),
            alert: RwSignal::new(String::new()),
        }
    }

    /// Reads one file's row, and again whenever it changes.
    pub fn with_row<T>(self, kind: Kind, read: impl FnOnce(Option<&Row>) -> T) -> T {
        self.transfers.with(|transfers| read(transfers.row(kind.file_type)))
    }

    /// The last result of a file makes room for another choice.
    pub fn forget(self, kind: Kind) {
        self.change(|transfers| transfers.forget(kind.file_type));
    }

    /// Runs once, in the browser, when the page has come alive.
    fn wake(self) {
        self.awake.set(true);
        for place in self.places {
            if place.file().is_some() {
                place.look_again(self.words);
            }
        }
        // A file that misses the card must not replace the page.
        for event in ["dragover", "drop"] {
            let _ = window_event_listener_untyped(event, |event| event.prevent_default());
        }
        for event in ["online", "offline"] {
            let _ = window_event_listener_untyped(event, move |_| self.look_at_network());
        }
        self.look_at_network();
        self.feed.watch(&self.client_id.get_value(), move |message| self.fold(message));
    }

    fn look_at_network(self) {
        let offline = !window().navigator().on_line();
        self.change(|transfers| transfers.set_offline(offline));
        self.moved_at.set_value(js_sys::Date::now());
        if offline {
            self.look_at_silence();
        }
    }

    /// Without a network a connection may stay silent for minutes; but this machine's own server needs none.
    fn look_at_silence(self) {
        set_timeout(
            move || {
                if window().navigator().on_line() || !self.asks(Transfers::is_sending) {
                    return;
                }
                if js_sys::Date::now() - self.moved_at.get_value() < f64::from(SILENCE_MS) {
                    self.look_at_silence();
                } else {
                    self.abort_after(Duration::ZERO, Abort::Offline);
                }
            },
            Duration::from_millis(u64::from(SILENCE_MS)),
        );
    }

    fn fold(self, message: FileMessage) {
        self.moved_at.set_value(js_sys::Date::now());
        self.change(|transfers| {
            transfers.fold(message);
        });
        if self.asks(Transfers::is_in_vain) {
            self.abort_after(FAREWELL, Abort::Unwanted);
        }
    }

    /// Only while the socket tells nothing: its counts are the ones that matter.
    fn leave(self) {
        let is_silent = self.since_press() > f64::from(SILENCE_MS) && self.asks(Transfers::is_unheard);
        if is_silent || !untrack(|| self.feed.is_connected()) {
            let (sent, whole) = self.sent.get_value();
            self.change(|transfers| transfers.leave(sent, whole));
        }
    }

    /// Changes the rows and says aloud what is worth it.
    fn change(self, change: impl FnOnce(&mut Transfers)) {
        let mut change = Some(change);
        self.change_by(&mut |transfers| {
            if let Some(change) = change.take() {
                change(transfers);
            }
        });
    }

    /// Compiled once and not for every change.
    fn change_by(self, change: &mut dyn FnMut(&mut Transfers)) {
        let before = self.transfers.get_untracked();
        self.transfers.update(change);
        self.speak(&before);
    }

    /// Compiled once and not for every question.
    fn asks(self, question: fn(&Transfers) -> bool) -> bool {
        self.transfers.with_untracked(question)
    }

    fn speak(self, before: &Transfers) {
        let mut lost = None;
        for place in self.places {
            let file_type = place.kind.file_type;
            let after = |transfers: &Transfers| {
                let row = transfers.row(file_type);
                (
                    announcement(self.words, file_type, before.row(file_type), row),
                    row.is_some_and(Row::is_lost),
                )
            };
            match self.transfers.with_untracked(after) {
                (Some(Spoken::Status(text)), _) => self.status.set(text),
                (Some(Spoken::Alert(text)), is_lost) => {
                    self.alert.set(text);
                    lost = lost.or(is_lost.then_some(place));
                }
                (None, _) => {}
            }
        }
        if let Some(place) = lost {
            // The view follows first: until then the button is not there to have the focus.
            set_timeout(move || place.focus_retry(), Duration::ZERO);
        }
    }

    /// Chosen and not yet stored: what a press of Upload sends.
    fn pending(self) -> Vec<Chosen> {
        let chosen = self.places.into_iter().filter(|place| !self.is_stored(*place));
        chosen
            .filter_map(|place| Some(Chosen { file_type: place.kind.file_type, file: place.file()? }))
            .collect()
    }

    fn is_stored(self, place: Place) -> bool {
        self.with_row(place.kind, |row| row.is_some_and(Row::is_stored))
    }

    fn since_press(self) -> f64 {
        js_sys::Date::now() - self.pressed_at.get_value()
    }

    /// The one button: Upload, Cancel, or room for more.
    fn press(self) {
        let since = self.since_press();
        let stored = self.asks(|transfers| transfers.stored() > 0);
        if self.asks(Transfers::is_running) {
            if since > DOUBLE_CLICK_MS {
                self.cancel();
            }
        } else if stored && self.pending().is_empty() {
            self.clear();
        } else {
            self.start();
        }
    }

    /// Sends what is pending.
    pub fn start(self) {
        if self.asks(Transfers::is_running) {
            return;
        }
        let files = self.pending();
        if files.is_empty() {
            self.refuse_empty();
            return;
        }
        let press = js_sys::Date::now();
        self.pressed_at.set_value(press);
        let sizes = files.iter().map(|chosen| (chosen.file_type, bytes_of(&chosen.file)));
        let sizes: Vec<_> = sizes.collect();
        self.change(|transfers| transfers.begin(&sizes));
        self.sent.set_value((0, 0));
        set_timeout(move || self.leave(), Duration::from_millis(u64::from(SILENCE_MS) + 100));
        let (abort, aborted) = oneshot::channel();
        self.abort.set_value(Some(abort));
        let client_id = self.client_id.get_value();
        spawn_local(async move {
            let on_sent = move |sent, whole| {
                self.sent.set_value((sent, whole));
                self.moved_at.set_value(js_sys::Date::now());
                self.leave();
            };
            let end = send::post(&files, &client_id, aborted, on_sent).await;
            if end == PostEnd::Lost {
                // The socket may still tell how it really ended.
                self.change_of(press, Transfers::break_off);
                set_timeout(move || self.settle(press, PostEnd::Lost), PATIENCE);
            } else {
                self.settle(press, end);
            }
        });
    }

    fn refuse_empty(self) {
        let refusal = nothing_chosen(self.words);
        self.alert.set(refusal.sentence.clone());
        // What is refused already says why.
        if self.places.iter().all(|place| place.refusal.with_untracked(Option::is_none)) {
            self.places[0].refusal.set(Some(refusal));
        }
        self.places[0].focus();
    }

    fn settle(self, press: f64, end: PostEnd) {
        self.change_of(press, |transfers| transfers.settle(end));
    }

    /// What became of a POST, unless another one has begun since.
    fn change_of(self, press: f64, change: impl FnOnce(&mut Transfers)) {
        if self.pressed_at.get_value().total_cmp(&press).is_eq() {
            self.change(change);
        }
    }

    /// Tells the server; the request is dropped only when it has confirmed, or not in time.
    fn cancel(self) {
        if self.asks(Transfers::is_cancelling) {
            return;
        }
        self.change(Transfers::cancel);
        match self.transfers.with_untracked(|transfers| transfers.upload_id().map(str::to_owned)) {
            Some(upload_id) => {
                if !self.feed.cancel(&upload_id) {
                    send::delete(&upload_id);
                }
                self.abort_after(PATIENCE, Abort::Unwanted);
            }
            None => self.abort_after(Duration::ZERO, Abort::Unwanted),
        }
    }

    /// Whoever calls first sets the time; the sender is this upload's, so no later one is hit.
    fn abort_after(self, time: Duration, why: Abort) {
        let press = self.pressed_at.get_value();
        if let Some(abort) = self.abort.try_update_value(Option::take).flatten() {
            set_timeout(
                move || {
                    // A POST that is dead already has nobody left to say so.
                    if abort.send(why).is_err() {
                        self.settle(press, why.into());
                    }
                },
                time,
            );
        }
    }

    /// Room for two more files.
    fn clear(self) {
        for place in self.places {
            place.clear();
            self.forget(place.kind);
        }
        self.places[0].focus();
    }

    /// Whether a press of the button would send something.
    fn is_waiting(self) -> bool {
        let waits = |place: &Place| place.chosen.with(Option::is_some) && !self.is_stored(*place);
        self.places.iter().any(waits)
    }

    fn note(self) -> &'static str {
        let connected = self.feed.is_connected();
        self.transfers.with(|transfers| note(self.words, transfers, connected))
    }

    fn about_all<T: 'static>(self, read: fn(&Transfers) -> T) -> Live<T> {
        Box::new(move || self.transfers.with(read))
    }
}

/// All that hydrates.
#[component]
pub fn App(session: Session) -> impl IntoView {
    let page = Page::new(&session);
    let words = page.words;
    let label: Live<String> =
        Box::new(move || page.transfers.with(|all| button(words, all, page.is_waiting()).to_owned()));
    let summary: Live<String> = Box::new(move || page.transfers.with(|all| summary(words, all)));
    let awake: Live<bool> = Box::new(move || page.awake.get());
    let (note, no_note): (Live<String>, Live<bool>) =
        (Box::new(move || page.note().to_owned()), Box::new(move || page.note().is_empty()));
    let status: Live<String> = Box::new(move || page.status.get());
    let alert: Live<String> = Box::new(move || page.alert.get());
    Effect::new(move |_| page.wake());
    Effect::new(move |_| document().set_title(&page.transfers.with(|all| title(words, all))));
    view! {
        <main data-awake=awake>
            <header>
                <p class="brand">"Bucket Brigade"</p>
                <h1>{words.text(Word::Heading)}</h1>
                <p class="lead">{words.text(Word::Lead)}</p>
            </header>
            <form
                method="post"
                action=session.upload
                enctype="multipart/form-data"
                on:submit=move |event| {
                    event.prevent_default();
                    page.press();
                }
            >
                <div class="cards">
                    <Card page place=page.places[0] />
                    <Card page place=page.places[1] />
                </div>
                <div class="actions">
                    <button
                        type="submit"
                        class="primary"
                        data-running=page.about_all(Transfers::is_running)
                        disabled=page.about_all(Transfers::is_cancelling)
                    >
                        {label}
                    </button>
                    <p class="summary">{summary}</p>
                </div>
                <p class="note" hidden=no_note>
                    {note}
                </p>
            </form>
            <p class="unseen" role="status">{status}</p>
            <p class="unseen" role="alert">{alert}</p>
        </main>
    }
}
