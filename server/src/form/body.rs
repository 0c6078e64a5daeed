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

use crate::error::Failure;
use crate::peer::{Patience, TooSlow, WaitClock};

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

/// Reads a body for the form, and ends it when the client keeps us waiting for too long.
pub(super) struct Reader {
    body: RequestBody,
    clock: WaitClock,
    waiting: Arc<AtomicBool>,
}

impl Reader {
    pub(super) fn new(body: RequestBody, patience: Patience) -> Self {
        Self { body, clock: WaitClock::new(patience), waiting: Arc::default() }
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
        let chunk = self.body.poll(context);
        self.waiting.store(chunk.is_pending(), Ordering::Relaxed);
        match chunk {
            Poll::Pending => self.clock.wait(context).map(|slow| Err(slow.into())),
            Poll::Ready(Some(Ok(chunk))) => {
                Poll::Ready(self.clock.moved(chunk.len()).map(|()| Some(chunk)).map_err(Into::into))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Err(body_failure(&*error))),
            Poll::Ready(None) => Poll::Ready(Ok(None)),
        }
    }
}

impl From<TooSlow> for Failure {
    fn from(_: TooSlow) -> Self {
        Self::ReadTimeout
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
