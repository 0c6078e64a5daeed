//! The request's body as multer may see it: one chunk a poll, with limits on what is no file content, and the
//! clocks that run only while we wait for the client.

use std::collections::VecDeque;
use std::error::Error as StdError;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use tokio::time::{Instant, Sleep};

use crate::error::Failure;

/// One part's header (busboy's limit).
pub(super) const MAX_PART_HEADER: usize = 16 * 1024;
/// What may come before the first boundary.
const MAX_PREAMBLE: usize = 64 * 1024;
/// Longest boundary (RFC 2046, section 5.1.1).
pub(super) const MAX_BOUNDARY: usize = 70;
/// Least rate of a client over a whole window, in bytes a second (Apache's `MinRate`).
const MIN_RATE: u64 = 500;

/// The body of a request, whatever its transport.
pub type BodyStream = Pin<Box<dyn Stream<Item = Result<Bytes, Box<dyn StdError + Send + Sync>>> + Send>>;

/// A request's body, shared between the form that reads it and whoever drains what the form left.
#[derive(Clone)]
pub struct RequestBody {
    stream: Arc<Mutex<BodyStream>>,
    polled: Arc<AtomicBool>,
}

impl RequestBody {
    #[must_use]
    pub fn new(stream: BodyStream) -> Self {
        Self { stream: Arc::new(Mutex::new(stream)), polled: Arc::default() }
    }

    /// Reads on without looking, so that a refused client gets to read its answer instead of a reset.
    ///
    /// Ends after `limit` bytes or `time`. A client that waits for `100 Continue` is not asked for a body
    /// that nobody wants.
    pub async fn drain(self, expects_continue: bool, limit: usize, time: Duration) {
        if expects_continue && !self.polled.load(Ordering::Relaxed) {
            return;
        }
        let mut left = limit;
        let drained = async {
            while let Some(Ok(chunk)) = poll_fn(|context| self.poll(context)).await {
                left = left.saturating_sub(chunk.len());
                if left == 0 {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(time, drained).await;
    }

    fn poll(&self, context: &mut Context<'_>) -> Poll<Option<<BodyStream as Stream>::Item>> {
        self.polled.store(true, Ordering::Relaxed);
        lock(&self.stream).poll_next_unpin(context)
    }
}

/// How long a client may keep us waiting.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Without a byte.
    pub silence: Duration,
    /// Waiting time over which the rate must reach 500 B/s.
    pub rate_window: Duration,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the guard has seen pass, for the form to look at.
#[derive(Default)]
pub(super) struct Tap {
    waiting: Arc<AtomicBool>,
    state: Mutex<TapState>,
}

#[derive(Default)]
struct TapState {
    /// The newest raw chunks: enough to hold a delimiter and the header after it.
    recent: VecDeque<Bytes>,
    recent_len: usize,
    in_file: bool,
    found_first: bool,
    /// Bytes since file content ended.
    between: usize,
    ended: bool,
}

impl Tap {
    pub(super) fn waiting(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.waiting)
    }

    /// Whether the body has come to its own end.
    pub(super) fn has_ended(&self) -> bool {
        self.lock().ended
    }

    fn lock(&self) -> MutexGuard<'_, TapState> {
        lock(&self.state)
    }

    pub(super) fn in_file(&self, in_file: bool) {
        let mut state = self.lock();
        state.in_file = in_file;
        state.between = 0;
    }

    pub(super) fn found(&self) {
        let mut state = self.lock();
        state.found_first = true;
        state.between = 0;
    }

    fn note(&self, chunk: &Bytes) -> Result<(), Failure> {
        let mut state = self.lock();
        state.recent.push_back(chunk.clone());
        state.recent_len += chunk.len();
        while let Some(front) = state.recent.front() {
            if state.recent_len - front.len() < MAX_PART_HEADER + 2 * MAX_BOUNDARY {
                break;
            }
            state.recent_len -= front.len();
            state.recent.pop_front();
        }
        // What a chunk held before this one is counted with the limit's slack of one chunk.
        let before = state.between;
        state.between += chunk.len();
        match (state.in_file, state.found_first) {
            (true, _) => Ok(()),
            (false, false) if before > MAX_PREAMBLE => Err(Failure::BadBoundary),
            (false, true) if before > MAX_PART_HEADER => Err(Failure::BadPartHeader),
            _ => Ok(()),
        }
    }

    fn tail(&self) -> Vec<u8> {
        self.lock().recent.iter().flat_map(|chunk| chunk.iter().copied()).collect()
    }

    pub(super) fn any(&self, pattern: &[u8]) -> bool {
        memchr::memmem::find(&self.tail(), pattern).is_some()
    }

    /// Whether the newest delimiter is complete: followed by a line's end, or by `--`.
    pub(super) fn delimiter_seen(&self, delimiter: &[u8]) -> bool {
        let tail = self.tail();
        memchr::memmem::rfind(&tail, delimiter).is_some_and(|start| {
            let after = &tail[start + delimiter.len()..];
            after.starts_with(b"\r\n") || after.starts_with(b"--")
        })
    }
}

/// The request body as multer may see it.
pub(super) struct Guarded {
    body: RequestBody,
    tap: Arc<Tap>,
    patience: Patience,
    /// After each chunk one poll answers `Pending`, which makes multer parse what it has.
    rest: bool,
    deadline: Option<(Instant, Pin<Box<Sleep>>)>,
    waited: Duration,
    bytes: u64,
}

impl Guarded {
    pub(super) fn new(body: RequestBody, tap: Arc<Tap>, patience: Patience) -> Self {
        Self { body, tap, patience, rest: false, deadline: None, waited: Duration::ZERO, bytes: 0 }
    }

