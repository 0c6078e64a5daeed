//! The binary: reads the command line, serves until it is told to stop.

use std::error::Error;
use std::process::ExitCode;

use server::cli::{self, Beside};
use server::config::Config;
use server::start::StartError;
use server::{listener, log, settings};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("bucket-brigade: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<ExitCode, Box<dyn Error>> {
    let (cli, matches) = cli::read();
    match cli.command {
        None if cli.print_config => {
            print!("{}", settings::listed(&cli::command(), &matches, std::env::vars()))
        }
        None => serve(cli.config).await?,
        Some(Beside::Check(check)) => {
            log::start(None, "warn");
            return Ok(if check.run().await? { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        Some(Beside::Health(health)) => println!("{}", health.ask()?),
        Some(Beside::Completions { shell }) => cli::complete(shell),
    }
    Ok(ExitCode::SUCCESS)
}

async fn serve(config: Config) -> Result<(), StartError> {
    log::start(config.log_format, "info");
    listener::raise_open_files();
    let shutdown = CancellationToken::new();
    let listener = listener::bind("--listen", config.listen)?;
    // Heard from here on: whoever reads that it has started may stop it.
    let signals = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::spawn(stop_on_signal(signals, shutdown.clone()));
    server::serve(listener, config, shutdown).await
}

/// The first signal lets running uploads end, the second does not wait: exit code 2.
async fn stop_on_signal((mut terminate, mut interrupt): (Signal, Signal), shutdown: CancellationToken) {
    for _ in 0..2 {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        if shutdown.is_cancelled() {
            std::process::exit(2);
        }
        shutdown.cancel();
    }
}
