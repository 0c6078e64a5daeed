//! Forms with the wrong fields and files whose bytes are not what they are called.

use app::wire::FileType::{DocsFile, MsaImgs};
use app::wire::{DOCUMENT_FIELD, IMAGE_FIELD, Outcome};

use crate::refusal::Refusal;
use crate::support::client::{BOUNDARY, Form};
use crate::support::fixture::{Fixture, outcome_of};
use crate::support::sample::{self, KIB, MIB};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c01_an_unknown_file_field() {
    let fixture = Fixture::start().await;
    let stranger = Form::new().file("avatar", "a.pdf", &sample::pdf(10 * KIB));
    Refusal::of(&fixture, "unknown field", 400, "unknown_field").leaves_nothing(stranger).await;
    let declared = Form::new().file("avatar", "a.pdf", &sample::pdf(10 * KIB)).size(DocsFile, 10 * KIB);
    let refusal = Refusal::of(&fixture, "unknown field, document declared", 400, "unknown_field");
    refusal.ends(DocsFile).leaves_nothing(declared).await;
    fixture.finish().await;
}

/// The file that arrived before stays stored; each file is atomic on its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c01_a_file_before_the_unknown_field_stays() {
    let fixture = Fixture::start().await;
    for size in [100 * KIB, 6 * MIB] {
        let content = sample::pdf(size);
        let form = Form::document(&content).file("avatar", "b.jpg", &sample::jpeg(KIB));
        let problem = Refusal::of(&fixture, "stored, then unknown", 400, "unknown_field").post(form).await;
        fixture.take_stored(outcome_of(&problem.files, DocsFile), &content).await;
    }
    fixture.normal_upload_passes().await;
    fixture.finish().await;
}

