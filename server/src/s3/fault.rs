//! What a store's answer, or its silence, means for us.

use std::error::Error;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::config::interceptors::InterceptorContext;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::result::DispatchFailure;
use aws_smithy_runtime_api::client::retries::classifiers::{ClassifyRetry, RetryAction};

use super::identity::has_expired;
use crate::error::Failure;

/// Whether another attempt can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    No,
    /// The data was damaged on the way: once more, not for ever.
    Once,
    Yes,
}

/// One failed call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    pub failure: Failure,
    pub retry: Retry,
    /// The connection broke, rather than the store refusing.
    pub connection: bool,
    /// The store has said that it did nothing.
    pub refused: bool,
}

impl Fault {
    pub const fn stalled() -> Self {
        Self { failure: Failure::StorageTimeout, retry: Retry::Yes, connection: false, refused: false }
    }

    pub const fn ended(failure: Failure) -> Self {
        Self { failure, retry: Retry::No, connection: false, refused: false }
    }

    /// The store holds something else than was sent.
    pub const fn damaged() -> Self {
        Self { failure: Failure::Integrity, retry: Retry::Once, connection: false, refused: false }
    }

    /// Reads a failed call of `operation`, and logs its whole chain once.
    pub fn read<E>(operation: &'static str, error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let code = code(error);
        let what = match code {
            "RequestTimeTooSkewed" => {
                "the store failed a call: the clock of this machine is wrong, or the store's is"
            }
            _ => "the store failed a call",
        };
        tracing::warn!(
            s3.operation = operation,
            s3.status = status(error),
            s3.code = code,
            // As a text it is escaped: a store may say anything, line ends included.
            error = causes(error),
            "{what}"
        );
        Self::of(error)
    }

    /// What a failed call means.
    pub fn of<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> Self {
        match error {
            SdkError::ConstructionFailure(_) => Self::ended(Failure::Internal),
            SdkError::TimeoutError(_) => Self::stalled(),
            SdkError::DispatchFailure(cause) if cause.is_user() => Self::ended(Failure::Internal),
            SdkError::DispatchFailure(cause) if never_left(cause) => Self::ended(Failure::StorageConfig),
            SdkError::DispatchFailure(_) => Self {
                failure: Failure::StorageUnreachable,
                retry: Retry::Yes,
                connection: true,
                refused: false,
            },
            _ => {
                let status = status(error);
                Self { refused: (300..500).contains(&status), ..Self::of_answer(status, code(error)) }
            }
        }
    }

    const fn yes(failure: Failure) -> Self {
        Self { failure, retry: Retry::Yes, connection: false, refused: false }
    }

    fn of_answer(status: u16, code: &str) -> Self {
        match (status, code) {
            (_, "SlowDown" | "ServiceUnavailable" | "TooManyRequests" | "Throttling") => {
                Self::yes(Failure::StorageBusy)
            }
            (_, "RequestTimeout") => Self { connection: true, ..Self::yes(Failure::StorageTimeout) },
            (_, "InternalError") => Self::yes(Failure::StorageRejected),
            (_, "NoSuchUpload") => Self::ended(Failure::UploadLost),
            // By the next attempt the SDK has fetched new keys, or taken the store's clock for its own.
            (_, "ExpiredToken" | "RequestTimeTooSkewed") => {
                Self { retry: Retry::Once, ..Self::yes(Failure::StorageConfig) }
            }
            (507, _) | (_, "StorageFull" | "XMinioStorageFull") => Self::ended(Failure::StorageFull),
            (_, "BadDigest" | "XAmzContentChecksumMismatch" | "XAmzContentSHA256Mismatch") => Self::damaged(),
            (503 | 429, _) => Self::yes(Failure::StorageBusy),
            (408, _) => Self::yes(Failure::StorageTimeout),
            (501, _) | (_, "NotImplemented") => Self::ended(Failure::StorageRejected),
            (500.., _) => Self::yes(Failure::StorageRejected),
            (300..=399 | 401 | 403, _) | (_, "NoSuchBucket" | "InvalidAccessKeyId") => {
                Self::ended(Failure::StorageConfig)
            }
            _ => Self::ended(Failure::StorageRejected),
        }
    }
}

/// 0 where there was no answer.
fn status<E>(error: &SdkError<E, HttpResponse>) -> u16 {
    error.raw_response().map_or(0, |response| response.status().as_u16())
}

/// As S3 calls the error; empty where it has no name.
fn code<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> &str {
    error.as_service_error().and_then(ProvideErrorMetadata::code).unwrap_or_default()
}

/// Whether the store has no such call at all.
pub fn is_unsupported<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    matches!(status(error), 405 | 501) || matches!(code(error), "NotImplemented" | "MethodNotAllowed")
}

/// The error and what caused it, in words. The SDK's own way to show them adds the store's whole answer, and that has
/// keys in it.
pub fn causes(error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| (**cause).source());
    causes.fold(error.to_string(), |words, cause| format!("{words}: {cause}"))
}

/// Whether the call failed in the SDK, before the connector: there are no keys to sign it with.
fn never_left(cause: &DispatchFailure) -> bool {
    let source = cause.as_connector_error().and_then(Error::source);
    cause.is_other() && !source.is_some_and(<dyn Error>::is::<hyper::Error>)
}

/// For the SDK's own retries: statuses that ask to come again, whatever code stands beside them, and a token for which
/// there is a newer one now.
#[derive(Debug)]
pub struct ComeAgain;

impl ClassifyRetry for ComeAgain {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        match context.response().map(|answer| answer.status().as_u16()) {
            _ if context.response().is_some_and(has_expired) => RetryAction::transient_error(),
            Some(429) => RetryAction::throttling_error(),
            Some(408) => RetryAction::transient_error(),
            _ => RetryAction::NoActionIndicated,
        }
    }

    fn name(&self) -> &'static str {
        "come again"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_have_a_meaning() {
        let meaning = |status, code| {
            let fault = Fault::of_answer(status, code);
            (fault.failure, fault.retry)
        };
        assert_eq!(meaning(503, "SlowDown"), (Failure::StorageBusy, Retry::Yes));
        assert_eq!(meaning(503, ""), (Failure::StorageBusy, Retry::Yes));
        assert_eq!(meaning(500, "InternalError"), (Failure::StorageRejected, Retry::Yes));
        assert_eq!(meaning(200, "InternalError"), (Failure::StorageRejected, Retry::Yes));
        assert_eq!(meaning(404, "NoSuchUpload"), (Failure::UploadLost, Retry::No));
        assert_eq!(meaning(404, "NoSuchBucket"), (Failure::StorageConfig, Retry::No));
        assert_eq!(meaning(403, "AccessDenied"), (Failure::StorageConfig, Retry::No));
        assert_eq!(meaning(301, "PermanentRedirect"), (Failure::StorageConfig, Retry::No));
        assert_eq!(meaning(403, "RequestTimeTooSkewed"), (Failure::StorageConfig, Retry::Once));
        assert_eq!(meaning(400, "BadDigest"), (Failure::Integrity, Retry::Once));
        assert_eq!(meaning(501, "NotImplemented"), (Failure::StorageRejected, Retry::No));
        assert_eq!(meaning(501, ""), (Failure::StorageRejected, Retry::No));
        assert_eq!(meaning(400, "InvalidPart"), (Failure::StorageRejected, Retry::No));
        assert_eq!(meaning(507, "StorageFull"), (Failure::StorageFull, Retry::No));
    }
}
