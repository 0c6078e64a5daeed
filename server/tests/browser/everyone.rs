//! Whether everyone can use the page: by every kind of eye, by keyboard and by ear, in every state that it has.

use app::wire::FileMessage;

use crate::script::Script;
use crate::support::fixture::Fixture;

/// The script looks at every state by itself: the server only serves the page.
async fn holds(check: &str) {
    let fixture = Fixture::start().await;
    Script::start("everyone.mjs", fixture.server, &[check]).ends().await;
    fixture.nothing_stored().await;
    fixture.finish().await;
}

/// axe in light, dark and forced colours; 320 px, 400 %, from right to left, spaced text, long names; no motion.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_state_is_for_everyone() {
    holds("states").await;
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

/// What is played to the page is what this server would say: the same members in their order, and by the law.
#[test]
fn recordings_keep_to_the_wire() {
    let recorded = include_str!("../../../frontend/e2e/recorded.js");
    let told = recorded.lines().filter_map(|line| line.strip_prefix("    [")?.strip_suffix("],"));
    let told: Vec<&str> = told.collect();
    assert!(told.len() > 100, "{} messages", told.len());
    for line in told {
        let (_, json) = line.split_once(',').expect(line);
        let message: FileMessage = serde_json::from_str(json).expect(line);
        assert_eq!(serde_json::to_string(&message).unwrap(), json);
        let FileMessage { stored, sent, received, total, .. } = message;
        assert!(stored <= sent && sent <= received && total.is_none_or(|total| received <= total), "{line}");
    }
}
