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
pub use ingress::{error, kind};
use ingress::{form, ids, peer};

pub mod cli;
pub mod config;
pub mod settings;
mod check;
mod health;
pub mod log;

pub mod start;
mod secrets;
mod notify;
mod readiness;
mod banner;

pub mod listener;
mod routes;
mod api;
mod docs;
mod headers;
mod arrival;
mod origins;
mod session;
mod visitor;
mod quota;
mod assets;
mod language;
mod page;
#[cfg(debug_assertions)]
mod dev_states;
mod upload;
mod parts;
mod checksum;
mod budget;
mod flight;
mod transfer;
mod delivery;
mod s3;
mod links;
pub mod connector;
mod snapshot;
mod progress;
mod socket;
mod sweeper;

mod live;
mod tally;
mod metrics;

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
use s3::Bucket;
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
/// What a stop may take beyond the grace: the clean-up, last words to clients, and the end of the embedded store.
const ENDING: Duration = Duration::from_secs(15);

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
    let (tasks, store_shutdown, ending) = (TaskTracker::new(), CancellationToken::new(), Ending::default());
    let secret = start::secret(&config)?;
    let (connector, tally) = (Connector::new(), Tally::default());
    let bucket =
        start::open_bucket(&config, connector.clone(), tally.clone(), &tasks, &store_shutdown).await?;
    let server = assemble(&config, &secret, bucket.clone(), connector, tally, &ending);
    if config.storage.endpoint.is_none() && config.storage.bucket.is_some() {
        start::look(&server.readiness, &bucket, &tasks, &ending.closing).await?;
    }
    let metrics_listener =
        config.metrics_listen.map(|address| listener::bind("--metrics-listen", address)).transpose()?;
    banner::show(&config, &listener, &bucket)?;
    let sweeper = start::sweeper(&bucket, &config);
    let (hub, sockets) = (server.hub.clone(), server.metrics.sockets.clone());
    let readiness = server.readiness.clone();
    let Ending { uploads, closing, connections } = ending;
    let serve = |router| listener::Service::new(router, &config.clocks, closing.clone());
    if let Some(listener) = metrics_listener {
        tracing::info!(metrics.listen = %listener.local_addr()?, "metrics listen");
        let service = serve(routes::metrics_router(server.clone()));
        tasks.spawn(listener::accept(listener, service, connections.clone()));
    }
    let service = serve(config.around.unwrap_or(|router| router)(routes::router(server)));
    let accepting = listener::accept(listener, service, connections.clone());
    readiness.listens().await;
    let stopping = async {
        shutdown.cancelled().await;
        readiness.stops(config.shutdown_grace.saturating_add(ENDING));
        finish_uploads(&hub, &uploads, config.shutdown_grace).await;
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

/// What has to end before the server does, in this order.
#[derive(Default)]
struct Ending {
    uploads: TaskTracker,
    /// Of sockets, connections and all that comes round again; cancelled once the uploads have ended.
    closing: CancellationToken,
    connections: TaskTracker,
}

/// Puts together what the routes share.
fn assemble(
    config: &Config,
    secret: &str,
    bucket: Bucket,
    connector: Connector,
    tally: Tally,
    ending: &Ending,
) -> routes::Server {
    let clocks = &config.clocks;
    let hub = Hub::new(clocks, tally.clone());
    let uploads = Uploads::new(bucket.clone(), hub.clone(), &config.limits, clocks, ending.uploads.clone());
    let sessions = Sessions::new(secret, clocks.session);
    routes::Server {
        metrics: Metrics::new(uploads.clone(), connector, bucket.clone(), ending.connections.clone(), tally),
        uploads,
        hub,
        readiness: Readiness::new(bucket.clone(), clocks.ready),
        pages: Pages::new(sessions.clone(), &config.limits),
        clocks: clocks.clone(),
        access: Access {
            sessions,
            origins: Origins::new(&config.allowed_origins),
            proxies: Proxies::new(&config.trusted_proxies),
        },
        quotas: Quotas::new(&config.quota),
        links: Links::new(bucket, config.download_links),
        hides_metrics: config.metrics_listen.is_some(),
        closing: ending.closing.clone(),
    }
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
