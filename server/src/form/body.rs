//! The request's body, with the clocks that run only while we wait for the client.

use std::error::Error as StdError;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use tokio::time::{Instant, Sleep};

use crate::error::Failure;

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
        self.stream.lock().unwrap_or_else(PoisonError::into_inner).poll_next_unpin(context)
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

/// Reads a body for the form, and ends it when the client keeps us waiting for too long.
pub(super) struct Reader {
    body: RequestBody,
    patience: Patience,
    waiting: Arc<AtomicBool>,
    waits_since: Option<Instant>,
    /// May be due before the running wait is over: a timer that is set anew for each chunk would cost more than
    /// one that is looked at when it is due.
    silence: Option<Pin<Box<Sleep>>>,
    /// Time and bytes of the window over which the rate is measured.
    waited: Duration,
    bytes: u64,
}

impl Reader {
    pub(super) fn new(body: RequestBody, patience: Patience) -> Self {
        Self {
            body,
            patience,
            waiting: Arc::default(),
            waits_since: None,
            silence: None,
            waited: Duration::ZERO,
            bytes: 0,
        }
    }

    /// True while we wait for the client, and for nothing else.
    pub(super) fn waiting(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.waiting)
    }

    /// The next chunk; `None` at the body's own end.
    ///
    /// # Errors
    /// `client_gone`, `bad_chunk`, `read_timeout`.
    ///
    /// # Cancellation
    /// Safe.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        poll_fn(|context| self.poll(context)).await
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Failure>> {
        match self.body.poll(context) {
            Poll::Pending => self.wait(context).map(Err),
            Poll::Ready(chunk) => {
                self.waiting.store(false, Ordering::Relaxed);
                let waited = self.waits_since.take().map(|since| since.elapsed());
                Poll::Ready(match chunk {
                    Some(Ok(chunk)) => self.note(waited, chunk.len()).map(|()| Some(chunk)),
                    Some(Err(error)) => Err(body_failure(&*error)),
                    None => Ok(None),
                })
            }
        }
    }

    /// Fails a client that stayed under the least rate for a whole window of waiting.
    fn note(&mut self, waited: Option<Duration>, bytes: usize) -> Result<(), Failure> {
        self.waited += waited.unwrap_or_default();
        self.bytes += bytes as u64;
        if self.waited < self.patience.rate_window {
            return Ok(());
        }
        let too_slow = self.bytes < MIN_RATE * self.waited.as_secs();
        self.waited = Duration::ZERO;
        self.bytes = 0;
        if too_slow { Err(Failure::ReadTimeout) } else { Ok(()) }
    }

    fn wait(&mut self, context: &mut Context<'_>) -> Poll<Failure> {
        self.waiting.store(true, Ordering::Relaxed);
        let over = *self.waits_since.get_or_insert_with(Instant::now) + self.patience.silence;
        let silence = self.silence.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(over)));
        while silence.as_mut().poll(context).is_ready() {
            if Instant::now() >= over {
                return Poll::Ready(Failure::ReadTimeout);
            }
            silence.as_mut().reset(over);
        }
        Poll::Pending
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
