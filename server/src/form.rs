//! A multipart form becomes files: field, name and bytes, one after the other, as they arrive.
//!
//! multer does the parsing. It reads its source for as long as that is ready and looks for headers
//! without bound, so the body reaches it through [`Guarded`]: one chunk a poll, limits on what is
//! not file content, and the clocks that run only while we wait for the client (FACTS.md 4).

mod guard;

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::task::Poll;

use app::wire::FileType;
use bytes::Bytes;
use multer::{Field, Multipart};

use crate::error::Failure;
use crate::kind;
pub use guard::{BodyStream, Patience, RequestBody};
use guard::{Guarded, MAX_BOUNDARY, MAX_PART_HEADER, Tap};

/// Text fields of a form, names and values together. They are ignored, so this is generous.
const MAX_TEXT: usize = 64 * 1024;
/// Parts of a form; Django's cap on fields.
const MAX_FIELDS: usize = 1000;

/// A file part's head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileHead {
    pub file_type: FileType,
    /// Without path and escapes; `None` when the part has none.
    pub name: Option<String>,
}

/// The form of one request.
pub struct Form {
    multipart: Multipart<'static>,
    tap: Arc<Tap>,
    delimiter: Vec<u8>,
    field: Option<Field<'static>>,
    /// The part after the current file, when [`Form::end_of_file`] has already met it.
    next: Option<multer::Result<Option<Field<'static>>>>,
    /// The current file's first bytes, read to tell an empty input from a file.
    first: Option<Bytes>,
    parts: usize,
    text: usize,
    seen: Vec<(String, bool)>,
}

impl Form {
    /// Opens the form that `content_type` describes.
    ///
    /// # Errors
    /// `not_multipart`, `bad_boundary`.
    pub fn open(content_type: Option<&str>, body: RequestBody, patience: Patience) -> Result<Self, Failure> {
        let boundary = boundary(content_type)?;
        let tap = Arc::new(Tap::default());
        let guarded = Guarded::new(body, Arc::clone(&tap), patience);
        Ok(Self {
            delimiter: format!("\r\n--{boundary}").into_bytes(),
            multipart: Multipart::new(guarded, boundary),
            tap,
            field: None,
            next: None,
            first: None,
            parts: 0,
            text: 0,
            seen: Vec::new(),
        })
    }

    /// True while we wait for the client, and for nothing else.
    #[must_use]
    pub fn waits_for_client(&self) -> Arc<AtomicBool> {
        self.tap.waiting()
    }

    /// The next file of the form; text fields and inputs left empty are passed over.
    ///
    /// # Errors
    /// Whatever is wrong with the form; it cannot be read on after that.
    pub async fn next_file(&mut self) -> Result<Option<FileHead>, Failure> {
        while let Some(field) = self.next_field().await? {
            self.parts += 1;
            check_header(&field)?;
            if self.parts > MAX_FIELDS {
                return Err(Failure::FormTooLarge);
            }
            let name = field.name().unwrap_or_default().to_owned();
            let Some(file_name) = field.file_name().map(kind::file_name_from_header) else {
                self.pass_over_text(name, field).await?;
                continue;
            };
            self.field = Some(field);
            self.tap.in_file(true);
            self.first = self.read().await?;
            if file_name.is_empty() && self.first.is_none() {
                self.end_of_file().await?;
                continue;
            }
            let file_type = FileType::ALL.into_iter().find(|file| file.field() == name);
            let file_type = file_type.ok_or(Failure::UnknownField)?;
            self.note_name(name, true)?;
            return Ok(Some(FileHead { file_type, name: Some(file_name).filter(|name| !name.is_empty()) }));
        }
        Ok(None)
    }

    /// The current file's next bytes; `None` once its delimiter has begun.
    ///
    /// # Errors
    /// As [`Form::next_file`].
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Failure> {
        match self.first.take() {
            Some(first) => Ok(Some(first)),
            None => self.read().await,
        }
    }

