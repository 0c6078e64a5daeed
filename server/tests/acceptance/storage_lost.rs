//! A store that cannot be reached, or takes nothing more.

use std::time::{Duration, Instant};

use app::wire::FileType::{DocsFile, MsaImgs};
use app::wire::{Outcome, Problem};

use crate::refusal::Refusal;
use crate::support::client::{Form, RawConnection, get};
use crate::support::fixture::Fixture;
use crate::support::sample::{self, KIB, MIB};
use crate::support::store::Op;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d05_connections_are_refused() {
    let mut fixture = Fixture::setup().proxy().start().await;
    fixture.proxy.as_mut().unwrap().refuse().await;
    for (form, file) in [
        (Form::document(&sample::pdf(12 * MIB)), DocsFile),
        (Form::document(&sample::pdf(300 * KIB)), DocsFile),
        (Form::image(&sample::jpeg(300 * KIB)), MsaImgs),
    ] {
        let begun = Instant::now();
        let refusal = Refusal::of(&fixture, "no store", 503, "storage_unreachable").ends(file);
        assert!(refusal.post(form).await.retryable);
        assert!(begun.elapsed() < Duration::from_secs(15), "answered after {:?}", begun.elapsed());
    }
    assert_eq!(get(fixture.server, "/readyz").await.status, 503);
    fixture.proxy.as_mut().unwrap().accept().await;
    fixture.nothing_stored().await;
    fixture.normal_upload_passes().await;
    assert_eq!(get(fixture.server, "/readyz").await.status, 200);
    fixture.finish().await;
}

/// The store goes in the middle of part 2 and stays away; what it holds by then is aborted when it is back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d05_the_store_goes_in_the_middle_and_comes_back() {
    let mut fixture = Fixture::setup().proxy().start().await;
    let content = sample::pdf(12 * MIB);
    let form = Form::document(&content);
    let body = form.body();
    let mut client = RawConnection::connect(fixture.server).await;
    client.write(&form.head(body.len())).await;
    let pause = form.offset(0, 7 * MIB);
    client.write(&body[..pause]).await;
    fixture.store.part_stored(1).await;
    fixture.store.part_read(2, MIB as u64).await;
    // The connection breaks while the part waits for the client: that costs no attempt.
    fixture.proxy.as_ref().unwrap().reset_all();
    client.write(&body[pause..]).await;
    let answer = client.answer().await;
    fixture.take_stored(&answer.stored_one(), &content).await;
    drop(client);
    fixture.normal_upload_passes().await;
    fixture.proxy.as_mut().unwrap().refuse().await;
    fixture.proxy.as_mut().unwrap().accept().await;
    fixture.normal_upload_passes().await;
    fixture.finish().await;
}

/// Complete fails, and so does the question what became of it: the upload is aborted all the same, and then asked after.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_cannot_be_asked_after_is_aborted() {
    let fixture = Fixture::start().await;
    fixture.store.on(Op::Complete).fails(500, "InternalError");
    // As often as one question is repeated.
    fixture.store.on(Op::Head).first(4).fails(503, "SlowDown");
    let answer = Form::document(&sample::pdf(6 * MIB)).post(fixture.server).await;
    let problem: Problem = answer.json();
    assert_eq!(problem.files[0].outcome, Outcome::Failed, "{}", answer.text());
    assert_eq!(fixture.store.calls_of(Op::Head).len(), 5);
    assert_eq!(fixture.store.calls_of(Op::Abort).len(), 1);
    fixture.finish().await;
}

/// The store takes the connection and the body and never answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d08_the_store_never_answers() {
    let fixture = impatient().await;
    for (op, size) in [(Op::UploadPart, 6 * MIB), (Op::Put, 300 * KIB), (Op::Create, 6 * MIB)] {
        println!("{op:?}");
        // Never opened: what a store does with a body after its client gave up is not the question here.
        let _gate = fixture.store.on(op).holds_before();
        let form = Form::document(&sample::pdf(size));
        let refusal = Refusal::of(&fixture, "no answer", 504, "storage_timeout").ends(DocsFile);
        assert!(refusal.post(form).await.retryable);
        fixture.store.forget_rules();
        fixture.nothing_stored().await;
        fixture.normal_upload_passes().await;
    }
    fixture.finish().await;
}

/// The store stops reading in the middle of a body.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d09_the_store_stops_reading() {
    let fixture = impatient().await;
    for (op, size) in [(Op::UploadPart, 12 * MIB), (Op::Put, 4 * MIB)] {
        println!("{op:?}");
        let gate = fixture.store.on(op).stalls_body(64 * KIB as u64);
        let form = Form::document(&sample::pdf(size));
        let refusal = Refusal::of(&fixture, "no reading", 504, "storage_timeout").ends(DocsFile);
        refusal.post(form).await;
        fixture.store.forget_rules();
        gate.cancel();
        fixture.nothing_stored().await;
        fixture.normal_upload_passes().await;
    }
    fixture.finish().await;
}

/// A pause of the store that is shorter than the clock harms nobody, nor does one of the client.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d09_a_client_that_pauses_is_no_stalled_store() {
    let fixture = impatient().await;
    let content = sample::pdf(8 * MIB);
    let form = Form::document(&content);
    let body = form.body();
    let mut client = RawConnection::connect(fixture.server).await;
    client.write(&form.head(body.len())).await;
    let pause = form.offset(0, 2 * MIB);
    client.write(&body[..pause]).await;
    fixture.store.part_read(1, MIB as u64).await;
    // Longer than the store may stall: what is tested is that this time does not count.
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    client.write(&body[pause..]).await;
    let answer = client.answer().await;
    fixture.take_stored(&answer.stored_one(), &content).await;
    assert_eq!(fixture.store.calls_of(Op::UploadPart).len(), 2, "no attempt was wasted");
    drop(client);
    fixture.finish().await;
}

/// A server that gives up a store without progress after a second.
async fn impatient() -> Fixture {
    let setup = Fixture::setup().config(|config| config.clocks.store_stall = Duration::from_secs(1));
    setup.start().await
}
