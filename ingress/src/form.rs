//! A multipart form becomes files: field, name and bytes, one after the other, as they arrive.
//!
//! [`scanner`] takes the body apart, [`head`] reads what a part says of itself ([`parameters`] how), [`body`] keeps
//! the clocks.

mod body;
mod head;
mod parameters;
mod scanner;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use bytes::Bytes;
use wire::FileType;

use crate::error::Failure;
use crate::kind;
use crate::peer::Patience;
pub use body::BodyStream;
use body::Reader;
use head::PartHead;
use parameters::Parameters;
use scanner::{Found, Scanner};

/// Text fields of a form, names and values together, in bytes. They are ignored, so this is generous.
const MAX_TEXT: usize = 64 * 1024;
/// Parts of a form; Django's cap on fields.
const MAX_FIELDS: usize = 1000;
/// Longest boundary, in bytes (RFC 2046, section 5.1.1).
const MAX_BOUNDARY: usize = 70;

/// A file part's head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileHead {
    pub file_type: FileType,
    /// Without path and escapes; `None` when the part has none.
    pub name: Option<String>,
}

/// The form of one request.
pub struct Form {
    reader: Reader,
    scanner: Scanner,
    /// The current file's first bytes, read to tell an empty input from a file.
    first: Option<Bytes>,
    /// The current file's delimiter has come.
    is_over: bool,
    parts: usize,
    text: usize,
    seen: Vec<(String, bool)>,
}

impl Form {
    /// Opens the form that `content_type` describes.
    ///
    /// # Errors
    /// `not_multipart`, `bad_boundary`.
    pub fn open(content_type: Option<&str>, body: BodyStream, patience: Patience) -> Result<Self, Failure> {
        Ok(Self {
            scanner: Scanner::new(&boundary(content_type)?),
            reader: Reader::new(body, patience),
            first: None,
            is_over: false,
            parts: 0,
            text: 0,
            seen: Vec::new(),
        })
    }

    /// True while we wait for the client, and for nothing else.
    #[must_use]
    pub fn waits_for_client(&self) -> Arc<AtomicBool> {
        self.reader.waiting()
    }

    /// The next file of the form; text fields and inputs left empty are passed over.
    ///
    /// # Errors
    /// Whatever is wrong with the form; it cannot be read on after that.
    pub async fn next_file(&mut self) -> Result<Option<FileHead>, Failure> {
        while let Some(PartHead { name, file_name }) = self.next_part().await? {
            self.parts += 1;
            if self.parts > MAX_FIELDS {
                return Err(Failure::FormTooLarge);
            }
            let Some(file_name) = file_name.as_deref().map(kind::file_name_from_header) else {
                self.pass_over_text(name).await?;
                continue;
            };
            self.first = self.read().await?;
            if file_name.is_empty() && self.first.is_none() {
                continue;
            }
            let file_type = FileType::ALL.into_iter().find(|file| file.field() == name);
            let file_type = file_type.ok_or(Failure::UnknownField)?;
            self.note_name(name, true)?;
            return Ok(Some(FileHead { file_type, name: Some(file_name).filter(|name| !name.is_empty()) }));
        }
        Ok(None)
    }

    /// The current file's next bytes; `None` once its delimiter is complete: from then on the file has arrived.
    ///
    /// # Errors
    /// As [`Form::next_file`].
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Failure> {
        match self.first.take() {
            Some(first) => Ok(Some(first)),
            None => self.read().await,
        }
    }

    async fn read(&mut self) -> Result<Option<Bytes>, Failure> {
        if self.is_over {
            return Ok(None);
        }
        match self.found().await? {
            Found::Content(bytes) => Ok(Some(bytes)),
            _ => {
                self.is_over = true;
                Ok(None)
            }
        }
    }

    async fn next_part(&mut self) -> Result<Option<PartHead>, Failure> {
        match self.found().await? {
            Found::Head(lines) => {
                self.is_over = false;
                PartHead::parse(&lines).map(Some)
            }
            _ => Ok(None),
        }
    }

    async fn found(&mut self) -> Result<Found, Failure> {
        loop {
            if let Some(found) = self.scanner.next()? {
                return Ok(found);
            }
            let chunk = self.reader.next().await?;
            self.scanner.feed(chunk.ok_or_else(|| self.scanner.cut_short())?);
        }
    }

    async fn pass_over_text(&mut self, name: String) -> Result<(), Failure> {
        self.text += name.len();
        self.note_name(name, false)?;
        while let Some(chunk) = self.read().await? {
            self.text += chunk.len();
            if self.text > MAX_TEXT {
                return Err(Failure::FormTooLarge);
            }
        }
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
}

/// Takes the boundary out of a Content-Type.
fn boundary(content_type: Option<&str>) -> Result<String, Failure> {
    let content_type = content_type.ok_or(Failure::NotMultipart)?;
    // A form's type is known even where its parameters cannot be read.
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("multipart/form-data") {
        return Err(Failure::NotMultipart);
    }
    let parameters = Parameters::parse(content_type).ok_or(Failure::BadBoundary)?;
    let boundary = parameters.get("boundary").ok_or(Failure::BadBoundary)?;
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&byte);
    if boundary.is_empty()
        || boundary.len() > MAX_BOUNDARY
        || boundary.ends_with(' ')
        || !boundary.bytes().all(legal)
    {
        return Err(Failure::BadBoundary);
    }
    Ok(boundary.to_owned())
}
