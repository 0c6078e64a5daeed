//! `cargo xtask fuzz`: libFuzzer in front of the parsers, with what it needs installed.

use std::fs;
use std::process::{Command, ExitCode};

use crate::places::Places;
use crate::program::{self, Failure};
use crate::tools;

const OPTIONS: &str = "\
cargo xtask fuzz [--smoke | --time DURATION] [TARGET]
  --smoke          a minute for each target
  --time DURATION  so long for each target, such as 90s; 10m unless given
  TARGET           this one only
What is found stays in the target directory; what breaks a promise is named, and belongs into fuzz/corpus.";

const SMOKE_SECONDS: u64 = 60;
const SECONDS: u64 = 600;
/// Longest input, in bytes: large files and forms are what short ones stand for.
const MAX_LEN: u32 = 4096;
/// For one input, in seconds: then it counts as a hang.
const HANG: u32 = 20;

#[derive(Debug, PartialEq)]
struct Options {
    seconds: u64,
    target: Option<String>,
}

/// Builds every target and runs each for its time, one after the other.
///
/// # Errors
/// Set-up or build do not work, or a target has failed: libFuzzer has said on what.
pub fn run(places: &Places, arguments: &[String]) -> Result<ExitCode, Failure> {
    let options = Options::parse(arguments).map_err(|wrong| Failure::new(format!("{wrong}\n{OPTIONS}")))?;
    let mut targets = targets(places)?;
    if let Some(only) = options.target {
        let there_are = targets.join(", ");
        targets.retain(|target| *target == only);
        if targets.is_empty() {
            return Err(Failure::new(format!("there is no target {only}; there are {there_are}")));
        }
    }
    tools::fuzzer(places)?;
    program::run(&mut cargo_fuzz(places, "build"))?;
    for target in &targets {
        println!("xtask: {target} for {} s", options.seconds);
        fuzz(places, target, options.seconds)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn fuzz(places: &Places, target: &str, seconds: u64) -> Result<(), Failure> {
    let found = places.target.join("fuzz/found").join(target);
    let artifacts = places.target.join("fuzz/artifacts").join(target);
    for folder in [&found, &artifacts] {
        fs::create_dir_all(folder).map_err(Failure::at(folder))?;
    }
    let fuzz = places.workspace.join("fuzz");
    let mut command = cargo_fuzz(places, "run");
    // The first folder takes what is found, the second is only read.
    command.arg(target).arg(found).arg(fuzz.join("corpus").join(target)).arg("--");
    command.arg(format!("-dict={}", fuzz.join(format!("dictionaries/{target}.dict")).display()));
    command.arg(format!("-artifact_prefix={}/", artifacts.display()));
    command.args([format!("-max_total_time={seconds}"), format!("-max_len={MAX_LEN}")]);
    command.args([format!("-timeout={HANG}"), "-print_final_stats=1".to_owned()]);
    program::run(&mut command)
}

/// cargo-fuzz with the nightly compiler that it needs, in a target directory of its own.
fn cargo_fuzz(places: &Places, command: &str) -> Command {
    let mut cargo = tools::with_installed(places, places.with_environment(Command::new("rustup")));
    cargo.args(["run", "nightly", "cargo", "fuzz", command]);
    cargo.env("CARGO_TARGET_DIR", places.target.join("fuzz"));
    // A disk that is asked to keep each file would be most of the time.
    if fs::metadata("/dev/shm").is_ok_and(|folder| folder.is_dir()) {
        cargo.env("TMPDIR", "/dev/shm");
    }
    cargo
}

fn targets(places: &Places) -> Result<Vec<String>, Failure> {
    let folder = places.workspace.join("fuzz/fuzz_targets");
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).map_err(Failure::at(&folder))? {
        let path = entry.map_err(Failure::at(&folder))?.path();
        names.extend(path.file_stem().map(|name| name.to_string_lossy().into_owned()));
    }
    names.sort();
    Ok(names)
}

impl Options {
    fn parse(arguments: &[String]) -> Result<Self, String> {
        let mut options = Self { seconds: SECONDS, target: None };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--smoke" => options.seconds = SMOKE_SECONDS,
                "--time" => {
                    let value = arguments.next().ok_or("--time needs a value")?;
                    let seconds = program::seconds(value);
                    options.seconds = seconds
                        .ok_or_else(|| format!("--time needs a duration such as 90s or 5m, not {value}"))?;
                }
                _ if argument.starts_with('-') || options.target.is_some() => {
                    return Err(format!("there is no {argument}"));
                }
                target => options.target = Some(target.to_owned()),
            }
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read() {
        let parse =
            |line: &str| Options::parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).ok();
        let options =
            |seconds, target: Option<&str>| Some(Options { seconds, target: target.map(Into::into) });
        assert_eq!(parse(""), options(600, None));
        assert_eq!(parse("--smoke"), options(60, None));
        assert_eq!(parse("--time 2m form"), options(120, Some("form")));
        for line in ["--time", "--time x", "--times 1s", "form kinds"] {
            assert_eq!(parse(line), None, "{line}");
        }
    }
}
