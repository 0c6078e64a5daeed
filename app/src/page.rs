//! The page: two cards, one button, one line that sums up.

use std::time::Duration;

use futures_channel::oneshot;
use leptos::ev;
use leptos::prelude::*;
use leptos::task::spawn_local;

use crate::captions::{Look, Spoken, announcement, look};
use crate::card::{Card, Place};
use crate::feed::Feed;
use crate::send::{self, Chosen, bytes_of};
use crate::sentences::{Kind, Refusal, duration, nothing_chosen, noun};
use crate::transfers::{PostEnd, Row, Transfers};
use crate::wire::{FileMessage, FileType};

/// What the server tells a page about itself, by attributes of `<body>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    pub client_id: String,
    /// Largest accepted document, in bytes.
    pub max_document: u64,
    /// Largest accepted image, in bytes.
    pub max_image: u64,
    pub allow_svg: bool,
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
            client_id: read("data-client-id").unwrap_or_default(),
            max_document: number("data-max-document"),
            max_image: number("data-max-image"),
            allow_svg: number("data-allow-svg") == 1,
        }
    }
}

/// How long the server may take to confirm a cancel, and to tell how a broken POST ended.
const PATIENCE: Duration = Duration::from_secs(5);
/// A second press this soon is a double click on Upload and no wish to cancel.
const DOUBLE_CLICK_MS: f64 = 500.0;

/// Everything the cards share.
#[derive(Clone, Copy)]
pub struct Page {
    places: [Place; 2],
    transfers: RwSignal<Transfers>,
    rows: [Memo<Option<Row>>; 2],
    feed: Feed,
    client_id: StoredValue<String>,
    /// Ends the POST under way.
    abort: StoredValue<Option<oneshot::Sender<()>>>,
    pressed_at: StoredValue<f64>,
    awake: RwSignal<bool>,
    status: RwSignal<String>,
    alert: RwSignal<String>,
}

impl Page {
    fn new(session: &Session) -> Self {
        let transfers = RwSignal::new(Transfers::default());
        Self {
            places: FileType::ALL.map(|file_type| Place::new(session.kind(file_type))),
            transfers,
            rows: FileType::ALL.map(|file_type| {
                Memo::new(move |_| transfers.with(|transfers| transfers.row(file_type).cloned()))
            }),
            feed: Feed::new(),
            client_id: StoredValue::new(session.client_id.clone()),
            abort: StoredValue::new(None),
            pressed_at: StoredValue::new(0.0),
            awake: RwSignal::new(false),
            status: RwSignal::new(String::new()),
            alert: RwSignal::new(String::new()),
        }
    }

    #[must_use]
    pub fn row(self, file_type: FileType) -> Memo<Option<Row>> {
        self.rows[usize::from(file_type == FileType::MsaImgs)]
    }

    /// The last result of a file makes room for another choice.
    pub fn forget(self, file_type: FileType) {
        self.transfers.update(|transfers| transfers.forget(file_type));
    }

    /// Runs once, in the browser, when the page has come alive.
    fn wake(self) {
        self.awake.set(true);
        for place in self.places {
            if place.file().is_some() {
                place.look_again();
            }
        }
        // A file that misses the card must not replace the page.
        drop(window_event_listener(ev::dragover, |event| event.prevent_default()));
        drop(window_event_listener(ev::drop, |event| event.prevent_default()));
        self.feed.watch(&self.client_id.get_value(), move |message| self.fold(message));
    }

    fn fold(self, message: FileMessage) {
        self.change(|transfers| transfers.fold(message));
        self.finish_cancel();
    }

    /// Changes the rows and says aloud what is worth it.
    fn change<T>(self, change: impl FnOnce(&mut Transfers) -> T) {
        let before = self.rows_now();
        self.transfers.update(|transfers| {
            change(transfers);
        });
        let after = self.rows_now();
        for ((file_type, before), after) in FileType::ALL.into_iter().zip(before).zip(after) {
            match announcement(file_type, before.as_ref(), after.as_ref()) {
                Some(Spoken::Status(text)) => self.status.set(text),
                Some(Spoken::Alert(text)) => self.alert.set(text),
                None => {}
            }
        }
    }

