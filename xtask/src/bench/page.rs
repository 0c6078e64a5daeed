//! `cargo xtask bench page`: what the page costs its browser while both files are under way.

use std::process::{Command, ExitCode};

use super::process::{Running, free_port, tied};
use crate::places::Places;
use crate::program::{self, Failure};
use crate::{server, site, tools};

/// Serves the page, and has Chromium traced while it shows an upload.
///
/// # Errors
/// Something is missing, or does not run.
pub fn run(places: &Places) -> Result<ExitCode, Failure> {
    tools::browser(places)?;
    site::build(places)?;
    let server = server::build(places)?;
    let (port, store) = (free_port()?, free_port()?);
    let listen = ["--listen", "--store-listen"].into_iter().zip([port, store]);
    let mut command = tied(server.path());
    command.args(listen.flat_map(|(flag, port)| [flag.to_owned(), format!("127.0.0.1:{port}")]));
    command.arg("--data-dir").arg(places.target.join("bench-page"));
    let running = Running::start(command, port, places.target.join("bench-page.log"))?;
    let script = places.workspace.join("frontend/e2e/trace.mjs");
    program::run(Command::new("node").arg(script).env("BASE_URL", format!("http://{}", running.address)))?;
    Ok(ExitCode::SUCCESS)
}
