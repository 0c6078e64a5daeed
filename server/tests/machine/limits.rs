//! A machine that gives little: few open files, little memory.

use std::sync::Arc;
use std::time::{Duration, Instant};

use app::wire::Outcome;
use tokio::task::JoinSet;

use crate::after::{at_rest, has_only, normal_upload, readiness};
use crate::half::Half;
use crate::support::bucket::Bucket;
use crate::support::child::Child;
use crate::support::client::{Form, RawConnection, get, metric};
use crate::support::fixture::{Dir, settle};
use crate::support::sample::{self, MIB};
use crate::support::socket::upgrade_head;
use crate::support::store::ScriptedStore;

/// Open files that the server may have; the embedded store's are among them.
const FILES: usize = 64;
/// Watchers who come at once, and stay.
const CROWD: usize = 100;

const UPLOADS: usize = 200;
/// What the kernel gives the server of private memory, in bytes: past that an allocation fails, and with it the process.
const MEMORY: usize = 512 * MIB;

/// More clients than there are open files: those that do not get in wait, and nobody who is in loses anything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g05_no_file_descriptor_is_left() {
    let server = Child::start_under(&["prlimit", &format!("--nofile={FILES}:{FILES}")], &[]).await;
    let mut running = Vec::new();
    for (n, size) in [12 * MIB, 25 * MIB].into_iter().enumerate() {
        running.push(Half::begin(server.address, size, &format!("came-before-the-crowd-{n}")).await);
    }
    let mut crowd = Vec::new();
    for n in 0..CROWD {
        let mut one = RawConnection::connect(server.address).await;
        one.write(&upgrade_head(&format!("/ws?client_id=crowd-{n}"))).await;
        crowd.push(one);
    }
    // One after the other is let in, until no more are.
    let mut waiting = crowd.pop().expect("there is a crowd");
    let full = tokio::time::timeout(Duration::from_secs(2), waiting.answer_or_close()).await;
    println!("the last of {CROWD} {full:?}; {} of {FILES} files are open", server.open_files());
    assert!(!matches!(&full, Ok(Some(_))), "not everyone is let in");

    let mut kept = Vec::new();
    for half in &mut running {
        kept.push((half.finish().await, half.content.clone()));
    }
    drop(crowd);
    let begun = Instant::now();
    readiness(server.address, 200).await;
    println!("ready again after {:?}", begun.elapsed());
    kept.extend(normal_upload(server.address).await);
    at_rest(server.address).await;
    let dir = server.dir();
    server.stop().await;
    let kept: Vec<_> = kept.iter().map(|(key, content)| (&**key, &**content)).collect();
    has_only(&dir, &kept).await;
}

/// Two hundred at once, each of which has begun before any may end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g06_two_hundred_uploads_in_half_a_gibibyte() {
    let stored = Dir::new();
    let store = ScriptedStore::start(&stored.path.join("store")).await;
    let bucket = Bucket::at(store.plain);
    let server = Child::setup()
        .under(&["prlimit", &format!("--data={MEMORY}:{MEMORY}")])
        .storing_at(store.addr)
        .start()
        .await;
    let form = Form::document(&sample::pdf(25 * MIB));
    let body: Arc<[u8]> = form.body().into();
    let start = form.offset(0, MIB / 4);
    let begun = Instant::now();
    let mut clients = Vec::new();
    for _ in 0..UPLOADS {
        let mut client = RawConnection::connect(server.address).await;
        client.write(&form.head(body.len())).await;
        client.write(&body[..start]).await;
        clients.push(client);
    }
    let running =
        || async { metric(&get(server.address, "/metrics").await.text(), "brigade_uploads_in_flight") };
    let all = UPLOADS as f64;
    assert_eq!(settle(|running| *running == all, running).await, all, "all at once");
    let mut uploads = JoinSet::new();
    for mut client in clients {
        let (body, bucket) = (Arc::clone(&body), bucket.clone());
        uploads.spawn(async move {
            for piece in body[start..].chunks(MIB / 4) {
                client.write(piece).await;
            }
            let file = client.answer().await.stored_one();
            assert_eq!((file.outcome, file.size), (Outcome::Stored, Some(25 * MIB as u64)));
            // The disk need not have room for all of them.
            bucket.delete(&file.key.expect("a stored file has its key")).await;
            file.checksum_crc64nvme.expect("it is always computed")
        });
    }
    let sums: Vec<String> = uploads.join_all().await;
    let peak = server.peak_rss();
    println!("{UPLOADS} uploads of 25 MiB in {:?}, {} MiB at the most", begun.elapsed(), peak / MIB as u64);
    assert_eq!(sums.len(), UPLOADS);
    assert!(sums.iter().all(|sum| *sum == sums[0]), "all the same file");
    assert!(peak <= MEMORY as u64, "{peak} bytes");
    assert_eq!(bucket.keys().await.len(), 0, "none that was not told");
    normal_upload(server.address).await;
    at_rest(server.address).await;
    server.stop().await;
}
