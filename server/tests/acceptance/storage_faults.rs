//! A store that fails once and is asked again: the upload passes, and nothing goes back on the bars.

use app::wire::FileType::{self, DocsFile, MsaImgs};

use crate::support::client::Form;
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
