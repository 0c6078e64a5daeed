//! Tells `assets` where the built site lies, and refuses a product without one.
//!
//! Tests and tools may build the server without its page: not every test needs it. A *product* must not be
//! empty by accident, and the profile cannot tell the two apart (tests use the release profile too), so the
//! signal is explicit: `cargo xtask` sets BRIGADE_REQUIRE_SITE, cargo-leptos is known by LEPTOS_SITE_ROOT.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=LEPTOS_SITE_ROOT");
    println!("cargo::rerun-if-env-changed=BRIGADE_COMMIT");
    println!("cargo::rustc-env=BRIGADE_VERSION={}", version());
    let site = site_root();
    println!("cargo::rustc-env=BRIGADE_SITE={}", site.display());
    if env::var("PROFILE").as_deref() == Ok("debug") {
        return; // there rust-embed reads the folder while the server runs
    }
    if env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        // A third of the product would be names and line tables. A panic says where it was without them, and the tests,
        // which are built like it, keep theirs.
        println!("cargo::rustc-link-arg-bins=-Wl,--strip-all");
    }
    if !site.is_dir() {
        // Cargo takes a path that is not there for changed at every build, and a fresh one once more.
        let made = fs::create_dir_all(&site)
            .and_then(|()| File::open(&site))
            .and_then(|folder| folder.set_modified(SystemTime::UNIX_EPOCH));
        if let Err(error) = made {
            println!("cargo::warning=cannot make {}: {error}", site.display());
        }
    }
    println!("cargo::rerun-if-changed={}", site.display());
    if is_whole(&site) {
        return;
    }
    // Named only while the site is missing: with a site the answer does not depend on it, and builds with
    // and without it share their artifacts.
    println!("cargo::rerun-if-env-changed=BRIGADE_REQUIRE_SITE");
    let missing = format!("no page to embed in {}: `cargo xtask serve` builds both", site.display());
    if env::var_os("BRIGADE_REQUIRE_SITE").is_some() {
        println!("cargo::error={missing}");
    } else if env::var_os("LEPTOS_SITE_ROOT").is_some() {
        println!("cargo::error={missing}; with cargo-leptos, --release needs --precompress (-P)");
    } else {
        println!("cargo::warning={missing}; this server answers without styles and scripts");
    }
}

fn version() -> String {
    let version = variable("CARGO_PKG_VERSION");
    match env::var("BRIGADE_COMMIT") {
        Ok(commit) if !commit.is_empty() => format!("{version} ({commit})"),
        _ => version,
    }
}

/// cargo-leptos names the folder from the workspace's root; otherwise it is `site` in the target directory.
fn site_root() -> PathBuf {
    if let Some(root) = env::var_os("LEPTOS_SITE_ROOT") {
        let manifest = PathBuf::from(variable("CARGO_MANIFEST_DIR"));
        return manifest.parent().unwrap_or(Path::new("/")).join(root);
    }
    // <target>[/<triple>]/<profile>/build/<package>/out
    let out = PathBuf::from(variable("OUT_DIR"));
    let above_profile = out.ancestors().nth(4).expect("OUT_DIR lies five levels below the target directory");
    let cross = above_profile.file_name().is_some_and(|name| *name == *variable("TARGET"));
    let target = if cross { above_profile.parent() } else { Some(above_profile) };
    target.expect("the folder of a triple lies in the target directory").join("site")
}

fn is_whole(site: &Path) -> bool {
    let Ok(files) = fs::read_dir(site.join("pkg")) else { return false };
    let found: Vec<PathBuf> = files
        .filter_map(Result::ok)
        .filter(|file| file.metadata().is_ok_and(|meta| meta.len() > 0))
        .map(|file| file.path())
        .collect();
    ["wasm", "js", "css"]
        .iter()
        .all(|kind| found.iter().any(|path| path.extension().is_some_and(|extension| extension == *kind)))
}

fn variable(name: &str) -> String {
    env::var(name).expect("cargo sets it for every build script")
}
