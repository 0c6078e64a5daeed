//! The store: the only place that names the AWS SDK. Puts, parts, completion, settling, verification.

mod attempts;
mod fault;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Credentials, Region, RequestChecksumCalculation, ResponseChecksumValidation,
    StalledStreamProtectionConfig,
};
use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use aws_sdk_s3::types::{
    ChecksumAlgorithm, ChecksumMode, ChecksumType, CompletedMultipartUpload, CompletedPart,
};
use aws_sdk_s3::{Client, config};

use attempts::send_part;
pub use attempts::{PartEvent, PartWatch};
use fault::Fault;

use crate::checksum;
use crate::config::{Checksums, Clocks, StorageConfig};
use crate::connector::{Connector, WireCounter};
use crate::error::Failure;
use crate::parts::{Part, PartBody};

/// Attempts of the SDK's own retries, which serve every call but Put and UploadPart.
const CALL_ATTEMPTS: u32 = 4;
/// Chunk of an aws-chunked body; the SDK's 64 KiB would move progress in larger steps.
const CHECKSUM_CHUNK: u64 = 16 * 1024;
/// Tries to abort an upload whose part may still have been in flight.
const ABORT_TRIES: usize = 3;

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
    aborts_failed: Arc<AtomicU64>,
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
            aborts_failed: Arc::default(),
        }
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
            put.send().await.map(drop).map_err(|error| Fault::read("PutObject", &error))
        };
        let sent = send_part(part, watch, &self.clocks, self.slack(), call).await;
        sent.map_err(|fault| fault.failure)
    }

    /// Opens a multipart upload, which the caller completes or aborts.
    ///
    /// # Errors
    /// The store's refusal; nothing is open then.
    pub async fn create(&self, object: &Object) -> Result<Multipart, Failure> {
        let create = self
            .client
            .create_multipart_upload()
            .bucket(&self.name)
            .key(&object.key)
            .content_type(object.content_type)
            .content_disposition(&object.content_disposition)
            .set_checksum_algorithm(self.checksum_algorithm())
            .set_checksum_type(self.checksums.then_some(ChecksumType::FullObject));
        let created =
            create.send().await.map_err(|error| Fault::read("CreateMultipartUpload", &error).failure);
        let created = created.map_err(|failure| match failure {
            // No byte was sent yet: nothing of the file was rejected (FAULTS.md, D17).
            Failure::StorageRejected => Failure::StorageUnreachable,
            failure => failure,
        })?;
        let id = created.upload_id.ok_or(Failure::StorageUnreachable)?;
        Ok(Multipart { bucket: self.clone(), key: object.key.clone(), id })
    }

    /// Asks the store what became of an object, and checks it if it is there.
    ///
    /// # Errors
    /// `failure` when the object is not there; `integrity` when it is not what was sent, and deleted.
    pub async fn settle(&self, key: &str, content: &Content, failure: Failure) -> Result<Stored, NotStored> {
        match self.head(key).await {
            Ok(Some(head)) => self.compare(key, content, head).await,
            Ok(None) => Err(NotStored::Failed(failure)),
            Err(_) => Err(NotStored::Unknown),
        }
    }

    async fn compare(&self, key: &str, content: &Content, head: Head) -> Result<Stored, NotStored> {
        let same_sum = head.checksum.is_none_or(|checksum| checksum == content.checksum());
        if head.size == content.size && same_sum {
            return Ok(Stored { etag: head.etag });
        }
        tracing::error!(size.sent = content.size, size.stored = head.size, "the store holds something else");
        let deleted = self.client.delete_object().bucket(&self.name).key(key).send().await;
        deleted.map_err(|error| {
            Fault::read("DeleteObject", &error);
            NotStored::Unknown
        })?;
        Err(NotStored::Failed(Failure::Integrity))
    }

    async fn head(&self, key: &str) -> Result<Option<Head>, Fault> {
        let head = self.client.head_object().bucket(&self.name).key(key).checksum_mode(ChecksumMode::Enabled);
        match head.send().await {
            Ok(head) => Ok(Some(Head {
                size: head.content_length.and_then(|size| u64::try_from(size).ok()).unwrap_or(0),
                // A checksum of checksums cannot be compared with one over the whole.
                checksum: head.checksum_crc64_nvme.filter(|checksum| !checksum.contains('-')),
                etag: head.e_tag,
            })),
            Err(error) if error.as_service_error().is_some_and(|error| error.is_not_found()) => Ok(None),
            Err(error) => Err(Fault::read("HeadObject", &error)),
        }
    }

    /// Aborts the open multipart uploads under `prefix`; returns how many.
    ///
    /// # Errors
    /// The first call that the store failed.
    pub async fn abort_all_under(&self, prefix: &str) -> Result<usize, Failure> {
        let list = self.client.list_multipart_uploads().bucket(&self.name).prefix(prefix).send().await;
        let list = list.map_err(|error| Fault::read("ListMultipartUploads", &error).failure)?;
        let open: Vec<_> =
            list.uploads().iter().filter_map(|upload| upload.key().zip(upload.upload_id())).collect();
        for (key, id) in &open {
            let upload = Multipart { bucket: self.clone(), key: (*key).to_owned(), id: (*id).to_owned() };
            upload.abort().await?;
        }
        Ok(open.len())
    }

    fn checksum_algorithm(&self) -> Option<ChecksumAlgorithm> {
        self.checksums.then_some(ChecksumAlgorithm::Crc64Nvme)
    }

    /// Bytes that may lie in an unfinished chunk and are no stall.
    fn slack(&self) -> u64 {
        if self.checksums { CHECKSUM_CHUNK } else { 0 }
    }
}

