//! What operators watch: Prometheus text, sampled from the live values when it is asked for.

use std::sync::atomic::AtomicU64;

use axum::http::header;
use axum::response::{IntoResponse, Response};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use tokio_util::task::TaskTracker;

use crate::cli::VERSION;
use crate::connector::Connector;
use crate::listener;
use crate::s3::Bucket;
use crate::tally::Tally;
use crate::upload::Uploads;

/// The server's gauges and counters. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    pub sockets: TaskTracker,
    uploads: Uploads,
    connector: Connector,
    bucket: Bucket,
    connections: TaskTracker,
    tally: Tally,
}

impl Metrics {
    #[must_use]
    pub fn new(
        uploads: Uploads,
        connector: Connector,
        bucket: Bucket,
        connections: TaskTracker,
        tally: Tally,
    ) -> Self {
        Self { sockets: TaskTracker::new(), uploads, connector, bucket, connections, tally }
    }

    /// Everything as Prometheus text.
    #[must_use]
    pub fn render(&self) -> Response {
        let mut registry = Registry::with_prefix("brigade");
        registry.register("build", "What is running", Info::new([("version", VERSION)]));
        self.tally.register(&mut registry);
        let mut gauge = |name: &str, help: &str, value: i64| {
            let gauge: Gauge = Gauge::default();
            gauge.set(value);
            registry.register(name, help, gauge);
        };
        let count = |value: usize| i64::try_from(value).unwrap_or(i64::MAX);
        gauge("uploads_in_flight", "Uploads that run now", count(self.uploads.running()));
        let budget = self.uploads.budget();
        gauge("buffer_bytes", "Bytes of the buffer memory in use", count(budget.used()));
        gauge("buffer_allocated_bytes", "Bytes allocated for it, in use or not", count(budget.allocated()));
        gauge(
            "buffer_most_allocated_bytes",
            "The most that was ever allocated",
            count(budget.most_allocated()),
        );
        gauge("buffer_waiting", "Uploads that wait for buffer memory", budget.waiting());
        gauge("parts_in_flight", "Parts on their way to the store", self.uploads.parts().now());
        let connections = self.connections.len();
        gauge("connections", "Clients connected now", count(connections));
        let read_buffer = listener::read_buffer(connections + 1);
        gauge("read_buffer_bytes", "Read buffer of the next connection", count(read_buffer));
        gauge("progress_clients", "Watchers connected now", count(self.sockets.len()));
        gauge("store_connections", "Connections to the store", count(self.connector.open_connections()));
        gauge(
            "uploads_left_open",
            "Multipart uploads that wait for the sweeper",
            count(self.bucket.orphans()),
        );
        let mut counter = |name: &str, help: &str, value: u64| {
            let counter = Counter::<u64, AtomicU64>::default();
            counter.inc_by(value);
            registry.register(name, help, counter);
        };
        counter("uploads_swept", "Multipart uploads that the sweeper aborted", self.bucket.swept());
        counter(
            "replay_copies_given_up",
            "Times that an upload gave up its replay copies for memory",
            budget.given_up(),
        );
        let mut text = String::new();
        if encode(&mut text, &registry).is_err() {
            return crate::error::Failure::Internal.into_response();
        }
        let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        ([(header::CONTENT_TYPE, content_type)], text).into_response()
    }
}
