//! Stopped by SIGSTOP for a while: clients and store may give up meanwhile, and each upload still has one end.

use std::fs;
use std::time::Duration;

use app::wire::FileType::DocsFile;
use app::wire::Status;
use futures_util::future::join_all;
use rustix::process::Signal;

use crate::after::{at_rest, bucket_has_only, has_only, normal_upload};
use crate::half::{Half, SIZES, ends};
use crate::support::bucket::Bucket;
use crate::support::child::Child;
use crate::support::fixture::{Dir, settle};
use crate::support::proxy::Proxy;
use crate::support::store::ScriptedStore;

/// The fault itself, no wait (FAULTS.md, G4): the window of the least rate is over by then, and every back-off.
const PAUSE: Duration = Duration::from_secs(20);

/// Stops the process, lets the others do what they do meanwhile, and lets it go on.
async fn paused(server: &Child, meanwhile: impl Future<Output = ()>) {
    server.signal(Signal::STOP);
    let state = || async {
        let stat = fs::read_to_string(format!("/proc/{}/stat", server.pid())).unwrap();
        stat.rsplit(") ").next().and_then(|rest| rest.chars().next())
    };
    assert_eq!(settle(|state| *state == Some('T'), state).await, Some('T'), "it is stopped");
    tokio::join!(tokio::time::sleep(PAUSE), meanwhile);
    server.signal(Signal::CONT);
}

/// A server of its own for each size, all paused at the same time.
async fn each_size(check: impl AsyncFn(usize)) {
    join_all(SIZES.map(|size| check(size))).await;
}

/// A client that waits is served, and told one end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g04_a_paused_server_goes_on() {
    each_size(async |size| {
        let server = Child::start(&[]).await;
        let mut running = Half::begin(server.address, size, "waits-for-the-server").await;
        // Of the longer one, most can be written only when it reads again.
        let (_, key) = tokio::join!(paused(&server, async {}), running.finish());
        let [document, image] = normal_upload(server.address).await;
        at_rest(server.address).await;
        assert_eq!(running.ends(), 1);
        let dir = server.dir();
        server.stop().await;
        let kept = [(&*key, &*running.content), (&*document.0, &*document.1), (&*image.0, &*image.1)];
        has_only(&dir, &kept).await;
    })
    .await;
}

/// A client that loses its patience is gone; who only watches is told so, once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g04_a_client_leaves_a_paused_server() {
    each_size(async |size| {
        let server = Child::start(&[]).await;
        let running = Half::begin(server.address, size, "leaves-meanwhile").await;
        let mut left = None;
        paused(&server, async { left = Some(running.leave()) }).await;
        let mut watcher = left.expect("it left meanwhile");
        let end = watcher.terminal(DocsFile).await;
        assert_eq!((end.status, end.code.as_deref()), (Status::Error, Some("client_gone")));
        let [document, image] = normal_upload(server.address).await;
        at_rest(server.address).await;
        assert_eq!(ends(&watcher), 1);
        let dir = server.dir();
        server.stop().await;
        has_only(&dir, &[(&document.0, &document.1), (&image.0, &image.1)]).await;
    })
    .await;
}

/// A store that cuts the connections of a server that says nothing: the part is sent again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g04_a_store_cuts_a_paused_server_off() {
    each_size(async |size| {
        let stored = Dir::new();
        let store = ScriptedStore::start(&stored.path.join("store")).await;
        let proxy = Proxy::start(store.addr).await;
        let server = Child::setup().storing_at(proxy.addr).start().await;
        let mut running = Half::begin(server.address, size, "is-cut-off").await;
        paused(&server, async { proxy.reset_all() }).await;
        let key = running.finish().await;
        let [document, image] = normal_upload(server.address).await;
        at_rest(server.address).await;
        assert_eq!(running.ends(), 1);
        server.stop().await;
        let kept = [(&*key, &*running.content), (&*document.0, &*document.1), (&*image.0, &*image.1)];
        bucket_has_only(&Bucket::at(store.plain), &kept).await;
    })
    .await;
}
