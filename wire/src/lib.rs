//! Every type that crosses the network between browser, server and other programs.
//!
//! The member order of [`FileMessage`] is part of the contract: clients of the service this one
//! replaces read the first four. Sizes are bytes, times milliseconds.

use serde::{Deserialize, Serialize};
#[cfg(feature = "openapi")]
use utoipa::ToSchema;

/// Header with the declared size of the document, in bytes.
pub const DOCUMENT_SIZE_HEADER: &str = "x-docs-filesize";
/// Header with the declared size of the image, in bytes.
pub const IMAGE_SIZE_HEADER: &str = "x-image-filesize";
/// Header that names the watcher of an upload.
pub const CLIENT_ID_HEADER: &str = "x-client-id";

/// Form field of the document.
pub const DOCUMENT_FIELD: &str = "docs_field";
/// Form field of the image.
pub const IMAGE_FIELD: &str = "msa_imgs";

/// Which of the two files a message speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum FileType {
    /// The document (`docs_field`).
    DocsFile,
    /// The image (`msa_imgs`).
    MsaImgs,
}

impl FileType {
    /// Both, in the order in which the page shows them.
    pub const ALL: [Self; 2] = [Self::DocsFile, Self::MsaImgs];

    /// Its place in [`FileType::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The form field that carries this file.
    #[must_use]
    pub const fn field(self) -> &'static str {
        match self {
            Self::DocsFile => DOCUMENT_FIELD,
            Self::MsaImgs => IMAGE_FIELD,
        }
    }

    /// The request header that declares this file's size.
    #[must_use]
    pub const fn size_header(self) -> &'static str {
        match self {
            Self::DocsFile => DOCUMENT_SIZE_HEADER,
            Self::MsaImgs => IMAGE_SIZE_HEADER,
        }
    }
}

/// How far a file is. `completed` and `error` are terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Bytes are still arriving.
    Buffering,
    /// Everything was received; the store has not confirmed yet.
    Processing,
    /// The store has confirmed the whole object.
    Completed,
    /// The file was not stored; `code` says why.
    Error,
}

impl Status {
    /// Whether nothing can follow.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Error)
    }
}

/// What an upload without movement waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Waiting {
    /// No byte comes from the browser.
    Client,
    /// The store takes or confirms nothing.
    Storage,
    /// A failed part waits for its next attempt.
    Retry,
}

/// A part on its way to the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
pub struct ActivePart {
    /// Part number, from 1.
    pub part: u32,
    /// Bytes the store connection took in this attempt.
    pub sent: u64,
    /// From 1.
    pub attempt: u32,
}

/// The whole state of one file, never a delta: a lost, late or repeated message does no harm.
///
/// Always `stored <= sent <= received <= total`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
pub struct FileMessage {
    pub file_type: FileType,
    pub status: Status,
    /// Percent of `total` sent to the store, floored; 100 only once the store has confirmed.
    pub progress: u8,
    /// A sentence for people.
    pub message: String,
    pub upload_id: String,
    /// Rises with every new state of this file.
    pub seq: u64,
    /// Bytes of the file that the server has read.
    pub received: u64,
    /// Of these, what the connection to the store has taken.
    pub sent: u64,
    /// Of these, what is in parts that the store has confirmed.
    pub stored: u64,
    /// Size of the file; `null` while unknown.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub total: Option<u64>,
    /// Size of every part but the last; `null` while `total` is.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub part_size: Option<u64>,
    /// `null` while `total` is.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub parts: Option<u32>,
    pub parts_stored: u32,
    /// One digit a part: 0 empty, 1 sending, 2 sent, 3 stored, 4 retrying; `null` above 40 parts.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub part_states: Option<String>,
    /// Parts on their way, eight at most.
    pub active: Vec<ActivePart>,
    /// Set after 2 s without movement.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub waiting: Option<Waiting>,
    pub retries: u32,
    /// Milliseconds since the request's head.
    pub at_ms: u64,
    /// Stable error code; only with the status `error`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Object key; only in snapshots for whoever owns the upload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Where the object can be fetched by whoever has this link, for a while.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
}

/// A digit of [`FileMessage::part_states`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartState {
    Empty,
    Sending,
    /// All bytes are on their way; the store has not answered.
    Sent,
    Stored,
    /// An attempt failed; the next one is under way or due.
    Retrying,
}

impl PartState {
    /// The state's digit on the wire.
    #[must_use]
    pub const fn digit(self) -> char {
        match self {
            Self::Empty => '0',
            Self::Sending => '1',
            Self::Sent => '2',
            Self::Stored => '3',
            Self::Retrying => '4',
        }
    }

    /// The state a digit stands for.
    #[must_use]
    pub const fn from_digit(digit: char) -> Option<Self> {
        match digit {
            '0' => Some(Self::Empty),
            '1' => Some(Self::Sending),
            '2' => Some(Self::Sent),
            '3' => Some(Self::Stored),
            '4' => Some(Self::Retrying),
            _ => None,
        }
    }
}

/// Most parts whose states a message spells out.
pub const MAX_PART_STATES: u32 = 40;

/// The one message a client may send over the socket: `{"cancel":"<upload_id>"}`, and nothing besides.
///
/// An enum, since of a struct serde would also take the members without their names: `["<upload_id>"]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientMessage {
    /// Id of the upload to end.
    Cancel(String),
}

/// Answer of `GET /uploads/{upload_id}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
pub struct Snapshot {
    pub upload_id: String,
    pub files: Vec<FileMessage>,
}

/// What became of one file of the form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The object is in the store, whole.
    Stored,
    /// Nothing of the file is in the store; `code` says why.
    Failed,
    /// The server had stopped reading before the file came.
    NotReceived,
    /// The store vanished before it could be asked.
    Unknown,
}

/// One file in the answer of `POST /upload`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
pub struct FileOutcome {
    /// Form field.
    pub field: String,
    pub outcome: Outcome,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Where the object can be fetched by whoever has this link, for a while.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// Base64 of the big-endian CRC64NVME, as S3 writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checksum_crc64nvme: Option<String>,
}

impl FileOutcome {
    /// Only that it ended so.
    #[must_use]
    pub fn new(file_type: FileType, outcome: Outcome) -> Self {
        Self {
            field: file_type.field().to_owned(),
            outcome,
            code: None,
            key: None,
            link: None,
            size: None,
            content_type: None,
            etag: None,
            checksum_crc64nvme: None,
        }
    }
}

/// Answer of `POST /upload` when every file is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
pub struct UploadAnswer {
    pub upload_id: String,
    pub files: Vec<FileOutcome>,
}

/// An RFC 9457 problem, the answer to everything that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
pub struct Problem {
    /// Always `about:blank`: `code` is the stable name.
    #[serde(rename = "type")]
    pub problem_type: String,
    pub title: String,
    pub status: u16,
    /// A sentence for people.
    pub detail: String,
    pub code: String,
    /// Whether the same request may succeed later.
    pub retryable: bool,
    /// Form field of the first file that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload_id: Option<String>,
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(required))]
    pub files: Vec<FileOutcome>,
}
