//! A plaintext stream that tells the meter what it has taken.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use hyper::rt::{Read, ReadBufCursor, Write};

use super::wire::Meter;

/// Bytes handed to the stream at once while the store keeps up. Half of it costs twice the processor time.
const LONG_STRIDE: usize = 32 * 1024;
/// The same while it does not: the kernel cuts its segments from our writes, and a receiver of large ones opens
/// its window by a quarter of a megabyte at a time, so that the count would stand still and jump (loopback,
/// SO_RCVBUF 128 KiB, 400 KB/s a connection: 14 steps for 3 MiB at 32 KiB, 20 with this).
const SHORT_STRIDE: usize = 8 * 1024;
/// A wait for room that says that the store sets the pace.
const SLOW_WAIT: Duration = Duration::from_millis(5);

/// How much is written at once: little on a slow connection, more with every wait that was short.
struct Stride {
    bytes: usize,
    waits_since: Option<Instant>,
}

impl Stride {
    fn note<T>(&mut self, polled: &Poll<T>) {
        if polled.is_pending() {
            self.waits_since.get_or_insert_with(Instant::now);
        } else if let Some(since) = self.waits_since.take() {
            let slow = since.elapsed() > SLOW_WAIT;
            self.bytes = if slow { SHORT_STRIDE } else { LONG_STRIDE.min(self.bytes * 2) };
        }
    }
}

pub(super) struct Counted<S> {
    stream: S,
    meter: Arc<Mutex<Meter>>,
    stride: Stride,
}

impl<S> Counted<S> {
    pub(super) const fn new(stream: S, meter: Arc<Mutex<Meter>>) -> Self {
        Self { stream, meter, stride: Stride { bytes: LONG_STRIDE, waits_since: None } }
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

impl<S: Write + Unpin> Write for Counted<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let buf = &buf[..buf.len().min(self.stride.bytes)];
        let polled = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.stride.note(&polled);
        let count = ready!(polled)?;
        self.accepted([buf], count);
        Poll::Ready(Ok(count))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let bufs = &bufs[..fitting(bufs, self.stride.bytes)];
        if let [buf, ..] = bufs
            && buf.len() > self.stride.bytes
        {
            return self.poll_write(cx, buf);
        }
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.stride.note(&polled);
        let count = ready!(polled)?;
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
