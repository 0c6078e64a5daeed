//! Clients that cost next to nothing: a thread each, and the kernel copies the file into the socket.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::sendfile;
use rustix::io::Errno;

use super::payload::{self, Kind, Payload};
use super::store::STACK;
use crate::program::Failure;

/// Nothing sent or received for so long: the run is broken.
const SILENCE: Duration = Duration::from_secs(120);
/// Bytes of one write of a paced client, and of a slow one.
const PACED_STEP: u64 = 16 * 1024;
const SLOW_STEP: u64 = 8 * 1024;
/// Below so many bytes a second a client is slow.
const SLOW: u64 = 1_000_000;

/// Paced clients come one after the other within this time, not at one instant: a thousand at once measure the
/// queue of connections, and their writes would come in one beat.
const ARRIVAL: Duration = Duration::from_secs(1);

/// How a relay is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speech {
    /// The form of a browser.
    Form,
    /// A bare `PUT`, for relays that only pass bytes on.
    Put,
}

/// What is uploaded at once.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    pub uploads: u32,
    /// Bytes of one upload.
    pub size: u64,
    pub kind: Kind,
    /// Bytes a second of each client, at most.
    pub rate: Option<u64>,
}

impl Load {
    pub fn bytes(&self) -> u64 {
        u64::from(self.uploads) * self.size
    }
}

/// Sends it all, a connection for each upload; how long until the last answer.
///
/// # Errors
/// One upload was not answered as stored.
pub fn send(to: SocketAddr, speech: Speech, load: &Load, payload: &Payload) -> Result<Duration, Failure> {
    let started = Instant::now();
    let failures: Vec<io::Error> = thread::scope(|scope| {
        let clients: Vec<_> = (0..load.uploads)
            .map(|number| {
                let client = move || upload(to, speech, load, payload, number);
                thread::Builder::new().stack_size(STACK).spawn_scoped(scope, client)
            })
            .collect();
        let ends = clients.into_iter().map(|client| client?.join().expect("a client does not panic"));
        ends.filter_map(Result::err).collect()
    });
    let took = started.elapsed();
    let Some(first) = failures.first() else { return Ok(took) };
    let (failed, all) = (failures.len(), load.uploads);
    Err(Failure::new(format!("{failed} of {all} uploads failed; the first: {first}")))
}

fn upload(to: SocketAddr, speech: Speech, load: &Load, payload: &Payload, number: u32) -> io::Result<()> {
    if load.rate.is_some() {
        thread::sleep(ARRIVAL * number / load.uploads);
    }
    let started = Instant::now();
    let mut stream = TcpStream::connect(to)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(SILENCE))?;
    stream.set_write_timeout(Some(SILENCE))?;
    let (head, tail) = frame(to, speech, load);
    let sent = stream
        .write_all(head.as_bytes())
        .and_then(|()| send_content(&mut stream, load, payload, number))
        .and_then(|()| stream.write_all(tail.as_bytes()));
    let mut answer = Vec::new();
    // Whoever refuses an upload says why before it closes.
    let received = stream.take(64 * 1024).read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer);
    if is_stored(&answer, speech) {
        return Ok(());
    }
    let broke = sent.and(received.map(drop)).map_or_else(|error| format!("{error}; "), |()| String::new());
    let answer: String = answer.chars().take(600).collect();
    Err(io::Error::other(format!(
        "after {:.1} s: {broke}answered {answer:?}",
        started.elapsed().as_secs_f64()
    )))
}

/// What goes before the content, and after.
fn frame(to: SocketAddr, speech: Speech, load: &Load) -> (String, &'static str) {
    let size = load.size;
    let common = format!("Host: {to}\r\nConnection: close\r\n");
    if speech == Speech::Put {
        return (format!("PUT /bench HTTP/1.1\r\n{common}Content-Length: {size}\r\n\r\n"), "");
    }
    let (field, name, media, header) = match load.kind {
        Kind::Document => ("docs_field", "bench.pdf", "application/pdf", "X-Docs-Filesize"),
        Kind::Image => ("msa_imgs", "bench.jpg", "image/jpeg", "X-Image-Filesize"),
    };
    let before = format!(
        "--bench-boundary\r\nContent-Disposition: form-data; name=\"{field}\"; filename=\"{name}\"\r\n\
         Content-Type: {media}\r\n\r\n"
    );
    let tail = "\r\n--bench-boundary--\r\n";
    let length = before.len() as u64 + size + tail.len() as u64;
    let head = format!(
        "POST /upload HTTP/1.1\r\n{common}{header}: {size}\r\nContent-Length: {length}\r\n\
         Content-Type: multipart/form-data; boundary=bench-boundary\r\n\r\n{before}"
    );
    (head, tail)
}

fn is_stored(answer: &str, speech: Speech) -> bool {
    answer.starts_with("HTTP/1.1 200 ") && (speech == Speech::Put || answer.contains(r#""outcome":"stored""#))
}

fn send_content(stream: &mut TcpStream, load: &Load, payload: &Payload, number: u32) -> io::Result<()> {
    let opening = load.kind.opening(number);
    stream.write_all(&opening)?;
    let started = Instant::now();
    let mut offset = Payload::offset(number);
    let mut sent = opening.len() as u64;
    while sent < load.size {
        let step = load.rate.map_or(u64::MAX, |rate| if rate < SLOW { SLOW_STEP } else { PACED_STEP });
        let step = step.min(load.size - sent).min(payload::LENGTH - offset);
        let step = usize::try_from(step).unwrap_or(usize::MAX);
        match sendfile(&*stream, payload.descriptor(), Some(&mut offset), step) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => sent += count as u64,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        offset %= payload::LENGTH;
        if let Some(rate) = load.rate {
            let due = Duration::from_secs_f64(sent as f64 / rate as f64);
            thread::sleep(due.saturating_sub(started.elapsed()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_as_long_as_it_says() {
        let load = Load { uploads: 1, size: 1000, kind: Kind::Image, rate: None };
        let (head, tail) = frame(SocketAddr::from(([127, 0, 0, 1], 1)), Speech::Form, &load);
        let (headers, before) = head.split_once("\r\n\r\n").unwrap();
        let length = before.len() + 1000 + tail.len();
        assert!(headers.contains(&format!("Content-Length: {length}\r\n")));
        assert!(headers.contains("X-Image-Filesize: 1000\r\n"));
    }

    #[test]
    fn an_answer_counts_only_when_it_says_stored() {
        assert!(is_stored("HTTP/1.1 200 OK\r\n\r\n{\"outcome\":\"stored\"}", Speech::Form));
        assert!(!is_stored("HTTP/1.1 200 OK\r\n\r\n", Speech::Form));
        assert!(!is_stored("HTTP/1.1 413 No\r\n\r\n\"outcome\":\"stored\"", Speech::Form));
        assert!(is_stored("HTTP/1.1 200 OK\r\n\r\n", Speech::Put));
    }
}
