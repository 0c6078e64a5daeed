//! Document and image: what their bytes may be, and under which key and name they are stored.
//!
//! The field says what a file is, its bytes must agree. This is for honest mistakes and for a stored
//! Content-Type that is true, not for safety: objects are served as attachments.

mod docx;
mod names;
mod pixels;

use std::fmt;

use file_format::FileFormat;
use wire::FileType;

use crate::ids::random_bytes;
use docx::{Archive, NotWord};
pub use names::{content_disposition, file_name_from_header};
use pixels::Survey;

/// A type that is accepted, as found in a file's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MediaType {
    Pdf,
    Docx,
    Jpeg,
    Png,
    Webp,
    Gif,
    Avif,
    Tiff,
    /// Active content: only where the operator allows it.
    Svg,
}

impl MediaType {
    /// All there are, in the order of the table in README.md.
    pub const ALL: [Self; 9] = [
        Self::Pdf,
        Self::Docx,
        Self::Jpeg,
        Self::Png,
        Self::Webp,
        Self::Gif,
        Self::Avif,
        Self::Tiff,
        Self::Svg,
    ];

    /// The object's Content-Type.
    #[must_use]
    pub const fn mime(self) -> &'static str {
        match self {
            Self::Pdf => "application/pdf",
            Self::Docx => "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
            Self::Webp => "image/webp",
            Self::Gif => "image/gif",
            Self::Avif => "image/avif",
            Self::Tiff => "image/tiff",
            Self::Svg => "image/svg+xml",
        }
    }

    /// How the object's key ends, without the dot.
    #[must_use]
    pub const fn extension(self) -> &'static str {
        self.extensions()[0]
    }

    /// How names of such files end, without the dot; the first is ours.
    #[must_use]
    pub const fn extensions(self) -> &'static [&'static str] {
        match self {
            Self::Pdf => &["pdf"],
            Self::Docx => &["docx"],
            Self::Jpeg => &["jpg", "jpeg"],
            Self::Png => &["png"],
            Self::Webp => &["webp"],
            Self::Gif => &["gif"],
            Self::Avif => &["avif"],
            Self::Tiff => &["tiff", "tif"],
            Self::Svg => &["svg"],
        }
    }

    /// Which of the two files may be of this type.
    #[must_use]
    pub const fn file_type(self) -> FileType {
        match self {
            Self::Pdf | Self::Docx => FileType::DocsFile,
            _ => FileType::MsaImgs,
        }
    }

    /// What a file of that name should be; `None` for no extension, or one that is not ours.
    fn named(file_name: &str) -> Option<Self> {
        let (_, extension) = file_name.rsplit_once('.')?;
        let is_its = |known: &&str| known.eq_ignore_ascii_case(extension);
        Self::ALL.into_iter().find(|media| media.extensions().iter().any(is_its))
    }

    /// The type of a file that begins with `head`; of a ZIP it is only a promise that [`Archive`] checks.
    fn sniffed(head: &[u8]) -> Option<Self> {
        Some(match FileFormat::from_bytes(head) {
            FileFormat::PortableDocumentFormat => Self::Pdf,
            FileFormat::Zip if head.starts_with(docx::LOCAL_HEADER) => Self::Docx,
            FileFormat::JointPhotographicExpertsGroup => Self::Jpeg,
            FileFormat::PortableNetworkGraphics | FileFormat::AnimatedPortableNetworkGraphics => Self::Png,
            FileFormat::Webp => Self::Webp,
            FileFormat::GraphicsInterchangeFormat => Self::Gif,
            FileFormat::Av1ImageFileFormat | FileFormat::Av1ImageFileFormatSequence => Self::Avif,
            FileFormat::TagImageFileFormat if pixels::has_tiff_directory(head) => Self::Tiff,
            FileFormat::ScalableVectorGraphics => Self::Svg,
            _ => return None,
        })
    }
}

