//! A server in front of a store, and what must hold when a case is over.

use std::collections::BTreeSet;

use app::wire::{FileOutcome, FileType, Problem, Status};

use crate::lacks::Lack;
use crate::store::{FOLDERS, Store};
use crate::support::bucket::{Bucket, Object, Place};
use crate::support::child::Child;
use crate::support::client::{Answer, Form, get, metric};
use crate::support::fixture::settle;
use crate::support::sample;
use crate::support::socket::{Watcher, statuses};

/// [`Scene::finish`] must be its last word.
pub struct Scene {
    pub server: Child,
    pub bucket: Bucket,
    pub place: Place,
    pub store: Store,
}

impl Scene {
    /// A server as it is by default.
    pub async fn of(store: &Store) -> Self {
        Self::with(store, &[]).await
    }

    /// The same with these flags.
    pub async fn with(store: &Store, flags: &[&str]) -> Self {
        let (server, place) = store.serve(flags).await;
        let ready = settle(|answer: &Answer| answer.status == 200, || get(server.address, "/readyz")).await;
        assert_eq!(ready.status, 200, "{}", ready.text());
        Self { server, bucket: Bucket::of(&place), place, store: store.clone() }
    }

    /// What the store lacks.
    pub async fn lacks(&self) -> &BTreeSet<Lack> {
        self.store.lacks(&self.place).await
    }

    /// Posts the form while somebody watches: every file must be stored as it was sent, and said to be, by the answer and
    /// at the end of a bar that has kept to the law.
    pub async fn stores(&self, form: Form, contents: &[&[u8]]) -> Vec<(FileOutcome, Object)> {
        let id = format!("stores-{:016x}", rand::random::<u64>());
        let mut watcher = Watcher::new(self.server.address, &id).await;
        let answer = form.client_id(&id).post(self.server.address).await.stored();
        assert_eq!(answer.files.len(), contents.len(), "{answer:?}");
        let mut stored = Vec::new();
        for (file, content) in answer.files.into_iter().zip(contents) {
            let of = FileType::ALL.into_iter().find(|of| of.field() == file.field).unwrap();
            let end = watcher.terminal(of).await;
            assert_eq!(
                (end.status, end.progress, end.total),
                (Status::Completed, 100, Some(content.len() as u64))
            );
            assert_eq!(statuses(&watcher.of(of)).last(), Some(&Status::Completed));
            assert_eq!(file.checksum_crc64nvme, Some(sample::crc64nvme(content)));
            let object = self.bucket.take_stored(&file, content).await;
            stored.push((file, object));
        }
        watcher.close().await;
        stored
    }

    /// Posts a form that must fail so, on the bar as in the answer, and leave nothing.
    pub async fn refuses(&self, form: Form, of: FileType, status: u16, code: &str) -> Problem {
        let id = format!("refuses-{:016x}", rand::random::<u64>());
        let mut watcher = Watcher::new(self.server.address, &id).await;
        let problem = form.client_id(&id).post(self.server.address).await.problem(status, code);
        let end = watcher.terminal(of).await;
        assert_eq!((end.status, end.code.as_deref()), (Status::Error, Some(code)));
        watcher.close().await;
        self.nothing_left().await;
        problem
    }

    /// Fails unless the bucket has nothing of ours, and nothing is open.
    pub async fn nothing_left(&self) {
        let running = || async { metric(&self.metrics().await, "brigade_uploads_in_flight") };
        assert!(settle(|running| *running == 0.0, running).await == 0.0, "an upload goes on");
        for folder in FOLDERS {
            assert_eq!(self.bucket.keys_below(folder).await, Vec::<String>::new(), "no object");
        }
        if !self.lacks().await.contains(&Lack::ListUploads) {
            let open = || async {
                let mut open = self.bucket.open_uploads().await;
                open.retain(|(key, _)| FOLDERS.iter().any(|folder| key.starts_with(folder)));
                open
            };
            let open = settle(Vec::is_empty, open).await;
            assert!(open.is_empty(), "no open multipart upload: {open:?}");
        }
        let metrics = self.metrics().await;
        assert!(metric(&metrics, "brigade_uploads_left_open") == 0.0, "{metrics}");
        let failed =
            metrics.lines().find(|line| line.starts_with("brigade_s3_aborts_total{outcome=\"failed\"}"));
        assert!(failed.is_none_or(|line| line.ends_with(" 0")), "every abort was taken: {failed:?}");
    }

    /// Nothing is left, the server goes on and ends well.
    pub async fn finish(self) {
        self.nothing_left().await;
        let content = sample::jpeg(20 * sample::KIB);
        self.stores(Form::image(&content), &[&content]).await;
        self.nothing_left().await;
        self.server.stop().await;
    }

    pub async fn metrics(&self) -> String {
        get(self.server.address, "/metrics").await.text()
    }
}
