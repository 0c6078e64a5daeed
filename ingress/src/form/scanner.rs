//! Takes a multipart body apart as its chunks come (RFC 2046, 5.1.1): pure, and content is passed on uncopied.
//!
//! A delimiter is CR LF, `--`, the boundary, and then CR LF or `--`. Whatever else looks like one is content.

use bytes::{Buf, Bytes};
use memchr::memmem::Finder;

use crate::error::Failure;

/// One part's header, in bytes (busboy's limit).
const MAX_HEAD: usize = 16 * 1024;
/// What may come before the first delimiter, in bytes.
const MAX_PREAMBLE: usize = 64 * 1024;
/// Bytes behind the boundary that tell what the delimiter means.
const SUFFIX: usize = 2;

/// What the scanner finds, in the order of the body.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// A part begins; its header lines, each with its line end, and an empty one.
    Head(Vec<u8>),
    Content(Bytes),
    /// The part's delimiter is complete.
    PartEnd,
    /// The last delimiter has come; what follows is of no interest.
    FormEnd,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Preamble,
    Head,
    Content,
    /// Behind the last delimiter.
    End,
}

/// Where in a body we are.
pub struct Scanner {
    delimiter: Vec<u8>,
    finder: Finder<'static>,
    place: Place,
    /// Not looked at yet.
    chunk: Bytes,
    /// The end of earlier chunks that may be a delimiter's beginning.
    carry: Vec<u8>,
    head: Vec<u8>,
    passed: usize,
}

enum Scan {
    More,
    Bytes(Bytes),
    Delimiter { is_last: bool },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Match {
    No,
    /// As far as the bytes go.
    SoFar,
    Whole {
        is_last: bool,
    },
}

impl Scanner {
    pub fn new(boundary: &str) -> Self {
        let delimiter = format!("\r\n--{boundary}").into_bytes();
        Self {
            finder: Finder::new(&delimiter).into_owned(),
            delimiter,
            place: Place::Preamble,
            chunk: Bytes::new(),
            // The first delimiter may lack its line end: nothing came before it.
            carry: b"\r\n".to_vec(),
            head: Vec::new(),
            passed: 0,
        }
    }

    /// Gives the next chunk, once [`Scanner::next`] has nothing more to find in the last one.
    pub fn feed(&mut self, chunk: Bytes) {
        debug_assert!(self.chunk.is_empty(), "the last chunk was used up");
        self.chunk = chunk;
    }

    /// What comes next; `None` until there is another chunk.
    ///
    /// # Errors
    /// `bad_boundary`, `bad_part_header`: more bytes than allowed where there is no content.
    pub fn next(&mut self) -> Result<Option<Found>, Failure> {
        match self.place {
            Place::Preamble => self.pass_preamble(),
            Place::Head => self.read_head(),
            Place::Content => Ok(match self.scan() {
                Scan::More => None,
                Scan::Bytes(bytes) => Some(Found::Content(bytes)),
                Scan::Delimiter { is_last } => {
                    self.pass_delimiter(is_last);
                    Some(Found::PartEnd)
                }
            }),
            Place::End => Ok(Some(Found::FormEnd)),
        }
    }

    /// What is wrong with a body that ends here.
    pub fn cut_short(&self) -> Failure {
        match self.place {
            Place::Preamble if self.carry.len() < self.delimiter.len() => Failure::NoFile,
            _ => Failure::Truncated,
        }
    }

    fn pass_preamble(&mut self) -> Result<Option<Found>, Failure> {
        loop {
            match self.scan() {
                Scan::More => return Ok(None),
                Scan::Bytes(bytes) => self.passed += bytes.len(),
                Scan::Delimiter { is_last } => {
                    self.pass_delimiter(is_last);
                    return self.next();
                }
            }
            if self.passed > MAX_PREAMBLE {
                return Err(Failure::BadBoundary);
            }
        }
    }

