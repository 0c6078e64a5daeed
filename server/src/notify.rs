//! What a service manager is told, in systemd's sd_notify protocol: datagrams to the socket that NOTIFY_SOCKET names.
//!
//! There is no watchdog. A ping from a timer would prove nothing of the routes, one by way of the routes would have a
//! server killed that keeps its last files for running uploads; and a kill ends them all.

use std::env;
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};

/// For a manager that does not read: it is told so seldom that this never adds up.
const PATIENCE: Duration = Duration::from_secs(1);

/// Tells the service manager, where there is one.
#[derive(Clone)]
pub struct Notifier(Option<SockAddr>);

impl Notifier {
    #[must_use]
    pub fn from_environment() -> Self {
        Self(env::var_os("NOTIFY_SOCKET").and_then(|name| match address(name) {
            Ok(address) => Some(address),
            Err(error) => {
                tracing::warn!(%error, "NOTIFY_SOCKET is none, and the service manager is told nothing");
                None
            }
        }))
    }

    /// It listens; `status` is for people.
    pub fn ready(&self, status: &str) {
        self.tell(&format!("READY=1\nSTATUS={}", line(status)));
    }

    pub fn status(&self, status: &str) {
        self.tell(&format!("STATUS={}", line(status)));
    }

    /// It stops, and may take so long, whatever TimeoutStopSec says.
    pub fn stopping(&self, at_most: Duration) {
        let microseconds = at_most.as_micros();
        self.tell(&format!("STOPPING=1\nSTATUS=running uploads end\nEXTEND_TIMEOUT_USEC={microseconds}"));
    }

    fn tell(&self, message: &str) {
        let Some(address) = &self.0 else { return };
        if let Err(error) = send(address, message.as_bytes()) {
            tracing::warn!(%error, "the service manager cannot be told");
        }
    }
}

/// A path, or with `@` before it a name of Linux's abstract ones.
fn address(name: OsString) -> io::Result<SockAddr> {
    let mut bytes = name.into_vec();
    match bytes.first_mut() {
        Some(b'/') => {}
        Some(at) if *at == b'@' => *at = 0,
        _ => return Err(io::Error::new(io::ErrorKind::InvalidInput, "neither a path nor an abstract name")),
    }
    SockAddr::unix(OsString::from_vec(bytes))
}

fn send(address: &SockAddr, message: &[u8]) -> io::Result<()> {
    let socket = Socket::new(Domain::UNIX, Type::DGRAM, None)?;
    socket.set_write_timeout(Some(PATIENCE))?;
    socket.send_to(message, address).map(drop)
}

/// A status is one line: the next would be another assignment, and part of it may be a store's words.
fn line(status: &str) -> String {
    status.replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_assigns_nothing_else() {
        assert_eq!(line("not ready: the store says\r\nMAINPID=1"), "not ready: the store says  MAINPID=1");
    }

    #[test]
    fn names_of_sockets() {
        let path = address("/run/notify".into()).unwrap();
        assert_eq!(path.as_pathname().unwrap().as_os_str(), "/run/notify");
        #[cfg(target_os = "linux")]
        assert_eq!(address("@notify".into()).unwrap().as_abstract_namespace().unwrap(), b"notify");
        for none in ["", "notify", "vsock:2:1"] {
            assert!(address(none.into()).is_err(), "{none}");
        }
    }
}
