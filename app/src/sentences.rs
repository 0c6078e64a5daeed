//! What people read about sizes, limits, refusals and errors. Pure; whole numbers only, since
//! formatting one float costs the page 9 kB.

use crate::wire::{FileOutcome, FileType, Outcome, Problem};

/// A sentence, and what to do about it (may be empty).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub sentence: String,
    pub advice: String,
}

/// What the page knows of one of its two files before anything is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    pub file_type: FileType,
    /// Largest accepted file, in bytes.
    pub limit: u64,
    /// Whether this service takes SVG images.
    pub svg: bool,
}

impl Kind {
    /// "document" or "image".
    #[must_use]
    pub const fn noun(self) -> &'static str {
        noun(self.file_type)
    }

    /// "Document" or "Image".
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self.file_type {
            FileType::DocsFile => "Document",
            FileType::MsaImgs => "Image",
        }
    }

    /// As the wire calls the file.
    #[must_use]
    pub const fn wire_name(self) -> &'static str {
        match self.file_type {
            FileType::DocsFile => "docs_file",
            FileType::MsaImgs => "msa_imgs",
        }
    }

    /// For the input's `accept`.
    #[must_use]
    pub const fn accept(self) -> &'static str {
        match (self.file_type, self.svg) {
            (FileType::DocsFile, _) => ".pdf,.docx",
            (FileType::MsaImgs, false) => ".jpg,.jpeg,.png,.webp,.gif,.avif,.tif,.tiff",
            (FileType::MsaImgs, true) => ".jpg,.jpeg,.png,.webp,.gif,.avif,.tif,.tiff,.svg",
        }
    }

    /// "PDF or DOCX".
    #[must_use]
    pub const fn types(self) -> &'static str {
        match (self.file_type, self.svg) {
            (FileType::DocsFile, _) => "PDF or DOCX",
            (FileType::MsaImgs, false) => "JPEG, PNG, WebP, GIF, AVIF or TIFF",
            (FileType::MsaImgs, true) => "JPEG, PNG, WebP, GIF, AVIF, TIFF or SVG",
        }
    }

    /// "PDF or DOCX, up to 25 MiB".
    #[must_use]
    pub fn hint(self) -> String {
        format!("{}, up to {}", self.types(), limit(self.limit))
    }

    /// Why a chosen file would be refused; name and size only, its bytes are the server's to judge.
    #[must_use]
    pub fn refuse(self, name: &str, bytes: u64) -> Option<Refusal> {
        let noun = self.noun();
        let extension = extension(name);
        let name = shown(name);
        if let Some(advice) = self.wrong_extension(&name, extension) {
            let article = if self.file_type == FileType::DocsFile {
                "a PDF or DOCX".to_owned()
            } else {
                format!("a {}", self.types())
            };
            return Some(refusal(format!("The {noun} must be {article}."), advice));
        }
        if bytes == 0 {
            return Some(refusal(
                format!("The {noun} is empty."),
                format!("\u{201c}{name}\u{201d} has 0 bytes."),
            ));
        }
        (bytes > self.limit).then(|| {
            refusal(
                format!("The {noun} can be up to {}.", limit(self.limit)),
                format!("\u{201c}{name}\u{201d} is {}.", size(bytes)),
            )
        })
    }

    /// A name without an extension is fine: the server looks at the bytes.
    fn wrong_extension(self, name: &str, extension: Option<String>) -> Option<String> {
        let extension = extension?;
        if self.accept().split(',').any(|known| known[1..] == extension) {
            return None;
        }
        Some(match extension.as_str() {
            "doc" => format!("\u{201c}{name}\u{201d} is an old Word file (.doc). Save it as DOCX."),
            "heic" | "heif" => {
                format!("\u{201c}{name}\u{201d} is HEIC. Share it as JPEG (\u{201c}Most compatible\u{201d}).")
            }
            other => format!("\u{201c}{name}\u{201d} is named .{other}."),
        })
    }
}

