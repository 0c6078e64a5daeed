//! The page as the server writes it. Nothing of this is in the browser's program: that finds its places by ids, classes
//! and `data-` attributes, and paints into them ([`crate::paint`]).
//!
//! All parts of a card are always there; `data-state` and the style sheet say which are shown.

use leptos::prelude::*;

use crate::sentences::{Kind, noun};
use crate::wire::FileType;
use crate::words::{Word, Words};

/// The form, its two cards, and what is said of both.
#[component]
pub fn Page(words: Words, kinds: [Kind; 2], upload: String) -> impl IntoView {
    let text = move |word| words.text(word);
    view! {
        <main>
            <header>
                <p class="brand">"Bucket Brigade"</p>
                <h1>{text(Word::Heading)}</h1>
                <p class="lead">{text(Word::Lead)} " " {text(Word::DropAnywhere)}</p>
            </header>
            <form method="post" action=upload enctype="multipart/form-data">
                <div class="cards">{kinds.map(|kind| view! { <Card words kind /> }).collect_view()}</div>
                <div class="actions">
                    <button type="submit" class="primary" id="press">
                        {text(Word::Upload)}
                    </button>
                    <p class="summary"></p>
                </div>
                <div class="confirm" role="group" hidden>
                    <p id="confirm-question"></p>
                    <button type="button" class="button" id="confirm" data-do="confirm" aria-describedby="confirm-question">
                        {text(Word::CancelUpload)}
                    </button>
                    <button type="button" class="button" data-do="keep">
                        {text(Word::KeepGoing)}
                    </button>
                </div>
                <p class="note" hidden></p>
            </form>
            <details hidden>
                <summary>{text(Word::Details)}</summary>
                <pre class="report"></pre>
                <button type="button" class="button" data-do="report">
                    {text(Word::CopyText)}
                </button>
            </details>
            <p class="unseen" role="status"></p>
            <p class="unseen" role="alert"></p>
        </main>
    }
}

/// One file's card: choose or drop, name and size, its lanes, its error, its result.
#[component]
fn Card(words: Words, kind: Kind) -> impl IntoView {
    let text = move |word| words.text(word);
    let field = kind.file_type.field();
    let noun = noun(words, kind.file_type);
    let is_image = kind.file_type == FileType::MsaImgs;
    view! {
        <section class="card" data-file-type=kind.wire_name() data-state="empty">
            <h2 id=format!("{field}-title")>{kind.title(words)}</h2>
            <div class="place">
                <input
                    type="file"
                    id=field
                    name=field
                    accept=kind.accept()
                    aria-labelledby=format!("{field}-choose {field}-title")
                    aria-describedby=format!("{field}-hint {field}-error")
                />
                <div class="file">
                    <span class="badge" aria-hidden="true">
                        <span class="thumb"></span>
                    </span>
                    <div class="name">
                        <p class="file-name" dir="auto"></p>
                        <p class="file-size"></p>
                    </div>
                </div>
                <div class="choose">
                    <label class="button" for=field id=format!("{field}-choose")>
                        <span class="when-empty">{words.fill(Word::Choose, &[noun])}</span>
                        <span class="when-chosen">{text(Word::Change)}</span>
                    </label>
                    {is_image.then(|| view! { <Camera words /> })}
                    <span class="or when-empty">{text(Word::OrDrop)}</span>
                    <button
                        type="button"
                        class="remove when-chosen"
                        data-do="remove"
                        aria-label=words.fill(Word::Remove, &[noun])
                    >
                        "\u{d7}"
                    </button>
                </div>
                <p class="drop-here" aria-hidden="true">{words.fill(Word::DropHere, &[noun])}</p>
            </div>
            <p class="hint" id=format!("{field}-hint")>{kind.hint(words)}</p>
            <div class="error" id=format!("{field}-error")>
                <p class="headline"></p>
                <p class="detail"></p>
            </div>
            <Bars words kind />
            <button type="button" class="button retry" id=format!("{field}-retry") data-do="retry">
                {text(Word::Retry)}
            </button>
            <div class="key" hidden>
                <code dir="ltr"></code>
                <a class="button" hidden>{text(Word::Download)}</a>
                <button type="button" class="button copy" data-do="copy">
                    {text(Word::CopyKey)}
                </button>
            </div>
        </section>
    }
}

/// Only where there is a finger, and so most likely a camera. Without a name, so that no form has it twice.
#[component]
fn Camera(words: Words) -> impl IntoView {
    view! {
        <label class="button camera when-empty">
            <input type="file" id="camera" class="unseen" accept="image/jpeg,image/png" capture="environment" />
            {words.text(Word::TakePhoto)}
        </label>
    }
}

/// The lanes before anything has moved; hidden by the card's state until then.
#[component]
fn Bars(words: Words, kind: Kind) -> impl IntoView {
    view! {
        <div class="bars">
            <div class="lane" aria-hidden="true">
                <span class="lane-name">{words.text(Word::Received)}</span>
                <span class="track thin">
                    <span class="fill"></span>
                </span>
            </div>
            <div class="lane">
                <span class="lane-name" aria-hidden="true">{words.text(Word::Stored)}</span>
                <span
                    class="track parts"
                    role="progressbar"
                    aria-label=words.fill(Word::IntoStorage, &[noun(words, kind.file_type)])
                    aria-valuemin="0"
                    aria-valuemax="100"
                ></span>
            </div>
            <p class="headline"></p>
            <p class="detail"></p>
        </div>
    }
}
