//! Our CRC64NVME of what was read against the store's of what it holds, with and without checksums on the wire.

use app::wire::FileType::DocsFile;
use http::HeaderValue;
use server::config::Checksums;

use crate::refusal::Refusal;
use crate::support::client::Form;
use crate::support::fixture::Fixture;
use crate::support::sample::{self, KIB, MIB};
use crate::support::socket::Watcher;
use crate::support::store::{Call, Op};

fn header<'a>(call: &'a Call, name: &str) -> Option<&'a str> {
    call.headers.get(name).map(|value| value.to_str().unwrap())
}

async fn with(checksums: Checksums) -> Fixture {
    Fixture::setup().config(move |config| config.storage.s3_checksums = checksums).start().await
}

/// Over http nothing is hashed for the wire, by default and when told; the answer has our checksum all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn off_the_bytes_go_as_they_are() {
    for checksums in [Checksums::Auto, Checksums::Off] {
        let fixture = with(checksums).await;
        for size in [300 * KIB, 12 * MIB] {
            let content = sample::pdf(size);
            let file = Form::document(&content).post(fixture.server).await.stored_one();
            assert_eq!(file.checksum_crc64nvme, Some(sample::crc64nvme(&content)));
            fixture.take_stored(&file, &content).await;
        }
        let calls = fixture.store.calls();
        let bodies: Vec<_> =
            calls.iter().filter(|call| call.is(Op::Put) || call.is(Op::UploadPart)).collect();
        assert_eq!(bodies.len(), 4);
        for call in bodies {
            assert_eq!(header(call, "x-amz-content-sha256"), Some("UNSIGNED-PAYLOAD"));
            assert_eq!(header(call, "content-encoding"), None);
            assert_eq!(header(call, "x-amz-trailer"), None);
            assert_eq!(header(call, "x-amz-sdk-checksum-algorithm"), None);
        }
        fixture.finish().await;
    }
}

/// On the wire each part carries its checksum, and Complete that of the whole object.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_they_travel_with_the_parts_and_the_store_checks_the_whole() {
    let fixture = with(Checksums::On).await;
    for size in [300 * KIB, 12 * MIB] {
        let content = sample::pdf(size);
        // The law of the messages is judged by the watcher: `sent` counts payload, not chunks.
        let mut watcher = Watcher::new(fixture.server, &format!("on-{size}")).await;
        let file =
            Form::document(&content).client_id(&format!("on-{size}")).post(fixture.server).await.stored_one();
        assert_eq!(file.checksum_crc64nvme, Some(sample::crc64nvme(&content)));
        let object = fixture.take_stored(&file, &content).await;
        assert_eq!(object.content_encoding, None);
        assert_eq!(watcher.terminal(DocsFile).await.sent, size as u64);
    }
    let calls = fixture.store.calls();
    for call in calls.iter().filter(|call| call.is(Op::Put) || call.is(Op::UploadPart)) {
        assert_eq!(header(call, "x-amz-trailer"), Some("x-amz-checksum-crc64nvme"));
    }
    let completes = fixture.store.calls_of(Op::Complete);
    assert_eq!(completes.len(), 1);
    assert!(header(&completes[0], "x-amz-checksum-crc64nvme").is_some());
    assert_eq!(header(&completes[0], "x-amz-checksum-type"), Some("FULL_OBJECT"));
    fixture.finish().await;
}

/// A part that the store says it holds differently is sent once more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d11_a_part_damaged_once_is_sent_again() {
    let fixture = Fixture::start().await;
    let wrong = HeaderValue::from_static("AAAAAAAAAAA=");
    let edit = move |mut answer: s3s::HttpResponse| {
        answer.headers_mut().insert("x-amz-checksum-crc64nvme", wrong.clone());
        answer
    };
    fixture.store.on(Op::UploadPart).part(2).once().edits(edit.clone());
    let content = sample::pdf(12 * MIB);
    let file = Form::document(&content).post(fixture.server).await.stored_one();
    fixture.take_stored(&file, &content).await;
    let twice = fixture.store.calls().iter().filter(|call| call.is_part(2)).count();
    assert_eq!(twice, 2, "{}", fixture.store.log());
    fixture.store.forget_rules();
    fixture.store.on(Op::UploadPart).part(1).edits(edit);
    let refusal = Refusal::of(&fixture, "damaged for ever", 502, "integrity").ends(DocsFile);
    refusal.leaves_nothing(Form::document(&content)).await;
    fixture.finish().await;
}
