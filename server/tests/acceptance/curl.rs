//! The README's examples for curl, as they stand there.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use app::wire::FileType::DocsFile;
use app::wire::{FileMessage, Snapshot, Status, UploadAnswer};

use crate::support::client::{Form, RawConnection};
use crate::support::fixture::{Dir, Fixture};
use crate::support::sample::{self, KIB, MIB};
use crate::support::socket::Watcher;

/// Where the README's examples find the server, and the id that they leave to the reader.
const ADDRESS: &str = "127.0.0.1:3000";
const UPLOAD_ID: &str = "UPLOAD_ID";

/// Every command of the README that calls curl; what a backslash continues is one.
fn examples() -> Vec<String> {
    let readme = include_str!("../../../README.md").replace("\\\n", " ");
    let blocks = readme.split("```sh\n").skip(1).filter_map(|rest| rest.split("\n```").next());
    let lines = blocks.flat_map(str::lines).filter(|line| line.starts_with("curl "));
    lines.map(str::to_owned).collect()
}

/// Takes the one example with all of `words` from those that are left.
fn take(examples: &mut Vec<String>, words: &[&str]) -> String {
    let fits = |example: &String| words.iter().all(|word| example.contains(word));
    let at = examples.iter().position(fits).unwrap_or_else(|| panic!("{words:?} are in {examples:?}"));
    examples.remove(at)
}

/// The example as a reader types it who has this server and this upload.
fn shell(example: &str, server: SocketAddr, upload_id: &str, dir: &Path) -> Command {
    let mut shell = Command::new("sh");
    let example = example.replace(ADDRESS, &server.to_string()).replace(UPLOAD_ID, upload_id);
    shell.arg("-c").arg(example.replacen("curl ", "curl -sS ", 1)).current_dir(dir);
    shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    shell
}

async fn run(mut shell: Command) -> Vec<u8> {
    let Output { status, stdout, stderr } =
        tokio::task::spawn_blocking(move || shell.output().unwrap()).await.unwrap();
    assert!(status.success(), "{status}: {}", String::from_utf8_lossy(&stderr));
    stdout
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_readmes_examples_work() {
    let fixture = Fixture::start().await;
    let dir = Dir::new();
    let (document, image) = (sample::pdf(6 * MIB), sample::jpeg(300 * KIB));
    std::fs::write(dir.path.join("report.pdf"), &document).unwrap();
    std::fs::write(dir.path.join("photo.jpg"), &image).unwrap();
    let mut left = examples();
    let at = |example: &str, id: &str| shell(example, fixture.server, id, &dir.path);

    let both = run(at(&take(&mut left, &["docs_field", "msa_imgs"]), "")).await;
    let stored: UploadAnswer = serde_json::from_slice(&both).unwrap();
    fixture.take_stored(&stored.files[0], &document).await;
    fixture.take_stored(&stored.files[1], &image).await;

    // The watcher is there before the upload, and ends by itself after it.
    let watching = take(&mut left, &["curl -N", "/events"]);
    let upload = run(at(&take(&mut left, &["X-Docs-Filesize", "X-Client-Id: me"]), "")).await;
    let stored: UploadAnswer = serde_json::from_slice(&upload).unwrap();
    fixture.take_stored(&stored.files[0], &document).await;
    let told = String::from_utf8(run(at(&watching, "")).await).unwrap();
    let last = told.lines().filter_map(|line| line.strip_prefix("data:")).next_back().expect("a message");
    let last: FileMessage = serde_json::from_str(last).unwrap();
    assert_eq!((last.status, last.upload_id), (Status::Completed, stored.upload_id));

    // An upload that is still on its way.
    let form = Form::document(&document).client_id("slow");
    let body = form.body();
    let mut watcher = Watcher::new(fixture.server, "slow").await;
    let mut connection = RawConnection::connect(fixture.server).await;
    connection.write(&form.head(body.len())).await;
    connection.write(&body[..MIB]).await;
    let id = watcher.until("its id", |heard| Some(heard.first()?.message.upload_id.clone())).await;
    let ending = take(&mut left, &["-X DELETE", UPLOAD_ID]);
    assert!(run(at(&ending, &id)).await.is_empty());
    connection.answer().await.problem(409, "cancelled");
    assert_eq!(watcher.terminal(DocsFile).await.code.as_deref(), Some("cancelled"));
    let state = run(at(&take(&mut left, &[UPLOAD_ID]), &id)).await;
    let state: Snapshot = serde_json::from_slice(&state).unwrap();
    assert_eq!((state.upload_id, state.files[0].status), (id, Status::Error));

    watcher.close().await;
    assert!(left.is_empty(), "examples that nobody has tried: {left:?}");
    fixture.finish().await;
}
