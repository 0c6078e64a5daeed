//! What a person sees of the connection: closed, cut, absent, half blocked, or with TLS.

use server::config::Config;

use crate::scene::{SLOW, Scene};
use crate::script::Script;
use crate::support::fixture::{Dir, Fixture};
use crate::support::sample::{self, MIB};
use crate::support::store::Op;

/// A document whose first part is stored long before its last byte is sent.
const SIZE: usize = 12 * MIB;
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e01_tab_closed_in_the_middle() {
    leaves_nothing("close").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e01_cancel_pressed_in_the_middle() {
    leaves_nothing("cancel").await;
}

/// A person who ends an upload in the middle: the script checks what another tab hears of it.
async fn leaves_nothing(how: &str) {
    let scene = Scene::new(SIZE).await;
    let mut script = scene.run("leaving.mjs", &[how]);
    scene.send_half(&mut script).await;
    script.reaches("in the middle").await;
    script.go();
    script.ends().await;
    scene.fixture.nothing_stored().await;
    scene.fixture.finish().await;
}

/// An upload to a server that needs no network goes on without one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e06_offline_but_the_server_is_near() {
    let scene = Scene::new(SIZE).await;
    let mut script = scene.run("broken.mjs", &["near"]);
    scene.send_half(&mut script).await;
    script.reaches("in the middle").await;
    // Longer than a silence that the page would take for a broken connection.
    scene.way.up.limit(SLOW / 4);
    script.go();
    script.ends().await;
    scene.stores_one().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e03_socket_and_upload_die_and_come_back() {
    let mut scene = Scene::new(SIZE).await;
    let mut script = scene.run("broken.mjs", &["cut"]);
    scene.send_half(&mut script).await;
    scene.way.refuse().await;
    script.reaches("broken").await;
    scene.fixture.nothing_stored().await;
    scene.way.up.limit(0);
    scene.way.accept().await;
    script.go();
    script.reaches("told").await;
    scene.fixture.nothing_stored().await;
    script.go();
    script.ends().await;
    scene.stores_one().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e03_the_way_stays_dead_until_the_page_gives_up() {
    let mut scene = Scene::new(SIZE).await;
    let mut script = scene.run("broken.mjs", &["dead"]);
    scene.send_half(&mut script).await;
    scene.way.refuse().await;
    script.reaches("given up").await;
    scene.fixture.nothing_stored().await;
    scene.way.up.limit(0);
    scene.way.accept().await;
    script.go();
    script.ends().await;
    scene.stores_one().await;
}

/// The store had everything when the connection died: what comes back is the news, and no second object.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e03_what_was_whole_is_stored_without_the_page() {
    let mut scene = Scene::new(SIZE).await;
    let gate = scene.fixture.store.on(Op::Complete).holds_before();
    let mut script = scene.run("broken.mjs", &["whole"]);
    script.reaches("ready").await;
    script.go();
    scene.fixture.store.called(Op::Complete, 1).await;
    script.reaches("whole").await;
    scene.way.refuse().await;
    script.go();
    script.reaches("broken").await;
    gate.cancel();
    scene.way.accept().await;
    script.go();
    script.ends().await;
    scene.stores_one().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e05_double_click_on_upload() {
    let scene = Scene::new(SIZE).await;
    let script = scene.run("double_click.mjs", &[]);
    script.ends().await;
    scene.stores_one().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e06_offline_in_the_middle() {
    let scene = Scene::new(SIZE).await;
    let mut script = scene.run("broken.mjs", &["offline"]);
    scene.send_half(&mut script).await;
    script.reaches("in the middle").await;
    // Chromium's own offline lets a running request go on.
    scene.way.up.stall();
    scene.way.down.stall();
    script.go();
    script.reaches("offline").await;
    scene.way.up.limit(0);
    scene.way.up.resume();
    scene.way.down.resume();
    scene.fixture.nothing_stored().await;
    script.go();
    script.ends().await;
    scene.stores_one().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e07_socket_blocked_by_a_proxy() {
    let scene = Scene::new(SIZE).await;
    scene.way.block("GET /ws");
    let gate = scene.fixture.store.on(Op::Complete).holds_before();
    let mut script = scene.run("no_socket.mjs", &["blocked"]);
    script.reaches("ready").await;
    scene.way.up.limit(SLOW);
    script.go();
    script.reaches("counted").await;
    gate.cancel();
    script.go();
    script.ends().await;
    scene.stores_one().await;
}

/// Connected, but nothing comes through until the whole file is sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e07_socket_open_but_silent() {
    let scene = Scene::new(SIZE).await;
    let mut script = scene.run("no_socket.mjs", &["silent"]);
    script.reaches("ready").await;
    scene.way.up.limit(SLOW);
    scene.way.down.stall();
    script.go();
    script.reaches("counted").await;
    scene.way.down.resume();
    script.go();
    script.ends().await;
    scene.stores_one().await;
}

/// Loopback is all that is listened on without being told; a page that came over https keeps to TLS.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s32_wss_from_an_https_page() {
    let defaults = Config::defaults();
    assert!(defaults.listen.ip().is_loopback() && defaults.storage.store_listen.ip().is_loopback());
    let trusting = |config: &mut Config| config.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
    let fixture = Fixture::setup().config(trusting).start().await;
    let (dir, document) = (Dir::new(), sample::pdf(6 * MIB));
    let file = dir.path.join("report.pdf");
    std::fs::write(&file, &document).unwrap();
    Script::start("https.mjs", fixture.server, &[file.to_str().unwrap()]).ends().await;
    fixture.take_only(&document).await;
    fixture.finish().await;
}