    fn scan(&mut self) -> Scan {
        if !self.carry.is_empty() {
            return self.scan_carry();
        }
        let mut from = 0;
        while let Some(found) = self.finder.find(&self.chunk[from..]) {
            let at = from + found;
            match self.compare(&self.chunk[at..]) {
                Match::Whole { is_last } if at == 0 => {
                    self.chunk.advance(self.delimiter.len() + SUFFIX);
                    return Scan::Delimiter { is_last };
                }
                Match::Whole { .. } => return Scan::Bytes(self.chunk.split_to(at)),
                Match::SoFar => return self.carry_from(at),
                Match::No => from = at + 1,
            }
        }
        let tail = self.chunk.len().saturating_sub(self.delimiter.len()).max(from);
        let may_begin = |at: &usize| self.compare(&self.chunk[*at..]) != Match::No;
        let begins = memchr::memchr_iter(b'\r', &self.chunk[tail..]).map(|at| tail + at).find(may_begin);
        self.carry_from(begins.unwrap_or(self.chunk.len()))
    }

    /// Passes on what lies before `at`, and keeps the rest for the next chunk.
    fn carry_from(&mut self, at: usize) -> Scan {
        let content = self.chunk.split_to(at);
        // A chunk that is used up is let go, so that hyper can read into the same buffer again.
        self.carry.extend_from_slice(&std::mem::take(&mut self.chunk));
        if content.is_empty() { Scan::More } else { Scan::Bytes(content) }
    }

    /// Decides about the carry with the first bytes of the chunk.
    fn scan_carry(&mut self) -> Scan {
        let wanted = (self.delimiter.len() + SUFFIX).saturating_sub(self.carry.len());
        let taken = self.chunk.split_to(wanted.min(self.chunk.len()));
        self.carry.extend_from_slice(&taken);
        match self.compare(&self.carry) {
            Match::Whole { is_last } => {
                self.carry.clear();
                Scan::Delimiter { is_last }
            }
            Match::SoFar => Scan::More,
            Match::No => {
                let may_begin = |at: &usize| self.compare(&self.carry[*at..]) != Match::No;
                let begins = (1..self.carry.len()).find(may_begin).unwrap_or(self.carry.len());
                Scan::Bytes(self.carry.drain(..begins).collect())
            }
        }
    }

    /// Whether `bytes` begin with a delimiter.
    fn compare(&self, bytes: &[u8]) -> Match {
        let (boundary, suffix) = bytes.split_at(bytes.len().min(self.delimiter.len()));
        if !self.delimiter.starts_with(boundary) {
            return Match::No;
        }
        match suffix {
            [] | [b'\r' | b'-'] => Match::SoFar,
            [b'\r', b'\n', ..] => Match::Whole { is_last: false },
            [b'-', b'-', ..] => Match::Whole { is_last: true },
            _ => Match::No,
        }
    }

    fn pass_delimiter(&mut self, is_last: bool) {
        self.place = if is_last { Place::End } else { Place::Head };
        // The end of the delimiter's line: a header without lines is over with the next one.
        self.head.clear();
        self.head.extend_from_slice(b"\r\n");
    }

