//! Bytes of any chunking become parts; a part is a body that can be sent while it still arrives, and sent again.

mod run;

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::budget::{Extent, Slab};
use crate::error::Failure;
pub use run::Run;

/// S3's smallest size of a part that is not the last, in bytes, and where multipart uploads begin.
pub const MIN_PART_SIZE: u64 = 5 * 1024 * 1024;
/// S3's largest size of a part, in bytes.
pub const MAX_PART_SIZE: u64 = 5 * 1024 * 1024 * 1024;
/// S3's largest number of parts.
pub const MAX_PARTS: u64 = 10_000;
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
    run: Run,
    /// The last byte is withheld while this is closed.
    gate_open: bool,
    keeps_replay: bool,
    /// The form waits for memory that this part could free by sending.
    room_wanted: bool,
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
    /// A part of exactly `len` bytes, the first of which are `run`; its last byte may go at once.
    #[must_use]
    pub fn new(number: u32, len: u64, run: Run) -> Self {
        Self::with_gate(number, len, run, true)
    }

    /// A part whose last byte waits for [`Part::open_gate`]: until then no store can take it for whole.
    #[must_use]
    pub fn gated(number: u32, len: u64, run: Run) -> Self {
        Self::with_gate(number, len, run, false)
    }

    fn with_gate(number: u32, len: u64, mut run: Run, gate_open: bool) -> Self {
        if run.len == len {
            run.seal();
        }
        let state = State {
            run,
            gate_open,
            keeps_replay: true,
            room_wanted: false,
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

    /// CRC64NVME of the bytes that have come.
    #[must_use]
    pub fn checksum(&self) -> u64 {
        self.lock().run.checksum.finalize()
    }

    /// Whether all its bytes have come.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.lock().run.len == self.shared.len
    }

    /// Whether the next byte needs a new slab.
    #[must_use]
    pub fn is_out_of_room(&self) -> bool {
        self.lock().run.is_out_of_room()
    }

    pub fn add_slab(&self, slab: Slab) {
        let mut state = self.lock();
        // A part that has ended holds nothing any more.
        if state.failed.is_none() {
            state.run.add_slab(slab);
        }
    }

    /// Copies the next bytes, up to the end of the slab or of the part; returns how many that were.
    ///
    /// # Errors
    /// The failure that ended the part.
    pub fn append(&self, bytes: &[u8]) -> Result<usize, Failure> {
        let mut state = self.lock();
        if let Some(failure) = state.failed {
            return Err(failure);
        }
        let missing = usize::try_from(self.shared.len - state.run.len).unwrap_or(usize::MAX);
        let count = state.run.append(&bytes[..bytes.len().min(missing)]);
        if state.run.len == self.shared.len {
            state.run.seal();
        }
        self.wake(state);
        Ok(count)
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
        state.run.clear();
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
        self.lock().run.clear();
    }

    /// Frees what the running attempt has sent, now and from here on: the part cannot be sent again.
    ///
    /// Returns how many slabs were freed; a part of which none can be keeps its copy, unless it is told to give up
    /// all.
    pub fn give_up_replay(&self, extent: Extent) -> usize {
        let mut state = self.lock();
        let yielded = if state.attempt > 0 { state.yielded } else { 0 };
        let freed = state.run.drop_before(yielded);
        if freed > 0 || extent == Extent::All {
            state.keeps_replay = false;
        }
        if extent == Extent::All {
            state.room_wanted = true;
            // Between two attempts nothing can be freed; the next one must not wait for bytes that need its room.
            self.shared.grown.notify_waiters();
        }
        freed
    }

    /// The failure that ended the part, if one did.
    #[must_use]
    pub fn failure(&self) -> Option<Failure> {
        self.lock().failed
    }

    /// Whether another attempt would have all bytes.
    #[must_use]
    pub fn can_replay(&self) -> bool {
        self.lock().run.dropped == 0
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

    /// Waits until more than `bytes` may be sent, or what is there has to go to make room, or the part failed.
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
                let sendable = state.sendable(self.shared.len);
                if state.failed.is_some() || sendable > bytes || (state.room_wanted && sendable > 0) {
                    return;
                }
            }
            grown.await;
        }
    }

    /// The body of a new attempt, from the first byte; bodies of earlier attempts end. `None` when its first bytes
    /// were given up.
    #[must_use]
    pub fn body(&self) -> Option<PartBody> {
        let mut state = self.lock();
        if state.run.dropped > 0 {
            return None;
        }
        state.attempt += 1;
        state.yielded = 0;
        state.room_wanted = false;
        let attempt = state.attempt;
        self.wake(state);
        Some(PartBody { part: self.clone(), attempt, position: 0 })
    }

    /// The running attempt has failed: what it has sent will be needed again.
    pub fn rewind(&self) {
        self.lock().yielded = 0;
    }

    /// The store has refused what it was given: it cannot have the part.
    pub fn take_back(&self) {
        self.lock().given_whole = false;
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
        if self.gate_open { self.run.len } else { self.run.len.min(len.saturating_sub(1)) }
    }
}

