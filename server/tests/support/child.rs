//! The real binary as a process of its own, with a store of its own, looked at from outside.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::PATIENCE;
use super::fixture::Dir;
use super::log;

/// A server that listens. Killed when dropped; [`Child::stop`] ends it as an operator does.
pub struct Child {
    pub address: SocketAddr,
    process: Process,
    /// Its own, unless it was given one.
    _dir: Option<Dir>,
}

/// The process, from its first moment. Killed when dropped.
pub struct Process {
    process: std::process::Child,
    log: watch::Receiver<String>,
    /// Ends with the process.
    draining: JoinHandle<()>,
}

impl Process {
    /// Starts it over a data directory, by way of a program that becomes the server where one is given.
    #[must_use]
    pub fn spawn(program: &[&str], data_dir: &Path, flags: &[&str]) -> Self {
        let words = [program, &[env!("CARGO_BIN_EXE_bucket-brigade")]].concat();
        let mut process = Command::new(words[0])
            .args(&words[1..])
            .args(["--listen", "127.0.0.1:0", "--store-listen", "127.0.0.1:0", "--data-dir"])
            .arg(data_dir)
            .args(flags)
            // Nothing of the caller's configuration.
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (keep, log) = watch::channel(String::new());
        let lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let draining = tokio::task::spawn_blocking(move || {
            for line in lines {
                let line = line.expect("a log is UTF-8");
                keep.send_modify(|log| log.extend([&line, "\n"]));
            }
        });
        Self { process, log, draining }
    }

    /// Kills it and gives what it had logged.
    pub async fn kill(mut self) -> String {
        let _ = self.process.kill();
        self.process.wait().unwrap();
        let drained = tokio::time::timeout(PATIENCE, &mut self.draining).await;
        drained.expect("a log ends with its process").unwrap();
        self.log.borrow().clone()
    }

    /// Waits until its log tells an address.
    async fn said(&self, field: &str) -> SocketAddr {
        let mut log = self.log.clone();
        let said = tokio::time::timeout(PATIENCE, log.wait_for(|log| address_in(log, field).is_some())).await;
        let address = said.ok().and_then(Result::ok).and_then(|log| address_in(&log, field));
        address.unwrap_or_else(|| panic!("it does not say where it listens:\n{}", *self.log.borrow()))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // One that has ended and was waited for is not killed: its id may be another's.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Child {
    /// A server with these flags besides its addresses and its directory.
    pub async fn start(flags: &[&str]) -> Self {
        Self::start_under(&[], flags).await
    }

    /// The same by way of a program that becomes the server, such as `prlimit`.
    pub async fn start_under(program: &[&str], flags: &[&str]) -> Self {
        let dir = Dir::new();
        let process = Process::spawn(program, &dir.path.join("server"), flags);
        Self { address: process.said("listen").await, process, _dir: Some(dir) }
    }

    /// The same over a data directory that outlives it.
    pub async fn start_in(data_dir: &Path, flags: &[&str]) -> Self {
        let process = Process::spawn(&[], data_dir, flags);
        Self { address: process.said("listen").await, process, _dir: None }
    }

    /// Where its embedded store listens.
    pub async fn store(&self) -> SocketAddr {
        self.process.said("store.listen").await
    }

    /// Kills it with SIGKILL and gives what it had logged.
    pub async fn kill(self) -> String {
        self.process.kill().await
    }

    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.process.id()
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
        self.process.log.borrow().clone()
    }

    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(pid, signal).expect("it runs");
    }

    /// Asks it to end; it does so with success, and has neither panicked before nor told a secret.
    pub async fn stop(mut self) {
        self.signal(Signal::TERM);
        let drained = tokio::time::timeout(PATIENCE, &mut self.process.draining).await;
        drained.unwrap_or_else(|_| panic!("it does not end:\n{}", self.log())).unwrap();
        let status = self.process.process.wait().unwrap();
        assert!(status.success(), "{status}:\n{}", self.log());
        let log = self.log();
        assert!(!log.contains("panicked"), "{log}");
        log::assert_is_discreet(log.as_bytes());
    }

    fn proc(&self, name: &str) -> String {
        format!("/proc/{}/{name}", self.pid())
    }
}

/// The address that the log tells in this field.
fn address_in(log: &str, field: &str) -> Option<SocketAddr> {
    log.lines().find_map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).ok()?;
        line["fields"][field].as_str()?.parse().ok()
    })
}
