//! One open connection, and the answer that is read from it.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http::Uri;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_rustls::MaybeHttpsStream;
use hyper_util::rt::TokioIo;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::task::AbortHandle;

use super::counted::{Counted, Room};
use super::pool::Pool;
use super::wire::{Framing, Meter};

/// How long an answered connection may take until it is ready for the next request. One whose store
/// answered before it had read the body never is: it is closed.
const SETTLE_TIMEOUT: Duration = Duration::from_millis(250);
/// Bytes a request can have written before it learns that its pooled connection had been cut: the kernel's
/// first window and what it keeps unsent.
const STALE_BYTES: u64 = 256 * 1024;
/// hyper's buffers of a connection, in bytes; the default of 408 KiB is by how much it would run ahead.
const QUEUE_BYTES: usize = 192 * 1024;
/// Bytes the kernel may hold unsent before it takes more. Unlike SO_SNDBUF this costs no throughput.
const NOTSENT_LOWAT: u32 = 16 * 1024;

type Plaintext = MaybeHttpsStream<TokioIo<TcpStream>>;

/// An open connection. Dropping it closes the socket, whatever is still queued.
pub(super) struct Connection {
    pub(super) sender: SendRequest<SdkBody>,
    meter: Arc<Mutex<Meter>>,
    _driver: Driver,
}

impl Connection {
    pub(super) async fn begin(plaintext: Plaintext, open: Arc<AtomicUsize>) -> hyper::Result<Self> {
        keep_little_unsent(&plaintext);
        let meter = Arc::new(Mutex::new(Meter::new()));
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(QUEUE_BYTES)
            .handshake(Counted::new(plaintext, Arc::clone(&meter)))
            .await?;
        let open = Open::new(open);
        let driver = tokio::spawn(async move {
            let _open = open;
            if let Err(error) = connection.await {
                tracing::debug!(%error, "store connection ended");
            }
        });
        Ok(Self { sender, meter, _driver: Driver(driver.abort_handle()) })
    }

    pub(super) fn meter(&self) -> MutexGuard<'_, Meter> {
        self.meter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether `error` is what a connection looks like that had been cut before the request came.
    pub(super) fn was_cut(&self, error: &hyper::Error) -> bool {
        let broken = !(error.is_user() || error.is_parse() || error.is_timeout());
        broken && self.meter().written() <= STALE_BYTES
    }
}

fn socket(plaintext: &Plaintext) -> &TcpStream {
    match plaintext {
        MaybeHttpsStream::Http(tcp) => tcp.inner(),
        MaybeHttpsStream::Https(tls) => tls.inner().get_ref().0.inner().inner(),
    }
}

impl Room for Plaintext {
    fn poll_room(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let socket = socket(self);
        loop {
            ready!(socket.poll_write_ready(cx))?;
            // Answering WouldBlock makes tokio wait for the kernel's next word.
            match socket.try_io(Interest::WRITABLE, || wants_more(socket)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                answer => return Poll::Ready(answer),
            }
        }
    }
}

/// Whether less than TCP_NOTSENT_LOWAT lies unsent.
fn wants_more(socket: &TcpStream) -> io::Result<()> {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    let ready = poll(&mut [PollFd::new(socket, PollFlags::OUT)], Some(&now))?;
    if ready > 0 { Ok(()) } else { Err(io::ErrorKind::WouldBlock.into()) }
}

fn keep_little_unsent(plaintext: &Plaintext) {
    let socket = socket(plaintext);
    if let Err(error) = SockRef::from(socket).set_tcp_notsent_lowat(NOTSENT_LOWAT) {
        tracing::debug!(%error, "TCP_NOTSENT_LOWAT not set: the bars run further ahead");
    }
}

/// Ends the task that moves a connection's bytes: hyper itself would first wait for its queue to be taken.
struct Driver(AbortHandle);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// One in the gauge of open connections.
struct Open(Arc<AtomicUsize>);

impl Open {
    fn new(gauge: Arc<AtomicUsize>) -> Self {
        gauge.fetch_add(1, Ordering::Relaxed);
        Self(gauge)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A connection whose answer is being read.
pub(super) struct Lease {
    connection: Connection,
    target: Uri,
    /// None: not to be used again.
    pool: Option<Arc<Pool>>,
}

impl Lease {
    pub(super) const fn new(connection: Connection, target: Uri, pool: Option<Arc<Pool>>) -> Self {
        Self { connection, target, pool }
    }

    /// Gives the connection back once hyper is ready for the next request.
    fn end(self) {
        let Self { mut connection, target, pool: Some(pool) } = self else { return };
        tokio::spawn(async move {
            if let Ok(Ok(())) = tokio::time::timeout(SETTLE_TIMEOUT, connection.sender.ready()).await {
                connection.meter().begin(Framing::Plain, None);
                pool.put(target, connection);
            }
        });
    }
}

/// An answer's body; its end gives the connection back.
pub(super) struct Answer {
    body: Incoming,
    lease: Option<Lease>,
}

impl Answer {
    pub(super) fn new(body: Incoming, lease: Lease) -> Self {
        let mut answer = Self { body, lease: Some(lease) };
        if answer.body.is_end_stream() {
            answer.end();
        }
        answer
    }

    fn end(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.end();
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Err(_))) => self.lease = None,
            Poll::Ready(None) => self.end(),
            Poll::Ready(Some(Ok(_))) if self.body.is_end_stream() => self.end(),
            Poll::Ready(Some(Ok(_))) | Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
