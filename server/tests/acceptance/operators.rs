//! What operators watch: metrics that another project's parser reads, and one line of the log for each upload.

use std::collections::{BTreeMap, BTreeSet};

use app::wire::FileType::{DocsFile, MsaImgs};
use prometheus_parse::{Sample, Scrape, Value};

use crate::support::client::{Form, get};
use crate::support::fixture::Fixture;
use crate::support::sample::{self, KIB, MIB};
use crate::support::socket::Watcher;
use crate::support::store::Op;

/// What Prometheus would read.
async fn scrape(fixture: &Fixture) -> Vec<Sample> {
    let answer = get(fixture.server, "/metrics").await;
    assert_eq!(answer.status, 200);
    let text = answer.text();
    let lines = text.lines().map(|line| Ok(line.to_owned()));
    let samples = Scrape::parse(lines).unwrap().samples;
    // It passes over what it cannot read.
    let told = text.lines().filter(|line| !line.starts_with('#') && !line.contains("_bucket{")).count();
    let read = samples.iter().filter(|sample| !matches!(sample.value, Value::Histogram(_))).count();
    assert_eq!(read, told, "every line is read:\n{text}");
    samples
}

fn number(samples: &[Sample], name: &str, labels: &[(&str, &str)]) -> f64 {
    let is_meant = |sample: &&Sample| {
        sample.metric == name && labels.iter().all(|(label, value)| sample.labels.get(label) == Some(value))
    };
    let values = samples.iter().filter(is_meant).map(|sample| match sample.value {
        Value::Counter(value) | Value::Gauge(value) | Value::Untyped(value) => value,
        ref other => panic!("{name}: {other:?}"),
    });
    values.sum()
}

