//! The truth of the bars: what a socket says against what the store has read at that moment.
//!
//! A program of its own, so that nothing else runs beside it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::Duration;

use app::wire::FileType::{self, DocsFile, MsaImgs};
use tokio::sync::Mutex;

use support::client::{BOUNDARY, Form, RawConnection};
use support::fixture::Fixture;
use support::sample::{self, KIB, MIB};
use support::socket::{Heard, Watcher};
use support::truth::{Seen, assert_true, bar_name, compare, slowest_news};

/// What measures time does not run beside anything else.
static ALONE: Mutex<()> = Mutex::const_new(());

/// The store of the acceptance test: 2 MB/s in all, and 128 KiB of SO_RCVBUF a connection.
///
/// A TCP window that has closed opens again in steps: with twice this buffer, steps of a quarter of a
/// MiB, so that any sender's 3 MB pass in 14 to 25 (measured with a bare socket).
async fn slow_store() -> Fixture {
    let fixture = Fixture::setup().receive_buffer(128 * KIB).start().await;
    fixture.store.pace(2_000_000);
    fixture
}

fn seen(heard: &[Heard], file: FileType) -> Vec<Seen> {
    let of_file = heard.iter().filter(|heard| heard.message.file_type == file);
    of_file.map(|heard| Seen { at_ms: heard.at_ms, sent: heard.message.sent }).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_bars_follow_the_store() {
    let _alone = ALONE.lock().await;
    let fixture = slow_store().await;
    let (document, image) = (sample::pdf(24 * MIB), sample::jpeg(3 * MIB));
    let watcher = Watcher::new(fixture.server, "truth").await;
    let answer = Form::both(&document, &image).client_id("truth").post(fixture.server).await.stored();
    let heard = watcher.close().await;
    for (file, content, stored) in [(DocsFile, &document, 0), (MsaImgs, &image, 1)] {
        assert_true(bar_name(file), &seen(&heard, file), &fixture.store.timeline(file));
        fixture.take_stored(&answer.files[stored], content).await;
    }
    fixture.finish().await;
}

/// A store that reads 5 MB/s: the bar is never more than 512 KiB a connection ahead, never more than 256 KiB behind
/// for longer than 200 ms, and what the store has read was told within 100 ms.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bar_stays_close_to_a_store_of_five_megabytes_a_second() {
    let _alone = ALONE.lock().await;
    let fixture = Fixture::setup().receive_buffer(128 * KIB).start().await;
    fixture.store.pace(5_000_000);
    let document = sample::pdf(24 * MIB);
    let mut watcher = Watcher::new(fixture.server, "close").await;
    let answer = Form::document(&document).client_id("close").post(fixture.server).await.stored();
    watcher.terminal(DocsFile).await;
    let seen = seen(&watcher.close().await, DocsFile);
    let timeline = fixture.store.timeline(DocsFile);
    let verdict = compare(&seen, &timeline);
    let counter: Vec<_> = timeline.iter().map(|moment| (moment.at_ms, moment.bytes)).collect();
    let news = slowest_news(&seen, &counter);
    println!("5 MB/s: {verdict:?}, news after {news:.0} ms at most");
    assert_eq!(verdict.over_allowance, 0, "{verdict:?}");
    assert!(verdict.behind_ms <= 200.0, "{verdict:?}");
    assert!(news <= 100.0, "what the store has read is told after {news:.0} ms");
    fixture.take_stored(&answer.files[0], &document).await;
    fixture.finish().await;
}

/// A hundred is not said before the store has confirmed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_only_after_the_store_confirmed() {
    let _alone = ALONE.lock().await;
    let fixture = Fixture::start().await;
    let (document, image) = (sample::pdf(12 * MIB), sample::jpeg(2 * MIB));
    for (id, form, content, op) in [
        ("hundred-1", Form::document(&document), &document, support::store::Op::Complete),
        ("hundred-2", Form::image(&image), &image, support::store::Op::Put),
    ] {
        let gate = fixture.store.on(op).holds_after();
        let mut watcher = Watcher::new(fixture.server, id).await;
        let form = form.client_id(id);
        let server = fixture.server;
        let posting = tokio::spawn(async move { form.post(server).await });
        let total = content.len() as u64;
        let waits = watcher
            .until("everything sent", |heard| {
                heard.iter().map(|h| h.message.clone()).find(|m| m.sent == total && m.waiting.is_some())
            })
            .await;
        assert_eq!(waits.progress, 99);
        assert!(watcher.heard().iter().all(|heard| heard.message.progress <= 99));
        gate.cancel();
        fixture.store.forget_rules();
        fixture.take_stored(&posting.await.unwrap().stored_one(), content).await;
        drop(watcher);
    }
    fixture.finish().await;
}

