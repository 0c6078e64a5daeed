//! The notation of `tests/data`: lines to rows, and a row's columns to bytes (README.md there).

use std::fmt;

/// What an answer says, or must say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub status: u16,
    pub said: Said,
    /// Whether the request behind this one is answered.
    pub goes_on: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    Stored,
    /// A problem document with this code.
    Code(String),
    /// No body at all: the HTTP parser's own answer.
    Bare,
    /// Something else; as a promise, anything.
    Other,
}

impl Outcome {
    /// No answer at all.
    pub const CLOSED: Self = Self { status: 0, said: Said::Bare, goes_on: false };

    pub fn is_good(&self) -> bool {
        matches!(self.status, 101 | 200)
    }

    fn parse(text: &str) -> Option<Self> {
        if text == "closed" {
            return Some(Self::CLOSED);
        }
        let mut words = text.split_whitespace();
        let status: u16 = words.next()?.parse().ok()?;
        let mut outcome = Self { status, said: Said::Other, goes_on: status == 200 };
        for word in words {
            match word {
                "open" => outcome.goes_on = true,
                "close" => outcome.goes_on = false,
                "stored" => outcome.said = Said::Stored,
                "bare" => outcome.said = Said::Bare,
                code => outcome.said = Said::Code(code.to_owned()),
            }
        }
        Some(outcome)
    }

    /// Whether what was `seen` is what this promises.
    pub fn holds(&self, seen: &Self) -> bool {
        let said = self.said == Said::Other || self.said == seen.said;
        said && self.status == seen.status && self.goes_on == seen.goes_on
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = match &self.said {
            Said::Stored => "stored",
            Said::Code(code) => code,
            Said::Bare => "bare",
            Said::Other => "",
        };
        let goes_on = if self.goes_on { "open" } else { "close" };
        write!(formatter, "{} {said} {goes_on}", self.status)
    }
}

/// One case.
#[derive(Clone, Debug)]
pub struct Row {
    pub name: String,
    pub outcome: Outcome,
    line: String,
    columns: Vec<String>,
}

impl Row {
    /// The rows of a file.
    pub fn all(text: &str) -> Vec<Self> {
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        lines.map(|line| Self::parse(line).unwrap_or_else(|| panic!("no row: {line}"))).collect()
    }

    fn parse(line: &str) -> Option<Self> {
        let mut columns = line.split('|').map(|column| column.trim_matches(' ').to_owned());
        let name = columns.next().filter(|name| is_kebab_case(name))?;
        let outcome = Outcome::parse(&columns.next()?)?;
        let columns: Vec<String> = columns.collect();
        if columns.is_empty() {
            return None;
        }
        Some(Self { name, outcome, line: line.to_owned(), columns })
    }

    /// A column behind the outcome, from 0, as bytes; empty if there is none. `words` are what braces may name.
    pub fn bytes(&self, column: usize, words: &Words) -> Vec<u8> {
        let text = self.columns.get(column).map_or("", String::as_str);
        let mut bytes = Vec::new();
        decode(text, words, &mut bytes).unwrap_or_else(|| panic!("not to be read: {}", self.line));
        bytes
    }

    /// What makes this case another than the rest of its file.
    pub fn columns(&self) -> Vec<String> {
        self.columns.clone()
    }

    /// The same row with the outcome that a column holds, if it holds one.
    pub fn or_outcome_of(mut self, column: usize) -> Self {
        let other = self.columns.get(column).and_then(|text| Outcome::parse(text));
        self.outcome = other.unwrap_or(self.outcome);
        self
    }
}

