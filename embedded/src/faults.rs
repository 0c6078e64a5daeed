//! What goes wrong below the protocol, in the protocol's words.

use std::io;

use s3s::{S3Error, S3ErrorCode};

/// 507 `StorageFull`, 500 `Corrupt` or 500 `InternalError`.
pub fn storage(error: io::Error) -> S3Error {
    let (code, status, message) = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => (
            S3ErrorCode::Custom("StorageFull".into()),
            http::StatusCode::INSUFFICIENT_STORAGE,
            "The store's disk is full.",
        ),
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => (
            S3ErrorCode::Custom("Corrupt".into()),
            http::StatusCode::INTERNAL_SERVER_ERROR,
            "The stored bytes do not match their checksum.",
        ),
        _ => (
            S3ErrorCode::InternalError,
            http::StatusCode::INTERNAL_SERVER_ERROR,
            "The store could not read or write its files.",
        ),
    };
    let mut fault = S3Error::with_message(code, message);
    fault.set_status_code(status);
    fault.set_source(Box::new(error));
    fault
}

/// A request body that failed on its way.
///
/// s3s keeps the types of these errors to itself; their text is all there is to tell them apart.
pub fn body(error: s3s::StdError) -> S3Error {
    let text = error.to_string();
    let mut fault = if text.contains("Sha256Mismatch") {
        S3Error::with_message(
            S3ErrorCode::Custom("XAmzContentSHA256Mismatch".into()),
            "The body does not match x-amz-content-sha256.",
        )
    } else if text.contains("SignatureMismatch") {
        S3Error::with_message(
            S3ErrorCode::SignatureDoesNotMatch,
            "A chunk of the body does not match its signature.",
        )
    } else {
        S3Error::with_message(S3ErrorCode::IncompleteBody, "The body ended early or is malformed.")
    };
    fault.set_status_code(http::StatusCode::BAD_REQUEST);
    fault.set_source(error);
    fault
}
