//! `cargo xtask torture`: the long run of the tests in `server/tests/torture`, which have the clients, proxies and checks.

use std::process::ExitCode;

use crate::places::Places;
use crate::program::{self, Failure};
use crate::{server, site};

const OPTIONS: &str = "\
cargo xtask torture [--kills N | --soak DURATION] [--seed N] [--from ROUND]
  --kills N        kill the server N times while clients upload, 200 unless given; after each restart
                   every object must be whole or absent, and nothing else be left
  --soak DURATION  no kills: faults of clients, watchers, store and lines for so long, such as 5m
  --seed N         what is drawn: files, forms, faults, moments; 1 unless given
  --from ROUND     begin at this round of the seed: a violation names it
The same seed draws the same; what the machine makes of it in time differs from run to run.";

const KILLS: u64 = 200;

#[derive(Debug, PartialEq)]
struct Options {
    run: Run,
    seed: u64,
    from: u64,
}

#[derive(Debug, PartialEq)]
enum Run {
    Kills(u64),
    /// Seconds.
    Soak(u64),
}

/// Builds page, server and torture, and runs it.
///
/// # Errors
/// They do not build, or the torture found a violation.
pub fn run(places: &Places, arguments: &[String]) -> Result<ExitCode, Failure> {
    let options = Options::parse(arguments).map_err(|wrong| Failure::new(format!("{wrong}\n{OPTIONS}")))?;
    site::build(places)?;
    server::build(places)?;
    let (test, name, value) = match options.run {
        Run::Kills(kills) => ("g09_kills_at_random_moments", "BRIGADE_TORTURE_KILLS", kills),
        Run::Soak(seconds) => ("a_soak_in_random_faults", "BRIGADE_TORTURE_SOAK", seconds),
    };
    let mut cargo = places.cargo();
    cargo.args(["test", "--release", "--package=app", "--package=server", "--test=torture"]);
    cargo.args(["--", "--exact", test, "--nocapture"]);
    cargo.env(name, value.to_string());
    cargo.env("BRIGADE_TORTURE_SEED", options.seed.to_string());
    cargo.env("BRIGADE_TORTURE_FROM", options.from.to_string());
    program::run(&mut cargo).map(|()| ExitCode::SUCCESS)
}

impl Options {
    fn parse(arguments: &[String]) -> Result<Self, String> {
        let mut options = Self { run: Run::Kills(KILLS), seed: 1, from: 0 };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let value = arguments.next().ok_or_else(|| format!("{argument} needs a value"))?;
            let number = || value.parse().map_err(|_| format!("{argument} needs a number, not {value}"));
            match argument.as_str() {
                "--kills" => options.run = Run::Kills(number()?),
                "--soak" => options.run = Run::Soak(seconds(value)?),
                "--seed" => options.seed = number()?,
                "--from" => options.from = number()?,
                _ => return Err(format!("there is no {argument}")),
            }
        }
        Ok(options)
    }
}

fn seconds(text: &str) -> Result<u64, String> {
    program::seconds(text).ok_or_else(|| format!("--soak needs a duration such as 90s or 5m, not {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, String> {
        Options::parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn options_are_read() {
        assert_eq!(parse(""), Ok(Options { run: Run::Kills(200), seed: 1, from: 0 }));
        assert_eq!(parse("--soak 5m --seed 7"), Ok(Options { run: Run::Soak(300), seed: 7, from: 0 }));
        assert_eq!(parse("--kills 1 --from 17"), Ok(Options { run: Run::Kills(1), seed: 1, from: 17 }));
    }

    #[test]
    fn what_is_not_an_option_is_said() {
        for line in ["--kills", "--kills x", "--soak 5", "--soak m", "--soak", "--seeds 1"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
