//! Size headers that are not true, not numbers, or too much.

use app::wire::FileType::{DocsFile, MsaImgs};

use crate::refusal::Refusal;
use crate::support::client::{Form, RawConnection};
use crate::support::fixture::Fixture;
use crate::support::sample::{self, KIB, MIB};
use crate::support::store::Op;

fn declared(size: impl ToString, content: &[u8]) -> Form {
    Form::document(content).without_sizes().size(DocsFile, size)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b06_more_bytes_than_declared() {
    let fixture = Fixture::start().await;
    for (said, sent) in [(MIB, 2 * MIB), (10 * MIB, 20 * MIB), (5 * MIB, 5 * MIB + 1), (MIB, MIB + 1)] {
        let refusal = Refusal::of(&fixture, format!("{said} declared, {sent} sent"), 413, "size_exceeded");
        refusal.ends(DocsFile).leaves_nothing(declared(said, &sample::pdf(sent))).await;
    }
    fixture.finish().await;
}

/// One byte too many is enough to know: the answer comes though the client has sent no more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b06_the_first_byte_too_many_is_refused() {
    let fixture = Fixture::start().await;
    for said in [MIB, 10 * MIB] {
        let form = declared(said, &sample::pdf(20 * MIB));
        let refusal = Refusal::of(&fixture, format!("{said} declared"), 413, "size_exceeded").ends(DocsFile);
        refusal
            .send(form, async |form, server| {
                let mut client = RawConnection::connect(server).await;
                client.write(&form.chunked_head()).await;
                let sent = &form.body()[..form.offset(0, said + 1)];
                client.write(&[format!("{:x}\r\n", 20 * MIB).as_bytes(), sent].concat()).await;
                client.answer().await
            })
            .await;
        fixture.nothing_stored().await;
    }
    fixture.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b07_fewer_bytes_than_declared() {
    let fixture = Fixture::start().await;
    for (said, sent) in [(2 * MIB, MIB), (20 * MIB, 10 * MIB), (5 * MIB + 1, 5 * MIB), (MIB + 1, MIB)] {
        let refusal = Refusal::of(&fixture, format!("{said} declared, {sent} sent"), 400, "size_mismatch");
        refusal.ends(DocsFile).leaves_nothing(declared(said, &sample::pdf(sent))).await;
    }
    fixture.finish().await;
}

/// Across the line between PutObject and multipart, the store never gets to see a whole object.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b08_a_false_size_across_five_mebibytes() {
    let fixture = Fixture::start().await;
    let refusal = Refusal::of(&fixture, "4 declared, 6 sent", 413, "size_exceeded");
    refusal.ends(DocsFile).leaves_nothing(declared(4 * MIB, &sample::pdf(6 * MIB))).await;
    let refusal = Refusal::of(&fixture, "6 declared, 4 sent", 400, "size_mismatch");
    refusal.ends(DocsFile).leaves_nothing(declared(6 * MIB, &sample::pdf(4 * MIB))).await;
    assert!(fixture.store.calls_of(Op::Complete).is_empty(), "no Complete was tried");
    fixture.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b02_b03_a_size_that_is_no_plain_decimal() {
    let fixture = Fixture::start().await;
    let content = sample::pdf(10 * KIB);
    for text in ["NaN", "abc", "", "1e6", "0x10", "+5", "5.0", "５", "5,5", "-1", "-0", "1 0", "5,10"] {
        let refusal = Refusal::of(&fixture, format!("size {text:?}"), 400, "size_invalid");
        refusal.post(declared(text, &content)).await;
    }
    assert!(fixture.store.calls_of(Op::Put).is_empty(), "the store was not asked");
    fixture.nothing_stored().await;
    fixture.normal_upload_passes().await;
    fixture.finish().await;
}

/// Refused by the head alone: not a byte of the body is sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b04_numbers_beyond_everything() {
    let fixture = Fixture::start().await;
    let over = ["9007199254740992", "9223372036854775808", "18446744073709551615"];
    let no_number = ["18446744073709551616", "10000000000000000000000000000000000000000"];
    let over = over.map(|text| (text, 413, "size_exceeded"));
    let no_number = no_number.map(|text| (text, 400, "size_invalid"));
    for (text, status, code) in over.into_iter().chain(no_number) {
        let form = declared(text, &sample::smallest_pdf());
        let mut client = RawConnection::connect(fixture.server).await;
        client.write(&form.head(100 * MIB)).await;
        client.answer().await.problem(status, code);
    }
    fixture.nothing_stored().await;
    fixture.normal_upload_passes().await;
    fixture.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b05_a_size_sent_twice() {
    let fixture = Fixture::start().await;
    let content = sample::pdf(10 * KIB);
    let refusal = Refusal::of(&fixture, "twice the same", 400, "size_invalid");
    refusal.leaves_nothing(declared(content.len(), &content).size(DocsFile, content.len())).await;
    fixture.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b10_one_byte_over_the_limit() {
    let fixture = Fixture::start().await;
    let (document, image) = (sample::pdf(25 * MIB + 1), sample::jpeg(10 * MIB + 1));
    for (form, file) in [(Form::document(&document), DocsFile), (Form::image(&image), MsaImgs)] {
        let refusal = Refusal::of(&fixture, format!("{file:?} declared too large"), 413, "too_large");
        refusal.ends(file).leaves_nothing(form.clone()).await;
        let refusal = Refusal::of(&fixture, format!("{file:?} too large"), 413, "too_large");
        refusal.ends(file).leaves_nothing(form.without_sizes()).await;
    }
    fixture.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b11_an_empty_file() {
    let fixture = Fixture::start().await;
    let form = Form::document(&[]);
    let refusal = Refusal::of(&fixture, "declared empty", 422, "empty_file");
    refusal.ends(DocsFile).leaves_nothing(form.clone()).await;
    let refusal = Refusal::of(&fixture, "found empty", 422, "empty_file");
    refusal.ends(DocsFile).leaves_nothing(form.without_sizes()).await;
    fixture.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_byte_is_no_document_and_no_image() {
    let fixture = Fixture::start().await;
    for form in [Form::document(b"%"), Form::document(b"%").without_sizes()] {
        let refusal = Refusal::of(&fixture, "one byte", 415, "type_mismatch");
        refusal.ends(DocsFile).leaves_nothing(form).await;
    }
    let refusal = Refusal::of(&fixture, "one byte", 415, "type_mismatch");
    refusal.ends(MsaImgs).leaves_nothing(Form::image(&[0xff])).await;
    fixture.finish().await;
}

/// With `Expect: 100-continue` and a size over the limit the body is never asked for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a17_no_continue_for_what_will_be_refused() {
    let fixture = Fixture::start().await;
    let form = declared(25 * MIB + 1, &sample::smallest_pdf()).header("Expect", "100-continue");
    let mut client = RawConnection::connect(fixture.server).await;
    client.write(&form.head(25 * MIB + 500)).await;
    let answer = client.next_answer().await;
    assert_eq!(answer.status, 413, "without 100: {}", answer.text());
    drop(client);
    fixture.finish().await;
}