    /// Waits until the current file's delimiter is complete: from here on the file has arrived.
    ///
    /// # Errors
    /// As [`Form::next_file`].
    pub async fn end_of_file(&mut self) -> Result<(), Failure> {
        self.field = None;
        self.tap.in_file(false);
        poll_fn(|context| {
            if self.next.is_none()
                && let Poll::Ready(next) = self.multipart.poll_next_field(context)
            {
                self.next = Some(next);
            }
            match &self.next {
                Some(Ok(_)) => Poll::Ready(Ok(())),
                _ if self.tap.delimiter_seen(&self.delimiter) => Poll::Ready(Ok(())),
                Some(Err(error)) => Poll::Ready(Err(self.failure(error))),
                None => Poll::Pending,
            }
        })
        .await
    }

    async fn read(&mut self) -> Result<Option<Bytes>, Failure> {
        let Some(field) = &mut self.field else { return Ok(None) };
        loop {
            let chunk = field.chunk().await;
            match chunk {
                Ok(Some(bytes)) if bytes.is_empty() => {}
                Ok(chunk) => return Ok(chunk),
                Err(error) => return Err(self.failure(&error)),
            }
        }
    }

    async fn next_field(&mut self) -> Result<Option<Field<'static>>, Failure> {
        self.field = None;
        let next = match self.next.take() {
            Some(next) => next,
            None => self.multipart.next_field().await,
        };
        self.tap.found();
        next.map_err(|error| self.failure(&error))
    }

    async fn pass_over_text(&mut self, name: String, mut field: Field<'static>) -> Result<(), Failure> {
        self.text += name.len();
        self.note_name(name, false)?;
        self.tap.in_file(true);
        while let Some(chunk) = field.chunk().await.map_err(|error| self.failure(&error))? {
            self.text += chunk.len();
            if self.text > MAX_TEXT {
                return Err(Failure::FormTooLarge);
            }
        }
        self.tap.in_file(false);
        Ok(())
    }

    /// A file's field may come once, and not as text besides.
    fn note_name(&mut self, name: String, is_file: bool) -> Result<(), Failure> {
        let is_file_field = FileType::ALL.iter().any(|file| file.field() == name);
        if self.seen.iter().any(|(seen, was_file)| *seen == name && (is_file || *was_file)) {
            return Err(Failure::DuplicateField);
        }
        if is_file_field {
            self.seen.push((name, is_file));
        }
        Ok(())
    }

    fn failure(&self, error: &multer::Error) -> Failure {
        if let multer::Error::StreamReadFailed(cause) = error {
            return cause.downcast_ref::<Failure>().copied().unwrap_or(Failure::ClientGone);
        }
        let ended = self.tap.has_ended();
        match error {
            multer::Error::IncompleteFieldData { .. } => Failure::Truncated,
            multer::Error::IncompleteStream
                if ended && self.parts == 0 && !self.tap.any(&self.delimiter[2..]) =>
            {
                Failure::NoFile
            }
            multer::Error::IncompleteStream if ended => Failure::Truncated,
            multer::Error::IncompleteStream => Failure::BadBoundary,
            _ => Failure::BadPartHeader,
        }
    }
}

/// Takes the boundary out of a Content-Type.
fn boundary(content_type: Option<&str>) -> Result<String, Failure> {
    let content_type = content_type.ok_or(Failure::NotMultipart)?;
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("multipart/form-data") {
        return Err(Failure::NotMultipart);
    }
    let boundary = multer::parse_boundary(content_type).map_err(|_| Failure::BadBoundary)?;
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&byte);
    if boundary.is_empty()
        || boundary.len() > MAX_BOUNDARY
        || boundary.ends_with(' ')
        || !boundary.bytes().all(legal)
    {
        return Err(Failure::BadBoundary);
    }
    Ok(boundary)
}

/// Refuses headers that are too long, and encodings a browser never uses: the bytes are stored as they come.
fn check_header(field: &Field<'_>) -> Result<(), Failure> {
    let headers = field.headers();
    let length: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    let encoding =
        headers.get("content-transfer-encoding").map(|value| value.as_bytes().to_ascii_lowercase());
    let verbatim =
        encoding.is_none_or(|encoding| matches!(encoding.as_slice(), b"7bit" | b"8bit" | b"binary"));
    let nested = field.content_type().is_some_and(|mime| mime.type_() == "multipart");
    if length > MAX_PART_HEADER || !verbatim || nested || field.name().is_none() {
        return Err(Failure::BadPartHeader);
    }
    Ok(())
}
