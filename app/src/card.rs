//! One file's card: choose or drop, name and size, its lanes, its error.

use leptos::ev;
use leptos::html::Input;
use leptos::prelude::*;
use wasm_bindgen::JsCast;
use web_sys::{DragEvent, File, HtmlInputElement, Node, Url};

use crate::bars::bars;
use crate::captions::{Look, look};
use crate::page::Page;
use crate::send::bytes_of;
use crate::sentences::{Kind, Refusal, size, too_many};
use crate::transfers::Row;

/// What is shown of a chosen file; the file itself stays in the form's input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preview {
    pub name: String,
    pub bytes: u64,
    /// Object URL of an image.
    thumbnail: Option<String>,
}

/// One of the two places for a file.
#[derive(Clone, Copy)]
pub struct Place {
    pub kind: Kind,
    pub input: NodeRef<Input>,
    pub chosen: RwSignal<Option<Preview>>,
    pub refusal: RwSignal<Option<Refusal>>,
    hovered: RwSignal<bool>,
}

impl Place {
    #[must_use]
    pub fn new(kind: Kind) -> Self {
        Self {
            kind,
            input: NodeRef::new(),
            chosen: RwSignal::new(None),
            refusal: RwSignal::new(None),
            hovered: RwSignal::new(false),
        }
    }

    /// The file to send: the input is the only one who keeps it.
    #[must_use]
    pub fn file(self) -> Option<File> {
        self.input.get_untracked()?.files()?.get(0)
    }

    /// Looks at what the input holds now, and refuses what the server would.
    pub fn look_again(self) {
        self.show(None);
        self.refusal.set(None);
        let Some(file) = self.file() else { return };
        let (name, bytes) = (file.name(), bytes_of(&file));
        if let Some(refusal) = self.kind.refuse(&name, bytes) {
            self.clear();
            self.refusal.set(Some(refusal));
            return;
        }
        let is_image = file.type_().starts_with("image/");
        let thumbnail = is_image.then(|| Url::create_object_url_with_blob(&file).ok()).flatten();
        self.show(Some(Preview { name, bytes, thumbnail }));
    }

    /// Empties the place.
    pub fn clear(self) {
        if let Some(input) = self.input.get_untracked() {
            input.set_value("");
        }
        self.show(None);
        self.refusal.set(None);
    }

    fn show(self, preview: Option<Preview>) {
        let before = self.chosen.get_untracked().and_then(|before| before.thumbnail);
        if let Some(url) = before {
            drop(Url::revoke_object_url(&url));
        }
        self.chosen.set(preview);
    }

    fn drop_files(self, event: &DragEvent) {
        let Some(files) = event.data_transfer().and_then(|transfer| transfer.files()) else {
            return;
        };
        match (files.length(), self.input.get_untracked()) {
            (1, Some(input)) => {
                input.set_files(Some(&files));
                self.look_again();
            }
            (0, _) | (_, None) => {}
            (count, Some(_)) => self.refusal.set(Some(too_many(self.kind, count))),
        }
    }
}

/// The card of one file.
#[component]
pub fn Card(page: Page, place: Place) -> impl IntoView {
    let kind = place.kind;
    let field = kind.file_type.field();
    let row = page.row(kind.file_type);
    let busy = move || row.with(|row| row.as_ref().is_some_and(|row| !row.is_over()));
    let changed = move || {
        page.forget(kind.file_type);
        place.look_again();
    };
    view! {
        <section
            class="card"
            data-file-type=if field == crate::wire::DOCUMENT_FIELD { "docs_file" } else { "msa_imgs" }
            data-state=move || state_of(place, row)
            class:hovered=move || place.hovered.get()
            on:dragover=move |event: DragEvent| {
                event.prevent_default();
                place.hovered.set(!busy());
            }
            on:dragleave=move |event: DragEvent| place.hovered.set(stays_inside(&event))
            on:drop=move |event: DragEvent| {
                event.prevent_default();
                place.hovered.set(false);
                if !busy() {
                    page.forget(kind.file_type);
                    place.drop_files(&event);
                }
            }
        >
            <h2 id=format!("{field}-title")>{kind.title()}</h2>
            <div class="place">
                <input
                    type="file"
                    id=field
                    name=field
                    accept=kind.accept()
                    aria-labelledby=format!("{field}-choose {field}-title")
                    aria-describedby=format!("{field}-hint {field}-error")
                    node_ref=place.input
                    prop:disabled=busy
                    on:change=move |_| changed()
                />
                {move || place.chosen.with(|chosen| match chosen {
                    None => choose(kind, field),
                    Some(preview) => chosen_file(page, place, preview, row),
                })}
            </div>
            <p class="hint" id=format!("{field}-hint")>{kind.hint()}</p>
            <div class="error" id=format!("{field}-error")>
                {move || place.refusal.get().map(|Refusal { sentence, advice }| view! {
                    <p class="headline">{sentence}</p>
                    <p class="detail">{advice}</p>
                })}
            </div>
            {move || row.with(|row| row.as_ref().map(|row| bars(kind.file_type, row)))}
            {move || ending(page, row)}
        </section>
    }
}

