//! The store: the only place that names the AWS SDK. Puts, parts, completion, settling, verification.

mod attempts;
mod fault;
mod open;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Credentials, Region, RequestChecksumCalculation, ResponseChecksumValidation,
    StalledStreamProtectionConfig,
};
use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::operation::list_multipart_uploads::ListMultipartUploadsOutput;
use aws_sdk_s3::primitives::{ByteStream, DateTime, SdkBody};
use aws_sdk_s3::types::{
    ChecksumAlgorithm, ChecksumMode, ChecksumType, CompletedMultipartUpload, CompletedPart,
};
use aws_sdk_s3::{Client, config};

use attempts::send_part;
pub use attempts::{PartEvent, PartWatch};
use fault::{ComeAgain, Fault};
use open::{Carried, OpenUploads};

use crate::checksum;
use crate::config::{Checksums, Clocks, StorageConfig};
use crate::connector::{Connector, WireCounter};
use crate::error::Failure;
use crate::kind::ObjectKey;
use crate::parts::{Part, PartBody};

/// Attempts of the SDK's own retries, which serve every call but Put and UploadPart.
const CALL_ATTEMPTS: u32 = 4;
/// Chunk of an aws-chunked body; the SDK's 64 KiB would move progress in larger steps.
const CHECKSUM_CHUNK: u64 = 16 * 1024;
/// Tries to abort an upload whose part may still have been in flight.
const ABORT_TRIES: usize = 3;

/// How often an object that may still come is asked for again; with the pauses between, about three seconds.
const DOUBTS: u32 = 5;

/// A bucket of a store. Cheap to clone.
#[derive(Clone)]
pub struct Bucket {
    client: Client,
    /// For Put and UploadPart: our own retries, and no clock but [`attempts`]' own, which knows whom it waits for.
    parts: Client,
    name: String,
    clocks: Clocks,
    /// Checksums travel with the bytes.
    checksums: bool,
    open: OpenUploads,
    aborts_failed: Arc<AtomicU64>,
    swept: Arc<AtomicU64>,
}

/// What an object is to be.
#[derive(Clone, Debug)]
pub struct Object {
    pub key: String,
    pub content_type: &'static str,
    pub content_disposition: String,
}

/// What is known of an object's content, from its parts as they were read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Content {
    pub size: u64,
    /// CRC64NVME.
    pub crc: u64,
}

impl Content {
    /// Adds the next `size` bytes, whose CRC64NVME is `crc`.
    pub fn append(&mut self, size: u64, crc: u64) {
        self.crc = checksum::combine(self.crc, crc, size);
        self.size += size;
    }

    /// The checksum as S3 writes it.
    #[must_use]
    pub fn checksum(&self) -> String {
        checksum::text(self.crc)
    }
}

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

/// What HeadObject says.
struct Head {
    size: u64,
    checksum: Option<String>,
    etag: Option<String>,
}

