//! What the head of a request announces: read once, so that an upload does not keep the head itself.

use http::{HeaderMap, HeaderValue, header};
use wire::{CLIENT_ID_HEADER, FileType};

use crate::error::Failure;
use crate::ids::ClientId;

/// Headers, boundaries and text fields of a form, above its files, in bytes.
const FORM_OVERHEAD: u64 = 1024 * 1024;
/// Largest object that any S3 takes, in bytes: 10,000 parts of 5 GiB.
const LARGEST_OBJECT: u64 = 10_000 * (5 << 30);

/// The head of an upload request.
pub struct Announced {
    /// The watcher that it names.
    pub client: Result<Option<ClientId>, Failure>,
    pub content_type: Option<String>,
    /// Size headers, in the order of [`FileType::ALL`].
    pub sizes: [Result<Option<u64>, Failure>; 2],
    is_encoded: bool,
    length: Option<u64>,
}

impl Announced {
    #[must_use]
    pub fn read(headers: &HeaderMap) -> Self {
        let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
        Self {
            client: client(headers),
            content_type: content_type(headers),
            sizes: FileType::ALL.map(|file_type| declared_size(headers, file_type)),
            is_encoded: is_encoded(headers),
            length: length.and_then(|value| value.parse().ok()),
        }
    }

    /// The watcher that it names, if it does so rightly.
    #[must_use]
    pub fn client(&self) -> Option<&ClientId> {
        self.client.as_ref().ok()?.as_ref()
    }

    /// The bytes that it may bring at most, when files may be as large as `largest` says.
    #[must_use]
    pub fn most_bytes(&self, largest: impl Fn(FileType) -> u64) -> u64 {
        self.length.unwrap_or_else(|| largest_form(largest))
    }

    /// Files that it announces, one at least.
    #[must_use]
    pub fn files(&self) -> u32 {
        self.sizes.iter().filter(|size| matches!(size, Ok(Some(_)))).count().max(1) as u32
    }

    /// What can be refused before the body is asked for, when files may be as large as `largest` says, in bytes.
    ///
    /// # Errors
    /// The failure, and of which file it is, if of one.
    pub fn check(&self, largest: impl Fn(FileType) -> u64) -> Result<(), (Option<FileType>, Failure)> {
        for (file_type, size) in FileType::ALL.into_iter().zip(self.sizes) {
            match size {
                Err(failure) => return Err((None, failure)),
                Ok(Some(size)) if size > LARGEST_OBJECT => {
                    return Err((Some(file_type), Failure::SizeExceeded));
                }
                Ok(Some(size)) if size > largest(file_type) => {
                    return Err((Some(file_type), Failure::TooLarge));
                }
                Ok(_) => {}
            }
        }
        if self.is_encoded {
            return Err((None, Failure::NotMultipart));
        }
        if self.length.is_some_and(|length| length > largest_form(largest)) {
            return Err((None, Failure::SizeExceeded));
        }
        Ok(())
    }
}

/// The largest form, in bytes.
fn largest_form(largest: impl Fn(FileType) -> u64) -> u64 {
    FileType::ALL.into_iter().map(largest).fold(FORM_OVERHEAD, u64::saturating_add)
}

/// More than one are a list (RFC 9110, 5.3), and a list is no form's type.
fn content_type(headers: &HeaderMap) -> Option<String> {
    let values = headers.get_all(header::CONTENT_TYPE).iter();
    let values: Vec<_> = values.map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
    (!values.is_empty()).then(|| values.join(", "))
}

/// Whether the body is coded in any way beneath its chunks.
fn is_encoded(headers: &HeaderMap) -> bool {
    let is = |value: &HeaderValue, coding: &str| value.as_bytes().eq_ignore_ascii_case(coding.as_bytes());
    let mut transfer = headers.get_all(header::TRANSFER_ENCODING).iter();
    headers.get_all(header::CONTENT_ENCODING).iter().any(|value| !is(value, "identity"))
        || transfer.next().is_some_and(|value| !is(value, "chunked"))
        || transfer.next().is_some()
}

fn client(headers: &HeaderMap) -> Result<Option<ClientId>, Failure> {
    let mut values = headers.get_all(CLIENT_ID_HEADER).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Failure::ClientIdInvalid);
    }
    let text = value.to_str().map_err(|_| Failure::ClientIdInvalid)?;
    ClientId::parse(text).map(Some)
}

/// Reads a size header: absent, or one plain decimal.
fn declared_size(headers: &HeaderMap, file_type: FileType) -> Result<Option<u64>, Failure> {
    let mut values = headers.get_all(file_type.size_header()).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() || !value.as_bytes().iter().all(u8::is_ascii_digit) {
        return Err(Failure::SizeInvalid);
    }
    let text = value.to_str().map_err(|_| Failure::SizeInvalid)?;
    text.parse().map(Some).map_err(|_| Failure::SizeInvalid)
}
