//! Where the workspace and the target directory lie, and how cargo is called.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::program::Failure;

pub struct Places {
    pub workspace: PathBuf,
    /// Follows CARGO_TARGET_DIR and cargo's configuration, since xtask itself was built there.
    pub target: PathBuf,
}

impl Places {
    /// # Errors
    /// Not started by `cargo xtask`.
    pub fn find() -> Result<Self, Failure> {
        let manifest = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
        let program = env::current_exe().ok();
        // <target>/release/xtask
        let target = program.as_deref().and_then(|program| program.ancestors().nth(2));
        match (manifest.as_deref().and_then(Path::parent), target) {
            (Some(workspace), Some(target)) => {
                Ok(Self { workspace: workspace.to_owned(), target: target.to_owned() })
            }
            _ => Err(Failure::new("start it as `cargo xtask`")),
        }
    }

    /// Every call sets the same environment, or the next one would build again.
    pub fn cargo(&self) -> Command {
        self.with_environment(Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into())))
    }

    /// For what calls cargo in its turn.
    pub fn with_environment(&self, mut cargo: Command) -> Command {
        cargo
            .current_dir(&self.workspace)
            .env("CARGO_TARGET_DIR", &self.target)
            .env("BRIGADE_REQUIRE_SITE", "1");
        // What `cargo run` told us about xtask: build scripts (ring's) would take it for a change of theirs.
        let ours = ["CARGO_MANIFEST_", "CARGO_PKG_", "CARGO_BIN_NAME", "CARGO_CRATE_NAME"];
        for (name, _) in env::vars_os() {
            if ours.iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
                cargo.env_remove(name);
            }
        }
        cargo
    }
}
