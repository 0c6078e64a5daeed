//! A store that says no for good: the answer names it, and nothing of the file is left.

use app::wire::FileType::{self, DocsFile, MsaImgs};
use app::wire::Problem;

use crate::refusal::Refusal;
use crate::support::client::Form;
use crate::support::fixture::Fixture;
use crate::support::sample::{self, KIB, MIB};
use crate::support::store::{Op, error_xml};

/// Uploads a file that the store will not take; then the script ends and all is well again.
async fn refused(fixture: &Fixture, file: FileType, size: usize, status: u16, code: &'static str) -> Problem {
    let form = match file {
        DocsFile => Form::document(&sample::pdf(size)),
        MsaImgs => Form::image(&sample::jpeg(size)),
    };
    let refusal = Refusal::of(fixture, format!("{size} bytes, {code}"), status, code).ends(file);
    let problem = refusal.post(form).await;
    assert!(!problem.detail.contains("secret-detail"), "no detail of the store: {problem:?}");
    fixture.nothing_stored().await;
    fixture.store.forget_rules();
    fixture.normal_upload_passes().await;
    problem
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d03_slow_down_for_ever() {
    let fixture = Fixture::start().await;
    for op in [Op::Create, Op::UploadPart, Op::Complete] {
        println!("{op:?}");
        fixture.store.on(op).fails(503, "SlowDown");
        assert!(refused(&fixture, DocsFile, 12 * MIB, 503, "storage_busy").await.retryable);
    }
    fixture.store.on(Op::Put).fails(503, "SlowDown");
    refused(&fixture, MsaImgs, 300 * KIB, 503, "storage_busy").await;
    fixture.store.on(Op::UploadPart).fails_early(503, "SlowDown");
    refused(&fixture, DocsFile, 12 * MIB, 503, "storage_busy").await;
    fixture.store.on(Op::Put).fails_early(503, "SlowDown");
    refused(&fixture, DocsFile, 4 * MIB, 503, "storage_busy").await;
    fixture.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d12_an_error_inside_every_200_of_complete() {
    let fixture = Fixture::start().await;
    fixture.store.on(Op::Complete).answers(200, &error_xml("InternalError"));
    refused(&fixture, DocsFile, 12 * MIB, 502, "storage_rejected").await;
    assert!(fixture.store.calls_of(Op::Complete).len() > 1, "it was tried again");
    assert_eq!(fixture.store.calls_of(Op::Abort).len(), 1, "then aborted");
    fixture.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d13_an_answer_to_complete_that_is_no_xml() {
    let fixture = Fixture::start().await;
    let cut = "<?xml version=\"1.0\"?><CompleteMultipartUploadResult><ETag>\"a";
    let bomb = "<?xml version=\"1.0\"?><!DOCTYPE x [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;&a;\">]>\
                <CompleteMultipartUploadResult><ETag>&b;</ETag></CompleteMultipartUploadResult>";
    for (name, body) in [("empty", ""), ("cut", cut), ("10 MiB", &" ".repeat(10 * MIB)), ("entities", bomb)] {
        println!("{name}");
        fixture.store.on(Op::Complete).answers(200, body);
        refused(&fixture, DocsFile, 6 * MIB, 502, "storage_rejected").await;
    }
    fixture.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d16_complete_is_refused() {
    let fixture = Fixture::start().await;
    for code in ["InvalidPart", "InvalidPartOrder", "EntityTooSmall"] {
        fixture.store.on(Op::Complete).fails(400, code);
        refused(&fixture, DocsFile, 12 * MIB, 502, "storage_rejected").await;
    }
    fixture.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d17_create_fails_and_no_part_is_sent() {
    let fixture = Fixture::start().await;
    fixture.store.on(Op::Create).fails(500, "InternalError");
    let form = Form::document(&sample::pdf(12 * MIB));
    Refusal::of(&fixture, "no Create", 503, "storage_unreachable").ends(DocsFile).post(form).await;
    assert!(fixture.store.calls_of(Op::UploadPart).is_empty(), "no part was sent");
    fixture.store.forget_rules();
    fixture.nothing_stored().await;
    fixture.normal_upload_passes().await;
    fixture.finish().await;
}

/// The clean-up's failure is counted and never told in place of the cause.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d18_abort_fails_too() {
    let fixture = Fixture::start().await;
    let before = fixture.metric("brigade_aborts_failed_total").await;
    fixture.store.on(Op::Abort).fails(500, "InternalError");
    let form = Form::document(&sample::exe(12 * MIB));
    let later = Form::document(&sample::pdf(12 * MIB));
    Refusal::of(&fixture, "a program", 415, "type_mismatch").ends(DocsFile).post(form).await;
    let refusal = Refusal::of(&fixture, "shorter than declared", 400, "size_mismatch").ends(DocsFile);
    refusal.post(later.without_sizes().size(DocsFile, 13 * MIB)).await;
    assert!(fixture.metric("brigade_aborts_failed_total").await > before, "the failure is counted");
    let open = fixture.bucket.open_uploads().await;
    assert!(!open.is_empty(), "state J: an invisible upload is left for the sweeper");
    for (key, id) in open {
        fixture.bucket.abort(&key, &id).await;
    }
    fixture.store.forget_rules();
    fixture.normal_upload_passes().await;
    fixture.finish().await;
}

/// Parts in flight end before Abort, or Abort would leave them behind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d19_parts_end_before_the_abort() {
    let fixture = Fixture::start().await;
    let gate = fixture.store.on(Op::UploadPart).part(1).holds_after();
    fixture.store.on(Op::UploadPart).part(2).fails(400, "InvalidRequest");
    let form = Form::document(&sample::pdf(12 * MIB));
    let refusal = Refusal::of(&fixture, "part 2 refused", 502, "storage_rejected").ends(DocsFile);
    let refused_while_part_one_waits = async {
        fixture
            .store
            .until("part 2 refused", |calls| {
                calls.iter().find(|call| call.is_part(2) && call.status() == Some(400)).map(|_| ())
            })
            .await;
        gate.cancel();
    };
    tokio::join!(refusal.post(form), refused_while_part_one_waits);
    // That a part ends with its connection the store may notice late: then it must be asked what it still holds.
    let abort = fixture.store.called(Op::Abort, 1).await;
    let is_asked = fixture.store.calls_of(Op::ListParts).iter().any(|call| call.at > abort.at);
    for part in fixture.store.calls_of(Op::UploadPart) {
        let is_before = part.ended().is_some_and(|ended| ended <= abort.at);
        assert!(is_before || is_asked, "part {:?} may outlive the Abort\n{}", part.part, fixture.store.log());
    }
    fixture.store.forget_rules();
    fixture.nothing_stored().await;
    fixture.normal_upload_passes().await;
    fixture.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d20_the_server_may_not_write() {
    let fixture = Fixture::start().await;
    for (status, code) in [(403, "AccessDenied"), (404, "NoSuchBucket"), (403, "InvalidAccessKeyId")] {
        fixture.store.on(Op::Put).fails(status, code);
        assert!(!refused(&fixture, MsaImgs, 300 * KIB, 503, "storage_config").await.retryable);
        fixture.store.on(Op::Create).fails(status, code);
        refused(&fixture, DocsFile, 6 * MIB, 503, "storage_config").await;
    }
    fixture.store.on(Op::UploadPart).part(2).fails(403, "AccessDenied");
    refused(&fixture, DocsFile, 12 * MIB, 503, "storage_config").await;
    fixture.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d24_the_upload_vanishes() {
    let fixture = Fixture::start().await;
    fixture.store.on(Op::UploadPart).part(2).fails(404, "NoSuchUpload");
    assert!(refused(&fixture, DocsFile, 12 * MIB, 503, "upload_lost").await.retryable);
    fixture.finish().await;
}

/// What the store says it holds is not what was sent: an error, and the wrong object goes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d25_the_object_has_another_size() {
    let fixture = Fixture::start().await;
    for size in [300 * KIB, 6 * MIB] {
        fixture.store.on(Op::Head).edits(|mut answer| {
            answer.headers_mut().insert("content-length", http::HeaderValue::from_static("7"));
            answer
        });
        refused(&fixture, DocsFile, size, 502, "integrity").await;
    }
    fixture.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_is_full() {
    let fixture = Fixture::start().await;
    fixture.store.on(Op::UploadPart).part(2).fails(507, "InsufficientStorage");
    refused(&fixture, DocsFile, 12 * MIB, 507, "storage_full").await;
    fixture.finish().await;
}