/// Of two files in one field the second is refused; the first is whole or not there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c02_two_files_in_one_field() {
    let fixture = Fixture::start().await;
    let (first, second) = (sample::pdf(100 * KIB), sample::pdf(100 * KIB));
    let form = Form::document(&first).file(DOCUMENT_FIELD, "c.pdf", &second);
    Refusal::of(&fixture, "two documents", 400, "duplicate_field").post(form).await;
    let keys = fixture.bucket.keys().await;
    assert!(keys.len() <= 1, "never both: {keys:?}");
    for key in keys {
        fixture.take(&key, &first).await;
    }
    fixture.nothing_stored().await;
    fixture.normal_upload_passes().await;
    fixture.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c02_the_same_field_as_text_and_as_file() {
    let fixture = Fixture::start().await;
    let form = Form::new().text(DOCUMENT_FIELD, "hello").file(DOCUMENT_FIELD, "a.pdf", &sample::pdf(KIB));
    Refusal::of(&fixture, "text and file", 400, "duplicate_field").leaves_nothing(form).await;
    fixture.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c03_no_file() {
    let fixture = Fixture::start().await;
    let empty_input = || Form::new().file(DOCUMENT_FIELD, "", b"").file(IMAGE_FIELD, "", b"");
    for (name, form) in [
        ("an empty form", Form::new()),
        ("text only", Form::new().text("comment", "hello")),
        ("inputs left empty", empty_input()),
    ] {
        Refusal::of(&fixture, name, 400, "no_file").leaves_nothing(form).await;
    }
    let body = format!("preamble\r\n--{BOUNDARY}--\r\nepilogue");
    let refusal = Refusal::of(&fixture, "preamble and epilogue", 400, "no_file");
    refusal.leaves_nothing_of(Form::new(), body.as_bytes()).await;
    fixture.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c04_too_much_text() {
    let fixture = Fixture::start().await;
    let long =
        Form::new().text("comment", &"x".repeat(65 * KIB)).file(DOCUMENT_FIELD, "a.pdf", &sample::pdf(KIB));
    Refusal::of(&fixture, "one long text", 413, "form_too_large").leaves_nothing(long).await;
    let many = (0..10_000).fold(Form::new(), |form, n| form.text(&format!("f{n}"), "0123456789"));
    Refusal::of(&fixture, "10,000 fields", 413, "form_too_large").leaves_nothing(many).await;
    fixture.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b12_a_declared_file_that_is_not_in_the_form() {
    let fixture = Fixture::start().await;
    let content = sample::pdf(100 * KIB);
    let form = Form::document(&content).size(MsaImgs, 5000);
    let problem = Refusal::of(&fixture, "no image", 400, "file_missing").ends(MsaImgs).post(form).await;
    fixture.take_stored(outcome_of(&problem.files, DocsFile), &content).await;
    fixture.normal_upload_passes().await;
    fixture.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c05_a_file_in_the_other_ones_field() {
    let fixture = Fixture::start().await;
    for size in [10 * KIB, 6 * MIB] {
        let image = Form::new().file(DOCUMENT_FIELD, "b.jpg", &sample::jpeg(size)).size(DocsFile, size);
        let refusal = Refusal::of(&fixture, "JPEG as document", 415, "wrong_field_type");
        refusal.ends(DocsFile).leaves_nothing(image).await;
        let document = Form::new().file(IMAGE_FIELD, "a.pdf", &sample::pdf(size)).size(MsaImgs, size);
        let refusal = Refusal::of(&fixture, "PDF as image", 415, "wrong_field_type");
        refusal.ends(MsaImgs).leaves_nothing(document.clone()).await;
        let refusal = Refusal::of(&fixture, "PDF as image, size unknown", 415, "wrong_field_type");
        refusal.ends(MsaImgs).leaves_nothing(document.without_sizes()).await;
    }
    fixture.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c06_bytes_that_are_not_what_the_name_says() {
    let fixture = Fixture::start().await;
    let svg = b"<svg xmlns=\"http://www.w3.org/2000/svg\"><script>alert(1)</script></svg>".to_vec();
    let documents: [(&str, Vec<u8>); 6] = [
        ("program.pdf", sample::exe(300 * KIB)),
        ("program.pdf", sample::exe(6 * MIB)),
        ("page.pdf", b"<!doctype html><script>alert(1)</script>".to_vec()),
        ("archive.docx", sample::zip()),
        ("noise.docx", sample::noise(100 * KIB)),
        ("really-a-pdf.docx", sample::pdf(100 * KIB)),
    ];
    for (name, content) in documents {
        let form = Form::new().file(DOCUMENT_FIELD, name, &content).size(DocsFile, content.len());
        let refusal = Refusal::of(&fixture, name, 415, "type_mismatch");
        refusal.ends(DocsFile).leaves_nothing(form).await;
    }
    let images: [(&str, Vec<u8>); 4] = [
        ("page.png", b"<!doctype html><script>alert(1)</script>".to_vec()),
        ("drawing.svg", svg.clone()),
        ("drawing.png", svg),
        ("really-a-png.jpg", sample::png(10 * KIB)),
    ];
    for (name, content) in images {
        let form = Form::new().file(IMAGE_FIELD, name, &content).size(MsaImgs, content.len());
        let refusal = Refusal::of(&fixture, name, 415, "type_mismatch");
        refusal.ends(MsaImgs).leaves_nothing(form).await;
    }
    fixture.finish().await;
}

/// The type is known after 64 KiB: the answer comes though the client has sent no more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c06_a_wrong_type_is_refused_before_the_rest_was_sent() {
    let fixture = Fixture::start().await;
    let form = Form::document(&sample::exe(20 * MIB));
    let refusal = Refusal::of(&fixture, "a program", 415, "type_mismatch").ends(DocsFile);
    refusal
        .send(form, async |form, server| {
            let body = form.body();
            let mut client = crate::support::client::RawConnection::connect(server).await;
            client.write(&form.head(body.len())).await;
            client.write(&body[..form.offset(0, 128 * KIB)]).await;
            client.answer().await
        })
        .await;
    fixture.nothing_stored().await;
    fixture.normal_upload_passes().await;
    fixture.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c10_a_document_with_macros() {
    let fixture = Fixture::start().await;
    let content = sample::docx_with_macros();
    let form = Form::new().file(DOCUMENT_FIELD, "a.docx", &content).size(DocsFile, content.len());
    let refusal = Refusal::of(&fixture, "macros", 415, "macros").ends(DocsFile);
    refusal.leaves_nothing(form.clone()).await;
    Refusal::of(&fixture, "macros", 415, "macros").leaves_nothing(form.without_sizes()).await;
    fixture.finish().await;
}

/// What only looks like the form's delimiter is content, wherever the network cuts it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a06_boundary_like_bytes_in_a_file_and_a_boundary_cut_anywhere() {
    let fixture = Fixture::start().await;
    let mut content = sample::pdf(40 * KIB);
    let likes = format!("\r\n--{BOUNDARY}x\r\n--{BOUNDARY}-\r\n--{BOUNDARY}\r\r\n--\r\n\r");
    content.extend_from_slice(likes.as_bytes());
    let form = Form::document(&content);
    let body = form.body();
    for cut in form.offset(0, 40 * KIB)..body.len() {
        let mut client = crate::support::client::RawConnection::connect(fixture.server).await;
        client.write(&[form.head(body.len()), body[..cut].to_vec()].concat()).await;
        tokio::task::yield_now().await;
        client.write(&body[cut..]).await;
        let answer = client.answer().await;
        fixture.take_stored(&answer.stored_one(), &content).await;
    }
    fixture.finish().await;
}

/// The first failure stops reading: what comes later is not received, and its bar ends with the same code.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_follows_the_first_failure_is_not_received() {
    let fixture = Fixture::start().await;
    let form = Form::both(&sample::exe(300 * KIB), &sample::jpeg(300 * KIB));
    let refusal = Refusal::of(&fixture, "program, then image", 415, "type_mismatch").ends(MsaImgs);
    let problem = refusal.leaves_nothing(form).await;
    assert_eq!(problem.file.as_deref(), Some(DOCUMENT_FIELD));
    assert_eq!(outcome_of(&problem.files, DocsFile).outcome, Outcome::Failed);
    assert_eq!(outcome_of(&problem.files, DocsFile).code.as_deref(), Some("type_mismatch"));
    assert_eq!(outcome_of(&problem.files, MsaImgs).outcome, Outcome::NotReceived);
    fixture.finish().await;
}

/// One stored, one failed is possible; the answer says which, and its status is the failed one's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_arrived_before_the_first_failure_is_stored() {
    let fixture = Fixture::start().await;
    for size in [300 * KIB, 6 * MIB] {
        let content = sample::pdf(size);
        let form = Form::both(&content, &sample::exe(300 * KIB));
        let refusal = Refusal::of(&fixture, "document, then program", 415, "type_mismatch").ends(MsaImgs);
        let problem = refusal.post(form).await;
        assert_eq!(problem.file.as_deref(), Some(IMAGE_FIELD));
        assert_eq!(outcome_of(&problem.files, MsaImgs).outcome, Outcome::Failed);
        fixture.take_stored(outcome_of(&problem.files, DocsFile), &content).await;
    }
    fixture.normal_upload_passes().await;
    fixture.finish().await;
}
