//! What cannot start says why in one line; what may come later is waited for.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use crate::after::{bucket_has_only, has_only, normal_upload, readiness};
use crate::support::bucket::Bucket;
use crate::support::child::{Child, Setup};
use crate::support::client::{Form, get};
use crate::support::fixture::{Dir, settle};
use crate::support::proxy::Proxy;
use crate::support::sample::{self, KIB};
use crate::support::store::{ACCESS_KEY, Op, SECRET_KEY, ScriptedStore};

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
    for fault in [["--store-delay", "1s"], ["--store-rate", "1MiB"], ["--store-fail-part", "3"]] {
        let words = [fault[0], "--bucket", "only the embedded store"];
        refused(flags(&["--bucket", "uploads"]).flags(&fault), &words).await;
    }
    refused(flags(&["--store-rate", "0"]), &["--store-rate", "reads nothing"]).await;
    refused(flags(&["--store-fail-part", "3:twice"]), &["--store-fail-part", ":always"]).await;
    // One key of two.
    refused(flags(&["--store-access-key", "some-key"]), &["required arguments were not provided"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g13_a_port_in_use() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for flag in ["--listen", "--store-listen", "--metrics-listen"] {
        refused(flags(&[flag, &address]), &[flag, &address, "in use", "give another"]).await;
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

/// A bucket that is not there, keys that are wrong, no keys, no region, another region: somebody has to set something.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g13_a_bucket_that_refuses() {
    let stored = Dir::new();
    let store = ScriptedStore::start(&stored.path.join("store")).await;
    let endpoint = format!("http://{}", store.addr);
    // Some machines have keys to give.
    let with_bucket = |bucket: &str| flags(&["--bucket", bucket]).env("AWS_EC2_METADATA_DISABLED", "true");
    let at_store = |bucket: &str| with_bucket(bucket).env("AWS_ENDPOINT_URL", &endpoint);
    let with_keys = |setup: Setup, access: &str, secret: &str| {
        setup.env("AWS_ACCESS_KEY_ID", access).env("AWS_SECRET_ACCESS_KEY", secret)
    };
    let place = |bucket: &str| format!("s3://{bucket} at {endpoint} (us-east-1)");
    let absent = with_keys(at_store("absent"), ACCESS_KEY, SECRET_KEY);
    refused(absent, &[&place("absent"), "no such bucket", "--bucket"]).await;
    let wrong_keys = with_keys(at_store("uploads"), "somebody", "else-altogether");
    refused(wrong_keys, &[&place("uploads"), "refuses us", "AWS_SECRET_ACCESS_KEY"]).await;
    refused(at_store("uploads"), &[&place("uploads"), "no AWS credentials", "AWS_ACCESS_KEY_ID"]).await;
    let profiles = stored.path.join("profiles");
    fs::write(&profiles, "[profile broken]\nrole_arn = arn:aws:iam::1:role/a\ncredential_source = Nowhere\n")
        .unwrap();
    let profiles = profiles.display().to_string();
    let bad_profile = at_store("uploads").env("AWS_PROFILE", "broken").env("AWS_CONFIG_FILE", &profiles);
    refused(bad_profile, &[&place("uploads"), "Nowhere", "AWS_PROFILE"]).await;
    let no_region = with_keys(with_bucket("uploads"), ACCESS_KEY, SECRET_KEY);
    refused(no_region, &["s3://uploads", "no AWS region", "AWS_REGION"]).await;
    store.on(Op::HeadBucket).edits(|mut answer| {
        *answer.status_mut() = http::StatusCode::MOVED_PERMANENTLY;
        answer.headers_mut().insert("x-amz-bucket-region", http::HeaderValue::from_static("eu-north-1"));
        answer
    });
    let elsewhere = with_keys(at_store("uploads"), ACCESS_KEY, SECRET_KEY);
    refused(elsewhere, &[&place("uploads"), "set AWS_REGION=eu-north-1"]).await;
}

/// A store that is down is told of once in a minute, however often somebody asks, and once when it is back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_down_does_not_fill_the_log() {
    let stored = Dir::new();
    let store = ScriptedStore::start(&stored.path.join("store")).await;
    store.on(Op::HeadBucket).fails(503, "SlowDown");
    let server = Child::setup().storing_at(store.addr).start().await;
    let asked = || store.calls().iter().filter(|call| call.op == Op::HeadBucket).count();
    for _ in 0..3 {
        let before = asked();
        let again = settle(
            |asked| *asked > before,
            || async {
                not_ready(server.address, "storage_busy").await;
                asked()
            },
        );
        assert!(again.await > before, "it asks the store again");
    }
    assert_eq!(server.log().matches("not ready: ").count(), 1, "{}", server.log());
    assert!(!server.log().contains("the store failed a call"), "{}", server.log());
    store.forget_rules();
    readiness(server.address, 200).await;
    // Believed for a while.
    let before = asked();
    for _ in 0..20 {
        readiness(server.address, 200).await;
    }
    assert_eq!(asked(), before, "the store is not asked for each who asks us");
    assert_eq!(server.log().matches("ready: the store answers").count(), 1, "{}", server.log());
    server.stop().await;
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
