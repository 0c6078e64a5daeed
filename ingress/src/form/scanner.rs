//! Takes a multipart body apart as its chunks come (RFC 2046, 5.1.1): pure, and content is passed on uncopied.
//!
//! A delimiter is CR LF, `--`, the boundary, and then CR LF or `--`. Whatever else looks like one is content.

use bytes::{Buf, Bytes};
use memchr::memmem::Finder;

use crate::error::Failure;

/// One part's header, in bytes (busboy's limit).
const MAX_HEAD: usize = 16 * 1024;
/// A header is copied in steps, from so many bytes on: a form may have many of them in one chunk.
const HEAD_STEP: usize = 32;
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
    #[cfg(test)]
    examined: std::cell::Cell<usize>,
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
            #[cfg(test)]
            examined: std::cell::Cell::default(),
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
        while let Some(found) = self.find(from) {
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
        self.examine(self.chunk.len() - tail);
        let may_begin = |at: &usize| self.compare(&self.chunk[*at..]) != Match::No;
        let begins = memchr::memchr_iter(b'\r', &self.chunk[tail..]).map(|at| tail + at).find(may_begin);
        self.carry_from(begins.unwrap_or(self.chunk.len()))
    }

    /// How far behind `from` the chunk has the delimiter's text.
    fn find(&self, from: usize) -> Option<usize> {
        let rest = &self.chunk[from..];
        let found = self.finder.find(rest);
        self.examine(found.map_or(rest.len(), |at| at + self.delimiter.len()));
        found
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
        let before = self.carry.len();
        let wanted = (self.delimiter.len() + SUFFIX).saturating_sub(before).min(self.chunk.len());
        self.carry.extend_from_slice(&self.chunk[..wanted]);
        let found = self.compare(&self.carry);
        if found == Match::No {
            // Only about the carry: what begins in the chunk is found there, and passed on uncopied.
            let may_begin = |at: &usize| self.compare(&self.carry[*at..]) != Match::No;
            let begins = (1..before).find(may_begin).unwrap_or(before);
            self.carry.truncate(before);
            return Scan::Bytes(self.carry.drain(..begins).collect());
        }
        drop(self.chunk.split_to(wanted));
        match found {
            Match::Whole { is_last } => {
                self.carry.clear();
                Scan::Delimiter { is_last }
            }
            _ => Scan::More,
        }
    }

    /// Whether `bytes` begin with a delimiter.
    fn compare(&self, bytes: &[u8]) -> Match {
        self.examine(bytes.len().min(self.delimiter.len() + SUFFIX));
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

    /// So many bytes are looked at, which tests count.
    fn examine(&self, bytes: usize) {
        #[cfg(test)]
        self.examined.set(self.examined.get() + bytes);
        #[cfg(not(test))]
        let _ = bytes;
    }

    fn pass_delimiter(&mut self, is_last: bool) {
        self.place = if is_last { Place::End } else { Place::Head };
        // The end of the delimiter's line: a header without lines is over with the next one.
        self.head.clear();
        self.head.extend_from_slice(b"\r\n");
    }

    fn read_head(&mut self) -> Result<Option<Found>, Failure> {
        while !self.chunk.is_empty() {
            let before = self.head.len();
            let step = before.max(HEAD_STEP).min(MAX_HEAD + 4 - before).min(self.chunk.len());
            self.head.extend_from_slice(&self.chunk[..step]);
            let from = before.saturating_sub(3);
            self.examine(self.head.len() - from);
            if let Some(at) = memchr::memmem::find(&self.head[from..], b"\r\n\r\n") {
                let end = from + at + 4;
                self.chunk.advance(end - before);
                self.head.truncate(end);
                self.place = Place::Content;
                let lines = self.head.split_off(2);
                // Of a file there may be much to come: its scanner does not keep room for another header.
                self.head = Vec::new();
                return Ok(Some(Found::Head(lines)));
            }
            if self.head.len() >= MAX_HEAD + 4 {
                return Err(Failure::BadPartHeader);
            }
            self.chunk.advance(step);
        }
        self.chunk = Bytes::new();
        Ok(None)
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

    /// Bytes looked at in a form of one part with `content`, and the most that was held, as it comes in such pieces.
    fn effort(boundary: &str, content: &[u8], piece: usize) -> (usize, usize) {
        let body = [format!("--{boundary}\r\n\r\n").as_bytes(), content].concat();
        let (mut scanner, mut held) = (Scanner::new(boundary), 0);
        for piece in body.chunks(piece) {
            scanner.feed(Bytes::copy_from_slice(piece));
            // What is wrong here ends the form: nothing is looked at after that.
            while let Ok(Some(found)) = scanner.next() {
                held = held.max(scanner.carry.capacity() + scanner.head.capacity());
                if found == Found::FormEnd {
                    break;
                }
            }
        }
        (scanner.examined.get(), held)
    }

    /// The beginnings of a delimiter, all its near misses, and true ones, each over and over.
    fn hostile_contents(boundary: &str) -> Vec<Vec<u8>> {
        let delimiter = format!("\r\n--{boundary}");
        let mut units: Vec<String> = (1..=delimiter.len()).map(|end| delimiter[..end].to_owned()).collect();
        let behind = ["x", "-", "-x", "\r", "\r\r", "\r\n", "\r\n\r\n", "\r\na: b\r\n\r\n", "\r\na: b"];
        units.extend(behind.iter().map(|behind| format!("{delimiter}{behind}")));
        units.iter().map(|unit| unit.as_bytes().repeat(40_000 / unit.len())).collect()
    }

    #[test]
    fn a04_a05_a_hostile_form_costs_time_in_proportion_to_its_length_and_no_memory() {
        for boundary in ["B", "--", &"-".repeat(70), &"ab".repeat(35)] {
            // Where each piece ends, a place may be compared with the delimiter: once for each byte, if they are small.
            let once = boundary.len() + 8;
            for content in hostile_contents(boundary) {
                for (piece, most) in [
                    (1, 2 * once),
                    (2, 2 * once),
                    (once - 1, 2 * once),
                    (once, 2 * once),
                    (4096, 8),
                    (50_000, 8),
                ] {
                    let (examined, held) = effort(boundary, &content, piece);
                    assert!(
                        examined <= most * (content.len() + 100),
                        "{examined} for {} bytes in pieces of {piece}, {:?} ...",
                        content.len(),
                        String::from_utf8_lossy(&content[..100])
                    );
                    assert!(held <= 4 * MAX_HEAD, "{held} bytes held");
                }
            }
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
