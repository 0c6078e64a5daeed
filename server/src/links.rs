//! Links to stored objects: for whoever uploaded them, for a while, one object each.

use std::time::Duration;

use app::wire::{FileOutcome, Outcome, Snapshot};
use futures_util::future::join_all;

use crate::arrival::Arrival;
use crate::s3::Bucket;

/// Signs links. Cheap to clone.
#[derive(Clone)]
pub struct Links {
    bucket: Bucket,
    /// Zero: none is given.
    life: Duration,
}

impl Links {
    #[must_use]
    pub fn new(bucket: Bucket, life: Duration) -> Self {
        Self { bucket, life }
    }

    /// Adds them to an answer's stored files.
    pub async fn add_to(&self, files: &mut [FileOutcome], arrival: &Arrival) {
        let stored = files.iter_mut().filter(|file| file.outcome == Outcome::Stored);
        join_all(stored.map(async |file| file.link = self.to(file.key.as_deref(), arrival).await)).await;
    }

    /// Adds them to a snapshot's files that have a key.
    pub async fn add_to_snapshot(&self, snapshot: &mut Snapshot, arrival: &Arrival) {
        for file in &mut snapshot.files {
            file.link = self.to(file.key.as_deref(), arrival).await;
        }
    }

    /// A store on loopback is there for this machine's own clients only: nobody else gets a link that leads nowhere.
    async fn to(&self, key: Option<&str>, arrival: &Arrival) -> Option<String> {
        let leads_there = arrival.address.is_loopback() || !self.bucket.is_local();
        let is_wanted = !self.life.is_zero() && leads_there;
        let key = key.filter(|_| is_wanted)?;
        self.bucket.link(key, self.life).await
    }
}
