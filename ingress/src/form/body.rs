//! The request's body, with the clocks that run only while we wait for the client.

use std::error::Error as StdError;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};

use crate::error::Failure;
use crate::peer::{Patience, TooSlow, WaitClock};

/// The body of a request, whatever its transport.
pub type BodyStream = Pin<Box<dyn Stream<Item = Result<Bytes, Box<dyn StdError + Send + Sync>>> + Send>>;

/// Reads a body for the form, and ends it when the client keeps us waiting for too long.
pub(super) struct Reader {
    body: BodyStream,
    clock: WaitClock,
    waiting: Arc<AtomicBool>,
}

impl Reader {
    pub(super) fn new(body: BodyStream, patience: Patience) -> Self {
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
        let chunk = self.body.poll_next_unpin(context);
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
