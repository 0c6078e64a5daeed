//! The form parser against two others: one that has the whole body before it, and multer.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, stream};
use ingress::error::Failure;
use ingress::form::{FileHead, Form};
use ingress::kind::file_name_from_header;
use ingress::peer::Patience;
use wire::FileType;

use crate::Cuts;

const PIECES: [u32; 8] = [1, 2, 3, 7, 20, 70, 500, 4000];

/// Two bytes for the cuts, a line with the Content-Type, and the body.
///
/// However the body is cut, the same files come out with the same verdict. Against the other parsers:
/// - A form that we accept has its last delimiter; one that we call cut short has not.
/// - The files that we hand out are the parts that they see, in order, byte for byte; none is passed over.
/// - Where a part's header is written as browsers write it, field and name are the same too.
///
/// They accept more than we do, and may: a header that two readers might read differently is refused here. Of multer
/// only the successes count, and only where nothing comes before the first delimiter, which it finds in the middle of a
/// line too, and where no boundary has a space behind it, which RFC 2046 allows, no client sends, and is content here.
pub fn form(data: &[u8]) {
    let Some((cuts, rest)) = Cuts::split(data, &PIECES) else { return };
    let Some(line) = rest.iter().position(|byte| *byte == b'\n') else { return };
    let (content_type, body) = (String::from_utf8_lossy(&rest[..line]), &rest[line + 1..]);
    let reading = read(&content_type, vec![Bytes::copy_from_slice(body)]);
    assert_eq!(read(&content_type, cuts.of(body)), reading, "how the body is cut changes what is in it");
    let (Some(reading), Ok(boundary)) = (reading, multer::parse_boundary(&content_type)) else { return };
    let naive = Naive::read(&boundary, body);
    compare(&reading, &naive);
    if let (Ok(()), Some(contents)) = (reading.end, by_multer(&boundary, body)) {
        let ours: Vec<&[u8]> = naive.parts.iter().map(|part| part.content).collect();
        assert_eq!(ours, contents, "multer sees other parts");
    }
}

#[derive(Debug, PartialEq)]
struct Reading {
    files: Vec<(FileHead, Vec<u8>)>,
    /// The bytes of a file that did not arrive whole.
    rest: Option<Vec<u8>>,
    end: Result<(), Failure>,
}

/// `None` where the Content-Type is not a form's.
fn read(content_type: &str, pieces: Vec<Bytes>) -> Option<Reading> {
    let patience = Patience { silence: Duration::from_secs(1), rate_window: Duration::from_secs(1) };
    let body = Box::pin(stream::iter(pieces.into_iter().map(Ok)));
    let mut form = Form::open(Some(content_type), body, patience).ok()?;
    let mut reading = Reading { files: Vec::new(), rest: None, end: Ok(()) };
    reading.end = read_files(&mut form, &mut reading).now_or_never().expect("every piece is there");
    Some(reading)
}

async fn read_files(form: &mut Form, reading: &mut Reading) -> Result<(), Failure> {
    while let Some(head) = form.next_file().await? {
        let bytes = reading.rest.insert(Vec::new());
        while let Some(chunk) = form.chunk().await? {
            assert!(!chunk.is_empty(), "an empty chunk is no news");
            bytes.extend_from_slice(&chunk);
        }
        reading.files.extend(reading.rest.take().map(|bytes| (head, bytes)));
    }
    Ok(())
}

fn compare(reading: &Reading, naive: &Naive<'_>) {
    match reading.end {
        Ok(()) => assert!(naive.is_whole, "a form without its last delimiter is accepted"),
        Err(Failure::Truncated | Failure::NoFile) => {
            assert!(!naive.is_whole, "a whole form is called cut short");
        }
        Err(_) => {}
    }
    let mut parts = naive.parts.iter();
    for (head, bytes) in &reading.files {
        loop {
            let part = parts.next().unwrap_or_else(|| panic!("no part is {head:?} with {bytes:?}"));
            if part.content == bytes && part.may_be(head) {
                break;
            }
            assert!(!part.is_surely_a_file(), "passed over: {part:?}");
        }
    }
    if reading.end.is_ok() {
        let passed = parts.find(|part| part.is_surely_a_file());
        assert!(passed.is_none(), "passed over: {passed:?}");
    }
}

/// The form as RFC 2046, 5.1.1, has it, read with all of it at hand.
struct Naive<'a> {
    parts: Vec<Part<'a>>,
    /// The last delimiter is there.
    is_whole: bool,
}

