//! The store: the only place that names the AWS SDK.

mod attempts;
mod doubt;
mod fault;
mod identity;
mod multipart;
mod open;
mod reach;
mod sdk;
mod settle;
mod sweep;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::{Duration, Instant};

use aws_sdk_s3::Client;
use aws_sdk_s3::operation::create_multipart_upload::CreateMultipartUploadOutput;
use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumType, ServerSideEncryption};

use attempts::send_part;
pub use attempts::{PartEvent, PartWatch};
use doubt::Doubt;
use fault::Fault;
use identity::Identities;
pub use multipart::{AcknowledgedPart, Multipart};
use open::OpenUploads;
pub use reach::Barrier;
use settle::intact;
pub use settle::{NotStored, Stored};
pub use sweep::Listing;

use crate::checksum;
use crate::config::{Clocks, Encryption, StorageConfig};
use crate::connector::{Connector, WireCounter};
use crate::error::Failure;
use crate::parts::{Part, PartBody};
use crate::tally::Tally;

/// Chunk of an aws-chunked body; the SDK's 64 KiB would move progress in larger steps.
const CHECKSUM_CHUNK: u64 = 16 * 1024;

/// A bucket of a store. Cheap to clone.
#[derive(Clone)]
pub struct Bucket {
    client: Client,
    /// For Put and UploadPart: our own retries, and no clock but [`attempts`]' own, which knows whom it waits for.
    parts: Client,
    name: String,
    place: String,
    /// Its endpoint is on loopback.
    is_local: bool,
    clocks: Clocks,
    /// Checksums travel with the bytes.
    checksums: bool,
    /// What each object is asked to be encrypted by; without it the bucket's default holds.
    encryption: Option<ServerSideEncryption>,
    kms_key: Option<String>,
    open: OpenUploads,
    tally: Tally,
    swept: Arc<AtomicU64>,
    /// The store has said that it has no ListMultipartUploads.
    cannot_list: Arc<AtomicBool>,
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

impl Bucket {
    /// Prepares a client for the configured bucket; nothing is sent yet.
    ///
    /// # Errors
    /// There is no region to sign for.
    pub async fn connect(
        storage: &StorageConfig,
        name: &str,
        clocks: &Clocks,
        connector: Connector,
        tally: Tally,
    ) -> Result<Self, Barrier> {
        let identities = Identities::default();
        let shared = sdk::load(storage, connector, &identities).await;
        let endpoint = shared.endpoint_url();
        let region = shared.region().cloned().ok_or(Barrier::NoRegion)?;
        let place = match endpoint {
            Some(endpoint) => format!("s3://{name} at {endpoint} ({region})"),
            None => format!("s3://{name} ({region})"),
        };
        let config = sdk::configure(storage, &shared, clocks, identities);
        Ok(Self {
            parts: Client::from_conf(sdk::once(&config)),
            client: Client::from_conf(config),
            name: name.to_owned(),
            place,
            is_local: endpoint.is_some_and(is_on_loopback),
            clocks: clocks.clone(),
            checksums: sdk::has_checksums(storage, &shared),
            encryption: storage.s3_encryption.map(|encryption| match encryption {
                Encryption::Aes256 => ServerSideEncryption::Aes256,
                Encryption::Kms => ServerSideEncryption::AwsKms,
            }),
            kms_key: storage.s3_kms_key.clone(),
            open: OpenUploads::default(),
            tally,
            swept: Arc::default(),
            cannot_list: Arc::default(),
        })
    }

    /// Where it is, for people.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Whether only this machine's own clients can reach it.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.is_local
    }

    /// Whether checksums travel with the bytes.
    #[must_use]
    pub fn sends_checksums(&self) -> bool {
        self.checksums
    }

    /// A link by which anybody may get an object for so long; none where there are no keys to sign it with.
    pub async fn link(&self, key: &str, life: Duration) -> Option<String> {
        let get = self.client.get_object().bucket(&self.name).key(key);
        let signed = get.presigned(PresigningConfig::expires_in(life).ok()?).await;
        signed.map_err(|error| Fault::read("GetObject", &error)).ok().map(|request| request.uri().to_owned())
    }

    /// Sends a whole object; its last byte goes when the part's gate opens.
    ///
    /// # Errors
    /// The failure after the last attempt. If the gate was open by then, the object may exist all the
    /// same: ask [`Bucket::settle_in_doubt`].
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
                .set_server_side_encryption(self.encryption.clone())
                .set_ssekms_key_id(self.kms_key.clone())
                .body(ByteStream::new(SdkBody::from_body_1_x(body)))
                .customize()
                .mutate_request(move |request| request.add_extension(counter.clone()));
            let put = put.send().await.map_err(|error| Fault::read("PutObject", &error))?;
            intact(put.checksum_crc64_nvme.as_deref(), part.checksum())
        };
        self.send(part, watch, call).await
    }

    /// Sends a part by `call`, and counts it.
    async fn send<T, F>(
        &self,
        part: &Part,
        watch: &PartWatch,
        call: impl Fn(PartBody, WireCounter) -> F,
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Fault>>,
    {
        let begun = Instant::now();
        let sent = send_part(part, watch, &self.clocks, self.slack(), call).await;
        self.tally.part(begun.elapsed(), &sent);
        sent.map_err(|fault| fault.failure)
    }

    /// Opens a multipart upload, which the caller completes or aborts.
    ///
    /// # Errors
    /// The store's refusal. What it may have opened all the same is looked for by the sweeper.
    pub async fn create(&self, object: &Object) -> Result<Multipart, Failure> {
        let alive = self.open.begin(object.key.clone()).doubted(true);
        let create = self
            .client
            .create_multipart_upload()
            .bucket(&self.name)
            .key(&object.key)
            .content_type(object.content_type)
            .content_disposition(&object.content_disposition)
            .set_checksum_algorithm(self.checksum_algorithm())
            .set_checksum_type(self.checksums.then_some(ChecksumType::FullObject))
            .set_server_side_encryption(self.encryption.clone())
            .set_ssekms_key_id(self.kms_key.clone());
        let doubt = Doubt::default();
        let created = create.customize().interceptor(doubt.clone()).send().await;
        let names_it =
            |created: &CreateMultipartUploadOutput| created.upload_id().is_some_and(|id| !id.is_empty());
        let alive = alive.doubted(doubt.exists() || created.as_ref().is_ok_and(|created| !names_it(created)));
        let created = created.map_err(|error| {
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

    fn checksum_algorithm(&self) -> Option<ChecksumAlgorithm> {
        self.checksums.then_some(ChecksumAlgorithm::Crc64Nvme)
    }

    /// Bytes that may lie in an unfinished chunk and are no stall.
    fn slack(&self) -> u64 {
        if self.checksums { CHECKSUM_CHUNK } else { 0 }
    }
}

fn is_on_loopback(endpoint: &str) -> bool {
    let uri = endpoint.parse::<http::Uri>().ok();
    uri.and_then(|uri| {
        let host = uri.host()?.trim_matches(['[', ']']);
        Some(
            host == "localhost"
                || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback()),
        )
    })
    .unwrap_or(false)
}

fn length(bytes: u64) -> i64 {
    i64::try_from(bytes).expect("sizes are limited to what S3 takes")
}
