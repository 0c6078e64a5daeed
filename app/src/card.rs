//! One file's card: choose or drop, name and size, its lanes, its error.
//!
//! All its parts are always there; `data-state` and the style sheet say which are shown. That, and
//! signals of few types, is what keeps the page small: every kind of closure in a view costs.

use std::time::Duration;

use leptos::prelude::*;
use wasm_bindgen::JsCast;
use web_sys::{DragEvent, File, HtmlElement, HtmlInputElement, Node, Url};

use crate::bars::{Bars, paint};
use crate::captions::look;
use crate::page::{Live, Page};
use crate::send::bytes_of;
use crate::sentences::{Kind, Refusal, noun, shown, size, too_many};
use crate::transfers::Row;
use crate::words::{Word, Words};

/// What is shown of a chosen file; the file itself stays in the form's input.
#[derive(Clone, Debug)]
pub struct Preview {
    pub name: String,
    pub size: String,
    /// Object URL of an image.
    thumbnail: Option<String>,
}

/// One of the two places for a file.
#[derive(Clone, Copy)]
pub struct Place {
    pub kind: Kind,
    pub chosen: RwSignal<Option<Preview>>,
    pub refusal: RwSignal<Option<Refusal>>,
    hovered: RwSignal<bool>,
    copied: RwSignal<bool>,
}

impl Place {
    #[must_use]
    pub fn new(kind: Kind) -> Self {
        Self {
            kind,
            chosen: RwSignal::new(None),
            refusal: RwSignal::new(None),
            hovered: RwSignal::new(false),
            copied: RwSignal::new(false),
        }
    }

    const fn field(self) -> &'static str {
        self.kind.file_type.field()
    }

    fn input(self) -> Option<HtmlInputElement> {
        document().get_element_by_id(self.field())?.dyn_into().ok()
    }

    /// The file to send: the input is the only one who keeps it.
    #[must_use]
    pub fn file(self) -> Option<File> {
        self.input()?.files()?.get(0)
    }

    pub fn focus(self) {
        focus(self.field());
    }

    /// To where a person goes on after a broken connection.
    pub fn focus_retry(self) {
        focus(&self.retry());
    }

    fn retry(self) -> String {
        format!("{}-retry", self.field())
    }

    /// Looks at what the input holds now, and refuses what the server would.
    pub fn look_again(self, words: Words) {
        self.show(None);
        self.refusal.set(None);
        let Some(file) = self.file() else { return };
        let (name, bytes) = (file.name(), bytes_of(&file));
        if let Some(refusal) = self.kind.refuse(words, &name, bytes) {
            self.clear();
            self.refusal.set(Some(refusal));
            return;
        }
        let is_image = file.type_().starts_with("image/");
        let thumbnail = is_image.then(|| Url::create_object_url_with_blob(&file).ok()).flatten();
        self.show(Some(Preview { name: shown(&name), size: size(words, bytes), thumbnail }));
    }

    /// Empties the place.
    pub fn clear(self) {
        if let Some(input) = self.input() {
            input.set_value("");
        }
        self.show(None);
        self.refusal.set(None);
    }

    fn show(self, preview: Option<Preview>) {
        if let Some(url) = self.chosen.get_untracked().and_then(|before| before.thumbnail) {
            drop(Url::revoke_object_url(&url));
        }
        self.show_thumbnail(preview.as_ref().and_then(|preview| preview.thumbnail.as_deref()));
        self.chosen.set(preview);
    }

    /// As a background, so that of a picture which this browser cannot show the badge below is left.
    fn show_thumbnail(self, url: Option<&str>) {
        let thumb = document().get_element_by_id(&format!("{}-thumb", self.field()));
        if let Some(thumb) = thumb.and_then(|thumb| thumb.dyn_into::<HtmlElement>().ok()) {
            let image = url.map_or_else(|| "none".to_owned(), |url| format!("url({url})"));
            drop(thumb.style().set_property("background-image", &image));
        }
    }

    fn drop_files(self, words: Words, event: &DragEvent) {
        let files = event.data_transfer().and_then(|transfer| transfer.files());
        let (Some(files), Some(input)) = (files, self.input()) else {
            return;
        };
        match files.length() {
            0 => {}
            1 => {
                input.set_files(Some(&files));
                self.look_again(words);
            }
            count => self.refusal.set(Some(too_many(words, self.kind, count))),
        }
    }

    /// A piece of the chosen file's preview, or nothing.
    fn preview(self, read: fn(&Preview) -> String) -> Live<String> {
        Box::new(move || self.chosen.with(|chosen| chosen.as_ref().map(read).unwrap_or_default()))
    }

    fn refused(self, read: fn(&Refusal) -> String) -> Live<String> {
        Box::new(move || self.refusal.with(|told| told.as_ref().map(read).unwrap_or_default()))
    }
}

