//! Pages in the reader's language.

use app::words::Word;
use app::{Language, Words};

use crate::support::client::{Answer, Form, exchange, head};
use crate::support::fixture::Fixture;
use crate::support::page::header;
use crate::support::sample::{self, KIB};

const HTML: &str = "text/html";

/// What the page says of itself, in HTML and in headers.
fn assert_in(language: Language, page: &Answer) {
    let html = page.text();
    let (code, direction) = (language.code(), language.direction());
    assert!(html.contains(&format!("<html lang=\"{code}\" dir=\"{direction}\">")), "{html}");
    assert_eq!(page.header("content-language"), Some(code));
    let varies = page.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("vary"));
    assert!(varies.map(|(_, value)| value).any(|value| value == "accept-language"), "{:?}", page.headers);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_is_in_the_language_asked_for() {
    let fixture = Fixture::start().await;
    for (target, accepted, language) in [
        ("/", None, Language::English),
        ("/", Some("ar-EG,ar;q=0.9,en;q=0.8"), Language::Arabic),
        ("/", Some("fr;q=0.9,de"), Language::English),
        ("/?lang=en", Some("ar"), Language::English),
        ("/?lang=ar", Some("en"), Language::Arabic),
        ("/?lang=xx", Some("ar"), Language::Arabic),
    ] {
        let headers: Vec<_> = accepted.map(|value| header("Accept-Language", value)).into_iter().collect();
        let page = exchange(fixture.server, &head("GET", target, &headers)).await;
        assert_eq!(page.status, 200, "{target}");
        assert_in(language, &page);
        let (html, words) = (page.text(), Words::of(language));
        assert!(html.contains(words.text(Word::Heading)), "{target} {accepted:?}: {html}");
        let other = Language::ALL.into_iter().find(|other| *other != language).unwrap();
        assert!(!html.contains(Words::of(other).text(Word::Lead)), "{target} {accepted:?}: {html}");
        // The form, which may be posted without JavaScript, asks as its page was asked.
        let action = match target {
            "/?lang=ar" => "action=\"upload?lang=ar\"",
            "/?lang=en" => "action=\"upload?lang=en\"",
            _ => "action=\"upload\"",
        };
        assert!(html.contains(action), "{target}: {html}");
    }
    fixture.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_without_script_is_answered_in_its_pages_language() {
    let fixture = Fixture::start().await;
    let arabic = Words::of(Language::Arabic);
    let noun = arabic.text(Word::Document);
    let content = sample::pdf(10 * KIB);
    let form = Form::document(&content).header("Accept", HTML).header("Accept-Language", "ar");
    let page = form.post(fixture.server).await;
    assert_eq!(page.status, 200);
    assert_in(Language::Arabic, &page);
    assert!(page.text().contains(&arabic.fill(Word::IsStored, &[noun])), "{}", page.text());
    let key = fixture.bucket.keys().await.remove(0);
    assert!(page.text().contains(&key));
    fixture.take(&key, &content).await;

    // By the address, as the form of a page at `/?lang=ar` is posted.
    let form = Form::document(&sample::exe(10 * KIB)).header("Accept", HTML);
    let body = form.body();
    let mut request = form.head(body.len());
    drop(request.splice(.."POST /upload".len(), *b"POST /upload?lang=ar"));
    request.extend(body);
    let page = exchange(fixture.server, &request).await;
    assert_eq!(page.status, 415);
    assert_in(Language::Arabic, &page);
    let html = page.text();
    for text in [arabic.fill(Word::NotStored, &[noun]), arabic.fault("type_mismatch").unwrap().to_owned()] {
        assert!(html.contains(&text), "{text}: {html}");
    }
    assert!(html.contains("href=\"./?lang=ar\""), "{html}");
    fixture.nothing_stored().await;
    fixture.finish().await;
}
