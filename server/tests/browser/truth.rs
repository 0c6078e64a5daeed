//! What the page says while the store, or the way to the server, is slow or fails: never more than is true.
//!
//! The scripts record every change of the page: nothing solid shrinks, and nothing is at 100 before it is stored.

use std::time::{Duration, Instant};

use serde::Deserialize;
use server::config::Config;

use crate::scene::Scene;
use crate::support::fixture::Fixture;
use crate::support::sample::MIB;
use crate::support::store::{Op, error_xml};
use crate::support::wall_clock_ms;

/// Four parts, of which the last is smaller.
const SIZE: usize = 17 * MIB;
const PARTS: u32 = 4;
/// What a script may tell of the time: it counts whole milliseconds.
const MILLISECOND: f64 = 1.0;

/// A state of the document's card.
#[derive(Debug, Deserialize)]
struct Painted {
    at_ms: f64,
    look: String,
    solid: u64,
}

/// UX.md, 2.10, 1: the solid parts follow the store's answers, the thin lane what is received.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn solid_is_only_what_the_store_has_confirmed() {
    let scene = Scene::new(SIZE).await;
    let store = &scene.fixture.store;
    let gates: Vec<_> = (1..=PARTS).map(|part| store.on(Op::UploadPart).part(part).holds_after()).collect();
    let mut script = scene.run("stores.mjs", &["slow"]);
    script.reaches("ready").await;
    script.go();
    store.part_read(PARTS, (SIZE % (5 * MIB)) as u64).await;
    for (stored, gate) in gates.iter().enumerate() {
        script.reaches(&format!("{stored} stored")).await;
        gate.cancel();
        script.go();
    }
    let painted: Vec<Painted> = serde_json::from_str(&script.tells().await).unwrap();
    let (now, now_ms) = (Instant::now(), wall_clock_ms());
    let ended_ms = |ended: Instant| now_ms - (now - ended).as_secs_f64() * 1_000.0;
    let parts = store.calls_of(Op::UploadPart).into_iter().filter(|call| call.status() == Some(200));
    let parts: Vec<_> =
        parts.map(|call| (ended_ms(call.ended().unwrap()), call.content_length.unwrap())).collect();
    for state in painted.iter().filter(|state| state.look == "running") {
        let until = state.at_ms + MILLISECOND;
        let confirmed: u64 = parts.iter().filter(|(at_ms, _)| *at_ms <= until).map(|(_, bytes)| bytes).sum();
        assert!(state.solid <= confirmed, "{confirmed} bytes were confirmed: {state:?}");
    }
    scene.stores_one().await;
}

/// UX.md, 2.10, 2.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn part_3_is_named_while_it_is_tried_again() {
    // A second at least before the second attempt: a failed part's own colour is to be seen until then.
    let backoff = |config: &mut Config| config.clocks.store_backoff = Duration::from_secs(2);
    let scene = Scene::of(Fixture::setup().config(backoff).start().await, SIZE).await;
    let store = &scene.fixture.store;
    store.on(Op::UploadPart).part(3).once().fails(503, "SlowDown");
    let gate = store.on(Op::UploadPart).part(3).nth(2).holds_before();
    let mut script = scene.run("stores.mjs", &["again"]);
    script.reaches("ready").await;
    script.go();
    script.reaches("trying again").await;
    gate.cancel();
    script.go();
    script.ends().await;
    scene.stores_one().await;
}

/// UX.md, 2.10, 2: and for good.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn part_3_fails_and_trying_again_stores_it() {
    let scene = Scene::new(SIZE).await;
    scene.fixture.store.on(Op::UploadPart).part(3).fails(503, "SlowDown");
    let mut script = scene.run("stores.mjs", &["failing"]);
    script.reaches("ready").await;
    script.go();
    script.reaches("failed").await;
    scene.fixture.nothing_stored().await;
    scene.fixture.store.forget_rules();
    script.go();
    script.ends().await;
    scene.stores_one().await;
}

/// UX.md, 2.10, 3.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_200_with_an_error_inside_is_a_failure() {
    let scene = Scene::new(SIZE).await;
    scene.fixture.store.on(Op::Complete).answers(200, &error_xml("InternalError"));
    let mut script = scene.run("stores.mjs", &["false"]);
    script.reaches("ready").await;
    script.go();
    script.reaches("failed").await;
    scene.fixture.nothing_stored().await;
    script.go();
    script.ends().await;
    scene.fixture.finish().await;
}

/// UX.md, 2.10, 4: only the socket; the POST goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_snapshot_mends_what_the_socket_missed() {
    let mut scene = Scene::new(SIZE).await;
    let store = &scene.fixture.store;
    let gates: Vec<_> = (1..=PARTS).map(|part| store.on(Op::UploadPart).part(part).holds_after()).collect();
    let mut script = scene.run("stores.mjs", &["dropped"]);
    script.reaches("ready").await;
    script.go();
    gates[0].cancel();
    script.reaches("one stored").await;
    scene.way.block("GET /ws");
    script.go();
    script.reaches("alone").await;
    for (gate, part) in gates[1..3].iter().zip(2..) {
        gate.cancel();
        store.part_stored(part).await;
    }
    // Long enough for a page that moves by itself to be seen doing so.
    tokio::time::sleep(Duration::from_secs(3)).await;
    script.go();
    script.reaches("nothing moved").await;
    scene.way.heal().await;
    script.go();
    script.reaches("mended").await;
    gates[3].cancel();
    script.go();
    script.ends().await;
    scene.stores_one().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_socket_tells_the_end_and_the_key_is_found() {
    let scene = Scene::new(SIZE).await;
    let gate = scene.fixture.store.on(Op::Complete).holds_before();
    let mut script = scene.run("stores.mjs", &["dead"]);
    script.reaches("ready").await;
    script.go();
    script.reaches("whole").await;
    scene.way.block("POST /upload");
    script.go();
    script.reaches("broken").await;
    gate.cancel();
    script.go();
    script.ends().await;
    scene.stores_one().await;
}

/// Long enough for an upload on a machine that is busy otherwise; the test waits for its end.
const SESSION: Duration = Duration::from_secs(8);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_whose_session_has_ended_uploads() {
    let short = |config: &mut Config| config.clocks.session = SESSION;
    let scene = Scene::of(Fixture::setup().config(short).start().await, SIZE).await;
    let gate = scene.fixture.store.on(Op::Complete).holds_before();
    let mut script = scene.run("chosen_long_ago.mjs", &["expired"]);
    script.reaches("ready").await;
    script.go();
    script.reaches("told live").await;
    gate.cancel();
    script.go();
    script.ends().await;
    scene.stores_one().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_learns_of_it_by_the_refusal_uploads() {
    let mut scene = Scene::new(SIZE).await;
    let gate = scene.fixture.store.on(Op::Complete).holds_before();
    let mut script = scene.run("chosen_long_ago.mjs", &["refused"]);
    script.reaches("ready").await;
    scene.way.block("GET /ws");
    script.go();
    script.reaches("rests").await;
    scene.way.heal().await;
    script.go();
    script.reaches("told live").await;
    gate.cancel();
    script.go();
    script.ends().await;
    scene.stores_one().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_has_changed_is_refused_by_its_name() {
    let scene = Scene::new(SIZE).await;
    let mut script = scene.run("chosen_long_ago.mjs", &["changed"]);
    script.reaches("ready").await;
    script.go();
    script.reaches("refused").await;
    scene.fixture.nothing_stored().await;
    script.go();
    script.ends().await;
    scene.stores_one().await;
}
