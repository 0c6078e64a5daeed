//! Where things lie: bucket names, object keys and upload ids to paths without length or case traps.
//!
//! ```text
//! lock                              held by the running process
//! tmp/                              files being written; emptied at start
//! buckets/<bucket>/objects/<name>   an object; <name> is the SHA-256 of its key in hex, the key is in its record
//! buckets/<bucket>/parts/<id>/      a multipart upload: `upload` while it is open, then `1`, `2`, ...
//! ```

use std::path::{Path, PathBuf};

use s3s::crypto::{Checksum as _, Sha256};

/// Paths of one bucket. Its name is made of `a-z0-9.-` and safe as it is.
#[derive(Debug, Clone)]
pub struct BucketDir(PathBuf);

impl BucketDir {
    pub fn new(path: PathBuf) -> Self {
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn objects(&self) -> PathBuf {
        self.0.join("objects")
    }

    pub fn object(&self, key: &str) -> PathBuf {
        self.objects().join(object_name(key))
    }

    pub fn uploads(&self) -> PathBuf {
        self.0.join("parts")
    }

    pub fn upload(&self, upload_id: &str) -> UploadDir {
        UploadDir(self.uploads().join(upload_id))
    }
}

/// Paths of one multipart upload, and of the object it became.
#[derive(Debug, Clone)]
pub struct UploadDir(PathBuf);

impl UploadDir {
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// There while the upload is open.
    pub fn record(&self) -> PathBuf {
        self.0.join("upload")
    }

    pub fn part(&self, number: u16) -> PathBuf {
        self.0.join(number.to_string())
    }
}

/// The part number that a file in an upload's directory is for.
pub fn part_number(file_name: &str) -> Option<u16> {
    let number: u16 = file_name.parse().ok()?;
    (number.to_string() == file_name).then_some(number)
}

pub fn object_name(key: &str) -> String {
    hex(&Sha256::checksum(key.as_bytes()))
}

/// 128 random bits: an upload id or the name of a temporary file.
pub fn random_name() -> String {
    hex(&rand::random::<[u8; 16]>())
}

pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|b| [DIGITS[usize::from(b >> 4)], DIGITS[usize::from(b & 15)]])
        .map(char::from)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_differ_have_names_that_differ_and_stay_in_the_directory() {
        let long = "x".repeat(1024);
        let keys = ["a", "A", "a/", "a/b", "/a", "../a", "..", ".", "ä", "a\u{308}", &long];
        let names: std::collections::HashSet<_> = keys.iter().map(|k| object_name(k)).collect();
        assert_eq!(names.len(), keys.len());
        assert!(names.iter().all(|n| n.len() == 64 && n.bytes().all(|b| b.is_ascii_hexdigit())));
    }

    #[test]
    fn only_plain_numbers_are_parts() {
        assert_eq!(part_number("1"), Some(1));
        assert_eq!(part_number("10000"), Some(10_000));
        for other in ["01", "+1", "upload", "1.tmp", "70000", ""] {
            assert_eq!(part_number(other), None, "{other}");
        }
    }
}
