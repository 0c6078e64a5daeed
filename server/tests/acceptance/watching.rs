//! Watchers: late, several, stuck, over SSE; the snapshot; and the law over whole uploads.

use std::time::{Duration, Instant};

use app::wire::FileType::{DocsFile, MsaImgs};
use app::wire::{FileMessage, Outcome, Snapshot, Status};
use tokio::io::AsyncWriteExt;

use crate::support::client::{Answer, Form, RawConnection, get, head};
use crate::support::fixture::Fixture;
use crate::support::law::Law;
use crate::support::sample::{self, KIB, MIB};
use crate::support::socket::{Watcher, frame, statuses, upgrade};
use crate::support::store::Op;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_upload_by_the_law() {
    let fixture = Fixture::start().await;
    let mut watcher = Watcher::new(fixture.server, "whole").await;
    let (document, image) = (sample::pdf(24 * MIB), sample::jpeg(3 * MIB));
    let answer = Form::both(&document, &image).client_id("whole").post(fixture.server).await.stored();
    for (file, content, stored) in [(DocsFile, &document, 0), (MsaImgs, &image, 1)] {
        let end = watcher.terminal(file).await;
        assert_eq!(end.status, Status::Completed);
        assert_eq!((end.progress, end.message.as_str()), (100, "Completed!"));
        assert_eq!(end.total, Some(content.len() as u64));
        assert_eq!(
            (end.received, end.sent, end.stored),
            (content.len() as u64, end.sent, content.len() as u64)
        );
        assert_eq!(end.upload_id, answer.upload_id);
        fixture.take_stored(&answer.files[stored], content).await;
    }
    let ended = watcher.heard().len();
    let heard = watcher.close().await;
    assert_eq!(heard.len(), ended, "nothing after the two ends");
    let documents: Vec<FileMessage> =
        heard.iter().map(|h| h.message.clone()).filter(|m| m.file_type == DocsFile).collect();
    let order = statuses(&documents);
    assert!(
        order == [Status::Buffering, Status::Processing, Status::Completed]
            || order == [Status::Buffering, Status::Completed],
        "{order:?}"
    );
    assert_eq!(documents[0].part_size, Some(5 * MIB as u64));
    assert_eq!(documents[0].parts, Some(5));
    fixture.finish().await;
}

/// Who comes in the middle hears at once how far it is, then every change; several may watch.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f06_a_late_joiner_and_several_watchers() {
    let fixture = Fixture::start().await;
    let content = sample::pdf(12 * MIB);
    let form = Form::document(&content).client_id("late");
    let body = form.body();
    let mut first = Watcher::new(fixture.server, "late").await;
    let mut client = RawConnection::connect(fixture.server).await;
    client.write(&form.head(body.len())).await;
    let pause = form.offset(0, 7 * MIB);
    client.write(&body[..pause]).await;
    fixture.store.part_read(2, MIB as u64).await;
    let received = |at_least: usize| {
        move |heard: &[crate::support::socket::Heard]| {
            heard.iter().find(|h| h.message.received >= at_least as u64).map(|h| h.message.clone())
        }
    };
    first.until("the pause", received(7 * MIB - 64 * KIB)).await;

    let mut late = Watcher::new(fixture.server, "late").await;
    let mut old = Watcher::old(fixture.server, "late").await;
    let mut short = Watcher::new(fixture.server, "late").await;
    for watcher in [&mut late, &mut old, &mut short] {
        let message =
            watcher.until("a first message", |heard| heard.first().map(|h| h.message.clone())).await;
        assert!(message.received >= (7 * MIB - 64 * KIB) as u64, "the whole state at once: {message:?}");
        assert_eq!(message.status, Status::Buffering);
    }
    short.close().await;
    client.write(&body[pause..]).await;
    let answer = client.answer().await;
    fixture.take_stored(&answer.stored_one(), &content).await;
    for watcher in [&mut first, &mut late, &mut old] {
        assert_eq!(watcher.terminal(DocsFile).await.status, Status::Completed);
    }
    drop((first, late, old, client));
    fixture.finish().await;
}

