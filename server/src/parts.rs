//! Bytes of any chunking become parts; a part is a body that can be sent while it still arrives, and sent again.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::config::{MAX_PARTS, MIN_PART_SIZE};
use crate::error::Failure;

/// Largest piece of a part, and so of an HTTP body frame: the store connection's queue is bounded
/// by 16 frames, and progress moves in steps of this size (FACTS.md 1.8).
pub const PIECE: usize = 16 * 1024;

/// Parts of more than this step keep S3's limit of 10,000 for large files.
const PART_SIZE_STEP: u64 = 1024 * 1024;

/// How a file of known size is cut: all parts equal but the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartPlan {
    total: u64,
    part_size: u64,
}

impl PartPlan {
    /// Plans `total` bytes in parts of at least `least` bytes, at most 10,000 of them.
    #[must_use]
    pub fn new(total: u64, least: u64) -> Self {
        if total < MIN_PART_SIZE {
            return Self { total, part_size: total };
        }
        let needed = total.div_ceil(MAX_PARTS).next_multiple_of(PART_SIZE_STEP);
        Self { total, part_size: if total.div_ceil(least) > MAX_PARTS { needed } else { least } }
    }

    /// Bytes of the whole file.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// Whether one `PutObject` carries the file.
    #[must_use]
    pub const fn is_put(&self) -> bool {
        self.total < MIN_PART_SIZE
    }

    #[must_use]
    pub const fn part_size(&self) -> u64 {
        self.part_size
    }

    /// Number of parts; S3 counts them from 1.
    #[must_use]
    pub fn parts(&self) -> u32 {
        if self.is_put() {
            return 1;
        }
        u32::try_from(self.total.div_ceil(self.part_size)).expect("at most 10,000 parts are planned")
    }

    /// Bytes of part `number`; 0 beyond the last.
    #[must_use]
    pub fn part_len(&self, number: u32) -> u64 {
        let before = u64::from(number.saturating_sub(1)).saturating_mul(self.part_size);
        self.total.saturating_sub(before).min(self.part_size)
    }
}

/// One part of an object: filled by the form, read by the store connection, kept until acknowledged.
///
/// Cheap to clone; all clones are the same part.
#[derive(Clone)]
pub struct Part {
    shared: Arc<Shared>,
}

struct Shared {
    number: u32,
    len: u64,
    state: Mutex<State>,
    /// Told of every append, for whoever waits to open a new attempt.
    grown: Notify,
    failed: CancellationToken,
}

struct State {
    pieces: VecDeque<Bytes>,
    /// Pieces given up from the front, and their bytes.
    dropped_pieces: usize,
    dropped_bytes: u64,
    have: u64,
    /// The last byte is withheld while this is closed.
    gate_open: bool,
    keeps_replay: bool,
    failed: Option<Failure>,
    /// Only the newest attempt's body yields.
    attempt: u32,
    yielded: u64,
    given_whole: bool,
    reader: Option<Waker>,
}

/// Why a part's body ended before its last byte.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub enum BodyEnd {
    #[error("the upload ended: {0}")]
    Failed(Failure),
    #[error("a newer attempt has taken over")]
    Superseded,
    #[error("the replay copy was given up")]
    NoReplay,
}

impl Part {
    /// A part of exactly `len` bytes whose last byte may go at once.
    #[must_use]
    pub fn new(number: u32, len: u64) -> Self {
        Self::with_gate(number, len, true)
    }

    /// A part whose last byte waits for [`Part::open_gate`]: until then no store can take it for whole.
    #[must_use]
    pub fn gated(number: u32, len: u64) -> Self {
        Self::with_gate(number, len, false)
    }

    fn with_gate(number: u32, len: u64, gate_open: bool) -> Self {
        let state = State {
            pieces: VecDeque::new(),
            dropped_pieces: 0,
            dropped_bytes: 0,
            have: 0,
            gate_open,
            keeps_replay: true,
            failed: None,
            attempt: 0,
            yielded: 0,
            given_whole: false,
            reader: None,
        };
        let shared = Shared {
            number,
            len,
            state: Mutex::new(state),
            grown: Notify::new(),
            failed: CancellationToken::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    #[must_use]
    pub fn number(&self) -> u32 {
        self.shared.number
    }

    /// Bytes of the whole part.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.shared.len
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.shared.len == 0
    }

    /// Bytes still to come.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.shared.len - self.lock().have
    }

