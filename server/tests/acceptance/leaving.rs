//! Clients that leave: in the middle nothing is kept, after the last byte everything is.

use std::time::{Duration, Instant};

use app::wire::FileType::{DocsFile, MsaImgs};
use app::wire::Status;

use crate::support::client::{Form, RawConnection};
use crate::support::fixture::Fixture;
use crate::support::sample::{self, KIB, MIB};
use crate::support::socket::Watcher;
use crate::support::store::{Cut, Op};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a08_gone_at_sixty_percent() {
    let fixture = Fixture::start().await;
    for (size, how) in
        [(20 * MIB, Cut::Reset), (20 * MIB, Cut::Fin), (3 * MIB, Cut::Reset), (3 * MIB, Cut::Fin)]
    {
        println!("{size} bytes, {how:?}");
        let id = format!("gone-{size}-{how:?}");
        let mut watcher = Watcher::new(fixture.server, &id).await;
        let form = Form::document(&sample::pdf(size)).client_id(&id);
        let body = form.body();
        let mut client = RawConnection::connect(fixture.server).await;
        client.write(&form.head(body.len())).await;
        let sixty = size * 6 / 10;
        client.write(&body[..form.offset(0, sixty)]).await;
        // A reset discards what the server has not read yet: first let it read.
        watcher
            .until("60 % received", |heard| {
                heard
                    .iter()
                    .find(|heard| heard.message.received + 64 * KIB as u64 >= sixty as u64)
                    .map(|_| ())
            })
            .await;
        if size > 10 * MIB {
            fixture.store.part_stored(1).await;
        }
        let left = Instant::now();
        match how {
            Cut::Reset => client.reset(),
            Cut::Fin => drop(client),
        }
        let end = watcher.terminal(DocsFile).await;
        assert!(left.elapsed() < Duration::from_secs(2), "told after {:?}", left.elapsed());
        assert_eq!((end.status, end.code.as_deref()), (Status::Error, Some("client_gone")));
        fixture.nothing_stored().await;
        fixture.normal_upload_passes().await;
    }
    fixture.finish().await;
}

/// The document arrived before the client left within the image: one is finished, the other forgotten.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_arrived_is_finished_though_the_client_leaves() {
    let fixture = Fixture::start().await;
    for size in [300 * KIB, 12 * MIB] {
        let id = format!("half-{size}");
        let mut watcher = Watcher::new(fixture.server, &id).await;
        let content = sample::pdf(size);
        let form = Form::both(&content, &sample::jpeg(MIB)).client_id(&id);
        let body = form.body();
        let last = if size < 5 * MIB { Op::Put } else { Op::Complete };
        let gate = fixture.store.on(last).of(DocsFile).holds_before();
        let mut client = RawConnection::connect(fixture.server).await;
        client.write(&form.head(body.len())).await;
        client.write(&body[..form.offset(1, 600 * KIB)]).await;
        watcher
            .until("half of the image received", |heard| {
                let image =
                    |m: &app::wire::FileMessage| m.file_type == MsaImgs && m.received > 500 * KIB as u64;
                heard.iter().find(|heard| image(&heard.message)).map(|_| ())
            })
            .await;
        client.reset();
        assert_eq!(watcher.terminal(MsaImgs).await.code.as_deref(), Some("client_gone"));
        gate.cancel();
        let end = watcher.terminal(DocsFile).await;
        assert_eq!(end.status, Status::Completed, "{end:?}");
        fixture.take_only(&content).await;
        fixture.store.forget_rules();
        fixture.normal_upload_passes().await;
    }
    fixture.finish().await;
}

/// After the last byte the tab may close: the upload goes on, and its end is remembered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e02_gone_after_the_last_byte() {
    let fixture = Fixture::start().await;
    for (size, last) in [(12 * MIB, Op::Complete), (300 * KIB, Op::Put)] {
        let id = format!("early-leaver-{size}");
        let mut watcher = Watcher::new(fixture.server, &id).await;
        let gate = fixture.store.on(last).holds_before();
        let content = sample::pdf(size);
        let form = Form::document(&content).client_id(&id);
        let body = form.body();
        let mut client = RawConnection::connect(fixture.server).await;
        client.write(&form.head(body.len())).await;
        client.write(&body).await;
        let arrived = watcher
            .until("everything received", |heard| {
                heard.iter().map(|h| &h.message).find(|m| m.status == Status::Processing).cloned()
            })
            .await;
        assert_eq!(arrived.received, size as u64);
        client.reset();
        gate.cancel();
        assert_eq!(watcher.terminal(DocsFile).await.status, Status::Completed);
        fixture.take_only(&content).await;
        let mut later = Watcher::new(fixture.server, &id).await;
        assert_eq!(later.terminal(DocsFile).await.status, Status::Completed, "it is remembered");
        fixture.store.forget_rules();
    }
    fixture.finish().await;
}

/// A client that sends nothing more is cut, by a clock that runs only while we wait for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a09_silence() {
    let setup = Fixture::setup().config(|config| config.clocks.body_silence = Duration::from_secs(1));
    let fixture = setup.start().await;
    for size in [3 * MIB, 12 * MIB] {
        let id = format!("silent-{size}");
        let mut watcher = Watcher::new(fixture.server, &id).await;
        let form = Form::document(&sample::pdf(size)).client_id(&id);
        let body = form.body();
        let mut client = RawConnection::connect(fixture.server).await;
        client.write(&form.head(body.len())).await;
        client.write(&body[..form.offset(0, size / 2)]).await;
        client.answer().await.problem(408, "read_timeout");
        assert_eq!(watcher.terminal(DocsFile).await.code.as_deref(), Some("read_timeout"));
        fixture.nothing_stored().await;
        fixture.normal_upload_passes().await;
    }
    fixture.finish().await;
}