fn length(bytes: u64) -> i64 {
    i64::try_from(bytes).expect("sizes are limited to what S3 takes")
}

/// An open multipart upload. It ends by `complete` or `abort`, each of which consumes it.
pub struct Multipart {
    bucket: Bucket,
    key: String,
    id: String,
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
                .key(&self.key)
                .upload_id(&self.id)
                .part_number(number)
                .content_length(length(part.len()))
                .set_checksum_algorithm(self.bucket.checksum_algorithm())
                .body(ByteStream::new(SdkBody::from_body_1_x(body)))
                .customize()
                .mutate_request(move |request| request.add_extension(counter.clone()));
            let uploaded = upload.send().await.map_err(|error| Fault::read("UploadPart", &error))?;
            let is_same = |answered: &String| *answered == checksum::text(part.checksum());
            match uploaded.checksum_crc64_nvme.as_ref().is_none_or(is_same) {
                true => Ok(uploaded),
                false => Err(Fault::damaged()),
            }
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
        match self.bucket.settle(&self.key, content, failure).await {
            Err(NotStored::Failed(failure)) => {
                self.abort_after_complete(NotStored::Failed(failure), failure, content).await
            }
            // A store that cannot be asked may not have heard of Complete either.
            Err(NotStored::Unknown) => self.abort_after_complete(NotStored::Unknown, failure, content).await,
            settled => settled,
        }
    }

    /// Aborts an upload whose Complete failed; the Complete may have won all the same.
    async fn abort_after_complete(
        self,
        not_stored: NotStored,
        failure: Failure,
        content: &Content,
    ) -> Result<Stored, NotStored> {
        let (bucket, key) = (self.bucket.clone(), self.key.clone());
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
            .key(&self.key)
            .upload_id(&self.id)
            .mpu_object_size(length(content.size))
            .set_checksum_crc64_nvme(checksums.then(|| content.checksum()))
            .set_checksum_type(checksums.then_some(ChecksumType::FullObject))
            .multipart_upload(list)
            .customize()
            .config_override(config::Builder::new().timeout_config(timeouts.build()));
        let completed = complete.send().await;
        let completed = completed.map_err(|error| Fault::read("CompleteMultipartUpload", &error))?;
        // The SDK takes any 200 for success; the store's own answer names the object.
        completed.e_tag.map(drop).ok_or(Fault::ended(Failure::StorageRejected))
    }

    /// Ends the upload and what it left in the store. Its parts must no longer be on their way.
    ///
    /// # Errors
    /// The store's refusal: the sweeper has to come back for it.
    pub async fn abort(self) -> Result<(), Failure> {
        let aborted = self.try_abort().await;
        if aborted.is_err() {
            self.bucket.aborts_failed.fetch_add(1, Ordering::Relaxed);
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
        let abort =
            bucket.client.abort_multipart_upload().bucket(&bucket.name).key(&self.key).upload_id(&self.id);
        match abort.send().await {
            Ok(_) => Ok(()),
            Err(error) if error.as_service_error().is_some_and(|error| error.is_no_such_upload()) => Ok(()),
            Err(error) => Err(Fault::read("AbortMultipartUpload", &error).failure),
        }
    }

    async fn is_gone(&self) -> bool {
        let bucket = &self.bucket;
        let list = bucket.client.list_parts().bucket(&bucket.name).key(&self.key).upload_id(&self.id);
        list.max_parts(1).send().await.is_err()
    }
}