/// "document" or "image".
#[must_use]
pub const fn noun(file_type: FileType) -> &'static str {
    match file_type {
        FileType::DocsFile => "document",
        FileType::MsaImgs => "image",
    }
}

/// Whoever presses Upload with nothing chosen.
#[must_use]
pub fn nothing_chosen() -> Refusal {
    refusal("Choose a document or an image.".to_owned(), String::new())
}

/// Several files dropped where one has room.
#[must_use]
pub fn too_many(kind: Kind, count: u32) -> Refusal {
    refusal(format!("Choose one {}.", kind.noun()), format!("You dropped {count}."))
}

/// Whether a failed file may be stored all the same, as far as the page can know.
#[must_use]
pub fn is_open(code: &str, outcome: Option<Outcome>) -> bool {
    match outcome {
        Some(Outcome::Unknown) => true,
        Some(_) => false,
        None => matches!(code, CONNECTION_LOST | UNCONFIRMED | "storage_unreachable" | "storage_timeout"),
    }
}

/// What to do about a failed file, and whether any of it is stored: the one question people have.
///
/// `outcome` is what the answer of the POST said; without it a store that could not be reached
/// leaves that question open.
#[must_use]
pub fn advice(code: &str, outcome: Option<Outcome>, reference: &str) -> String {
    let stored = match outcome {
        Some(Outcome::Unknown) => "It is not known whether it was stored. ",
        _ if is_open(code, outcome) => "",
        _ => "Nothing was stored. ",
    };
    let fix = match code {
        _ if outcome == Some(Outcome::NotReceived) => "Try again.",
        "cancelled" => "",
        "storage_config" | "storage_full" => {
            return format!(
                "{stored}This is not your file. Tell whoever runs this service, reference {reference}."
            );
        }
        "busy"
        | "rate_limited"
        | "server_shutdown"
        | "storage_busy"
        | "storage_unreachable"
        | "storage_timeout" => "Try again in a minute.",
        "type_mismatch" | "wrong_field_type" | "macros" | "empty_file" | "too_large" | "size_exceeded"
        | "too_many_pixels" => "Choose another file.",
        "client_id_foreign" => "Reload the page and choose the files again.",
        CONNECTION_LOST | CLIENT_GONE => "Check your connection and try again.",
        _ => "Try again.",
    };
    format!("{stored}{fix}").trim_end().to_owned()
}

/// The server's code for a client whose connection ended.
pub const CLIENT_GONE: &str = "client_gone";
/// The page's own code: the POST died and nobody said how it ended.
pub const CONNECTION_LOST: &str = "connection_lost";
/// The page's own code: cancelled, but the server did not confirm it in time.
pub const UNCONFIRMED: &str = "unconfirmed";

/// Said of a file that another one's failure kept from coming.
pub const MISSED: &str = "Another file failed before this one came.";

/// A sentence for a code that came without one.
#[must_use]
pub fn sentence(code: &str) -> &'static str {
    match code {
        UNCONFIRMED => "Stopped. The server did not say what it had stored by then.",
        "cancelled" => "Cancelled.",
        _ => "The upload failed.",
    }
}

/// What a broken connection is called; without a network that is all there is to say.
#[must_use]
pub fn broken(code: Option<&str>, offline: bool) -> &'static str {
    match code {
        _ if offline => "You are offline.",
        Some(CLIENT_GONE) => "The connection broke before everything was sent.",
        _ => "The connection broke before the server confirmed the upload.",
    }
}

