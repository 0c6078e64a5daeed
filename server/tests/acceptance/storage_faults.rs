//! A store that fails once and is asked again: the upload passes, and nothing goes back on the bars.

use std::time::Duration;

use app::wire::FileType::{self, DocsFile, MsaImgs};
use app::wire::Status;
use futures_util::future::join_all;

use crate::SHORT;
use crate::refusal::Refusal;
use crate::support::bucket::Bucket;
use crate::support::client::{Form, RawConnection, head};
use crate::support::fixture::Fixture;
use crate::support::sample::{self, KIB, MIB};
use crate::support::socket::Watcher;
use crate::support::store::{Cut, Op};

/// Uploads a file that must be stored, watched by the law; gives the retries its bar told of.
async fn passes(fixture: &Fixture, file: FileType, size: usize) -> u32 {
    let content = if file == DocsFile { sample::pdf(size) } else { sample::jpeg(size) };
    let form = if file == DocsFile { Form::document(&content) } else { Form::image(&content) };
    passes_as(fixture, form, file, &content).await
}

/// The same for a form of one's own.
async fn passes_as(fixture: &Fixture, form: Form, file: FileType, content: &[u8]) -> u32 {
    let mut watcher = Watcher::new(fixture.server, "passing").await;
    let answer = form.client_id("passing").post(fixture.server).await;
    let stored = answer.stored();
    fixture.take_stored(&stored.files[0], content).await;
    watcher.terminal_of(&stored.upload_id, file).await.retries
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d01_one_internal_error_of_each_operation() {
    let fixture = Fixture::start().await;
    for op in [Op::Create, Op::UploadPart, Op::Complete, Op::Head] {
        println!("{op:?}");
        fixture.store.on(op).once().fails(500, "InternalError");
        let before = fixture.store.calls_of(op).len();
        let retries = passes(&fixture, DocsFile, 12 * MIB).await;
        assert_eq!(retries, u32::from(op == Op::UploadPart), "retries are those of parts");
        assert!(fixture.store.calls_of(op).len() > before + 1, "{op:?} was asked again");
    }
    for op in [Op::Put, Op::Head] {
        println!("{op:?} of a small file");
        fixture.store.on(op).once().fails(500, "InternalError");
        let retries = passes(&fixture, MsaImgs, 300 * KIB).await;
        assert_eq!(retries, u32::from(op == Op::Put));
    }
    fixture.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d01_the_last_part_fails_once() {
    let fixture = Fixture::start().await;
    fixture.store.on(Op::UploadPart).part(3).once().fails(500, "InternalError");
    assert_eq!(passes(&fixture, DocsFile, 12 * MIB).await, 1);
    fixture.finish().await;
}

/// The store answers before it has read the body.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d02_slow_down_twice() {
    let fixture = Fixture::start().await;
    fixture.store.on(Op::UploadPart).part(2).first(2).fails_early(503, "SlowDown");
    assert_eq!(passes(&fixture, DocsFile, 12 * MIB).await, 2);
    fixture.store.on(Op::Put).first(2).fails_early(503, "SlowDown");
    assert_eq!(passes(&fixture, MsaImgs, 2 * MIB).await, 2);
    fixture.store.on(Op::Put).first(2).fails(429, "TooManyRequests");
    assert_eq!(passes(&fixture, MsaImgs, 300 * KIB).await, 2);
    fixture.finish().await;
}

/// The same of the calls that the SDK itself repeats.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d02_too_many_requests_of_every_call() {
    let fixture = Fixture::start().await;
    for op in [Op::Create, Op::UploadPart, Op::Complete, Op::Head] {
        println!("{op:?}");
        let before = fixture.store.calls_of(op).len();
        fixture.store.on(op).first(2).fails(429, "TooManyRequests");
        passes(&fixture, DocsFile, 6 * MIB).await;
        assert!(
            fixture.store.calls_of(op).len() >= before + 3,
            "{op:?} was asked again\n{}",
            fixture.store.log()
        );
        fixture.store.forget_rules();
    }
    fixture.finish().await;
}

