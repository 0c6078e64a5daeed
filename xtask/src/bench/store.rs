//! A store that throws bytes away: enough of S3 for the relays, at next to no cost.
//!
//! One thread a connection, in this process: what a relay is measured by does not contain it.

mod inbox;
mod ledger;
mod request;

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use rustix::net::listen;
use rustix::net::sockopt::set_socket_recv_buffer_size;

use super::payload::Payload;
use crate::program::Failure;
use inbox::{Inbox, Sink};
pub use ledger::Tally;
use ledger::{Content, Ledger};
use request::{Operation, Request};

/// Bytes; a thread that only reads and writes sockets needs no more.
pub const STACK: usize = 128 * 1024;
/// Receive buffer of a slow connection, in bytes: the kernel's own would swallow a whole part at once.
const SLOW_BUFFER: usize = 256 * 1024;
/// Connections that wait to be accepted. With the standard library's 128 some of a burst would be sent away, to
/// come again after a second.
const BACKLOG: i32 = 4096;

/// How the store behaves.
#[derive(Clone, Copy, Debug, Default)]
pub struct Manners {
    /// From the last byte of a part or object to the answer.
    pub answer_after: Duration,
    /// Bytes a second of each connection, at most.
    pub rate: Option<u64>,
    /// One object in so many is kept and compared with what was sent.
    pub compare_every: Option<u64>,
}

/// Stops listening when dropped; its connections end with the relay.
pub struct Store {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    manners: Manners,
    payload: Arc<Payload>,
    ledger: Mutex<Ledger>,
    is_closed: AtomicBool,
}

impl Store {
    /// # Errors
    /// No port or no thread to be had.
    pub fn start(manners: Manners, payload: Arc<Payload>) -> Result<Self, Failure> {
        let cannot = |error: io::Error| Failure::new(format!("the store cannot listen: {error}"));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(cannot)?;
        listen(&listener, BACKLOG).map_err(|error| cannot(error.into()))?;
        if manners.rate.is_some() {
            // Inherited by the connections.
            set_socket_recv_buffer_size(&listener, SLOW_BUFFER).map_err(|error| cannot(error.into()))?;
        }
        let address = listener.local_addr().map_err(cannot)?;
        let (ledger, is_closed) = (Mutex::default(), AtomicBool::new(false));
        let shared = Arc::new(Shared { manners, payload, ledger, is_closed });
        let accepting = Arc::clone(&shared);
        spawn(move || accept(&listener, &accepting)).map_err(cannot)?;
        Ok(Self { address, shared })
    }

    pub fn tally(&self) -> Tally {
        self.shared.ledger().tally
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.shared.is_closed.store(true, Ordering::Release);
        // Wakes the thread that accepts.
        drop(TcpStream::connect(self.address));
    }
}

fn spawn(work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().stack_size(STACK).spawn(work).map(drop)
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.is_closed.load(Ordering::Acquire) {
            return;
        }
        let Ok(stream) = stream else { continue };
        let shared = Arc::clone(shared);
        // Without a thread the connection is dropped: the relay sees a fault, and the run breaks.
        drop(spawn(move || {
            // A connection that breaks is the relay's affair; what was not completed is missing in the tally.
            drop(shared.serve(&stream));
        }));
    }
}

