//! The configuration as it is: `--print-config`.

use std::any::TypeId;
use std::ffi::OsStr;
use std::fmt::Write;

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};

use crate::config::Secret;

/// Stands for what is not shown.
const HIDDEN: &str = "(not shown)";

/// Every option by its variable, under its heading: what was given plain, defaults as comments. Then what is set of
/// AWS's own.
#[must_use]
pub fn listed(
    command: &Command,
    matches: &ArgMatches,
    environment: impl Iterator<Item = (String, String)>,
) -> String {
    let mut text = String::new();
    let mut heading = None;
    for (arg, variable) in command.get_arguments().filter_map(|arg| Some((arg, arg.get_env()?.to_str()?))) {
        if heading != arg.get_help_heading() {
            heading = arg.get_help_heading();
            section(&mut text, heading.unwrap_or_default());
        }
        let mark = if is_given(arg, matches) { "" } else { "#" };
        let _ = writeln!(text, "{mark}{variable}={}", value(arg, matches));
    }
    let mut of_aws: Vec<_> = environment.filter(|(name, _)| name.starts_with("AWS_")).collect();
    of_aws.sort();
    if !of_aws.is_empty() {
        section(&mut text, "AWS's own");
    }
    for (name, value) in of_aws {
        let is_secret = ["KEY", "TOKEN", "SECRET"].iter().any(|word| name.contains(word));
        let _ = writeln!(text, "{name}={}", if is_secret { HIDDEN } else { &value });
    }
    text
}

fn section(text: &mut String, heading: &str) {
    let gap = if text.is_empty() { "" } else { "\n" };
    let _ = writeln!(text, "{gap}# {heading}");
}

fn is_given(arg: &Arg, matches: &ArgMatches) -> bool {
    let source = matches.value_source(arg.get_id().as_str());
    matches!(source, Some(ValueSource::CommandLine | ValueSource::EnvVariable))
}

fn value(arg: &Arg, matches: &ArgMatches) -> String {
    let Some(values) = matches.get_raw(arg.get_id().as_str()) else { return String::new() };
    if arg.get_value_parser().type_id() == TypeId::of::<Secret>() {
        return HIDDEN.to_owned();
    }
    values.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(",")
}