/// Never more than four attempts, each after about twice the time, and those of many uploads not in step.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d02_attempts_are_few_and_come_later_each_time_and_not_in_step() {
    const FIRST: Duration = Duration::from_millis(200);
    let fixture = Fixture::setup().config(|config| config.clocks.store_backoff = FIRST).start().await;
    fixture.store.on(Op::Put).fails(429, "TooManyRequests");
    let image = sample::jpeg(20 * KIB);
    let refused = (0..8).map(|n| {
        let refusal = Refusal::of(&fixture, format!("upload {n}"), 503, "storage_busy").ends(MsaImgs);
        refusal.post(Form::image(&image))
    });
    assert!(join_all(refused).await.iter().all(|problem| problem.retryable));
    let puts = fixture.store.calls_of(Op::Put);
    let mut firsts = Vec::new();
    for key in puts.iter().map(|put| &put.key).collect::<std::collections::BTreeSet<_>>() {
        let attempts: Vec<_> = puts.iter().filter(|put| put.key == *key).collect();
        assert_eq!(attempts.len(), 4, "{}", fixture.store.log());
        let wait = |n: usize| attempts[n + 1].at - attempts[n].ended().expect("it was answered");
        for (n, full) in [FIRST, 2 * FIRST, 4 * FIRST].into_iter().enumerate() {
            assert!(wait(n) >= full / 2, "wait {n} is {:?} of {full:?}", wait(n));
            // A busy machine may be late, but not by this much.
            assert!(wait(n) <= full + Duration::from_secs(2), "wait {n} is {:?} of {full:?}", wait(n));
        }
        firsts.push(wait(0));
    }
    assert_eq!(firsts.len(), 8);
    let spread = *firsts.iter().max().unwrap() - *firsts.iter().min().unwrap();
    assert!(spread > Duration::from_millis(10), "chance spreads them: {firsts:?}");
    fixture.store.forget_rules();
    fixture.nothing_stored().await;
    fixture.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d04_request_timeout() {
    let fixture = Fixture::start().await;
    fixture.store.on(Op::UploadPart).part(1).once().fails(400, "RequestTimeout");
    assert_eq!(passes(&fixture, DocsFile, 6 * MIB).await, 1);
    fixture.store.on(Op::Put).once().fails(408, "RequestTimeout");
    assert_eq!(passes(&fixture, MsaImgs, 300 * KIB).await, 1);
    fixture.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d06_a_connection_that_breaks_in_the_middle_of_a_part() {
    let fixture = Fixture::start().await;
    for cut in [Cut::Reset, Cut::Fin] {
        fixture.store.on(Op::UploadPart).part(2).once().cuts_body(2 * MIB as u64, cut);
        let streamed = passes(&fixture, DocsFile, 16 * MIB).await;
        assert!(streamed <= 1, "{cut:?}: a cut while the part waits for the client costs no attempt");
        let second: Vec<_> = fixture.store.calls().into_iter().filter(|call| call.is_part(2)).collect();
        assert_eq!(second.last().unwrap().read(), 5 * MIB as u64, "the whole part was sent again");
        fixture.store.on(Op::Put).once().cuts_body(MIB as u64, cut);
        let streamed = passes(&fixture, MsaImgs, 3 * MIB).await;
        assert!(streamed <= 1, "{cut:?}");
        // Of unknown size a part is whole when it is sent: it waits for nobody, and the attempt counts.
        fixture.store.on(Op::UploadPart).part(2).once().cuts_body(2 * MIB as u64, cut);
        let content = sample::pdf(16 * MIB);
        let whole = Form::document(&content).without_sizes();
        assert_eq!(passes_as(&fixture, whole, DocsFile, &content).await, 1, "{cut:?}");
    }
    fixture.finish().await;
}

/// Nothing has to be waited for any more when the connection breaks: the attempt counts, and one more is enough.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d06_a_part_that_has_come_whole_is_cut_and_sent_once_more() {
    let fixture = Fixture::start().await;
    for (cut, op, file, size) in [
        (Cut::Reset, Op::UploadPart, DocsFile, 10 * MIB),
        (Cut::Fin, Op::UploadPart, DocsFile, 10 * MIB),
        (Cut::Reset, Op::Put, MsaImgs, 3 * MIB),
        (Cut::Fin, Op::Put, MsaImgs, 3 * MIB),
    ] {
        let id = format!("cut-{cut:?}-{op:?}");
        println!("{id}");
        let rule = if op == Op::Put { fixture.store.on(op) } else { fixture.store.on(op).part(2) };
        let gate = rule.once().stalls_then_cuts(MIB as u64, cut);
        let before = fixture.store.calls_of(op).len();
        let content = if file == DocsFile { sample::pdf(size) } else { sample::jpeg(size) };
        let form = if file == DocsFile { Form::document(&content) } else { Form::image(&content) };
        let (form, server) = (form.client_id(&id), fixture.server);
        let mut watcher = Watcher::new(server, &id).await;
        let posting = tokio::spawn(async move { form.post(server).await });
        watcher
            .until("all received", |heard| {
                heard.iter().find(|heard| Some(heard.message.received) == heard.message.total).map(|_| ())
            })
            .await;
        gate.cancel();
        fixture.take_stored(&posting.await.unwrap().stored_one(), &content).await;
        assert_eq!(watcher.terminal(file).await.retries, 1, "{id}");
        let calls = fixture.store.calls_of(op);
        let parts = if op == Op::Put { 1 } else { 2 };
        assert_eq!(calls.len() - before, parts + 1, "{id}: one more\n{}", fixture.store.log());
        drop(watcher);
    }
    fixture.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d07_the_answer_to_a_part_is_lost() {
    let fixture = Fixture::start().await;
    fixture.store.on(Op::UploadPart).part(1).once().loses_the_answer(Cut::Reset);
    assert_eq!(passes(&fixture, DocsFile, 12 * MIB).await, 1);
    let first = fixture.store.calls().into_iter().filter(|call| call.is_part(1)).count();
    assert_eq!(first, 2, "the same part number again");
    fixture.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_put_whose_answer_is_lost_is_stored_once() {
    let fixture = Fixture::start().await;
    fixture.store.on(Op::Put).once().loses_the_answer(Cut::Fin);
    passes(&fixture, MsaImgs, 300 * KIB).await;
    fixture.finish().await;
}

/// It is there, as HeadObject says, and the bar says so too: completed, and all of it stored.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_put_of_which_every_answer_is_lost_is_stored() {
    let fixture = Fixture::start().await;
    fixture.store.on(Op::Put).loses_the_answer(Cut::Reset);
    assert_eq!(passes(&fixture, MsaImgs, 300 * KIB).await, 3);
    fixture.store.forget_rules();
    fixture.finish().await;
}

/// A 200 with an error inside is an error; asked again, it passes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d12_one_error_inside_the_200_of_complete() {
    let fixture = Fixture::start().await;
    let body = crate::support::store::error_xml("InternalError");
    fixture.store.on(Op::Complete).once().answers(200, &body);
    passes(&fixture, DocsFile, 12 * MIB).await;
    assert_eq!(fixture.store.calls_of(Op::Complete).len(), 2);
    fixture.finish().await;
}