    /// Ends a wait; fails a client that stayed under the least rate for a whole window of waiting.
    fn arrived(&mut self, bytes: usize) -> Result<(), Failure> {
        self.tap.waiting.store(false, Ordering::Relaxed);
        self.bytes += bytes as u64;
        if let Some((since, _)) = self.deadline.take() {
            self.waited += since.elapsed();
        }
        if self.waited < self.patience.rate_window {
            return Ok(());
        }
        let too_slow = self.bytes < MIN_RATE * self.waited.as_secs();
        self.waited = Duration::ZERO;
        self.bytes = 0;
        if too_slow { Err(Failure::ReadTimeout) } else { Ok(()) }
    }

    fn waits(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Failure>>> {
        self.tap.waiting.store(true, Ordering::Relaxed);
        let silence = self.patience.silence;
        let (_, sleep) =
            self.deadline.get_or_insert_with(|| (Instant::now(), Box::pin(tokio::time::sleep(silence))));
        sleep.as_mut().poll(context).map(|()| Some(Err(Failure::ReadTimeout)))
    }
}

impl Stream for Guarded {
    type Item = Result<Bytes, Failure>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if std::mem::take(&mut this.rest) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        match this.body.poll(context) {
            Poll::Pending => this.waits(context),
            Poll::Ready(Some(Ok(chunk))) => {
                this.rest = true;
                let checked = this.arrived(chunk.len()).and_then(|()| this.tap.note(&chunk));
                Poll::Ready(Some(checked.map(|()| chunk)))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(body_failure(&*error)))),
            Poll::Ready(None) => {
                this.tap.waiting.store(false, Ordering::Relaxed);
                this.tap.lock().ended = true;
                Poll::Ready(None)
            }
        }
    }
}

/// A body that breaks is the client's going, unless its chunked framing is what is wrong.
fn body_failure(error: &(dyn StdError + 'static)) -> Failure {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<std::io::Error>()
            && matches!(io.kind(), std::io::ErrorKind::InvalidInput | std::io::ErrorKind::InvalidData)
        {
            return Failure::BadChunk;
        }
        cause = error.source();
    }
    Failure::ClientGone
}
