//! Whether uploads can be taken now: asked of the store, and remembered for a while; told to the log and to the service
//! manager.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use crate::notify::Notifier;
use crate::s3::{Barrier, Bucket};

/// How long a store that was not to be had is not asked again.
const KEEP_BARRIER: Duration = Duration::from_secs(1);
/// How often it is told that the store is still not to be had.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// What the store has said. Cheap to clone; all clones are the same.
#[derive(Clone)]
pub struct Readiness {
    bucket: Bucket,
    notifier: Notifier,
    /// How long an answer holds.
    keep: Duration,
    /// Held while the store is asked: one question at a time, whoever has it.
    last: Arc<Mutex<Option<Look>>>,
}

struct Look {
    at: Instant,
    found: Result<(), Barrier>,
    /// When the log was last told of this barrier.
    told: Instant,
}

impl Readiness {
    #[must_use]
    pub fn new(bucket: Bucket, keep: Duration) -> Self {
        Self { bucket, notifier: Notifier::from_environment(), keep, last: Arc::default() }
    }

    /// Tells the service manager that the server listens, and what was last heard of the store.
    pub async fn listens(&self) {
        let last = self.last.lock().await;
        let barrier = last.as_ref().and_then(|look| look.found.as_ref().err());
        self.notifier.ready(&self.status(barrier));
    }

    /// Tells the service manager that the server stops, in so long at most.
    pub fn stops(&self, at_most: Duration) {
        self.notifier.stopping(at_most);
    }

    /// Whether the bucket can be had, or could be a moment ago.
    ///
    /// # Errors
    /// What stands in the way.
    pub async fn look(&self) -> Result<(), Barrier> {
        let mut last = self.last.lock().await;
        if let Some(look) = last.as_ref() {
            let keep = if look.found.is_ok() { self.keep } else { self.keep.min(KEEP_BARRIER) };
            if look.at.elapsed() < keep {
                return look.found.clone();
            }
        }
        let found = self.bucket.reach().await;
        let told = self.tell(&found, last.as_ref());
        last.insert(Look { at: Instant::now(), found, told }).found.clone()
    }

    /// Looks again and again until the bucket can be had.
    ///
    /// # Cancellation
    /// Safe.
    pub async fn wait(&self) {
        while self.look().await.is_err() {
            tokio::time::sleep(self.keep).await;
        }
    }

    fn status(&self, barrier: Option<&Barrier>) -> String {
        let place = self.bucket.place();
        match barrier {
            None => format!("ready, storing into {place}"),
            Some(barrier) => format!("not ready when last asked: {place}: {barrier}"),
        }
    }

    /// Tells what has changed, and the log once a minute that nothing has; returns when the log was last told.
    fn tell(&self, found: &Result<(), Barrier>, last: Option<&Look>) -> Instant {
        let barred = last.filter(|look| look.found.is_err());
        match (found, barred) {
            (Err(_), Some(look)) if look.told.elapsed() < TELL_EVERY => return look.told,
            (Err(barrier), _) => {
                let (place, code) = (self.bucket.place(), barrier.failure().code());
                tracing::warn!(store = place, code, "not ready: {barrier}");
                self.notifier.status(&self.status(Some(barrier)));
            }
            (Ok(()), Some(_)) => {
                tracing::info!(store = self.bucket.place(), "ready: the store answers");
                self.notifier.status(&self.status(None));
            }
            (Ok(()), None) => {}
        }
        Instant::now()
    }
}
