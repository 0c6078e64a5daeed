//! The release binary with the site inside.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::places::Places;
use crate::program::{self, Failure};

const NAME: &str = "bucket-brigade";

/// The built program.
pub struct Server(PathBuf);

/// Builds it; where the target directory lies elsewhere, `target/release/` gets a link to it.
///
/// # Errors
/// It does not compile, or there is no site to put into it.
pub fn build(places: &Places) -> Result<Server, Failure> {
    program::run(places.cargo().args(["build", "--release", "--package", "server"]))?;
    let built = places.target.join("release").join(NAME);
    let expected = places.workspace.join("target/release").join(NAME);
    if !is_same(&built, &expected) {
        link(&built, &expected).map_err(Failure::at(&expected))?;
    }
    Ok(Server(expected))
}

impl Server {
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Becomes the server, so that a signal to our process id reaches it; returns only if that failed.
    pub fn run_in_our_place(self, arguments: &[String]) -> Failure {
        Failure::at(&self.0)(Command::new(&self.0).args(arguments).exec())
    }
}

fn is_same(built: &Path, expected: &Path) -> bool {
    matches!((built.canonicalize(), expected.canonicalize()), (Ok(built), Ok(expected)) if built == expected)
}

fn link(built: &Path, expected: &Path) -> io::Result<()> {
    if let Some(folder) = expected.parent() {
        fs::create_dir_all(folder)?;
    }
    match fs::remove_file(expected) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => symlink(built, expected),
    }
}
