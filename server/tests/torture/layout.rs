//! Whether a data directory holds the files of its objects, and no other (the layout: `embedded/src/paths.rs`).

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use crate::support::bucket::Object;
use crate::support::store::BUCKET;

/// What lies in the data directory of a server that runs.
const DATA: [&str; 4] = ["secret", "store", "store-access-key", "store-secret-key"];
const STORE: [&str; 3] = ["buckets", "lock", "tmp"];
/// The parts of a deleted object go when its last reader has.
const PATIENCE: Duration = Duration::from_secs(10);

/// What an object's files must look like.
#[derive(Clone, Debug)]
pub struct Shape {
    pub key: String,
    /// Bytes.
    pub size: usize,
    /// Files of its own besides its record; none if it was put in one piece.
    pub parts: Option<usize>,
}

impl Shape {
    pub fn of(object: &Object) -> Self {
        let etag = object.etag.as_deref().unwrap_or_default().trim_matches('"');
        let parts = etag.rsplit_once('-').and_then(|(_, parts)| parts.parse().ok());
        Self { key: object.key.clone(), size: object.content.len(), parts }
    }

    fn file_name(&self) -> String {
        Sha256::digest(self.key.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// What is there and should not be, or the reverse.
pub async fn strays(data_dir: &Path, objects: &[Shape]) -> Vec<String> {
    let begun = Instant::now();
    loop {
        let found = look(data_dir, objects);
        if found.is_empty() || begun.elapsed() > PATIENCE {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The same, as it is now.
pub fn look(data_dir: &Path, objects: &[Shape]) -> Vec<String> {
    let mut found = Vec::new();
    let mut nothing_but = |dir: &Path, known: &BTreeSet<String>| {
        let there = names(dir);
        let odd = there.symmetric_difference(known);
        found.extend(odd.map(|name| format!("stray or missing: {}", dir.join(name).display())));
    };
    let store = data_dir.join("store");
    let bucket = store.join("buckets").join(BUCKET);
    let known: BTreeSet<_> = names(data_dir).into_iter().filter(|name| name.ends_with("-key")).collect();
    // Keys that were given are not kept.
    let data = DATA.iter().filter(|name| !name.ends_with("-key") || known.contains(**name));
    nothing_but(data_dir, &owned(data));
    nothing_but(&store, &owned(&STORE));
    nothing_but(&store.join("tmp"), &BTreeSet::new());
    nothing_but(&store.join("buckets"), &owned(&[BUCKET]));
    nothing_but(&bucket, &owned(&["objects", "parts"]));
    nothing_but(&bucket.join("objects"), &objects.iter().map(Shape::file_name).collect());
    let uploads = names(&bucket.join("parts"));
    let mut counts = Vec::new();
    for upload in uploads {
        let dir = bucket.join("parts").join(upload);
        let parts = names(&dir);
        nothing_but(&dir, &(1..=parts.len()).map(|number| number.to_string()).collect());
        counts.push(parts.len());
    }
    let mut wanted: Vec<usize> = objects.iter().filter_map(|object| object.parts).collect();
    wanted.sort_unstable();
    counts.sort_unstable();
    if counts != wanted {
        found.push(format!("objects have {wanted:?} parts, and there are {counts:?}"));
    }
    found
}

fn owned<'a>(names: impl IntoIterator<Item = &'a &'a str>) -> BTreeSet<String> {
    names.into_iter().map(ToString::to_string).collect()
}

fn names(dir: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}
