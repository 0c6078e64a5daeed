//! A watcher on the progress socket, written against RFC 6455, that holds every message to the law.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use app::wire::{FileMessage, FileType, Status};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::PATIENCE;
use super::client::{Answer, RawConnection, fill, head, read_head};
use super::law::Law;

/// A message and when it came.
#[derive(Clone, Debug)]
pub struct Heard {
    pub at: Instant,
    /// Wall clock, milliseconds since 1970.
    pub at_ms: f64,
    pub message: FileMessage,
    pub text: String,
}

/// A socket whose messages are collected and judged as they come.
pub struct Watcher {
    heard: Arc<Mutex<Record>>,
    version: watch::Receiver<u64>,
    writer: OwnedWriteHalf,
    reading: JoinHandle<()>,
}

#[derive(Default)]
struct Record {
    heard: Vec<Heard>,
    laws: HashMap<(String, FileType), Law>,
    broken: Vec<String>,
    pings: u64,
    /// Code of the close frame, or 1006 when the connection ended without one.
    closed: Option<u16>,
}

impl Watcher {
    /// A watcher of `/ws?client_id=`.
    pub async fn new(server: SocketAddr, id: &str) -> Self {
        Self::open(server, &format!("/ws?client_id={id}")).await
    }

    /// A watcher the way old clients connect, `/?client_id=`.
    pub async fn old(server: SocketAddr, id: &str) -> Self {
        Self::open(server, &format!("/?client_id={id}")).await
    }

    pub async fn open(server: SocketAddr, target: &str) -> Self {
        Self::open_with(server, target, &[]).await
    }

    /// The same with these headers besides.
    pub async fn open_with(server: SocketAddr, target: &str, headers: &[(String, String)]) -> Self {
        let (reader, writer, buffer) = match upgrade_with(server, target, headers).await {
            Ok(open) => open,
            Err(answer) => panic!("no socket on {target}: {} {}", answer.status, answer.text()),
        };
        let heard = Arc::new(Mutex::new(Record::default()));
        let (changed, version) = watch::channel(0);
        let record = Arc::clone(&heard);
        let reading = tokio::spawn(async move {
            let code = listen(reader, buffer, &record, &changed).await.unwrap_or(1006);
            record.lock().unwrap().closed = Some(code);
            changed.send_modify(|n| *n += 1);
        });
        Self { heard, version, writer, reading }
    }

