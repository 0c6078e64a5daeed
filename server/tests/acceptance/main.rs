//! Through the front door: what must be seen of uploads, by topic. One program, so that it is linked once.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

use std::time::Duration;

/// What a test shortens a clock to: far more than a healthy peer needs, and soon over.
const SHORT: Duration = Duration::from_millis(1_500);

mod bad_form;
mod bad_request;
mod bad_size;
mod cancel;
mod checksums;
mod curl;
mod description;
mod documents;
mod encryption;
mod framing;
mod ground;
mod images;
mod lacking_stores;
mod languages;
mod leaving;
mod memory;
mod old_client;
mod operators;
mod other_clients;
mod promises;
mod quotas;
mod refusal;
mod served;
mod sizes;
mod slow_clients;
mod socket_faults;
mod storage_elsewhere;
mod storage_faults;
mod storage_full;
mod storage_lost;
mod storage_refusals;
mod streaming;
mod sweeping;
mod tables;
mod types;
mod visitors;
mod watching;
