//! What people read about sizes, limits, refusals and errors. Pure; whole numbers only, since
//! formatting one float costs the page 9 kB.

use crate::wire::{FileOutcome, FileType, Outcome, Problem};
use crate::words::{Word, Words, decimal, joined};

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
    /// "Document" or "Image".
    #[must_use]
    pub fn title(self, words: Words) -> &'static str {
        words.text(match self.file_type {
            FileType::DocsFile => Word::DocumentTitle,
            FileType::MsaImgs => Word::ImageTitle,
        })
    }

    /// As the wire calls the file.
    #[must_use]
    pub const fn wire_name(self) -> &'static str {
        match self.file_type {
            FileType::DocsFile => "docs_file",
            FileType::MsaImgs => "msa_imgs",
        }
    }

    /// Whether a file, by its name or its MIME type, is meant for this place; also one that is refused there with advice.
    #[must_use]
    pub fn is_meant(self, name: &str, mime: &str) -> bool {
        let by_name = extension(name).is_some_and(|end| match end.as_str() {
            "doc" => self.file_type == FileType::DocsFile,
            "heic" | "heif" => self.file_type == FileType::MsaImgs,
            end => self.accepts(end),
        });
        let is_image = mime.starts_with("image/");
        let is_document = matches!(mime, "application/pdf" | "application/msword")
            || mime.ends_with(".wordprocessingml.document");
        by_name || if self.file_type == FileType::MsaImgs { is_image } else { is_document }
    }

    fn accepts(self, extension: &str) -> bool {
        self.accept().split(',').any(|known| known.strip_prefix('.') == Some(extension))
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
    pub fn types(self, words: Words) -> &'static str {
        words.text(match (self.file_type, self.svg) {
            (FileType::DocsFile, _) => Word::DocumentTypes,
            (FileType::MsaImgs, false) => Word::ImageTypes,
            (FileType::MsaImgs, true) => Word::ImageTypesSvg,
        })
    }

    /// "PDF or DOCX, up to 25 MiB".
    #[must_use]
    pub fn hint(self, words: Words) -> String {
        words.fill(Word::Hint, &[self.types(words), &limit(words, self.limit)])
    }

    /// Why a chosen file would be refused; name and size only, its bytes are the server's to judge.
    #[must_use]
    pub fn refuse(self, words: Words, name: &str, bytes: u64) -> Option<Refusal> {
        let noun = noun(words, self.file_type);
        let extension = extension(name);
        let name = shown(name);
        if let Some(advice) = self.wrong_extension(words, &name, extension) {
            let sentence = words.fill(Word::MustBe, &[noun, self.types(words)]);
            return Some(Refusal { sentence, advice });
        }
        if bytes == 0 {
            return Some(Refusal {
                sentence: words.fill(Word::IsEmpty, &[noun]),
                advice: words.fill(Word::HasNoBytes, &[&name]),
            });
        }
        (bytes > self.limit).then(|| Refusal {
            sentence: words.fill(Word::UpTo, &[noun, &limit(words, self.limit)]),
            advice: words.fill(Word::IsSize, &[&name, &size(words, bytes)]),
        })
    }

    /// A name without an extension is fine: the server looks at the bytes.
    fn wrong_extension(self, words: Words, name: &str, extension: Option<String>) -> Option<String> {
        let extension = extension?;
        if self.accepts(&extension) {
            return None;
        }
        let word = match extension.as_str() {
            "doc" => Word::IsOldWord,
            "heic" | "heif" => Word::IsHeic,
            _ => Word::IsNamed,
        };
        Some(words.fill(word, &[name, &extension]))
    }
}

/// "document" or "image".
#[must_use]
pub fn noun(words: Words, file_type: FileType) -> &'static str {
    words.text(match file_type {
        FileType::DocsFile => Word::Document,
        FileType::MsaImgs => Word::Image,
    })
}

/// Whoever presses Upload with nothing chosen.
#[must_use]
pub fn nothing_chosen(words: Words) -> Refusal {
    Refusal { sentence: words.text(Word::NothingChosen).to_owned(), advice: String::new() }
}

/// A folder where a file should be.
#[must_use]
pub fn folder(words: Words) -> Refusal {
    Refusal { sentence: words.text(Word::NoFolder).to_owned(), advice: String::new() }
}

/// A file that can no longer be read.
#[must_use]
pub fn unreadable(words: Words, name: &str) -> Refusal {
    let sentence = words.fill(Word::Unreadable, &[name]);
    Refusal { sentence, advice: words.text(Word::ChooseAgain).to_owned() }
}

