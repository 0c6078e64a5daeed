//! Every test: formatting, lints (in CI), what is depended on, ours and the browser's, with one closing line for all of them.

use std::env;
use std::io::{self, BufRead, BufReader};
use std::process::{ExitCode, Stdio};

use crate::places::Places;
use crate::program::{self, Failure};
use crate::{server, site, tools};

/// What `cargo test` said over all its programs.
#[derive(Debug, Default, PartialEq)]
struct Tally {
    passed: u64,
    failed: u64,
    ignored: u64,
}

/// One call of cargo each, with the features of `serve` and of xtask itself: together cargo would build anew.
const GROUPS: [&[&str]; 2] = [
    &[
        "--release",
        "--package=app",
        "--package=ingress",
        "--package=server",
        "--package=embedded",
        "--package=hostile",
    ],
    &["--release", "--package=xtask"],
];
/// `app` as the browser runs it.
const BROWSER: &[&str] = &["--package=frontend", "--target=wasm32-unknown-unknown", "--profile=wasm-release"];

/// Runs all of it even after a failure, so that one run tells everything.
///
/// # Errors
/// Set-up or build do not work.
pub fn run(places: &Places, filter: &[String]) -> Result<ExitCode, Failure> {
    tools::component(places, "fmt", "rustfmt")?;
    tools::tests(places)?;
    tools::deny(places)?;
    site::build(places)?;
    server::build(places)?;
    let mut failures = Vec::new();
    failures.extend(program::run(places.cargo().args(["fmt", "--all", "--check"])).err());
    failures.extend(deny(places).err());
    // They want every dependency's metadata once more: two minutes and 300 MB that a working day can do without.
    if env::var_os("CI").is_some() {
        tools::component(places, "clippy", "clippy")?;
        for group in GROUPS.into_iter().chain([BROWSER]) {
            failures.extend(lint(places, group).err());
        }
    }
    let mut tally = Tally::default();
    for group in GROUPS {
        failures.extend(cargo_test(places, group, filter, &mut tally).err());
    }
    for failure in &failures {
        println!("xtask: {failure}");
    }
    println!("{} passed, {} failed, {} ignored", tally.passed, tally.failed, tally.ignored);
    let good = failures.is_empty() && tally.failed == 0;
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Licences, bans and sources of every dependency (deny.toml).
fn deny(places: &Places) -> Result<(), Failure> {
    let mut cargo = tools::with_installed(places, places.cargo());
    program::run(
        cargo
            .args(["deny", "--log-level=error", "check", "--hide-inclusion-graph"])
            .args(["licenses", "bans", "sources"]),
    )
}

fn lint(places: &Places, group: &[&str]) -> Result<(), Failure> {
    let targets: &[&str] = if group == BROWSER { &[] } else { &["--all-targets"] };
    let denied = ["--", "--deny", "warnings"];
    program::run(places.cargo().arg("clippy").args(group).args(targets).args(denied))
}

fn cargo_test(places: &Places, group: &[&str], filter: &[String], tally: &mut Tally) -> Result<(), Failure> {
    let cannot = |error: io::Error| Failure::new(format!("cargo test: {error}"));
    let mut command = places.cargo();
    command.args(["test", "--no-fail-fast"]).args(group).args(filter);
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(cannot)?;
    let lines = child.stdout.take().map(|stdout| BufReader::new(stdout).lines());
    for line in lines.into_iter().flatten() {
        let line = line.map_err(cannot)?;
        println!("{line}");
        tally.add(&line);
    }
    let status = child.wait().map_err(cannot)?;
    let failed = || Failure::new(format!("cargo test {} failed ({status})", group.join(" ")));
    if status.success() { Ok(()) } else { Err(failed()) }
}

impl Tally {
    /// `test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s`
    fn add(&mut self, line: &str) {
        let Some((_, counts)) = line.strip_prefix("test result: ").and_then(|rest| rest.split_once(". "))
        else {
            return;
        };
        for count in counts.split("; ") {
            match count.split_once(' ').map(|(number, what)| (number.parse::<u64>(), what)) {
                Some((Ok(number), "passed")) => self.passed += number,
                Some((Ok(number), "failed")) => self.failed += number,
                Some((Ok(number), "ignored")) => self.ignored += number,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tally_sums_over_the_test_programs() {
        let mut tally = Tally::default();
        for line in [
            "running 4 tests",
            "test a ... ok",
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.01s",
            "test result: FAILED. 5 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.50s",
        ] {
            tally.add(line);
        }
        assert_eq!(tally, Tally { passed: 8, failed: 2, ignored: 1 });
    }
}
