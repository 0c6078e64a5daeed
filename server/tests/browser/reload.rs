//! What a page knows of its upload after it was loaded anew.

use app::wire::FileType;

use crate::scene::Scene;
use crate::script::Script;
use crate::support::sample::MIB;
use crate::support::store::Op;

/// A document whose first part is stored long before its last byte is sent.
const SIZE: usize = 12 * MIB;

async fn reach_the_middle(scene: &Scene, script: &mut Script) {
    scene.send_half(script).await;
    script.reaches("in the middle").await;
    script.go();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reloaded_after_the_last_byte_it_goes_on() {
    let scene = Scene::new(SIZE).await;
    let gate = scene.fixture.store.on(Op::Complete).of(FileType::DocsFile).holds_before();
    let mut script = scene.run("reload.mjs", &["whole"]);
    script.reaches("ready").await;
    script.go();
    script.reaches("whole").await;
    script.go();
    script.reaches("running again").await;
    gate.cancel();
    script.go();
    script.ends().await;
    let mut keys = scene.fixture.bucket.keys().await;
    keys.sort();
    assert_eq!(keys.len(), 2, "each once: {keys:?}");
    scene.fixture.take(&keys[0], &scene.image).await;
    scene.fixture.take(&keys[1], &scene.document).await;
    scene.fixture.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reloaded_in_the_middle_it_says_that_nothing_is_stored() {
    let scene = Scene::new(SIZE).await;
    let mut script = scene.run("reload.mjs", &["middle"]);
    reach_the_middle(&scene, &mut script).await;
    script.reaches("interrupted").await;
    scene.fixture.nothing_stored().await;
    scene.way.up.limit(0);
    script.go();
    script.ends().await;
    scene.fixture.take_only(&scene.document).await;
    scene.fixture.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reloaded_before_the_server_has_spoken_it_claims_nothing() {
    let scene = Scene::new(SIZE).await;
    scene.way.block("GET /ws");
    let mut script = scene.run("reload.mjs", &["unheard"]);
    reach_the_middle(&scene, &mut script).await;
    script.reaches("nothing claimed").await;
    scene.fixture.nothing_stored().await;
    script.go();
    script.ends().await;
    scene.fixture.finish().await;
}