/// The buckets of a histogram that are not empty, and of the last how much is in it.
fn most(samples: &[Sample], name: &str, labels: &[(&str, &str)]) -> f64 {
    let histograms = samples.iter().filter_map(|sample| match &sample.value {
        Value::Histogram(buckets) if sample.metric == name => Some((sample, buckets)),
        _ => None,
    });
    let counts = histograms
        .filter(|(sample, _)| labels.iter().all(|(label, value)| sample.labels.get(label) == Some(value)))
        .map(|(_, buckets)| {
            let counts: Vec<f64> = buckets.iter().map(|bucket| bucket.count).collect();
            assert!(counts.is_sorted(), "{name} counts upwards: {counts:?}");
            counts.last().copied().unwrap_or_default()
        });
    counts.sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_count_what_happens() {
    let fixture = Fixture::start().await;
    let (document, image) = (sample::pdf(12 * MIB), sample::jpeg(300 * KIB));
    // Both, with one part that is tried again.
    fixture.store.on(Op::UploadPart).part(2).first(1).fails(503, "SlowDown");
    let both = Form::both(&document, &image).client_id("operators");
    let mut watcher = Watcher::new(fixture.server, "operators").await;
    let stored = both.post(fixture.server).await.stored();
    watcher.terminal(DocsFile).await;
    watcher.terminal(MsaImgs).await;
    fixture.take_stored(&stored.files[0], &document).await;
    fixture.take_stored(&stored.files[1], &image).await;
    // One that is not what it says, and one whose second part never comes to the store, nor does its abort at first.
    Form::document(b"not a document").post(fixture.server).await.problem(415, "type_mismatch");
    fixture.store.on(Op::UploadPart).part(2).fails(400, "InvalidRequest");
    fixture.store.on(Op::Abort).first(1).fails(400, "InvalidRequest");
    Form::document(&document).post(fixture.server).await.problem(502, "storage_rejected");
    let samples = scrape(&fixture).await;
    let uploads =
        |field, outcome| number(&samples, "brigade_uploads_total", &[("field", field), ("outcome", outcome)]);
    assert_eq!(uploads("docs_field", "stored"), 1.0);
    assert_eq!(uploads("msa_imgs", "stored"), 1.0);
    assert_eq!(uploads("docs_field", "failed"), 2.0);
    for (code, count) in [("type_mismatch", 1.0), ("storage_rejected", 1.0)] {
        assert_eq!(number(&samples, "brigade_upload_failures_total", &[("code", code)]), count, "{code}");
    }
    let bytes = |leg| number(&samples, "brigade_upload_bytes_total", &[("leg", leg)]);
    let whole = (document.len() + image.len()) as f64;
    assert!(bytes("stored") >= whole && bytes("stored") <= bytes("received"), "{}", bytes("stored"));
    assert!(bytes("received") <= whole + document.len() as f64 + 14.0, "{}", bytes("received"));
    assert_eq!(most(&samples, "brigade_upload_duration_seconds", &[("leg", "stored")]), 2.0);
    assert!(most(&samples, "brigade_upload_duration_seconds", &[("leg", "received")]) >= 2.0);
    assert_eq!(number(&samples, "brigade_s3_retries_total", &[]), 1.0);
    let parts = |outcome| number(&samples, "brigade_s3_parts_total", &[("outcome", outcome)]);
    assert!(parts("done") >= 4.0 && parts("failed") >= 1.0, "{} and {}", parts("done"), parts("failed"));
    assert_eq!(most(&samples, "brigade_s3_part_seconds", &[]), parts("done"));
    assert_eq!(number(&samples, "brigade_s3_aborts_total", &[("outcome", "failed")]), 1.0);
    assert_eq!(number(&samples, "brigade_progress_clients", &[]), 1.0);
    let version = [("version", server::cli::VERSION)];
    assert_eq!(number(&samples, "brigade_build_info", &version), 1.0);
    drop(watcher);
    fixture.bucket.abort_open().await;
    fixture.finish().await;
}

/// The README's table has every metric, and no other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_readme_lists_every_metric() {
    let fixture = Fixture::start().await;
    Form::document(b"not a document").post(fixture.server).await.problem(415, "type_mismatch");
    fixture.normal_upload_passes().await;
    let samples = scrape(&fixture).await;
    let of_histogram = |name: &str| {
        let base = name.strip_suffix("_sum").or_else(|| name.strip_suffix("_count"));
        base.is_some_and(|base| samples.iter().any(|sample| sample.metric == base))
    };
    let told: BTreeSet<&str> =
        samples.iter().map(|sample| &*sample.metric).filter(|name| !of_histogram(name)).collect();
    let readme = include_str!("../../../README.md");
    let rows = readme.lines().filter(|line| line.starts_with("| `brigade_"));
    let names = rows.flat_map(|row| row.split('|').nth(1).unwrap_or_default().split('`'));
    let listed: BTreeSet<&str> = names
        .filter(|name| name.starts_with("brigade_"))
        .map(|name| name.split('{').next().unwrap_or_default())
        .collect();
    assert_eq!(listed, told);
    fixture.finish().await;
}

/// Every label value that a metric can have is a word of ours: no client can make more of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_do_not_grow_with_what_clients_say() {
    let fixture = Fixture::start().await;
    Form::document(b"not a document").post(fixture.server).await.problem(415, "type_mismatch");
    let count = |samples: Vec<Sample>| {
        samples.into_iter().fold(BTreeMap::<String, usize>::new(), |mut counts, sample| {
            *counts.entry(sample.metric).or_default() += 1;
            counts
        })
    };
    let before = count(scrape(&fixture).await);
    for name in 0..20 {
        let field = format!("field-{name}");
        let form =
            Form::new().file(&field, &format!("{name}.pdf"), b"some").client_id(&format!("client-{name}"));
        form.post(fixture.server).await.problem(400, "unknown_field");
        let form = Form::document(b"not a document").client_id(&format!("client-{name}"));
        form.post(fixture.server).await.problem(415, "type_mismatch");
    }
    assert_eq!(count(scrape(&fixture).await), before);
    fixture.finish().await;
}
