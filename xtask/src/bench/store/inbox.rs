//! Reading requests from a connection; bodies that nobody wants are thrown away inside the kernel.

use std::io::{self, Read};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};

use super::request::Framing;

/// Bytes of body asked for in one call: enough that the store never holds a relay up.
const STEP: usize = 1024 * 1024;
/// The same where the connection is slow, so that it is evenly slow.
const SLOW_STEP: usize = 128 * 1024;
/// Bytes of head read in one call.
const HEAD_STEP: usize = 8 * 1024;
/// A head or chunk line longer than this is no request of a relay.
const MAX_HEAD: usize = 64 * 1024;

pub struct Inbox<'a> {
    stream: &'a TcpStream,
    /// Read, but not yet taken.
    ahead: Vec<u8>,
    scratch: Vec<u8>,
    /// Bytes of body a second, at most.
    rate: Option<u64>,
}

/// What becomes of a body.
pub struct Sink {
    /// Bytes taken, framing of chunks not included.
    pub size: u64,
    pub kept: Option<Vec<u8>>,
    started: Instant,
}

impl Sink {
    pub fn new(is_kept: bool) -> Self {
        Self { size: 0, kept: is_kept.then(Vec::new), started: Instant::now() }
    }
}

impl<'a> Inbox<'a> {
    pub fn new(stream: &'a TcpStream, rate: Option<u64>) -> Self {
        let step = if rate.is_some() { SLOW_STEP } else { STEP };
        Self { stream, ahead: Vec::new(), scratch: vec![0; step], rate }
    }

    /// The next head with its empty line; `None` when the connection is over.
    pub fn head(&mut self) -> io::Result<Option<String>> {
        self.until(b"\r\n\r\n")
    }

    pub fn body(&mut self, framing: Framing, sink: &mut Sink) -> io::Result<()> {
        match framing {
            Framing::Length(length) => self.take(length, sink),
            Framing::Chunked => loop {
                let length = chunk_length(&self.line()?)?;
                if length == 0 {
                    // Trailers end with an empty line.
                    while !self.line()?.is_empty() {}
                    return Ok(());
                }
                self.take(length, sink)?;
                self.line()?;
            },
        }
    }

    fn line(&mut self) -> io::Result<String> {
        let line = self.until(b"\r\n")?.ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(line.trim_end().to_owned())
    }

    fn until(&mut self, end: &[u8]) -> io::Result<Option<String>> {
        loop {
            if let Some(at) = self.ahead.windows(end.len()).position(|window| window == end) {
                let taken: Vec<u8> = self.ahead.drain(..at + end.len()).collect();
                return Ok(Some(String::from_utf8_lossy(&taken).into_owned()));
            }
            let held = self.ahead.len();
            if held > MAX_HEAD {
                return Err(io::ErrorKind::InvalidData.into());
            }
            self.ahead.resize(held + HEAD_STEP, 0);
            let read = self.stream.read(&mut self.ahead[held..]);
            self.ahead.truncate(held + *read.as_ref().unwrap_or(&0));
            match read {
                Ok(0) if held == 0 => return Ok(None),
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
        }
    }

    fn take(&mut self, length: u64, sink: &mut Sink) -> io::Result<()> {
        let at_hand = self.ahead.len().min(usize::try_from(length).unwrap_or(usize::MAX));
        if let Some(kept) = &mut sink.kept {
            kept.extend_from_slice(&self.ahead[..at_hand]);
        }
        self.ahead.drain(..at_hand);
        sink.size += at_hand as u64;
        let mut left = length - at_hand as u64;
        while left > 0 {
            let step = self.scratch.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let count = self.receive(step, sink)?;
            left -= count;
            sink.size += count;
            self.wait(sink);
        }
        Ok(())
    }

    /// Bytes of one call, at most `step`.
    fn receive(&mut self, step: usize, sink: &mut Sink) -> io::Result<u64> {
        // Of a TCP socket this flag throws the bytes away where they are, without a copy.
        let flags = if sink.kept.is_some() { RecvFlags::empty() } else { RecvFlags::TRUNC };
        let count = loop {
            match recv(self.stream, &mut self.scratch[..step], flags) {
                Err(Errno::INTR) => {}
                answer => break answer?.1,
            }
        };
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(kept) = &mut sink.kept {
            kept.extend_from_slice(&self.scratch[..count]);
        }
        Ok(count as u64)
    }

    fn wait(&self, sink: &Sink) {
        let Some(rate) = self.rate else { return };
        let due = Duration::from_secs_f64(sink.size as f64 / rate as f64);
        thread::sleep(due.saturating_sub(sink.started.elapsed()));
    }
}

/// `400;chunk-signature=...` is 1024 bytes long.
fn chunk_length(line: &str) -> io::Result<u64> {
    let digits = line.split(';').next().unwrap_or_default().trim();
    u64::from_str_radix(digits, 16).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn chunks_are_counted_without_their_framing_and_the_next_head_is_found() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = listener.accept().unwrap();
        client
            .write_all(b"PUT /a\r\n\r\n3\r\nabc\r\n0a;x=y\r\n0123456789\r\n0\r\nsum: 1\r\n\r\nNEXT\r\n\r\n")
            .unwrap();
        drop(client);
        let mut inbox = Inbox::new(&stream, None);
        let mut sink = Sink::new(true);
        assert_eq!(inbox.head().unwrap().as_deref(), Some("PUT /a\r\n\r\n"));
        inbox.body(Framing::Chunked, &mut sink).unwrap();
        assert_eq!((sink.size, sink.kept.as_deref()), (13, Some(b"abc0123456789".as_slice())));
        assert_eq!(inbox.head().unwrap().as_deref(), Some("NEXT\r\n\r\n"));
        assert_eq!(inbox.head().unwrap(), None);
    }

    #[test]
    fn a_body_that_is_thrown_away_is_counted() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = listener.accept().unwrap();
        client.write_all(&[7; 3000]).unwrap();
        client.write_all(b"NEXT\r\n\r\n").unwrap();
        let mut inbox = Inbox::new(&stream, Some(1_000_000));
        let mut sink = Sink::new(false);
        inbox.body(Framing::Length(3000), &mut sink).unwrap();
        assert_eq!(sink.size, 3000);
        assert!(sink.started.elapsed() >= Duration::from_millis(3), "1 MB/s");
        assert_eq!(inbox.head().unwrap().as_deref(), Some("NEXT\r\n\r\n"));
    }
}
