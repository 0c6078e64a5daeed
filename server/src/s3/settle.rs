//! What became of an object: the store is asked, and what is not what was sent is taken away.

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::types::ChecksumMode;

use super::fault::Fault;
use super::{Bucket, Content};
use crate::checksum;
use crate::error::Failure;

/// How often an object that may still come is asked for again; with the pauses between, about three seconds.
const DOUBTS: u32 = 5;

/// An object that the store has confirmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    pub etag: Option<String>,
}

/// Why an object is not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotStored {
    /// Nothing of it is in the store.
    Failed(Failure),
    /// The store vanished before it could be asked.
    Unknown,
}

impl NotStored {
    /// What the client is told.
    #[must_use]
    pub fn failure(self) -> Failure {
        match self {
            Self::Failed(failure) => failure,
            Self::Unknown => Failure::StorageUnreachable,
        }
    }
}

impl Bucket {
    /// Asks the store what became of an object, and checks it if it is there.
    ///
    /// # Errors
    /// `failure` when the object is not there; `integrity` when it is not what was sent, or was answered to be
    /// something else, and deleted.
    pub async fn settle(&self, key: &str, content: &Content, failure: Failure) -> Result<Stored, NotStored> {
        match self.head(key).await {
            Ok(Some(_)) if failure == Failure::Integrity => self.remove(key).await,
            Ok(Some(head)) => self.compare(key, content, head).await,
            Ok(None) => Err(NotStored::Failed(failure)),
            Err(_) => Err(NotStored::Unknown),
        }
    }

    /// The same after a Put that was given whole and whose answer was lost: the store may still be at it, so that "not
    /// there" is asked for more than once.
    ///
    /// # Errors
    /// As [`Bucket::settle`].
    pub async fn settle_in_doubt(
        &self,
        key: &str,
        content: &Content,
        failure: Failure,
    ) -> Result<Stored, NotStored> {
        for doubt in 1..=DOUBTS {
            match self.settle(key, content, failure).await {
                Err(NotStored::Failed(found)) if found == failure => {
                    tokio::time::sleep(self.clocks.store_backoff * doubt).await;
                }
                settled => return settled,
            }
        }
        self.settle(key, content, failure).await
    }

    /// Takes an object away.
    ///
    /// # Errors
    /// The store's refusal.
    pub async fn delete(&self, key: &str) -> Result<(), Failure> {
        let deleted = self.client.delete_object().bucket(&self.name).key(key).send().await;
        deleted.map(drop).map_err(|error| Fault::read("DeleteObject", &error).failure)
    }

    /// Whether there is such an object.
    ///
    /// # Errors
    /// The store's refusal.
    pub async fn has(&self, key: &str) -> Result<bool, Failure> {
        self.head(key).await.map(|head| head.is_some()).map_err(|fault| fault.failure)
    }

    async fn compare(&self, key: &str, content: &Content, head: Head) -> Result<Stored, NotStored> {
        if head.size == content.size && is_same(head.checksum.as_deref(), content.crc) {
            return Ok(Stored { etag: head.etag });
        }
        tracing::error!(size.sent = content.size, size.stored = head.size, "the store holds something else");
        self.remove(key).await
    }

    /// Takes an object away that is not what was sent, or that the store itself has called something else.
    async fn remove(&self, key: &str) -> Result<Stored, NotStored> {
        self.delete(key).await.map_err(|_| NotStored::Unknown)?;
        Err(NotStored::Failed(Failure::Integrity))
    }

    async fn head(&self, key: &str) -> Result<Option<Head>, Fault> {
        let head = self.client.head_object().bucket(&self.name).key(key).checksum_mode(ChecksumMode::Enabled);
        match ask_head(|| head.clone().send()).await {
            Ok(head) => Ok(Some(Head {
                size: head.content_length.and_then(|size| u64::try_from(size).ok()).unwrap_or(0),
                checksum: head.checksum_crc64_nvme,
                etag: head.e_tag,
            })),
            Err(error) if error.as_service_error().is_some_and(|error| error.is_not_found()) => Ok(None),
            Err(error) => Err(Fault::read("HeadObject", &error)),
        }
    }
}

/// What HeadObject says.
struct Head {
    size: u64,
    checksum: Option<String>,
    etag: Option<String>,
}

/// Asks by HEAD, once more if it is refused: the refusal names no reason. If it was our clock, the SDK has learned the
/// store's from it; if it was an expired token, there is a new one.
pub async fn ask_head<T, E, F>(ask: impl Fn() -> F) -> Result<T, SdkError<E, HttpResponse>>
where
    F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
{
    let answered = ask().await;
    let refusal = answered.as_ref().err().and_then(SdkError::raw_response);
    match refusal.map(|answer| answer.status().as_u16()) {
        Some(400 | 403) => ask().await,
        _ => answered,
    }
}

/// Whether what the store says it holds is what was sent.
pub fn intact(answered: Option<&str>, crc: u64) -> Result<(), Fault> {
    if is_same(answered, crc) { Ok(()) } else { Err(Fault::damaged()) }
}

/// A checksum of checksums cannot be compared with one over the whole.
fn is_same(answered: Option<&str>, crc: u64) -> bool {
    answered.is_none_or(|answered| answered.contains('-') || answered == checksum::text(crc))
}
