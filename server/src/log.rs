//! The log: to standard error, as text for a terminal and as JSON for everything else.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::LogFormat;

/// What is told unless `RUST_LOG` says otherwise. What keys cannot be had from, we say ourselves; and connections that an
/// error leaves are our connector's own business.
const QUIET: &str = "s3s=off,aws_config=error,aws_smithy_runtime=warn,\
                     aws_smithy_runtime::client::http::connection_poisoning=off";

/// Begins it; `level` is the least that is told.
pub fn start(format: Option<LogFormat>, level: &str) {
    let filter = EnvFilter::try_from_default_env();
    let filter = filter.unwrap_or_else(|_| EnvFilter::new(format!("{level},{QUIET}")));
    let is_terminal = std::io::stderr().is_terminal();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Colours are for a terminal: in a file they are control characters.
    let log = log.with_ansi(is_terminal && std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty()));
    match format.unwrap_or(if is_terminal { LogFormat::Text } else { LogFormat::Json }) {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().flatten_event(true).with_span_list(false).init(),
    }
}
