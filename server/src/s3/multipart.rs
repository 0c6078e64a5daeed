//! One open multipart upload: its parts, and its one end.

use aws_sdk_s3::config;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use aws_sdk_s3::types::{ChecksumType, CompletedMultipartUpload, CompletedPart};

use super::attempts::PartWatch;
use super::doubt::Doubt;
use super::fault::Fault;
use super::open::Carried;
use super::settle::{NotStored, Stored, intact};
use super::{Bucket, Content, length};
use crate::connector::WireCounter;
use crate::error::Failure;
use crate::parts::{Part, PartBody};

/// Tries to abort an upload whose part may still have been in flight.
const ABORT_TRIES: usize = 3;

/// An open multipart upload. It ends by `complete` or `abort`, each of which consumes it; left open, by a panic or by
/// the store's silence, it is the sweeper's.
pub struct Multipart {
    pub(super) bucket: Bucket,
    pub(super) upload: Carried,
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
        let done = self.bucket.send(part, watch, call).await?;
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
        let doubt = Doubt::default();
        let completed = self.send_complete(parts, content, &doubt).await;
        let failure = completed.err().map_or(Failure::StorageRejected, |fault| fault.failure);
        // A lost answer looks like a failure, and a false one like success: the store knows better.
        let not_stored = match self.bucket.settle(self.upload.key(), content, failure).await {
            Ok(stored) => {
                self.upload.end();
                return Ok(stored);
            }
            Err(not_stored) => not_stored,
        };
        // A store that cannot be asked may not have heard of Complete either; and Complete may win over the abort.
        let (bucket, key) = (self.bucket.clone(), self.upload.key().to_owned());
        let failure = match not_stored {
            NotStored::Failed(failure) => failure,
            NotStored::Unknown => failure,
        };
        match self.abort().await {
            Ok(()) => bucket.settle(&key, content, failure).await,
            Err(_) if doubt.exists() => Err(NotStored::Unknown),
            Err(_) => Err(not_stored),
        }
    }

    async fn send_complete(
        &self,
        parts: Vec<AcknowledgedPart>,
        content: &Content,
        doubt: &Doubt,
    ) -> Result<(), Fault> {
        let parts = parts.into_iter().map(|part| {
            CompletedPart::builder()
                .part_number(i32::try_from(part.number).expect("at most 10,000 parts"))
                .set_e_tag(part.etag)
                .set_checksum_crc64_nvme(part.checksum)
                .build()
        });
        let list = CompletedMultipartUpload::builder().set_parts(Some(parts.collect())).build();
        let timeouts = TimeoutConfig::builder()
            .disable_operation_attempt_timeout()
            .operation_timeout(self.bucket.clocks.store_complete);
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
            .interceptor(doubt.clone())
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
        self.bucket.tally.abort(&aborted);
        if aborted.is_ok() {
            self.upload.end();
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
