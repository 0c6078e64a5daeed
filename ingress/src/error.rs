//! What can go wrong with an upload: one enum by meaning, one table to status, code and sentence.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use wire::{FileOutcome, FileType, Problem};

/// The enum, and the list of what is in it.
macro_rules! failures {
    ($($failure:ident,)+) => {
        /// Why a file, or the whole request, failed. The first failure of an upload is the one that is told.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
        #[error("{}", self.code())]
        pub enum Failure {
            $($failure,)+
        }

        impl Failure {
            /// All there are.
            pub const ALL: &[Self] = &[$(Self::$failure,)+];
        }
    };
}

failures! {
    // The request
    NotMultipart,
    BadBoundary,
    BadPartHeader,
    BadChunk,
    Truncated,
    ClientGone,
    ReadTimeout,
    ClientIdInvalid,
    ClientIdMissing,
    HostInvalid,
    MethodNotAllowed,
    UpgradeRequired,
    NotFound,
    OriginRefused,
    ClientIdForeign,
    RateLimited,
    // The form
    UnknownField,
    DuplicateField,
    NoFile,
    FormTooLarge,
    FileMissing,
    // Sizes
    SizeInvalid,
    SizeMismatch,
    SizeExceeded,
    TooLarge,
    EmptyFile,
    // Types
    WrongFieldType,
    TypeMismatch,
    Macros,
    TooManyPixels,
    // The store
    StorageBusy,
    StorageUnreachable,
    StorageTimeout,
    StorageRejected,
    StorageConfig,
    StorageFull,
    Integrity,
    UploadLost,
    ReplayUnavailable,
    // This server
    Busy,
    ServerShutdown,
    Cancelled,
    UploadUnknown,
    UploadFinished,
    Internal,
}

