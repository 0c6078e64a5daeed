//! What must hold before the server listens, and in one sentence why it does not.

use std::io;
use std::path::Path;
use std::time::Duration;

use embedded::Store;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{Config, ConfigError, Endpoint, StorageConfig};
use crate::connector::Connector;
use crate::listener;
use crate::readiness::Readiness;
use crate::s3::{Barrier, Bucket};
use crate::secrets;
use crate::sweeper::Sweeper;
use crate::tally::Tally;

/// The embedded store's bucket.
const EMBEDDED_BUCKET: &str = "uploads";
/// It takes any; this is what clients are set to by default.
const EMBEDDED_REGION: &str = "us-east-1";

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("{place}: {barrier}")]
    Store { place: String, barrier: Barrier },
    #[error("{0}: give another --data-dir")]
    DataDir(io::Error),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The bucket to store into: the configured one, or the embedded store's, which is opened and serves from here on.
///
/// # Errors
/// There is no region, or the embedded store cannot be opened.
pub async fn open_bucket(
    config: &Config,
    connector: Connector,
    tally: Tally,
    tasks: &TaskTracker,
    shutdown: &CancellationToken,
) -> Result<Bucket, StartError> {
    let mut storage = config.storage.clone();
    let (name, is_embedded) = match storage.bucket.clone() {
        Some(name) => (name, false),
        None => {
            storage.endpoint = Some(open_embedded(&storage, tasks, shutdown).await?);
            (EMBEDDED_BUCKET.to_owned(), true)
        }
    };
    let bucket = Bucket::connect(&storage, &name, &config.clocks, connector, tally).await;
    let bucket = bucket.map_err(|barrier| StartError::Store { place: format!("s3://{name}"), barrier })?;
    if is_embedded {
        // Nobody else has uploads of ours in there: what is open now is what a kill left.
        sweeper(&bucket, config).sweep_older_than(Duration::ZERO).await;
    }
    Ok(bucket)
}

/// Asks for the bucket, as an operator may have set it wrongly. A store that is down is asked again until it answers.
///
/// # Errors
/// Waiting would not help.
pub async fn look(
    readiness: &Readiness,
    bucket: &Bucket,
    tasks: &TaskTracker,
    closing: &CancellationToken,
) -> Result<(), StartError> {
    match readiness.look().await {
        Ok(()) => Ok(()),
        Err(barrier) if barrier.is_configuration() => {
            Err(StartError::Store { place: bucket.place().to_owned(), barrier })
        }
        Err(_) => {
            let (readiness, closing) = (readiness.clone(), closing.clone());
            tasks.spawn(async move { closing.run_until_cancelled(readiness.wait()).await });
            Ok(())
        }
    }
}

/// Sweeps the bucket as it is configured.
#[must_use]
pub fn sweeper(bucket: &Bucket, config: &Config) -> Sweeper {
    Sweeper { bucket: bucket.clone(), age: config.storage.sweep_after, every: config.clocks.sweep }
}

/// The key that ids are signed with.
///
/// # Errors
/// It cannot be kept in the data directory.
pub fn secret(config: &Config) -> Result<String, StartError> {
    match &config.secret {
        Some(secret) => Ok(secret.reveal().to_owned()),
        None => secrets::kept(&config.storage.data_dir, "secret").map_err(StartError::DataDir),
    }
}

/// Starts the S3 that comes along, and returns where it is.
async fn open_embedded(
    storage: &StorageConfig,
    tasks: &TaskTracker,
    shutdown: &CancellationToken,
) -> Result<Endpoint, StartError> {
    let dir = &storage.data_dir;
    let store =
        Store::open(&dir.join("store")).map_err(|error| StartError::DataDir(io::Error::other(error)))?;
    store.ensure_bucket(EMBEDDED_BUCKET).await.map_err(StartError::DataDir)?;
    let given = storage.store_secret_key.as_ref().map(|key| key.reveal().to_owned());
    let access_key = given_or_kept(storage.store_access_key.clone(), dir, "store-access-key")?;
    let secret_key = given_or_kept(given, dir, "store-secret-key")?;
    let listener = listener::bind("--store-listen", storage.store_listen)?;
    let address = listener.local_addr()?;
    tracing::info!(store.listen = %address, "the embedded store listens");
    let switches = storage.faults.switches();
    if switches.are_on() {
        tracing::warn!(store.faults = %switches, "the embedded store has faults, as asked");
    }
    let url = format!("http://{address}");
    let (access, secret, shutdown) = (access_key.clone(), secret_key.clone(), shutdown.clone());
    tasks.spawn(async move { store.serve(listener, &access, &secret, switches, shutdown).await });
    Ok(Endpoint { url, region: EMBEDDED_REGION.to_owned(), access_key, secret_key })
}

fn given_or_kept(given: Option<String>, dir: &Path, name: &str) -> Result<String, StartError> {
    given.map_or_else(|| secrets::kept(dir, name).map_err(StartError::DataDir), Ok)
}
