//! The embedded store's files: where they lie, what is written into them, and in what pages they are listed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};

use embedded::blocks::{Reader, Writer, read_record};
use embedded::listing::{from_token, to_token};
use embedded::page::Query;
use embedded::paths::{BucketDir, part_number, random_name};
use embedded::records::{Headers, ObjectRecord, Piece, Pieces};
use serde_json::Value;

/// Fields, each with a byte for its length before it: of a record, its bytes and a fault; of a listing; JSON.
///
/// No key leads out of its directory; what was sealed is read again as it was, and 32 wrong bits in a row are noticed;
/// a file that is none of ours is an error; pages have every key once.
pub fn records(data: &[u8]) {
    let mut fields = Fields(data);
    let record = record(&mut fields);
    places(&record.key);
    let content = fields.bytes().repeat(usize::from(fields.byte()) * 8);
    let fault = (usize::from(fields.byte()) << 8 | usize::from(fields.byte()), fields.array());
    sealed(&record, &content, fault);
    listed(&mut fields);
    foreign(fields.0);
}

/// Reads an input bit by bit; empty values once it has been used up.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(self.0.len().min(length));
        self.0 = rest;
        taken
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        let taken = self.take(N);
        std::array::from_fn(|at| taken.get(at).copied().unwrap_or_default())
    }

    fn byte(&mut self) -> u8 {
        self.array::<1>()[0]
    }

    fn number(&mut self) -> u64 {
        u64::from_le_bytes(self.array())
    }

    fn bytes(&mut self) -> &'a [u8] {
        let length = usize::from(self.byte());
        self.take(length)
    }

    fn text(&mut self) -> String {
        String::from_utf8_lossy(self.bytes()).into_owned()
    }

    fn maybe(&mut self) -> Option<String> {
        let text = self.text();
        (!text.is_empty()).then_some(text)
    }
}

fn record(fields: &mut Fields<'_>) -> ObjectRecord {
    let piece =
        |fields: &mut Fields<'_>| Piece { number: u16::from_le_bytes(fields.array()), size: fields.number() };
    ObjectRecord {
        key: fields.text(),
        size: fields.number(),
        etag: fields.text(),
        crc64nvme: fields.number(),
        modified_ms: fields.number(),
        headers: Headers {
            content_type: fields.maybe(),
            content_disposition: fields.maybe(),
            content_encoding: fields.maybe(),
            content_language: fields.maybe(),
            cache_control: fields.maybe(),
            metadata: (0..fields.byte() % 8)
                .map(|_| (fields.text(), fields.text()))
                .collect::<BTreeMap<_, _>>(),
        },
        pieces: match fields.byte() % 4 {
            0 => None,
            many => {
                Some(Pieces { upload_id: random_name(), parts: (0..many).map(|_| piece(fields)).collect() })
            }
        },
    }
}

fn places(key: &str) {
    let dir = BucketDir::new(PathBuf::from("/store/buckets/uploads"));
    let object = dir.object(key);
    assert_eq!(object.parent(), Some(dir.objects().as_path()), "{key:?}");
    let name = object.file_name().and_then(|name| name.to_str()).expect("a name of hex digits");
    assert!(name.len() == 64 && name.bytes().all(|digit| digit.is_ascii_hexdigit()), "{name}");
    let upload = dir.upload(&random_name());
    assert_eq!(upload.path().parent(), Some(dir.uploads().as_path()));
    // Only what this store writes is a part.
    if let Some(number) = part_number(key) {
        assert_eq!(upload.part(number), upload.path().join(key));
    }
    assert_eq!(from_token(&to_token(key)).ok().as_deref(), Some(key));
    if let Ok(last) = from_token(key) {
        assert!(to_token(&last).eq_ignore_ascii_case(key));
    }
}

