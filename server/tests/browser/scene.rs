//! A server, a way to it that can be slowed and cut, and the files that a script sends over it.

use std::path::PathBuf;

use crate::script::Script;
use crate::support::fixture::{Dir, Fixture};
use crate::support::proxy::Proxy;
use crate::support::sample::{self, KIB, MIB};
use crate::support::store::Op;

/// Bytes a second of a slow way to the server.
pub const SLOW: u64 = 4_000_000;
/// Of what the browser has sent by then, one part is whole and the file is not.
const MIDDLE: u64 = 7 * MIB as u64;

/// Its document is of several parts, its image of one.
pub struct Scene {
    pub fixture: Fixture,
    pub way: Proxy,
    pub document: Vec<u8>,
    pub image: Vec<u8>,
    dir: Dir,
}

impl Scene {
    /// With a document of so many bytes.
    pub async fn new(size: usize) -> Self {
        Self::of(Fixture::start().await, size).await
    }

    /// The same on a fixture of its own.
    pub async fn of(fixture: Fixture, size: usize) -> Self {
        let way = Proxy::start(fixture.server).await;
        let (document, image) = (sample::pdf(size), sample::jpeg(300 * KIB));
        let scene = Self { fixture, way, document, image, dir: Dir::new() };
        let [document, image] = scene.files();
        std::fs::write(document, &scene.document).unwrap();
        std::fs::write(image, &scene.image).unwrap();
        scene
    }

    fn files(&self) -> [PathBuf; 2] {
        ["report.pdf", "portrait.jpg"].map(|name| self.dir.path.join(name))
    }

    /// Starts a script, which gets these words and the paths of the two files.
    pub fn run(&self, script: &str, words: &[&str]) -> Script {
        let [document, image] = self.files();
        let files = [document.to_str().unwrap(), image.to_str().unwrap()];
        Script::start(script, self.way.addr, &[words, &files].concat())
    }

    /// Slows the way down and lets the script send, up to the middle of the document.
    pub async fn send_half(&self, script: &mut Script) {
        script.reaches("ready").await;
        self.way.up.limit(SLOW);
        let before = self.way.up.bytes();
        script.go();
        self.way.up.passed(before + MIDDLE).await;
    }

    /// The store has the document, once, and nothing else.
    pub async fn stores_one(self) {
        self.fixture.take_only(&self.document).await;
        assert_eq!(self.fixture.store.calls_of(Op::Complete).len(), 1, "{}", self.fixture.store.log());
        self.fixture.finish().await;
    }
}