#[derive(Debug)]
struct Part<'a> {
    /// Field and file name, where the header is written as browsers write it.
    plain: Option<(&'a str, Option<&'a str>)>,
    content: &'a [u8],
}

impl<'a> Naive<'a> {
    fn read(boundary: &str, body: &'a [u8]) -> Self {
        let mut naive = Self { parts: Vec::new(), is_whole: false };
        let delimiter = format!("\r\n--{boundary}");
        // The first delimiter may lack its line end.
        let first = match body.strip_prefix(&delimiter.as_bytes()[2..]) {
            Some(rest) if rest.starts_with(b"\r\n") || rest.starts_with(b"--") => Some((&body[..0], rest)),
            _ => split_at_delimiter(body, &delimiter),
        };
        let Some((_, mut rest)) = first else { return naive };
        while let Some(part) = rest.strip_prefix(b"\r\n") {
            let header = match part {
                [b'\r', b'\n', ..] => Some(2),
                _ => part.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4),
            };
            let Some((header, content)) = header.map(|end| part.split_at(end)) else { return naive };
            let Some((content, after)) = split_at_delimiter(content, &delimiter) else { return naive };
            naive.parts.push(Part { plain: plain(header), content });
            rest = after;
        }
        naive.is_whole = true;
        naive
    }
}

/// What comes before the first delimiter, and its last two bytes with all that follows.
fn split_at_delimiter<'a>(bytes: &'a [u8], delimiter: &str) -> Option<(&'a [u8], &'a [u8])> {
    let length = delimiter.len();
    let at = bytes.windows(length + 2).position(|window| {
        let (mark, end) = window.split_at(length);
        mark == delimiter.as_bytes() && (end == b"\r\n" || end == b"--")
    })?;
    Some((&bytes[..at], &bytes[at + length..]))
}

/// Reads `Content-Disposition: form-data; name="a"; filename="b"` with a Content-Type or nothing besides.
fn plain(header: &[u8]) -> Option<(&str, Option<&str>)> {
    let mut lines = std::str::from_utf8(header).ok()?.strip_suffix("\r\n\r\n")?.split("\r\n");
    let disposition = lines.next()?.strip_prefix("Content-Disposition: form-data; name=\"")?;
    let types = lines.next().is_none_or(|line| line == "Content-Type: application/octet-stream");
    let is_plain = |text: &str| text.chars().all(|c| !c.is_control() && c != '"' && c != '\\');
    let values = disposition.strip_suffix('"')?;
    let (name, file_name) = match values.split_once("\"; filename=\"") {
        Some((name, file_name)) => (name, Some(file_name)),
        None => (values, None),
    };
    (types && lines.next().is_none() && is_plain(name) && file_name.is_none_or(is_plain))
        .then_some((name, file_name))
}

impl Part<'_> {
    fn may_be(&self, head: &FileHead) -> bool {
        self.plain.is_none_or(|(field, file_name)| {
            let name = file_name.map(file_name_from_header).filter(|name| !name.is_empty());
            field == head.file_type.field() && file_name.is_some() && name == head.name
        })
    }

    fn is_surely_a_file(&self) -> bool {
        self.plain.is_some_and(|(field, file_name)| {
            let is_left_empty =
                self.content.is_empty() && file_name.map(file_name_from_header).is_none_or(|n| n.is_empty());
            FileType::ALL.iter().any(|file| file.field() == field) && file_name.is_some() && !is_left_empty
        })
    }
}

/// The contents of all parts; `None` when it does not like the form.
fn by_multer(boundary: &str, body: &[u8]) -> Option<Vec<Vec<u8>>> {
    body.strip_prefix(b"--")?.strip_prefix(boundary.as_bytes())?;
    let padded = [" ", "\t"].map(|space| format!("--{boundary}{space}"));
    let has = |text: &String| body.windows(text.len()).any(|window| window == text.as_bytes());
    if padded.iter().any(has) {
        return None;
    }
    let body = stream::iter([Ok::<_, std::convert::Infallible>(Bytes::copy_from_slice(body))]);
    let mut form = multer::Multipart::new(body, boundary);
    let read = async {
        let mut contents = Vec::new();
        while let Some(field) = form.next_field().await.ok()? {
            contents.push(field.bytes().await.ok()?.to_vec());
        }
        Some(contents)
    };
    read.now_or_never().flatten()
}