/// Why a file's bytes are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    #[error("the file is of a type that belongs in the other field")]
    WrongField,
    #[error("the file is of no accepted type, or not of the one its name says")]
    TypeMismatch,
    #[error("the document contains macros")]
    Macros,
    #[error("the image has more pixels than are allowed")]
    TooManyPixels,
}

/// The first look at a file, in bytes: every signature of ours lies within. The same at any chunking, so that
/// the verdict does not depend on how the bytes came.
const FIRST_LOOK: usize = 64;
/// XML that might be SVG is looked at again at four times the size, up to this.
const LAST_LOOK: usize = 64 * 1024;

/// Finds out what a file is while it streams by.
///
/// Holds at most [`LAST_LOOK`] bytes of the beginning, or, of a DOCX, some of the end.
#[derive(Debug)]
pub struct Inspector {
    file_type: FileType,
    named: Option<MediaType>,
    allow_svg: bool,
    max_pixels: u64,
    verdict: Verdict,
}

#[derive(Debug)]
enum Verdict {
    Open { head: Vec<u8>, look_at: usize },
    Type(MediaType),
    Word(Archive),
    Image(MediaType, Survey),
    Refused(Mismatch),
}

impl Inspector {
    /// `file_name` as the browser gave it; only its extension is of interest.
    #[must_use]
    pub fn new(file_type: FileType, file_name: Option<&str>, allow_svg: bool, max_pixels: u64) -> Self {
        // As people see it: letters that are not shown do not hide an extension.
        let named = file_name.map(names::shown).as_deref().and_then(MediaType::named);
        let verdict = Verdict::Open { head: Vec::with_capacity(FIRST_LOOK), look_at: FIRST_LOOK };
        Self { file_type, named, allow_svg, max_pixels, verdict }
    }

    /// Takes the next bytes; the type, from the moment it is certain (64 bytes, SVG up to 64 KiB).
    ///
    /// A DOCX is certain as far as its beginning goes: only [`finish`](Self::finish) knows. An image may turn out to
    /// be too large until its last header has come.
    ///
    /// # Errors
    /// When no byte to come could make the file acceptable; the same error ever after.
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<Option<MediaType>, Mismatch> {
        while let Verdict::Open { head, look_at } = &mut self.verdict {
            let (next, rest) = bytes.split_at(bytes.len().min(*look_at - head.len()));
            head.extend_from_slice(next);
            bytes = rest;
            if head.len() < *look_at {
                return Ok(None);
            }
            let head = std::mem::take(head);
            self.look(head, false);
        }
        self.follow(bytes);
        match &self.verdict {
            Verdict::Word(_) => Ok(Some(MediaType::Docx)),
            Verdict::Type(media) | Verdict::Image(media, _) => Ok(Some(*media)),
            Verdict::Refused(mismatch) => Err(*mismatch),
            Verdict::Open { .. } => Ok(None),
        }
    }

    /// The type of the whole file, after its last byte.
    ///
    /// # Errors
    /// As [`push`](Self::push); also for a DOCX whose directory is cut, lacks what makes it a document, or
    /// lists what may not be in one.
    pub fn finish(&mut self) -> Result<MediaType, Mismatch> {
        if let Verdict::Open { head, .. } = &mut self.verdict {
            let head = std::mem::take(head);
            self.look(head, true);
        }
        match &self.verdict {
            Verdict::Word(archive) => match archive.check() {
                Ok(()) => Ok(MediaType::Docx),
                Err(NotWord::Macros) => Err(Mismatch::Macros),
                Err(NotWord::Other) => Err(Mismatch::TypeMismatch),
            },
            Verdict::Type(media) | Verdict::Image(media, _) => Ok(*media),
            Verdict::Refused(mismatch) => Err(*mismatch),
            Verdict::Open { .. } => Err(Mismatch::TypeMismatch),
        }
    }

