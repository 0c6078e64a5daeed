//! What a person sees in Chromium, compared with what the store had read at that moment.
//!
//! Needs the site inside the library and `frontend/e2e`'s packages: `cargo xtask test` sees to both.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

#[path = "browser/connection.rs"]
mod connection;
#[path = "browser/everyone.rs"]
mod everyone;
#[path = "browser/refusal.rs"]
mod refusal;
#[path = "browser/reload.rs"]
mod reload;
#[path = "browser/scene.rs"]
mod scene;
#[path = "browser/script.rs"]
mod script;
#[path = "browser/truth.rs"]
mod truth;

use std::path::Path;
use std::process::{Command, Stdio};

use app::wire::FileType::{self, DocsFile, MsaImgs};
use serde::Deserialize;

use script::Script;
use support::fixture::{Dir, Fixture};
use support::sample::{self, KIB, MIB};
use support::store::{ACCESS_KEY, BUCKET, SECRET_KEY};
use support::truth::{Seen, assert_true, bar_name};

/// One state of a bar in the page.
#[derive(Debug, Deserialize)]
struct Painted {
    file_type: FileType,
    at_ms: f64,
    received: u64,
    sent: u64,
    stored: u64,
    progress: u8,
    status: String,
}

/// What the script in the browser has recorded.
#[derive(Debug, Deserialize)]
struct Recording {
    painted: Vec<Painted>,
    /// What the page or its console complained about.
    complaints: Vec<String>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bars_in_the_page_follow_the_store() {
    let fixture = Fixture::setup().receive_buffer(128 * KIB).start().await;
    fixture.store.pace(2_000_000);
    let (document, image) = (sample::pdf(24 * MIB), sample::jpeg(3 * MIB));
    let recording: Recording = run(&fixture, "truth.mjs", &document, &image).await;
    let confirmed = |op, file| {
        let calls = fixture.store.calls_of(op).into_iter().filter(|call| call.file() == Some(file));
        calls.filter(|call| call.status() == Some(200)).count()
    };
    assert_eq!(confirmed(support::store::Op::Complete, DocsFile), 1);
    assert_eq!(confirmed(support::store::Op::Put, MsaImgs), 1);
    for file in [DocsFile, MsaImgs] {
        let painted: Vec<&Painted> = recording.painted.iter().filter(|p| p.file_type == file).collect();
        let timeline = fixture.store.timeline(file);
        judge(&painted, timeline.last().unwrap().at_ms);
        let seen: Vec<Seen> = painted.iter().map(|p| Seen { at_ms: p.at_ms, sent: p.sent }).collect();
        assert_true(bar_name(file), &seen, &timeline);
    }
    take_both(&fixture, &document, &image).await;
    fixture.finish().await;
    assert_eq!(recording.complaints, Vec::<String>::new(), "the page and its console are content");
}

/// The page's own tests: choosing, refusing, dropping, cancelling, failing, trying again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_does_what_it_says() {
    let fixture = Fixture::start().await;
    let url = format!("http://{}", fixture.server);
    let tested = tokio::task::spawn_blocking(move || {
        let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../frontend/e2e/page.test.mjs");
        Command::new("node").arg("--test").arg(tests).env("BASE_URL", url).output().expect("node runs")
    });
    let tested = tested.await.unwrap();
    let said = String::from_utf8_lossy(&tested.stdout);
    assert!(tested.status.success(), "{said}");
    assert!(said.contains("# pass 28"), "all of them ran: {said}");
    fixture.take_all().await;
    fixture.finish().await;
}

/// The same form without a script is a page that says what was stored.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e08_without_javascript_the_form_uploads() {
    let fixture = Fixture::start().await;
    let (document, image) = (sample::pdf(6 * MIB), sample::jpeg(300 * KIB));
    let page: String = run(&fixture, "plain_form.mjs", &document, &image).await;
    assert!(page.to_lowercase().contains("stored"), "it says what was stored: {page}");
    take_both(&fixture, &document, &image).await;
    fixture.finish().await;
}

/// Runs a script of `frontend/e2e` with the two files; its last line is JSON.
async fn run<T: for<'a> Deserialize<'a>>(
    fixture: &Fixture,
    script: &str,
    document: &[u8],
    image: &[u8],
) -> T {
    let files = Dir::new();
    let (a, b) = (files.path.join("a.pdf"), files.path.join("b.jpg"));
    std::fs::write(&a, document).unwrap();
    std::fs::write(&b, image).unwrap();
    let script = Script::start(script, fixture.server, &[a.to_str().unwrap(), b.to_str().unwrap()]);
    let last = script.tells().await;
    serde_json::from_str(&last).unwrap_or_else(|error| panic!("{error}: {last}"))
}

/// The law, as it is painted: nothing goes back, and 100 only after the store has read the last byte.
fn judge(painted: &[&Painted], store_read_all_ms: f64) {
    for pair in painted.windows(2) {
        let (before, after) = (pair[0], pair[1]);
        let goes_on = after.received >= before.received
            && after.sent >= before.sent
            && after.stored >= before.stored
            && after.progress >= before.progress;
        assert!(goes_on, "back from {before:?} to {after:?}");
    }
    for state in painted {
        assert!(state.stored <= state.sent && state.sent <= state.received, "{state:?}");
        assert_eq!(state.progress == 100, state.status == "completed", "{state:?}");
        assert!(state.progress < 100 || state.at_ms >= store_read_all_ms, "too early: {state:?}");
    }
    let last = painted.last().expect("a bar was painted");
    assert_eq!((last.status.as_str(), last.progress), ("completed", 100));
}

async fn take_both(fixture: &Fixture, document: &[u8], image: &[u8]) {
    let mut keys = fixture.bucket.keys().await;
    keys.sort();
    assert_eq!(keys.len(), 2, "{keys:?}");
    for (key, content) in keys.iter().zip([image, document]) {
        let (endpoint, key) = (format!("http://{}", fixture.store.plain), key.clone());
        let read = tokio::task::spawn_blocking(move || read_by_rclone(&endpoint, &key)).await.unwrap();
        assert!(read == content, "rclone reads the bytes that were sent");
    }
    fixture.take(&keys[0], image).await;
    fixture.take(&keys[1], document).await;
}

/// Reads an object with an S3 client that nobody here has written.
fn read_by_rclone(endpoint: &str, key: &str) -> Vec<u8> {
    let settings = [
        ("TYPE", "s3"),
        ("PROVIDER", "Other"),
        ("ENV_AUTH", "false"),
        ("ACCESS_KEY_ID", ACCESS_KEY),
        ("SECRET_ACCESS_KEY", SECRET_KEY),
        ("REGION", "us-east-1"),
        ("ENDPOINT", endpoint),
    ];
    let mut rclone = Command::new("rclone");
    rclone.arg("--config=/dev/null").arg("cat").arg(format!("store:{BUCKET}/{key}"));
    rclone.envs(settings.map(|(name, value)| (format!("RCLONE_CONFIG_STORE_{name}"), value)));
    // A machine's own certificates are for other hosts, and its S3 library refuses them here.
    rclone.env_remove("AWS_CA_BUNDLE");
    let read = rclone.stderr(Stdio::inherit()).output().expect("rclone runs");
    assert!(read.status.success(), "rclone reads {key}");
    read.stdout
}
