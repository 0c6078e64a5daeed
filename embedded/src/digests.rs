//! The digests of a body in one pass, and what the request claimed they would be.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use crc_fast::{CrcAlgorithm, Digest};
use s3s::checksum::ChecksumHasher;
use s3s::crypto::{Checksum as _, Crc32, Crc32c, Md5, Sha1, Sha256};
use s3s::{S3Result, TrailingHeaders, s3_error};

use super::records::Checksums;

/// What the request says its body is.
#[derive(Debug, Default)]
pub struct Claims {
    pub content_length: Option<i64>,
    /// Base64, as in the header.
    pub content_md5: Option<String>,
    pub checksums: Checksums,
    /// Algorithms whose checksum comes after the body.
    pub trailing: Vec<String>,
    pub trailers: Option<TrailingHeaders>,
}

impl Claims {
    fn names(&self, algorithm: &str) -> bool {
        let header = self.checksums.named();
        self.trailing.iter().any(|t| t == algorithm)
            || header.iter().any(|(n, v)| *n == algorithm && v.is_some())
    }

    /// # Errors
    /// `BadDigest`; `InvalidDigest` and `InvalidRequest` when a claim is none.
    pub fn check(&self, found: &Digests) -> S3Result<()> {
        let md5 = self.content_md5.as_deref().map(decode_md5).transpose()?;
        if md5.is_some_and(|md5| md5 != found.md5) {
            return Err(s3_error!(BadDigest, "The body does not match Content-MD5."));
        }
        let mut known = found.asked.clone();
        known.crc64nvme = Some(crc64_text(found.crc64nvme));
        for claimed in [&self.checksums, &self.trailing_checksums()?] {
            if let Some(name) = claimed.mismatch(&known) {
                return Err(s3_error!(BadDigest, "The body does not match its {name}."));
            }
        }
        Ok(())
    }

    fn trailing_checksums(&self) -> S3Result<Checksums> {
        let mut checksums = Checksums::default();
        for name in &self.trailing {
            let header = format!("x-amz-checksum-{name}");
            let read =
                |t: &TrailingHeaders| t.read(|headers| Some(headers.get(&header)?.to_str().ok()?.to_owned()));
            let value = self.trailers.as_ref().and_then(read).flatten();
            let slot = match name.as_str() {
                "crc32" => &mut checksums.crc32,
                "crc32c" => &mut checksums.crc32c,
                "crc64nvme" => &mut checksums.crc64nvme,
                "sha1" => &mut checksums.sha1,
                "sha256" => &mut checksums.sha256,
                _ => {
                    return Err(s3_error!(InvalidRequest, "The trailer {header} is not known."));
                }
            };
            if value.is_none() {
                return Err(s3_error!(InvalidRequest, "The trailer {header} is missing."));
            }
            *slot = value;
        }
        Ok(checksums)
    }
}

/// Of a whole body.
#[derive(Debug, Clone)]
pub struct Digests {
    pub md5: [u8; 16],
    pub crc64nvme: u64,
    /// The others, as far as they were claimed.
    pub asked: Checksums,
}

pub struct Hashing {
    md5: Md5,
    crc64nvme: Digest,
    asked: ChecksumHasher,
}

impl Hashing {
    pub fn new(claims: &Claims) -> Self {
        Self {
            md5: Md5::new(),
            crc64nvme: Digest::new(CrcAlgorithm::Crc64Nvme),
            asked: ChecksumHasher {
                crc32: claims.names("crc32").then(Crc32::new),
                crc32c: claims.names("crc32c").then(Crc32c::new),
                sha1: claims.names("sha1").then(Sha1::new),
                sha256: claims.names("sha256").then(Sha256::new),
                // Computed for every body, above.
                crc64nvme: None,
            },
        }
    }

    pub fn update(&mut self, bytes: &[u8]) {
        self.md5.update(bytes);
        self.crc64nvme.update(bytes);
        self.asked.update(bytes);
    }

    pub fn finish(self) -> Digests {
        let asked = self.asked.finalize();
        Digests {
            md5: self.md5.finalize(),
            crc64nvme: self.crc64nvme.finalize(),
            asked: Checksums {
                crc32: asked.checksum_crc32,
                crc32c: asked.checksum_crc32c,
                crc64nvme: None,
                sha1: asked.checksum_sha1,
                sha256: asked.checksum_sha256,
            },
        }
    }
}

pub fn crc64_text(crc: u64) -> String {
    BASE64.encode(crc.to_be_bytes())
}

fn decode_md5(text: &str) -> S3Result<[u8; 16]> {
    BASE64
        .decode(text)
        .ok()
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| s3_error!(InvalidDigest, "Content-MD5 is not an MD5 in base64."))
}
