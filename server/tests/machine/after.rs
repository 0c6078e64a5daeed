//! What is asserted when the fault is over: of the server that goes on, and of the directory that it left.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use app::wire::Outcome;

use crate::support::bucket::Bucket;
use crate::support::client::{Answer, Form, get, metric};
use crate::support::fixture::{Dir, files_below, settle};
use crate::support::sample::{self, KIB};
use crate::support::store::ScriptedStore;

/// An object that must be there: its key, and its bytes.
pub type Kept<'a> = (&'a str, &'a [u8]);

/// A normal upload of both files passes; gives what it stored.
pub async fn normal_upload(server: SocketAddr) -> [(String, Vec<u8>); 2] {
    let contents = [sample::pdf(100 * KIB), sample::jpeg(20 * KIB)];
    let stored = Form::both(&contents[0], &contents[1]).post(server).await.stored();
    assert!(stored.files.iter().all(|file| file.outcome == Outcome::Stored), "{:?}", stored.files);
    let keys = [0, 1].map(|n| stored.files[n].key.clone().expect("a stored file has its key"));
    let [document, image] = keys;
    let [first, second] = contents;
    [(document, first), (image, second)]
}

/// What `/readyz` says once it has this status.
pub async fn readiness(server: SocketAddr, status: u16) -> Answer {
    let answer = settle(|answer: &Answer| answer.status == status, || get(server, "/readyz")).await;
    assert_eq!(answer.status, status, "{}", answer.text());
    answer
}

/// Nothing runs any more in the server.
pub async fn at_rest(server: SocketAddr) {
    let gauges = ["brigade_uploads_in_flight", "brigade_buffer_bytes", "brigade_parts_in_flight"];
    let busy = || async {
        let text = get(server, "/metrics").await.text();
        gauges.map(|gauge| metric(&text, gauge)).iter().sum::<f64>()
    };
    assert_eq!(settle(|busy| *busy == 0.0, busy).await, 0.0, "the gauges are back");
}

/// Multipart uploads that are open in the embedded store of a server that has ended.
pub fn open_uploads(dir: &Dir) -> usize {
    let records = files_below(&store_of(dir));
    records.iter().filter(|path| path.file_name().is_some_and(|name| name == "upload")).count()
}

/// Of a server that has ended: its embedded store has these objects, whole and readable, and nothing else.
pub async fn has_only(dir: &Dir, objects: &[Kept<'_>]) {
    let path = store_of(dir);
    assert_eq!(open_uploads(dir), 0, "no upload is open");
    assert_eq!(files_below(&path.join("tmp")), BTreeSet::new(), "nothing half written");
    let store = ScriptedStore::start(&path).await;
    bucket_has_only(&Bucket::at(store.plain), objects).await;
    let rest = || async { foreign(&path) };
    assert_eq!(settle(Vec::is_empty, rest).await, Vec::<PathBuf>::new(), "files of no object");
}

/// The bucket has these objects and nothing else; it has nothing then.
pub async fn bucket_has_only(bucket: &Bucket, objects: &[Kept<'_>]) {
    let wanted: BTreeSet<&str> = objects.iter().map(|(key, _)| *key).collect();
    let keys = bucket.keys().await;
    assert_eq!(keys.iter().map(String::as_str).collect::<BTreeSet<_>>(), wanted);
    for (key, content) in objects {
        assert!(bucket.get(key).await.content == *content, "{key} is what was sent");
        bucket.delete(key).await;
    }
    assert_eq!(bucket.open_uploads().await, [], "no open multipart upload");
}

/// Files that an empty store does not have.
fn foreign(store: &Path) -> Vec<PathBuf> {
    files_below(store).into_iter().filter(|path| *path != store.join("lock")).collect()
}

fn store_of(dir: &Dir) -> PathBuf {
    dir.path.join("server/store")
}
