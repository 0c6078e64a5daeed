//! `cargo xtask store-check`: the tests in `server/tests/stores` against the store that the environment names.

use std::env;
use std::path::{Path, PathBuf, absolute};
use std::process::ExitCode;

use crate::places::Places;
use crate::program::{self, Failure};
use crate::{server, site};

const OPTIONS: &str = "\
cargo xtask store-check [--report FILE] [CASE]
  --report FILE    keeps the report, as Markdown
  CASE             only cases whose name has this in it
Uploads through the server into the store of AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and
BRIGADE_BUCKET, with BRIGADE_S3_CHECKSUMS and BRIGADE_S3_PATH_STYLE if they are set. The bucket must be one that nobody
uses; it is left as it was. Ends with 1 if a case failed.";

/// Without them there is no store.
const NEEDED: [&str; 4] =
    ["AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "BRIGADE_BUCKET"];

#[derive(Debug, Default, PartialEq)]
struct Options {
    report: Option<PathBuf>,
    case: Option<String>,
}

/// Builds page, server and suite, and runs it.
///
/// # Errors
/// The environment names no store, they do not build, or a case failed.
pub fn run(places: &Places, arguments: &[String]) -> Result<ExitCode, Failure> {
    let options = Options::parse(arguments).map_err(|wrong| Failure::new(format!("{wrong}\n{OPTIONS}")))?;
    if let Some(missing) = NEEDED.iter().find(|name| env::var_os(name).is_none()) {
        return Err(Failure::new(format!("set {missing}\n{OPTIONS}")));
    }
    site::build(places)?;
    server::build(places)?;
    let mut cargo = places.cargo();
    cargo.args(["test", "--quiet", "--release", "--package=app", "--package=server", "--test=stores"]);
    cargo.args(options.case).env("BRIGADE_STORE_CHECK", "1");
    if let Some(report) = &options.report {
        // cargo starts a test in its package's folder.
        cargo.env("BRIGADE_STORE_REPORT", absolute(report).map_err(Failure::at(report))?);
    }
    program::run(&mut cargo).map(|()| ExitCode::SUCCESS)
}

impl Options {
    fn parse(arguments: &[String]) -> Result<Self, String> {
        let mut options = Self::default();
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--report" => {
                    let file = arguments.next().ok_or("--report needs a file")?;
                    options.report = Some(Path::new(file).to_owned());
                }
                option if option.starts_with('-') => return Err(format!("there is no {option}")),
                case if options.case.is_none() => options.case = Some(case.to_owned()),
                more => return Err(format!("one case at a time, not {more} too")),
            }
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, String> {
        Options::parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn options_are_read() {
        assert_eq!(parse(""), Ok(Options::default()));
        let both = Options { report: Some("a.md".into()), case: Some("path_style".to_owned()) };
        assert_eq!(parse("--report a.md path_style"), Ok(both));
    }

    #[test]
    fn what_is_not_an_option_is_said() {
        for line in ["--report", "--reports a.md", "one two"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
