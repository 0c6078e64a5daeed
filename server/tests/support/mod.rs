//! What the tests through the front door stand on: a server on port 0, a scripted store, a proxy
//! that breaks, raw clients, and a fixture that insists that nothing is left.
#![allow(dead_code, reason = "each test binary uses another part of it")]

pub mod sample;
pub mod image;
pub mod zip;

pub mod client;
pub mod law;
pub mod socket;
pub mod page;

pub mod proxy;
pub mod reverse_proxy;
pub mod store;
mod store_wire;

pub mod bucket;
mod plain_http;
pub mod tls_http;
pub mod log;
pub mod child;
pub mod examples;
pub mod disk;
pub mod fixture;
pub mod truth;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long a test waits for what must happen: far beyond what a busy machine needs, so that only a hang fails.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Milliseconds since 1970, comparable with a browser's `Date.now()` on the same machine.
#[must_use]
pub fn wall_clock_ms() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is right").as_secs_f64() * 1000.0
}