/// Complete is done and its answer lost; asked again the store knows no such upload; HeadObject settles it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d14_the_answer_to_complete_is_lost() {
    let fixture = Fixture::start().await;
    for cut in [Cut::Reset, Cut::Fin] {
        fixture.store.on(Op::Complete).once().loses_the_answer(cut);
        passes(&fixture, DocsFile, 12 * MIB).await;
        assert!(!fixture.store.calls_of(Op::Head).is_empty(), "HeadObject was asked");
    }
    fixture.store.forget_rules();
    fixture
        .store
        .on(Op::Complete)
        .once()
        .does_but_answers(500, &crate::support::store::error_xml("InternalError"));
    passes(&fixture, DocsFile, 6 * MIB).await;
    assert!(fixture.store.calls_of(Op::Abort).is_empty(), "what is complete is not aborted");
    fixture.finish().await;
}

/// A store that reads nothing for a while slows the client; nothing fails, and the bar says who is waited for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d10_a_store_that_pauses_is_waited_for() {
    let fixture = Fixture::start().await;
    let gate = fixture.store.on(Op::UploadPart).part(1).once().stalls_body(MIB as u64);
    let content = sample::pdf(8 * MIB);
    let mut watcher = Watcher::new(fixture.server, "waiting").await;
    let form = Form::document(&content).client_id("waiting");
    let server = fixture.server;
    let posting = tokio::spawn(async move { form.post(server).await });
    watcher
        .until("waiting for storage", |heard| {
            heard.iter().find(|heard| heard.message.waiting == Some(app::wire::Waiting::Storage)).map(|_| ())
        })
        .await;
    gate.cancel();
    fixture.take_stored(&posting.await.unwrap().stored_one(), &content).await;
    assert_eq!(watcher.terminal(DocsFile).await.waiting, None);
    drop(watcher);
    fixture.finish().await;
}