/// With a client paced in writes of 4 KiB below 400 KB/s and a store that does not limit, a message
/// moves at most 16 KiB; from 5 MiB on, below 3 MB/s, at most 128 KiB.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_moves_a_little() {
    let _alone = ALONE.lock().await;
    let fixture = Fixture::start().await;
    let small = sample::jpeg(768 * KIB);
    let steps = paced(&fixture, Form::image(&small), MsaImgs, Duration::from_micros(11_500)).await;
    println!("small: {steps:?}");
    assert!(steps.largest <= 16 * KIB as u64, "{steps:?}");
    assert!(steps.news_ms <= 100.0, "{steps:?}");
    let large = sample::pdf(9 * MIB);
    let steps = paced(&fixture, Form::document(&large), DocsFile, Duration::from_micros(1_600)).await;
    println!("large: {steps:?}");
    assert!(steps.largest <= 128 * KIB as u64, "{steps:?}");
    assert!(steps.news_ms <= 100.0, "across part borders too: {steps:?}");
    for key in fixture.bucket.keys().await {
        let content = if key.starts_with("photos/") { &small } else { &large };
        fixture.take(&key, content).await;
    }
    fixture.finish().await;
}

/// How the messages of a paced upload moved.
#[derive(Debug)]
struct Steps {
    /// Of `received` or `sent`, from one message to the next, in bytes.
    largest: u64,
    /// From a write of the client to the message that its bytes were received, at most.
    news_ms: f64,
}

/// Writes the form in pieces of 4 KiB, one per `every`.
async fn paced(fixture: &Fixture, form: Form, file: FileType, every: Duration) -> Steps {
    let form = form.client_id("paced");
    let body = form.body();
    let mut watcher = Watcher::new(fixture.server, "paced").await;
    let mut client = RawConnection::connect(fixture.server).await;
    client.write(&form.head(body.len())).await;
    let mut ticks = tokio::time::interval(every);
    // A late tick is not made up for, or the client would be faster than it says.
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let before = form.offset(0, 0);
    let mut written = Vec::new();
    for (number, piece) in body.chunks(4 * KIB).enumerate() {
        ticks.tick().await;
        client.write(piece).await;
        // What could begin the form's delimiter is received when more has come.
        let received = (number * 4 * KIB + piece.len()).saturating_sub(before + BOUNDARY.len() + 6);
        written.push((support::wall_clock_ms(), received as u64));
    }
    // The last piece holds the end of the form as well.
    written.pop();
    assert_eq!(client.answer().await.status, 200);
    watcher.terminal(file).await;
    let messages = watcher.of(file);
    let steps = messages
        .windows(2)
        .map(|pair| (pair[1].received - pair[0].received).max(pair[1].sent - pair[0].sent));
    let heard = watcher.heard();
    let received = heard.iter().filter(|heard| heard.message.file_type == file);
    let received: Vec<_> =
        received.map(|heard| Seen { at_ms: heard.at_ms, sent: heard.message.received }).collect();
    Steps { largest: steps.max().expect("more than one message"), news_ms: slowest_news(&received, &written) }
}

/// From a change to its message at most 100 ms, and at most 30 messages a second per file.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_are_soon_and_not_too_many() {
    let _alone = ALONE.lock().await;
    let fixture = slow_store().await;
    let content = sample::pdf(8 * MIB);
    let watcher = Watcher::new(fixture.server, "pace").await;
    let answer = Form::document(&content).client_id("pace").post(fixture.server).await.stored();
    let heard = watcher.close().await;
    for start in &heard {
        let within = |heard: &&Heard| (0.0..1000.0).contains(&(heard.at_ms - start.at_ms));
        let in_a_second = heard.iter().filter(within).count();
        // One more than 30 can fall into a second that begins with a message.
        assert!(in_a_second <= 31, "{in_a_second} messages within a second");
    }
    let gaps = heard.windows(2).map(|pair| pair[1].at_ms - pair[0].at_ms);
    let longest = gaps.fold(0.0_f64, f64::max);
    println!("longest time between two messages while 2 MB/s flow: {longest:.0} ms");
    assert!(longest < 300.0, "the bar stood still for {longest:.0} ms");
    fixture.take_stored(&answer.files[0], &content).await;
    fixture.finish().await;
}
