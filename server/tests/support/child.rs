//! The real binary as a process of its own, with a store of its own or the test's, looked at from outside.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::PATIENCE;
use super::bucket::Place;
use super::fixture::Dir;
use super::log;

/// Killed when dropped; [`Child::stop`] ends it as an operator does.
pub struct Child {
    pub address: SocketAddr,
    process: std::process::Child,
    log: watch::Receiver<String>,
    /// Ends with the process.
    draining: JoinHandle<()>,
    dir: Arc<Dir>,
}

impl Child {
    #[must_use]
    pub fn setup() -> Setup {
        Setup { program: Vec::new(), words: Vec::new(), environment: Vec::new(), dir: Arc::new(Dir::new()) }
    }

    /// A server with these flags besides its addresses and its directory.
    pub async fn start(flags: &[&str]) -> Self {
        Self::setup().flags(flags).start().await
    }

    /// The same by way of a program that becomes the server, such as `prlimit`.
    pub async fn start_under(program: &[&str], flags: &[&str]) -> Self {
        Self::setup().under(program).flags(flags).start().await
    }

    /// Where it keeps what it must remember: in `server`.
    #[must_use]
    pub fn dir(&self) -> Arc<Dir> {
        Arc::clone(&self.dir)
    }

    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Bytes of its memory that are resident now.
    #[must_use]
    pub fn rss(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// The most that was ever resident, in bytes.
    #[must_use]
    pub fn peak_rss(&self) -> u64 {
        self.memory("VmHWM:")
    }

    fn memory(&self, what: &str) -> u64 {
        let status = fs::read_to_string(self.proc("status")).unwrap();
        let kib = status.lines().find_map(|line| line.strip_prefix(what)?.trim().strip_suffix(" kB"));
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
    pub async fn stop(self) {
        self.signal(Signal::TERM);
        let ended = self.ended().await;
        assert!(ended.status.success(), "{}:\n{}", ended.status, ended.log);
    }

    /// Ends it as a machine does that has no memory left, at any moment from its first on; what it had logged is the
    /// caller's to look at.
    pub async fn kill(mut self) -> String {
        self.signal(Signal::KILL);
        self.wait().await;
        self.log()
    }

    /// Waits until it ends by itself; it has neither panicked before nor told a secret.
    pub async fn ended(mut self) -> Ended {
        let (status, log) = (self.wait().await, self.log());
        assert!(!log.contains("panicked"), "{log}");
        log::assert_is_discreet(log.as_bytes());
        Ended { status, log }
    }

    async fn wait(&mut self) -> ExitStatus {
        let drained = tokio::time::timeout(PATIENCE, &mut self.draining).await;
        drained.unwrap_or_else(|_| panic!("it does not end:\n{}", self.log())).unwrap();
        self.process.wait().unwrap()
    }

    /// Where its embedded store listens.
    pub async fn store(&self) -> SocketAddr {
        self.said("store.listen").await
    }

    /// Waits until its log tells an address.
    pub async fn said(&self, field: &str) -> SocketAddr {
        let mut log = self.log.clone();
        let said = tokio::time::timeout(PATIENCE, log.wait_for(|log| address_in(log, field).is_some())).await;
        let address = said.ok().and_then(Result::ok).and_then(|log| address_in(&log, field));
        address.unwrap_or_else(|| panic!("it does not say where it listens:\n{}", self.log()))
    }

    fn proc(&self, name: &str) -> String {
        format!("/proc/{}/{name}", self.pid())
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("the server's log:\n{}", self.log());
        }
        // One that has ended and was waited for is not killed: its id may be another's.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// How a child is started.
pub struct Setup {
    program: Vec<String>,
    words: Vec<String>,
    environment: Vec<(String, String)>,
    dir: Arc<Dir>,
}

impl Setup {
    /// By way of a program that becomes the server.
    #[must_use]
    pub fn under(mut self, program: &[&str]) -> Self {
        self.program = owned(program);
        self
    }

    /// These flags, besides the addresses and the directory that it would get.
    #[must_use]
    pub fn flags(mut self, flags: &[&str]) -> Self {
        self.words.extend(owned(flags));
        self
    }

    /// A variable of its environment, which has no other.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// In the directory of one that has ended.
    #[must_use]
    pub fn within(mut self, dir: &Arc<Dir>) -> Self {
        self.dir = Arc::clone(dir);
        self
    }

    /// Into the bucket of a test's store, as an operator points it at one.
    #[must_use]
    pub fn storing_at(self, store: SocketAddr) -> Self {
        self.storing_into(&Place::of(store))
    }

    /// Into any bucket, as an operator points it at one.
    #[must_use]
    pub fn storing_into(mut self, place: &Place) -> Self {
        for (name, value) in place.environment() {
            self = self.env(name, &value);
        }
        self
    }

    /// Starts it; it listens then.
    pub async fn start(self) -> Child {
        let mut child = self.spawn();
        child.address = child.said("listen").await;
        child
    }

    /// Starts it where it cannot start.
    pub async fn refused(self) -> Ended {
        self.spawn().ended().await
    }

    /// Starts it; it does not listen yet, and has no address.
    #[must_use]
    pub fn spawn(self) -> Child {
        let mut words = self.program.clone();
        words.push(env!("CARGO_BIN_EXE_bucket-brigade").to_owned());
        words.extend(self.words.clone());
        let data_dir = self.dir.path.join("server").display().to_string();
        let defaults =
            [("--listen", "127.0.0.1:0"), ("--store-listen", "127.0.0.1:0"), ("--data-dir", &data_dir)];
        for (flag, value) in defaults {
            if !self.words.iter().any(|word| word == flag) {
                words.extend(owned(&[flag, value]));
            }
        }
        let mut process = Command::new(&words[0])
            .args(&words[1..])
            // Nothing of the caller's configuration.
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
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
        Child { address: NOWHERE, process, log, draining, dir: self.dir }
    }
}

/// What is left of a process.
pub struct Ended {
    pub status: ExitStatus,
    pub log: String,
}

/// The address of one that does not listen yet.
const NOWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0);

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// The address that the log tells in this field, in either format.
fn address_in(log: &str, field: &str) -> Option<SocketAddr> {
    log.lines().find_map(|line| match serde_json::from_str::<serde_json::Value>(line) {
        Ok(line) => line[field].as_str()?.parse().ok(),
        Err(_) => line.split(' ').find_map(|word| word.strip_prefix(field)?.strip_prefix('=')?.parse().ok()),
    })
}
