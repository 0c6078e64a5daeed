//! The one retry layer for parts: attempts, back-off with jitter, and the watch for stalls.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::fault::{Fault, Retry};
use crate::config::Clocks;
use crate::connector::WireCounter;
use crate::error::Failure;
use crate::parts::{Part, PartBody};

/// Attempts at one part (FAULTS.md, limits: between the SDK's 3 and mountpoint's 10).
const MAX_ATTEMPTS: u32 = 4;

/// How long an upload that has ended waits for the answer to a part that was sent whole: less than what is left to
/// clean up in at the end of the process.
const LANDING: Duration = Duration::from_secs(3);

/// What happens to a part on its way; told synchronously, from any thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartEvent {
    /// Attempt `n`, from 1, begins.
    Attempt(u32),
    /// The connection has taken so many bytes in this attempt.
    Sent(u64),
    /// The attempt failed and another will follow.
    Retrying,
}

/// Who is told of a part's events.
pub type PartWatch = Arc<dyn Fn(PartEvent) + Send + Sync>;

/// Sends `part` by `call`, again and again while that can help.
///
/// # Errors
/// The last attempt's fault, or the part's own failure.
///
/// # Cancellation
/// Dropping the future ends the running attempt by closing its connection.
pub async fn send_part<T, F>(
    part: &Part,
    watch: &PartWatch,
    clocks: &Clocks,
    slack: u64,
    call: impl Fn(PartBody, WireCounter) -> F,
) -> Result<T, Fault>
where
    F: Future<Output = Result<T, Fault>>,
{
    let mut attempt = 1;
    let mut sent_before = 0;
    loop {
        // Opened only when there is something to send, so that no store waits for a silent client.
        part.more_than(sent_before).await;
        let without_copy = || Fault::ended(part.failure().unwrap_or(Failure::ReplayUnavailable));
        let body = part.body().ok_or_else(without_copy)?;
        let given_before = part.was_given_whole();
        watch(PartEvent::Attempt(attempt));
        let sent = Arc::new(AtomicU64::new(0));
        let counter = counter(&sent, watch);
        let calling = call(body, counter);
        tokio::pin!(calling);
        let fault = tokio::select! {
            biased;
            failure = part.failed() => {
                // Its last byte may be out: until the answer the store may still put it into the upload.
                if part.was_given_whole() {
                    let _ = tokio::time::timeout(LANDING, calling).await;
                }
                return Err(Fault::ended(failure));
            }
            result = &mut calling => match result {
                Ok(done) if part.was_given_whole() => return Ok(done),
                // A store that takes part of a part for the whole is none.
                Ok(_) => Fault::ended(Failure::StorageRejected),
                Err(fault) => fault,
            },
            () = stall(part, &sent, clocks.store_stall, slack) => Fault::stalled(),
        };
        part.rewind();
        if fault.refused && !given_before {
            part.take_back();
        }
        let sent = sent.load(Ordering::Relaxed);
        let waited_for_client = fault.connection && sent < part.len() && sent + slack >= part.sendable();
        may_follow(part, fault, attempt, waited_for_client)?;
        if waited_for_client {
            sent_before = part.sendable();
            continue;
        }
        watch(PartEvent::Retrying);
        tokio::select! {
            failure = part.failed() => return Err(Fault::ended(failure)),
            () = tokio::time::sleep(backoff(clocks.store_backoff, attempt)) => {}
        }
        attempt += 1;
        sent_before = 0;
    }
}

/// Whether another attempt may follow the one that ended with `fault`.
///
/// # Errors
/// What the part ends with.
fn may_follow(part: &Part, fault: Fault, attempt: u32, waited_for_client: bool) -> Result<(), Fault> {
    if let Some(failure) = part.failure() {
        return Err(Fault::ended(failure));
    }
    let may_repeat = match fault.retry {
        Retry::No => false,
        Retry::Once => attempt == 1,
        Retry::Yes => attempt < MAX_ATTEMPTS,
    };
    // A store that tires of a silent client may do so any number of times.
    if !may_repeat && !waited_for_client {
        return Err(fault);
    }
    if part.can_replay() { Ok(()) } else { Err(Fault::ended(Failure::ReplayUnavailable)) }
}

fn counter(sent: &Arc<AtomicU64>, watch: &PartWatch) -> WireCounter {
    let (sent, watch) = (Arc::clone(sent), Arc::clone(watch));
    WireCounter::new(move |bytes| {
        sent.store(bytes, Ordering::Relaxed);
        watch(PartEvent::Sent(bytes));
    })
}

/// Ends when the store has taken nothing for `limit` though there was something to take or to answer.
async fn stall(part: &Part, sent: &AtomicU64, limit: Duration, slack: u64) {
    let mut seen = (0, Instant::now());
    loop {
        tokio::time::sleep(limit / 8).await;
        let now = sent.load(Ordering::Relaxed);
        let store_is_due = now >= part.len() || now + slack < part.sendable();
        if now != seen.0 || !store_is_due {
            seen = (now, Instant::now());
        } else if seen.1.elapsed() >= limit {
            return;
        }
    }
}

/// Doubles with each attempt; half of it is chance, so that clients do not come back together.
fn backoff(first: Duration, attempt: u32) -> Duration {
    let full = first * 2_u32.pow(attempt - 1);
    full.mul_f64(rand::random_range(0.5..=1.0))
}
