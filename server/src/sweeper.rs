//! Clears away what was left open in the bucket: by a kill, a panic, or a store that did not take the abort.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

use crate::kind::ObjectKey;
use crate::s3::Bucket;

/// The bucket is listed 24 times in the age that is swept, but at least once an hour.
const LISTS: u32 = 24;
const LIST_AT_LEAST_EVERY: Duration = Duration::from_secs(3600);

/// Sweeps a bucket.
pub struct Sweeper {
    pub bucket: Bucket,
    /// Older uploads are swept, unless they are alive in this process.
    pub age: Duration,
    /// How often aborts that failed are tried again.
    pub every: Duration,
}

impl Sweeper {
    /// Sweeps until `shutdown`.
    ///
    /// # Cancellation
    /// Safe: what is not swept now is swept later.
    pub async fn run(self, shutdown: CancellationToken) {
        let sweeping = async {
            let mut tick = interval_at(Instant::now() + self.every, self.every);
            tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let list_every = (self.age / LISTS).min(LIST_AT_LEAST_EVERY);
            let mut listed_at = None;
            loop {
                tick.tick().await;
                if let Err(failure) = self.bucket.abort_orphans().await {
                    tracing::warn!(code = failure.code(), "what was left open could not be aborted yet");
                    continue;
                }
                if listed_at.is_none_or(|at: Instant| at.elapsed() >= list_every) {
                    listed_at = Some(Instant::now());
                    self.sweep_older_than(self.age).await;
                }
            }
        };
        shutdown.run_until_cancelled(sweeping).await;
    }

    /// Aborts what is older than `age`; what the store refuses is left for the next time.
    pub async fn sweep_older_than(&self, age: Duration) {
        for prefix in ObjectKey::PREFIXES {
            match self.bucket.sweep(prefix, age).await {
                Ok(0) => {}
                Ok(swept) => tracing::info!(uploads.swept = swept, "aborted what was left open"),
                Err(failure) => tracing::warn!(code = failure.code(), "the store could not be swept"),
            }
        }
    }
}
