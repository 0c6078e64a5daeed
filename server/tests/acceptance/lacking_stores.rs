//! Stores that lack something of S3: what is not there is told of, or done without.

use std::time::Duration;

use app::wire::FileType::DocsFile;
use server::config::Checksums;

use crate::refusal::Refusal;
use crate::support::client::{Form, get};
use crate::support::fixture::{Fixture, settle};
use crate::support::log;
use crate::support::sample::{self, KIB, MIB};
use crate::support::store::{Cut, Op};

/// It is asked once, and told of once; start, readiness and uploads do without, and what cannot be looked for is not
/// looked for again and again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_without_a_list_of_multipart_uploads() {
    for (status, code) in [(501, "NotImplemented"), (405, "MethodNotAllowed")] {
        let setup = Fixture::setup().proxy().config(|config| {
            config.clocks.sweep = Duration::from_millis(50);
            config.storage.sweep_after = Duration::ZERO;
        });
        let fixture = setup.start().await;
        fixture.store.on(Op::ListUploads).fails(status, code);
        fixture.store.called(Op::ListUploads, 1).await;
        assert_eq!(get(fixture.server, "/readyz").await.status, 200);
        // The first Create has opened one whose name nobody here knows.
        fixture.store.on(Op::Create).once().loses_the_answer(Cut::Reset);
        let content = sample::pdf(12 * MIB);
        let file = Form::document(&content).post(fixture.server).await.stored_one();
        fixture.take_stored(&file, &content).await;
        let left = || fixture.metric("brigade_uploads_left_open");
        assert_eq!(settle(|left| *left == 0.0, left).await, 0.0);
        assert_eq!(fixture.bucket.open_uploads().await.len(), 1, "the store keeps it");
        fixture.bucket.abort_open().await;
        let refusal = Refusal::of(&fixture, "shorter", 400, "size_mismatch").ends(DocsFile);
        let short = Form::document(&content).without_sizes().size(DocsFile, 13 * MIB);
        refusal.leaves_nothing(short).await;
        assert_eq!(fixture.store.calls_of(Op::ListUploads).len(), 1, "{}", fixture.store.log());
        fixture.finish().await;
    }
    assert!(log::has("the store cannot list multipart uploads: what a kill leaves open stays"));
}

/// Whatever checksum the store does not tell is not missed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_tells_no_checksums() {
    for checksums in [Checksums::Off, Checksums::On] {
        let setup = Fixture::setup().config(move |config| config.storage.s3_checksums = checksums);
        let fixture = setup.start().await;
        for op in [Op::Head, Op::Put, Op::UploadPart] {
            fixture.store.on(op).edits(|mut answer| {
                answer.headers_mut().remove("x-amz-checksum-crc64nvme");
                answer.headers_mut().remove("x-amz-checksum-type");
                answer
            });
        }
        for size in [300 * KIB, 12 * MIB] {
            let content = sample::pdf(size);
            let file = Form::document(&content).post(fixture.server).await.stored_one();
            assert_eq!(
                file.checksum_crc64nvme,
                Some(sample::crc64nvme(&content)),
                "ours is told all the same"
            );
            fixture.take_stored(&file, &content).await;
        }
        fixture.finish().await;
    }
}

/// Checksums behind the bytes: refused once and not again and again; without them the store is as any other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_refuses_checksums_behind_the_bytes() {
    for (checksums, status, code) in [
        (Checksums::On, 501, "NotImplemented"),
        (Checksums::On, 400, "InvalidRequest"),
        (Checksums::Auto, 501, "NotImplemented"),
        (Checksums::Off, 501, "NotImplemented"),
    ] {
        let setup = Fixture::setup().config(move |config| config.storage.s3_checksums = checksums);
        let fixture = setup.start().await;
        for (op, size) in [(Op::Put, 300 * KIB), (Op::UploadPart, 6 * MIB)] {
            fixture.store.on(op).with_header("x-amz-trailer").fails(status, code);
            let content = sample::pdf(size);
            let form = Form::document(&content);
            if checksums == Checksums::On {
                let refusal = Refusal::of(&fixture, code, 502, "storage_rejected").ends(DocsFile);
                refusal.post(form).await;
                fixture.nothing_stored().await;
                assert_eq!(fixture.metric("brigade_s3_retries_total").await, 0.0);
            } else {
                fixture.take_stored(&form.post(fixture.server).await.stored_one(), &content).await;
            }
        }
        fixture.store.forget_rules();
        fixture.finish().await;
    }
}