/// `/ws` tells of the newest upload even when it has ended; `/?client_id=` only of running ones.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_end_only_the_new_socket_hears_of_it() {
    let fixture = Fixture::start().await;
    let (document, image) = (sample::pdf(10 * KIB), sample::jpeg(10 * KIB));
    let form = Form::both(&document, &image).client_id("again");
    let first = form.post(fixture.server).await.stored();
    for (file, content) in first.files.iter().zip([&document, &image]) {
        fixture.take_stored(file, content).await;
    }
    let mut later = Watcher::new(fixture.server, "again").await;
    for file in [DocsFile, MsaImgs] {
        assert_eq!(later.terminal(file).await.status, Status::Completed);
    }
    assert_eq!(later.close().await.len(), 2, "one message a file, the end itself");

    let mut old = Watcher::old(fixture.server, "again").await;
    let second = form.post(fixture.server).await.stored();
    old.terminal_of(&second.upload_id, DocsFile).await;
    old.terminal_of(&second.upload_id, MsaImgs).await;
    for heard in old.close().await {
        assert_eq!(heard.message.upload_id, second.upload_id, "nothing of the ended upload");
    }
    let mut newest = Watcher::new(fixture.server, "again").await;
    newest.terminal_of(&second.upload_id, DocsFile).await;
    newest.terminal_of(&second.upload_id, MsaImgs).await;
    assert_eq!(newest.close().await.len(), 2, "only the newest");
    for (file, content) in second.files.iter().zip([&document, &image]) {
        fixture.take_stored(file, content).await;
    }
    let stranger = Watcher::new(fixture.server, "never-seen").await;
    assert_eq!(stranger.close().await.len(), 0, "none known, no message");
    fixture.finish().await;
}

/// From 5 MiB on even a single part is a multipart upload, and its words are those of a last part.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_part_of_a_multipart_upload_is_its_final_part() {
    let fixture = Fixture::start().await;
    for (size, op, words) in [
        (5 * MIB, Op::Complete, "Processing final part buffered data"),
        (5 * MIB - 1, Op::Put, "Processing buffered data"),
    ] {
        let id = format!("one-part-{size}");
        let gate = fixture.store.on(op).holds_after();
        let content = sample::pdf(size);
        let mut watcher = Watcher::new(fixture.server, &id).await;
        let form = Form::document(&content).client_id(&id);
        let server = fixture.server;
        let posting = tokio::spawn(async move { form.post(server).await });
        let message = watcher
            .until("processing", |heard| {
                let mut messages = heard.iter().map(|heard| &heard.message);
                messages.find(|m| m.status == Status::Processing).cloned()
            })
            .await;
        assert_eq!(message.message, words);
        gate.cancel();
        fixture.take_stored(&posting.await.unwrap().stored_one(), &content).await;
        drop(watcher);
    }
    fixture.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e04_two_uploads_at_once_with_one_id() {
    let fixture = Fixture::start().await;
    let mut watcher = Watcher::new(fixture.server, "twice").await;
    let contents = [sample::pdf(11 * MIB), sample::pdf(7 * MIB)];
    let post = |content: &Vec<u8>| {
        let form = Form::document(content).client_id("twice");
        let server = fixture.server;
        async move { form.post(server).await.stored() }
    };
    let (first, second) = tokio::join!(post(&contents[0]), post(&contents[1]));
    for (answer, content) in [(first, &contents[0]), (second, &contents[1])] {
        let end = watcher.terminal_of(&answer.upload_id, DocsFile).await;
        assert_eq!((end.status, end.total), (Status::Completed, Some(content.len() as u64)));
        fixture.take_stored(&answer.files[0], content).await;
    }
    drop(watcher);
    fixture.finish().await;
}

