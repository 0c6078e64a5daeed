//! What an operator reads first: on a terminal a few lines, elsewhere one line of the log.

use std::io::{self, IsTerminal};

use tokio::net::TcpListener;

use crate::cli::VERSION;
use crate::config::Config;
use crate::s3::Bucket;

/// Says where everything is, and nothing secret.
///
/// # Errors
/// The listener has no address.
pub fn show(config: &Config, listener: &TcpListener, bucket: &Bucket) -> io::Result<()> {
    let (address, version) = (listener.local_addr()?, VERSION);
    if !io::stderr().is_terminal() {
        tracing::info!(listen = %address, store = bucket.place(), version, "bucket-brigade starts");
        return Ok(());
    }
    let storage = match &config.storage.bucket {
        Some(_) => bucket.place().to_owned(),
        None => {
            let dir = config.storage.data_dir.display();
            format!("{dir}, as {}, keys in {dir}/store-*-key", bucket.place())
        }
    };
    let limits = &config.limits;
    eprintln!("bucket-brigade {version}");
    eprintln!("  page     http://{address}/");
    eprintln!("  storage  {storage}");
    let faults = config.storage.faults.switches();
    if faults.are_on() {
        eprintln!("  faults   it {faults}");
    }
    eprintln!("  limits   document {}, image {}", limits.max_document_size, limits.max_image_size);
    eprintln!("  api      POST /upload, described at http://{address}/docs");
    eprintln!("  press ctrl-c to stop");
    Ok(())
}
