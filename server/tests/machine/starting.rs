//! What cannot start says why in one line; what may come later is waited for.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::after::{bucket_has_only, has_only, normal_upload, readiness};
use crate::support::bucket::Bucket;
use crate::support::child::{Child, Setup};
use crate::support::client::{Form, get};
use crate::support::fixture::Dir;
use crate::support::proxy::Proxy;
use crate::support::sample::{self, KIB};
use crate::support::store::{ACCESS_KEY, SECRET_KEY, ScriptedStore};

/// It ends with a failure, soon, and its last words have one line with all of `words`.
async fn refused(setup: Setup, words: &[&str]) {
    let begun = Instant::now();
    let ended = setup.refused().await;
    println!("{}", ended.log);
    assert!(!ended.status.success() && ended.status.code().is_some(), "{}: {}", ended.status, ended.log);
    let errors: Vec<_> = ended
        .log
        .lines()
        .filter(|line| line.starts_with("bucket-brigade: ") || line.starts_with("error: "))
        .collect();
    assert_eq!(errors.len(), 1, "one line says why:\n{}", ended.log);
    for word in words {
        assert!(errors[0].contains(word), "{word:?} is in {:?}", errors[0]);
    }
    assert!(begun.elapsed() < Duration::from_secs(5), "after {:?}", begun.elapsed());
}

fn flags(flags: &[&str]) -> Setup {
    Child::setup().flags(flags)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g13_a_configuration_that_cannot_work() {
    refused(flags(&["--part-size", "1MiB"]), &["--part-size", "5MiB"]).await;
    refused(flags(&["--buffer-memory", "19MiB"]), &["--buffer-memory", "20.0 MiB"]).await;
    refused(flags(&["--listen", "nowhere"]), &["--listen", "nowhere"]).await;
    refused(flags(&["--max-document-size", "much"]), &["--max-document-size", "much"]).await;
    refused(flags(&["--shutdown-grace", "soon"]), &["--shutdown-grace", "soon"]).await;
    refused(flags(&["--no-such-flag"]), &["--no-such-flag"]).await;
    refused(Child::setup().env("BRIGADE_PART_SIZE", "1MiB"), &["--part-size"]).await;
    refused(flags(&["--s3-encryption", "AES256"]), &["--s3-encryption", "--bucket"]).await;
    let without_kms = flags(&["--bucket", "uploads", "--s3-encryption", "AES256", "--s3-kms-key", "a-key"]);
    refused(without_kms, &["--s3-kms-key", "aws:kms"]).await;
    // One key of two.
    refused(flags(&["--store-access-key", "some-key"]), &["required arguments were not provided"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g13_a_port_in_use() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for flag in ["--listen", "--store-listen"] {
        refused(flags(&[flag, &address]), &[&address, "in use"]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g13_a_data_directory_that_cannot_be_had() {
    let dir = Dir::new();
    let file = dir.path.join("file");
    fs::write(&file, "no directory").unwrap();
    let below = file.join("data").display().to_string();
    refused(flags(&["--data-dir", &below]), &[&below, "Not a directory"]).await;
    // With a bucket there is only the secret to keep.
    refused(flags(&["--data-dir", &below, "--bucket", "uploads"]), &[&below, "Not a directory"]).await;
    // Even the superuser makes nothing there.
    refused(flags(&["--data-dir", "/proc/data"]), &["/proc/data"]).await;

    let first = Child::start(&[]).await;
    let data_dir = first.dir().path.join("server").display().to_string();
    refused(Child::setup().within(&first.dir()), &[&data_dir, "in use by another process"]).await;
    normal_upload(first.address).await;
    first.stop().await;
}

/// Not ready, and why; and ready by itself when the bucket comes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g13_a_bucket_that_comes_later() {
    let stored = Dir::new();
    let store = ScriptedStore::start(&stored.path.join("store")).await;
    let mut proxy = Proxy::start(store.addr).await;
    proxy.refuse().await;
    let server = Child::setup().storing_at(proxy.addr).start().await;
    not_ready(server.address, "storage_unreachable").await;
    assert_eq!(get(server.address, "/healthz").await.status, 200);
    let form = Form::document(&sample::pdf(100 * KIB));
    assert!(form.post(server.address).await.problem(503, "storage_unreachable").retryable);
    proxy.accept().await;
    readiness(server.address, 200).await;
    let [document, image] = normal_upload(server.address).await;
    server.stop().await;
    bucket_has_only(&Bucket::at(store.plain), &[(&document.0, &document.1), (&image.0, &image.1)]).await;
}

/// A bucket that is not there, keys that are wrong, and no keys at all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g13_a_bucket_that_refuses() {
    let stored = Dir::new();
    let store = ScriptedStore::start(&stored.path.join("store")).await;
    let endpoint = format!("http://{}", store.addr);
    let absent = flags(&["--bucket", "absent"])
        .env("AWS_ENDPOINT_URL", &endpoint)
        .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
        .env("AWS_SECRET_ACCESS_KEY", SECRET_KEY);
    let no_keys = flags(&["--bucket", "uploads"])
        .env("AWS_ENDPOINT_URL", &endpoint)
        .env("AWS_EC2_METADATA_DISABLED", "true");
    let wrong_keys = flags(&["--bucket", "uploads"])
        .env("AWS_ENDPOINT_URL", &endpoint)
        .env("AWS_ACCESS_KEY_ID", "somebody")
        .env("AWS_SECRET_ACCESS_KEY", "else-altogether");
    for setup in [absent, wrong_keys, no_keys] {
        let server = setup.start().await;
        not_ready(server.address, "storage_config").await;
        let form = Form::document(&sample::pdf(100 * KIB));
        form.post(server.address).await.problem(503, "storage_config");
        server.signal(Signal::TERM);
        assert!(server.ended().await.status.success());
    }
}

async fn not_ready(server: SocketAddr, reason: &str) {
    let answer = get(server, "/readyz").await;
    assert_eq!(answer.status, 503);
    assert!(answer.text().contains(&format!("\"{reason}\"")), "{}", answer.text());
}

/// Nothing is ever put into a temporary directory of the system's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g15_no_temporary_directory() {
    // Absent; no directory; and one in which even the superuser makes no file.
    for place in ["/nonexistent", "/etc/passwd", "/proc"] {
        let server = Child::setup().env("TMPDIR", place).start().await;
        let [document, image] = normal_upload(server.address).await;
        let content = sample::pdf(12 * KIB * KIB);
        let key = Form::document(&content).post(server.address).await.stored_one().key.unwrap();
        let dir = server.dir();
        server.stop().await;
        let kept = [(&*key, &*content), (&*document.0, &*document.1), (&*image.0, &*image.1)];
        has_only(&dir, &kept).await;
    }
}
