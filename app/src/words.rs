//! Every text that people read. A language is one file in `words/`.
//!
//! The server renders a page in one language and gives that language's texts with it
//! ([`Words::to_text`]); the browser's program holds none and reads them back ([`Words::parse`]).

mod arabic;
mod english;

/// One language's texts. Cheap to copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Words {
    /// In the order of [`Word::ALL`].
    texts: &'static [&'static str],
    /// The codes of the last texts.
    codes: &'static [&'static str],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    English,
    Arabic,
}

macro_rules! words {
    ($($word:ident)* ; $($fault:ident = $code:literal)*) => {
        /// A text, or a template with places `{0}`, `{1}`; the English one says what it is for.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Word { $($word,)* $($fault,)* }

        impl Word {
            pub const ALL: &[Self] = &[$(Self::$word,)* $(Self::$fault,)*];
        }

        /// What the last words of all are the sentences of.
        const CODES: &[&str] = &[$($code),*];
    };
}

words! {
    Language

    // The page
    Title Heading Lead
    DocumentTitle ImageTitle Document Image
    DocumentTypes ImageTypes ImageTypesSvg Hint
    Choose OrDrop Change Remove TakePhoto DropHere DropAnywhere
    Received Sent Stored IntoStorage
    Retry CopyKey Copied Download
    Upload Cancel Cancelling UploadTwoMore UploadAnother
    CancelQuestion CancelQuestionOne CancelUpload KeepGoing
    Details Reference Part Attempt CopyText
    PartEmpty PartSending PartSent PartStored PartRetrying

    // Sizes and times
    Byte Bytes Kilobytes Megabytes Gigabytes Terabytes
    Kibibytes Mebibytes Gibibytes Tebibytes
    Of Seconds Minutes MinutesSeconds
    PerSecond MinutesLeft SecondsLeft LessThanTen AMoment

    // Refused before anything is sent
    MustBe IsOldWord IsHeic IsNamed IsEmpty HasNoBytes UpTo IsSize
    NothingChosen ChooseOne YouDropped NoFolder Unreadable ChooseAgain

    // Beside the lanes
    Starting CancelledNothing
    AllSent Unconfirmable SentHere NotConfirmed
    PercentAnd AmountSent AmountReceived
    WaitingForYou StorageSlow Receiving Checking PartsStored PercentSent
    PartRetry StorageRetry StorageRetries
    StoredSize StoredSizeIn
    // What replaces the number for a screen reader
    ValueSentHere ValueStarting ValueStored ValueCancelled ValueFailed ValueAnd ValueSent Listed
    TryingAgain Finishing
    // Said aloud
    SayChosen SayUploading SayCancelled SayWaiting SayPercent
    // Below the button
    NoteBroken NoteBlind NoteUnheard NoteHeldBack
    MayLeave BothStored BothStoredIn
    IsStored IsCancelled IsLost NotStored
    FileInterrupted
    // The window's title
    TitleSending TitlePercent TitleFailed TitleStored

    // The page that answers a form posted without JavaScript
    ResultBoth ResultOne ResultNot MayBeStored StoppedReading UploadMore

    // What to do about a failure, and whether anything is stored
    NothingStored NotKnown TryAgain TryLater ChooseOther NotYourFile Reload CheckConnection
    // Causes that no code names
    Offline Missed Failed
;
    // The server's (FAULTS.md)
    NotMultipart = "not_multipart"
    BadBoundary = "bad_boundary"
    BadPartHeader = "bad_part_header"
    BadChunk = "bad_chunk"
    Truncated = "truncated"
    ClientGone = "client_gone"
    ReadTimeout = "read_timeout"
    ClientIdInvalid = "client_id_invalid"
    HostInvalid = "host_invalid"
    MethodNotAllowed = "method_not_allowed"
    UpgradeRequired = "upgrade_required"
    NotFound = "not_found"
    OriginRefused = "origin_refused"
    ClientIdForeign = "client_id_foreign"
    RateLimited = "rate_limited"
    UnknownField = "unknown_field"
    DuplicateField = "duplicate_field"
    NoFile = "no_file"
    FormTooLarge = "form_too_large"
    FileMissing = "file_missing"
    SizeInvalid = "size_invalid"
    SizeMismatch = "size_mismatch"
    SizeExceeded = "size_exceeded"
    TooLarge = "too_large"
    EmptyFile = "empty_file"
    WrongFieldType = "wrong_field_type"
    TypeMismatch = "type_mismatch"
    Macros = "macros"
    TooManyPixels = "too_many_pixels"
    StorageBusy = "storage_busy"
    StorageUnreachable = "storage_unreachable"
    StorageTimeout = "storage_timeout"
    StorageRejected = "storage_rejected"
    StorageConfig = "storage_config"
    StorageFull = "storage_full"
    Integrity = "integrity"
    UploadLost = "upload_lost"
    ReplayUnavailable = "replay_unavailable"
    Busy = "busy"
    ServerShutdown = "server_shutdown"
    Cancelled = "cancelled"
    UploadUnknown = "upload_unknown"
    UploadFinished = "upload_finished"
    Internal = "internal"
    // The page's own
    ConnectionLost = "connection_lost"
    Unconfirmed = "unconfirmed"
}

