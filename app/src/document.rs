//! The HTML documents around the page: written by the server only.

use leptos::prelude::*;

use crate::page::Page;
use crate::sentences::{Refusal, advice, cause, result_words};
use crate::session::kinds;
use crate::wire::{FileOutcome, Outcome, Problem, UploadAnswer};
use crate::words::{Language, Word, Words};

/// What one rendered page needs. Its addresses are relative, as is every address in a page: a proxy may put us below any
/// path, and nobody has to tell us which.
#[derive(Clone, Debug)]
pub struct PageConfig {
    pub language: Language,
    /// Whether the address asked for the language; the page's links then ask for it too.
    pub is_language_asked: bool,
    /// 128 random bits or more, fresh with each page.
    pub client_id: String,
    /// For the inline script, when the answer's policy asks for one.
    pub nonce: Option<String>,
    pub css: String,
    pub js: String,
    pub wasm: String,
    /// Largest accepted document, in bytes.
    pub max_document: u64,
    /// Largest accepted image, in bytes.
    pub max_image: u64,
    pub allow_svg: bool,
}

impl PageConfig {
    fn address(&self, path: &str) -> String {
        if !self.is_language_asked {
            return path.to_owned();
        }
        format!("{path}?lang={}", self.language.code())
    }
}

/// The upload page as a whole HTML document.
#[must_use]
pub fn page_html(config: &PageConfig) -> String {
    document_html(|| shell(config.clone()))
}

/// The page that answers a form posted without JavaScript.
#[must_use]
pub fn result_html(config: &PageConfig, answer: &Result<UploadAnswer, Box<Problem>>) -> String {
    document_html(|| result_page(config.clone(), answer.clone()))
}

/// A view as a whole HTML document.
#[must_use]
pub fn document_html<V: IntoView>(view: impl FnOnce() -> V) -> String {
    // Signals live in the owner and go with it.
    let owner = Owner::new();
    let html = owner.with(|| view().into_view().to_html());
    owner.cleanup();
    format!("<!DOCTYPE html>{html}")
}

fn shell(config: PageConfig) -> impl IntoView {
    let words = Words::of(config.language);
    let kinds = kinds(config.max_document, config.max_image, config.allow_svg);
    let script = format!(
        "import init,{{hydrate}} from {js:?};await init({{module_or_path:{wasm:?}}});hydrate()",
        js = config.js,
        wasm = config.wasm,
    );
    view! {
        <html lang=config.language.code() dir=config.language.direction()>
            <head>
                {head(words.text(Word::Title), &config.css)}
                <link rel="modulepreload" href=config.js.clone() />
                <link
                    rel="preload"
                    href=config.wasm.clone()
                    r#as="fetch"
                    r#type="application/wasm"
                    crossorigin="anonymous"
                />
                <script type="module" nonce=config.nonce.clone() inner_html=script></script>
            </head>
            <body
                data-client-id=config.client_id.clone()
                data-max-document=config.max_document
                data-max-image=config.max_image
                data-allow-svg=u8::from(config.allow_svg)
                data-words=words.to_text()
            >
                <Page words kinds upload=config.address("upload") />
            </body>
        </html>
    }
}

/// What was stored, file by file, or why not.
fn result_page(config: PageConfig, answer: Result<UploadAnswer, Box<Problem>>) -> impl IntoView {
    let (problem, files) = match answer {
        Ok(answer) => (None, answer.files),
        Err(problem) => (Some(problem.clone()), problem.files),
    };
    let all = files.iter().all(|file| file.outcome == Outcome::Stored) && problem.is_none();
    let words = Words::of(config.language);
    let heading = words.text(match (all, files.len()) {
        (true, 2) => Word::ResultBoth,
        (true, _) => Word::ResultOne,
        (false, _) => Word::ResultNot,
    });
    let cards: Vec<_> = files.iter().map(|file| outcome_card(words, file, problem.as_deref())).collect();
    // A request that failed as a whole has no files to speak of.
    let whole = problem.filter(|_| files.is_empty()).map(|problem| {
        let reference = problem.upload_id.as_deref().unwrap_or_default();
        let outcome = Some(Outcome::Failed);
        let advice = advice(words, &problem.code, outcome, reference);
        failed_card(Refusal { sentence: cause(words, &problem.code, outcome, &problem.detail), advice })
    });
    view! {
        <html lang=config.language.code() dir=config.language.direction()>
            <head>{head(heading, &config.css)}</head>
            <body>
                <main>
                    <header>
                        <p class="brand">"Bucket Brigade"</p>
                        <h1>{heading}</h1>
                    </header>
                    <div class="cards">{cards} {whole}</div>
                    <p class="actions"><a class="primary" href=config.address("./")>{words.text(Word::UploadMore)}</a></p>
                </main>
            </body>
        </html>
    }
}

/// What is in the head of every document.
pub fn head(title: &'static str, css: &str) -> AnyView {
    view! {
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="light dark" />
        <title>{title}</title>
        <link rel="icon" href="favicon.svg" r#type="image/svg+xml" />
        <link rel="stylesheet" href=css.to_owned() />
    }
    .into_any()
}

fn outcome_card(words: Words, file: &FileOutcome, problem: Option<&Problem>) -> AnyView {
    let (sentence, rest) = result_words(words, file, problem);
    if file.outcome != Outcome::Stored {
        return failed_card(Refusal { sentence, advice: rest });
    }
    view! {
        <section class="card" data-state="stored">
            <p class="headline">{sentence}</p>
            <p class="detail">{rest}</p>
            {file.key.clone().map(|key| {
                let link = file.link.clone().map(|link| view! { <a class="button" href=link>{words.text(Word::Download)}</a> });
                view! { <div class="key"><code>{key}</code>{link}</div> }
            })}
        </section>
    }
    .into_any()
}

fn failed_card(Refusal { sentence, advice }: Refusal) -> AnyView {
    view! {
        <section class="card" data-state="failed">
            <p class="headline">{sentence}</p>
            <p class="detail">{advice}</p>
        </section>
    }
    .into_any()
}
