//! docs/see-for-yourself.md: every command of it is run by the real binary and the real curl, and what it says is seen.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Output;
use std::sync::Arc;

use app::wire::FileType::DocsFile;
use app::wire::{FileMessage, Problem, Snapshot, Status, UploadAnswer, Waiting};
use serde::de::DeserializeOwned;
use tokio::task::JoinHandle;

use crate::after::{Kept, has_only, open_uploads};
use crate::support::child::{Child, Setup};
use crate::support::client::{get, metric};
use crate::support::examples::{ADDRESS, Commands, PID, UPLOAD_ID, messages, output, run, shell};
use crate::support::fixture::Dir;
use crate::support::sample::{self, KIB, MIB};
use crate::support::socket::Watcher;

const PAGE: &str = include_str!("../../../docs/see-for-yourself.md");
/// The sizes of the page's documents.
const REPORT: usize = 20_000_009;
const SMALL: usize = 300_009;
const LARGE: usize = 60_000_009;
/// What a limited store has not read of what its connections have taken: of four parts, each at most what the two kernels
/// hold of it.
const ON_THE_WIRE: u64 = 4 * 384 * KIB as u64;

/// The sections of the page, with their titles; what stands before the first has none.
fn sections() -> impl Iterator<Item = (&'static str, &'static str)> {
    PAGE.split("\n## ").skip(1).map(|section| section.split_once('\n').expect("a title has a text"))
}

/// A section of the page at work: its server, and what is left of its commands.
struct Demonstration {
    server: Child,
    dir: Arc<Dir>,
    commands: Commands,
}

impl Demonstration {
    /// Starts the section's server where the reader would, with a document of this name.
    async fn of(title: &str, name: &str, content: &[u8]) -> Self {
        let (_, section) = sections().find(|(other, _)| *other == title).expect("a section of the page");
        let mut commands = Commands::of(section);
        let setup = Child::setup();
        let server = served(setup, &mut commands).start().await;
        let dir = server.dir();
        symlink(dir.path.join("server"), dir.path.join("data")).unwrap();
        fs::write(dir.path.join(name), content).unwrap();
        Self { server, dir, commands }
    }

    async fn watcher(&self) -> Watcher {
        Watcher::new(self.server.address, "me").await
    }

    /// The next command with these words.
    fn take(&mut self, words: &[&str]) -> String {
        self.commands.take(words)
    }

    /// Begins a command, as in a terminal of its own.
    fn begin(&self, command: &str) -> JoinHandle<Output> {
        let command = command.replace(ADDRESS, &self.server.address.to_string());
        tokio::spawn(output(shell(&command, &self.dir.path)))
    }

    /// Begins the next upload.
    fn upload(&mut self) -> JoinHandle<Output> {
        let upload = self.take(&["curl", "-F"]);
        self.begin(&upload)
    }

    /// What the next look at the store's files says.
    async fn files(&mut self) -> String {
        let find = self.take(&["find "]);
        String::from_utf8(run(shell(&find, &self.dir.path)).await).unwrap()
    }

    /// Every command was run, and the store has these objects and nothing else.
    async fn end(self, objects: &[Kept<'_>]) {
        self.commands.all_were_run();
        self.server.stop().await;
        has_only(&self.dir, objects).await;
    }
}

/// With the flags of the next command that serves.
fn served(setup: Setup, commands: &mut Commands) -> Setup {
    const SERVE: &str = "cargo xtask serve";
    let command = commands.take(&[SERVE]);
    let flags: Vec<&str> =
        command.strip_prefix(SERVE).expect("at its beginning").split_whitespace().collect();
    setup.flags(&flags)
}

async fn answer<T: DeserializeOwned>(curl: JoinHandle<Output>) -> T {
    let Output { status, stdout, stderr } = curl.await.unwrap();
    assert!(status.success(), "{status}: {}", String::from_utf8_lossy(&stderr));
    serde_json::from_slice(&stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&stdout)))
}

async fn stored_key(curl: JoinHandle<Output>) -> String {
    let answer: UploadAnswer = answer(curl).await;
    answer.files.into_iter().next().and_then(|file| file.key).expect("a stored file has its key")
}

async fn heard(curl: JoinHandle<Output>) -> Vec<FileMessage> {
    messages(&curl.await.unwrap().stdout)
}

