//! The real binary over a data directory that outlives it: killed at any moment, from its first on.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::support::PATIENCE;
use crate::support::log;

/// A server that listens. Killed when dropped; [`Child::stop`] ends it as an operator does.
pub struct Child {
    pub address: SocketAddr,
    process: Process,
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
    /// A server over this directory, with these flags besides its addresses.
    pub async fn start_in(data_dir: &Path, flags: &[&str]) -> Self {
        let process = Process::spawn(&[], data_dir, flags);
        Self { address: process.said("listen").await, process }
    }

    /// Where its embedded store listens.
    pub async fn store(&self) -> SocketAddr {
        self.process.said("store.listen").await
    }

    /// Kills it with SIGKILL and gives what it had logged.
    pub async fn kill(self) -> String {
        self.process.kill().await
    }

    /// Asks it to end; it does so with success, and has neither panicked before nor told a secret.
    pub async fn stop(mut self) {
        let pid =
            i32::try_from(self.process.process.id()).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(pid, Signal::TERM).expect("it runs");
        let drained = tokio::time::timeout(PATIENCE, &mut self.process.draining).await;
        let log = self.process.log.borrow().clone();
        drained.unwrap_or_else(|_| panic!("it does not end:\n{log}")).unwrap();
        let status = self.process.process.wait().unwrap();
        let log = self.process.log.borrow().clone();
        assert!(status.success(), "{status}:\n{log}");
        assert!(!log.contains("panicked"), "{log}");
        log::assert_is_discreet(log.as_bytes());
    }
}

/// The address that the log tells in this field.
fn address_in(log: &str, field: &str) -> Option<SocketAddr> {
    log.lines().find_map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).ok()?;
        line["fields"][field].as_str()?.parse().ok()
    })
}