    /// Adds the next bytes, [`PIECE`] at most; the caller cuts at [`Part::missing`].
    pub fn push(&self, piece: Bytes) {
        let mut state = self.lock();
        state.have += piece.len() as u64;
        debug_assert!(state.have <= self.shared.len, "the caller cuts at the part's end");
        state.pieces.push_back(piece);
        self.wake(state);
    }

    /// Lets the last byte go.
    pub fn open_gate(&self) {
        let mut state = self.lock();
        state.gate_open = true;
        self.wake(state);
    }

    /// Ends the part: its body fails, nothing more is sent, and its bytes are freed.
    pub fn fail(&self, failure: Failure) {
        let mut state = self.lock();
        state.failed.get_or_insert(failure);
        state.pieces.clear();
        self.wake(state);
        self.shared.failed.cancel();
    }

    /// Waits until the part is ended by a failure.
    ///
    /// # Cancellation
    /// Safe.
    pub async fn failed(&self) -> Failure {
        self.shared.failed.cancelled().await;
        self.failure().unwrap_or(Failure::Internal)
    }

    /// Frees the bytes of a part that needs no further attempt.
    pub fn forget(&self) {
        self.lock().pieces.clear();
    }

    /// Frees what the running attempt has sent, now and from here on: the part cannot be sent again.
    pub fn give_up_replay(&self) {
        let mut state = self.lock();
        state.keeps_replay = false;
        if state.attempt > 0 {
            let yielded = state.yielded;
            state.drop_pieces_before(yielded);
        }
    }

    /// The failure that ended the part, if one did.
    #[must_use]
    pub fn failure(&self) -> Option<Failure> {
        self.lock().failed
    }

    /// Whether another attempt would have all bytes.
    #[must_use]
    pub fn can_replay(&self) -> bool {
        self.lock().dropped_bytes == 0
    }

    /// Whether any attempt was given the last byte: only then can a store have the part whole.
    #[must_use]
    pub fn was_given_whole(&self) -> bool {
        self.lock().given_whole
    }

    /// Bytes that may be sent now: those that arrived, less the gate's last one.
    #[must_use]
    pub fn sendable(&self) -> u64 {
        self.lock().sendable(self.shared.len)
    }

    /// Waits until more than `bytes` may be sent, or the part failed.
    ///
    /// # Cancellation
    /// Safe.
    pub async fn more_than(&self, bytes: u64) {
        loop {
            let grown = self.shared.grown.notified();
            tokio::pin!(grown);
            grown.as_mut().enable();
            {
                let state = self.lock();
                if state.failed.is_some() || state.sendable(self.shared.len) > bytes {
                    return;
                }
            }
            grown.await;
        }
    }

    /// The body of a new attempt, from the first byte; bodies of earlier attempts end.
    #[must_use]
    pub fn body(&self) -> PartBody {
        let mut state = self.lock();
        state.attempt += 1;
        state.yielded = 0;
        let attempt = state.attempt;
        self.wake(state);
        PartBody { part: self.clone(), attempt, piece: 0, offset: 0, position: 0 }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self, mut state: MutexGuard<'_, State>) {
        let reader = state.reader.take();
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
        self.shared.grown.notify_waiters();
    }
}

impl State {
    fn sendable(&self, len: u64) -> u64 {
        if self.gate_open { self.have } else { self.have.min(len.saturating_sub(1)) }
    }

    fn drop_pieces_before(&mut self, position: u64) {
        while let Some(piece) = self.pieces.front() {
            let end = self.dropped_bytes + piece.len() as u64;
            if end > position {
                return;
            }
            self.dropped_bytes = end;
            self.dropped_pieces += 1;
            self.pieces.pop_front();
        }
    }
}

/// The bytes of one attempt at a part: as they arrive, exactly [`Part::len`] of them, or an error.
pub struct PartBody {
    part: Part,
    attempt: u32,
    /// Index of the next piece, counted from the part's first.
    piece: usize,
    offset: usize,
    position: u64,
}

