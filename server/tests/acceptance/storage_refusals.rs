//! A store that says no for good: the answer names it, and nothing of the file is left.

use app::wire::FileType::{self, DocsFile, MsaImgs};
use app::wire::Problem;

use futures_util::FutureExt;
use http::HeaderValue;

use crate::refusal::Refusal;
use crate::support::client::{Form, RawConnection, get, request};
use crate::support::fixture::Fixture;
use crate::support::log;
use crate::support::sample::{self, KIB, MIB};
use crate::support::socket::Watcher;
use crate::support::store::{Call, Op, error_xml};

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

/// What the store says it holds is not what was sent: it is removed, after a Put was tried once more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d11_the_store_says_it_holds_something_else() {
    let fixture = Fixture::start().await;
    let lie = |mut answer: s3s::HttpResponse| {
        answer.headers_mut().insert("x-amz-checksum-crc64nvme", HeaderValue::from_static("AAAAAAAAAAA="));
        answer
    };
    fixture.store.on(Op::Put).edits(lie);
    refused(&fixture, MsaImgs, 300 * KIB, 502, "integrity").await;
    let of_image = |op| fixture.store.calls_of(op).into_iter().filter(|call| call.file() == Some(MsaImgs));
    let first = of_image(Op::Put).next().expect("it was put").key;
    assert_eq!(of_image(Op::Put).filter(|put| put.key == first).count(), 2, "tried once more");
    assert_eq!(of_image(Op::Delete).filter(|delete| delete.key == first).count(), 1, "the object is removed");

    fixture.store.on(Op::Put).fails(400, "BadDigest");
    refused(&fixture, MsaImgs, 300 * KIB, 502, "integrity").await;
    fixture.store.on(Op::UploadPart).part(2).fails(400, "BadDigest");
    refused(&fixture, DocsFile, 12 * MIB, 502, "integrity").await;
    assert_eq!(fixture.store.calls().iter().filter(|call| call.is_part(2)).count(), 2, "tried once more");

    let result = "<?xml version=\"1.0\"?><CompleteMultipartUploadResult><ETag>\"a-2\"</ETag>\
                  <ChecksumCRC64NVME>AAAAAAAAAAA=</ChecksumCRC64NVME></CompleteMultipartUploadResult>";
    fixture.store.on(Op::Complete).does_but_answers(200, result);
    refused(&fixture, DocsFile, 12 * MIB, 502, "integrity").await;
    fixture.store.on(Op::Complete).fails(400, "BadDigest");
    refused(&fixture, DocsFile, 12 * MIB, 502, "integrity").await;

    for size in [300 * KIB, 6 * MIB] {
        fixture.store.on(Op::Head).edits(lie);
        refused(&fixture, DocsFile, size, 502, "integrity").await;
    }
    fixture.finish().await;
}

/// Damaged once, a Put is sent again and stored.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d11_a_put_damaged_once_is_sent_again() {
    let fixture = Fixture::start().await;
    fixture.store.on(Op::Put).once().edits(|mut answer| {
        answer.headers_mut().insert("x-amz-checksum-crc64nvme", HeaderValue::from_static("AAAAAAAAAAA="));
        answer
    });
    let content = sample::jpeg(300 * KIB);
    let file = Form::image(&content).post(fixture.server).await.stored_one();
    fixture.take_stored(&file, &content).await;
    assert_eq!(fixture.store.calls_of(Op::Put).len(), 2);
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

