//! What a fresh machine lacks: each is looked for, named, and installed.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::places::Places;
use crate::program::{self, Failure};

const WASM: &str = "wasm32-unknown-unknown";

const CHROMIUM: (&str, &str) = ("chromium", "/usr/bin/chromium");
pub const HAPROXY: (&str, &str) = ("haproxy", "/usr/sbin/haproxy");
pub const NGINX: (&str, &str) = ("nginx", "/usr/sbin/nginx");

/// Debian's packages that the tests drive, each with the program that it brings.
const TEST_PACKAGES: [(&str, &str); 9] = [
    CHROMIUM,
    ("caddy", "/usr/bin/caddy"),
    ("curl", "/usr/bin/curl"),
    ("faketime", "/usr/bin/faketime"),
    ("fiu-utils", "/usr/bin/fiu-run"),
    HAPROXY,
    NGINX,
    ("rclone", "/usr/bin/rclone"),
    // Only its systemd-analyze runs.
    ("systemd", "/usr/bin/systemd-analyze"),
];

/// From PyPI. Without awscrt moto gives a CRC32 for a CRC64NVME, and the server is right to refuse that.
const MOTO: [&str; 2] = ["moto[server]==5.2.5", "awscrt==0.38.1"];

/// Standard library for the browser.
///
/// # Errors
/// It is missing and rustup cannot bring it.
pub fn wasm_target() -> Result<(), Failure> {
    let folder = program::answer(Command::new("rustc").args(["--print", "target-libdir", "--target", WASM]));
    if folder.is_some_and(|folder| Path::new(&folder).is_dir()) {
        return Ok(());
    }
    println!("xtask: installing Rust's standard library for {WASM} (rustup)");
    program::run(Command::new("rustup").args(["target", "add", WASM]))
}

/// rustfmt or clippy, which a minimal toolchain does not bring.
///
/// # Errors
/// It is missing and rustup cannot bring it.
pub fn component(places: &Places, subcommand: &str, component: &str) -> Result<(), Failure> {
    if program::answer(places.cargo().args([subcommand, "--version"])).is_some() {
        return Ok(());
    }
    println!("xtask: installing {component} (rustup)");
    program::run(Command::new("rustup").args(["component", "add", component]))
}

/// cargo-fuzz, and the nightly compiler that it calls.
///
/// # Errors
/// One is missing and cannot be installed.
pub fn fuzzer(places: &Places) -> Result<(), Failure> {
    let nightly = ["run", "nightly", "rustc", "--version"];
    if program::answer(Command::new("rustup").args(nightly)).is_none() {
        println!("xtask: installing the nightly compiler, which the fuzzer needs (rustup)");
        let install = ["toolchain", "install", "nightly", "--profile", "minimal"];
        program::run(Command::new("rustup").args(install))?;
    }
    cargo_install(places, "fuzz", "a minute")
}

/// cargo-deny, which reads licences and sources of what we depend on.
///
/// # Errors
/// It is missing and cannot be installed.
pub fn deny(places: &Places) -> Result<(), Failure> {
    cargo_install(places, "deny", "two to four minutes on two cores")
}

/// Installs cargo's `subcommand` into the target directory, unless it is there or the machine has it.
fn cargo_install(places: &Places, subcommand: &str, takes: &str) -> Result<(), Failure> {
    if program::answer(with_installed(places, places.cargo()).args([subcommand, "--version"])).is_some() {
        return Ok(());
    }
    let folder = places.target.join("tools");
    println!("xtask: installing cargo-{subcommand} into {} (cargo, {takes})", folder.display());
    let mut cargo = places.cargo();
    cargo.args(["install", "--locked", &format!("cargo-{subcommand}"), "--root"]).arg(&folder);
    program::run(cargo.env("CARGO_TARGET_DIR", folder.join("build")))
}

/// Lets a cargo find what [`cargo_install`] has installed.
pub fn with_installed(places: &Places, mut cargo: Command) -> Command {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(places.target.join("tools/bin")).chain(env::split_paths(&path));
    if let Ok(path) = env::join_paths(folders) {
        cargo.env("PATH", path);
    }
    cargo
}

/// The folder of `wasm-opt` and `esbuild`; without npm nothing, and the page is only larger.
pub fn shrinkers(places: &Places) -> Option<PathBuf> {
    let folder = places.target.join("tools");
    let installed = copy_manifest(&places.workspace.join("xtask/tools"), &folder)
        .and_then(|()| npm_ci(&folder, "wasm-opt and esbuild, which make the page small"));
    match installed {
        Ok(()) => Some(folder.join("node_modules/.bin")),
        Err(reason) => {
            eprintln!("xtask: without wasm-opt and esbuild the page is larger: {reason}");
            None
        }
    }
}

/// What drives the browser, and the browser; the variable CHROMIUM names another one.
///
/// # Errors
/// Something is missing and cannot be installed.
pub fn browser(places: &Places) -> Result<(), Failure> {
    npm_ci(&places.workspace.join("frontend/e2e"), "playwright-core, which drives the browser")?;
    packages(&[CHROMIUM])
}

