//! A plaintext stream that tells the meter what it has taken.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use hyper::rt::{Read, ReadBufCursor, Write};

use super::wire::Meter;

/// Most bytes handed to the stream at once: the kernel takes a write that it has room to begin as a whole,
/// so this adds to what lies unsent, and is the step in which the count moves when the store is slow.
/// At 16 KiB a gigabyte costs twice the processor time.
const WRITE_BYTES: usize = 32 * 1024;

pub(super) struct Counted<S> {
    stream: S,
    meter: Arc<Mutex<Meter>>,
}

impl<S> Counted<S> {
    pub(super) const fn new(stream: S, meter: Arc<Mutex<Meter>>) -> Self {
        Self { stream, meter }
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
        let buf = &buf[..buf.len().min(WRITE_BYTES)];
        let count = ready!(Pin::new(&mut self.stream).poll_write(cx, buf))?;
        self.accepted([buf], count);
        Poll::Ready(Ok(count))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let bufs = &bufs[..fitting(bufs)];
        if let [buf, ..] = bufs
            && buf.len() > WRITE_BYTES
        {
            return self.poll_write(cx, buf);
        }
        let count = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, bufs))?;
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

/// How many of `bufs` go into one write: at least one.
fn fitting(bufs: &[IoSlice<'_>]) -> usize {
    let mut bytes = 0;
    let more = bufs.iter().skip(1).take_while(|buf| {
        bytes += buf.len();
        bufs[0].len() + bytes <= WRITE_BYTES
    });
    more.count() + usize::from(!bufs.is_empty())
}
