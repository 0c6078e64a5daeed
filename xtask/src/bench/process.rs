//! A relay as a process of its own: started, measured from outside, ended.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::program::{self, Failure};

/// From start to the first accepted connection.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// Start-up work that goes on after a relay listens must not be counted.
const SETTLE: Duration = Duration::from_millis(300);
/// From the signal to the end; then it is killed.
const END_WITHIN: Duration = Duration::from_secs(5);
/// Length of the kernel's tick in seconds (USER_HZ is 100 on every Linux).
const TICK: f64 = 0.01;

/// Bytes of output that are shown of a relay that failed.
const LAST_WORDS: usize = 1000;

/// Ended when dropped, with all its processes.
pub struct Running {
    pub address: SocketAddr,
    child: Child,
    log: PathBuf,
}

impl Running {
    /// Starts it and waits until it listens on `port`; what it says goes to `log`.
    ///
    /// # Errors
    /// It is not there, ends at once, or does not listen in time.
    pub fn start(mut command: Command, port: u16, log: PathBuf) -> Result<Self, Failure> {
        let output = File::create(&log).map_err(Failure::at(&log))?;
        let errors = output.try_clone().map_err(Failure::at(&log))?;
        let child = command.stdin(Stdio::null()).stdout(output).stderr(errors).spawn();
        let program = Path::new(command.get_program());
        let child = child.map_err(Failure::at(program))?;
        let mut running = Self { address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)), child, log };
        running.wait_until_ready()?;
        Ok(running)
    }

    fn wait_until_ready(&mut self) -> Result<(), Failure> {
        let started = Instant::now();
        while TcpStream::connect(self.address).is_err() {
            let has_ended = !matches!(self.child.try_wait(), Ok(None));
            if has_ended || started.elapsed() > READY_WITHIN {
                return Err(Failure::new(format!("does not listen; it said:\n{}", self.last_words())));
            }
            thread::sleep(Duration::from_millis(20));
        }
        thread::sleep(SETTLE);
        Ok(())
    }

    /// Seconds on the CPU so far, of all its processes.
    ///
    /// # Errors
    /// It has ended.
    pub fn cpu_seconds(&self) -> Result<f64, Failure> {
        self.processes().into_iter().map(cpu_seconds).sum()
    }

    /// The most memory it had at any moment, in MiB, summed over its processes.
    ///
    /// # Errors
    /// It has ended.
    pub fn peak_rss_mib(&self) -> Result<f64, Failure> {
        self.processes().into_iter().map(peak_rss_mib).sum()
    }

    /// The end of what it printed.
    pub fn last_words(&self) -> String {
        let said = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&said[said.len().saturating_sub(LAST_WORDS)..]).into_owned()
    }

    /// Itself and its children, such as nginx's worker.
    fn processes(&self) -> Vec<u32> {
        let us = self.child.id();
        let numbers = fs::read_dir("/proc").into_iter().flatten().flatten();
        let all = numbers.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let children = all.filter(|&pid| stat(pid).is_ok_and(|stat| stat.parent == us));
        std::iter::once(us).chain(children).collect()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Politely, since only then does nginx end its worker.
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let is_asked = pid.is_some_and(|pid| kill_process(pid, Signal::TERM).is_ok());
        let asked = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) {
            if !is_asked || asked.elapsed() > END_WITHIN {
                drop(self.child.kill());
                drop(self.child.wait());
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// A program that ends when we do, however we end.
pub fn tied(name: &Path) -> Command {
    let Some(setpriv) = program::on_path("setpriv") else { return Command::new(name) };
    let mut command = Command::new(setpriv);
    command.args(["--pdeathsig", "TERM", "--"]).arg(name);
    command
}

/// A port that nobody listens on.
///
/// # Errors
/// There is none.
pub fn free_port() -> Result<u16, Failure> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let address = listener.and_then(|listener| listener.local_addr());
    address.map(|address| address.port()).map_err(|error| Failure::new(format!("no free port: {error}")))
}

struct Stat {
    parent: u32,
    /// In user space and in the kernel, in ticks; threads that have ended included.
    ticks: u64,
}

fn stat(pid: u32) -> io::Result<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    parse_stat(&text).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// `pid (name) state ppid ...`; the name may contain anything.
fn parse_stat(text: &str) -> Option<Stat> {
    let fields: Vec<&str> = text.rsplit_once(") ")?.1.split(' ').collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    Some(Stat { parent: u32::try_from(number(1)?).ok()?, ticks: number(11)? + number(12)? })
}

/// The threads' own clocks are exact; those of threads that have ended are only in the ticks.
fn cpu_seconds(pid: u32) -> Result<f64, Failure> {
    let folder = PathBuf::from(format!("/proc/{pid}/task"));
    let threads = fs::read_dir(&folder).map_err(Failure::at(&folder))?.flatten();
    let nanoseconds =
        |file: PathBuf| -> Option<f64> { fs::read_to_string(file).ok()?.split(' ').next()?.parse().ok() };
    let exact: f64 = threads.filter_map(|thread| nanoseconds(thread.path().join("schedstat"))).sum();
    let ticks = stat(pid).map_err(Failure::at(&folder))?.ticks;
    Ok((exact / 1e9).max(ticks as f64 * TICK))
}

fn peak_rss_mib(pid: u32) -> Result<f64, Failure> {
    let file = PathBuf::from(format!("/proc/{pid}/status"));
    let status = fs::read_to_string(&file).map_err(Failure::at(&file))?;
    let kib = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
    let kib = kib.and_then(|kib| kib.trim().parse::<f64>().ok());
    kib.map(|kib| kib / 1024.0).ok_or_else(|| Failure::new(format!("{} has no VmHWM", file.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_spaces_does_not_shift_the_fields() {
        let text = "42 (a ) b) S 7 42 42 0 -1 4194304 1 2 3 4 150 50 0 0 20 0 1 0 5 6 7";
        let stat = parse_stat(text).unwrap();
        assert_eq!((stat.parent, stat.ticks), (7, 200));
    }

    #[test]
    fn we_can_measure_ourselves() {
        let pid = std::process::id();
        assert!(cpu_seconds(pid).unwrap() >= 0.0);
        assert!(peak_rss_mib(pid).unwrap() > 0.1);
    }
}
