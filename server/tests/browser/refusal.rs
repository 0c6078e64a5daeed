//! What a person reads when the server, the page or the browser's limits say no.

use crate::script::Script;
use crate::support::fixture::{Dir, Fixture};
use crate::support::proxy::Proxy;
use crate::support::sample::{self, MIB};
use crate::support::store::Op;

/// Slow enough that the server's drain (5 s, 32 MiB) ends long before 24 MiB are sent.
const SLOW: u64 = 1_000_000;

/// Refused while it still sends: with the socket and without, from the page and by a request made by hand.
async fn refused_early(pace: &str, limit: u64) {
    let fixture = Fixture::start().await;
    for has_socket in [true, false] {
        println!("with the socket: {has_socket}");
        let way = Proxy::start(fixture.server).await;
        if !has_socket {
            way.block("GET /ws");
        }
        let mut script = Script::start("refused.mjs", way.addr, &[pace]);
        script.reaches("ready").await;
        way.up.limit(limit);
        script.go();
        script.ends().await;
        fixture.nothing_stored().await;
    }
    fixture.normal_upload_passes().await;
    fixture.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a18_refused_while_it_sends_at_full_speed() {
    refused_early("fast", 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a18_refused_while_a_slow_browser_sends() {
    refused_early("slow", 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a18_refused_while_it_sends_over_a_slow_way() {
    refused_early("fast", SLOW).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b10_one_byte_over_the_limit_is_never_sent() {
    let fixture = Fixture::start().await;
    let (document, image) = (25 * MIB, 10 * MIB);
    let script = Script::start("too_large.mjs", fixture.server, &[&document.to_string(), &image.to_string()]);
    script.ends().await;
    for op in [Op::Put, Op::Create] {
        assert!(fixture.store.calls_of(op).is_empty(), "{}", fixture.store.log());
    }
    fixture.nothing_stored().await;
    fixture.finish().await;
}

/// Blocked, not there, or no WASM at all: the form is a form all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e08_without_its_wasm_the_form_uploads() {
    let fixture = Fixture::start().await;
    let script = Script::start("no_wasm.mjs", fixture.server, &[]);
    script.ends().await;
    assert_eq!(fixture.bucket.keys().await.len(), 3, "one each");
    fixture.take_all().await;
    fixture.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f20_hostile_file_names_are_text() {
    let fixture = Fixture::start().await;
    let script = Script::start("names.mjs", fixture.server, &[]);
    script.ends().await;
    fixture.take_all().await;
    fixture.finish().await;
}

/// A page of another origin gets nothing, and our own policy lets nothing run that is not ours.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f05_s28_strangers_get_nothing() {
    let fixture = Fixture::start().await;
    let (folder, content) = (Dir::new(), sample::pdf(6 * MIB));
    let file = folder.path.join("ours.pdf");
    std::fs::write(&file, &content).unwrap();
    Script::start("strangers.mjs", fixture.server, &[file.to_str().unwrap()]).ends().await;
    fixture.take_only(&content).await;
    fixture.finish().await;
}
