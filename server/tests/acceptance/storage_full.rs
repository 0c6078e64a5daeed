//! The embedded store's disk is full: the answer says so, and nothing that was stored before is lost.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use app::wire::FileType::DocsFile;
use app::wire::Status;

use crate::support::bucket::Bucket;
use crate::support::child::Child;
use crate::support::client::Form;
use crate::support::disk::SmallDisk;
use crate::support::fixture::{Dir, files_below, settle};
use crate::support::sample::{self, KIB, MIB};
use crate::support::socket::Watcher;
use crate::support::store::ScriptedStore;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g07_the_embedded_store_is_full() {
    let dir = Arc::new(Dir::new());
    let data = dir.path.join("server");
    let Some(_disk) = SmallDisk::mount(&data, 24) else { return };
    let server = Child::setup().within(&dir).start().await;
    let old = sample::pdf(8 * MIB);
    let old_key = Form::document(&old).post(server.address).await.stored_one().key.unwrap();

    is_full(&server, 25 * MIB, "more than is left").await;
    becomes_empty(&data.join("store/tmp")).await;

    let ballast = data.join("ballast");
    fill(&ballast);
    for size in [300 * KIB, 4 * MIB, 6 * MIB] {
        is_full(&server, size, "nothing is left").await;
    }
    becomes_empty(&data.join("store/tmp")).await;
    fs::remove_file(&ballast).unwrap();
    let small = sample::pdf(300 * KIB);
    let small_key = Form::document(&small).post(server.address).await.stored_one().key.unwrap();
    server.stop().await;

    let store = ScriptedStore::start(&data.join("store")).await;
    let bucket = Bucket::at(store.plain);
    assert!(bucket.get(&old_key).await.content == old, "what was stored before can be read");
    assert!(bucket.get(&small_key).await.content == small);
    assert_eq!(bucket.keys().await.len(), 2);
    assert_eq!(bucket.open_uploads().await, []);
}

/// An upload finds no room: told so by answer and bar.
async fn is_full(server: &Child, size: usize, why: &str) {
    println!("{size} bytes: {why}");
    let id = format!("full-{size}");
    let mut watcher = Watcher::new(server.address, &id).await;
    let form = Form::document(&sample::pdf(size)).client_id(&id);
    form.post(server.address).await.problem(507, "storage_full");
    let end = watcher.terminal(DocsFile).await;
    assert_eq!((end.status, end.code.as_deref()), (Status::Error, Some("storage_full")));
}

/// Takes all the room that there is.
fn fill(ballast: &Path) {
    let mut file = File::create(ballast).unwrap();
    for piece in [64 * KIB, KIB, 1] {
        while file.write_all(&vec![0; piece]).is_ok() {}
    }
}

/// The store hears of a connection that was cut in the middle of a part when the answer may be there already.
async fn becomes_empty(dir: &Path) {
    let left = settle(BTreeSet::is_empty, async || files_below(dir)).await;
    assert_eq!(left, BTreeSet::new(), "temporary files are gone");
}
