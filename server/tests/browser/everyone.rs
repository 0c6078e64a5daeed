//! Whether everyone can use the page: by every kind of eye, by keyboard and by ear, in every state that it has.

use crate::script::Script;
use crate::support::fixture::Fixture;

/// The script looks at every state by itself: the server only serves the page.
async fn holds(check: &str) {
    let fixture = Fixture::start().await;
    Script::start("everyone.mjs", fixture.server, &[check]).ends().await;
    fixture.nothing_stored().await;
    fixture.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn axe_finds_nothing_in_any_state() {
    holds("axe").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_cut_or_sticks_out_in_any_state() {
    holds("reflow").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_moves_for_whoever_wants_no_motion() {
    holds("motion").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_minute_is_told_in_eight_sentences_at_most() {
    holds("announcements").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keyboard_is_enough() {
    let fixture = Fixture::start().await;
    Script::start("everyone.mjs", fixture.server, &["keyboard"]).ends().await;
    assert_eq!(fixture.bucket.keys().await.len(), 1, "what was tried again");
    fixture.take_all().await;
    fixture.finish().await;
}
