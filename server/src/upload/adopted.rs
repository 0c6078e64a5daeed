//! A future that runs where it is awaited for as long as somebody awaits it, and on its own after that.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TrackedFuture;

/// Work that must come to its end whoever leaves.
///
/// An upload reads its body in the connection's own task: no other thread is woken for each chunk, and hyper
/// can use its read buffer again. When the connection ends before the upload does, the server adopts it. A panic
/// ends the work like a return.
///
/// # Cancellation
/// Dropped before its end, it goes on in a task of the server's, which the tracker waits for.
pub struct Adopted {
    work: Option<TrackedFuture<BoxFuture<'static, ()>>>,
}

impl Adopted {
    pub fn new(work: impl Future<Output = ()> + Send + 'static, tracker: &TaskTracker) -> Self {
        let work = AssertUnwindSafe(work).catch_unwind().map(drop);
        Self { work: Some(tracker.track_future(work.boxed())) }
    }
}

impl Future for Adopted {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Some(work) = &mut self.work else { return Poll::Ready(()) };
        let polled = work.poll_unpin(context);
        if polled.is_ready() {
            self.work = None;
        }
        polled
    }
}

impl Drop for Adopted {
    fn drop(&mut self) {
        if let Some(work) = self.work.take() {
            tokio::spawn(work);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn what_nobody_awaits_any_more_goes_on() {
        let tracker = TaskTracker::new();
        let (go, went) = oneshot::channel::<()>();
        let (done, is_done) = oneshot::channel();
        let mut work = Adopted::new(
            async move {
                went.await.unwrap();
                done.send(()).unwrap();
            },
            &tracker,
        );
        assert!(futures_util::poll!(&mut work).is_pending());
        drop(work);
        tracker.close();
        go.send(()).unwrap();
        is_done.await.unwrap();
        tracker.wait().await;
    }

    #[tokio::test]
    async fn a_panic_ends_it_and_nothing_else() {
        let tracker = TaskTracker::new();
        Adopted::new(async { panic!("as a test does") }, &tracker).await;
        tracker.close();
        tracker.wait().await;
    }
}