/// The same from the other calls; of what never ends only so much is read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d13_an_answer_to_any_call_that_is_no_xml() {
    let mut entities = "<!ENTITY a0 \"aaaaaaaaaa\">".to_owned();
    for n in 1..30 {
        entities.push_str(&format!("<!ENTITY a{n} \"&a{0};&a{0};&a{0};&a{0};\">", n - 1));
    }
    let bomb = |result: &str, member: &str| {
        format!(
            "<?xml version=\"1.0\"?><!DOCTYPE x [{entities}]><{result}><{member}>&a29;</{member}></{result}>"
        )
    };
    let create = "InitiateMultipartUploadResult";
    let fixture = Fixture::setup().proxy().start().await;
    let huge = " ".repeat(10 * MIB);
    for (op, size, name, body) in [
        (Op::Create, 6 * MIB, "empty", String::new()),
        (
            Op::Create,
            6 * MIB,
            "cut",
            format!("<?xml version=\"1.0\"?><{create}><Bucket>uploads</Bucket><Uplo"),
        ),
        (Op::Create, 6 * MIB, "no id", format!("<{create}><UploadId></UploadId></{create}>")),
        (Op::Create, 6 * MIB, "huge", huge.clone()),
        (Op::Create, 6 * MIB, "entities", bomb(create, "UploadId")),
        (Op::UploadPart, 6 * MIB, "empty", String::new()),
        (Op::UploadPart, 6 * MIB, "huge", huge.clone()),
        (Op::UploadPart, 6 * MIB, "entities", bomb("UploadPartResult", "ETag")),
        (Op::Put, 300 * KIB, "empty", String::new()),
        (Op::Put, 300 * KIB, "huge", huge.clone()),
        (Op::Complete, 6 * MIB, "huge", huge.clone()),
        (Op::Complete, 6 * MIB, "entities", bomb("CompleteMultipartUploadResult", "ETag")),
    ] {
        println!("{op:?}: {name}");
        let (calls, read) = (fixture.store.calls_of(op).len(), fixture.proxy.as_ref().unwrap().down.bytes());
        fixture.store.on(op).answers(200, &body);
        refused(&fixture, DocsFile, size, 502, "storage_rejected").await;
        let calls = fixture.store.calls_of(op).len() - calls;
        let read = fixture.proxy.as_ref().unwrap().down.bytes() - read;
        assert!(read <= (calls * 8 * MIB) as u64, "{read} bytes were read of {calls} answers");
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
    let before = fixture.metric("brigade_s3_aborts_total{outcome=\"failed\"}").await;
    fixture.store.on(Op::Abort).fails(500, "InternalError");
    let form = Form::document(&sample::exe(12 * MIB));
    let later = Form::document(&sample::pdf(12 * MIB));
    Refusal::of(&fixture, "a program", 415, "type_mismatch").ends(DocsFile).post(form).await;
    let refusal = Refusal::of(&fixture, "shorter than declared", 400, "size_mismatch").ends(DocsFile);
    refusal.post(later.without_sizes().size(DocsFile, 13 * MIB)).await;
    assert!(
        fixture.metric("brigade_s3_aborts_total{outcome=\"failed\"}").await > before,
        "the failure is counted"
    );
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

/// What was sent whole the store may still take, so Abort waits for its answer: when it arrives no part runs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d19_no_part_runs_when_abort_arrives() {
    let fixture = Fixture::start().await;
    let content = sample::pdf(12 * MIB);
    for cancelled in [false, true] {
        println!("cancelled: {cancelled}");
        fixture.store.forget_rules();
        let aborts = fixture.store.calls_of(Op::Abort).len();
        let begun = fixture.store.calls_of(Op::UploadPart).len();
        // Taken, and not answered.
        let gate = fixture.store.on(Op::UploadPart).part(1).holds_after();
        if !cancelled {
            fixture.store.on(Op::UploadPart).part(2).fails(400, "InvalidRequest");
        }
        let id = format!("abort-{cancelled}");
        let mut watcher = Watcher::new(fixture.server, &id).await;
        let form = Form::document(&content).client_id(&id);
        let body = form.body();
        let mut client = RawConnection::connect(fixture.server).await;
        client.write(&form.head(body.len())).await;
        let part_2 = form.offset(0, 5 * MIB);
        client.write(&body[..part_2]).await;
        let until_part = async |number, is: fn(&Call) -> bool| {
            let wanted = format!("part {number}");
            let find = |calls: &[Call]| {
                let mut mine = calls.iter().filter(|call| call.is(Op::UploadPart)).skip(begun);
                mine.any(|call| call.is_part(number) && is(call)).then_some(())
            };
            fixture.store.until(&wanted, find).await;
        };
        until_part(1, |part| part.read() == 5 * MIB as u64).await;
        // Of part 3 nothing comes: a part of which bytes are missing is none.
        client.write(&body[part_2..form.offset(0, 10 * MIB)]).await;
        until_part(2, |part| part.status().is_some()).await;
        if cancelled {
            let upload_id = watcher
                .until("an upload id", |heard| heard.first().map(|heard| heard.message.upload_id.clone()))
                .await;
            let accepted = request(fixture.server, "DELETE", &format!("/uploads/{upload_id}")).await;
            assert_eq!(accepted.status, 202);
        }
        assert_eq!(fixture.store.calls_of(Op::Abort).len(), aborts, "part 1 still runs");
        gate.cancel();
        let (status, code) = if cancelled { (409, "cancelled") } else { (502, "storage_rejected") };
        client.answer().await.problem(status, code);
        assert_eq!(watcher.terminal(DocsFile).await.code.as_deref(), Some(code));
        let abort = fixture.store.called(Op::Abort, aborts + 1).await;
        for part in fixture.store.calls_of(Op::UploadPart) {
            let ended = part.ended().unwrap_or_else(|| panic!("it has ended\n{}", fixture.store.log()));
            assert!(ended <= abort.at, "part {:?} runs at the Abort\n{}", part.part, fixture.store.log());
        }
        assert!(
            fixture.store.calls_of(Op::ListParts).iter().any(|call| call.at > abort.at),
            "and it is asked"
        );
        fixture.nothing_stored().await;
        drop((client, watcher));
    }
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
async fn d20_not_ready_where_the_server_may_not_write() {
    let fixture = Fixture::start().await;
    for (status, code) in [(403, "AccessDenied"), (404, "NoSuchBucket"), (403, "InvalidAccessKeyId")] {
        fixture.store.on(Op::HeadBucket).fails(status, code);
        let ready = get(fixture.server, "/readyz").await;
        assert_eq!(ready.status, 503, "{}", ready.text());
        assert!(!ready.text().contains("secret-detail") && !ready.text().contains(code), "{}", ready.text());
        fixture.store.forget_rules();
        assert_eq!(get(fixture.server, "/readyz").await.status, 200);
    }
    fixture.finish().await;
}

/// Keys that nobody renews: tried once more, then told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d21_a_token_that_stays_expired() {
    let fixture = Fixture::start().await;
    fixture.store.on(Op::UploadPart).part(2).fails(400, "ExpiredToken");
    refused(&fixture, DocsFile, 12 * MIB, 503, "storage_config").await;
    assert_eq!(fixture.store.calls().iter().filter(|call| call.is_part(2)).count(), 2);
    for op in [Op::Create, Op::Complete] {
        fixture.store.on(op).fails(400, "ExpiredToken");
        refused(&fixture, DocsFile, 6 * MIB, 503, "storage_config").await;
    }
    fixture.store.on(Op::Put).fails(400, "ExpiredToken");
    refused(&fixture, MsaImgs, 300 * KIB, 503, "storage_config").await;
    fixture.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d22_the_log_names_the_clock() {
    let fixture = Fixture::start().await;
    for (op, size) in
        [(Op::Create, 6 * MIB), (Op::UploadPart, 6 * MIB), (Op::Complete, 6 * MIB), (Op::Put, KIB)]
    {
        fixture.store.on(op).fails(403, "RequestTimeTooSkewed");
        assert!(!refused(&fixture, DocsFile, size, 503, "storage_config").await.retryable);
    }
    assert!(log::has("the clock of this machine is wrong, or the store's is"));
    fixture.finish().await;
}

/// Whoever the store names instead hears nothing: our keys, and the files, are not for them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d23_a_redirect_is_not_followed() {
    let other = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let elsewhere = format!("http://{}/uploads/elsewhere", other.local_addr().unwrap());
    let fixture = Fixture::start().await;
    for status in [301, 302, 307, 308] {
        for (op, size) in
            [(Op::Create, 6 * MIB), (Op::UploadPart, 6 * MIB), (Op::Complete, 6 * MIB), (Op::Put, 300 * KIB)]
        {
            println!("{status} to {op:?}");
            fixture.store.on(op).redirects(status, &elsewhere);
            refused(&fixture, DocsFile, size, 503, "storage_config").await;
        }
    }
    assert!(other.accept().now_or_never().is_none(), "nobody came to the other host");
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
