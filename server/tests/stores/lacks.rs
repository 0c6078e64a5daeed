//! What a store lacks of S3, found by asking it, and what that means for whoever stores there.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use aws_sdk_s3::Client;
use aws_sdk_s3::config::RequestChecksumCalculation;
use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumMode};
use bytes::Bytes;
use http_body_util::Full;

use crate::support::bucket::{Bucket, Place};
use crate::support::sample::{self, MIB};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lack {
    ListUploads,
    ListByPrefix,
    Initiated,
    Trailer,
    HeadChecksum,
    UnequalParts,
    Keys,
    HiddenBuckets,
}

impl Lack {
    /// For the report.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::ListUploads => {
                "It has no ListMultipartUploads. What a kill leaves open stays until a rule of the store's own ends it; \
                 the server says so once. Whether a case left something open was seen by the server's metrics only."
            }
            Self::ListByPrefix => {
                "It lists open multipart uploads only of a key that is asked for whole. What a kill leaves open is not \
                 found by its age, and stays until a rule of the store's own ends it."
            }
            Self::Initiated => {
                "It does not tell when a multipart upload began. A sweeper takes what another server has open for what \
                 was left open: it needs a bucket of its own for each server."
            }
            Self::Trailer => {
                "It refuses a checksum behind the bytes, as the SDK sends it to this endpoint: needs --s3-checksums off."
            }
            Self::HeadChecksum => {
                "Its HeadObject does not tell a CRC64NVME that was sent along: of an object only the size is checked."
            }
            Self::UnequalParts => "All parts but the last have to be equal: ours are.",
            Self::Keys => "It does not look at keys: wrong ones are found by nobody.",
            Self::HiddenBuckets => "It refuses a bucket that does not exist like one that is another's.",
        }
    }
}

/// Asks by the SDK, with objects as the server would write them, and takes them away again.
pub async fn ask(place: &Place) -> BTreeSet<Lack> {
    let bucket = Bucket::of(place);
    let mut lacks = open_uploads(&bucket).await;
    lacks.extend(checksums(&bucket).await);
    lacks.extend(buckets(place).await);
    if !takes_unequal_parts(&bucket).await {
        lacks.insert(Lack::UnequalParts);
    }
    lacks
}

async fn open_uploads(bucket: &Bucket) -> BTreeSet<Lack> {
    let key = key_of_ours();
    let id = bucket.begin(&key).await;
    let mut lacks = BTreeSet::new();
    let by = async |prefix: &str| {
        let list = bucket.client.list_multipart_uploads().bucket(&bucket.name).prefix(prefix);
        let listed = list.send().await.ok()?;
        let found = listed.uploads().iter().find(|upload| upload.key() == Some(&key))?;
        Some(found.initiated().copied())
    };
    match (by("supporting_documents/").await, by(&key).await) {
        (None, None) => drop(lacks.insert(Lack::ListUploads)),
        (None, Some(_)) => drop(lacks.insert(Lack::ListByPrefix)),
        (Some(initiated), _) => {
            let began = initiated.and_then(|at| SystemTime::try_from(at).ok());
            let hour = Duration::from_secs(3600);
            let now = SystemTime::now();
            if !began.is_some_and(|at| (now - hour..now + hour).contains(&at)) {
                lacks.insert(Lack::Initiated);
            }
        }
    }
    bucket.abort(&key, &id).await;
    lacks
}

async fn checksums(bucket: &Bucket) -> BTreeSet<Lack> {
    let (key, content) = (key_of_ours(), Bytes::from(sample::smallest_pdf()));
    let with_checksums = bucket
        .client
        .config()
        .to_builder()
        .request_checksum_calculation(RequestChecksumCalculation::WhenSupported);
    let client = Client::from_conf(with_checksums.build());
    let put = |body: ByteStream| {
        let put = client.put_object().bucket(&bucket.name).key(&key).body(body);
        put.content_length(content.len() as i64).checksum_algorithm(ChecksumAlgorithm::Crc64Nvme).send()
    };
    let mut lacks = BTreeSet::new();
    // As a stream: what is in memory is sent with the checksum before it.
    let streamed = ByteStream::new(SdkBody::from_body_1_x(Full::new(content.clone())));
    if put(streamed).await.is_err() {
        lacks.insert(Lack::Trailer);
    }
    let is_put = put(content.clone().into()).await.is_ok();
    let head =
        bucket.client.head_object().bucket(&bucket.name).key(&key).checksum_mode(ChecksumMode::Enabled);
    let told = head.send().await.ok().and_then(|head| head.checksum_crc64_nvme);
    if !is_put || told.is_none() {
        lacks.insert(Lack::HeadChecksum);
    }
    bucket.delete(&key).await;
    lacks
}

async fn buckets(place: &Place) -> BTreeSet<Lack> {
    let mut lacks = BTreeSet::new();
    let stranger = Bucket::of(&wrong_keys(place));
    if stranger.client.head_bucket().bucket(&stranger.name).send().await.is_ok() {
        lacks.insert(Lack::Keys);
    }
    let nowhere = no_such_bucket(place);
    let client: Client = Bucket::of(&nowhere).client;
    let asked = client.head_bucket().bucket(&nowhere.bucket).send().await.expect_err("it does not exist");
    if asked.raw_response().is_none_or(|answer| answer.status().as_u16() != 404) {
        lacks.insert(Lack::HiddenBuckets);
    }
    lacks
}

async fn takes_unequal_parts(bucket: &Bucket) -> bool {
    let key = key_of_ours();
    let id = bucket.begin(&key).await;
    let mut parts = Vec::new();
    for (number, size) in (1..).zip([5 * MIB + 1, 5 * MIB, 1]) {
        parts.push(bucket.part(&key, &id, number, vec![0; size]).await);
    }
    let completes = bucket.completes(&key, &id, parts).await;
    if completes {
        bucket.delete(&key).await;
    } else {
        bucket.abort(&key, &id).await;
    }
    completes
}

/// The same place with a secret that is not its own.
pub fn wrong_keys(place: &Place) -> Place {
    let wrong = place.secret_key.chars().rev().collect();
    Place { secret_key: wrong, ..place.clone() }
}

/// A bucket at the same store that nobody has made.
pub fn no_such_bucket(place: &Place) -> Place {
    Place { bucket: format!("no-such-bucket-{:016x}", rand::random::<u64>()), ..place.clone() }
}

/// A key as the server makes them.
pub fn key_of_ours() -> String {
    format!(
        "supporting_documents/docs_file{:032x}{:032x}.pdf",
        rand::random::<u128>(),
        rand::random::<u128>()
    )
}
