//! A plaintext stream that tells the meter what it has taken.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use hyper::rt::{Read, ReadBufCursor, Write};

use super::wire::Meter;

/// Bytes handed to the stream at once to a store that has kept up for long: all that hyper has queued.
const LONG_STRIDE: usize = 256 * 1024;
/// The same to a store that has proven fast.
const STRIDE: usize = 32 * 1024;
/// The same until it has.
const SHORT_STRIDE: usize = 16 * 1024;
/// The same once it has shown that it is not.
const SHORTEST_STRIDE: usize = 8 * 1024;
/// A wait for room that may say that the store sets the pace.
const SLOW_WAIT: Duration = Duration::from_millis(5);
/// Bytes taken without such a wait after which a store counts as fast: more than a receive buffer holds.
const PROVEN: usize = 512 * 1024;
/// The same for the longest stride: more than one part, so that it pays on connections that carry many.
const LONG_PROVEN: usize = 8 * 1024 * 1024;
/// A store that takes so many bytes a second is fast all the same: it, or this server, had to wait for a processor.
const FAST: u64 = 32 * 1024 * 1024;

/// A stream over a socket that can tell whether the kernel wants more, which is sooner than it refuses more.
pub(super) trait Room {
    fn poll_room(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}

/// How much is written at once.
///
/// A write is appended to the last unsent segment whatever TCP_NOTSENT_LOWAT says, and a receiver that has seen
/// segments of 64 KiB opens its window by 150 KiB or more at a time: on a slow store the count would stand still
/// and jump. So until a store has proven fast, little is written, and only when the kernel asks for it.
#[derive(Default)]
struct Stride {
    /// Bytes taken since the store was slow.
    proven: usize,
    /// Bytes taken since the last wait of note, and since when.
    taken: usize,
    since: Option<Instant>,
    waits_since: Option<Instant>,
    /// The store was slow, and nothing has proven it fast since.
    is_slow: bool,
}

impl Stride {
    const fn is_short(&self) -> bool {
        self.proven < PROVEN
    }

    const fn bytes(&self) -> usize {
        match self.proven {
            LONG_PROVEN.. => LONG_STRIDE,
            PROVEN.. => STRIDE,
            _ if self.is_slow => SHORTEST_STRIDE,
            _ => SHORT_STRIDE,
        }
    }

    fn waits(&mut self) {
        self.waits_since.get_or_insert_with(Instant::now);
    }

    fn takes(&mut self, bytes: usize) {
        if let Some(waited) = self.waits_since.take()
            && waited.elapsed() > SLOW_WAIT
        {
            let is_fast = !self.is_short() && self.since.is_some_and(|since| rate(self.taken, since) >= FAST);
            if !is_fast {
                self.proven = 0;
                self.is_slow = true;
            }
            self.taken = 0;
            self.since = None;
        }
        self.since.get_or_insert_with(Instant::now);
        self.taken = self.taken.saturating_add(bytes);
        self.proven = self.proven.saturating_add(bytes);
    }
}

/// Bytes a second.
fn rate(bytes: usize, since: Instant) -> u64 {
    let micros = u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX).max(1);
    (bytes as u64).saturating_mul(1_000_000) / micros
}

pub(super) struct Counted<S> {
    stream: S,
    meter: Arc<Mutex<Meter>>,
    stride: Stride,
}

impl<S> Counted<S> {
    pub(super) fn new(stream: S, meter: Arc<Mutex<Meter>>) -> Self {
        Self { stream, meter, stride: Stride::default() }
    }

    fn accepted<'a>(&self, slices: impl IntoIterator<Item = &'a [u8]>, count: usize) {
        self.meter.lock().unwrap_or_else(PoisonError::into_inner).accept(slices, count);
    }
}

impl<S: Read + Unpin> Read for Counted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: Room + Unpin> Counted<S> {
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.stride.is_short() { self.stream.poll_room(cx) } else { Poll::Ready(Ok(())) }
    }

    fn noted(&mut self, polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &polled {
            Poll::Pending => self.stride.waits(),
            Poll::Ready(result) => self.stride.takes(*result.as_ref().unwrap_or(&0)),
        }
        polled
    }
}

impl<S: Write + Room + Unpin> Write for Counted<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let buf = &buf[..buf.len().min(self.stride.bytes())];
        let polled = match self.poll_room(cx) {
            Poll::Ready(Ok(())) => Pin::new(&mut self.stream).poll_write(cx, buf),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        };
        let count = ready!(self.noted(polled))?;
        self.accepted([buf], count);
        Poll::Ready(Ok(count))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let bufs = &bufs[..fitting(bufs, self.stride.bytes())];
        if let [buf, ..] = bufs
            && buf.len() > self.stride.bytes()
        {
            return self.poll_write(cx, buf);
        }
        let polled = match self.poll_room(cx) {
            Poll::Ready(Ok(())) => Pin::new(&mut self.stream).poll_write_vectored(cx, bufs),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        };
        let count = ready!(self.noted(polled))?;
        self.accepted(bufs.iter().map(|buf| &**buf), count);
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// How many of `bufs` go into one write of at most `stride` bytes: at least one.
fn fitting(bufs: &[IoSlice<'_>], stride: usize) -> usize {
    let mut bytes = 0;
    let more = bufs.iter().skip(1).take_while(|buf| {
        bytes += buf.len();
        bufs[0].len() + bytes <= stride
    });
    more.count() + usize::from(!bufs.is_empty())
}