fn is_kebab_case(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// Names and what they stand for.
pub type Words = [(&'static str, Vec<u8>)];

fn decode(mut text: &str, words: &Words, bytes: &mut Vec<u8>) -> Option<()> {
    while let Some(at) = text.find(['\\', '{', '}']) {
        bytes.extend(&text.as_bytes()[..at]);
        let rest = &text[at + 1..];
        text = match &text[at..=at] {
            "\\" => escape(rest, bytes)?,
            "{" => braces(rest, words, bytes)?,
            _ => return None,
        };
    }
    bytes.extend(text.as_bytes());
    Some(())
}

/// Reads what follows a backslash; returns the rest.
fn escape<'a>(text: &'a str, bytes: &mut Vec<u8>) -> Option<&'a str> {
    let rest = text.get(1..)?;
    let byte = match &text[..1] {
        "r" => b'\r',
        "n" => b'\n',
        "t" => b'\t',
        "0" => 0,
        "s" => b' ',
        "\\" => b'\\',
        "{" => b'{',
        "}" => b'}',
        "x" => {
            bytes.push(u8::from_str_radix(rest.get(..2)?, 16).ok()?);
            return Some(&rest[2..]);
        }
        "u" => {
            let (digits, rest) = rest.strip_prefix('{')?.split_once('}')?;
            let character = char::from_u32(u32::from_str_radix(digits, 16).ok()?)?;
            bytes.extend(character.to_string().as_bytes());
            return Some(rest);
        }
        _ => return None,
    };
    bytes.push(byte);
    Some(rest)
}

/// Reads what follows an opening brace, a word or a repetition; returns the rest.
fn braces<'a>(text: &'a str, words: &Words, bytes: &mut Vec<u8>) -> Option<&'a str> {
    let end = closing(text)?;
    let (inside, rest) = (&text[..end], &text[end + 1..]);
    match inside.rsplit_once('*') {
        Some((unit, times)) => {
            let mut once = Vec::new();
            decode(unit, words, &mut once)?;
            bytes.extend(once.repeat(times.parse().ok()?));
        }
        None => bytes.extend(&words.iter().find(|(word, _)| *word == inside)?.1),
    }
    Some(rest)
}

/// Where the brace is closed that was opened before `text`.
fn closing(text: &str) -> Option<usize> {
    let (mut depth, mut is_escaped) = (0, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'{' => depth += 1,
            b'}' if depth == 0 => return Some(at),
            b'}' => depth -= 1,
            _ => {}
        }
    }
    None
}

#[test]
fn the_notation_of_tables() {
    let words = [("form", b"FORM".to_vec())];
    let decoded = |text: &str| {
        let mut bytes = Vec::new();
        decode(text, &words, &mut bytes).map(|()| bytes)
    };
    for (text, bytes) in [
        ("", &b""[..]),
        ("plain * text", b"plain * text"),
        (r"\r\n\t\0\s\\\{\}", b"\r\n\t\0 \\{}"),
        (r"\x00\xfF\x7c", b"\0\xff|"),
        (r"\u{20ac}\u{e4}x", "€äx".as_bytes()),
        ("ä", "ä".as_bytes()),
        ("{x*3}", b"xxx"),
        (r"{a\r\n*2}b{-*0}{**2}", b"a\r\na\r\nb**"),
        (r"{\u{e4}\}*2}", "ä}ä}".as_bytes()),
        ("{form}{{form}.*2}", b"FORMFORM.FORM."),
    ] {
        assert_eq!(decoded(text).as_deref(), Some(bytes), "{text}");
    }
    for text in [r"\", r"\q", r"\x1", r"\xzz", r"\u{d800}", r"\u{", "{x*3", "{x*y}", "{unknown}", "}", r"\é"]
    {
        assert_eq!(decoded(text), None, "{text}");
    }
}

#[test]
fn the_lines_of_tables() {
    let rows =
        Row::all("# a comment\n\na-1 | 400 bad_chunk | \\s x |  second\nb | 200 stored |\nc | 405 open | x");
    let [a, b, c] = &rows[..] else { panic!("{rows:?}") };
    assert_eq!(
        (a.name.as_str(), a.bytes(0, &[]), a.bytes(1, &[])),
        ("a-1", b"  x".to_vec(), b"second".to_vec())
    );
    assert_eq!(a.outcome, Outcome { status: 400, said: Said::Code("bad_chunk".to_owned()), goes_on: false });
    assert_eq!((b.bytes(0, &[]), b.bytes(1, &[])), (Vec::new(), Vec::new()));
    assert_eq!(b.outcome, Outcome { status: 200, said: Said::Stored, goes_on: true });
    assert_eq!(c.outcome, Outcome { status: 405, said: Said::Other, goes_on: true });
    assert!(c.outcome.holds(&Outcome { said: Said::Bare, ..c.outcome.clone() }));
    assert!(!a.outcome.holds(&Outcome { goes_on: true, ..a.outcome.clone() }));
    assert!(!b.outcome.holds(&Outcome { said: Said::Other, ..b.outcome.clone() }));
    assert_eq!(Outcome::parse("closed"), Some(Outcome::CLOSED));
    for line in ["a", "a | 400", "A | 400 | x", "a_b | 400 | x", "a | x | x", "| 400 | x"] {
        assert!(Row::parse(line).is_none(), "{line}");
    }
}