fn state_of(place: Place, row: Memo<Option<Row>>) -> &'static str {
    if place.refusal.with(Option::is_some) {
        return "refused";
    }
    let running = row.with(|row| row.as_ref().map(|row| look(row).name()));
    running.unwrap_or_else(|| if place.chosen.with(Option::is_some) { "chosen" } else { "empty" })
}

fn choose(kind: Kind, field: &'static str) -> AnyView {
    view! {
        <div class="choose">
            <label class="button" for=field id=format!("{field}-choose")>
                {format!("Choose {}", kind.noun())}
            </label>
            <span class="or">"or drop it here"</span>
        </div>
    }
    .into_any()
}

fn chosen_file(page: Page, place: Place, preview: &Preview, row: Memo<Option<Row>>) -> AnyView {
    let field = place.kind.file_type.field();
    let Preview { name, bytes, thumbnail } = preview.clone();
    let badge = name.rsplit_once('.').map_or(String::new(), |(_, end)| end.to_uppercase());
    let spoken = format!("Remove {name}");
    let idle = move || row.with(|row| row.as_ref().is_none_or(Row::is_over));
    let remove = move |_: ev::MouseEvent| {
        page.forget(place.kind.file_type);
        place.clear();
        if let Some(input) = place.input.get_untracked() {
            drop(input.focus());
        }
    };
    view! {
        <div class="file">
            <span class="thumb" aria-hidden="true" data-badge=badge>
                {thumbnail.map(|url| view! { <img src=url alt="" on:error=hide /> })}
            </span>
            <div class="name">
                <p class="file-name">{name}</p>
                <p class="file-size">{size(bytes)}</p>
            </div>
            <div class="file-actions" hidden=move || !idle()>
                <label class="button" for=field id=format!("{field}-choose")>"Change"</label>
                <button type="button" class="remove" aria-label=spoken on:click=remove>
                    "\u{d7}"
                </button>
            </div>
        </div>
    }
    .into_any()
}

/// What can be done once a file has ended.
fn ending(page: Page, row: Memo<Option<Row>>) -> Option<AnyView> {
    let row = row.get()?;
    match look(&row) {
        Look::Stored => row.key().map(|key| stored_key(key.to_owned())),
        Look::Failed | Look::Cancelled => Some(
            view! {
                <button type="button" class="button retry" on:click=move |_| page.start()>
                    {if look(&row) == Look::Failed { "Try again" } else { "Upload again" }}
                </button>
            }
            .into_any(),
        ),
        Look::Running | Look::Waiting => None,
    }
}

fn stored_key(key: String) -> AnyView {
    let copied = RwSignal::new(false);
    let text = key.clone();
    let copy = move |_: ev::MouseEvent| {
        drop(window().navigator().clipboard().write_text(&text));
        copied.set(true);
    };
    view! {
        <div class="key">
            <code>{key}</code>
            // Clipboards are for secure contexts only.
            {window().is_secure_context().then(|| view! {
                <button type="button" class="button" on:click=copy>
                    {move || if copied.get() { "Copied" } else { "Copy key" }}
                </button>
            })}
        </div>
    }
    .into_any()
}

/// A picture that this browser cannot show gives way to the badge behind it.
fn hide(event: ev::ErrorEvent) {
    if let Some(image) = event.target().and_then(|target| target.dyn_into::<web_sys::Element>().ok()) {
        image.remove();
    }
}

/// Leaving a child of the card for another is no leaving.
fn stays_inside(event: &DragEvent) -> bool {
    let card = event.current_target().and_then(|target| target.dyn_into::<Node>().ok());
    let to = event.related_target().and_then(|target| target.dyn_into::<Node>().ok());
    card.is_some_and(|card| card.contains(to.as_ref()))
}

/// Whether an input holds anything: files chosen before the page was awake.
#[must_use]
pub fn holds_file(input: &HtmlInputElement) -> bool {
    input.files().is_some_and(|files| files.length() > 0)
}