/// Several files dropped where one has room.
#[must_use]
pub fn too_many(words: Words, kind: Kind, count: u32) -> Refusal {
    Refusal {
        sentence: words.fill(Word::ChooseOne, &[noun(words, kind.file_type)]),
        advice: words.fill(Word::YouDropped, &[&decimal(count.into())]),
    }
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
pub fn advice(words: Words, code: &str, outcome: Option<Outcome>, reference: &str) -> String {
    let stored = match outcome {
        Some(Outcome::Unknown) => words.text(Word::NotKnown),
        _ if is_open(code, outcome) => "",
        _ => words.text(Word::NothingStored),
    };
    joined(stored, &fix(code, outcome).map_or_else(String::new, |fix| words.fill(fix, &[reference])))
}

fn fix(code: &str, outcome: Option<Outcome>) -> Option<Word> {
    Some(match code {
        _ if outcome == Some(Outcome::NotReceived) => Word::TryAgain,
        "cancelled" => return None,
        "storage_config" | "storage_full" => Word::NotYourFile,
        "busy"
        | "rate_limited"
        | "server_shutdown"
        | "storage_busy"
        | "storage_unreachable"
        | "storage_timeout" => Word::TryLater,
        "type_mismatch" | "wrong_field_type" | "macros" | "empty_file" | "too_large" | "size_exceeded"
        | "too_many_pixels" => Word::ChooseOther,
        "client_id_foreign" => Word::Reload,
        CONNECTION_LOST | CLIENT_GONE => Word::CheckConnection,
        _ => Word::TryAgain,
    })
}

/// The server's code for a client whose connection ended.
pub const CLIENT_GONE: &str = "client_gone";
/// The page's own code: the POST died and nobody said how it ended.
pub const CONNECTION_LOST: &str = "connection_lost";
/// The page's own code: cancelled, but the server did not confirm it in time.
pub const UNCONFIRMED: &str = "unconfirmed";

/// Why a file failed. What the server said of it stands where it is in the page's language, up to "Nothing of
/// it was stored", "Try again" or "This is not your file": the advice says these, and knows more.
#[must_use]
pub fn cause(words: Words, code: &str, outcome: Option<Outcome>, said: &str) -> String {
    if !said.is_empty() && words.are_the_servers() {
        let repeats = |three: &[u8]| matches!(three, b". N" | b". T");
        let end = said.as_bytes().windows(3).position(repeats);
        return end.and_then(|end| said.get(..=end)).unwrap_or(said).to_owned();
    }
    // The code is that of the file which is to blame.
    let missed = (outcome == Some(Outcome::NotReceived)).then(|| words.text(Word::Missed));
    let known = missed.or_else(|| words.fault(code));
    known.unwrap_or_else(|| words.text(Word::Failed)).to_owned()
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
pub fn result_words(words: Words, file: &FileOutcome, problem: Option<&Problem>) -> (String, String) {
    let document = file.field == FileType::DocsFile.field();
    let noun = noun(words, if document { FileType::DocsFile } else { FileType::MsaImgs });
    let reference = problem.and_then(|problem| problem.upload_id.as_deref()).unwrap_or_default();
    let code = file.code.as_deref().unwrap_or_default();
    let rest = || {
        let advice = advice(words, code, Some(file.outcome), reference);
        match problem {
            Some(problem) if problem.code == code && problem.file.as_ref() == Some(&file.field) => {
                joined(&cause(words, code, Some(file.outcome), &problem.detail), &advice)
            }
            _ => advice,
        }
    };
    let (word, rest) = match file.outcome {
        Outcome::Stored => (Word::IsStored, file.size.map(|bytes| size(words, bytes)).unwrap_or_default()),
        Outcome::Failed => (Word::NotStored, rest()),
        Outcome::NotReceived => (Word::NotStored, words.text(Word::StoppedReading).to_owned()),
        Outcome::Unknown => (Word::MayBeStored, rest()),
    };
    (words.fill(word, &[noun]), rest)
}

/// Decimal, one digit after the point, rounded down: "24.1 MB".
#[must_use]
pub fn size(words: Words, bytes: u64) -> String {
    let (divisor, unit) = unit_of(bytes);
    words.fill(unit, &[&scaled(bytes, divisor)])
}

/// Both in the unit of the whole: "15.7 of 24.1 MB".
#[must_use]
pub fn amount_of(words: Words, bytes: u64, total: u64) -> String {
    words.fill(Word::Of, &[&scaled(bytes, unit_of(total).0), &size(words, total)])
}

/// A limit in the unit it was set in: "25 MiB".
#[must_use]
pub fn limit(words: Words, bytes: u64) -> String {
    let units = [(40, Word::Tebibytes), (30, Word::Gibibytes), (20, Word::Mebibytes), (10, Word::Kibibytes)];
    for (shift, unit) in units {
        if bytes != 0 && bytes.trailing_zeros() >= shift {
            return words.fill(unit, &[&decimal(bytes >> shift)]);
        }
    }
    size(words, bytes)
}

/// "22 s", "3 min 5 s".
#[must_use]
pub fn duration(words: Words, ms: u64) -> String {
    let seconds = ms.div_ceil(1000).max(1);
    let (minutes, seconds) = (seconds / 60, seconds % 60);
    let word = match (minutes, seconds) {
        (0, seconds) => return words.fill(Word::Seconds, &[&decimal(seconds)]),
        (_, 0) => Word::Minutes,
        _ => Word::MinutesSeconds,
    };
    words.fill(word, &[&decimal(minutes), &decimal(seconds)])
}

const fn unit_of(bytes: u64) -> (u64, Word) {
    match bytes {
        1 => (1, Word::Byte),
        0 | 2..1_000 => (1, Word::Bytes),
        1_000..1_000_000 => (1_000, Word::Kilobytes),
        1_000_000..1_000_000_000 => (1_000_000, Word::Megabytes),
        1_000_000_000..1_000_000_000_000 => (1_000_000_000, Word::Gigabytes),
        _ => (1_000_000_000_000, Word::Terabytes),
    }
}

fn scaled(bytes: u64, divisor: u64) -> String {
    let mut number = decimal(bytes / divisor);
    if divisor > 1 {
        number.push('.');
        number.push_str(&decimal(bytes % divisor / (divisor / 10)));
    }
    number
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::Language;

    const DOCUMENT: Kind = Kind { file_type: FileType::DocsFile, limit: 25 << 20, svg: false };
    const IMAGE: Kind = Kind { file_type: FileType::MsaImgs, limit: 10 << 20, svg: false };

    fn english() -> Words {
        Words::of(Language::English)
    }

    fn arabic() -> Words {
        Words::of(Language::Arabic)
    }

    #[test]
    fn sizes_are_whole_number_arithmetic() {
        assert_eq!(size(english(), 0), "0 bytes");
        assert_eq!(size(english(), 1), "1 byte");
        assert_eq!(size(english(), 999), "999 bytes");
        assert_eq!(size(english(), 1_000), "1.0 kB");
        assert_eq!(size(english(), 24_199_999), "24.1 MB");
        assert_eq!(size(english(), 5_000_000_000), "5.0 GB");
        assert_eq!(amount_of(english(), 900, 24_100_000), "0.0 of 24.1 MB");
        assert_eq!(amount_of(english(), 15_728_640, 24_100_000), "15.7 of 24.1 MB");
    }

    #[test]
    fn limits_keep_their_unit() {
        assert_eq!(limit(english(), 25 << 20), "25 MiB");
        assert_eq!(limit(english(), 3 << 30), "3 GiB");
        assert_eq!(limit(english(), 1_500), "1.5 kB");
        assert_eq!(limit(english(), 0), "0 bytes");
    }

    #[test]
    fn durations_round_up() {
        assert_eq!(duration(english(), 0), "1 s");
        assert_eq!(duration(english(), 21_001), "22 s");
        assert_eq!(duration(english(), 120_000), "2 min");
        assert_eq!(duration(english(), 185_000), "3 min 5 s");
    }

    #[test]
    fn exactly_the_limit_is_taken_and_one_more_is_not() {
        assert_eq!(DOCUMENT.refuse(english(), "a.pdf", 25 << 20), None);
        let refusal = DOCUMENT.refuse(english(), "a.pdf", (25 << 20) + 1).expect("over the limit");
        assert_eq!(refusal.sentence, "The document can be up to 25 MiB.");
        assert_eq!(refusal.advice, "\u{201c}a.pdf\u{201d} is 26.2 MB.");
    }

    #[test]
    fn names_are_judged_by_their_extension() {
        let refused = |kind: Kind, name| kind.refuse(english(), name, 10).map(|refusal| refusal.sentence);
        assert_eq!(refused(DOCUMENT, "a.PDF"), None);
        assert_eq!(refused(DOCUMENT, "report"), None);
        assert_eq!(refused(DOCUMENT, "report.2026"), None);
        assert_eq!(refused(IMAGE, "photo.JPEG"), None);
        let sentence = "The document must be a PDF or DOCX.";
        assert_eq!(refused(DOCUMENT, "a.zip").as_deref(), Some(sentence));
        assert_eq!(refused(DOCUMENT, "a.pdf.exe").as_deref(), Some(sentence));
        assert!(refused(IMAGE, "a.svg").is_some());
        assert_eq!(refused(Kind { svg: true, ..IMAGE }, "a.svg"), None);
        assert!(
            DOCUMENT.refuse(english(), "a.doc", 10).expect("old word").advice.contains("Save it as DOCX")
        );
        assert_eq!(DOCUMENT.refuse(english(), "a.pdf", 0).expect("empty").sentence, "The document is empty.");
    }

    #[test]
    fn a_file_is_meant_for_the_place_of_its_type() {
        let places = |name, mime| [DOCUMENT, IMAGE].map(|kind| kind.is_meant(name, mime));
        assert_eq!(places("a.PDF", ""), [true, false]);
        assert_eq!(places("old.doc", ""), [true, false], "to be told what to do with it");
        assert_eq!(places("image.png", "image/png"), [false, true]);
        assert_eq!(places("photo.heic", ""), [false, true]);
        assert_eq!(places("", "application/pdf"), [true, false]);
        assert_eq!(places("notes.txt", "text/plain"), [false, false]);
        assert_eq!(places("no-extension", ""), [false, false]);
    }

    #[test]
    fn a_name_cannot_reorder_the_line_it_stands_in() {
        assert_eq!(shown("a\u{202e}fdp.exe\r\n"), "a\u{fffd}fdp.exe\u{fffd}\u{fffd}");
        assert_eq!(shown("<b>\u{e9}\u{5d0}.pdf"), "<b>\u{e9}\u{5d0}.pdf");
        let advice = DOCUMENT.refuse(english(), "a\u{202e}fdp.exe", 10).expect("a program").advice;
        assert_eq!(advice, "\u{201c}a\u{fffd}fdp.exe\u{201d} is named .exe.");
    }

    #[test]
    fn nothing_was_stored_is_said_only_where_it_is_known() {
        assert!(!advice(english(), "storage_unreachable", None, "").contains("stored"));
        assert!(
            advice(english(), "storage_unreachable", Some(Outcome::Failed), "")
                .contains("Nothing was stored")
        );
        assert!(advice(english(), "storage_timeout", Some(Outcome::Unknown), "").contains("not known"));
        assert!(!advice(english(), CONNECTION_LOST, None, "").contains("stored"));
        assert_eq!(advice(english(), "cancelled", None, ""), "Nothing was stored.");
        assert!(advice(english(), "storage_config", None, "abc").ends_with("reference abc."));
    }

    #[test]
    fn a_cause_is_the_servers_or_the_codes() {
        let said = "Storage is busy. Nothing of this file was stored. Try again in a minute.";
        assert_eq!(cause(english(), "storage_busy", None, said), "Storage is busy.");
        assert_eq!(cause(english(), "new_code", None, "It rains."), "It rains.");
        assert_eq!(cause(english(), "storage_busy", None, ""), "Storage is busy.");
        assert_eq!(cause(english(), "new_code", None, ""), "The upload failed.");
        let missed = cause(english(), "macros", Some(Outcome::NotReceived), "");
        assert_eq!(missed, "Another file failed before this one came.");

        assert_eq!(cause(arabic(), "storage_busy", None, said), "خدمة التخزين مشغولة.");
        assert_eq!(cause(arabic(), "new_code", None, "It rains."), "فشل الرفع.");
    }

    #[test]
    fn names_in_arabic_order_nothing_around_them() {
        assert_eq!(size(arabic(), 24_199_999), "24.1 ميغابايت");
        assert_eq!(DOCUMENT.hint(arabic()), "PDF أو DOCX، حتى 25 ميبيبايت");
        let refusal = DOCUMENT.refuse(arabic(), "a.zip", 10).expect("no document");
        assert_eq!(refusal.sentence, "المستند: يجب أن يكون الملف بصيغة PDF أو DOCX.");
        assert_eq!(refusal.advice, "امتداد «\u{2068}a.zip\u{2069}» هو \u{2068}.zip\u{2069}.");
        let advice = advice(arabic(), "storage_full", None, "abc");
        assert!(advice.ends_with("\u{2068}abc\u{2069}."), "{advice}");
    }
}
