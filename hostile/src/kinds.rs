//! What a file is, found out while it streams by.

use ingress::kind::{Inspector, MediaType, Mismatch};
use wire::FileType;

use crate::Cuts;

const NAMES: [Option<&str>; 8] = [
    None,
    Some("a.pdf"),
    Some("a.docx"),
    Some("a.jpg"),
    Some("a.svg"),
    Some("a.tiff"),
    Some("a"),
    Some("a.docx\u{200B}"),
];
const PIECES: [u32; 8] = [1, 3, 17, 64, 65, 1000, 16 * 1024, 200_000];
/// Of a file that is written large: small pieces of it would take too long.
const LARGE_PIECES: [u32; 8] = [500, 4096, 10_000, 16 * 1024, 64 * 1024, 64 * 1024 + 1, 100_000, 1_000_000];
/// Largest file, in bytes: the largest directory that is read, and something before it.
const MOST: usize = 3 << 19;
/// What an inspector may hold, in bytes: a directory, and what comes in between two looks at it.
const MOST_HELD: usize = (1 << 20) + 2 * 64 * 1024;
/// Few enough that a fuzzer finds both sides of the limit.
const MAX_PIXELS: u64 = 1_000_000;

/// A byte for field, name and SVG, two for the cuts, and the file: as it is, or written large (see [`large`]).
///
/// However the file is cut, the verdict is the same, a type that is certain stays, and little is held.
pub fn kinds(data: &[u8]) {
    let Some((flags, rest)) = data.split_first() else { return };
    let file_type = FileType::ALL[usize::from(flags & 1)];
    let name = NAMES[usize::from(flags >> 1 & 7)];
    let (allow_svg, is_large) = (flags & 16 != 0, flags & 32 != 0);
    let sizes = if is_large { &LARGE_PIECES } else { &PIECES };
    let Some((cuts, rest)) = Cuts::split(rest, sizes) else { return };
    let file = if is_large { large(rest) } else { rest.to_vec() };
    let whole = verdict(Inspector::new(file_type, name, allow_svg, MAX_PIXELS), [&file]);
    let cut = verdict(Inspector::new(file_type, name, allow_svg, MAX_PIXELS), cuts.of(&file));
    assert_eq!(whole, cut, "the cuts decide");
    if let Ok(media) = whole {
        assert_eq!(media.file_type(), file_type);
        assert!(media != MediaType::Svg || allow_svg);
    }
}

fn verdict(
    mut inspector: Inspector,
    pieces: impl IntoIterator<Item: AsRef<[u8]>>,
) -> Result<MediaType, Mismatch> {
    let mut certain = None;
    let mut failed = None;
    for piece in pieces {
        let now = inspector.push(piece.as_ref());
        assert!(inspector.held() <= MOST_HELD, "{} bytes are held", inspector.held());
        match (now, failed) {
            (now, Some(failure)) => assert_eq!(now, Err(failure), "the verdict stays"),
            (Err(failure), None) => failed = Some(failure),
            (Ok(now), None) => {
                assert!(certain.is_none() || certain == now, "certain was not certain");
                certain = now;
            }
        }
    }
    let media = inspector.finish();
    assert!(failed.is_none_or(|failure| media == Err(failure)), "the verdict stays");
    assert!(media.is_err() || certain.is_none() || certain == media.ok(), "certain was not certain");
    media
}

/// An archive from a few bytes: each step is one that says what, one that says how much, and of a literal its bytes.
fn large(mut steps: &[u8]) -> Vec<u8> {
    let mut file = Vec::new();
    let (mut directory, mut entries) = (0, 0);
    while let [what, many, rest @ ..] = steps {
        let many = usize::from(*many);
        steps = rest;
        match what % 8 {
            0 => {
                let (literal, after) = rest.split_at(rest.len().min(many));
                file.extend_from_slice(literal);
                steps = after;
            }
            1 => file.resize(file.len() + many * 512, b'.'),
            2 => {
                file.extend_from_slice(b"PK\x03\x04");
                file.extend([0; 22]);
                file.extend(u16::to_le_bytes(19));
                file.extend_from_slice(b"\0\0[Content_Types].xml");
            }
            3 => {
                (directory, entries) = (file.len(), 2);
                file.extend(entry("[Content_Types].xml"));
                file.extend(entry("word/document.xml"));
            }
            4 => {
                entries += many * 16;
                file.extend(entry("word/media/image.png").repeat(many * 16));
            }
            5 => {
                entries += 1;
                file.extend(entry("word/vbaProject.bin"));
            }
            6 => file.extend_from_slice(&b"PK\x01\x02"[..many % 5]),
            _ => file.extend(end(directory, file.len(), entries, many * many)),
        }
        if file.len() > MOST {
            break;
        }
    }
    file.truncate(MOST);
    file
}

fn entry(name: &str) -> Vec<u8> {
    let mut entry = [0; 46];
    entry[..4].copy_from_slice(b"PK\x01\x02");
    entry[28] = u8::try_from(name.len()).expect("our names are short");
    [&entry, name.as_bytes()].concat()
}

/// The record behind the directory that lies between `start` and `stop`, with a comment.
fn end(start: usize, stop: usize, entries: usize, comment: usize) -> Vec<u8> {
    let mut record = b"PK\x05\x06\0\0\0\0".to_vec();
    for (number, length) in [(entries, 2), (entries, 2), (stop - start, 4), (start, 4), (comment, 2)] {
        record.extend(number.to_le_bytes().into_iter().take(length));
    }
    record.resize(record.len() + (comment & 0xFFFF), b'.');
    record
}