/// What the tests run beside ours: the browser, proxies, what breaks a machine, a reader of stores that is not ours, and a
/// store.
///
/// # Errors
/// Something is missing and cannot be installed.
pub fn tests(places: &Places) -> Result<(), Failure> {
    packages(&TEST_PACKAGES)?;
    moto(places)?;
    browser(places)
}

/// Python's stand-in for S3, in a Python of its own.
///
/// # Errors
/// It is missing and pip cannot install it.
pub fn moto(places: &Places) -> Result<(), Failure> {
    let folder = places.target.join("tools/moto");
    let done = folder.join(".installed");
    let wanted = MOTO.join("\n");
    if fs::read_to_string(&done).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    println!("xtask: installing moto, a store to test with, into {} (pip, a minute)", folder.display());
    if program::answer(Command::new("python3").args(["-c", "import ensurepip"])).is_none() {
        apt_install(&["python3-venv"])?;
    }
    program::run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))?;
    let mut pip = Command::new(folder.join("bin/pip"));
    pip.args(["install", "--quiet", "--disable-pip-version-check"]).args(MOTO);
    program::run(&mut pip)?;
    fs::write(&done, wanted).map_err(Failure::at(&done))
}

/// Debian's nginx and HAProxy, which the bench compares with.
///
/// # Errors
/// One is missing and cannot be installed.
pub fn byte_pipes() -> Result<(), Failure> {
    packages(&[HAPROXY, NGINX])
}

/// The folder of the bench's npm peers, with our glue.
///
/// # Errors
/// They are missing and npm cannot install them.
pub fn bench_peers(places: &Places) -> Result<PathBuf, Failure> {
    let (source, folder) = (places.workspace.join("xtask/bench/peers"), places.target.join("bench-peers"));
    copy_manifest(&source, &folder)?;
    npm_ci(&folder, "busboy, lib-storage and multer-s3, which the bench compares with")?;
    for name in ["lib_storage.mjs", "multer_s3.mjs"] {
        fs::copy(source.join(name), folder.join(name)).map_err(Failure::at(&source.join(name)))?;
    }
    Ok(folder)
}

fn copy_manifest(from: &Path, to: &Path) -> Result<(), Failure> {
    fs::create_dir_all(to).map_err(Failure::at(to))?;
    for name in ["package.json", "package-lock.json"] {
        fs::copy(from.join(name), to.join(name)).map_err(Failure::at(&from.join(name)))?;
    }
    Ok(())
}

/// Installs exactly what the lock file says, once.
fn npm_ci(folder: &Path, what: &str) -> Result<(), Failure> {
    let lock_file = folder.join("package-lock.json");
    let lock = fs::read(&lock_file).map_err(Failure::at(&lock_file))?;
    let done = folder.join("node_modules/.installed-from");
    if fs::read(&done).is_ok_and(|installed| installed == lock) {
        return Ok(());
    }
    let npm =
        program::on_path("npm").ok_or_else(|| Failure::new("npm is missing (Debian: apt install npm)"))?;
    println!("xtask: installing {what} into {}", folder.display());
    let options =
        ["ci", "--no-audit", "--no-fund", "--ignore-scripts", "--no-update-notifier", "--loglevel=error"];
    program::run(Command::new(npm).args(options).current_dir(folder).stdout(Stdio::null()))?;
    fs::write(&done, lock).map_err(Failure::at(&done))
}

/// Installs those of Debian's packages whose program is not there; a variable of its name stands for another one.
fn packages(needed: &[(&str, &str)]) -> Result<(), Failure> {
    let is_there =
        |name: &str, program: &str| Path::new(program).exists() || env::var_os(name.to_uppercase()).is_some();
    let missing: Vec<&str> =
        needed.iter().filter(|(name, program)| !is_there(name, program)).map(|(name, _)| *name).collect();
    if missing.is_empty() { Ok(()) } else { apt_install(&missing) }
}

fn apt_install(packages: &[&str]) -> Result<(), Failure> {
    let list = packages.join(" ");
    let by_hand = || Failure::new(format!("this needs {list}: install as root, apt-get install {list}"));
    program::on_path("apt-get").ok_or_else(by_hand)?;
    let is_root = program::answer(Command::new("id").arg("-u")).as_deref() == Some("0");
    let mut shell = if is_root { Command::new("sh") } else { Command::new("sudo") };
    if !is_root {
        shell.args(["-n", "sh"]);
    }
    println!("xtask: installing {list} (apt)");
    // A browser without any font draws no text.
    shell.args(["-euc", INSTALL, "sh", "fonts-dejavu-core"]).args(packages);
    program::run(shell.stdout(Stdio::null())).map_err(|_| by_hand())
}

/// Debian starts a service when it installs one, now and at every boot: the policy forbids the first, and its
/// tools take back the second.
const INSTALL: &str = r#"
export DEBIAN_FRONTEND=noninteractive
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi
apt-get -q update
apt-get -q install -y --no-install-recommends "$@"
for name in "$@"; do
    if [ -e "/etc/init.d/$name" ]; then
        update-rc.d "$name" disable
    fi
    rm -f "/etc/systemd/system/multi-user.target.wants/$name.service"
done
"#;
