//! What a page knows of its upload after it was loaded anew.

use std::path::PathBuf;

use app::wire::FileType;

use crate::script::Script;
use crate::support::fixture::{Dir, Fixture};
use crate::support::proxy::Proxy;
use crate::support::sample::{self, KIB, MIB};
use crate::support::store::Op;

const SIZE: usize = 12 * MIB;
/// Bytes a second of a slow way to the server.
const SLOW: u64 = 4_000_000;
/// Of what the browser has sent by then, one part is whole and the file is not.
const MIDDLE: u64 = 7 * MIB as u64;

struct Scene {
    fixture: Fixture,
    way: Proxy,
    document: Vec<u8>,
    image: Vec<u8>,
    dir: Dir,
}

impl Scene {
    async fn new() -> Self {
        let fixture = Fixture::start().await;
        let way = Proxy::start(fixture.server).await;
        let (document, image) = (sample::pdf(SIZE), sample::jpeg(300 * KIB));
        let scene = Self { fixture, way, document, image, dir: Dir::new() };
        let [document, image] = scene.files();
        std::fs::write(document, &scene.document).unwrap();
        std::fs::write(image, &scene.image).unwrap();
        scene
    }

    fn files(&self) -> [PathBuf; 2] {
        ["report.pdf", "portrait.jpg"].map(|name| self.dir.path.join(name))
    }

    fn run(&self, how: &str) -> Script {
        let [document, image] = self.files();
        let arguments = [how, document.to_str().unwrap(), image.to_str().unwrap()];
        Script::start("reload.mjs", self.way.addr, &arguments)
    }

    /// Slows the way down and lets the script send, up to the middle of the document.
    async fn send_half(&self, script: &mut Script) {
        script.reaches("ready").await;
        self.way.up.limit(SLOW);
        let before = self.way.up.bytes();
        script.go();
        self.way.up.passed(before + MIDDLE).await;
        script.reaches("in the middle").await;
        script.go();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reloaded_after_the_last_byte_it_goes_on() {
    let scene = Scene::new().await;
    let gate = scene.fixture.store.on(Op::Complete).of(FileType::DocsFile).holds_before();
    let mut script = scene.run("whole");
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
    let scene = Scene::new().await;
    let mut script = scene.run("middle");
    scene.send_half(&mut script).await;
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
    let scene = Scene::new().await;
    scene.way.block("GET /ws");
    let mut script = scene.run("unheard");
    scene.send_half(&mut script).await;
    script.reaches("nothing claimed").await;
    scene.fixture.nothing_stored().await;
    script.go();
    script.ends().await;
    scene.fixture.finish().await;
}
