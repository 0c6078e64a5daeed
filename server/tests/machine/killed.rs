//! Killed: what was confirmed is there and readable, the rest is whole or absent, and the next start cleans up.

use app::wire::FileType::DocsFile;
use rustix::process::Signal;

use crate::after::{bucket_has_only, has_only, normal_upload, open_uploads};
use crate::half::{Half, SIZES};
use crate::support::bucket::Bucket;
use crate::support::child::Child;
use crate::support::client::{Form, RawConnection, get};
use crate::support::fixture::{Dir, settle};
use crate::support::sample::{self, KIB, MIB};
use crate::support::socket::Watcher;
use crate::support::store::{Op, ScriptedStore};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g02_killed_in_the_middle_of_a_part() {
    for size in SIZES {
        let server = Child::start(&[]).await;
        let [document, image] = normal_upload(server.address).await;
        let running = Half::begin(server.address, size, "is-cut-by-a-kill").await;
        server.signal(Signal::KILL);
        running.breaks().await;
        let dir = server.dir();
        assert_eq!(server.ended().await.status.code(), None, "a signal ended it");
        assert_eq!(open_uploads(&dir), usize::from(size == SIZES[1]), "there is something to clean up");
        let again = Child::setup().within(&dir).start().await;
        assert_eq!(get(again.address, "/readyz").await.status, 200);
        let [next_document, next_image] = normal_upload(again.address).await;
        again.stop().await;
        let kept =
            [&document, &image, &next_document, &next_image].map(|(key, content)| (&**key, &**content));
        has_only(&dir, &kept).await;
    }
}

/// When the store is asked to complete, and when the server is killed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kill {
    /// Before the store has done it; with the connection gone, it does not.
    Before,
    /// After the store has done it, before its answer.
    After,
    /// Just when it does it.
    Meanwhile,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g03_killed_between_complete_and_its_answer() {
    for kill in [Kill::Before, Kill::After, Kill::Meanwhile, Kill::Meanwhile, Kill::Meanwhile] {
        let stored = Dir::new();
        let store = ScriptedStore::start(&stored.path.join("store")).await;
        let bucket = Bucket::at(store.plain);
        let gate = match kill {
            Kill::After => store.on(Op::Complete).holds_after(),
            Kill::Before | Kill::Meanwhile => store.on(Op::Complete).holds_before(),
        };
        let server = Child::setup().storing_at(store.addr).start().await;
        let content = sample::pdf(12 * MIB);
        let mut watcher = Watcher::new(server.address, "killed-at-complete").await;
        let form = Form::document(&content).client_id("killed-at-complete");
        let body = form.body();
        let mut client = RawConnection::connect(server.address).await;
        client.write(&form.head(body.len())).await;
        client.write(&body).await;
        store.called(Op::Complete, 1).await;
        match kill {
            Kill::Before => {}
            Kill::After => is_there(&bucket).await,
            Kill::Meanwhile => gate.cancel(),
        }
        server.signal(Signal::KILL);
        assert!(client.answer_or_close().await.is_none(), "nobody answers");
        assert_eq!(watcher.closed().await, 1006);
        let ended = watcher.of(DocsFile).into_iter().any(|message| message.status.is_terminal());
        assert!(!ended, "nobody was told an end");
        let dir = server.dir();
        server.ended().await;
        gate.cancel();
        store.forget_rules();
        // In a bucket that others use too, what a kill left is swept by its age. After that nothing can appear.
        let open = || async {
            bucket.abort_open().await;
            bucket.open_uploads().await
        };
        assert_eq!(settle(Vec::is_empty, open).await, [], "completed or aborted");
        let keys = bucket.keys().await;
        println!("{kill:?}: {} object", keys.len());
        let wanted: &[usize] = match kill {
            Kill::Before => &[0],
            Kill::After => &[1],
            Kill::Meanwhile => &[0, 1],
        };
        assert!(wanted.contains(&keys.len()), "{keys:?}");
        for key in &keys {
            assert!(bucket.get(key).await.content == content, "an object is whole");
            bucket.delete(key).await;
        }
        let again = Child::setup().within(&dir).storing_at(store.addr).start().await;
        let [document, image] = normal_upload(again.address).await;
        again.stop().await;
        bucket_has_only(&bucket, &[(&document.0, &document.1), (&image.0, &image.1)]).await;
    }
}

async fn is_there(bucket: &Bucket) {
    let keys = settle(|keys: &Vec<String>| keys.len() == 1, || bucket.keys()).await;
    assert_eq!(keys.len(), 1, "the store has completed it");
}

/// A kill while a small file is put, a hundred bytes before its end: it never was there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g02_killed_before_the_last_byte_of_a_put() {
    let server = Child::start(&[]).await;
    let content = sample::pdf(100 * KIB);
    let form = Form::document(&content).client_id("nearly-there");
    let body = form.body();
    let mut watcher = Watcher::new(server.address, "nearly-there").await;
    let mut client = RawConnection::connect(server.address).await;
    client.write(&form.head(body.len())).await;
    // The file is whole, its delimiter is not.
    client.write(&body[..form.offset(0, content.len()) + 4]).await;
    watcher
        .until("all of it sent", |heard| {
            heard.iter().any(|heard| heard.message.sent + KIB as u64 >= content.len() as u64).then_some(())
        })
        .await;
    let dir = server.dir();
    let log = server.kill().await;
    assert!(!log.contains("panicked"), "{log}");
    assert!(client.answer_or_close().await.is_none(), "nobody answers");
    Child::setup().within(&dir).start().await.stop().await;
    has_only(&dir, &[]).await;
}