    /// Everything heard so far.
    #[must_use]
    pub fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().heard.clone()
    }

    /// The messages of one file, so far.
    #[must_use]
    pub fn of(&self, file: FileType) -> Vec<FileMessage> {
        self.heard().into_iter().map(|heard| heard.message).filter(|m| m.file_type == file).collect()
    }

    /// Waits until `find` finds something in what was heard.
    pub async fn until<T>(&mut self, wanted: &str, mut find: impl FnMut(&[Heard]) -> Option<T>) -> T {
        let found = tokio::time::timeout(PATIENCE, async {
            loop {
                self.version.borrow_and_update();
                if let Some(found) = find(&self.heard.lock().unwrap().heard) {
                    return Some(found);
                }
                if self.version.changed().await.is_err() {
                    return find(&self.heard.lock().unwrap().heard);
                }
            }
        });
        match found.await {
            Ok(Some(found)) => found,
            ended => panic!(
                "{wanted}: {} after {:#?}",
                if ended.is_ok() { "the socket ended" } else { "not heard in time" },
                self.heard().iter().rev().take(4).map(|heard| heard.text.clone()).collect::<Vec<_>>()
            ),
        }
    }

    /// The file's terminal message.
    pub async fn terminal(&mut self, file: FileType) -> FileMessage {
        self.until(&format!("the end of {file:?}"), |heard| {
            heard
                .iter()
                .map(|heard| &heard.message)
                .find(|m| m.file_type == file && m.status.is_terminal())
                .cloned()
        })
        .await
    }

    /// The terminal message of the file in this upload.
    pub async fn terminal_of(&mut self, upload_id: &str, file: FileType) -> FileMessage {
        self.until(&format!("the end of {file:?} of {upload_id}"), |heard| {
            heard
                .iter()
                .map(|heard| &heard.message)
                .find(|m| m.file_type == file && m.upload_id == upload_id && m.status.is_terminal())
                .cloned()
        })
        .await
    }

    /// The close code, once the server has closed.
    pub async fn closed(&mut self) -> u16 {
        let closed = Arc::clone(&self.heard);
        let ended = tokio::time::timeout(PATIENCE, async {
            while closed.lock().unwrap().closed.is_none() && self.version.changed().await.is_ok() {}
            closed.lock().unwrap().closed
        });
        ended.await.expect("the server closes in time").expect("a reader that ended has left its code")
    }

    /// Answers the next pings, so many of them; otherwise a watcher answers none.
    pub async fn answer_pings(&mut self, count: u64) {
        for _ in 0..count {
            let seen = Arc::clone(&self.heard);
            let pinged = async {
                while std::mem::take(&mut seen.lock().unwrap().pings) == 0 {
                    self.version.changed().await.expect("the socket is open");
                }
            };
            tokio::time::timeout(PATIENCE, pinged).await.expect("the server pings in time");
            self.writer.write_all(&frame(0xa, b"")).await.expect("the socket is open");
        }
    }

    /// Sends a text frame.
    pub async fn say(&mut self, text: &str) {
        self.writer.write_all(&frame(0x1, text.as_bytes())).await.expect("the socket is open");
    }

    /// Sends bytes as they are, as many as the server takes before it closes.
    ///
    /// # Errors
    /// It has closed.
    pub async fn try_send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.writer.write_all(bytes).await
    }

    /// Sends bytes as they are.
    pub async fn send_raw(&mut self, bytes: &[u8]) {
        self.writer.write_all(bytes).await.expect("the socket is open");
    }

    /// Closes, and gives what was heard after the last of it was judged.
    pub async fn close(mut self) -> Vec<Heard> {
        let _ = self.writer.write_all(&frame(0x8, &1000_u16.to_be_bytes())).await;
        self.closed().await;
        self.heard()
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.reading.abort();
        let record = self.heard.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if !std::thread::panicking() {
            assert!(record.broken.is_empty(), "the law was broken:\n{}", record.broken.join("\n"));
        }
    }
}

