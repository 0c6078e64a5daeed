//! Everything that this process logs, searched for what no log may contain.

use std::io;
use std::sync::{Mutex, Once, PoisonError};

use memchr::memmem;

/// As the binary logs by default, with all that our own code has to say.
const FILTER: &str = "info,server=trace,s3s=off,aws_config=warn,aws_smithy_runtime=warn";
/// Shorter texts may stand in any line by chance.
const SHORTEST_SECRET: usize = 8;
/// An object's key ends in so many hexadecimal digits.
const KEY_DIGITS: usize = 64;

/// What was not searched yet.
static LINES: Mutex<Vec<u8>> = Mutex::new(Vec::new());
static SECRETS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Keeps every line from now on; once for all tests of this process.
pub fn capture() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let log = tracing_subscriber::fmt().with_env_filter(FILTER).with_ansi(false);
        log.with_writer(|| Writer).init();
    });
}

/// Tells what must not be logged: a file's name, a client's id, an upload's id in full, a key.
pub fn keep_secret(text: &str) {
    if text.len() >= SHORTEST_SECRET {
        lock(&SECRETS).push(text.to_owned());
    }
}

/// Fails if a secret, or an object's key, was logged.
pub fn assert_discreet() {
    let lines = std::mem::take(&mut *lock(&LINES));
    assert_is_discreet(&lines);
}

/// The same for the log of another process.
pub fn assert_is_discreet(log: &[u8]) {
    if let Some(found) = indiscretion(log, &lock(&SECRETS)) {
        panic!("{found}");
    }
}

/// The first thing that should not be there, and its line.
fn indiscretion(text: &[u8], secrets: &[String]) -> Option<String> {
    for secret in secrets {
        if let Some(at) = memmem::find(text, secret.as_bytes()) {
            return Some(format!("{secret:?} was logged: {}", line_around(text, at)));
        }
    }
    let mut digits = 0;
    let key = text.iter().position(|byte| {
        digits = if byte.is_ascii_hexdigit() { digits + 1 } else { 0 };
        digits == KEY_DIGITS
    });
    key.map(|at| format!("a key was logged: {}", line_around(text, at)))
}

fn line_around(text: &[u8], at: usize) -> String {
    let start = text[..at].iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let line = text[start..].split(|byte| *byte == b'\n').next().unwrap_or_default();
    String::from_utf8_lossy(line).into_owned()
}

struct Writer;

impl io::Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        lock(&LINES).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A test that failed with the lock in its hands does not fail the others.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_and_keys_are_found_with_their_line() {
        let secrets = ["annual-report.pdf".to_owned()];
        let find = |text: &str| indiscretion(text.as_bytes(), &secrets);
        assert_eq!(find("one\ntwo report.pdf\n"), None);
        let found = find("one\nWARN name=annual-report.pdf\nthree\n").unwrap();
        assert_eq!(found, "\"annual-report.pdf\" was logged: WARN name=annual-report.pdf");
        let key = format!("put docs_file{}.pdf", "0f".repeat(32));
        assert_eq!(find(&key), Some(format!("a key was logged: {key}")));
    }
}
