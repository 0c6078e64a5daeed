//! Streams a document and an image from a browser into S3, and reports truthfully how far they are.
//!
//! The path, in the order of the modules: [`listener`] accepts, with the clocks of [`peer`], [`routes`] dispatches,
//! [`upload`] runs one request to its one end, [`form`] takes the multipart form apart, [`kind`] looks at the bytes,
//! [`parts`] cuts and hashes them ([`checksum`]), [`budget`] pays for them, [`transfer`] puts them on their way, as
//! many at once as [`flight`] allows, and [`delivery`] settles them with [`s3`], which speaks to the store over
//! [`connector`]. What moves is told to [`progress`], and [`socket`] tells the watchers. [`sweeper`] clears away
//! what was left open.
//!
//! Invariants: memory is bounded by the budget; of every multipart upload exactly one Complete or Abort takes
//! effect; no half success; watchers cost nothing; `stored <= sent <= received <= total`, never falling; the
//! first failure is the one that is told; no request ends the process.

pub use embedded;
pub use ingress::{error, form, ids, kind, peer};

pub mod config;
pub mod listener;
pub mod routes;
pub mod api;
pub mod docs;
pub mod headers;
pub mod arrival;
pub mod origins;
pub mod session;
pub mod visitor;
pub mod quota;
pub mod assets;
pub mod language;
pub mod page;
#[cfg(debug_assertions)]
mod dev_states;
pub mod upload;
pub mod parts;
pub mod checksum;
pub mod budget;
pub mod flight;
pub mod transfer;
pub mod delivery;
pub mod s3;
pub mod links;
pub mod connector;
pub mod snapshot;
pub mod progress;
pub mod socket;
pub mod sweeper;
pub mod keys;
pub mod live;
pub mod metrics;

use std::io;
use std::path::Path;
use std::time::Duration;

use arrival::Proxies;
use config::{Config, Endpoint, StorageConfig};
use connector::Connector;
use embedded::Store;
use error::Failure;
use links::Links;
use metrics::Metrics;
use origins::Origins;
use page::Pages;
use progress::Hub;
use quota::Quotas;
use s3::Bucket;
use session::Sessions;
use sweeper::Sweeper;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use upload::Uploads;
use visitor::Access;

/// The embedded store's bucket.
const EMBEDDED_BUCKET: &str = "uploads";
/// For the clean-up of uploads that the end of the grace cut off.
const CLEAN_UP: Duration = Duration::from_secs(5);

