//! The store: the only place that names the AWS SDK. Puts, parts, completion, settling, verification.

mod attempts;
mod doubt;
mod fault;
mod identity;
mod multipart;
mod open;
mod reach;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use aws_config::environment::region::EnvironmentVariableRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::region::ProfileFileRegionProvider;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Credentials, Region, RequestChecksumCalculation, ResponseChecksumValidation,
    StalledStreamProtectionConfig,
};
use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::operation::create_multipart_upload::CreateMultipartUploadOutput;
use aws_sdk_s3::operation::list_multipart_uploads::ListMultipartUploadsOutput;
use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::primitives::{ByteStream, DateTime, SdkBody};
use aws_sdk_s3::types::{
    ChecksumAlgorithm, ChecksumMode, ChecksumType, MultipartUpload, ServerSideEncryption,
};
use aws_sdk_s3::{Client, config};

use attempts::send_part;
pub use attempts::{PartEvent, PartWatch};
use doubt::Doubt;
use fault::{ComeAgain, Fault};
use identity::Identities;
pub use multipart::{AcknowledgedPart, Multipart};
use open::{Adopted, Carried, OpenUploads};
pub use reach::Barrier;

use crate::checksum;
use crate::config::{Checksums, Clocks, Encryption, StorageConfig};
use crate::connector::{Connector, WireCounter};
use crate::error::Failure;
use crate::kind::ObjectKey;
use crate::parts::{Part, PartBody};
use crate::tally::Tally;

/// Attempts of the SDK's own retries, which serve every call but Put and UploadPart.
const CALL_ATTEMPTS: u32 = 4;
/// Where AWS's tools are told of another store than AWS's.
const ENDPOINTS: [&str; 2] = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"];
/// What other stores take for theirs unless they are told otherwise.
const ANY_REGION: Region = Region::from_static("us-east-1");
/// Chunk of an aws-chunked body; the SDK's 64 KiB would move progress in larger steps.
const CHECKSUM_CHUNK: u64 = 16 * 1024;
/// How often an object that may still come is asked for again; with the pauses between, about three seconds.
const DOUBTS: u32 = 5;

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
        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12()).http_client(connector);
        loader = loader.identity_cache(identities.clone());
        if let Some(endpoint) = &storage.endpoint {
            let keys = Credentials::new(&endpoint.access_key, &endpoint.secret_key, None, None, "configured");
            loader = loader.endpoint_url(&endpoint.url).credentials_provider(keys);
            loader = loader.region(ANY_REGION);
        } else if ENDPOINTS.iter().any(|name| std::env::var_os(name).is_some()) {
            // Not from the machine's own metadata: it is not the store's, and may take seconds to say nothing.
            let region = RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new());
            loader = loader.region(region.or_else(ProfileFileRegionProvider::new()).or_else(ANY_REGION));
        }
        let shared = loader.load().await;
        let endpoint = shared.endpoint_url();
        let region = shared.region().cloned().ok_or(Barrier::NoRegion)?;
        let is_local = endpoint.is_some_and(is_on_loopback);
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
        let place = match endpoint {
            Some(endpoint) => format!("s3://{name} at {endpoint} ({region})"),
            None => format!("s3://{name} ({region})"),
        };
        let config = config::Builder::from(&shared)
            .force_path_style(storage.s3_path_style.unwrap_or(endpoint.is_some()))
            .request_checksum_calculation(calculation)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            .aws_chunked_encoding_chunk_size(Some(CHECKSUM_CHUNK as usize))
            // It takes a pausing client for a stalled store (FACTS.md 1.6); `attempts` watches instead.
            .stalled_stream_protection(StalledStreamProtectionConfig::enabled().upload_enabled(false).build())
            .retry_config(retries.with_initial_backoff(clocks.store_backoff))
            .retry_classifier(ComeAgain)
            .interceptor(identities)
            .timeout_config(timeouts.build())
            .build();
        let parts = config
            .to_builder()
            .retry_config(RetryConfig::disabled())
            .timeout_config(TimeoutConfig::builder().disable_operation_attempt_timeout().build())
            .build();
        Ok(Self {
            client: Client::from_conf(config),
            parts: Client::from_conf(parts),
            name: name.to_owned(),
            place,
            is_local,
            clocks: clocks.clone(),
            checksums,
            encryption: storage.s3_encryption.map(|encryption| match encryption {
                Encryption::Aes256 => ServerSideEncryption::Aes256,
                Encryption::Kms => ServerSideEncryption::AwsKms,
            }),
            kms_key: storage.s3_kms_key.clone(),
            open: OpenUploads::default(),
            tally,
            swept: Arc::default(),
        })
    }

    /// Where it is, for people.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
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

    /// Whether only this machine's own clients can reach it.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.is_local
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
        self.delete(key).await.map_err(|_| NotStored::Unknown)?;
        Err(NotStored::Failed(Failure::Integrity))
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

    /// Whether the store lists an open multipart upload of this key.
    ///
    /// # Errors
    /// The store's refusal.
    pub async fn is_open(&self, key: &str) -> Result<bool, Failure> {
        let page = self.list_uploads(key, None).await?;
        Ok(page.uploads().iter().any(|upload| upload.key() == Some(key)))
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

/// Asks by HEAD, once more if it is refused: the refusal names no reason. If it was our clock, the SDK has learned the
/// store's from it; if it was an expired token, there is a new one.
async fn ask_head<T, E, F>(ask: impl Fn() -> F) -> Result<T, SdkError<E, HttpResponse>>
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
