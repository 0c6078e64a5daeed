//! Names of watchers, uploads and pages, checked once at the edge.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::TryRngCore;
use rand::rngs::OsRng;

use crate::error::Failure;

/// Longest id, in bytes: twice a UUID and more, while what the hub keeps of each stays small.
const MAX_CLIENT_ID: usize = 128;
/// Prefix of the ids that the server gives to pages; they belong to one session.
const PAGE_PREFIX: &str = "p_";
/// What follows it: 16 random bytes and 32 of a signature, in base64url.
const PAGE_BYTES: usize = 48;

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

    /// The id of a page: random bytes, and the signature that binds them to a session.
    #[must_use]
    pub fn of_page(random: &[u8], signature: &[u8]) -> Self {
        Self(format!("{PAGE_PREFIX}{}", URL_SAFE_NO_PAD.encode([random, signature].concat())))
    }

    /// What [`ClientId::of_page`] was made of; `None` for a program's id.
    #[must_use]
    pub fn page_parts(&self) -> Option<Vec<u8>> {
        let bytes = URL_SAFE_NO_PAD.decode(self.0.strip_prefix(PAGE_PREFIX)?).ok()?;
        (bytes.len() == PAGE_BYTES).then_some(bytes)
    }

    /// Whether it looks as the server makes them for pages: then it belongs to a session, or to nobody.
    #[must_use]
    pub fn is_of_a_page(&self) -> bool {
        self.page_parts().is_some()
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
    fn ids_of_pages_are_legal_and_known_by_their_shape() {
        let page = ClientId::of_page(&[1; 16], &[2; 32]);
        assert!(page.is_of_a_page() && ClientId::parse(page.as_str()).is_ok());
        for program in ["p_", "p_x", "8928y4yf3y", &page.as_str()[2..], &page.as_str()[..65]] {
            assert!(!ClientId::parse(program).unwrap().is_of_a_page(), "{program}");
        }
        assert_eq!(UploadId::random().as_str().len(), 22);
    }
}
