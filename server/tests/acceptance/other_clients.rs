//! Other clients: curl without any header, a plain HTML form, text fields, inputs left empty.

use app::wire::{DOCUMENT_FIELD, IMAGE_FIELD};

use crate::support::client::{Form, RawConnection, get};
use crate::support::fixture::Fixture;
use crate::support::sample::{self, KIB, MIB};

/// What a browser says it would like.
const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

/// `curl -F docs_field=@a.pdf` asks before it sends a large body, and says nothing of sizes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn curl_without_headers_gets_json() {
    let fixture = Fixture::start().await;
    for size in [10 * KIB, 12 * MIB] {
        let content = sample::pdf(size);
        let form = Form::new()
            .file(DOCUMENT_FIELD, "a.pdf", &content)
            .header("User-Agent", "curl/8.10.1")
            .header("Accept", "*/*")
            .header("Expect", "100-continue");
        let body = form.body();
        let mut client = RawConnection::connect(fixture.server).await;
        client.write(&form.head(body.len())).await;
        assert_eq!(client.next_answer().await.status, 100);
        client.write(&body).await;
        let answer = client.answer().await;
        fixture.take_stored(&answer.stored_one(), &content).await;
    }
    fixture.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_without_script_gets_a_page() {
    let fixture = Fixture::start().await;
    let (document, image) = (sample::pdf(300 * KIB), sample::jpeg(100 * KIB));
    let both = Form::both(&document, &image).without_sizes().header("Accept", BROWSER);
    let answer = both.post(fixture.server).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.header("content-type").is_some_and(|kind| kind.starts_with("text/html")));
    let page = answer.text();
    assert!(page.to_lowercase().contains("stored"), "it says what was stored: {page}");
    let mut keys = fixture.bucket.keys().await;
    keys.sort();
    assert_eq!(keys.len(), 2);
    // `photos/` sorts before `supporting_documents/`.
    fixture.take(&keys[0], &image).await;
    fixture.take(&keys[1], &document).await;

    let wrong = Form::new().file(DOCUMENT_FIELD, "a.pdf", &sample::exe(10 * KIB)).header("Accept", BROWSER);
    let answer = wrong.post(fixture.server).await;
    assert_eq!(answer.status, 415);
    assert!(answer.header("content-type").is_some_and(|kind| kind.starts_with("text/html")));
    let sentence = server::error::Failure::TypeMismatch.sentence().replace('\'', "&#x27;");
    let page = answer.text();
    let is_told = page.contains(&sentence) || page.contains(server::error::Failure::TypeMismatch.sentence());
    assert!(is_told, "the sentence for people: {page}");
    fixture.nothing_stored().await;
    fixture.finish().await;
}

/// With only one of the two inputs used, the other arrives empty, without a name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_input_left_empty_is_no_file() {
    let fixture = Fixture::start().await;
    let document = sample::pdf(10 * KIB);
    let form = Form::new().file(DOCUMENT_FIELD, "a.pdf", &document).file(IMAGE_FIELD, "", b"");
    fixture.take_stored(&form.post(fixture.server).await.stored_one(), &document).await;
    let image = sample::png(10 * KIB);
    let form = Form::new().file(DOCUMENT_FIELD, "", b"").file(IMAGE_FIELD, "b.png", &image);
    fixture.take_stored(&form.post(fixture.server).await.stored_one(), &image).await;
    fixture.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn either_order_and_text_between() {
    let fixture = Fixture::start().await;
    let (document, image) = (sample::pdf(6 * MIB), sample::jpeg(10 * KIB));
    let form = Form::new()
        .text("comment", "before")
        .file(IMAGE_FIELD, "b.jpg", &image)
        .text("comment", &"x".repeat(60 * KIB))
        .file(DOCUMENT_FIELD, "a.pdf", &document);
    let stored = form.post(fixture.server).await.stored();
    let fields: Vec<&str> = stored.files.iter().map(|file| file.field.as_str()).collect();
    assert_eq!(fields, [IMAGE_FIELD, DOCUMENT_FIELD], "in form order");
    fixture.take_stored(&stored.files[0], &image).await;
    fixture.take_stored(&stored.files[1], &document).await;
    fixture.finish().await;
}

/// Hostile names change nothing but the metadata, where they are encoded.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c13_c14_names_stay_out_of_keys() {
    let fixture = Fixture::start().await;
    let content = sample::pdf(10 * KIB);
    let long = format!("{}.pdf", "x".repeat(300));
    let names = [
        "../../etc/passwd.pdf",
        "..\\..\\boot.pdf",
        "/etc/passwd.pdf",
        "C:\\a.pdf",
        "a;b.pdf",
        "a%00b.pdf",
        "Übergröße ✓.pdf",
        "\u{202e}fdp.exe.pdf",
        "a%22b.pdf",
        "a'b.pdf",
        " .pdf",
        &long,
    ];
    for name in names {
        let answer = Form::new().file(DOCUMENT_FIELD, name, &content).post(fixture.server).await;
        let file = answer.stored_one();
        let key = file.key.clone().unwrap();
        assert_eq!(key.len(), "supporting_documents/docs_file.pdf".len() + 64, "{name}: {key}");
        let object = fixture.take_stored(&file, &content).await;
        let disposition = object.content_disposition.unwrap();
        assert!(disposition.is_ascii() && !disposition.contains(['\r', '\n', '/']), "{name}: {disposition}");
    }
    fixture.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_and_readiness() {
    let fixture = Fixture::start().await;
    for target in ["/healthz", "/readyz"] {
        assert_eq!(get(fixture.server, target).await.status, 200, "{target}");
    }
    fixture.finish().await;
}
