//! The real binary as a process of its own, with a store of its own, looked at from outside.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::PATIENCE;
use super::fixture::Dir;
use super::log;

/// Killed when dropped; [`Child::stop`] ends it as an operator does.
pub struct Child {
    pub address: SocketAddr,
    process: std::process::Child,
    log: watch::Receiver<String>,
    /// Ends with the process.
    draining: JoinHandle<()>,
    _dir: Arc<Dir>,
}

impl Child {
    /// A server with these flags besides its addresses and its directory.
    pub async fn start(flags: &[&str]) -> Self {
        Self::start_under(&[], flags).await
    }

    /// The same by way of a program that becomes the server, such as `prlimit`.
    pub async fn start_under(program: &[&str], flags: &[&str]) -> Self {
        Self::start_in(Arc::new(Dir::new()), program, flags).await
    }

    /// The same in a directory of the caller's, which goes with the last of the two.
    pub async fn start_in(dir: Arc<Dir>, program: &[&str], flags: &[&str]) -> Self {
        let words = [program, &[env!("CARGO_BIN_EXE_bucket-brigade")]].concat();
        let mut process = Command::new(words[0])
            .args(&words[1..])
            .args(["--listen", "127.0.0.1:0", "--store-listen", "127.0.0.1:0", "--data-dir"])
            .arg(dir.path.join("server"))
            .args(flags)
            // Nothing of the caller's configuration.
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (keep, mut log) = watch::channel(String::new());
        let lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let draining = tokio::task::spawn_blocking(move || {
            for line in lines {
                let line = line.expect("a log is UTF-8");
                keep.send_modify(|log| log.extend([&line, "\n"]));
            }
        });
        let said = tokio::time::timeout(PATIENCE, log.wait_for(|log| listens_at(log).is_some())).await;
        let address = said.ok().and_then(Result::ok).and_then(|log| listens_at(&log));
        let address = address.unwrap_or_else(|| panic!("it does not listen:\n{}", *log.borrow()));
        Self { address, process, log, draining, _dir: dir }
    }

    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Bytes of its memory that are resident now.
    #[must_use]
    pub fn rss(&self) -> u64 {
        let status = fs::read_to_string(self.proc("status")).unwrap();
        let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
        1024 * kib.expect("a process that runs has it").parse::<u64>().unwrap()
    }

    /// How many file descriptors it has open now.
    #[must_use]
    pub fn open_files(&self) -> usize {
        fs::read_dir(self.proc("fd")).unwrap().count()
    }

    /// What its threads have used of the CPU; of those that have ended, nothing.
    #[must_use]
    pub fn cpu_time(&self) -> Duration {
        let threads = fs::read_dir(self.proc("task")).unwrap().flatten();
        let nanoseconds = threads.filter_map(|thread| {
            let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
            text.split(' ').next()?.parse::<u64>().ok()
        });
        Duration::from_nanos(nanoseconds.sum())
    }

    /// All that it has logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.log.borrow().clone()
    }

    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(pid, signal).expect("it runs");
    }

    /// Asks it to end; it does so with success, and has neither panicked before nor told a secret.
    pub async fn stop(mut self) {
        self.signal(Signal::TERM);
        let drained = tokio::time::timeout(PATIENCE, &mut self.draining).await;
        drained.unwrap_or_else(|_| panic!("it does not end:\n{}", self.log())).unwrap();
        let status = self.process.wait().unwrap();
        assert!(status.success(), "{status}:\n{}", self.log());
        let log = self.log();
        assert!(!log.contains("panicked"), "{log}");
        log::assert_is_discreet(log.as_bytes());
    }

    fn proc(&self, name: &str) -> String {
        format!("/proc/{}/{name}", self.pid())
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // One that has ended and was waited for is not killed: its id may be another's.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The address that the log tells.
fn listens_at(log: &str) -> Option<SocketAddr> {
    log.lines().find_map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).ok()?;
        line["fields"]["listen"].as_str()?.parse().ok()
    })
}
