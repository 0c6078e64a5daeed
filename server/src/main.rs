//! The binary: reads the configuration, starts the log, serves until it is told to stop.

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use server::config::{Config, LogFormat};
use server::listener;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> ExitCode {
    let config = Config::parse();
    start_log(config.log_format);
    raise_open_files();
    match run(config).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bucket-brigade: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(config: Config) -> std::io::Result<()> {
    let shutdown = CancellationToken::new();
    let listener = listener::bind(config.listen)?;
    // Heard from here on: whoever reads that it has started may stop it.
    let signals = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    banner(&config, &listener)?;
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

/// Each watcher is an open file, and the limit that a process begins with is often 1,024.
fn raise_open_files() {
    let most = getrlimit(Resource::Nofile).maximum;
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most }) {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}

fn start_log(format: Option<LogFormat>) {
    // Connections that an error leaves are our connector's own business.
    let default = "info,s3s=off,aws_config=warn,aws_smithy_runtime=warn,\
                   aws_smithy_runtime::client::http::connection_poisoning=off";
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let is_terminal = std::io::stderr().is_terminal();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Colours are for a terminal: in a file they are control characters.
    let log = log.with_ansi(is_terminal);
    match format.unwrap_or(if is_terminal { LogFormat::Text } else { LogFormat::Json }) {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
}

fn banner(config: &Config, listener: &TcpListener) -> std::io::Result<()> {
    let address = listener.local_addr()?;
    if !std::io::stderr().is_terminal() {
        tracing::info!(listen = %address, version = env!("CARGO_PKG_VERSION"), "bucket-brigade starts");
        return Ok(());
    }
    let storage = match &config.storage.bucket {
        Some(bucket) => format!("s3://{bucket}"),
        None => format!(
            "{} (S3 at http://{}, bucket uploads)",
            config.storage.data_dir.display(),
            config.storage.store_listen
        ),
    };
    eprintln!("bucket-brigade {}", env!("CARGO_PKG_VERSION"));
    eprintln!("  page     http://{address}/");
    eprintln!("  storage  {storage}");
    let limits = &config.limits;
    eprintln!("  limits   document {}, image {}", limits.max_document_size, limits.max_image_size);
    eprintln!("  api      POST /upload");
    eprintln!("  press ctrl-c to stop");
    Ok(())
}
