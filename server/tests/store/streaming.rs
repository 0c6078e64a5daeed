//! Bodies on their way: written as they come, gone when they are cut, and no reader disturbed.

use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::presigning::PresigningConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::fixture::{BUCKET, MIB, TestStore, bytes, code, eventually, get, put};
use crate::multipart::{begin, complete, part};

/// A PUT whose head has been sent and whose body is written by hand.
pub async fn open_put(store: &TestStore, key: &str, length: usize, extra: &str) -> TcpStream {
    let until = PresigningConfig::expires_in(Duration::from_secs(60)).unwrap();
    let put = store.client().put_object().bucket(BUCKET).key(key).presigned(until).await.unwrap();
    let path = put.uri().split_once(&store.address.to_string()).unwrap().1;
    let host = store.address;
    let head = format!("PUT {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n{extra}\r\n");
    let mut stream = TcpStream::connect(store.address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

pub fn written(store: &TestStore) -> u64 {
    let files = store.dir.temporary();
    files.iter().map(|f| f.metadata().map_or(0, |m| m.len())).sum()
}

async fn absent(client: &Client, key: &str) {
    assert_eq!(code(client.get_object().bucket(BUCKET).key(key).send().await), "NoSuchKey");
}

#[tokio::test]
async fn a_body_is_written_as_it_comes_and_seen_when_whole() {
    let store = TestStore::start().await;
    let client = store.client();
    let body = bytes(4 * MIB, 1);
    let mut stream = open_put(&store, "k", body.len(), "").await;
    let sent = std::sync::atomic::AtomicUsize::new(0);
    for step in body.chunks(MIB) {
        absent(&client, "k").await;
        stream.write_all(step).await.unwrap();
        let sent = sent.fetch_add(step.len(), std::sync::atomic::Ordering::Relaxed) + step.len();
        if sent < body.len() {
            // All but the batch being filled and the one being written.
            eventually(|| written(&store) >= sent as u64 - 256 * 1024).await;
        }
    }
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    assert!(get(&client, "k").await == body);
    store.stop().await;
}

#[tokio::test]
async fn a_cut_body_stores_nothing() {
    let store = TestStore::start().await;
    let client = store.client();
    put(&client, "old", b"old".to_vec()).await;
    for key in ["old", "new"] {
        for sent in [0, 1, 100_000, MIB - 1] {
            let mut stream = open_put(&store, key, MIB, "").await;
            stream.write_all(&bytes(sent, 2)).await.unwrap();
            if sent > 0 {
                eventually(|| !store.dir.temporary().is_empty()).await;
            }
            drop(stream);
            eventually(|| store.dir.temporary().is_empty()).await;
        }
    }
    assert_eq!(get(&client, "old").await, b"old");
    absent(&client, "new").await;
    store.stop().await;
}

#[tokio::test]
async fn a_shutdown_in_the_middle_of_a_body_leaves_nothing() {
    let store = TestStore::start().await;
    let mut stream = open_put(&store, "k", 4 * MIB, "").await;
    stream.write_all(&bytes(3 * MIB, 5)).await.unwrap();
    eventually(|| written(&store) > MIB as u64).await;
    // `stop` asserts that no temporary file is left, and the next start that the directory is free.
    let store = store.restart().await;
    absent(&store.client(), "k").await;
    store.stop().await;
}

#[tokio::test]
async fn a_refusal_reaches_the_client_that_is_still_sending() {
    let store = TestStore::start().await;
    let client = store.client();
    // Large enough that it is not in the socket buffers when the answer is known.
    let body = bytes(12 * MIB, 3);
    let no_upload = client.upload_part().bucket(BUCKET).key("k").upload_id("none").part_number(1);
    assert_eq!(code(no_upload.body(body.clone().into()).send().await), "NoSuchUpload");
    let no_bucket = client.put_object().bucket("absent").key("k").body(body.clone().into());
    assert_eq!(code(no_bucket.send().await), "NoSuchBucket");
    // One that does not read before it has sent everything, as many do not.
    let mut stream = open_put(&store, &"x".repeat(1024), body.len(), "X-Amz-Tagging: a=b\r\n").await;
    stream.write_all(&body).await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 501");
    // A client that waits to be told sends nothing at all.
    let until = PresigningConfig::expires_in(Duration::from_secs(60)).unwrap();
    let put = client.put_object().bucket("absent").key("k").presigned(until).await.unwrap();
    let path = put.uri().split_once(&store.address.to_string()).unwrap().1;
    let head = format!(
        "PUT {path} HTTP/1.1\r\nHost: {}\r\nContent-Length: 1000000\r\nExpect: 100-continue\r\n\r\n",
        store.address
    );
    let mut stream = TcpStream::connect(store.address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 404");
    store.stop().await;
}

#[tokio::test]
async fn readers_keep_the_object_they_began_with() {
    let store = TestStore::start().await;
    let client = store.client();
    let old = bytes(11 * MIB, 4);
    put(&client, "plain", old.clone()).await;
    let id = begin(&client, "parts").await;
    let one = part(&client, "parts", &id, 1, &old[..6 * MIB]).await;
    let two = part(&client, "parts", &id, 2, &old[6 * MIB..]).await;
    complete(&client, "parts", &id, &[one, two]).send().await.unwrap();
    for key in ["plain", "parts"] {
        let mut overtaken = client.get_object().bucket(BUCKET).key(key).send().await.unwrap().body;
        let first = overtaken.next().await.unwrap().unwrap();
        let mut survivor = client.get_object().bucket(BUCKET).key(key).send().await.unwrap().body;
        put(&client, key, b"new".to_vec()).await;
        client.delete_object().bucket(BUCKET).key(key).send().await.unwrap();
        let mut read = first.to_vec();
        while let Some(bytes) = overtaken.next().await {
            read.extend_from_slice(&bytes.unwrap());
        }
        assert!(read == old, "{key}");
        let mut read = Vec::new();
        while let Some(bytes) = survivor.next().await {
            read.extend_from_slice(&bytes.unwrap());
        }
        assert!(read == old, "{key}");
    }
    eventually(|| store.dir.uploads().is_empty()).await;
    store.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn overwriting_and_reading_at_once_gives_whole_objects() {
    let store = TestStore::start().await;
    let client = store.client();
    let versions: Vec<Vec<u8>> = (0..4).map(|n| bytes(150_000 + 40_000 * n, n as u64)).collect();
    put(&client, "k", versions[0].clone()).await;
    let writers = versions.clone().into_iter().map(|version| {
        let client = store.client();
        tokio::spawn(async move {
            for _ in 0..12 {
                put(&client, "k", version.clone()).await;
            }
        })
    });
    let writers: Vec<_> = writers.collect();
    let mut reads = 0;
    while reads < 20 || writers.iter().any(|w| !w.is_finished()) {
        let answer = client.get_object().bucket(BUCKET).key("k").send().await.unwrap();
        let (etag, length) = (answer.e_tag().unwrap().to_owned(), answer.content_length());
        let read = answer.body.collect().await.unwrap().to_vec();
        let version = versions.iter().position(|v| *v == read).expect("one of the versions, whole");
        assert_eq!(length, Some(versions[version].len() as i64));
        let hex: String =
            <md5::Md5 as md5::Digest>::digest(&read).iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(etag, format!("\"{hex}\""));
        reads += 1;
    }
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(store.dir.objects().len(), 1);
    store.stop().await;
}