/// The id of the upload, once the store's connection has taken so much of it.
async fn taken(watcher: &mut Watcher, bytes: usize) -> String {
    let far = |m: &FileMessage| m.sent >= bytes as u64;
    let wanted = format!("{bytes} bytes sent");
    let id = watcher.until(&wanted, |heard| {
        Some(&heard.iter().find(|heard| far(&heard.message))?.message.upload_id).cloned()
    });
    id.await
}

#[test]
fn every_section_is_run() {
    let tests = include_str!("demonstrated.rs");
    let untried: Vec<&str> =
        sections().map(|(title, _)| title).filter(|title| !tests.contains(&format!("\"{title}\""))).collect();
    assert_eq!(untried, Vec::<&str>::new());
    assert!(sections().count() >= 10, "they are all read");
}

/// What stands before the first section makes the files that the others send.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn demonstrated_files() {
    let server = Child::start(&["--max-document-size", "100MiB"]).await;
    let dir = Dir::new();
    let mut commands = Commands::of(PAGE.split("\n## ").next().unwrap());
    for (name, size) in [("report.pdf", REPORT), ("small.pdf", SMALL), ("large.pdf", LARGE)] {
        run(shell(&commands.take(&[name]), &dir.path)).await;
        assert_eq!(fs::metadata(dir.path.join(name)).unwrap().len(), size as u64);
        let upload = format!("curl -F docs_field=@{name} http://{}/upload", server.address);
        stored_key(tokio::spawn(output(shell(&upload, &dir.path)))).await;
    }
    commands.all_were_run();
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn demonstrated_the_bar_follows_the_store() {
    const RATE: u64 = 2 * MIB as u64;
    let content = sample::pdf(REPORT);
    let total = content.len() as u64;
    let mut shown = Demonstration::of("A bar follows the store", "report.pdf", &content).await;
    assert!(shown.server.log().contains("reads 2097152 bytes a second"), "the log says what is on");
    let watch = shown.take(&["curl -N"]);
    let (first, mut watcher) = (shown.begin(&watch), shown.watcher().await);
    let upload = shown.upload();
    taken(&mut watcher, content.len() / 4).await;
    let later = heard(shown.begin(&watch)).await;
    let key = stored_key(upload).await;
    let told = heard(first).await;
    let ahead = told.iter().find(|m| m.received == total).expect("all of it is received");
    assert!(ahead.sent < total / 2, "it runs ahead: {ahead:?}");
    let on_the_wire = told.iter().map(|m| m.sent.saturating_sub(RATE * m.at_ms / 1000)).max();
    let (at_ms, sent) = (ahead.at_ms, ahead.sent);
    println!("received at {at_ms} ms, {sent} sent; on the wire {on_the_wire:?}; {} messages", told.len());
    assert!(on_the_wire.expect("messages") <= ON_THE_WIRE, "as fast as the store");
    assert!(
        later[0].sent >= total / 4 && later[0].status != Status::Completed,
        "where it is: {:?}",
        later[0]
    );
    let end = |told: &[FileMessage]| told.last().map(|m| (m.status, m.stored));
    assert_eq!((end(&told), end(&later)), (Some((Status::Completed, total)), end(&told)), "and the same end");
    shown.end(&[(&key, &content)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn demonstrated_a_hundred_is_confirmed() {
    let content = sample::pdf(SMALL);
    let mut shown = Demonstration::of("A hundred is confirmed", "small.pdf", &content).await;
    let watch = shown.take(&["curl -N"]);
    let (watching, watcher) = (shown.begin(&watch), shown.watcher().await);
    let key = stored_key(shown.upload()).await;
    let told = heard(watching).await;
    let unconfirmed = |m: &&FileMessage| m.sent == content.len() as u64 && m.status == Status::Processing;
    let unconfirmed: Vec<&FileMessage> = told.iter().filter(unconfirmed).collect();
    assert!(!unconfirmed.is_empty() && unconfirmed.iter().all(|m| m.progress == 99), "{unconfirmed:?}");
    assert!(unconfirmed.iter().any(|m| m.waiting == Some(Waiting::Storage)), "{unconfirmed:?}");
    let last = told.last().expect("an end");
    assert_eq!((last.status, last.progress), (Status::Completed, 100));
    assert!(last.at_ms >= 8_000, "two answers: {last:?}");
    watcher.close().await;
    shown.end(&[(&key, &content)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn demonstrated_you_may_leave() {
    let content = sample::pdf(SMALL);
    let mut shown = Demonstration::of("You may leave after the last byte", "small.pdf", &content).await;
    let left = shown.upload().await.unwrap();
    assert_eq!(left.status.code(), Some(28), "it left before there was an answer: {left:?}");
    assert!(left.stdout.is_empty());
    let watch = shown.take(&["curl -N"]);
    let told = heard(shown.begin(&watch)).await;
    let last = told.last().expect("an end");
    assert_eq!((last.status, last.stored), (Status::Completed, content.len() as u64));
    assert_eq!(shown.files().await.lines().count(), 1, "the object's");
    let state: Snapshot = get(shown.server.address, &format!("/uploads/{}", last.upload_id)).await.json();
    let key = state.files[0].key.clone().expect("a stored file has its key");
    shown.end(&[(&key, &content)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn demonstrated_a_part_is_sent_again() {
    let content = sample::pdf(REPORT);
    let mut shown = Demonstration::of("A part that fails is sent again", "report.pdf", &content).await;
    let watch = shown.take(&["curl -N"]);
    let (watching, watcher) = (shown.begin(&watch), shown.watcher().await);
    let key = stored_key(shown.upload()).await;
    let told = heard(watching).await;
    let states = |m: &FileMessage| m.part_states.clone().unwrap_or_default().into_bytes();
    let again: Vec<&FileMessage> = told.iter().filter(|m| states(m).get(2) == Some(&b'4')).collect();
    assert!(!again.is_empty(), "part 3 is marked");
    assert!(
        again.iter().all(|m| states(m).iter().filter(|state| **state == b'4').count() == 1),
        "and no other"
    );
    let second = |m: &FileMessage| m.active.iter().any(|part| (part.part, part.attempt) == (3, 2));
    assert!(told.iter().any(second), "and named while it is sent again");
    assert!(told.iter().flat_map(|m| &m.active).all(|part| part.part == 3 || part.attempt == 1));
    let last = told.last().expect("an end");
    assert_eq!((last.status, last.retries, last.stored), (Status::Completed, 1, content.len() as u64));
    // That nothing goes back is the law, to which the watcher holds every message.
    assert_eq!(watcher.close().await.last().map(|heard| heard.message.retries), Some(1));
    shown.end(&[(&key, &content)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn demonstrated_nothing_is_kept_of_what_failed() {
    let content = sample::pdf(REPORT);
    let mut shown = Demonstration::of("Of what failed nothing is kept", "report.pdf", &content).await;
    let problem: Problem = answer(shown.upload()).await;
    assert_eq!((problem.status, &*problem.code, problem.retryable), (503, "storage_busy", true));
    let state: Snapshot =
        get(shown.server.address, &format!("/uploads/{}", problem.upload_id.expect("an id"))).await.json();
    let failed = &state.files[0];
    assert_eq!((failed.status, failed.code.as_deref()), (Status::Error, Some("storage_busy")));
    assert!(failed.retries == 3 && failed.parts_stored > 0, "the parts beside it were stored: {failed:?}");
    assert_eq!(shown.files().await, "");
    shown.end(&[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn demonstrated_cancel_means_cancel() {
    let content = sample::pdf(REPORT);
    let mut shown = Demonstration::of("Cancel means cancel", "report.pdf", &content).await;
    let (mut watcher, upload) = (shown.watcher().await, shown.upload());
    let watch = shown.take(&["curl -N"]);
    let id = taken(&mut watcher, 2 * MIB).await;
    let watching = shown.begin(&watch);
    let cancel = shown.take(&["-X DELETE"]).replace(UPLOAD_ID, &id);
    assert!(shown.begin(&cancel).await.unwrap().status.success());
    let problem: Problem = answer(upload).await;
    assert_eq!((problem.status, &*problem.code), (409, "cancelled"));
    assert_eq!(watcher.terminal(DocsFile).await.code.as_deref(), Some("cancelled"));
    assert_eq!(heard(watching).await.last().and_then(|last| last.code.as_deref()), Some("cancelled"));
    assert_eq!(shown.files().await, "");
    shown.end(&[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn demonstrated_no_memory_grows() {
    const MEMORY: u64 = 20 * MIB as u64;
    /// What is read of a connection before it is paid for.
    const READ_AHEAD: u64 = MIB as u64;
    let content = sample::pdf(LARGE);
    let total = content.len() as u64;
    let mut shown =
        Demonstration::of("A slow store slows you, and no memory grows", "large.pdf", &content).await;
    let watch = shown.take(&["curl -N"]);
    let (watching, mut watcher) = (shown.begin(&watch), shown.watcher().await);
    let (upload, metrics) = (shown.upload(), shown.take(&["/metrics"]));
    taken(&mut watcher, 24 * MIB).await;
    let used = String::from_utf8(shown.begin(&metrics).await.unwrap().stdout).unwrap();
    let key = stored_key(upload).await;
    let told = heard(watching).await;
    let most = told.iter().map(|m| m.received - m.sent).max().expect("messages");
    println!("at most {most} bytes ahead of the store; {used}");
    assert!(most <= MEMORY + READ_AHEAD, "{most}");
    assert!(most >= MEMORY / 4, "the client is ahead: {most}");
    let ahead = told.iter().find(|m| m.received == total).expect("all of it is received");
    assert!(ahead.sent + MEMORY + READ_AHEAD >= total, "and then as slow as the store: {ahead:?}");
    assert!(metric(&used, "brigade_buffer_bytes") > 0.0, "{used}");
    assert!(metric(&used, "brigade_buffer_most_allocated_bytes") <= MEMORY as f64, "{used}");
    shown.end(&[(&key, &content)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn demonstrated_one_too_many() {
    // It has to end, and the page's would in twenty seconds.
    let content = sample::pdf(6 * MIB);
    let mut shown = Demonstration::of("One too many is told so", "report.pdf", &content).await;
    fs::write(shown.dir.path.join("small.pdf"), sample::pdf(SMALL)).unwrap();
    let (mut watcher, first) = (shown.watcher().await, shown.upload());
    taken(&mut watcher, 1).await;
    let second = String::from_utf8(shown.upload().await.unwrap().stdout).unwrap();
    assert!(second.starts_with("HTTP/1.1 503 ") && second.contains("\nretry-after: "), "{second}");
    assert!(second.contains("\"code\":\"busy\""), "{second}");
    assert!(!first.is_finished(), "at once");
    let key = stored_key(first).await;
    shown.end(&[(&key, &content)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn demonstrated_killed() {
    let content = sample::pdf(REPORT);
    let mut shown = Demonstration::of("Killed, and nothing is left", "report.pdf", &content).await;
    let (mut watcher, upload) = (shown.watcher().await, shown.upload());
    taken(&mut watcher, 2 * MIB).await;
    let kill = shown.take(&["kill "]).replace(PID, &shown.server.pid().to_string());
    run(shell(&kill, &shown.dir.path)).await;
    assert!(!upload.await.unwrap().status.success(), "nobody answers");
    assert_eq!(watcher.closed().await, 1006);
    assert!(
        !shown.files().await.is_empty() && open_uploads(&shown.dir) == 1,
        "there is something to clear away"
    );
    let Demonstration { server, dir, mut commands } = shown;
    assert_eq!(server.ended().await.status.code(), None, "a signal ended it");
    let server = served(Child::setup().within(&dir), &mut commands).start().await;
    assert!(server.log().contains("aborted what was left open"), "{}", server.log());
    let mut again = Demonstration { server, dir, commands };
    assert_eq!(again.files().await, "");
    again.end(&[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn demonstrated_a_program_is_no_document() {
    let mut shown = Demonstration::of("A program is no document", "report.pdf", b"").await;
    let refused = String::from_utf8(shown.upload().await.unwrap().stdout).unwrap();
    assert!(refused.contains("\"code\":\"type_mismatch\""), "{refused}");
    let sent = refused.lines().find_map(|line| line.strip_suffix(" bytes were sent")).expect("curl says it");
    let size = fs::metadata(PathBuf::from("/bin/bash")).unwrap().len();
    assert!(sent.parse::<u64>().unwrap() < size / 2, "{sent} of {size}");
    shown.end(&[]).await;
}
