//! A client of the old service, in Node with `fetch` and `ws`: only the old words, in order, twice.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::support::fixture::{Dir, Fixture};
use crate::support::sample::{self, MIB};

/// The client's own program; `cargo xtask test` installs what it imports.
fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../frontend/e2e/old_client.mjs")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sees_the_old_vocabulary_twice_with_the_same_id() {
    let fixture = Fixture::start().await;
    let files = Dir::new();
    let (document, image) = (sample::pdf(12 * MIB), sample::jpeg(3 * MIB));
    let (a, b) = (files.path.join("a.pdf"), files.path.join("b.jpg"));
    std::fs::write(&a, &document).unwrap();
    std::fs::write(&b, &image).unwrap();
    let server = fixture.server.to_string();
    // It sends the pair twice with one id and checks what it hears; its last line is the keys.
    let output = tokio::task::spawn_blocking(move || {
        let mut node = std::process::Command::new("node");
        node.arg(script()).arg(server).arg(a).arg(b);
        node.stderr(Stdio::inherit()).output().expect("node runs")
    });
    let output = output.await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "the old client is not content:\n{said}");
    let keys = fixture.bucket.keys().await;
    assert_eq!(keys.len(), 4, "two files, twice: {said}");
    for key in keys {
        let content = if key.starts_with("photos/") { &image } else { &document };
        fixture.take(&key, content).await;
    }
    fixture.finish().await;
}
