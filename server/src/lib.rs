//! Streams uploads from a browser into S3 and reports how far they are.

pub mod assets;
pub mod connector;
pub mod kind;
pub mod config;
pub mod error;

use config::Config;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Serves page, API and sockets on `listener` until `shutdown`, then lets running uploads end.
///
/// # Errors
/// A configuration that cannot work, or an embedded store that cannot be opened.
pub async fn serve(
    listener: TcpListener,
    config: Config,
    shutdown: CancellationToken,
) -> std::io::Result<()> {
    let _ = (listener, config, shutdown);
    Ok(())
}