impl Bucket {
    /// Prepares a client for the configured bucket; nothing is sent yet.
    pub async fn connect(storage: &StorageConfig, name: &str, clocks: &Clocks, connector: Connector) -> Self {
        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12()).http_client(connector);
        if let Some(endpoint) = &storage.endpoint {
            let keys = Credentials::new(&endpoint.access_key, &endpoint.secret_key, None, None, "configured");
            loader = loader.endpoint_url(&endpoint.url).credentials_provider(keys);
            loader = loader.region(Region::from_static("us-east-1"));
        }
        let shared = loader.load().await;
        let endpoint = shared.endpoint_url();
        let checksums = match storage.s3_checksums {
            Checksums::On => true,
            Checksums::Off => false,
            Checksums::Auto => endpoint.is_none_or(|url| url.starts_with("https:")),
        };
        let calculation = if checksums {
            RequestChecksumCalculation::WhenSupported
        } else {
            RequestChecksumCalculation::WhenRequired
        };
        let retries = RetryConfig::standard().with_max_attempts(CALL_ATTEMPTS);
        let timeouts = TimeoutConfig::builder().operation_attempt_timeout(clocks.store_stall);
        let config = config::Builder::from(&shared)
            .force_path_style(storage.s3_path_style.unwrap_or(endpoint.is_some()))
            .request_checksum_calculation(calculation)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            .aws_chunked_encoding_chunk_size(Some(CHECKSUM_CHUNK as usize))
            // It takes a pausing client for a stalled store (FACTS.md 1.6); `attempts` watches instead.
            .stalled_stream_protection(StalledStreamProtectionConfig::enabled().upload_enabled(false).build())
            .retry_config(retries.with_initial_backoff(clocks.store_backoff))
            .retry_classifier(ComeAgain)
            .timeout_config(timeouts.build())
            .build();
        let parts = config
            .to_builder()
            .retry_config(RetryConfig::disabled())
            .timeout_config(TimeoutConfig::builder().disable_operation_attempt_timeout().build())
            .build();
        Self {
            client: Client::from_conf(config),
            parts: Client::from_conf(parts),
            name: name.to_owned(),
            clocks: clocks.clone(),
            checksums,
            open: OpenUploads::default(),
            aborts_failed: Arc::default(),
            swept: Arc::default(),
        }
    }

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

    /// Multipart uploads that could not be aborted since the start.
    #[must_use]
    pub fn aborts_failed(&self) -> u64 {
        self.aborts_failed.load(Ordering::Relaxed)
    }

    /// Whether the bucket answers.
    ///
    /// # Errors
    /// What stands in the way.
    pub async fn reach(&self) -> Result<(), Failure> {
        let head = self.client.head_bucket().bucket(&self.name).send().await;
        head.map(drop).map_err(|error| Fault::read("HeadBucket", &error).failure)
    }

    /// Sends a whole object; its last byte goes when the part's gate opens.
    ///
    /// # Errors
    /// The failure after the last attempt. If the gate was open by then, the object may exist all the
    /// same: ask [`Bucket::settle`].
    ///
    /// # Cancellation
    /// Closes the connection, and the store discards what it has, unless the last byte was sent.
    pub async fn put(&self, object: &Object, part: &Part, watch: &PartWatch) -> Result<(), Failure> {
        let call = async |body: PartBody, counter: WireCounter| {
            let put = self
                .parts
                .put_object()
                .bucket(&self.name)
                .key(&object.key)
                .content_type(object.content_type)
                .content_disposition(&object.content_disposition)
                .content_length(length(part.len()))
                .set_checksum_algorithm(self.checksum_algorithm())
                .body(ByteStream::new(SdkBody::from_body_1_x(body)))
                .customize()
                .mutate_request(move |request| request.add_extension(counter.clone()));
            let put = put.send().await.map_err(|error| Fault::read("PutObject", &error))?;
            intact(put.checksum_crc64_nvme.as_deref(), part.checksum())
        };
        let sent = send_part(part, watch, &self.clocks, self.slack(), call).await;
        sent.map_err(|fault| fault.failure)
    }

    /// Opens a multipart upload, which the caller completes or aborts.
    ///
    /// # Errors
    /// The store's refusal; nothing is open then.
    pub async fn create(&self, object: &Object) -> Result<Multipart, Failure> {
        let alive = self.open.begin(object.key.clone());
        let create = self
            .client
            .create_multipart_upload()
            .bucket(&self.name)
            .key(&object.key)
            .content_type(object.content_type)
            .content_disposition(&object.content_disposition)
            .set_checksum_algorithm(self.checksum_algorithm())
            .set_checksum_type(self.checksums.then_some(ChecksumType::FullObject));
        let created = create.send().await.map_err(|error| {
            let is_success = error.raw_response().is_some_and(|answer| answer.status().is_success());
            match Fault::read("CreateMultipartUpload", &error).failure {
                // No byte was sent yet: nothing of the file was rejected (FAULTS.md, D17).
                Failure::StorageRejected if !is_success => Failure::StorageUnreachable,
                failure => failure,
            }
        })?;
        let id = created.upload_id.filter(|id| !id.is_empty()).ok_or(Failure::StorageRejected)?;
        Ok(Multipart { bucket: self.clone(), upload: alive.opened(id) })
    }

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

    async fn compare(&self, key: &str, content: &Content, head: Head) -> Result<Stored, NotStored> {
        if head.size == content.size && is_same(head.checksum.as_deref(), content.crc) {
            return Ok(Stored { etag: head.etag });
        }
        tracing::error!(size.sent = content.size, size.stored = head.size, "the store holds something else");
        self.remove(key).await
    }

    /// Takes an object away that is not what was sent, or that the store itself has called something else.
    async fn remove(&self, key: &str) -> Result<Stored, NotStored> {
        let deleted = self.client.delete_object().bucket(&self.name).key(key).send().await;
        deleted.map_err(|error| {
            Fault::read("DeleteObject", &error);
            NotStored::Unknown
        })?;
        Err(NotStored::Failed(Failure::Integrity))
    }

    async fn head(&self, key: &str) -> Result<Option<Head>, Fault> {
        let head = self.client.head_object().bucket(&self.name).key(key).checksum_mode(ChecksumMode::Enabled);
        let mut answered = head.clone().send().await;
        // The refusal of a HEAD names no reason. If it was our clock, the SDK has learned the store's from it.
        let status =
            |error: &SdkError<_, HttpResponse>| error.raw_response().map(|answer| answer.status().as_u16());
        if answered.as_ref().err().and_then(status) == Some(403) {
            answered = head.send().await;
        }
        match answered {
            Ok(head) => Ok(Some(Head {
                size: head.content_length.and_then(|size| u64::try_from(size).ok()).unwrap_or(0),
                checksum: head.checksum_crc64_nvme,
                etag: head.e_tag,
            })),
            Err(error) if error.as_service_error().is_some_and(|error| error.is_not_found()) => Ok(None),
            Err(error) => Err(Fault::read("HeadObject", &error)),
        }
    }

    /// Aborts the open multipart uploads under `prefix` that are older than `age`, have a key of ours and are not
    /// alive here; returns how many.
    ///
    /// # Errors
    /// The first call that the store failed.
    pub async fn sweep(&self, prefix: &str, age: Duration) -> Result<usize, Failure> {
        let mut swept = 0;
        let mut page = self.list_uploads(prefix, None).await?;
        loop {
            let old = page.uploads().iter().filter(|upload| is_older(upload.initiated(), age));
            let names = old.filter_map(|upload| upload.key().zip(upload.upload_id()));
            for (key, id) in names.filter(|(key, _)| ObjectKey::is_ours(key) && !self.open.is_alive(key)) {
                self.clear_away(self.open.begin(key.to_owned()).opened(id.to_owned())).await?;
                swept += 1;
            }
            match page.next_key_marker().zip(page.next_upload_id_marker()) {
                Some(next) if page.is_truncated() == Some(true) => {
                    page = self.list_uploads(prefix, Some(next)).await?;
                }
                _ => return Ok(swept),
            }
        }
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

    /// Aborts what this process has opened and left: its abort failed, or nobody knows what became of it.
    ///
    /// # Errors
    /// The first call that the store failed; what is left waits for the next time.
    pub async fn abort_orphans(&self) -> Result<(), Failure> {
        while let Some(orphan) = self.open.adopt() {
            self.clear_away(orphan).await?;
        }
        Ok(())
    }

    async fn clear_away(&self, upload: Carried) -> Result<(), Failure> {
        Multipart { bucket: self.clone(), upload }.abort().await?;
        self.swept.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn checksum_algorithm(&self) -> Option<ChecksumAlgorithm> {
        self.checksums.then_some(ChecksumAlgorithm::Crc64Nvme)
    }

    /// Bytes that may lie in an unfinished chunk and are no stall.
    fn slack(&self) -> u64 {
        if self.checksums { CHECKSUM_CHUNK } else { 0 }
    }
}

/// Whether what the store says it holds is what was sent.
fn intact(answered: Option<&str>, crc: u64) -> Result<(), Fault> {
    if is_same(answered, crc) { Ok(()) } else { Err(Fault::damaged()) }
}

/// A checksum of checksums cannot be compared with one over the whole.
fn is_same(answered: Option<&str>, crc: u64) -> bool {
    answered.is_none_or(|answered| answered.contains('-') || answered == checksum::text(crc))
}

fn length(bytes: u64) -> i64 {
    i64::try_from(bytes).expect("sizes are limited to what S3 takes")
}

/// Whether it began so long ago; one that does not say when is young.
fn is_older(initiated: Option<&DateTime>, age: Duration) -> bool {
    let began = initiated.and_then(|at| SystemTime::try_from(*at).ok());
    began.is_some_and(|at| at.elapsed().is_ok_and(|elapsed| elapsed >= age))
}

/// An open multipart upload. It ends by `complete` or `abort`, each of which consumes it; left open, by a panic or by
/// the store's silence, it is the sweeper's.
pub struct Multipart {
    bucket: Bucket,
    upload: Carried,
}

/// A part that the store has acknowledged.
#[derive(Clone, Debug)]
pub struct AcknowledgedPart {
    number: u32,
    etag: Option<String>,
    checksum: Option<String>,
}

impl Multipart {
    /// Sends one part.
    ///
    /// # Errors
    /// The failure after the last attempt.
    ///
    /// # Cancellation
    /// Closes the part's connection.
    pub async fn upload(&self, part: &Part, watch: &PartWatch) -> Result<AcknowledgedPart, Failure> {
        let number = i32::try_from(part.number()).expect("at most 10,000 parts");
        let call = async |body: PartBody, counter: WireCounter| {
            let upload = self
                .bucket
                .parts
                .upload_part()
                .bucket(&self.bucket.name)
                .key(self.upload.key())
                .upload_id(self.upload.id())
                .part_number(number)
                .content_length(length(part.len()))
                .set_checksum_algorithm(self.bucket.checksum_algorithm())
                .body(ByteStream::new(SdkBody::from_body_1_x(body)))
                .customize()
                .mutate_request(move |request| request.add_extension(counter.clone()));
            let uploaded = upload.send().await.map_err(|error| Fault::read("UploadPart", &error))?;
            intact(uploaded.checksum_crc64_nvme.as_deref(), part.checksum()).map(|()| uploaded)
        };
        let sent = send_part(part, watch, &self.bucket.clocks, self.bucket.slack(), call).await;
        let done = sent.map_err(|fault| fault.failure)?;
        Ok(AcknowledgedPart {
            number: part.number(),
            etag: done.e_tag,
            checksum: done.checksum_crc64_nvme.filter(|_| self.bucket.checksums),
        })
    }

    /// Makes the object of its parts, and asks the store whether it is what was sent.
    ///
    /// Whatever the store answers, or does not, exactly one of Complete and Abort takes effect.
    ///
    /// # Errors
    /// Nothing of the object is in the store then, or it is not known.
    pub async fn complete(
        self,
        mut parts: Vec<AcknowledgedPart>,
        content: &Content,
    ) -> Result<Stored, NotStored> {
        parts.sort_by_key(|part| part.number);
        let completed = self.send_complete(parts, content).await;
        let failure = completed.err().map_or(Failure::StorageRejected, |fault| fault.failure);
        // A lost answer looks like a failure, and a false one like success: the store knows better.
        match self.bucket.settle(self.upload.key(), content, failure).await {
            Ok(stored) => {
                self.upload.end();
                Ok(stored)
            }
            Err(NotStored::Failed(failure)) => {
                self.abort_after_complete(NotStored::Failed(failure), failure, content).await
            }
            // A store that cannot be asked may not have heard of Complete either.
            Err(NotStored::Unknown) => self.abort_after_complete(NotStored::Unknown, failure, content).await,
        }
    }

    /// Aborts an upload whose Complete failed; the Complete may have won all the same.
    async fn abort_after_complete(
        self,
        not_stored: NotStored,
        failure: Failure,
        content: &Content,
    ) -> Result<Stored, NotStored> {
        let (bucket, key) = (self.bucket.clone(), self.upload.key().to_owned());
        match self.abort().await {
            Ok(()) => bucket.settle(&key, content, failure).await,
            Err(_) => Err(not_stored),
        }
    }

    async fn send_complete(&self, parts: Vec<AcknowledgedPart>, content: &Content) -> Result<(), Fault> {
        let parts = parts.into_iter().map(|part| {
            CompletedPart::builder()
                .part_number(i32::try_from(part.number).expect("at most 10,000 parts"))
                .set_e_tag(part.etag)
                .set_checksum_crc64_nvme(part.checksum)
                .build()
        });
        let list = CompletedMultipartUpload::builder().set_parts(Some(parts.collect())).build();
        let timeouts = TimeoutConfig::builder().operation_attempt_timeout(self.bucket.clocks.store_complete);
        let checksums = self.bucket.checksums;
        let complete = self
            .bucket
            .client
            .complete_multipart_upload()
            .bucket(&self.bucket.name)
            .key(self.upload.key())
            .upload_id(self.upload.id())
            .mpu_object_size(length(content.size))
            .set_checksum_crc64_nvme(checksums.then(|| content.checksum()))
            .set_checksum_type(checksums.then_some(ChecksumType::FullObject))
            .multipart_upload(list)
            .customize()
            .config_override(config::Builder::new().timeout_config(timeouts.build()));
        let completed = complete.send().await;
        let completed = completed.map_err(|error| Fault::read("CompleteMultipartUpload", &error))?;
        intact(completed.checksum_crc64_nvme.as_deref(), content.crc)?;
        // The SDK takes any 200 for success; the store's own answer names the object.
        completed.e_tag.map(drop).ok_or(Fault::ended(Failure::StorageRejected))
    }

    /// Ends the upload and what it left in the store. Its parts must no longer be on their way.
    ///
    /// # Errors
    /// The store's refusal: the sweeper has to come back for it.
    pub async fn abort(self) -> Result<(), Failure> {
        let aborted = self.try_abort().await;
        match aborted {
            Ok(()) => self.upload.end(),
            Err(_) => _ = self.bucket.aborts_failed.fetch_add(1, Ordering::Relaxed),
        }
        aborted
    }

    async fn try_abort(&self) -> Result<(), Failure> {
        for _ in 0..ABORT_TRIES {
            self.send_abort().await?;
            // A part that was in flight may have outlived the abort.
            if self.is_gone().await {
                return Ok(());
            }
        }
        Err(Failure::StorageRejected)
    }

    async fn send_abort(&self) -> Result<(), Failure> {
        let bucket = &self.bucket;
        let abort = bucket
            .client
            .abort_multipart_upload()
            .bucket(&bucket.name)
            .key(self.upload.key())
            .upload_id(self.upload.id());
        match abort.send().await {
            Ok(_) => Ok(()),
            Err(error) if error.as_service_error().is_some_and(|error| error.is_no_such_upload()) => Ok(()),
            Err(error) => Err(Fault::read("AbortMultipartUpload", &error).failure),
        }
    }

    async fn is_gone(&self) -> bool {
        let bucket = &self.bucket;
        let list = bucket
            .client
            .list_parts()
            .bucket(&bucket.name)
            .key(self.upload.key())
            .upload_id(self.upload.id());
        list.max_parts(1).send().await.is_err()
    }
}
