//! The budget, seen from outside: bounded, fair, and nobody fails for want of a replay copy that nobody needs.

use std::time::{Duration, Instant};

use app::wire::FileType::DocsFile;
use app::wire::Problem;
use bytesize::ByteSize;
use futures_util::future::join_all;

use crate::support::client::{Form, RawConnection};
use crate::support::fixture::Fixture;
use crate::support::sample::{self, KIB, MIB};
use crate::support::socket::Watcher;
use crate::support::store::Op;

/// Four parts of 5 MiB: the least that is accepted.
const LEAST_MEMORY: usize = 20 * MIB;

async fn small() -> Fixture {
    Fixture::setup()
        .config(|config| config.limits.buffer_memory = ByteSize(LEAST_MEMORY as u64))
        .start()
        .await
}

/// Uploads that together are four times the budget pass while the store takes nothing for a while: each has its
/// window, and what is held never exceeds the budget.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_uploads_share_a_small_budget() {
    let fixture = small().await;
    let gate = fixture.store.on(Op::UploadPart).holds_before();
    let contents: Vec<_> = (0..8).map(|_| sample::pdf(10 * MIB)).collect();
    let server = fixture.server;
    let posting: Vec<_> = contents
        .iter()
        .map(|content| {
            let form = Form::document(content);
            tokio::spawn(async move { form.post(server).await })
        })
        .collect();
    let full = async {
        while fixture.metric("brigade_buffer_waiting").await < 4.0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), full).await.expect("memory runs short");
    let held = fixture.metric("brigade_buffer_allocated_bytes").await;
    assert!(held <= LEAST_MEMORY as f64, "{held} bytes");
    gate.cancel();
    for (posting, content) in posting.into_iter().zip(&contents) {
        fixture.take_stored(&posting.await.unwrap().stored_one(), content).await;
    }
    assert!(fixture.metric("brigade_replay_copies_given_up_total").await > 0.0);
    fixture.finish().await;
}

/// A part whose copy was given up cannot be sent again: the upload fails, and may be tried again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_copy_a_failed_part_fails_the_upload() {
    let fixture = small().await;
    // A store that reads but does not answer keeps every copy needed.
    let gate = fixture.store.on(Op::UploadPart).holds_after();
    let server = fixture.server;
    let slow = Form::document(&sample::pdf(25 * MIB));
    let body = slow.body();
    let mut first = RawConnection::connect(server).await;
    first.write(&slow.head(body.len())).await;
    first.write(&body[..slow.offset(0, 9 * MIB)]).await;
    fixture.store.part_read(1, 5 * MIB as u64).await;
    let others = (0..3).map(|_| {
        let form = Form::document(&sample::pdf(25 * MIB));
        tokio::spawn(async move { form.post(server).await })
    });
    let others: Vec<_> = others.collect();
    let given_up = async {
        while fixture.metric("brigade_replay_copies_given_up_total").await == 0.0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), given_up).await.expect("copies are given up");
    fixture.store.forget_rules();
    fixture.store.on(Op::UploadPart).fails(500, "InternalError");
    gate.cancel();
    let problems = join_all(others).await.into_iter().map(|answer| answer.unwrap().json::<Problem>());
    let without_copy: Vec<_> = problems.filter(|problem| problem.code == "replay_unavailable").collect();
    assert!(!without_copy.is_empty(), "an upload that gave up its copy failed for want of it");
    assert!(without_copy.iter().all(|problem| problem.status == 503 && problem.retryable));
    drop(first);
    fixture.store.forget_rules();
    fixture.nothing_stored().await;
    fixture.normal_upload_passes().await;
    fixture.finish().await;
}

/// More uploads than are admitted are told so at once, and when to come again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_upload_too_many_is_busy_at_once() {
    let fixture = Fixture::setup().config(|config| config.limits.max_uploads = 2).start().await;
    let content = sample::pdf(100 * KIB);
    let form = Form::document(&content);
    let body = form.body();
    let mut running = Vec::new();
    for _ in 0..2 {
        let mut client = RawConnection::connect(fixture.server).await;
        client.write(&form.head(body.len())).await;
        client.write(&body[..20 * KIB]).await;
        running.push(client);
    }
    fixture.store.called(Op::Put, 2).await;
    let begun = Instant::now();
    assert!(form.post(fixture.server).await.problem(503, "busy").retryable);
    assert!(begun.elapsed() < Duration::from_secs(1));
    for mut client in running {
        client.write(&body[20 * KIB..]).await;
        let answer = client.answer().await;
        fixture.take_stored(&answer.stored_one(), &content).await;
    }
    fixture.normal_upload_passes().await;
    fixture.finish().await;
}

/// A store that cuts connections which carry nothing for a while does not fail a client that pauses for longer,
/// and the pause costs no attempt; meanwhile nothing is held but the copy of what was sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_may_pause_longer_than_the_store_keeps_an_idle_connection() {
    let fixture = Fixture::setup().proxy().start().await;
    fixture.proxy.as_ref().unwrap().up.cut_idle(Duration::from_millis(500));
    let content = sample::pdf(12 * MIB);
    for pause in [2 * MIB, 7 * MIB] {
        let id = format!("pauses-{pause}");
        let form = Form::document(&content).client_id(&id);
        let body = form.body();
        let mut watcher = Watcher::new(fixture.server, &id).await;
        let mut client = RawConnection::connect(fixture.server).await;
        client.write(&form.head(body.len())).await;
        let pause = form.offset(0, pause);
        client.write(&body[..pause]).await;
        // Two cuts long: what is opened anew for a client that still pauses would be cut again.
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        let copy = (pause % (5 * MIB)).next_multiple_of(16 * KIB) + 16 * KIB;
        let held = fixture.metric("brigade_buffer_bytes").await;
        assert!(held <= (copy + 64 * KIB) as f64, "{held} bytes for a copy of {copy}");
        client.write(&body[pause..]).await;
        let answer = client.answer().await;
        fixture.take_stored(&answer.stored_one(), &content).await;
        watcher.terminal(DocsFile).await;
        assert!(watcher.of(DocsFile).iter().all(|message| message.retries == 0));
    }
    fixture.finish().await;
}