impl Shared {
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().expect("no holder of the lock panics")
    }

    fn serve(&self, mut stream: &TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut inbox = Inbox::new(stream, self.manners.rate);
        while let Some(head) = inbox.head()? {
            let request = Request::parse(&head).ok_or(io::ErrorKind::InvalidData)?;
            if request.wants_continue {
                stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
            }
            let mut sink = Sink::new(self.begin(&request.operation));
            inbox.body(request.framing, &mut sink)?;
            // The framing of aws-chunked lies between the bytes: not worth taking apart for a comparison.
            let kept = sink.kept.filter(|_| request.decoded_length.is_none());
            let content = Content { size: request.decoded_length.unwrap_or(sink.size), kept };
            stream.write_all(self.answer(request.operation, content).as_bytes())?;
            if request.is_last {
                break;
            }
        }
        Ok(())
    }

    /// Whether the bytes of this request's body are kept.
    fn begin(&self, operation: &Operation) -> bool {
        match operation {
            Operation::PutObject { .. } => self.ledger().begin(self.manners.compare_every),
            Operation::UploadPart { upload, .. } => self.ledger().is_kept(upload).unwrap_or(false),
            _ => false,
        }
    }

    fn answer(&self, operation: Operation, content: Content) -> String {
        if matches!(operation, Operation::UploadPart { .. } | Operation::PutObject { .. }) {
            thread::sleep(self.manners.answer_after);
        }
        match operation {
            Operation::CreateMultipartUpload { key } => self.create(key),
            Operation::UploadPart { upload, number } => {
                let is_known = self.ledger().put_part(&upload, number, content);
                if is_known { response(200, ETAG, "") } else { no_such_upload() }
            }
            Operation::CompleteMultipartUpload { upload } => self.complete(&upload),
            Operation::AbortMultipartUpload { upload } => {
                if self.ledger().abort(&upload) {
                    response(204, "", "")
                } else {
                    no_such_upload()
                }
            }
            // Asked only whether an upload is over.
            Operation::ListParts { upload } => match self.ledger().is_kept(&upload) {
                Some(_) => {
                    response(200, "", "<ListPartsResult><IsTruncated>false</IsTruncated></ListPartsResult>")
                }
                None => no_such_upload(),
            },
            Operation::ListMultipartUploads => {
                let list = "<IsTruncated>false</IsTruncated>";
                response(200, "", &format!("<ListMultipartUploadsResult>{list}</ListMultipartUploadsResult>"))
            }
            Operation::PutObject { key } => self.put(key, content),
            Operation::HeadObject { key } => {
                let size = self.ledger().size(&key);
                size.map_or_else(|| head_response(404, 0), |size| head_response(200, size))
            }
            Operation::DeleteObject { key } => {
                self.ledger().delete(&key);
                response(204, "", "")
            }
            Operation::HeadBucket => head_response(200, 0),
            Operation::Unknown => response(501, "", &error("NotImplemented")),
        }
    }

    fn create(&self, key: String) -> String {
        let mut ledger = self.ledger();
        let is_kept = ledger.begin(self.manners.compare_every);
        let names = names(&key);
        let upload = ledger.create(key, is_kept);
        let id = format!("<UploadId>{upload}</UploadId>");
        response(
            200,
            "",
            &format!("<InitiateMultipartUploadResult>{names}{id}</InitiateMultipartUploadResult>"),
        )
    }

    fn complete(&self, upload: &str) -> String {
        let completed = self.ledger().complete(upload);
        let Some(kept) = completed else { return no_such_upload() };
        self.compare(kept);
        let tag = "<ETag>&quot;d41d8cd98f00b204e9800998ecf8427e-2&quot;</ETag>";
        response(200, "", &format!("<CompleteMultipartUploadResult>{tag}</CompleteMultipartUploadResult>"))
    }

    fn put(&self, key: String, content: Content) -> String {
        self.ledger().put(key, content.size);
        self.compare(content.kept);
        response(200, ETAG, "")
    }

    fn compare(&self, kept: Option<Vec<u8>>) {
        if let Some(object) = kept {
            let is_same = self.payload.is_origin_of(&object);
            self.ledger().compared(is_same);
        }
    }
}

const ETAG: &str = "ETag: \"d41d8cd98f00b204e9800998ecf8427e\"\r\n";

fn names(key: &str) -> String {
    let (bucket, key) = key.split_once('/').unwrap_or((key, ""));
    format!("<Bucket>{bucket}</Bucket><Key>{key}</Key>")
}

fn no_such_upload() -> String {
    response(404, "", &error("NoSuchUpload"))
}

fn error(code: &str) -> String {
    format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>{code}</Message></Error>")
}

fn response(status: u16, headers: &str, body: &str) -> String {
    let length = body.len();
    // A 204 has no body, and must not say so.
    let length = if status == 204 { String::new() } else { format!("Content-Length: {length}\r\n") };
    format!("HTTP/1.1 {status} S3\r\nContent-Type: application/xml\r\n{length}{headers}\r\n{body}")
}

/// Gives the object's size without its bytes.
fn head_response(status: u16, size: u64) -> String {
    format!("HTTP/1.1 {status} S3\r\nContent-Length: {size}\r\n{ETAG}\r\n")
}