static ENGLISH: [&str; Word::ALL.len()] = table(Language::English);
static ARABIC: [&str; Word::ALL.len()] = table(Language::Arabic);

const fn table(language: Language) -> [&'static str; Word::ALL.len()] {
    let mut texts = [""; Word::ALL.len()];
    let mut place = 0;
    while place < texts.len() {
        texts[place] = match language {
            Language::English => english::text(Word::ALL[place]),
            Language::Arabic => arabic::text(Word::ALL[place]),
        };
        place += 1;
    }
    texts
}

impl Words {
    /// For the server, which knows every language.
    #[must_use]
    pub fn of(language: Language) -> Self {
        let texts = match language {
            Language::English => &ENGLISH,
            Language::Arabic => &ARABIC,
        };
        Self { texts, codes: CODES }
    }

    /// The codes in one line, then each text in its own.
    #[must_use]
    pub fn to_text(self) -> String {
        let mut text = self.codes.join(" ");
        for line in self.texts {
            text.push('\n');
            text.push_str(line);
        }
        text
    }

    /// Reads what [`Words::to_text`] wrote, once for as long as the page lives.
    #[must_use]
    pub fn parse(text: String) -> Self {
        let (codes, texts) = text.leak().split_once('\n').unwrap_or_default();
        let cut = |text: &'static str, between: char| &*text.split(between).collect::<Vec<_>>().leak();
        Self { texts: cut(texts, '\n'), codes: cut(codes, ' ') }
    }

    #[must_use]
    pub fn text(self, word: Word) -> &'static str {
        self.texts.get(word as usize).copied().unwrap_or_default()
    }

    /// The text with values in its places.
    #[must_use]
    pub fn fill(self, word: Word, values: &[&str]) -> String {
        let mut pieces = self.text(word).split('{');
        let mut filled = pieces.next().unwrap_or_default().to_owned();
        for piece in pieces {
            // A digit and a brace.
            let (place, rest) = piece.split_at_checked(2).unwrap_or_default();
            let place = place.bytes().next().map_or(0, |digit| usize::from(digit.wrapping_sub(b'0')));
            filled.push_str(values.get(place).copied().unwrap_or_default());
            filled.push_str(rest);
        }
        filled
    }

    /// The sentence for a failure's code, where there is one.
    #[must_use]
    pub fn fault(self, code: &str) -> Option<&'static str> {
        let place = self.codes.iter().position(|known| *known == code)?;
        self.texts.get((self.texts.len() + place).checked_sub(self.codes.len())?).copied()
    }

    /// Whether the server's own sentences are in this language.
    #[must_use]
    pub fn are_the_servers(self) -> bool {
        self.text(Word::Language) == "en"
    }
}

impl Language {
    pub const ALL: [Self; 2] = [Self::English, Self::Arabic];

    /// As in HTML's `lang`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Arabic => "ar",
        }
    }

    /// As in HTML's `dir`.
    #[must_use]
    pub const fn direction(self) -> &'static str {
        match self {
            Self::English => "ltr",
            Self::Arabic => "rtl",
        }
    }

    /// The language of a tag like "ar" or "ar-EG", if we speak it.
    #[must_use]
    pub fn of_tag(tag: &str) -> Option<Self> {
        let primary = tag.split('-').next().unwrap_or_default();
        Self::ALL.into_iter().find(|known| known.code().eq_ignore_ascii_case(primary))
    }

    /// The most wanted of an `Accept-Language` header, of equals the first; English where none fits.
    #[must_use]
    pub fn accepted(header: &str) -> Self {
        let mut best = (0, Self::English);
        for range in header.split(',') {
            let (tag, weight) = range.split_once(';').unwrap_or((range, ""));
            let language = match tag.trim() {
                "*" => Some(Self::English),
                tag => Self::of_tag(tag),
            };
            if let Some(language) = language
                && let Some(weight) = thousandths(weight)
                && weight > best.0
            {
                best = (weight, language);
            }
        }
        best.1
    }
}

/// "q=0.8" as 800; none is 1000 (RFC 9110, 12.4.2).
fn thousandths(weight: &str) -> Option<u32> {
    let weight = weight.trim();
    if weight.is_empty() {
        return Some(1_000);
    }
    let (name, value) = weight.split_once('=')?;
    let (whole, rest) = value.trim().split_once('.').unwrap_or((value.trim(), ""));
    let digits = rest.bytes().chain(*b"000").take(3);
    let is_weight = name.trim().eq_ignore_ascii_case("q")
        && matches!(whole, "0" | "1")
        && rest.len() <= 3
        && rest.bytes().all(|digit| digit.is_ascii_digit());
    let below = digits.fold(0, |sum, digit| sum * 10 + u32::from(digit.wrapping_sub(b'0')));
    is_weight.then(|| if whole == "1" { 1_000 } else { below })
}