    fn rows_now(self) -> [Option<Row>; 2] {
        self.transfers
            .with_untracked(|transfers| FileType::ALL.map(|file_type| transfers.row(file_type).cloned()))
    }

    /// Chosen and not yet stored: what a press of Upload sends.
    fn pending(self) -> Vec<Chosen> {
        let rows = self.rows_now();
        let open = self.places.into_iter().zip(rows);
        open.filter(|(_, row)| !row.as_ref().is_some_and(Row::is_stored))
            .filter_map(|(place, _)| {
                let file_type = place.kind.file_type;
                Some(Chosen { file_type, file: place.file()? })
            })
            .collect()
    }

    fn press(self) {
        let now = js_sys::Date::now();
        let running = self.transfers.with_untracked(Transfers::is_running);
        let stored = self.rows_now().iter().flatten().any(Row::is_stored);
        if running {
            if now - self.pressed_at.get_value() > DOUBLE_CLICK_MS {
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
        if self.transfers.with_untracked(Transfers::is_running) {
            return;
        }
        self.pressed_at.set_value(js_sys::Date::now());
        let files = self.pending();
        if files.is_empty() {
            self.refuse_empty();
            return;
        }
        let sizes: Vec<_> = files.iter().map(|chosen| (chosen.file_type, bytes_of(&chosen.file))).collect();
        self.change(|transfers| transfers.begin(&sizes));
        let (abort, aborted) = oneshot::channel();
        self.abort.set_value(Some(abort));
        let client_id = self.client_id.get_value();
        spawn_local(async move {
            match send::post(&files, &client_id, aborted).await {
                // The socket may still tell how it really ended.
                PostEnd::Lost => {
                    set_timeout(move || self.settle(PostEnd::Lost), PATIENCE);
                }
                end => self.settle(end),
            }
        });
    }

    fn refuse_empty(self) {
        let Refusal { sentence, .. } = nothing_chosen();
        self.alert.set(sentence);
        for place in self.places {
            if place.refusal.with_untracked(Option::is_none) {
                place.refusal.set(Some(nothing_chosen()));
            }
        }
        if let Some(input) = self.places[0].input.get_untracked() {
            drop(input.focus());
        }
    }

    fn settle(self, end: PostEnd) {
        self.change(|transfers| transfers.settle(end));
    }

    /// Tells the server; the request is dropped only when it has confirmed, or not in time.
    fn cancel(self) {
        if self.transfers.with_untracked(Transfers::is_cancelling) {
            return;
        }
        self.transfers.update(Transfers::cancel);
        let upload_id = self.transfers.with_untracked(|transfers| transfers.upload_id().map(str::to_owned));
        let Some(upload_id) = upload_id else {
            self.abort();
            return;
        };
        if !self.feed.cancel(&upload_id) {
            send::delete(&upload_id);
        }
        set_timeout(
            move || {
                let same = self.transfers.with_untracked(|transfers| {
                    transfers.is_cancelling() && transfers.upload_id() == Some(&upload_id)
                });
                if same {
                    self.abort();
                }
            },
            PATIENCE,
        );
    }

    /// Once every file has its end there is nothing left to send.
    fn finish_cancel(self) {
        if !self.transfers.with_untracked(Transfers::is_running)
            && self.rows_now().iter().flatten().any(|row| row.code() == Some("cancelled"))
        {
            self.abort();
        }
    }

    fn abort(self) {
        self.abort.update_value(|abort| {
            let _ = abort.take().map(|abort| abort.send(()));
        });
    }

    /// Room for two more files.
    fn clear(self) {
        for place in self.places {
            place.clear();
            self.forget(place.kind.file_type);
        }
        if let Some(input) = self.places[0].input.get_untracked() {
            drop(input.focus());
        }
    }

    fn button(self) -> &'static str {
        let (running, cancelling) =
            self.transfers.with(|transfers| (transfers.is_running(), transfers.is_cancelling()));
        if cancelling {
            return "Cancelling";
        }
        if running {
            return "Cancel";
        }
        let stored = |row: &Memo<Option<Row>>| row.with(|row| row.as_ref().is_some_and(Row::is_stored));
        let done = self.rows.iter().filter(|row| stored(row)).count();
        let waiting = self
            .places
            .iter()
            .zip(&self.rows)
            .any(|(place, row)| place.chosen.with(Option::is_some) && !stored(row));
        match (waiting, done) {
            (false, 2) => "Upload two more",
            (false, 1) => "Upload another",
            _ => "Upload",
        }
    }

    /// "Both stored in 22 s." and its kin; empty while anything moves.
    fn summary(self) -> String {
        let rows = self.rows.map(|row| row.get());
        if rows.iter().flatten().any(|row| !row.is_over()) {
            return String::new();
        }
        match &rows {
            [Some(document), Some(image)] => summary_of_two(document, image),
            [Some(row), None] => ended(FileType::DocsFile, row),
            [None, Some(row)] => ended(FileType::MsaImgs, row),
            [None, None] => String::new(),
        }
    }

    fn title(self) -> String {
        let looks = self.rows.map(|row| row.with(|row| row.as_ref().map(look)));
        let any = |wanted| looks.contains(&Some(wanted));
        if self.transfers.with(Transfers::is_running) {
            format!("{} % \u{2013} Upload", self.transfers.with(Transfers::percent))
        } else if any(Look::Failed) {
            "Failed \u{2013} Upload".to_owned()
        } else if any(Look::Stored) {
            "Stored \u{2013} Upload".to_owned()
        } else {
            "Upload".to_owned()
        }
    }

    /// Running, and nobody tells how far.
    fn is_blind(self) -> bool {
        self.transfers.with(Transfers::is_running) && !self.feed.is_connected()
    }
}

fn summary_of_two(document: &Row, image: &Row) -> String {
    if !(document.is_stored() && image.is_stored()) {
        let (document, image) = (ended(FileType::DocsFile, document), ended(FileType::MsaImgs, image));
        return format!("{document} {image}");
    }
    let ended_ms = |row: &Row| row.message.as_ref().map_or(0, |state| state.at_ms);
    match ended_ms(document).max(ended_ms(image)) {
        0 => "Both stored.".to_owned(),
        ms => format!("Both stored in {}.", duration(ms)),
    }
}

fn ended(file_type: FileType, row: &Row) -> String {
    let noun = noun(file_type);
    match look(row) {
        Look::Stored => format!("The {noun} is stored."),
        Look::Cancelled => format!("The {noun} was cancelled."),
        _ => format!("The {noun} is not stored."),
    }
}

/// All that hydrates.
#[component]
pub fn App(session: Session) -> impl IntoView {
    let page = Page::new(&session);
    Effect::new(move |_| page.wake());
    Effect::new(move |_| document().set_title(&page.title()));
    view! {
        <main class:awake=move || page.awake.get()>
            <header>
                <p class="brand">"Bucket Brigade"</p>
                <h1>"Upload a document and an image"</h1>
                <p class="lead">
                    "Choose one or both. The bars follow what has reached storage, not what has left your browser."
                </p>
            </header>
            <form
                method="post"
                action="/upload"
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
                        class:quiet=move || page.transfers.with(Transfers::is_running)
                        prop:disabled=move || page.transfers.with(Transfers::is_cancelling)
                    >
                        {move || page.button()}
                    </button>
                    <p class="summary">{move || page.summary()}</p>
                </div>
                <p class="note" hidden=move || !page.is_blind()>
                    "Live progress is not available. The upload is still running."
                </p>
            </form>
            <p class="unseen" role="status">{move || page.status.get()}</p>
            <p class="unseen" role="alert">{move || page.alert.get()}</p>
        </main>
    }
}
