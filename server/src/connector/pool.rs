//! Idle store connections, each kept for a while.

use std::collections::HashMap;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use http::Uri;
use tokio::time::Instant;

use super::connection::Connection;

/// Dropping it closes what is idle.
pub(super) struct Pool {
    /// Connections that are open, idle or not.
    pub(super) open: Arc<AtomicUsize>,
    idle_timeout: Duration,
    parked: Mutex<Parked>,
}

#[derive(Default)]
struct Parked {
    /// By scheme and authority, the latest last.
    idle: HashMap<Uri, Vec<Idle>>,
    /// Whether a task closes what has been idle for too long.
    reaped: bool,
}

struct Idle {
    connection: Connection,
    since: Instant,
}

impl Pool {
    pub(super) fn new(idle_timeout: Duration) -> Self {
        Self { open: Arc::default(), idle_timeout, parked: Mutex::default() }
    }

    /// The connection that was used last, if it has been idle for less than `max_idle` and the pool's own limit.
    pub(super) fn take(&self, target: &Uri, max_idle: Duration) -> Option<Connection> {
        let mut parked = self.lock();
        let idle = parked.idle.get_mut(target)?;
        idle.retain(|idle| idle.connection.sender.is_ready());
        let max_idle = max_idle.min(self.idle_timeout);
        idle.pop_if(|idle| idle.since.elapsed() < max_idle).map(|idle| idle.connection)
    }

    pub(super) fn put(self: &Arc<Self>, target: Uri, connection: Connection) {
        let mut parked = self.lock();
        parked.idle.entry(target).or_default().push(Idle { connection, since: Instant::now() });
        if !parked.reaped {
            parked.reaped = true;
            tokio::spawn(reap(Arc::downgrade(self)));
        }
    }

    /// Connections that wait for a request.
    pub(super) fn idle(&self) -> usize {
        self.lock().idle.values().map(Vec::len).sum()
    }

    /// Closes what has been idle for too long, or was closed by the store; says when to look again.
    fn close_expired(&self) -> Option<Instant> {
        let mut parked = self.lock();
        parked.idle.retain(|_, idle| {
            idle.retain(|idle| idle.connection.sender.is_ready() && idle.since.elapsed() < self.idle_timeout);
            !idle.is_empty()
        });
        let oldest = parked.idle.values().flatten().map(|idle| idle.since).min();
        parked.reaped = oldest.is_some();
        oldest.map(|since| since + self.idle_timeout)
    }

    fn lock(&self) -> MutexGuard<'_, Parked> {
        self.parked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn reap(pool: Weak<Pool>) {
    while let Some(next) = pool.upgrade().and_then(|pool| pool.close_expired()) {
        tokio::time::sleep_until(next).await;
    }
}
