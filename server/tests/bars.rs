//! The truth of the bars: what a socket says against what the store has read at that moment.
//!
//! A program of its own, so that nothing else runs beside it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::Duration;

use app::wire::FileType::{self, DocsFile, MsaImgs};
use tokio::sync::Mutex;

use support::client::{Form, RawConnection};
use support::fixture::Fixture;
use support::sample::{self, KIB, MIB};
use support::socket::{Heard, Watcher};
use support::truth::{Seen, assert_true, bar_name};

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
    println!("small: largest step {} over {} messages", steps.0, steps.1);
    assert!(steps.0 <= 16 * KIB as u64, "a message moved {} bytes", steps.0);
    let large = sample::pdf(9 * MIB);
    let steps = paced(&fixture, Form::document(&large), DocsFile, Duration::from_micros(1_600)).await;
    println!("large: largest step {} over {} messages", steps.0, steps.1);
    assert!(steps.0 <= 128 * KIB as u64, "a message moved {} bytes", steps.0);
    for key in fixture.bucket.keys().await {
        let content = if key.starts_with("photos/") { &small } else { &large };
        fixture.take(&key, content).await;
    }
    fixture.finish().await;
}

/// Writes the form in pieces of 4 KiB, one per `every`; gives the largest step of `received` or `sent`
/// from one message to the next, and how many messages there were.
async fn paced(fixture: &Fixture, form: Form, file: FileType, every: Duration) -> (u64, usize) {
    let form = form.client_id("paced");
    let body = form.body();
    let mut watcher = Watcher::new(fixture.server, "paced").await;
    let mut client = RawConnection::connect(fixture.server).await;
    client.write(&form.head(body.len())).await;
    let mut ticks = tokio::time::interval(every);
    // A late tick is not made up for, or the client would be faster than it says.
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for piece in body.chunks(4 * KIB) {
        ticks.tick().await;
        client.write(piece).await;
    }
    assert_eq!(client.answer().await.status, 200);
    watcher.terminal(file).await;
    let messages = watcher.of(file);
    let steps = messages
        .windows(2)
        .map(|pair| (pair[1].received - pair[0].received).max(pair[1].sent - pair[0].sent));
    (steps.max().unwrap_or(0), messages.len())
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