impl Body for PartBody {
    type Data = Bytes;
    type Error = BodyEnd;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyEnd>>> {
        let this = &mut *self;
        if this.position == this.part.len() {
            return Poll::Ready(None);
        }
        let mut state = this.part.lock();
        if let Some(failure) = state.failed {
            return Poll::Ready(Some(Err(BodyEnd::Failed(failure))));
        }
        if state.attempt != this.attempt {
            return Poll::Ready(Some(Err(BodyEnd::Superseded)));
        }
        let allowed = state.sendable(this.part.len()) - this.position;
        if allowed == 0 {
            state.reader = Some(context.waker().clone());
            return Poll::Pending;
        }
        let Some(index) = this.piece.checked_sub(state.dropped_pieces) else {
            return Poll::Ready(Some(Err(BodyEnd::NoReplay)));
        };
        let Some(piece) = state.pieces.get(index) else {
            return Poll::Ready(Some(Err(BodyEnd::NoReplay)));
        };
        let rest = piece.len() - this.offset;
        let take = usize::try_from(allowed).map_or(rest, |allowed| allowed.min(rest));
        let frame = piece.slice(this.offset..this.offset + take);
        this.position += take as u64;
        if take == rest {
            this.piece += 1;
            this.offset = 0;
        } else {
            this.offset += take;
        }
        state.yielded = this.position;
        state.given_whole |= this.position == this.part.len();
        if !state.keeps_replay {
            state.drop_pieces_before(this.position);
        }
        Poll::Ready(Some(Ok(Frame::data(frame))))
    }

    fn is_end_stream(&self) -> bool {
        self.position == self.part.len()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.part.len() - self.position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    const MIB: u64 = 1024 * 1024;

    #[test]
    fn plans_equal_parts_and_never_more_than_ten_thousand() {
        let largest = MAX_PARTS * (5 << 30);
        for total in [1, 5 * MIB - 1, 5 * MIB, 5 * MIB + 1, 25 * MIB, 50_000 * MIB, 50_000 * MIB + 1, largest]
        {
            let plan = PartPlan::new(total, 5 * MIB);
            let parts = plan.parts();
            assert!(u64::from(parts) <= MAX_PARTS, "{total}: {parts} parts");
            assert_eq!(plan.is_put(), total < 5 * MIB);
            let sum: u64 = (1..=parts).map(|number| plan.part_len(number)).sum();
            assert_eq!(sum, total);
            assert!((1..parts).all(|number| plan.part_len(number) == plan.part_size()));
            assert!(plan.part_len(parts) >= 1);
            assert_eq!(plan.part_len(parts + 1), 0);
        }
        assert_eq!(PartPlan::new(50_000 * MIB, 5 * MIB).part_size(), 5 * MIB);
        assert_eq!(PartPlan::new(50_000 * MIB + 1, 5 * MIB).part_size(), 6 * MIB);
        assert_eq!(PartPlan::new(largest, 5 * MIB).part_size(), 5 << 30);
    }

    fn piece(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    #[tokio::test]
    async fn a_second_attempt_sends_everything_again() {
        let part = Part::new(1, 6);
        part.push(piece("abc"));
        let mut first = part.body();
        assert_eq!(first.frame().await.unwrap().unwrap().into_data().unwrap(), "abc");
        let second = part.body();
        assert!(matches!(first.frame().await, Some(Err(BodyEnd::Superseded))));
        part.push(piece("def"));
        assert_eq!(second.collect().await.unwrap().to_bytes(), "abcdef");
    }

    #[tokio::test]
    async fn the_gate_withholds_the_last_byte() {
        let part = Part::gated(1, 3);
        let mut body = part.body();
        part.push(piece("abc"));
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "ab");
        assert!(futures_util::poll!(body.frame()).is_pending());
        assert_eq!(part.sendable(), 2);
        assert!(!part.was_given_whole());
        part.open_gate();
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "c");
        assert!(body.is_end_stream() && part.was_given_whole());
        assert!(body.frame().await.is_none() && body.frame().await.is_none());
    }

    #[tokio::test]
    async fn a_part_without_its_copy_cannot_be_sent_again() {
        let part = Part::new(1, 9);
        part.push(piece("abc"));
        part.push(piece("def"));
        let mut body = part.body();
        body.frame().await;
        part.give_up_replay();
        assert!(!part.can_replay());
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "def");
        part.push(piece("ghi"));
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "ghi");
        assert!(part.lock().pieces.is_empty());
        assert!(matches!(part.body().frame().await, Some(Err(BodyEnd::NoReplay))));
    }

    #[tokio::test]
    async fn a_failed_part_ends_its_body_at_once() {
        let part = Part::new(1, 9);
        let mut body = part.body();
        let frame = body.frame();
        tokio::pin!(frame);
        assert!(futures_util::poll!(&mut frame).is_pending());
        part.fail(Failure::ClientGone);
        assert!(matches!(frame.await, Some(Err(BodyEnd::Failed(Failure::ClientGone)))));
    }
}
