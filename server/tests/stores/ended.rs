//! Uploads that end before their end: nothing is stored, and no multipart upload stays open.

use app::wire::FileType::DocsFile;
use app::wire::Status;

use crate::scene::Scene;
use crate::store::Store;
use crate::support::client::{Form, RawConnection};
use crate::support::sample::{self, KIB, MIB};
use crate::support::socket::Watcher;

/// One that is a PutObject and one in parts.
const SIZES: [usize; 2] = [3 * MIB, 12 * MIB];

/// An upload that has stopped at 60 %.
struct Paused {
    client: RawConnection,
    watcher: Watcher,
    upload_id: String,
}

async fn pause(scene: &Scene, size: usize) -> Paused {
    let id = format!("paused-{size}");
    let form = Form::document(&sample::pdf(size)).client_id(&id);
    let (body, until) = (form.body(), size / 10 * 6);
    let mut watcher = Watcher::new(scene.server.address, &id).await;
    let mut client = RawConnection::connect(scene.server.address).await;
    client.write(&form.head(body.len())).await;
    client.write(&body[..form.offset(0, until)]).await;
    let upload_id = watcher
        .until("most of what was sent is with the store", |heard| {
            let last = &heard.last()?.message;
            (last.sent + 256 * KIB as u64 >= until as u64).then(|| last.upload_id.clone())
        })
        .await;
    Paused { client, watcher, upload_id }
}

pub async fn cancelled_over_the_socket(store: Store) {
    let scene = Scene::of(&store).await;
    for size in SIZES {
        let Paused { mut client, mut watcher, upload_id } = pause(&scene, size).await;
        watcher.say(&format!("{{\"cancel\":\"{upload_id}\"}}")).await;
        let end = watcher.terminal(DocsFile).await;
        assert_eq!((end.status, end.code.as_deref()), (Status::Error, Some("cancelled")));
        client.answer().await.problem(409, "cancelled");
        scene.nothing_left().await;
    }
    scene.finish().await;
}

pub async fn the_client_gone_at_60_percent(store: Store) {
    let scene = Scene::of(&store).await;
    for size in SIZES {
        let Paused { client, mut watcher, .. } = pause(&scene, size).await;
        client.reset();
        assert_eq!(watcher.terminal(DocsFile).await.status, Status::Error);
        scene.nothing_left().await;
    }
    scene.finish().await;
}

pub async fn a_wrong_type(store: Store) {
    let scene = Scene::of(&store).await;
    for size in SIZES {
        scene.refuses(Form::document(&sample::exe(size)), DocsFile, 415, "type_mismatch").await;
    }
    scene.finish().await;
}

/// A document of `sent` bytes that says it has `said`.
fn declared(said: usize, sent: usize) -> Form {
    Form::document(&sample::pdf(sent)).without_sizes().size(DocsFile, said)
}

pub async fn fewer_bytes_than_declared(store: Store) {
    let scene = Scene::of(&store).await;
    for (said, sent) in [(3 * MIB, 3 * MIB - 1), (13 * MIB, 12 * MIB), (6 * MIB, 4 * MIB)] {
        scene.refuses(declared(said, sent), DocsFile, 400, "size_mismatch").await;
    }
    scene.finish().await;
}

pub async fn more_bytes_than_declared(store: Store) {
    let scene = Scene::of(&store).await;
    for (said, sent) in [(3 * MIB, 3 * MIB + 1), (11 * MIB, 12 * MIB), (4 * MIB, 6 * MIB)] {
        scene.refuses(declared(said, sent), DocsFile, 413, "size_exceeded").await;
    }
    scene.finish().await;
}