/// SSE tells what the socket tells and ends after the last terminal message.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sse_twin() {
    let fixture = Fixture::start().await;
    let (document, image) = (sample::pdf(12 * MIB), sample::jpeg(300 * KIB));
    let form = Form::both(&document, &image).client_id("sse");
    let body = form.body();
    let mut client = RawConnection::connect(fixture.server).await;
    client.write(&form.head(body.len())).await;
    let pause = form.offset(0, 6 * MIB);
    client.write(&body[..pause]).await;
    fixture.store.part_stored(1).await;
    let mut events = RawConnection::connect(fixture.server).await;
    events.write(&head("GET", "/events?client_id=sse", &[])).await;
    let listening = tokio::spawn(async move { events.answer().await });
    client.write(&body[pause..]).await;
    let stored = client.answer().await.stored();
    for (file, content) in stored.files.iter().zip([&document, &image]) {
        fixture.take_stored(file, content).await;
    }
    let events = listening.await.unwrap();
    assert_eq!(events.status, 200);
    assert!(events.header("content-type").is_some_and(|kind| kind.starts_with("text/event-stream")));
    let messages = judged(&events);
    for file in [DocsFile, MsaImgs] {
        let last = messages.iter().rfind(|m| m.file_type == file).unwrap();
        assert_eq!((last.status, last.progress), (Status::Completed, 100));
    }
    drop(client);
    fixture.finish().await;
}

/// The `data:` lines of an event stream, each by the law.
fn judged(events: &Answer) -> Vec<FileMessage> {
    let mut laws = std::collections::HashMap::<_, Law>::new();
    let text = events.text();
    let lines = text.lines().filter_map(|line| line.strip_prefix("data:")).map(str::trim);
    let messages: Vec<FileMessage> = lines
        .filter(|data| data.starts_with('{'))
        .map(|data| {
            let message: FileMessage = serde_json::from_str(data).unwrap();
            laws.entry(message.file_type).or_default().judge(&message, data).unwrap();
            message
        })
        .collect();
    assert!(!messages.is_empty(), "{text}");
    messages
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_snapshot_while_it_runs_and_after() {
    let fixture = Fixture::start().await;
    let content = sample::pdf(12 * MIB);
    let form = Form::document(&content).client_id("snap");
    let body = form.body();
    let mut watcher = Watcher::new(fixture.server, "snap").await;
    let mut client = RawConnection::connect(fixture.server).await;
    client.write(&form.head(body.len())).await;
    let pause = form.offset(0, 7 * MIB);
    client.write(&body[..pause]).await;
    fixture.store.part_stored(1).await;
    let upload_id =
        watcher.until("a message", |heard| heard.first().map(|h| h.message.upload_id.clone())).await;
    let target = format!("/uploads/{upload_id}");
    let running: Snapshot = get(fixture.server, &target).await.json();
    assert_eq!(running.upload_id, upload_id);
    assert_eq!(running.files.len(), 1);
    assert!(!running.files[0].status.is_terminal() && running.files[0].received > 0);
    client.write(&body[pause..]).await;
    let stored = client.answer().await.stored_one();
    let ended: Snapshot = get(fixture.server, &target).await.json();
    assert_eq!((ended.files[0].status, ended.files[0].progress), (Status::Completed, 100));
    assert_eq!(ended.files[0].key, stored.key, "whoever knows the id may know the key");
    fixture.take_stored(&stored, &content).await;
    get(fixture.server, "/uploads/AAAAAAAAAAAAAAAAAAAAAA").await.problem(404, "upload_unknown");
    drop((watcher, client));
    fixture.finish().await;
}

/// A watcher that never reads changes nothing for the upload and nothing for other watchers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f08_a_stuck_watcher_changes_nothing() {
    let fixture = Fixture::start().await;
    let mut stuck = Vec::new();
    for _ in 0..20 {
        let (reader, writer, buffer) =
            upgrade(fixture.server, "/ws?client_id=stuck").await.expect("a socket");
        let _ = socket2::SockRef::from(reader.as_ref()).set_recv_buffer_size(1);
        stuck.push((reader, writer, buffer));
    }
    let mut healthy = Watcher::new(fixture.server, "stuck").await;
    let begun = Instant::now();
    for _ in 0..3 {
        let content = sample::pdf(24 * MIB);
        let answer = Form::document(&content).client_id("stuck").post(fixture.server).await.stored();
        assert_eq!(healthy.terminal_of(&answer.upload_id, DocsFile).await.status, Status::Completed);
        fixture.take_stored(&answer.files[0], &content).await;
    }
    assert!(begun.elapsed() < Duration::from_secs(20), "it took {:?}", begun.elapsed());
    drop((stuck, healthy));
    fixture.finish().await;
}

