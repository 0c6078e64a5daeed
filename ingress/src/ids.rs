//! Names of watchers, uploads and pages, checked once at the edge.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use rand::TryRngCore;
use rand::rngs::OsRng;
use sha2::Sha256;

use crate::error::Failure;

const MAX_CLIENT_ID: usize = 128;
/// Prefix of the ids that the server gives to pages; they belong to one session.
const PAGE_PREFIX: &str = "p_";

/// Who watches an upload: `[A-Za-z0-9_-]{1,128}`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClientId(String);

impl ClientId {
    /// # Errors
    /// `client_id_invalid`.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if (1..=MAX_CLIENT_ID).contains(&text.len()) && text.bytes().all(legal) {
            Ok(Self(text.to_owned()))
        } else {
            Err(Failure::ClientIdInvalid)
        }
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One upload: 128 random bits as 22 base64url characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UploadId(String);

impl UploadId {
    #[must_use]
    pub fn random() -> Self {
        Self(URL_SAFE_NO_PAD.encode(random_bytes::<16>()))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What logs may show.
    #[must_use]
    pub fn short(&self) -> &str {
        &self.0[..8]
    }
}

impl fmt::Display for UploadId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Bytes from the operating system's generator.
#[must_use]
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    OsRng.try_fill_bytes(&mut bytes).expect("the operating system's random generator works");
    bytes
}

/// Binds pages' client ids to their sessions, so that any replica with the same secret can tell.
#[derive(Clone)]
pub struct PageIds {
    key: Hmac<Sha256>,
}

impl PageIds {
    #[must_use]
    pub fn new(secret: &[u8]) -> Self {
        Self { key: Hmac::new_from_slice(secret).expect("HMAC takes keys of any length") }
    }

    /// A new session: 128 random bits.
    #[must_use]
    pub fn new_session() -> String {
        URL_SAFE_NO_PAD.encode(random_bytes::<16>())
    }

    /// A new client id that belongs to `session`.
    #[must_use]
    pub fn issue(&self, session: &str) -> ClientId {
        let random = random_bytes::<16>();
        let mut bytes = random.to_vec();
        bytes.extend_from_slice(&self.signature(&random, session));
        ClientId(format!("{PAGE_PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes)))
    }

    fn signature(&self, random: &[u8], session: &str) -> Vec<u8> {
        let mut mac = self.key.clone();
        mac.update(random);
        mac.update(session.as_bytes());
        mac.finalize().into_bytes().to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_ids_are_short_and_plain() {
        for good in ["a", "8928y4yf3y", "A-_9", &"x".repeat(128)] {
            assert_eq!(ClientId::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "a b", "a.b", "*", ">", "ä", "a\n", &"x".repeat(129)] {
            assert!(ClientId::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn issued_ids_are_legal_client_ids_and_differ() {
        let ids = PageIds::new(b"secret");
        let (first, second) = (ids.issue("s"), ids.issue("s"));
        assert_ne!(first, second);
        assert!(ClientId::parse(first.as_str()).is_ok());
        assert_eq!(UploadId::random().as_str().len(), 22);
    }
}
