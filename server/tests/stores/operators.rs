//! What an operator sees of a store: whether all is well with it, what is wrong with its settings, what was left open.

use std::process::{Command, Output};
use std::time::Duration;

use server::config::{Config, Endpoint};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::lacks::{Lack, key_of_ours, no_such_bucket, wrong_keys};
use crate::scene::Scene;
use crate::store::Store;
use crate::support::client::{get, metric};
use crate::support::fixture::{Dir, settle};
use crate::support::log;

/// What a store that the suite knows is let off is no more and no less than is written down; another is only asked.
pub async fn what_it_lacks_is_documented(store: Store) {
    let scene = Scene::of(&store).await;
    let lacks = scene.lacks().await;
    if let Some(documented) = store.documented() {
        assert_eq!(*lacks, documented, "docs/stores.md and Store::documented");
    }
    scene.finish().await;
}

pub async fn check_says_that_all_is_well(store: Store) {
    let scene = Scene::of(&store).await;
    let lacks = scene.lacks().await;
    let checked = check(&scene).await;
    let told = String::from_utf8(checked.stdout).unwrap();
    assert!(checked.status.success(), "{told}\n{}", String::from_utf8_lossy(&checked.stderr));
    let cannot_list = lacks.contains(&Lack::ListUploads) || lacks.contains(&Lack::ListByPrefix);
    assert_eq!(told.matches("  ok      ").count(), if cannot_list { 6 } else { 7 }, "{told}");
    assert_eq!(
        told.matches("  LACKS   list what is being written").count(),
        usize::from(cannot_list),
        "{told}"
    );
    scene.finish().await;
}

async fn check(scene: &Scene) -> Output {
    let mut check = Command::new(env!("CARGO_BIN_EXE_bucket-brigade"));
    check.arg("check").env_clear().envs(scene.store.environment(&scene.place));
    tokio::task::spawn_blocking(move || check.output().unwrap()).await.unwrap()
}

/// A server in this process that sweeps what is open, however young: the binary waits a minute before its first look.
struct Sweeping {
    server: std::net::SocketAddr,
    stop: CancellationToken,
    _dir: Dir,
}

impl Sweeping {
    async fn start(scene: &Scene) -> Self {
        log::capture();
        let (dir, place) = (Dir::new(), scene.place.clone());
        let mut config = Config::defaults();
        config.clocks.sweep = Duration::from_millis(50);
        config.storage.sweep_after = Duration::ZERO;
        config.storage.data_dir = dir.path.join("server");
        config.storage.bucket = Some(place.bucket);
        config.storage.s3_path_style = Some(place.path_style);
        config.storage.endpoint = Some(Endpoint {
            url: place.endpoint,
            region: place.region,
            access_key: place.access_key,
            secret_key: place.secret_key,
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (server, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
        tokio::spawn(server::serve(listener, config, stop.clone()));
        Self { server, stop, _dir: dir }
    }

    async fn swept(&self) -> f64 {
        metric(&get(self.server, "/metrics").await.text(), "brigade_uploads_swept_total")
    }
}

impl Drop for Sweeping {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// One of ours is aborted, whoever left it. A store that cannot list is no obstacle, and is told of.
pub async fn what_was_left_open_is_swept(store: Store) {
    let scene = Scene::of(&store).await;
    let lacks = scene.lacks().await;
    let key = key_of_ours();
    let id = scene.bucket.begin(&key).await;
    let sweeping = Sweeping::start(&scene).await;
    if lacks.contains(&Lack::ListUploads) {
        let is_told = || async { log::has("the store cannot list multipart uploads") };
        assert!(settle(|is_told| *is_told, is_told).await, "it says so");
        assert_eq!(get(sweeping.server, "/readyz").await.status, 200);
    }
    if lacks.contains(&Lack::ListUploads) || lacks.contains(&Lack::ListByPrefix) {
        scene.bucket.abort(&key, &id).await;
    } else {
        assert_eq!(settle(|swept| *swept == 1.0, || sweeping.swept()).await, 1.0);
        assert_eq!(settle(Vec::is_empty, || scene.bucket.open_uploads()).await, []);
    }
    drop(sweeping);
    scene.finish().await;
}

/// Another program's uploads in the same bucket stay, even in the same folder, while ours beside them goes.
pub async fn what_a_stranger_left_open_is_not(store: Store) {
    let scene = Scene::of(&store).await;
    let lacks = scene.lacks().await;
    if lacks.contains(&Lack::ListUploads) || lacks.contains(&Lack::ListByPrefix) {
        // Nothing is swept by its age there: the case before has seen that.
        scene.finish().await;
        return;
    }
    let theirs = "supporting_documents/docs_file-of-theirs.pdf".to_owned();
    let id = scene.bucket.begin(&theirs).await;
    scene.bucket.begin(&key_of_ours()).await;
    let sweeping = Sweeping::start(&scene).await;
    assert_eq!(settle(|swept| *swept == 1.0, || sweeping.swept()).await, 1.0);
    let left = [(theirs.clone(), id.clone())];
    assert_eq!(settle(|open| *open == left, || scene.bucket.open_uploads()).await, left);
    drop(sweeping);
    scene.bucket.abort(&theirs, &id).await;
    scene.finish().await;
}

pub async fn keys_that_are_wrong(store: Store) {
    let scene = Scene::of(&store).await;
    let setup = store.setup(&wrong_keys(&scene.place));
    if scene.lacks().await.contains(&Lack::Keys) {
        setup.start().await.stop().await;
    } else {
        let refused = setup.refused().await;
        assert!(!refused.status.success());
        assert!(refused.log.contains(REFUSED), "{}", refused.log);
    }
    scene.finish().await;
}

pub async fn a_bucket_that_does_not_exist(store: Store) {
    let scene = Scene::of(&store).await;
    let refused = store.setup(&no_such_bucket(&scene.place)).refused().await;
    assert!(!refused.status.success());
    let sentence = if scene.lacks().await.contains(&Lack::HiddenBuckets) { REFUSED } else { NO_BUCKET };
    assert!(refused.log.contains(sentence), "{}", refused.log);
    scene.finish().await;
}

const REFUSED: &str =
    "the store refuses us: see whether AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are its own";
const NO_BUCKET: &str = "there is no such bucket: create it, or name another with --bucket";
