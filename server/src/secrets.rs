//! Secrets that are made at first start and kept in the data directory, readable by the owner only.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::ids::random_bytes;

/// Reads the secret called `name`, or makes it.
///
/// # Errors
/// The directory cannot be read or written; the error names the file.
pub fn kept(dir: &Path, name: &str) -> io::Result<String> {
    let path = dir.join(name);
    let secret = match fs::read_to_string(&path) {
        Ok(secret) if !secret.trim().is_empty() => Ok(secret.trim().to_owned()),
        Ok(_) => make(&path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => make(&path),
        Err(error) => Err(error),
    };
    secret.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

fn make(path: &Path) -> io::Result<String> {
    let secret = URL_SAFE_NO_PAD.encode(random_bytes::<30>());
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(secret.as_bytes())?;
    file.sync_all()?;
    Ok(secret)
}