/// The card of one file.
#[component]
pub fn Card(page: Page, place: Place) -> impl IntoView {
    let (words, kind) = (page.words, place.kind);
    let noun = noun(words, kind.file_type);
    let field = kind.file_type.field();
    let state: Live<String> = Box::new(move || state_of(page, place).to_owned());
    let busy = move || page.with_row(kind, |row| row.is_some_and(|row| !row.is_over()));
    let (disabled, hovered): (Live<bool>, Live<bool>) =
        (Box::new(busy), Box::new(move || place.hovered.get()));
    let key = move || page.with_row(kind, |row| row.and_then(Row::key).unwrap_or_default().to_owned());
    let no_key: Live<bool> = Box::new(move || key().is_empty());
    let shown_key: Live<String> = Box::new(key);
    let link = move || page.with_row(kind, |row| row.and_then(Row::link).unwrap_or_default().to_owned());
    let ended = RwSignal::new(String::new());
    let no_link: Live<bool> = Box::new(move || ended.get() == link());
    let shown_link: Live<String> = Box::new(link);
    Effect::new(move |_| {
        let link = link();
        if let Some(seconds) = seconds_of(&link) {
            set_timeout(move || ended.set(link), Duration::from_secs(seconds));
        }
    });
    let copy_label: Live<String> = Box::new(move || copy_label(words, place.copied.get()));
    Effect::new(move |_| {
        page.with_row(kind, |row| {
            if let Some(row) = row {
                paint(words, kind, row);
            }
        });
    });
    view! {
        <section
            class="card"
            data-file-type=kind.wire_name()
            data-state=state
            data-hovered=hovered
            on:dragover=move |event: DragEvent| {
                event.prevent_default();
                place.hovered.set(!untrack(busy));
            }
            on:dragleave=move |event: DragEvent| place.hovered.set(stays_inside(&event))
            on:drop=move |event: DragEvent| {
                event.prevent_default();
                place.hovered.set(false);
                if !untrack(busy) {
                    page.forget(kind);
                    place.drop_files(words, &event);
                }
            }
        >
            <h2 id=format!("{field}-title")>{kind.title(words)}</h2>
            <div class="place">
                <input
                    type="file"
                    id=field
                    name=field
                    accept=kind.accept()
                    aria-labelledby=format!("{field}-choose {field}-title")
                    aria-describedby=format!("{field}-hint {field}-error")
                    disabled=disabled
                    on:change=move |_| {
                        page.forget(kind);
                        place.look_again(words);
                    }
                />
                <div class="file">
                    <span
                        class="badge"
                        aria-hidden="true"
                        data-badge=place.preview(|preview| badge(&preview.name))
                    >
                        <span class="thumb" id=format!("{field}-thumb")></span>
                    </span>
                    <div class="name">
                        <p class="file-name">{place.preview(|preview| preview.name.clone())}</p>
                        <p class="file-size">{place.preview(|preview| preview.size.clone())}</p>
                    </div>
                </div>
                <div class="choose">
                    <label class="button" for=field id=format!("{field}-choose")>
                        <span class="when-empty">{words.fill(Word::Choose, &[noun])}</span>
                        <span class="when-chosen">{words.text(Word::Change)}</span>
                    </label>
                    <span class="or when-empty">{words.text(Word::OrDrop)}</span>
                    <button
                        type="button"
                        class="remove when-chosen"
                        aria-label=words.fill(Word::Remove, &[noun])
                        on:click=move |_| {
                            page.forget(kind);
                            place.clear();
                            place.focus();
                        }
                    >
                        "\u{d7}"
                    </button>
                </div>
            </div>
            <p class="hint" id=format!("{field}-hint")>{kind.hint(words)}</p>
            <div class="error" id=format!("{field}-error")>
                <p class="headline">{place.refused(|refusal| refusal.sentence.clone())}</p>
                <p class="detail">{place.refused(|refusal| refusal.advice.clone())}</p>
            </div>
            <Bars words kind />
            <button type="button" class="button retry" id=place.retry() on:click=move |_| page.start()>
                {words.text(Word::Retry)}
            </button>
            <div class="key" hidden=no_key>
                <code>{shown_key}</code>
                <a class="button" href=shown_link hidden=no_link>{words.text(Word::Download)}</a>
                <button type="button" class="button" on:click=move |_| copy(place, &untrack(key))>
                    {copy_label}
                </button>
            </div>
        </section>
    }
}

fn focus(id: &str) {
    let element = document().get_element_by_id(id).and_then(|element| element.dyn_into::<HtmlElement>().ok());
    drop(element.map(|element| element.focus()));
}

fn state_of(page: Page, place: Place) -> &'static str {
    if place.refusal.with(Option::is_some) {
        return "refused";
    }
    let running = page.with_row(place.kind, |row| row.map(look));
    match running {
        Some(look) => look.name(),
        None if place.chosen.with(Option::is_some) => "chosen",
        None => "empty",
    }
}

/// What stands where a picture would: the end of the name.
fn badge(name: &str) -> String {
    let end = name.rsplit_once('.').map_or("", |(_, end)| end);
    end.chars().take(4).collect::<String>().to_ascii_uppercase()
}

fn copy_label(words: Words, copied: bool) -> String {
    words.text(if copied { Word::Copied } else { Word::CopyKey }).to_owned()
}

/// How long a link holds, as S3 writes it there.
fn seconds_of(link: &str) -> Option<u64> {
    let (_, rest) = link.split_once("X-Amz-Expires=")?;
    rest.split('&').next()?.parse().ok()
}

/// Clipboards are for secure contexts only; elsewhere the key can be marked by hand.
fn copy(place: Place, key: &str) {
    if window().is_secure_context() {
        drop(window().navigator().clipboard().write_text(key));
        place.copied.set(true);
    }
}

/// Leaving a child of the card for another is no leaving.
fn stays_inside(event: &DragEvent) -> bool {
    let card = event.current_target().and_then(|target| target.dyn_into::<Node>().ok());
    let to = event.related_target().and_then(|target| target.dyn_into::<Node>().ok());
    to.is_some() && card.is_some_and(|card| card.contains(to.as_ref()))
}
