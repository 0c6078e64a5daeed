//! Cancel, over the socket and by DELETE: 202, 404, 409, and what it ends and what it leaves.

use app::wire::FileType::{self, DocsFile, MsaImgs};
use app::wire::{Outcome, Status};

use crate::support::client::{Form, RawConnection, request};
use crate::support::fixture::{Fixture, outcome_of};
use crate::support::sample::{self, KIB, MIB};
use crate::support::socket::Watcher;
use crate::support::store::Op;

/// An upload that has stopped in the middle of a file, with what it takes to go on.
struct Paused {
    client: RawConnection,
    watcher: Watcher,
    upload_id: String,
}

/// Sends `form` up to `until` bytes of its `part`-th file and waits until the bar has heard of it.
async fn pause(
    fixture: &Fixture,
    id: &str,
    form: &Form,
    part: usize,
    until: usize,
    file: FileType,
) -> Paused {
    let form = form.clone().client_id(id);
    let body = form.body();
    let mut watcher = Watcher::new(fixture.server, id).await;
    let mut client = RawConnection::connect(fixture.server).await;
    client.write(&form.head(body.len())).await;
    client.write(&body[..form.offset(part, until)]).await;
    let upload_id = watcher
        .until("the bar of the paused file", |heard| {
            let is_there = |m: &app::wire::FileMessage| {
                m.file_type == file && m.received + 64 * KIB as u64 >= until as u64
            };
            heard.iter().map(|heard| &heard.message).find(|m| is_there(m)).map(|m| m.upload_id.clone())
        })
        .await;
    Paused { client, watcher, upload_id }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e01_over_the_socket() {
    let fixture = Fixture::start().await;
    for size in [3 * MIB, 12 * MIB] {
        let form = Form::document(&sample::pdf(size));
        let id = format!("cancel-{size}");
        let mut paused = pause(&fixture, &id, &form, 0, size * 6 / 10, DocsFile).await;
        let mut other = Watcher::new(fixture.server, &id).await;
        let cancel = format!("{{\"cancel\":\"{}\"}}", paused.upload_id);
        paused.watcher.say(&cancel).await;
        for watcher in [&mut paused.watcher, &mut other] {
            let end = watcher.terminal(DocsFile).await;
            assert_eq!((end.status, end.code.as_deref()), (Status::Error, Some("cancelled")));
        }
        let problem = paused.client.answer().await.problem(409, "cancelled");
        assert_eq!(outcome_of(&problem.files, DocsFile).outcome, Outcome::Failed);
        fixture.nothing_stored().await;
        fixture.normal_upload_passes().await;
    }
    fixture.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn delete_answers_202_then_409() {
    let fixture = Fixture::start().await;
    let form = Form::document(&sample::pdf(12 * MIB));
    let mut paused = pause(&fixture, "delete", &form, 0, 7 * MIB, DocsFile).await;
    let target = format!("/uploads/{}", paused.upload_id);
    assert_eq!(request(fixture.server, "DELETE", &target).await.status, 202);
    assert_eq!(paused.watcher.terminal(DocsFile).await.code.as_deref(), Some("cancelled"));
    paused.client.answer().await.problem(409, "cancelled");
    assert_eq!(request(fixture.server, "DELETE", &target).await.status, 409, "every file is terminal");
    fixture.nothing_stored().await;
    drop(paused);
    fixture.normal_upload_passes().await;
    fixture.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn delete_of_what_is_stored_is_409_and_of_what_is_not_known_404() {
    let fixture = Fixture::start().await;
    let content = sample::pdf(10 * KIB);
    let answer = Form::document(&content).post(fixture.server).await.stored();
    let target = format!("/uploads/{}", answer.upload_id);
    assert_eq!(request(fixture.server, "DELETE", &target).await.status, 409);
    fixture.take_stored(&answer.files[0], &content).await;
    for id in ["AAAAAAAAAAAAAAAAAAAAAA", "short", "%2e%2e"] {
        let answer = request(fixture.server, "DELETE", &format!("/uploads/{id}")).await;
        answer.problem(404, "upload_unknown");
    }
    fixture.finish().await;
}

/// Cancel ends what is not terminal and leaves what is stored.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stored_file_stays_when_the_rest_is_cancelled() {
    let fixture = Fixture::start().await;
    let content = sample::pdf(6 * MIB);
    let form = Form::both(&content, &sample::jpeg(3 * MIB));
    let mut paused = pause(&fixture, "half", &form, 1, MIB, MsaImgs).await;
    assert_eq!(paused.watcher.terminal(DocsFile).await.status, Status::Completed);
    let target = format!("/uploads/{}", paused.upload_id);
    assert_eq!(request(fixture.server, "DELETE", &target).await.status, 202);
    assert_eq!(paused.watcher.terminal(MsaImgs).await.code.as_deref(), Some("cancelled"));
    let problem = paused.client.answer().await.problem(409, "cancelled");
    assert_eq!(outcome_of(&problem.files, MsaImgs).outcome, Outcome::Failed);
    fixture.take_stored(outcome_of(&problem.files, DocsFile), &content).await;
    drop(paused);
    fixture.normal_upload_passes().await;
    fixture.finish().await;
}

/// A file that has arrived is ended too, as long as its Complete has not been sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_arrived_is_ended_before_its_complete() {
    let fixture = Fixture::start().await;
    let gate = fixture.store.on(Op::UploadPart).part(2).holds_after();
    let form = Form::document(&sample::pdf(12 * MIB)).client_id("arrived");
    let mut watcher = Watcher::new(fixture.server, "arrived").await;
    let server = fixture.server;
    let posting = tokio::spawn(async move { form.post(server).await });
    let upload_id = watcher
        .until("everything received", |heard| {
            let mut messages = heard.iter().map(|heard| &heard.message);
            messages.find(|m| m.status == Status::Processing).map(|m| m.upload_id.clone())
        })
        .await;
    let target = format!("/uploads/{upload_id}");
    assert_eq!(request(fixture.server, "DELETE", &target).await.status, 202);
    gate.cancel();
    assert_eq!(watcher.terminal(DocsFile).await.code.as_deref(), Some("cancelled"));
    posting.await.unwrap().problem(409, "cancelled");
    assert!(fixture.store.calls_of(Op::Complete).is_empty());
    drop(watcher);
    fixture.store.forget_rules();
    fixture.nothing_stored().await;
    fixture.normal_upload_passes().await;
    fixture.finish().await;
}

/// Once Complete has been sent it is too late, and the answer, the bar and the store agree on that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_after_complete_was_sent_changes_nothing() {
    let fixture = Fixture::start().await;
    let gate = fixture.store.on(Op::Complete).holds_before();
    let content = sample::pdf(12 * MIB);
    let form = Form::document(&content).client_id("too-late");
    let mut watcher = Watcher::new(fixture.server, "too-late").await;
    let server = fixture.server;
    let posting = tokio::spawn(async move { form.post(server).await });
    fixture.store.called(Op::Complete, 1).await;
    let upload_id =
        watcher.until("a message", |heard| heard.first().map(|h| h.message.upload_id.clone())).await;
    watcher.say(&format!("{{\"cancel\":\"{upload_id}\"}}")).await;
    request(fixture.server, "DELETE", &format!("/uploads/{upload_id}")).await;
    gate.cancel();
    assert_eq!(watcher.terminal(DocsFile).await.status, Status::Completed);
    fixture.take_stored(&posting.await.unwrap().stored_one(), &content).await;
    drop(watcher);
    fixture.finish().await;
}
