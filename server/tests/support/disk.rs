//! A disk of a few MiB, to be filled.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A tmpfs, unmounted when it is dropped.
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts one of so many MiB over a directory; none, with a word, for who may not mount.
    #[must_use]
    pub fn mount(path: &Path, mib: u32) -> Option<Self> {
        if !may_mount() {
            println!("SKIPPED: a small disk is mounted by root only");
            return None;
        }
        let size = format!("size={mib}m");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(path).output();
        let mounted = mounted.expect("mount is part of every Linux");
        assert!(mounted.status.success(), "{mounted:?}");
        Some(Self(path.to_owned()))
    }
}

/// Whether this process has CAP_SYS_ADMIN, number 21 (capabilities(7)).
fn may_mount() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:")).expect("a process has it");
    u64::from_str_radix(effective.trim(), 16).unwrap() >> 21 & 1 == 1
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Whoever still has a file open there keeps only that.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