/// A number in digits: formatting it by the standard library would cost the page more.
#[must_use]
pub fn decimal(number: u64) -> String {
    let mut digits = if number > 9 { decimal(number / 10) } else { String::new() };
    digits.push(char::from(b'0' + u8::try_from(number % 10).unwrap_or(0)));
    digits
}

/// Two sentences, either of which may be empty.
#[must_use]
pub fn joined(first: &str, second: &str) -> String {
    let mut both = first.to_owned();
    if !first.is_empty() && !second.is_empty() {
        both.push(' ');
    }
    both.push_str(second);
    both
}

#[cfg(test)]
mod tests {
    use super::*;

    const ISOLATES: [char; 2] = ['\u{2068}', '\u{2069}'];

    fn places(text: &str) -> Vec<&str> {
        let mut places: Vec<&str> = text.split('{').skip(1).map(|piece| &piece[..2]).collect();
        places.sort_unstable();
        places
    }

    #[test]
    fn every_language_fills_the_same_places() {
        for &word in Word::ALL {
            let [english, arabic] = Language::ALL.map(|language| Words::of(language).text(word));
            assert_eq!(places(english), places(arabic), "{word:?}");
            for text in [english, arabic] {
                assert!(!text.is_empty() && !text.contains(['\n', '\r']), "{word:?}");
                let known = places(text).iter().all(|place| ["0}", "1}", "2}"].contains(place));
                assert!(known && text.matches('}').count() == places(text).len(), "{word:?}");
            }
        }
    }

    #[test]
    fn no_english_is_left_in_the_arabic() {
        let names = "PDF DOCX JPEG PNG WebP GIF AVIF TIFF SVG HEIC WebSocket Word .doc multipart/form-data";
        for &word in &Word::ALL[1..] {
            let text = Words::of(Language::Arabic).text(word);
            let rest = names.split(' ').fold(text.to_owned(), |rest, name| rest.replace(name, ""));
            assert!(!rest.contains(|letter: char| letter.is_ascii_alphabetic()), "{word:?}: {text}");
            // Western digits, as in the sizes.
            assert!(!text.contains(|letter: char| ('\u{660}'..='\u{669}').contains(&letter)), "{word:?}");
        }
    }

    #[test]
    fn what_is_isolated_ends_where_it_began() {
        for &word in Word::ALL {
            let text = Words::of(Language::Arabic).text(word);
            let marks: String = text.chars().filter(|letter| ISOLATES.contains(letter)).collect();
            assert_eq!(marks.replace("\u{2068}\u{2069}", ""), "", "{word:?}");
        }
    }

    #[test]
    fn the_page_reads_what_the_server_wrote() {
        for language in Language::ALL {
            let words = Words::of(language);
            assert_eq!(Words::parse(words.to_text()), words);
        }
        assert_eq!(Words::parse(String::new()).fill(Word::Hint, &["a"]), "");
    }

    #[test]
    fn values_take_their_places() {
        let words = Words::of(Language::English);
        assert_eq!(
            words.fill(Word::SayChosen, &["a{1}.pdf", "1 kB", "document"]),
            "a{1}.pdf, 1 kB, chosen as document"
        );
        assert_eq!(words.fill(Word::Title, &[]), "Upload");
    }

    #[test]
    fn a_code_has_its_sentence() {
        for language in Language::ALL {
            let words = Words::of(language);
            for (&code, word) in CODES.iter().zip([Word::NotMultipart, Word::BadBoundary]) {
                assert_eq!(words.fault(code), Some(words.text(word)));
            }
            assert_eq!(words.fault("unconfirmed"), Some(words.text(Word::Unconfirmed)));
            assert_eq!(words.fault("no_such_code"), None);
        }
    }

    #[test]
    fn the_most_wanted_language_that_is_known_is_taken() {
        for (header, language) in [
            ("", Language::English),
            ("ar", Language::Arabic),
            ("AR-eg", Language::Arabic),
            ("ar, en", Language::Arabic),
            ("en, ar", Language::English),
            ("fr-CH, fr;q=0.9, ar;q=0.8, en;q=0.7, *;q=0.5", Language::Arabic),
            ("en;q=0.8,ar;q=0.81", Language::Arabic),
            ("ar;q=0", Language::English),
            ("*, ar;q=0.5", Language::English),
            ("ar ; q=0.5 , en ; q=0.4", Language::Arabic),
            ("ar;q=2, en;q=0.1", Language::English),
            ("ar;q=nan,,;;,arabic", Language::English),
            ("ar;q=1.000", Language::Arabic),
        ] {
            assert_eq!(Language::accepted(header), language, "{header}");
        }
    }

    #[test]
    fn numbers_are_written_in_digits() {
        for number in [0, 9, 10, 1_234_567_890, u64::MAX] {
            assert_eq!(decimal(number), number.to_string());
        }
    }
}