/// A masked client frame.
#[must_use]
pub fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let mut bytes = vec![0x80 | opcode];
    match payload.len() {
        length @ 0..=125 => bytes.push(0x80 | u8::try_from(length).unwrap()),
        length @ 126..=0xffff => {
            bytes.push(0x80 | 126);
            bytes.extend(u16::try_from(length).unwrap().to_be_bytes());
        }
        length => {
            bytes.push(0x80 | 127);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    bytes.extend(MASK);
    bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// The upgrade request of a client.
#[must_use]
pub fn upgrade_head(target: &str) -> Vec<u8> {
    upgrade_head_with(target, &[])
}

fn upgrade_head_with(target: &str, headers: &[(String, String)]) -> Vec<u8> {
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let mut all = vec![
        header("Connection", "Upgrade"),
        header("Upgrade", "websocket"),
        header("Sec-WebSocket-Version", "13"),
        header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    all.extend_from_slice(headers);
    head("GET", target, &all)
}

/// Opens a socket, or gives the answer that refused it.
///
/// # Errors
/// Any answer but 101.
pub async fn upgrade(server: SocketAddr, target: &str) -> Result<Open, Answer> {
    upgrade_with(server, target, &[]).await
}

/// The two halves of a socket, and what was read with the answer.
pub type Open = (OwnedReadHalf, OwnedWriteHalf, Vec<u8>);

/// The same with these headers besides.
///
/// # Errors
/// Any answer but 101.
pub async fn upgrade_with(
    server: SocketAddr,
    target: &str,
    headers: &[(String, String)],
) -> Result<Open, Answer> {
    let request = upgrade_head_with(target, headers);
    let stream = TcpStream::connect(server).await.expect("the server listens");
    let (mut reader, mut writer) = stream.into_split();
    writer.write_all(&request).await.expect("the server reads");
    let mut buffer = Vec::new();
    let read = tokio::time::timeout(PATIENCE, read_head(&mut reader, &mut buffer));
    let (status, headers) = read.await.expect("an answer in time").expect("an answer");
    let answer = Answer { status, headers, body: Vec::new() };
    if status != 101 {
        drop((reader, writer));
        let mut connection = RawConnection::connect(server).await;
        connection.write(&request).await;
        return Err(connection.answer().await);
    }
    // RFC 6455, section 1.3, gives this answer for the key above.
    assert_eq!(answer.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert_eq!(answer.header("sec-websocket-extensions"), None, "no extension was offered");
    Ok((reader, writer, buffer))
}

/// Reads frames until the socket ends; gives the close code.
async fn listen(
    mut reader: OwnedReadHalf,
    mut buffer: Vec<u8>,
    record: &Mutex<Record>,
    changed: &watch::Sender<u64>,
) -> io::Result<u16> {
    loop {
        let (opcode, payload) = read_frame(&mut reader, &mut buffer).await?;
        match opcode {
            0x1 => {
                let text = String::from_utf8(payload).map_err(io::Error::other)?;
                record.lock().unwrap().take(text);
                changed.send_modify(|n| *n += 1);
            }
            0x8 => {
                let code = payload.get(..2).map_or(1005, |code| u16::from_be_bytes([code[0], code[1]]));
                return Ok(code);
            }
            0x9 => {
                record.lock().unwrap().pings += 1;
                changed.send_modify(|n| *n += 1);
            }
            _ => {}
        }
    }
}

async fn read_frame(reader: &mut OwnedReadHalf, buffer: &mut Vec<u8>) -> io::Result<(u8, Vec<u8>)> {
    fill(reader, buffer, 2).await?;
    let (first, second) = (buffer[0], buffer[1]);
    if first & 0xf0 != 0x80 || second & 0x80 != 0 {
        return Err(io::Error::other("a server sends whole, unmasked frames without reserved bits"));
    }
    let (start, length) = match second {
        126 => {
            fill(reader, buffer, 4).await?;
            (4, usize::from(u16::from_be_bytes([buffer[2], buffer[3]])))
        }
        127 => {
            fill(reader, buffer, 10).await?;
            let mut eight = [0; 8];
            eight.copy_from_slice(&buffer[2..10]);
            (10, usize::try_from(u64::from_be_bytes(eight)).map_err(io::Error::other)?)
        }
        length => (2, usize::from(length)),
    };
    fill(reader, buffer, start + length).await?;
    let payload = buffer[start..start + length].to_vec();
    buffer.drain(..start + length);
    Ok((first & 0x0f, payload))
}

impl Record {
    fn take(&mut self, text: String) {
        let message: FileMessage = match serde_json::from_str(&text) {
            Ok(message) => message,
            Err(error) => return self.broken.push(format!("{error}: {text}")),
        };
        let law = self.laws.entry((message.upload_id.clone(), message.file_type)).or_default();
        if let Err(broken) = law.judge(&message, &text) {
            self.broken.push(format!("{broken}: {text}"));
        }
        self.heard.push(Heard { at: Instant::now(), at_ms: super::wall_clock_ms(), message, text });
    }
}

/// The distinct values of `Status`, in the order in which they were heard.
#[must_use]
pub fn statuses(messages: &[FileMessage]) -> Vec<Status> {
    let mut statuses: Vec<Status> = messages.iter().map(|m| m.status).collect();
    statuses.dedup();
    statuses
}
