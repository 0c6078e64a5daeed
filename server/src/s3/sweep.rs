//! Multipart uploads that were left open: listed, and aborted.

use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use aws_sdk_s3::operation::list_multipart_uploads::ListMultipartUploadsOutput;
use aws_sdk_s3::primitives::DateTime;
use aws_sdk_s3::types::MultipartUpload;

use super::fault::Fault;
use super::open::{Adopted, Carried};
use super::{Bucket, Multipart};
use crate::error::Failure;
use crate::kind::ObjectKey;

impl Bucket {
    /// Multipart uploads that were left open and wait for the sweeper.
    #[must_use]
    pub fn orphans(&self) -> usize {
        self.open.orphans()
    }

    /// Multipart uploads that the sweeper has aborted since the start.
    #[must_use]
    pub fn swept(&self) -> u64 {
        self.swept.load(Ordering::Relaxed)
    }

    /// Whether the store lists an open multipart upload of this key.
    ///
    /// # Errors
    /// The store's refusal.
    pub async fn is_open(&self, key: &str) -> Result<bool, Failure> {
        let page = self.list_uploads(key, None).await?;
        Ok(page.uploads().iter().any(|upload| upload.key() == Some(key)))
    }

    /// Aborts the open multipart uploads under `prefix` that are older than `age`, have a key of ours and are not
    /// alive here; returns how many.
    ///
    /// # Errors
    /// The first call that the store failed.
    pub async fn sweep(&self, prefix: &str, age: Duration) -> Result<usize, Failure> {
        let is_left = |upload: &MultipartUpload| {
            is_older(upload.initiated(), age)
                && upload.key().is_some_and(|key| ObjectKey::is_ours(key) && !self.open.is_alive(key))
        };
        self.clear_away_all(prefix, is_left).await
    }

    /// Aborts what this process has opened and left: its abort failed, or nobody knows what became of it.
    ///
    /// # Errors
    /// The first call that the store failed; what is left waits for the next time.
    pub async fn abort_orphans(&self) -> Result<(), Failure> {
        while let Some(orphan) = self.open.adopt() {
            match orphan {
                Adopted::Upload(upload) => self.clear_away(upload).await?,
                Adopted::Key(alive) => {
                    self.clear_away_all(alive.key(), |upload| upload.key() == Some(alive.key())).await?;
                    drop(alive.doubted(false));
                }
            }
        }
        Ok(())
    }

    /// Aborts the open multipart uploads under `prefix` that are meant; returns how many.
    async fn clear_away_all(
        &self,
        prefix: &str,
        is_meant: impl Fn(&MultipartUpload) -> bool,
    ) -> Result<usize, Failure> {
        let mut cleared = 0;
        let mut page = self.list_uploads(prefix, None).await?;
        loop {
            let names = page.uploads().iter().filter(|upload| is_meant(upload));
            for (key, id) in names.filter_map(|upload| upload.key().zip(upload.upload_id())) {
                self.clear_away(self.open.begin(key.to_owned()).opened(id.to_owned())).await?;
                cleared += 1;
            }
            match page.next_key_marker().zip(page.next_upload_id_marker()) {
                Some(next) if page.is_truncated() == Some(true) => {
                    page = self.list_uploads(prefix, Some(next)).await?;
                }
                _ => return Ok(cleared),
            }
        }
    }

    async fn clear_away(&self, upload: Carried) -> Result<(), Failure> {
        Multipart { bucket: self.clone(), upload }.abort().await?;
        self.swept.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    async fn list_uploads(
        &self,
        prefix: &str,
        after: Option<(&str, &str)>,
    ) -> Result<ListMultipartUploadsOutput, Failure> {
        let (key, id) = after.unzip();
        let list = self
            .client
            .list_multipart_uploads()
            .bucket(&self.name)
            .prefix(prefix)
            .set_key_marker(key.map(str::to_owned))
            .set_upload_id_marker(id.map(str::to_owned));
        list.send().await.map_err(|error| Fault::read("ListMultipartUploads", &error).failure)
    }
}

/// Whether it began so long ago; one that does not say when is young.
fn is_older(initiated: Option<&DateTime>, age: Duration) -> bool {
    let began = initiated.and_then(|at| SystemTime::try_from(*at).ok());
    began.is_some_and(|at| at.elapsed().is_ok_and(|elapsed| elapsed >= age))
}