/// Serves page, API and sockets on `listener` until `shutdown`, then lets running uploads end.
///
/// # Errors
/// A configuration that cannot work, or an embedded store that cannot be opened.
pub async fn serve(listener: TcpListener, config: Config, shutdown: CancellationToken) -> io::Result<()> {
    config.check().map_err(io::Error::other)?;
    let store_shutdown = CancellationToken::new();
    let tasks = TaskTracker::new();
    let mut storage = config.storage.clone();
    let bucket_name = match storage.bucket.clone() {
        Some(name) => name,
        None => {
            storage.endpoint = Some(open_embedded(&storage, &tasks, &store_shutdown).await?);
            EMBEDDED_BUCKET.to_owned()
        }
    };
    let connector = Connector::new();
    let bucket = Bucket::connect(&storage, &bucket_name, &config.clocks, connector.clone()).await;
    let sweeper =
        Sweeper { bucket: bucket.clone(), age: config.storage.sweep_after, every: config.clocks.sweep };
    if config.storage.bucket.is_none() {
        // Nobody else has uploads of ours in the embedded store: what is open now is what a kill left.
        sweeper.sweep_older_than(Duration::ZERO).await;
    }
    let (uploads_done, closing) = (TaskTracker::new(), CancellationToken::new());
    let hub = Hub::new(&config.clocks);
    let uploads =
        Uploads::new(bucket.clone(), hub.clone(), &config.limits, &config.clocks, uploads_done.clone());
    let connections = TaskTracker::new();
    let metrics = Metrics::new(uploads.clone(), connector, bucket.clone(), connections.clone());
    let sockets = metrics.sockets.clone();
    let sessions = Sessions::new(&secret(&config)?, config.clocks.session);
    let server = routes::Server {
        metrics,
        uploads,
        hub: hub.clone(),
        bucket: bucket.clone(),
        pages: Pages::new(sessions.clone(), &config.limits),
        clocks: config.clocks.clone(),
        access: Access {
            sessions,
            origins: Origins::new(&config.allowed_origins),
            proxies: Proxies::new(&config.trusted_proxies),
        },
        quotas: Quotas::new(&config.quota),
        links: Links::new(bucket, config.download_links),
        hides_metrics: config.metrics_listen.is_some(),
        closing: closing.clone(),
    };
    let serve = |router| listener::Service::new(router, &config.clocks, closing.clone());
    if let Some(address) = config.metrics_listen {
        let listener = listener::bind(address)?;
        tracing::info!(metrics.listen = %listener.local_addr()?, "metrics listen");
        let service = serve(routes::metrics_router(server.clone()));
        tasks.spawn(listener::accept(listener, service, connections.clone()));
    }
    let service = serve(config.around.unwrap_or(|router| router)(routes::router(server)));
    let accepting = listener::accept(listener, service, connections.clone());
    let stopping = async {
        shutdown.cancelled().await;
        finish_uploads(&hub, &uploads_done, config.shutdown_grace).await;
        closing.cancel();
    };
    tokio::join!(accepting, stopping, sweeper.run(closing.clone()));
    connections.close();
    sockets.close();
    // Who does not read an answer or a last word by now does without.
    let told = async { tokio::join!(connections.wait(), sockets.wait()) };
    let _ = tokio::time::timeout(CLEAN_UP, told).await;
    store_shutdown.cancel();
    tasks.close();
    tasks.wait().await;
    Ok(())
}

/// Lets running uploads end within the grace, then ends them.
async fn finish_uploads(hub: &Hub, uploads: &TaskTracker, grace: Duration) {
    uploads.close();
    if tokio::time::timeout(grace, uploads.wait()).await.is_err() {
        hub.end_all(Failure::ServerShutdown);
        // Whatever is left after that is cut off; the store's sweeper comes after it.
        let _ = tokio::time::timeout(CLEAN_UP, uploads.wait()).await;
    }
}

/// Starts the S3 that comes along, on loopback, and returns where it is.
async fn open_embedded(
    storage: &StorageConfig,
    tasks: &TaskTracker,
    shutdown: &CancellationToken,
) -> io::Result<Endpoint> {
    let dir = &storage.data_dir;
    let store = Store::open(&dir.join("store")).map_err(io::Error::other)?;
    store.ensure_bucket(EMBEDDED_BUCKET).await?;
    let access_key = kept_or(storage.store_access_key.as_ref(), dir, "store-access-key")?;
    let secret_key = kept_or(storage.store_secret_key.as_ref(), dir, "store-secret-key")?;
    let listener = listener::bind(storage.store_listen)?;
    let address = listener.local_addr()?;
    tracing::info!(store.listen = %address, "the embedded store listens");
    let url = format!("http://{address}");
    let (access, secret, shutdown) = (access_key.clone(), secret_key.clone(), shutdown.clone());
    tasks.spawn(async move { store.serve(listener, &access, &secret, shutdown).await });
    Ok(Endpoint { url, access_key, secret_key })
}

fn secret(config: &Config) -> io::Result<String> {
    kept_or(config.secret.as_ref(), &config.storage.data_dir, "secret")
}

fn kept_or(given: Option<&String>, dir: &Path, name: &str) -> io::Result<String> {
    given.map_or_else(|| keys::kept(dir, name), |given| Ok(given.clone()))
}
