//! What is kept about an object, an open upload and a part; written as JSON at the end of their files.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// An object that can be read.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ObjectRecord {
    pub key: String,
    /// Bytes of the whole object, wherever they lie.
    pub size: u64,
    /// Without quotes.
    pub etag: String,
    /// Of the whole object.
    pub crc64nvme: u64,
    pub modified_ms: u64,
    pub headers: Headers,
    /// Where the bytes are, when they are not in the object's own file.
    pub pieces: Option<Pieces>,
}

/// The parts of a completed upload, in the upload's directory, in order.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Pieces {
    pub upload_id: String,
    pub parts: Vec<Piece>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    pub number: u16,
    pub size: u64,
}

/// A multipart upload that is neither completed nor aborted.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UploadRecord {
    pub key: String,
    pub initiated_ms: u64,
    pub headers: Headers,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PartRecord {
    pub number: u16,
    pub size: u64,
    pub md5: [u8; 16],
    pub crc64nvme: u64,
    pub modified_ms: u64,
    /// Those the client sent with the part, verified.
    pub checksums: Checksums,
}

/// The headers that come back with the object as they were given.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Headers {
    pub content_type: Option<String>,
    pub content_disposition: Option<String>,
    pub content_encoding: Option<String>,
    pub content_language: Option<String>,
    pub cache_control: Option<String>,
    pub metadata: BTreeMap<String, String>,
}

/// Base64 of the big-endian digest, as S3 writes them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Checksums {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crc32: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crc32c: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crc64nvme: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha1: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

impl Checksums {
    /// The five values by the names S3's headers give them.
    pub fn named(&self) -> [(&'static str, Option<&String>); 5] {
        [
            ("crc32", self.crc32.as_ref()),
            ("crc32c", self.crc32c.as_ref()),
            ("crc64nvme", self.crc64nvme.as_ref()),
            ("sha1", self.sha1.as_ref()),
            ("sha256", self.sha256.as_ref()),
        ]
    }

    pub fn is_empty(&self) -> bool {
        self.named().iter().all(|(_, value)| value.is_none())
    }

    /// The first algorithm for which `self` has a value and `computed` has not the same.
    pub fn mismatch(&self, computed: &Checksums) -> Option<&'static str> {
        self.named()
            .into_iter()
            .zip(computed.named())
            .find(|((_, claimed), (_, found))| claimed.is_some() && claimed != found)
            .map(|((name, _), _)| name)
    }
}

pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

pub fn time_of(ms: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(ms)
}
