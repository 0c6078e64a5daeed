//! A wall clock that jumps, by an hour either way or past 2038: nothing that runs notices.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::after::{at_rest, has_only, normal_upload};
use crate::half::{Half, SIZES};
use crate::support::child::{Child, Ended};
use crate::support::client::{RawConnection, get};
use crate::support::fixture::Dir;

/// Debian's package `faketime`, by architecture.
const LIBRARY: [&str; 2] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
];
/// The server cuts a head that is not complete by then.
const REQUEST_HEAD: Duration = Duration::from_secs(10);

/// The wall clock of one server.
struct Clock(PathBuf);

impl Clock {
    /// A server whose clock says what `time` says, in the words of faketime.
    async fn start(dir: &Dir, time: &str) -> (Self, Child) {
        let library = LIBRARY.iter().find(|path| fs::exists(path).unwrap());
        let library = library.expect("this needs faketime: install as root, apt-get install faketime");
        let clock = Self(dir.path.join("clock"));
        clock.set(time);
        let server = Child::setup()
            .env("LD_PRELOAD", library)
            .env("FAKETIME_TIMESTAMP_FILE", &clock.0.display().to_string())
            .env("FAKETIME_NO_CACHE", "1")
            // A clock that is set does not move the monotonic one.
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("DONT_FAKE_MONOTONIC", "1");
        (clock, server.start().await)
    }

    /// From now on, at once or not at all.
    fn set(&self, time: &str) {
        let draft = self.0.with_extension("draft");
        fs::write(&draft, time).unwrap();
        fs::rename(draft, &self.0).unwrap();
    }
}

/// The year and hour of the log's lines that say this.
fn hours(log: &str, words: &str) -> Vec<String> {
    let lines = log.lines().filter(|line| line.contains(words));
    lines
        .map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            line["timestamp"].as_str().unwrap()[..13].to_owned()
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g11_the_clock_jumps_while_an_upload_runs() {
    for (size, jump) in SIZES.into_iter().zip(["+3600", "-3600"]) {
        let dir = Dir::new();
        let (clock, server) = Clock::start(&dir, "+0").await;
        let mut head = RawConnection::connect(server.address).await;
        head.write(b"GET /healthz HTTP/1.1\r\nHost: ").await;
        let began = Instant::now();
        let mut running = Half::begin(server.address, size, "does-not-look-at-clocks").await;
        clock.set(jump);
        let key = running.finish().await;
        assert_eq!(running.ends(), 1);
        // What ended is remembered for ten minutes: not yet over, after an hour.
        let upload = running.watcher.heard()[0].message.upload_id.clone();
        assert_eq!(get(server.address, &format!("/uploads/{upload}")).await.status, 200);
        assert!(head.answer_or_close().await.is_none_or(|answer| answer.status == 408));
        let (waited, off) = (began.elapsed(), Duration::from_secs(2));
        assert!(waited + off > REQUEST_HEAD && waited < REQUEST_HEAD + off, "cut after {waited:?}");
        let [document, image] = normal_upload(server.address).await;
        at_rest(server.address).await;
        let kept = server.dir();
        let ended = ended(server).await;
        let (before, after) = (hours(&ended.log, "starts"), hours(&ended.log, "upload ended"));
        assert!(before[0] != after[0], "the clock has jumped: {before:?}, {after:?}");
        let objects = [(&*key, &*running.content), (&*document.0, &*document.1), (&*image.0, &*image.1)];
        has_only(&kept, &objects).await;
    }
}

/// Past the last second of 32 bits, and over it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g11_the_year_2038_and_later() {
    for (size, time) in SIZES.into_iter().zip(["@2038-01-19 03:14:06", "@2039-06-01 12:00:00"]) {
        let dir = Dir::new();
        let (_clock, server) = Clock::start(&dir, time).await;
        let mut running = Half::begin(server.address, size, "comes-late").await;
        let key = running.finish().await;
        let [document, image] = normal_upload(server.address).await;
        let kept = server.dir();
        let ended = ended(server).await;
        assert_eq!(hours(&ended.log, "starts")[0][..4], time[1..5]);
        let objects = [(&*key, &*running.content), (&*document.0, &*document.1), (&*image.0, &*image.1)];
        has_only(&kept, &objects).await;
    }
}

async fn ended(server: Child) -> Ended {
    server.signal(Signal::TERM);
    let ended = server.ended().await;
    assert!(ended.status.success(), "{}", ended.log);
    ended
}
