//! The README's examples for curl, as they stand there.

use app::wire::FileType::DocsFile;
use app::wire::{Snapshot, Status, UploadAnswer};

use crate::support::client::{Form, RawConnection};
use crate::support::examples::{ADDRESS, Commands, UPLOAD_ID, messages, run, shell};
use crate::support::fixture::{Dir, Fixture};
use crate::support::sample::{self, KIB, MIB};
use crate::support::socket::Watcher;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_readmes_examples_work() {
    let fixture = Fixture::start().await;
    let dir = Dir::new();
    let (document, image) = (sample::pdf(6 * MIB), sample::jpeg(300 * KIB));
    std::fs::write(dir.path.join("report.pdf"), &document).unwrap();
    std::fs::write(dir.path.join("photo.jpg"), &image).unwrap();
    let mut left = Commands::of(include_str!("../../../README.md"));
    left.keep("curl ");
    let at = |command: &str, id: &str| {
        shell(&command.replace(ADDRESS, &fixture.server.to_string()).replace(UPLOAD_ID, id), &dir.path)
    };

    let both = run(at(&left.take(&["docs_field", "msa_imgs"]), "")).await;
    let stored: UploadAnswer = serde_json::from_slice(&both).unwrap();
    fixture.take_stored(&stored.files[0], &document).await;
    fixture.take_stored(&stored.files[1], &image).await;

    // The watcher is there before the upload, and ends by itself after it.
    let watching = left.take(&["curl -N", "/events"]);
    let upload = run(at(&left.take(&["X-Docs-Filesize", "X-Client-Id: me"]), "")).await;
    let stored: UploadAnswer = serde_json::from_slice(&upload).unwrap();
    fixture.take_stored(&stored.files[0], &document).await;
    let told = messages(&run(at(&watching, "")).await);
    let last = told.last().expect("a message");
    assert_eq!((last.status, &last.upload_id), (Status::Completed, &stored.upload_id));

    // An upload that is still on its way.
    let form = Form::document(&document).client_id("slow");
    let body = form.body();
    let mut watcher = Watcher::new(fixture.server, "slow").await;
    let mut connection = RawConnection::connect(fixture.server).await;
    connection.write(&form.head(body.len())).await;
    connection.write(&body[..MIB]).await;
    let id = watcher.until("its id", |heard| Some(heard.first()?.message.upload_id.clone())).await;
    let ending = left.take(&["-X DELETE", UPLOAD_ID]);
    assert!(run(at(&ending, &id)).await.is_empty());
    connection.answer().await.problem(409, "cancelled");
    assert_eq!(watcher.terminal(DocsFile).await.code.as_deref(), Some("cancelled"));
    let state = run(at(&left.take(&[UPLOAD_ID]), &id)).await;
    let state: Snapshot = serde_json::from_slice(&state).unwrap();
    assert_eq!((state.upload_id, state.files[0].status), (id, Status::Error));

    watcher.close().await;
    left.all_were_run();
    fixture.finish().await;
}
