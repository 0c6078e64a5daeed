//! A disk of a few MiB, to be filled.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A tmpfs, unmounted when it is dropped.
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts one of so many MiB over a directory; none, with a word, where that is not allowed.
    #[must_use]
    pub fn mount(path: &Path, mib: u32) -> Option<Self> {
        let size = format!("size={mib}m");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(path).output();
        match mounted {
            Ok(done) if done.status.success() => Some(Self(path.to_owned())),
            refused => {
                println!("SKIPPED: no small disk can be mounted here: {refused:?}");
                None
            }
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Whoever still has a file open there keeps only that.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