    /// Bytes in memory.
    #[must_use]
    pub fn held(&self) -> usize {
        match &self.verdict {
            Verdict::Open { head, .. } => head.len(),
            Verdict::Word(archive) => archive.held(),
            Verdict::Type(_) | Verdict::Image(..) | Verdict::Refused(_) => 0,
        }
    }

    /// Decides by the beginning of the file, and follows the rest of it from there.
    fn look(&mut self, head: Vec<u8>, at_end: bool) {
        self.verdict = match MediaType::sniffed(&head) {
            Some(media) => match self.agrees(media, &head) {
                Err(mismatch) => Verdict::Refused(mismatch),
                Ok(()) if media == MediaType::Docx => Verdict::Word(Archive::new()),
                Ok(()) => match Survey::of(media) {
                    Some(survey) => Verdict::Image(media, survey),
                    None => Verdict::Type(media),
                },
            },
            None if self.may_be_svg(&head) && !at_end && head.len() < LAST_LOOK => {
                let look_at = head.len() * 4;
                self.verdict = Verdict::Open { head, look_at };
                return;
            }
            None => Verdict::Refused(Mismatch::TypeMismatch),
        };
        self.follow(&head);
    }

    /// What is read of a file whose type is known.
    fn follow(&mut self, bytes: &[u8]) {
        match &mut self.verdict {
            Verdict::Word(archive) => archive.push(bytes),
            Verdict::Image(_, survey) => {
                let is_flood = survey.push(bytes) > self.max_pixels;
                if is_flood {
                    self.verdict = Verdict::Refused(Mismatch::TooManyPixels);
                }
            }
            _ => {}
        }
    }

    fn agrees(&self, media: MediaType, head: &[u8]) -> Result<(), Mismatch> {
        let other_archive = || !(self.named == Some(MediaType::Docx) || docx::begins_like_word(head));
        if media == MediaType::Svg && !self.allow_svg {
            Err(Mismatch::TypeMismatch)
        } else if media.file_type() != self.file_type {
            Err(match media {
                MediaType::Docx if other_archive() => Mismatch::TypeMismatch,
                _ => Mismatch::WrongField,
            })
        } else if self.named.is_some_and(|named| named != media) {
            Err(Mismatch::TypeMismatch)
        } else {
            Ok(())
        }
    }

    fn may_be_svg(&self, head: &[u8]) -> bool {
        self.allow_svg && FileFormat::from_bytes(head) == FileFormat::ExtensibleMarkupLanguage
    }
}

/// The name of an object of ours: unguessable, and nothing of the file's own name in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ObjectKey(String);

impl ObjectKey {
    /// How all keys begin; the sweeper looks at no other.
    pub const PREFIXES: [&str; 2] = [Self::prefix(FileType::DocsFile), Self::prefix(FileType::MsaImgs)];

    /// A new key from 32 bytes of the system's generator.
    #[must_use]
    pub fn random(media: MediaType) -> Self {
        use fmt::Write;

        let mut key = String::from(Self::prefix(media.file_type()));
        for byte in random_bytes::<32>() {
            write!(key, "{byte:02x}").expect("a String takes everything");
        }
        key.push('.');
        key.push_str(media.extension());
        Self(key)
    }

    /// Whether a key is one that [`ObjectKey::random`] may make: other programs may use the same bucket.
    #[must_use]
    pub fn is_ours(key: &str) -> bool {
        let rest = Self::PREFIXES.iter().find_map(|prefix| key.strip_prefix(prefix));
        rest.and_then(|rest| rest.split_once('.')).is_some_and(|(digits, extension)| {
            let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
            digits.len() == 64
                && digits.bytes().all(is_digit)
                && extension.len() <= 4
                && extension.bytes().all(|byte| byte.is_ascii_lowercase())
        })
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    const fn prefix(file_type: FileType) -> &'static str {
        match file_type {
            FileType::DocsFile => "supporting_documents/docs_file",
            FileType::MsaImgs => "photos/msa_imgs",
        }
    }
}

impl AsRef<str> for ObjectKey {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests;