impl Failure {
    /// Status, stable code, whether the same request may succeed later, and the sentence for people.
    const fn row(self) -> (u16, &'static str, bool, &'static str) {
        match self {
            Self::NotMultipart => (415, "not_multipart", false, "Send the files as multipart/form-data."),
            Self::BadBoundary => (400, "bad_boundary", false, "The form's boundary is missing or not valid."),
            Self::BadPartHeader => {
                (400, "bad_part_header", false, "A part of the form has a header that cannot be read.")
            }
            Self::BadChunk => (400, "bad_chunk", false, "The upload's chunks cannot be read."),
            Self::Truncated => (
                400,
                "truncated",
                true,
                "The upload was cut short. Nothing of this file was stored. Try again.",
            ),
            Self::ClientGone => (
                400,
                "client_gone",
                true,
                "The upload stopped before it finished. Nothing of this file was stored. Try again.",
            ),
            Self::ReadTimeout => (
                408,
                "read_timeout",
                true,
                "The connection stalled. Nothing of this file was stored. Try again.",
            ),
            Self::ClientIdInvalid => (
                400,
                "client_id_invalid",
                false,
                "The client id must be 1 to 128 letters, digits, '-' or '_'.",
            ),
            Self::ClientIdMissing => (400, "client_id_invalid", false, "Give a client_id."),
            Self::HostInvalid => (400, "host_invalid", false, "The request must name one host."),
            Self::MethodNotAllowed => {
                (405, "method_not_allowed", false, "This address does not take that method.")
            }
            Self::UpgradeRequired => {
                (426, "upgrade_required", false, "This address speaks WebSocket, version 13.")
            }
            Self::NotFound => (404, "not_found", false, "There is nothing at this address."),
            Self::OriginRefused => (403, "origin_refused", false, "This page may not use this server."),
            Self::ClientIdForeign => {
                (403, "client_id_foreign", false, "This page has been open for too long.")
            }
            Self::RateLimited => (429, "rate_limited", true, "That was too much at once. Try again later."),
            Self::UnknownField => {
                (400, "unknown_field", false, "The form has a file field that is not known here.")
            }
            Self::DuplicateField => (400, "duplicate_field", false, "Choose one file for each field."),
            Self::NoFile => (400, "no_file", false, "Choose a document or an image."),
            Self::FormTooLarge => {
                (413, "form_too_large", false, "The form has too many or too long text fields.")
            }
            Self::FileMissing => (400, "file_missing", false, "A file was announced but is not in the form."),
            Self::SizeInvalid => {
                (400, "size_invalid", false, "The size header must be one plain decimal number.")
            }
            Self::SizeMismatch => (
                400,
                "size_mismatch",
                true,
                "The file did not arrive whole. Nothing of it was stored. Try again.",
            ),
            Self::SizeExceeded => (
                413,
                "size_exceeded",
                false,
                "The file is larger than announced or allowed. Nothing of it was stored.",
            ),
            Self::TooLarge => (413, "too_large", false, "The file is larger than this server accepts."),
            Self::EmptyFile => (422, "empty_file", false, "The file is empty."),
            Self::WrongFieldType => {
                (415, "wrong_field_type", false, "A file of this type does not belong in this field.")
            }
            Self::TypeMismatch => (
                415,
                "type_mismatch",
                false,
                "The file's content is not of an accepted type, or not what its name says.",
            ),
            Self::Macros => (415, "macros", false, "The document contains macros. Save it without them."),
            Self::TooManyPixels => (
                422,
                "too_many_pixels",
                false,
                "The image has more pixels than this server accepts. Make it smaller.",
            ),
            Self::StorageBusy => (
                503,
                "storage_busy",
                true,
                "Storage is busy. Nothing of this file was stored. Try again in a minute.",
            ),
            Self::StorageUnreachable => {
                (503, "storage_unreachable", true, "Storage cannot be reached. Try again in a minute.")
            }
            Self::StorageTimeout => (
                504,
                "storage_timeout",
                true,
                "Storage did not answer. Nothing of this file was stored. Try again in a minute.",
            ),
            Self::StorageRejected => (
                502,
                "storage_rejected",
                true,
                "Storage refused the file. Nothing of it was stored. Try again.",
            ),
            Self::StorageConfig => (
                503,
                "storage_config",
                false,
                "The server may not write to its storage. This is not your file: tell whoever runs this service.",
            ),
            Self::StorageFull => (
                507,
                "storage_full",
                true,
                "Storage is full. This is not your file: tell whoever runs this service.",
            ),
            Self::Integrity => (
                502,
                "integrity",
                true,
                "Storage received something different from what you sent. Nothing of it was stored. Try again.",
            ),
            Self::UploadLost => (
                503,
                "upload_lost",
                true,
                "Storage lost the upload. Nothing of this file was stored. Try again.",
            ),
            Self::ReplayUnavailable => (
                503,
                "replay_unavailable",
                true,
                "Storage dropped a part that the server could not repeat. Nothing of this file was stored. Try again.",
            ),
            Self::Busy => (503, "busy", true, "The server is busy. Try again in a moment."),
            Self::ServerShutdown => (
                503,
                "server_shutdown",
                true,
                "The server is restarting. Nothing of this file was stored. Try again in a minute.",
            ),
            Self::Cancelled => (409, "cancelled", true, "Cancelled. Nothing of this file was stored."),
            Self::UploadUnknown => (404, "upload_unknown", false, "No such upload is known."),
            Self::UploadFinished => (409, "upload_finished", false, "The upload has already ended."),
            Self::Internal => {
                (500, "internal", true, "The upload failed. Nothing of this file was stored. Try again.")
            }
        }
    }

    /// The stable name for programs.
    #[must_use]
    pub const fn code(self) -> &'static str {
        self.row().1
    }

    /// The sentence for people.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        self.row().3
    }

    #[must_use]
    pub const fn is_retryable(self) -> bool {
        self.row().2
    }

    #[must_use]
    pub fn status(self) -> StatusCode {
        StatusCode::from_u16(self.row().0).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The problem document of this failure.
    #[must_use]
    pub fn problem(
        self,
        file: Option<FileType>,
        upload_id: Option<String>,
        files: Vec<FileOutcome>,
    ) -> Problem {
        let status = self.status();
        Problem {
            problem_type: "about:blank".to_owned(),
            title: status.canonical_reason().unwrap_or_default().to_owned(),
            status: status.as_u16(),
            detail: self.sentence().to_owned(),
            code: self.code().to_owned(),
            retryable: self.is_retryable(),
            file: file.map(|file| file.field().to_owned()),
            upload_id,
            files,
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        problem_response(&self.problem(None, None, Vec::new()))
    }
}

/// The status to answer a problem with.
#[must_use]
pub fn problem_status(problem: &Problem) -> StatusCode {
    StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// When to come again, in seconds, where nobody knows better: soon, but not with the next breath.
const RETRY_AFTER: &str = "5";

/// Writes a problem as `application/problem+json`; 429 and 503 carry `Retry-After`, 426 what to upgrade to.
#[must_use]
pub fn problem_response(problem: &Problem) -> Response {
    let status = problem_status(problem);
    let mut response = (status, Json(problem)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    match status {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER));
        }
        StatusCode::UPGRADE_REQUIRED => {
            headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        }
        _ => {}
    }
    response
}
