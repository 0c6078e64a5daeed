//! What was left open in the store is aborted later: what is ours, old, and carried by nobody.

use std::time::Duration;

use app::wire::FileType::DocsFile;
use app::wire::{Outcome, Problem};

use crate::refusal::Refusal;
use crate::support::client::{Form, RawConnection};
use crate::support::fixture::{Fixture, outcome_of, settle};
use crate::support::sample::{self, MIB};
use crate::support::store::{Cut, Op};

/// Between two sweeps in these tests.
const EVERY: Duration = Duration::from_millis(50);

/// A server that sweeps what is older than `age`.
async fn sweeping(age: Duration) -> Fixture {
    let setup = Fixture::setup().proxy().config(move |config| {
        config.clocks.sweep = EVERY;
        config.storage.sweep_after = age;
    });
    setup.start().await
}

/// A key as this server makes them.
fn key_of_ours(number: usize) -> String {
    format!("supporting_documents/docs_file{number:064x}.pdf")
}

/// Waits until the bucket has been listed once more, `times` times.
async fn listed(fixture: &Fixture, times: usize) {
    let before = fixture.store.calls_of(Op::ListUploads).len();
    fixture.store.called(Op::ListUploads, before + times).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d18_an_abort_that_failed_is_tried_again() {
    let fixture = sweeping(Duration::from_secs(3600)).await;
    // The SDK's own four attempts, twice.
    fixture.store.on(Op::Abort).first(8).fails(500, "InternalError");
    let form = Form::document(&sample::pdf(12 * MIB)).without_sizes().size(DocsFile, 13 * MIB);
    Refusal::of(&fixture, "shorter than declared", 400, "size_mismatch").ends(DocsFile).post(form).await;
    fixture.nothing_stored().await;
    assert_eq!(fixture.metric("brigade_s3_aborts_total{outcome=\"failed\"}").await, 2.0);
    assert_eq!(settle(|n| *n == 1.0, || fixture.metric("brigade_uploads_swept_total")).await, 1.0);
    assert_eq!(fixture.metric("brigade_uploads_left_open").await, 0.0);
    fixture.finish().await;
}

/// The store vanished at Complete: nobody knows whether it took effect. When it is back, the upload does not stay open.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_knows_of_is_aborted_when_the_store_is_back() {
    let mut fixture = sweeping(Duration::from_secs(3600)).await;
    let gate = fixture.store.on(Op::Complete).holds_before();
    let server = fixture.server;
    let form = Form::document(&sample::pdf(12 * MIB));
    let posting = tokio::spawn(async move { form.post(server).await });
    fixture.store.called(Op::Complete, 1).await;
    fixture.proxy.as_mut().unwrap().refuse().await;
    let problem: Problem = posting.await.unwrap().problem(503, "storage_unreachable");
    assert_eq!(outcome_of(&problem.files, DocsFile).outcome, Outcome::Unknown);
    fixture.store.forget_rules();
    gate.cancel();
    fixture.proxy.as_mut().unwrap().accept().await;
    assert_eq!(settle(|n| *n == 0.0, || fixture.metric("brigade_uploads_left_open")).await, 0.0);
    // Complete or Abort, exactly one has taken effect.
    fixture.take_all().await;
    fixture.finish().await;
}

/// An error of the store's own is no word that Complete did nothing, and the abort that would make sure fails, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whether_complete_took_effect_is_not_known_without_the_abort() {
    let fixture = sweeping(Duration::from_secs(3600)).await;
    fixture.store.on(Op::Complete).fails(500, "InternalError");
    // The SDK's own four attempts.
    fixture.store.on(Op::Abort).first(4).fails(500, "InternalError");
    let form = Form::document(&sample::pdf(12 * MIB));
    let problem: Problem = form.post(fixture.server).await.problem(503, "storage_unreachable");
    assert_eq!(outcome_of(&problem.files, DocsFile).outcome, Outcome::Unknown);
    assert_eq!(settle(|n| *n == 0.0, || fixture.metric("brigade_uploads_left_open")).await, 0.0);
    fixture.nothing_stored().await;
    fixture.finish().await;
}

