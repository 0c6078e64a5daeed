//! A client's stream that ends when the client does not read, that reads slowly from those who only watch, and that is
//! not closed before the client has had time to read the last word.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use crate::peer::{Pace, Patience, TooSlow, WaitClock};

/// Bytes that a watcher may send at once: many times the longest message, so that one too long is seen as such.
const WATCHER_BURST: u32 = 64 * 1024;
/// Time in which a watcher may send one byte after that: 4 KiB a second, in whatever fragments.
const WATCHER_BYTE: Duration = Duration::from_micros(244);
/// What a client may still send when nobody wants it, in bytes, so that it reads why (FAULTS.md, limits).
const DRAIN: usize = 32 * 1024 * 1024;

/// Told by a handler that from now on this connection carries a watcher's socket. Cheap to clone.
#[derive(Clone, Default)]
pub struct Watches(Arc<AtomicBool>);

impl Watches {
    pub fn begin(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// How long a client may keep us waiting.
#[derive(Clone, Copy, Debug)]
pub struct Manners {
    /// For it to read what we write.
    pub reading: Patience,
    /// For it to end its side when we have ended ours.
    pub drain: Duration,
}

/// A TCP stream with clocks on writing and a pace on reading.
///
/// Whoever does not read what we write is cut, and no request or socket waits for him. Frames of a watcher that never
/// end a message are seen by nobody above, so it is here that they come slowly.
///
/// Dropped, it ends our side and reads on without looking: a connection that is closed with bytes unread is reset, and
/// the client may never get to read a refusal that came while it was sending.
pub struct Guarded {
    /// `None` when the client was cut.
    stream: Option<TcpStream>,
    writing: WaitClock,
    watches: Watches,
    pace: Pace,
    pause: Option<Pin<Box<Sleep>>>,
    drain: Duration,
}

impl Guarded {
    pub fn new(stream: TcpStream, manners: Manners, watches: Watches) -> Self {
        let pace = Pace::new(WATCHER_BYTE, WATCHER_BURST);
        let writing = WaitClock::new(manners.reading);
        Self { stream: Some(stream), writing, watches, pace, pause: None, drain: manners.drain }
    }

    fn stream(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        self.stream.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::TimedOut.into())
    }

    fn written(
        &mut self,
        context: &mut Context<'_>,
        result: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let slow = match result {
            Poll::Pending => ready!(self.writing.wait(context)),
            Poll::Ready(Ok(bytes)) => match self.writing.moved(bytes) {
                Ok(()) => return Poll::Ready(Ok(bytes)),
                Err(slow) => slow,
            },
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
        };
        Poll::Ready(Err(self.cut(slow)))
    }

    /// A reset: after a mere close the kernel would keep what is unread for as long as the client stays.
    fn cut(&mut self, slow: TooSlow) -> io::Error {
        let reset = self.stream.take().map(|stream| SockRef::from(&stream).set_linger(Some(Duration::ZERO)));
        reset.and_then(Result::err).unwrap_or_else(|| io::Error::new(io::ErrorKind::TimedOut, slow))
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        let is_over = |stream: &TcpStream| match stream.try_read(&mut [0; 1]) {
            Ok(bytes) => bytes == 0,
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        };
        let stream = self.stream.take().filter(|stream| !is_over(stream));
        // Without a runtime the process ends.
        if let (Some(stream), Ok(runtime)) = (stream, Handle::try_current()) {
            runtime.spawn(timeout(self.drain, drain(stream)));
        }
    }
}

/// Ends our side, and reads the client's to its end.
async fn drain(mut stream: TcpStream) {
    let mut left = DRAIN;
    let mut unread = [0; 4 * 1024];
    let mut is_open = stream.shutdown().await.is_ok();
    while is_open && left > 0 {
        let read = stream.read(&mut unread).await.unwrap_or(0);
        is_open = read > 0;
        left = left.saturating_sub(read);
    }
}

impl AsyncRead for Guarded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(context));
            self.pause = None;
        }
        let before = buffer.filled().len();
        ready!(self.stream()?.poll_read(context, buffer))?;
        if self.watches.0.load(Ordering::Relaxed) {
            let bytes = u32::try_from(buffer.filled().len() - before).unwrap_or(u32::MAX);
            let welcome_at = self.pace.take(bytes, Instant::now());
            self.pause = welcome_at.map(|at| Box::pin(sleep_until(at)));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = self.stream()?.poll_write(context, bytes);
        self.written(context, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = self.stream()?.poll_write_vectored(context, slices);
        self.written(context, result)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_shutdown(context)
    }
}
