//! Faults on a switch: each does what it says, and nothing else.

use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use aws_sdk_s3::Client;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use server::embedded::{FailPart, Switches};
use socket2::SockRef;
use tokio::io::AsyncWriteExt;

use crate::fixture::{BUCKET, MIB, TestDir, TestStore, bytes, code, eventually, get, put};
use crate::multipart::{begin, complete, part};
use crate::streaming::{open_put, written};

async fn start(switches: Switches) -> TestStore {
    TestStore::start_with(TestDir::new(), switches).await
}

async fn refused_part(client: &Client, key: &str, id: &str, number: i32) -> String {
    let part = client.upload_part().bucket(BUCKET).key(key).upload_id(id);
    code(part.part_number(number).body(bytes(MIB, 1).into()).send().await)
}

async fn lasts<T>(work: impl Future<Output = T>) -> Duration {
    let begun = Instant::now();
    work.await;
    begun.elapsed()
}

#[tokio::test]
async fn answers_about_objects_wait_and_no_others() {
    const TIMES: u32 = 8;
    let delay = Duration::from_millis(700);
    let store = start(Switches { delay, ..Switches::default() }).await;
    let client = store.client();
    assert!(lasts(put(&client, "k", bytes(MIB, 1))).await >= delay);
    assert!(lasts(get(&client, "k")).await >= delay);
    assert!(lasts(client.head_object().bucket(BUCKET).key("k").send()).await >= delay);
    let id = begin(&client, "m").await;
    let sent = part(&client, "m", &id, 1, &bytes(MIB, 1)).await;
    assert!(lasts(complete(&client, "m", &id, &[sent]).send()).await >= delay);

    let several = async |what: &str, work: &dyn Fn() -> BoxFuture<'static, bool>| {
        let all = lasts(async {
            for _ in 0..TIMES {
                assert!(work().await, "{what}");
            }
        });
        assert!(all.await < TIMES * delay, "{what} does not wait");
    };
    let head = client.head_bucket().bucket(BUCKET);
    several("HEAD of the bucket", &|| Box::pin(head.clone().send().map(|sent| sent.is_ok()))).await;
    let list = client.list_multipart_uploads().bucket(BUCKET);
    several("a list", &|| Box::pin(list.clone().send().map(|sent| sent.is_ok()))).await;
    let delete = client.delete_object().bucket(BUCKET).key("k");
    several("DELETE", &|| Box::pin(delete.clone().send().map(|sent| sent.is_ok()))).await;
    store.stop().await;
}

/// What is not read is not taken from the sender either: it cannot send more than the windows hold.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limited_store_stops_reading() {
    const RATE: usize = 64 * 1024;
    /// For so long the body is sent, and what is read by then.
    const SECONDS: usize = 3;
    /// Buffers of the kernel on both sides, and what hyper has read ahead.
    const WINDOWS: usize = 768 * 1024;
    let store = start(Switches { rate: NonZeroU64::new(RATE as u64), ..Switches::default() }).await;
    let body = vec![7; 8 * MIB];
    let mut stream = open_put(&store, "k", body.len(), "").await;
    SockRef::from(&stream).set_send_buffer_size(64 * 1024).unwrap();
    let begun = Instant::now();
    let mut sent = 0;
    let sending = async {
        while sent < body.len() {
            sent += stream.write(&body[sent..]).await.unwrap();
        }
    };
    let all = tokio::time::timeout(Duration::from_secs(SECONDS as u64), sending).await;
    assert!(all.is_err(), "it takes all of it in {:?}", begun.elapsed());
    println!("{sent} bytes sent in {:?}, {} written", begun.elapsed(), written(&store));
    assert!(sent <= WINDOWS + RATE * (begun.elapsed().as_secs() as usize + 1), "{sent}");
    drop(stream);
    eventually(|| store.dir.temporary().is_empty()).await;
    store.stop().await;
}

/// 3 MiB over three connections: as slow as over one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_connections_share_the_rate() {
    let store = start(Switches { rate: NonZeroU64::new(2 * MIB as u64), ..Switches::default() }).await;
    let client = store.client();
    let begun = Instant::now();
    tokio::join!(
        put(&client, "a", bytes(MIB, 1)),
        put(&client, "b", bytes(MIB, 2)),
        put(&client, "c", bytes(MIB, 3)),
    );
    // But for what is made up for, and what the first frame of each does not wait for.
    assert!(begun.elapsed() >= Duration::from_millis(1_400), "{:?}", begun.elapsed());
    for (key, seed) in [("a", 1), ("b", 2), ("c", 3)] {
        assert!(get(&client, key).await == bytes(MIB, seed), "{key}");
    }
    store.stop().await;
}

#[tokio::test]
async fn a_part_is_refused_once_in_each_upload() {
    let fail_part = Some(FailPart { number: 2, always: false });
    let store = start(Switches { fail_part, ..Switches::default() }).await;
    let client = store.client();
    let content = bytes(6 * MIB, 1);
    let (first, second) = content.split_at(5 * MIB);
    for key in ["one", "two"] {
        let id = begin(&client, key).await;
        assert_eq!(refused_part(&client, key, &id, 2).await, "SlowDown");
        let listed = client.list_parts().bucket(BUCKET).key(key).upload_id(&id).send().await.unwrap();
        assert!(listed.parts().is_empty(), "nothing of it is kept");
        let parts = [part(&client, key, &id, 1, first).await, part(&client, key, &id, 2, second).await];
        complete(&client, key, &id, &parts).send().await.unwrap();
        assert!(get(&client, key).await == content);
    }
    // An upload that is given up and its object that is begun again.
    for _ in 0..2 {
        let id = begin(&client, "again").await;
        assert_eq!(refused_part(&client, "again", &id, 2).await, "SlowDown");
        client.abort_multipart_upload().bucket(BUCKET).key("again").upload_id(id).send().await.unwrap();
    }
    put(&client, "whole", bytes(MIB, 2)).await;
    store.stop().await;
}

#[tokio::test]
async fn a_part_may_be_refused_always() {
    let fail_part = Some(FailPart { number: 2, always: true });
    let store = start(Switches { fail_part, ..Switches::default() }).await;
    let client = store.client();
    let id = begin(&client, "k").await;
    for _ in 0..5 {
        assert_eq!(refused_part(&client, "k", &id, 2).await, "SlowDown");
    }
    part(&client, "k", &id, 1, &bytes(MIB, 1)).await;
    client.abort_multipart_upload().bucket(BUCKET).key("k").upload_id(id).send().await.unwrap();
    store.stop().await;
}

/// The object that is put whole is one part.
#[tokio::test]
async fn a_put_is_part_1() {
    let fail_part = Some(FailPart { number: 1, always: false });
    let store = start(Switches { fail_part, ..Switches::default() }).await;
    let client = store.client();
    for _ in 0..2 {
        let body = bytes(MIB, 1);
        let refused = client.put_object().bucket(BUCKET).key("k").body(body.clone().into()).send().await;
        assert_eq!(code(refused), "SlowDown");
        put(&client, "k", body.clone()).await;
        assert!(get(&client, "k").await == body);
    }
    store.stop().await;
}