/// `waiting` says who does not move: here the client.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_stops_is_waited_for() {
    let fixture = Fixture::start().await;
    let content = sample::pdf(12 * MIB);
    let form = Form::document(&content).client_id("waits");
    let body = form.body();
    let mut watcher = Watcher::new(fixture.server, "waits").await;
    let mut client = RawConnection::connect(fixture.server).await;
    client.write(&form.head(body.len())).await;
    let pause = form.offset(0, 7 * MIB);
    client.write(&body[..pause]).await;
    let waits = watcher
        .until("waiting for the client", |heard| {
            heard.iter().map(|h| &h.message).find(|m| m.waiting == Some(app::wire::Waiting::Client)).cloned()
        })
        .await;
    assert_eq!(waits.status, Status::Buffering);
    client.write(&body[pause..]).await;
    fixture.take_stored(&client.answer().await.stored_one(), &content).await;
    assert_eq!(watcher.terminal(DocsFile).await.waiting, None);
    drop((watcher, client));
    fixture.finish().await;
}

/// A part's failed attempt shows in `retries` and takes nothing back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_shows_and_takes_nothing_back() {
    let fixture = Fixture::start().await;
    fixture.store.on(Op::UploadPart).part(2).once().fails(500, "InternalError");
    let content = sample::pdf(16 * MIB);
    let mut watcher = Watcher::new(fixture.server, "retry").await;
    let answer = Form::document(&content).client_id("retry").post(fixture.server).await.stored();
    let end = watcher.terminal(DocsFile).await;
    assert_eq!((end.retries, end.status), (1, Status::Completed));
    assert_eq!(answer.files[0].outcome, Outcome::Stored);
    fixture.take_stored(&answer.files[0], &content).await;
    drop(watcher);
    fixture.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f01_f02_a_socket_needs_an_id() {
    let fixture = Fixture::start().await;
    let long = format!("/ws?client_id={}", "x".repeat(129));
    for target in
        ["/ws", "/ws?client_id=", "/ws?client_id=a.b", "/ws?client_id=*", "/ws?client_id=a%20b", &long]
    {
        let Err(answer) = upgrade(fixture.server, target).await else { panic!("{target} was accepted") };
        answer.problem(400, "client_id_invalid");
    }
    let Err(answer) = upgrade(fixture.server, "/?client_id=a.b").await else { panic!("accepted") };
    answer.problem(400, "client_id_invalid");
    fixture.finish().await;
}

/// What a client may say is one message; anything else ends the socket and nothing more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f09_f11_what_a_socket_may_not_say() {
    let fixture = Fixture::start().await;
    let too_long = frame(0x1, "x".repeat(5000).as_bytes());
    let huge: Vec<u8> = [&[0x81, 0xff][..], &(64_u64 << 20).to_be_bytes(), &[0; 4]].concat();
    let unmasked = b"\x81\x02hi".to_vec();
    let cases: [(&str, Vec<u8>, &[u16]); 6] = [
        ("5000 bytes", too_long, &[1009]),
        ("a head of 64 MiB", huge, &[1009]),
        ("no JSON", frame(0x1, b"hello"), &[1008]),
        ("another member", frame(0x1, b"{\"cancel\":\"x\",\"y\":1}"), &[1008]),
        ("unmasked", unmasked, &[1002]),
        ("invalid UTF-8", frame(0x1, &[0xff, 0xfe]), &[1007]),
    ];
    for (name, bytes, codes) in cases {
        let mut watcher = Watcher::new(fixture.server, "speaker").await;
        watcher.send_raw(&bytes).await;
        let code = watcher.closed().await;
        assert!(codes.contains(&code), "{name}: closed with {code}");
    }
    fixture.normal_upload_passes().await;
    fixture.finish().await;
}

/// A half-sent upgrade and a plain GET of the socket's address are answered, not hung.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f18_no_upgrade_no_socket() {
    let fixture = Fixture::start().await;
    let plain = get(fixture.server, "/ws?client_id=a").await;
    assert!(matches!(plain.status, 400 | 426), "{}", plain.status);
    let (_reader, mut writer, _) = upgrade(fixture.server, "/ws?client_id=a").await.unwrap();
    writer.shutdown().await.unwrap();
    drop(writer);
    fixture.finish().await;
}