    fn read_head(&mut self) -> Result<Option<Found>, Failure> {
        let before = self.head.len();
        let most = (MAX_HEAD + 4 - before).min(self.chunk.len());
        self.head.extend_from_slice(&self.chunk[..most]);
        let from = before.saturating_sub(3);
        match memchr::memmem::find(&self.head[from..], b"\r\n\r\n") {
            Some(at) => {
                let end = from + at + 4;
                self.chunk.advance(end - before);
                self.head.truncate(end);
                self.place = Place::Content;
                let lines = self.head.split_off(2);
                // Of a file there may be much to come: its scanner does not keep room for another header.
                self.head = Vec::new();
                Ok(Some(Found::Head(lines)))
            }
            None if self.head.len() >= MAX_HEAD + 4 => Err(Failure::BadPartHeader),
            None => {
                self.chunk = Bytes::new();
                Ok(None)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: &[u8] = b"preamble\r\n--Bad\r\n--B\r\nname: a\r\n\r\n--Bx\r\n--B-\r\n\r\n--B\r\r\n\r\r\n--B\r\n\r\n\r\n--B--\r\n--B\r\n";

    /// What is found, content joined per part, when the body comes in these pieces.
    fn found(pieces: &[&[u8]]) -> Vec<Found> {
        let mut scanner = Scanner::new("B");
        let mut all: Vec<Found> = Vec::new();
        for piece in pieces {
            scanner.feed(Bytes::copy_from_slice(piece));
            while let Some(next) = scanner.next().unwrap() {
                match (all.last_mut(), next) {
                    (Some(Found::FormEnd), _) => break,
                    (Some(Found::Content(before)), Found::Content(more)) => {
                        *before = [&before[..], &more[..]].concat().into();
                    }
                    (_, next) => all.push(next),
                }
            }
            if all.last() == Some(&Found::FormEnd) {
                break;
            }
        }
        all
    }

    fn head(lines: &str) -> Found {
        Found::Head(lines.as_bytes().to_vec())
    }

    fn content(bytes: &'static [u8]) -> Found {
        Found::Content(Bytes::from_static(bytes))
    }

    #[test]
    fn what_only_looks_like_a_delimiter_is_content_wherever_the_body_is_cut() {
        let whole = [
            head("name: a\r\n\r\n"),
            content(b"--Bx\r\n--B-\r\n\r\n--B\r\r\n\r"),
            Found::PartEnd,
            head("\r\n"),
            Found::PartEnd,
            Found::FormEnd,
        ];
        assert_eq!(found(&[FORM]), whole);
        for cut in 0..=FORM.len() {
            let (first, second) = FORM.split_at(cut);
            assert_eq!(found(&[first, second]), whole, "cut at {cut}");
        }
        let bytes: Vec<&[u8]> = FORM.chunks(1).collect();
        assert_eq!(found(&bytes), whole, "byte by byte");
    }

    #[test]
    fn parts_come_with_their_heads_and_content() {
        let body = b"--B\r\na: b\r\n\r\none\r\n--B\r\nc: d\r\n\r\n\r\n\r\n--B--";
        let expected = [
            head("a: b\r\n\r\n"),
            content(b"one"),
            Found::PartEnd,
            head("c: d\r\n\r\n"),
            content(b"\r\n"),
            Found::PartEnd,
            Found::FormEnd,
        ];
        assert_eq!(found(&[body]), expected);
    }

    #[test]
    fn a_body_that_ends_early_says_where() {
        for (body, failure) in [
            (&b""[..], Failure::NoFile),
            (b"nothing of a form", Failure::NoFile),
            (b"--B", Failure::Truncated),
            (b"--B\r\na: b", Failure::Truncated),
            (b"--B\r\na: b\r\n\r\ncontent\r\n--B", Failure::Truncated),
        ] {
            let mut scanner = Scanner::new("B");
            scanner.feed(Bytes::from_static(body));
            while scanner.next().unwrap().is_some() {}
            assert_eq!(scanner.cut_short(), failure, "{body:?}");
        }
    }

    #[test]
    fn what_is_no_content_is_bounded() {
        let mut scanner = Scanner::new("B");
        scanner.feed(Bytes::from(vec![b'x'; MAX_PREAMBLE + 3]));
        assert_eq!(scanner.next(), Err(Failure::BadBoundary));
        let mut scanner = Scanner::new("B");
        scanner.feed(Bytes::from_static(b"--B\r\n"));
        assert_eq!(scanner.next(), Ok(None));
        let mut fed = 0;
        let failed = loop {
            scanner.feed(Bytes::from(vec![b'x'; 1000]));
            fed += 1000;
            if let Err(failure) = scanner.next() {
                break failure;
            }
        };
        assert_eq!(failed, Failure::BadPartHeader);
        assert!((MAX_HEAD..MAX_HEAD + 2000).contains(&fed));
    }
}