/// The bytes of one attempt at a part: as they arrive, exactly [`Part::len`] of them, or an error.
pub struct PartBody {
    part: Part,
    attempt: u32,
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
        let Some(frame) = state.run.frame(this.position, allowed) else {
            return Poll::Ready(Some(Err(BodyEnd::NoReplay)));
        };
        this.position += frame.len() as u64;
        state.yielded = this.position;
        state.given_whole |= this.position == this.part.len();
        if !state.keeps_replay {
            state.run.drop_before(this.position);
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
    use crate::budget::{Budget, SLAB};
    use crc_fast::CrcAlgorithm;
    use http_body_util::BodyExt;

    const MIB: u64 = 1024 * 1024;

    #[test]
    fn plans_equal_parts_and_never_more_than_ten_thousand() {
        let largest = MAX_PARTS * MAX_PART_SIZE;
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

    /// Appends `bytes` as the form does, with slabs of a budget of its own.
    async fn append(part: &Part, mut bytes: &[u8]) {
        let allowance = Budget::new(1 << 20).admit().await.unwrap();
        while !bytes.is_empty() {
            if part.is_out_of_room() {
                part.add_slab(allowance.slab().await);
            }
            bytes = &bytes[part.append(bytes).unwrap()..];
        }
    }

    fn part(len: u64) -> Part {
        Part::new(1, len, Run::default())
    }

    async fn next(body: &mut PartBody) -> Bytes {
        body.frame().await.unwrap().unwrap().into_data().unwrap()
    }

    #[tokio::test]
    async fn a_second_attempt_sends_everything_again() {
        let part = part(6);
        append(&part, b"abc").await;
        let mut first = part.body().unwrap();
        assert_eq!(next(&mut first).await, "abc");
        part.rewind();
        assert_eq!(part.give_up_replay(Extent::Sent), 0, "what failed is needed again");
        let second = part.body().unwrap();
        assert!(matches!(first.frame().await, Some(Err(BodyEnd::Superseded))));
        append(&part, b"def").await;
        assert!(part.is_whole());
        assert_eq!(second.collect().await.unwrap().to_bytes(), "abcdef");
    }

    #[tokio::test]
    async fn any_chunking_gives_the_same_bytes() {
        let content: Vec<u8> = (0..3 * SLAB + 5).map(|n| (n % 251) as u8).collect();
        for step in [1000, SLAB - 1, SLAB, SLAB + 1, content.len()] {
            let part = part(content.len() as u64);
            let mut body = part.body().unwrap();
            let mut seen = Vec::new();
            for chunk in content.chunks(step) {
                append(&part, chunk).await;
                let frame = next(&mut body).await;
                assert!(frame.len() <= SLAB);
                seen.extend_from_slice(&frame);
            }
            seen.extend_from_slice(&body.collect().await.unwrap().to_bytes());
            assert!(seen == content, "in steps of {step}");
            assert!(part.body().unwrap().collect().await.unwrap().to_bytes() == content, "replayed, {step}");
            assert_eq!(part.checksum(), crc_fast::checksum(CrcAlgorithm::Crc64Nvme, &content));
        }
    }

    #[tokio::test]
    async fn the_gate_withholds_the_last_byte() {
        let part = Part::gated(1, 3, Run::default());
        let mut body = part.body().unwrap();
        append(&part, b"abc").await;
        assert_eq!(next(&mut body).await, "ab");
        assert!(futures_util::poll!(body.frame()).is_pending());
        assert_eq!(part.sendable(), 2);
        assert!(!part.was_given_whole());
        part.open_gate();
        assert_eq!(next(&mut body).await, "c");
        assert!(body.is_end_stream() && part.was_given_whole());
        assert!(body.frame().await.is_none() && body.frame().await.is_none());
    }

    #[tokio::test]
    async fn a_part_without_its_copy_cannot_be_sent_again() {
        let part = part(3 * SLAB as u64);
        append(&part, &[1; 2 * SLAB]).await;
        let mut body = part.body().unwrap();
        next(&mut body).await;
        assert_eq!(part.give_up_replay(Extent::Sent), 1);
        assert!(part.body().is_none());
        assert_eq!(next(&mut body).await, [1; SLAB].as_slice());
        append(&part, &[2; SLAB]).await;
        assert_eq!(next(&mut body).await, [2; SLAB].as_slice());
        assert_eq!(part.lock().run.dropped, 3, "all that was sent");
    }

    #[tokio::test]
    async fn a_part_that_has_sent_nothing_keeps_its_copy_unless_all_are_given_up() {
        let part = part(2 * SLAB as u64);
        append(&part, &[1; SLAB]).await;
        assert_eq!(part.give_up_replay(Extent::Sent), 0);
        next(&mut part.body().unwrap()).await;
        let mut body = part.body().unwrap();
        assert_eq!(part.give_up_replay(Extent::All), 0);
        next(&mut body).await;
        assert!(part.body().is_none(), "it went as it was sent");
    }

    /// Its connection was cut while the client paused, and now the client's next bytes need the part's memory.
    #[tokio::test]
    async fn a_part_between_two_attempts_goes_on_when_its_room_is_wanted() {
        let part = part(3 * SLAB as u64);
        append(&part, &[1; 2 * SLAB]).await;
        let mut body = part.body().unwrap();
        next(&mut body).await;
        next(&mut body).await;
        part.rewind();
        let more = part.more_than(2 * SLAB as u64);
        tokio::pin!(more);
        assert!(futures_util::poll!(&mut more).is_pending());
        assert_eq!(part.give_up_replay(Extent::All), 0, "it is needed again");
        more.await;
        let mut body = part.body().unwrap();
        next(&mut body).await;
        assert_eq!(part.lock().run.dropped, 1, "it comes free as it is sent");
        let again = part.more_than(2 * SLAB as u64);
        tokio::pin!(again);
        assert!(futures_util::poll!(&mut again).is_pending(), "once, not for ever");
    }

    #[tokio::test]
    async fn a_failed_part_ends_its_body_at_once_and_takes_no_more() {
        let part = part(9);
        let mut body = part.body().unwrap();
        let frame = body.frame();
        tokio::pin!(frame);
        assert!(futures_util::poll!(&mut frame).is_pending());
        part.fail(Failure::ClientGone);
        assert!(matches!(frame.await, Some(Err(BodyEnd::Failed(Failure::ClientGone)))));
        assert_eq!(part.append(b"abc"), Err(Failure::ClientGone));
    }
}
