//! What has happened since the start, counted for the operators' metrics. Counting never waits.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::error::Failure;
use crate::snapshot::Figures;

/// Counters and histograms. Cheap to clone; all clones are the same.
#[derive(Clone)]
pub struct Tally {
    uploads: Family<Ended, Counter>,
    failures: Family<Cause, Counter>,
    received: Counter,
    stored: Counter,
    bytes: Family<Leg, Counter>,
    seconds: Family<Leg, Histogram, fn() -> Histogram>,
    parts: Family<Call, Counter>,
    part_seconds: Histogram,
    retries: Counter,
    aborts: Family<Call, Counter>,
    dropped: Counter,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Ended {
    field: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Cause {
    code: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Leg {
    leg: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Call {
    outcome: &'static str,
}

const RECEIVED: Leg = Leg { leg: "received" };
const STORED: Leg = Leg { leg: "stored" };
const DONE: Call = Call { outcome: "done" };
const FAILED: Call = Call { outcome: "failed" };

/// From 10 ms to 11 min, by the factor 4: a photo to a store nearby, and a film over a slow line.
fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.01, 4.0, 9))
}

impl Default for Tally {
    fn default() -> Self {
        let bytes = Family::<Leg, Counter>::default();
        let (parts, aborts) = (Family::<Call, Counter>::default(), Family::default());
        // There from the start: what appears with its first failure cannot be seen to rise.
        for calls in [&parts, &aborts] {
            drop((calls.get_or_create_owned(&DONE), calls.get_or_create_owned(&FAILED)));
        }
        Self {
            uploads: Family::default(),
            failures: Family::default(),
            received: bytes.get_or_create_owned(&RECEIVED),
            stored: bytes.get_or_create_owned(&STORED),
            bytes,
            seconds: Family::new_with_constructor(seconds),
            parts,
            part_seconds: seconds(),
            retries: Counter::default(),
            aborts,
            dropped: Counter::default(),
        }
    }
}

impl Tally {
    /// Counts what has changed of a file.
    pub fn count(&self, field: &'static str, before: &Figures, after: &Figures) {
        self.received.inc_by(after.received.saturating_sub(before.received));
        self.stored.inc_by(after.stored.saturating_sub(before.stored));
        self.retries.inc_by(u64::from(after.retries.saturating_sub(before.retries)));
        let Some(outcome) = after.outcome.filter(|_| before.outcome.is_none()) else { return };
        self.uploads.get_or_create(&Ended { field, outcome: outcome.word }).inc();
        if let Some(failure) = outcome.failure {
            self.failures.get_or_create(&Cause { code: failure.code() }).inc();
        }
        let legs = [(RECEIVED, after.received_in), (STORED, after.stored_in)];
        for (leg, time) in legs.into_iter().filter_map(|(leg, time)| Some((leg, time?))) {
            self.seconds.get_or_create(&leg).observe(time.as_secs_f64());
        }
    }

    /// A part, or a whole small object, is in the store after so long, or is not.
    pub fn part<T, E>(&self, took: Duration, sent: &Result<T, E>) {
        self.parts.get_or_create(outcome(sent)).inc();
        if sent.is_ok() {
            self.part_seconds.observe(took.as_secs_f64());
        }
    }

    /// A multipart upload was aborted, or could not be.
    pub fn abort(&self, aborted: &Result<(), Failure>) {
        self.aborts.get_or_create(outcome(aborted)).inc();
    }

    /// States that a watcher was not told, since newer ones came.
    pub fn dropped(&self, states: u64) {
        self.dropped.inc_by(states);
    }

    /// Puts everything into a registry.
    pub fn register(&self, registry: &mut Registry) {
        let tally = self.clone();
        registry.register("uploads", "Files that ended", tally.uploads);
        registry.register("upload_failures", "Files that failed, by the code that is told", tally.failures);
        registry.register("upload_bytes", "Bytes of files received, and stored", tally.bytes);
        registry.register_with_unit(
            "upload_duration",
            "From the request's head until a file was received, and until it was stored",
            Unit::Seconds,
            tally.seconds,
        );
        registry.register("s3_parts", "Parts and whole small objects that were sent", tally.parts);
        registry.register_with_unit(
            "s3_part",
            "From a part's first attempt until the store had it",
            Unit::Seconds,
            tally.part_seconds,
        );
        registry.register("s3_retries", "Attempts at parts beyond the first", tally.retries);
        registry.register("s3_aborts", "Multipart uploads that were aborted", tally.aborts);
        registry.register("progress_events_dropped", "States skipped for newer ones", tally.dropped);
    }
}

fn outcome<T, E>(result: &Result<T, E>) -> &'static Call {
    if result.is_ok() { &DONE } else { &FAILED }
}
