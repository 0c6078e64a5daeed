//! Watchers that say nothing: sockets of ours that stay open while others upload.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::program::Failure;

/// For the answer to an upgrade.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// Closed when dropped.
pub struct Watchers(Vec<TcpStream>);

impl Watchers {
    /// Opens so many, one after the other, each with a client id of its own.
    ///
    /// # Errors
    /// One was refused.
    pub fn open(server: SocketAddr, count: u32) -> Result<Self, Failure> {
        let open = |number| {
            upgrade(server, number).map_err(|error| Failure::new(format!("watcher {number}: {error}")))
        };
        (0..count).map(open).collect::<Result<_, _>>().map(Self)
    }

    /// # Errors
    /// The server has closed one.
    pub fn all_stay(&self) -> Result<(), Failure> {
        let is_closed = |socket: &&TcpStream| match socket.peek(&mut [0]) {
            Ok(length) => length == 0,
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        };
        match self.0.iter().filter(is_closed).count() {
            0 => Ok(()),
            closed => Err(Failure::new(format!("{closed} of {} watchers were cut", self.0.len()))),
        }
    }
}

fn upgrade(server: SocketAddr, number: u32) -> io::Result<TcpStream> {
    let mut socket = TcpStream::connect(server)?;
    socket.set_read_timeout(Some(ANSWER_WITHIN))?;
    let head = format!(
        "GET /ws?client_id=bench-{number} HTTP/1.1\r\nHost: {server}\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: YmVuY2gtYmVuY2gtYmVuYw==\r\n\r\n"
    );
    socket.write_all(head.as_bytes())?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let mut bytes = [0; 512];
        match socket.read(&mut bytes)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            length => answer.extend(&bytes[..length]),
        }
    }
    if !answer.starts_with(b"HTTP/1.1 101 ") {
        return Err(io::Error::other(format!("answered {:?}", String::from_utf8_lossy(&answer))));
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_watcher_that_was_cut_is_found() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let opening = std::thread::spawn(move || Watchers::open(address, 2));
        let mut sockets: Vec<_> = (0..2)
            .map(|_| {
                let (mut socket, _) = listener.accept().unwrap();
                socket.write_all(b"HTTP/1.1 101 Switching Protocols\r\n\r\n").unwrap();
                socket
            })
            .collect();
        let watchers = opening.join().unwrap().unwrap();
        // A ping waits to be read.
        sockets[0].write_all(&[0x89, 0]).unwrap();
        watchers.all_stay().unwrap();
        drop(sockets.pop());
        watchers.0[1].set_nonblocking(false).unwrap();
        // Waits for the end: a reset, since the request was not read.
        drop(watchers.0[1].peek(&mut [0]));
        assert!(watchers.all_stay().is_err());
    }
}
