//! Multipart uploads that were left open: listed, and aborted.

use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use aws_sdk_s3::operation::list_multipart_uploads::ListMultipartUploadsOutput;
use aws_sdk_s3::primitives::DateTime;
use aws_sdk_s3::types::MultipartUpload;

use super::fault::{Fault, is_unsupported};
use super::open::{Adopted, Carried};
use super::{Bucket, Multipart};
use crate::error::Failure;
use crate::kind::ObjectKey;

/// How far a store lists its open multipart uploads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listing {
    /// All below a prefix, as the sweeper asks.
    ByPrefix,
    /// Only those of a key that is asked for whole.
    ByKey,
    /// It lists, but not what is open.
    Missing,
    Unsupported,
}

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

    /// How far the store lists an open multipart upload of this key, which begins with `prefix`.
    ///
    /// # Errors
    /// The store's refusal.
    pub async fn listing(&self, prefix: &str, key: &str) -> Result<Listing, Failure> {
        let (by_prefix, by_key) = (self.lists(prefix, key).await?, self.lists(key, key).await?);
        Ok(match (by_prefix, by_key) {
            _ if self.cannot_list.load(Ordering::Relaxed) => Listing::Unsupported,
            (true, true) => Listing::ByPrefix,
            (false, true) => Listing::ByKey,
            (_, false) => Listing::Missing,
        })
    }

    async fn lists(&self, prefix: &str, key: &str) -> Result<bool, Failure> {
        let mut page = self.list_uploads(prefix, None).await?;
        loop {
            if page.uploads().iter().any(|upload| upload.key() == Some(key)) {
                return Ok(true);
            }
            match next(&page) {
                Some(next) => page = self.list_uploads(prefix, Some(next)).await?,
                None => return Ok(false),
            }
        }
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
            match next(&page) {
                Some(next) => page = self.list_uploads(prefix, Some(next)).await?,
                None => return Ok(cleared),
            }
        }
    }

    async fn clear_away(&self, upload: Carried) -> Result<(), Failure> {
        Multipart { bucket: self.clone(), upload }.abort().await?;
        self.swept.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// One page of a listing; an empty one of a store that has none, which is asked and told of once.
    async fn list_uploads(
        &self,
        prefix: &str,
        after: Option<(&str, &str)>,
    ) -> Result<ListMultipartUploadsOutput, Failure> {
        if self.cannot_list.load(Ordering::Relaxed) {
            return Ok(ListMultipartUploadsOutput::builder().build());
        }
        let (key, id) = after.unzip();
        let list = self
            .client
            .list_multipart_uploads()
            .bucket(&self.name)
            .prefix(prefix)
            .set_key_marker(key.map(str::to_owned))
            .set_upload_id_marker(id.map(str::to_owned));
        match list.send().await {
            Err(error) if is_unsupported(&error) => {
                if !self.cannot_list.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        "the store cannot list multipart uploads: what a kill leaves open stays until a rule of the store's own ends it"
                    );
                }
                Ok(ListMultipartUploadsOutput::builder().build())
            }
            listed => listed.map_err(|error| Fault::read("ListMultipartUploads", &error).failure),
        }
    }
}

/// Where the page after this one begins.
fn next(page: &ListMultipartUploadsOutput) -> Option<(&str, &str)> {
    let next = page.next_key_marker().zip(page.next_upload_id_marker());
    next.filter(|_| page.is_truncated() == Some(true))
}

/// Whether it began so long ago; one that does not say when is young.
fn is_older(initiated: Option<&DateTime>, age: Duration) -> bool {
    let began = initiated.and_then(|at| SystemTime::try_from(*at).ok());
    began.is_some_and(|at| at.elapsed().is_ok_and(|elapsed| elapsed >= age))
}