fn sealed(record: &ObjectRecord, content: &[u8], (at, wrong): (usize, [u8; 4])) {
    let files = Scratch::new();
    let mut writer = Writer::create(files.0.join("temporary")).expect("a working disk");
    writer.write(content).expect("a working disk");
    let path = files.0.join("sealed");
    writer.seal(record).and_then(|sealed| sealed.publish(&path)).expect("a working disk");
    let written = serde_json::to_value(record).expect("a record is JSON");
    assert_eq!(both(&path).expect("it was just written"), (content.to_vec(), written.clone()));

    let mut bytes = fs::read(&path).expect("a working disk");
    let at = at % bytes.len();
    bytes.iter_mut().skip(at).zip(wrong).for_each(|(byte, wrong)| *byte ^= wrong);
    fs::write(&path, &bytes).expect("a working disk");
    match both(&path) {
        Ok(read) => assert_eq!(read, (content.to_vec(), written), "{wrong:?} at {at} goes unnoticed"),
        Err(error) => assert_eq!(error.kind(), io::ErrorKind::InvalidData),
    }
    fs::write(&path, &bytes[..at]).expect("a working disk");
    assert_eq!(both(&path).expect_err("it is cut").kind(), io::ErrorKind::InvalidData);
}

/// An object's bytes and its record.
fn both(path: &Path) -> io::Result<(Vec<u8>, Value)> {
    let record: ObjectRecord = read_record(path)?;
    let mut reader = Reader::new(File::open(path)?)?;
    let mut content = Vec::new();
    loop {
        match reader.read(content.len() as u64, 1000)? {
            end if end.is_empty() => return Ok((content, serde_json::to_value(record)?)),
            bytes => content.extend_from_slice(&bytes),
        }
    }
}

/// Page after page, as a client asks for them, against all at once.
fn listed(fields: &mut Fields<'_>) {
    let (prefix, delimiter) = (fields.text(), fields.text());
    let max = 1 + usize::from(fields.byte() % 4);
    let keys: BTreeSet<String> = (0..fields.byte() % 16).map(|_| fields.text()).collect();
    let group = |key: &str| {
        let at = key[prefix.len()..].find(&delimiter).filter(|_| !delimiter.is_empty())?;
        Some(key[..prefix.len() + at + delimiter.len()].to_owned())
    };
    let inside = keys.iter().filter(|key| key.starts_with(&prefix) && !key.is_empty());
    let expected: BTreeSet<String> = inside
        .map(|key| group(key).map_or_else(|| key.clone(), |group| format!("{group} and more")))
        .collect();

    let mut found = BTreeSet::new();
    let mut after = String::new();
    for _ in 0..=keys.len() {
        let query = Query { prefix: &prefix, delimiter: &delimiter, after: &after, max };
        let start = query.start();
        let from = if start == after { Bound::Excluded(start) } else { Bound::Included(start) };
        let rest = keys.range::<str, _>((from, Bound::Unbounded));
        let page = query.page(rest.map(|key| (key.as_str(), key)));
        assert!(page.entries.len() + page.prefixes.len() <= max);
        let entries = page.entries.into_iter().cloned();
        for name in entries.chain(page.prefixes.iter().map(|group| format!("{group} and more"))) {
            assert!(found.insert(name.clone()), "{name:?} is listed twice");
        }
        match page.next {
            Some(next) => after = next,
            None => {
                assert_eq!(found, expected, "{keys:?}");
                return;
            }
        }
    }
    panic!("the pages do not end: {keys:?}");
}

/// Any bytes as a file of the store, and any JSON as the record in one.
fn foreign(bytes: &[u8]) {
    let files = Scratch::new();
    let path = files.0.join("foreign");
    fs::write(&path, bytes).expect("a working disk");
    assert_eq!(both(&path).expect_err("none of ours").kind(), io::ErrorKind::InvalidData);
    let Ok(value) = serde_json::from_slice::<Value>(bytes) else { return };
    let writer = Writer::create(files.0.join("temporary")).expect("a working disk");
    writer.seal(&value).and_then(|sealed| sealed.publish(&path)).expect("a working disk");
    if let Err(error) = both(&path) {
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}

/// A folder that goes with its value.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("hostile-{}", random_name()));
        fs::create_dir(&path).expect("a working disk");
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