/// A file's name as text that cannot reorder or break the line it stands in: what would do so is
/// shown as a replacement character.
#[must_use]
pub fn shown(name: &str) -> String {
    let disturbs = |letter: char| {
        matches!(letter, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
            || letter.is_control()
    };
    name.chars().map(|letter| if disturbs(letter) { '\u{fffd}' } else { letter }).collect()
}

/// One file of the answer in words, for the page without JavaScript: what, then the rest.
#[must_use]
pub fn result_words(file: &FileOutcome, problem: Option<&Problem>) -> (String, String) {
    let title = if file.field == FileType::DocsFile.field() { "The document" } else { "The image" };
    let reference = problem.and_then(|problem| problem.upload_id.as_deref()).unwrap_or_default();
    let code = file.code.as_deref().unwrap_or_default();
    let rest = || match problem {
        Some(problem) if problem.code == code && problem.file.as_ref() == Some(&file.field) => {
            format!("{} {}", problem.detail, advice(code, Some(file.outcome), reference))
        }
        _ => advice(code, Some(file.outcome), reference),
    };
    match file.outcome {
        Outcome::Stored => (format!("{title} is stored."), file.size.map(size).unwrap_or_default()),
        Outcome::Failed => (format!("{title} is not stored."), rest()),
        Outcome::NotReceived => (
            format!("{title} is not stored."),
            "The server had stopped reading before it came. Try again.".to_owned(),
        ),
        Outcome::Unknown => (format!("{title} may or may not be stored."), rest()),
    }
}

/// Decimal, one digit after the point, rounded down: "24.1 MB".
#[must_use]
pub fn size(bytes: u64) -> String {
    let unit = unit_of(bytes);
    format!("{} {}", scaled(bytes, unit), unit.1)
}

/// Both in the unit of the whole: "15.7 of 24.1 MB".
#[must_use]
pub fn amount_of(bytes: u64, total: u64) -> String {
    let unit = unit_of(total);
    format!("{} of {} {}", scaled(bytes, unit), scaled(total, unit), unit.1)
}

/// A limit in the unit it was set in: "25 MiB".
#[must_use]
pub fn limit(bytes: u64) -> String {
    for (shift, unit) in [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")] {
        if bytes != 0 && bytes.trailing_zeros() >= shift {
            return format!("{} {unit}", bytes >> shift);
        }
    }
    size(bytes)
}

/// "22 s", "3 min 5 s".
#[must_use]
pub fn duration(ms: u64) -> String {
    let seconds = ms.div_ceil(1000).max(1);
    match (seconds / 60, seconds % 60) {
        (0, seconds) => format!("{seconds} s"),
        (minutes, 0) => format!("{minutes} min"),
        (minutes, seconds) => format!("{minutes} min {seconds} s"),
    }
}

type Unit = (u64, &'static str);

const fn unit_of(bytes: u64) -> Unit {
    match bytes {
        1 => (1, "byte"),
        0 | 2..1_000 => (1, "bytes"),
        1_000..1_000_000 => (1_000, "kB"),
        1_000_000..1_000_000_000 => (1_000_000, "MB"),
        1_000_000_000..1_000_000_000_000 => (1_000_000_000, "GB"),
        _ => (1_000_000_000_000, "TB"),
    }
}

fn scaled(bytes: u64, (divisor, _): Unit) -> String {
    if divisor == 1 {
        return format!("{bytes}");
    }
    format!("{}.{}", bytes / divisor, bytes % divisor / (divisor / 10))
}

/// Lower case; `None` where the last piece does not look like one ("report.2026", ".profile").
fn extension(name: &str) -> Option<String> {
    let (stem, extension) = name.rsplit_once('.')?;
    let looks_like_one = !stem.is_empty()
        && (1..=5).contains(&extension.len())
        && extension.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && extension.bytes().any(|byte| byte.is_ascii_alphabetic());
    looks_like_one.then(|| extension.to_ascii_lowercase())
}

fn refusal(sentence: String, advice: String) -> Refusal {
    Refusal { sentence, advice }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: Kind = Kind { file_type: FileType::DocsFile, limit: 25 << 20, svg: false };
    const IMAGE: Kind = Kind { file_type: FileType::MsaImgs, limit: 10 << 20, svg: false };

    #[test]
    fn sizes_are_whole_number_arithmetic() {
        assert_eq!(size(0), "0 bytes");
        assert_eq!(size(1), "1 byte");
        assert_eq!(size(999), "999 bytes");
        assert_eq!(size(1_000), "1.0 kB");
        assert_eq!(size(24_199_999), "24.1 MB");
        assert_eq!(size(5_000_000_000), "5.0 GB");
        assert_eq!(amount_of(900, 24_100_000), "0.0 of 24.1 MB");
        assert_eq!(amount_of(15_728_640, 24_100_000), "15.7 of 24.1 MB");
    }

    #[test]
    fn limits_keep_their_unit() {
        assert_eq!(limit(25 << 20), "25 MiB");
        assert_eq!(limit(3 << 30), "3 GiB");
        assert_eq!(limit(1_500), "1.5 kB");
        assert_eq!(limit(0), "0 bytes");
    }

    #[test]
    fn durations_round_up() {
        assert_eq!(duration(0), "1 s");
        assert_eq!(duration(21_001), "22 s");
        assert_eq!(duration(120_000), "2 min");
        assert_eq!(duration(185_000), "3 min 5 s");
    }

    #[test]
    fn exactly_the_limit_is_taken_and_one_more_is_not() {
        assert_eq!(DOCUMENT.refuse("a.pdf", 25 << 20), None);
        let refusal = DOCUMENT.refuse("a.pdf", (25 << 20) + 1).expect("over the limit");
        assert_eq!(refusal.sentence, "The document can be up to 25 MiB.");
        assert_eq!(refusal.advice, "\u{201c}a.pdf\u{201d} is 26.2 MB.");
    }

    #[test]
    fn names_are_judged_by_their_extension() {
        let refused = |kind: Kind, name| kind.refuse(name, 10).map(|refusal| refusal.sentence);
        assert_eq!(refused(DOCUMENT, "a.PDF"), None);
        assert_eq!(refused(DOCUMENT, "report"), None);
        assert_eq!(refused(DOCUMENT, "report.2026"), None);
        assert_eq!(refused(IMAGE, "photo.JPEG"), None);
        let sentence = "The document must be a PDF or DOCX.";
        assert_eq!(refused(DOCUMENT, "a.zip").as_deref(), Some(sentence));
        assert_eq!(refused(DOCUMENT, "a.pdf.exe").as_deref(), Some(sentence));
        assert!(refused(IMAGE, "a.svg").is_some());
        assert_eq!(refused(Kind { svg: true, ..IMAGE }, "a.svg"), None);
        assert!(DOCUMENT.refuse("a.doc", 10).expect("old word").advice.contains("Save it as DOCX"));
        assert_eq!(DOCUMENT.refuse("a.pdf", 0).expect("empty").sentence, "The document is empty.");
    }

    #[test]
    fn a_name_cannot_reorder_the_line_it_stands_in() {
        assert_eq!(shown("a\u{202e}fdp.exe\r\n"), "a\u{fffd}fdp.exe\u{fffd}\u{fffd}");
        assert_eq!(shown("<b>\u{e9}\u{5d0}.pdf"), "<b>\u{e9}\u{5d0}.pdf");
        let advice = DOCUMENT.refuse("a\u{202e}fdp.exe", 10).expect("a program").advice;
        assert_eq!(advice, "\u{201c}a\u{fffd}fdp.exe\u{201d} is named .exe.");
    }

    #[test]
    fn nothing_was_stored_is_said_only_where_it_is_known() {
        assert!(!advice("storage_unreachable", None, "").contains("stored"));
        assert!(advice("storage_unreachable", Some(Outcome::Failed), "").contains("Nothing was stored"));
        assert!(advice("storage_timeout", Some(Outcome::Unknown), "").contains("not known"));
        assert!(!advice(CONNECTION_LOST, None, "").contains("stored"));
        assert_eq!(advice("cancelled", None, ""), "Nothing was stored.");
        assert!(advice("storage_config", None, "abc").ends_with("reference abc."));
    }
}
