//! A client's stream that ends when the client does not read, and that reads slowly from those who only watch.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::peer::{Pace, Patience, TooSlow, WaitClock};

/// Bytes that a watcher may send at once: many times the longest message, so that one too long is seen as such.
const WATCHER_BURST: u32 = 64 * 1024;
/// Time in which a watcher may send one byte after that: 4 KiB a second, in whatever fragments.
const WATCHER_BYTE: Duration = Duration::from_micros(244);

/// Told by a handler that from now on this connection carries a watcher's socket. Cheap to clone.
#[derive(Clone, Default)]
pub struct Watches(Arc<AtomicBool>);

impl Watches {
    pub fn begin(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A TCP stream with clocks on writing and a pace on reading.
///
/// Whoever does not read what we write is cut, and no request or socket waits for him. Frames of a watcher that never
/// end a message are seen by nobody above, so it is here that they come slowly.
pub struct Guarded {
    stream: TcpStream,
    writing: WaitClock,
    watches: Watches,
    pace: Pace,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Guarded {
    pub fn new(stream: TcpStream, patience: Patience, watches: Watches) -> Self {
        let pace = Pace::new(WATCHER_BYTE, WATCHER_BURST);
        Self { stream, writing: WaitClock::new(patience), watches, pace, pause: None }
    }

    fn written(
        &mut self,
        context: &mut Context<'_>,
        result: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match result {
            Poll::Pending => self.writing.wait(context).map(|slow| Err(self.cut(slow))),
            Poll::Ready(Ok(bytes)) => {
                Poll::Ready(self.writing.moved(bytes).map(|()| bytes).map_err(|slow| self.cut(slow)))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
        }
    }

    /// A reset: after a mere close the kernel would keep what is unread for as long as the client stays.
    fn cut(&self, slow: TooSlow) -> io::Error {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).err().unwrap_or_else(|| slow.into())
    }
}

impl From<TooSlow> for io::Error {
    fn from(slow: TooSlow) -> Self {
        Self::new(io::ErrorKind::TimedOut, slow)
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
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
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
        let result = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.written(context, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.written(context, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
