//! Streaming is real: bytes are with the store while the client has not sent the rest.

use app::wire::{FileType, Status};

use crate::support::client::{Form, RawConnection};
use crate::support::fixture::Fixture;
use crate::support::sample::{self, KIB, MIB};
use crate::support::socket::Watcher;
use crate::support::store::Op;

const PART: usize = 5 * MIB;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_pauses_in_part_two_has_part_one_stored_and_part_two_begun() {
    let fixture = Fixture::start().await;
    let content = sample::pdf(20 * MIB);
    let form = Form::document(&content).client_id("pausing");
    let body = form.body();
    let mut watcher = Watcher::new(fixture.server, "pausing").await;
    let mut client = RawConnection::connect(fixture.server).await;
    client.write(&form.head(body.len())).await;
    let pause = form.offset(0, 7 * MIB);
    client.write(&body[..pause]).await;

    fixture.store.part_stored(1).await;
    // All but what the parser holds back, since it could begin a boundary.
    let sent = 2 * MIB as u64 - 64 * KIB as u64;
    let begun = fixture.store.part_read(2, sent).await;
    assert!(begun.is_running(), "part 2 is under way");
    assert!(fixture.store.calls().iter().all(|call| call.part.is_none_or(|part| part <= 2)));
    assert!(fixture.store.calls_of(Op::Complete).is_empty());
    let message = watcher
        .until("a message that part 1 is stored and part 2 on its way", |heard| {
            let messages = heard.iter().map(|heard| &heard.message);
            messages.clone().find(|m| m.stored == PART as u64 && m.sent > m.stored).cloned()
        })
        .await;
    assert_eq!(message.status, Status::Buffering);
    assert_eq!(message.parts_stored, 1);
    assert!(message.part_states.is_some_and(|states| states.starts_with("31")));

    client.write(&body[pause..]).await;
    let answer = client.answer().await;
    fixture.take_stored(&answer.stored_one(), &content).await;
    assert_eq!(watcher.terminal(FileType::DocsFile).await.progress, 100);
    drop((watcher, client));
    fixture.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn before_the_last_byte_of_each_part_was_sent_the_store_has_its_first() {
    let fixture = Fixture::start().await;
    let content = sample::pdf(22 * MIB + 77);
    let form = Form::document(&content);
    let body = form.body();
    let mut client = RawConnection::connect(fixture.server).await;
    client.write(&form.head(body.len())).await;
    let mut written = 0;
    for part in 1..=5_u32 {
        let end = (part as usize * PART).min(content.len());
        let almost = form.offset(0, end - 1);
        client.write(&body[written..almost]).await;
        written = almost;
        let call = fixture.store.part_read(part, 1).await;
        assert!(call.is_running() && call.content_length.is_some_and(|length| call.read() < length));
    }
    client.write(&body[written..]).await;
    let answer = client.answer().await;
    fixture.take_stored(&answer.stored_one(), &content).await;
    drop(client);
    fixture.finish().await;
}

/// The gate: what is under 5 MiB flows on too, but its last byte waits for the closing delimiter.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_file_flows_on_but_appears_only_when_it_is_known_to_be_whole() {
    let fixture = Fixture::start().await;
    let content = sample::jpeg(3 * MIB);
    let form = Form::image(&content);
    let body = form.body();
    let mut client = RawConnection::connect(fixture.server).await;
    client.write(&form.head(body.len())).await;
    let middle = form.offset(0, MIB);
    client.write(&body[..middle]).await;
    let flows = "the store reads while the client pauses";
    fixture
        .store
        .until(flows, |calls| calls.iter().find(|c| c.is(Op::Put) && c.read() > 900 * KIB as u64).cloned())
        .await;
    let end = form.offset(0, content.len());
    client.write(&body[middle..end]).await;
    let put = fixture
        .store
        .until("all but the last bytes", |calls| {
            calls.iter().find(|c| c.is(Op::Put) && c.read() > (3 * MIB - 64 * KIB) as u64).cloned()
        })
        .await;
    assert_eq!(put.content_length, Some(content.len() as u64));
    assert!(put.is_running() && put.read() < content.len() as u64, "the last byte is held back");
    assert!(fixture.bucket.keys().await.is_empty(), "the object is not visible");
    client.write(&body[end..]).await;
    let answer = client.answer().await;
    fixture.take_stored(&answer.stored_one(), &content).await;
    drop(client);
    fixture.finish().await;
}

/// Part n+1 streams while part n waits for its answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_part_streams_while_one_waits_for_its_answer() {
    let fixture = Fixture::start().await;
    let gate = fixture.store.on(Op::UploadPart).part(1).holds_after();
    let content = sample::pdf(15 * MIB);
    let form = Form::document(&content);
    let server = fixture.server;
    let posting = tokio::spawn(async move { form.post(server).await });
    fixture.store.part_stored(2).await;
    let calls = fixture.store.calls();
    let firsts: Vec<_> = calls.iter().filter(|call| call.is_part(1)).collect();
    assert_eq!(firsts.len(), 1, "{}", fixture.store.log());
    assert!(firsts[0].is_running(), "part 1 still waits\n{}", fixture.store.log());
    gate.cancel();
    fixture.take_stored(&posting.await.unwrap().stored_one(), &content).await;
    fixture.finish().await;
}

/// Of unknown size each part is whole before it is sent: its length is exact, and nothing is sent too early.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_unknown_size_a_part_is_sent_when_it_is_whole() {
    let fixture = Fixture::start().await;
    let content = sample::pdf(11 * MIB);
    let form = Form::document(&content).without_sizes().client_id("unknown-size");
    let body = form.body();
    let mut watcher = Watcher::new(fixture.server, "unknown-size").await;
    let mut client = RawConnection::connect(fixture.server).await;
    client.write(&form.head(body.len())).await;
    let pause = form.offset(0, 8 * MIB);
    client.write(&body[..pause]).await;
    fixture.store.part_stored(1).await;
    let message = watcher
        .until("part 1 stored", |heard| {
            heard.iter().map(|heard| &heard.message).find(|m| m.parts_stored == 1).cloned()
        })
        .await;
    assert_eq!((message.total, message.progress, message.parts), (None, 0, None));
    assert_eq!(fixture.store.calls_of(Op::UploadPart).len(), 1, "part 2 is not whole yet");
    client.write(&body[pause..]).await;
    let answer = client.answer().await;
    fixture.take_stored(&answer.stored_one(), &content).await;
    let end = watcher.terminal(FileType::DocsFile).await;
    assert_eq!((end.total, end.progress, end.parts), (Some(11 * MIB as u64), 100, Some(3)));
    drop((watcher, client));
    fixture.finish().await;
}