/// The first Create has opened one and its answer is lost: it has a name that nobody here knows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_was_opened_unheard_is_aborted() {
    let fixture = sweeping(Duration::from_secs(3600)).await;
    fixture.store.on(Op::Create).once().loses_the_answer(Cut::Reset);
    let content = sample::pdf(12 * MIB);
    let posted = Form::document(&content).post(fixture.server).await.stored_one();
    fixture.take(posted.key.as_deref().unwrap(), &content).await;
    assert_eq!(fixture.store.calls_of(Op::Create).len(), 2, "{}", fixture.store.log());
    assert_eq!(settle(|n| *n == 1.0, || fixture.metric("brigade_uploads_swept_total")).await, 1.0);
    assert_eq!(fixture.metric("brigade_uploads_left_open").await, 0.0);
    fixture.finish().await;
}

/// Another program's uploads in the same bucket stay, whatever their age; so do young ones.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_is_ours_and_old_is_swept() {
    let fixture = sweeping(Duration::ZERO).await;
    let others = ["backups/a.tar", "supporting_documents/docs_file-of-theirs.pdf", "photos/msa_imgs"];
    let upper = key_of_ours(0xabc).replace("abc", "ABC");
    let mut theirs = Vec::new();
    for key in others.into_iter().chain([upper.as_str()]) {
        theirs.push((key.to_owned(), fixture.bucket.begin(key).await));
    }
    fixture.bucket.begin(&key_of_ours(1)).await;
    theirs.sort();
    let open = settle(|open| *open == theirs, || fixture.bucket.open_uploads()).await;
    assert_eq!(open, theirs, "ours is gone, theirs are not");
    listed(&fixture, 3).await;
    assert_eq!(fixture.bucket.open_uploads().await, theirs);
    for (key, id) in theirs {
        fixture.bucket.abort(&key, &id).await;
    }
    fixture.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_young_is_not_swept() {
    let fixture = sweeping(Duration::from_secs(20)).await;
    let (key, id) = (key_of_ours(1), fixture.bucket.begin(&key_of_ours(1)).await);
    listed(&fixture, 2).await;
    assert_eq!(fixture.bucket.open_uploads().await, [(key.clone(), id.clone())]);
    fixture.bucket.abort(&key, &id).await;
    fixture.finish().await;
}

/// An upload that this server carries is never swept, however long it takes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_alive_is_not_swept() {
    let fixture = sweeping(Duration::ZERO).await;
    let content = sample::pdf(12 * MIB);
    let form = Form::document(&content);
    let body = form.body();
    let mut client = RawConnection::connect(fixture.server).await;
    client.write(&form.head(body.len())).await;
    client.write(&body[..form.offset(0, 7 * MIB)]).await;
    fixture.store.part_stored(1).await;
    listed(&fixture, 3).await;
    client.write(&body[form.offset(0, 7 * MIB)..]).await;
    let answer = client.answer().await;
    fixture.take_stored(&answer.stored_one(), &content).await;
    assert_eq!(fixture.metric("brigade_uploads_swept_total").await, 0.0);
    drop(client);
    fixture.finish().await;
}

/// A listing has room for a thousand: ours is found behind them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_uploads_of_others_do_not_hide_ours() {
    let fixture = sweeping(Duration::ZERO).await;
    let mut theirs = Vec::new();
    for number in 0..1_050 {
        let key = format!("supporting_documents/docs_file-{number}");
        theirs.push((fixture.bucket.begin(&key).await, key));
    }
    fixture.bucket.begin(&key_of_ours(1)).await;
    let swept = || fixture.metric("brigade_uploads_swept_total");
    assert_eq!(settle(|n| *n == 1.0, swept).await, 1.0);
    for (id, key) in theirs {
        fixture.bucket.abort(&key, &id).await;
    }
    fixture.finish().await;
}