/// A store that makes the object for a long time says 200 at once and keeps the connection with white space: longer than
/// every clock but Complete's own. The client's connection stays, and serves its next request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d15_complete_trickles_white_space() {
    let impatient = |config: &mut server::config::Config| {
        config.clocks.store_stall = SHORT;
        config.clocks.body_silence = SHORT;
        config.clocks.answer_silence = SHORT;
        config.clocks.request_head = SHORT;
    };
    let fixture = Fixture::setup().config(impatient).start().await;
    let content = sample::pdf(6 * MIB);
    for (n, start) in ["<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n", ""].into_iter().enumerate() {
        let id = format!("trickle-{n}");
        let gate = fixture.store.on(Op::Complete).once().trickles(start);
        let form = Form::document(&content).client_id(&id);
        let body = form.body();
        let mut watcher = Watcher::new(fixture.server, &id).await;
        let mut client = RawConnection::connect(fixture.server).await;
        client.write(&form.head(body.len())).await;
        client.write(&body).await;
        fixture.store.called(Op::Complete, n + 1).await;
        // Longer than the clocks: what is tested is that this time does not count.
        tokio::time::sleep(2 * SHORT).await;
        let last = watcher.of(DocsFile).pop().expect("it is told of");
        assert_eq!((last.status, last.progress), (Status::Processing, 99), "{last:?}");
        gate.cancel();
        let answer = client.answer().await;
        fixture.take_stored(&answer.stored_one(), &content).await;
        assert_eq!(watcher.terminal(DocsFile).await.status, Status::Completed);
        client.write(&head("GET", "/healthz", &[])).await;
        assert_eq!(client.answer().await.status, 200, "the connection was kept");
        assert_eq!(fixture.store.calls_of(Op::Complete).len(), n + 1, "Complete is not sent twice");
        drop((watcher, client));
    }
    assert!(fixture.store.calls_of(Op::Abort).is_empty(), "what is complete is not aborted");
    fixture.finish().await;
}

/// A token that was refused once is tried once more: another may have been given out meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d21_a_token_that_has_expired_is_tried_once_more() {
    let fixture = Fixture::start().await;
    fixture.store.on(Op::UploadPart).part(2).once().fails(400, "ExpiredToken");
    assert_eq!(passes(&fixture, DocsFile, 12 * MIB).await, 1);
    fixture.finish().await;
}

/// Some stores want every part but the last to be as long as the first, and none longer than it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d26_a_store_that_refuses_unequal_parts() {
    for part_size in [5 * MIB, 7 * MIB] {
        let configure = move |config: &mut server::config::Config| {
            config.limits.part_size = bytesize::ByteSize(part_size as u64);
        };
        let fixture = Fixture::setup().config(configure).start().await;
        fixture.store.want_equal_parts();
        for size in [5 * MIB, 5 * MIB + 1, part_size + 1, 2 * part_size, 12 * MIB + 7, 25 * MIB] {
            println!("{size} in parts of {part_size}");
            let content = sample::pdf(size);
            passes_as(&fixture, Form::document(&content), DocsFile, &content).await;
            passes_as(&fixture, Form::document(&content).without_sizes(), DocsFile, &content).await;
        }
        assert!(fixture.store.calls_of(Op::Complete).iter().all(|complete| complete.status() == Some(200)));
        // The rule is in force: parts of another cut are refused.
        let scripted = Bucket::at(fixture.store.addr);
        let id = scripted.begin("unequal").await;
        let mut parts = Vec::new();
        for (number, size) in [(1, 6 * MIB), (2, 5 * MIB), (3, MIB)] {
            parts.push(scripted.part("unequal", &id, number, sample::noise(size)).await);
        }
        assert!(!scripted.completes("unequal", &id, parts).await);
        scripted.abort("unequal", &id).await;
        fixture.finish().await;
    }
}
