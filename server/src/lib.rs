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
pub mod start;
pub mod banner;
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
pub mod readiness;
pub mod tally;
pub mod metrics;

pub mod log;
pub mod cli;
pub mod settings;
pub mod health;
pub mod check;

use std::time::Duration;

use arrival::Proxies;
use config::Config;
use connector::Connector;
use error::Failure;
use links::Links;
use metrics::Metrics;
use origins::Origins;
use page::Pages;
use progress::Hub;
use quota::Quotas;
use readiness::Readiness;
use session::Sessions;
use start::StartError;
use tally::Tally;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use upload::Uploads;
use visitor::Access;

/// For the clean-up of uploads that the end of the grace cut off.
const CLEAN_UP: Duration = Duration::from_secs(5);

/// Serves page, API and sockets on `listener` until `shutdown`, then lets running uploads end.
///
/// # Errors
/// A configuration that cannot work, or an embedded store that cannot be opened. A bucket that cannot be had for now is
/// none: the server is not ready then.
pub async fn serve(
    listener: TcpListener,
    config: Config,
    shutdown: CancellationToken,
) -> Result<(), StartError> {
    config.check()?;
    let (store_shutdown, closing) = (CancellationToken::new(), CancellationToken::new());
    let tasks = TaskTracker::new();
    let secret = start::secret(&config)?;
    let (connector, tally) = (Connector::new(), Tally::default());
    let bucket =
        start::open_bucket(&config, connector.clone(), tally.clone(), &tasks, &store_shutdown).await?;
    let readiness = Readiness::new(bucket.clone(), config.clocks.ready);
    if config.storage.endpoint.is_none() && config.storage.bucket.is_some() {
        start::look(&readiness, &bucket, &tasks, &closing).await?;
    }
    banner::show(&config, &listener, &bucket)?;
    let uploads_done = TaskTracker::new();
    let hub = Hub::new(&config.clocks, tally.clone());
    let uploads =
        Uploads::new(bucket.clone(), hub.clone(), &config.limits, &config.clocks, uploads_done.clone());
    let connections = TaskTracker::new();
    let metrics = Metrics::new(uploads.clone(), connector, bucket.clone(), connections.clone(), tally);
    let sockets = metrics.sockets.clone();
    let sessions = Sessions::new(&secret, config.clocks.session);
    let sweeper = start::sweeper(&bucket, &config);
    let server = routes::Server {
        metrics,
        uploads,
        hub: hub.clone(),
        readiness,
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
        let listener = listener::bind("--metrics-listen", address)?;
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
