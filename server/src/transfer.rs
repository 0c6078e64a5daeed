//! The form's side of one file: its bytes are looked at, counted, paid for, and cut into parts as they arrive.
//!
//! What connects it with its [`delivery`](crate::delivery), a task of its own: a bounded channel of parts, the
//! parts' bytes, and the word that the file has arrived.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use app::wire::FileType;
use bytes::Bytes;
use futures_util::FutureExt;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use crate::budget::{Allowance, Reserve, Slab};
use crate::delivery::{Carrier, Delivery, Departed, Unacknowledged};
use crate::error::Failure;
use crate::flight::Flight;
use crate::form::FileHead;
use crate::kind::{self, Inspector, MediaType, Mismatch, ObjectKey};
use crate::live::Live;
use crate::parts::{MAX_PARTS, MIN_PART_SIZE, Part, PartPlan, Run};
use crate::progress::FileProgress;
use crate::s3::{Bucket, Content, NotStored, Object};

/// What every file of an upload shares.
#[derive(Clone)]
pub struct UploadContext {
    pub bucket: Bucket,
    pub allowance: Allowance,
    /// Configured part size, in bytes.
    pub part_size: u64,
    pub allow_svg: bool,
    pub max_image_pixels: u64,
    /// Longest wait for a whole part's memory.
    pub permit_wait: Duration,
    /// Deliveries outlive the request; the server waits for them when it stops.
    pub tracker: TaskTracker,
    pub live_parts: Live,
    pub first: FirstFailure,
}

/// The first delivery of an upload that failed: it stops the reading of the form.
#[derive(Clone, Default)]
pub struct FirstFailure {
    file: Arc<OnceLock<(FileType, Failure)>>,
    set: CancellationToken,
}

impl FirstFailure {
    fn set(&self, file_type: FileType, failure: Failure) {
        self.file.get_or_init(|| (file_type, failure));
        self.set.cancel();
    }

    /// Waits for it.
    ///
    /// # Cancellation
    /// Safe.
    pub async fn wait(&self) -> (FileType, Failure) {
        self.set.cancelled().await;
        self.get().unwrap_or((FileType::DocsFile, Failure::Internal))
    }

    #[must_use]
    pub fn get(&self) -> Option<(FileType, Failure)> {
        self.file.get().copied()
    }
}

/// Takes one file's bytes in, in order.
///
/// # Cancellation
/// Dropped before [`Intake::arrive`], it fails the file: what was opened in the store is aborted.
pub struct Intake {
    context: UploadContext,
    progress: FileProgress,
    head: FileHead,
    declared: Option<u64>,
    limit: u64,
    inspector: Inspector,
    received: u64,
    /// Bytes whose type is not known yet, or that wait for their part to be whole.
    held: Run,
    /// The memory of a part that is sent whole.
    reserve: Option<Reserve>,
    media: Option<MediaType>,
    road: Option<Road>,
    parts: Unacknowledged,
}

/// The way to the delivering task.
struct Road {
    plan: Option<PartPlan>,
    parts: mpsc::Sender<Departed>,
    /// The part that was begun last.
    filling: Option<Part>,
    /// What all parts before it are together.
    content: Content,
    flight: Flight,
    next_number: u32,
    arrived: oneshot::Sender<Content>,
    delivery: Delivery,
}

impl Road {
    /// The part that was begun last is whole: it counts to the content.
    fn whole(&mut self) {
        if let Some(part) = self.filling.take() {
            self.content.append(part.len(), part.checksum());
        }
    }
}

impl Intake {
    /// Begins a file of `declared` bytes, `limit` at most.
    #[must_use]
    pub fn new(
        context: UploadContext,
        progress: FileProgress,
        head: FileHead,
        declared: Option<u64>,
        limit: u64,
    ) -> Self {
        let most = declared.map_or(MAX_PARTS * context.part_size, |_| u64::MAX);
        let parts = Unacknowledged::default();
        parts.give_up_through(&context.allowance);
        Self {
            inspector: Inspector::new(
                head.file_type,
                head.name.as_deref(),
                context.allow_svg,
                context.max_image_pixels,
            ),
            limit: limit.min(most),
            context,
            progress,
            head,
            declared,
            received: 0,
            held: Run::default(),
            reserve: None,
            media: None,
            road: None,
            parts,
        }
    }

    /// Takes the file's next bytes; waits while memory or the store's pace demand it.
    ///
    /// # Errors
    /// The file's size or type is wrong, there is no memory, or the delivery has failed.
    pub async fn push(&mut self, chunk: Bytes) -> Result<(), Failure> {
        self.received += chunk.len() as u64;
        if self.declared.is_some_and(|declared| self.received > declared) {
            return Err(Failure::SizeExceeded);
        }
        if self.received > self.limit {
            return Err(Failure::TooLarge);
        }
        self.progress.publish(|file| file.receive(chunk.len() as u64));
        if let Some(media) = self.inspector.push(&chunk).map_err(refusal)?
            && self.media.is_none()
        {
            self.media = Some(media);
            self.start_known().await?;
        }
        let mut rest = chunk.as_ref();
        while !rest.is_empty() {
            let taken = match &self.road {
                Some(Road { plan: Some(_), .. }) => self.fill(rest).await?,
                _ => self.hold(rest).await?,
            };
            rest = &rest[taken..];
        }
        Ok(())
    }

    /// The file's delimiter has begun: checks what only the whole file shows, and sends what was held.
    ///
    /// # Errors
    /// The file's size or type is wrong.
    pub async fn finish(&mut self) -> Result<(), Failure> {
        if self.received == 0 {
            return Err(Failure::EmptyFile);
        }
        if self.declared.is_some_and(|declared| self.received < declared) {
            return Err(Failure::SizeMismatch);
        }
        let media = self.inspector.finish().map_err(refusal)?;
        if self.media.is_none() {
            self.media = Some(media);
            self.start_known().await?;
        }
        if self.declared.is_none() {
            self.send_last().await?;
        }
        Ok(())
    }

    /// The file has arrived: lets the store make it visible.
    ///
    /// # Errors
    /// The delivery has failed before.
    pub fn arrive(mut self) -> Result<Delivery, Failure> {
        let mut road = self.road.take().ok_or(Failure::Internal)?;
        road.whole();
        let content = road.content;
        let plan = PartPlan::new(self.received, self.context.part_size);
        self.progress.publish(|file| file.arrive(plan));
        // A delivery that is gone tells why when it is awaited.
        let _ = road.arrived.send(content);
        Ok(road.delivery)
    }

    /// Ends the file; returns its delivery, if one had begun, which cleans up.
    pub fn fail(mut self, failure: Failure) -> Option<Delivery> {
        self.parts.each(|part| part.fail(failure));
        self.road.take().map(|road| road.delivery)
    }

    /// A file of known size goes on its way as soon as its type is known.
    async fn start_known(&mut self) -> Result<(), Failure> {
        let Some(total) = self.declared else { return Ok(()) };
        let plan = PartPlan::new(total, self.context.part_size);
        self.open_road(Some(plan))?;
        if self.held.is_empty() {
            return Ok(());
        }
        let held = std::mem::take(&mut self.held);
        self.begin_part(plan, held).await.map(drop)
    }

    /// Copies the first of `bytes` into the part that they belong to; returns how many.
    async fn fill(&mut self, bytes: &[u8]) -> Result<usize, Failure> {
        let road = self.road.as_mut().ok_or(Failure::Internal)?;
        let plan = road.plan.ok_or(Failure::Internal)?;
        let part = match &road.filling {
            Some(part) if !part.is_whole() => part.clone(),
            _ => self.begin_part(plan, Run::default()).await?,
        };
        if part.is_out_of_room() {
            part.add_slab(self.context.allowance.slab().await);
        }
        part.append(bytes)
    }

    /// The next part of a file of known size sets out, with the bytes that were held so far.
    async fn begin_part(&mut self, plan: PartPlan, held: Run) -> Result<Part, Failure> {
        let road = self.road.as_mut().ok_or(Failure::Internal)?;
        let (number, len) = (road.next_number, plan.part_len(road.next_number));
        let part = if plan.is_put() { Part::gated(number, len, held) } else { Part::new(number, len, held) };
        self.send(part.clone()).await?;
        Ok(part)
    }

    /// Holds the first of `bytes`; returns how many.
    async fn hold(&mut self, bytes: &[u8]) -> Result<usize, Failure> {
        if self.held.is_out_of_room() {
            let slab = self.slab_to_hold().await?;
            self.held.add_slab(slab);
        }
        let room = usize::try_from(self.context.part_size - self.held.len()).unwrap_or(usize::MAX);
        let taken = self.held.append(&bytes[..bytes.len().min(room)]);
        if self.declared.is_none() && self.held.len() == self.context.part_size {
            self.send_held(false).await?;
        }
        Ok(taken)
    }

    /// Where parts are sent whole, waits for the memory of one before its first byte.
    async fn slab_to_hold(&mut self) -> Result<Slab, Failure> {
        if self.declared.is_some() {
            return Ok(self.context.allowance.slab().await);
        }
        let reserve = match &mut self.reserve {
            Some(reserve) => reserve,
            None => {
                let wait = self.context.allowance.reserve(self.context.part_size);
                let waited = tokio::time::timeout(self.context.permit_wait, wait).await;
                self.reserve.insert(waited.map_err(|_| Failure::Busy)?)
            }
        };
        reserve.slab().ok_or(Failure::Internal)
    }

    /// Sends the last part of a file of unknown size, or the whole file when it is small.
    async fn send_last(&mut self) -> Result<(), Failure> {
        if self.held.is_empty() {
            return Ok(());
        }
        let is_put = self.road.is_none() && self.received < MIN_PART_SIZE;
        self.send_held(is_put).await
    }

    async fn send_held(&mut self, is_put: bool) -> Result<(), Failure> {
        if self.road.is_none() {
            self.open_road(is_put.then(|| PartPlan::new(self.received, self.context.part_size)))?;
        }
        let road = self.road.as_ref().ok_or(Failure::Internal)?;
        let held = std::mem::take(&mut self.held);
        self.reserve = None;
        let (number, len) = (road.next_number, held.len());
        self.send(if is_put { Part::gated(number, len, held) } else { Part::new(number, len, held) }).await
    }

    /// Hands a part to the delivering task, once one more may be on its way.
    async fn send(&mut self, part: Part) -> Result<(), Failure> {
        let road = self.road.as_mut().ok_or(Failure::Internal)?;
        let allowance = &self.context.allowance;
        let departure = road.flight.depart(|| allowance.affords(part.len())).await;
        allowance.begin_part();
        road.whole();
        road.filling = Some(part.clone());
        road.next_number += 1;
        self.parts.add(part.clone());
        let departed = Departed { part, departure, live: self.context.live_parts.count() };
        match road.parts.send(departed).await {
            Ok(()) => Ok(()),
            // The delivery has ended; its own word is the cause, and comes when it has cleaned up.
            Err(_) => Err(self.context.first.wait().await.1),
        }
    }

    fn open_road(&mut self, plan: Option<PartPlan>) -> Result<(), Failure> {
        let media = self.media.ok_or(Failure::TypeMismatch)?;
        let (parts, incoming) = mpsc::channel(1);
        let (arrived, arrival) = oneshot::channel();
        let flight = Flight::default();
        let carrier = Carrier {
            bucket: self.context.bucket.clone(),
            progress: self.progress.clone(),
            object: Object {
                key: ObjectKey::random(media).to_string(),
                content_type: media.mime(),
                content_disposition: kind::content_disposition(self.head.name.as_deref()),
            },
            media,
            parts: self.parts.clone(),
            flight: flight.clone(),
        };
        let is_put = plan.is_some_and(|plan| plan.is_put());
        let (first, file_type) = (self.context.first.clone(), self.head.file_type);
        let delivering = async move {
            let delivering = match is_put {
                true => carrier.put(incoming, arrival).boxed(),
                false => carrier.multipart(incoming, arrival).boxed(),
            };
            // A panic ends it like a failure: whoever feeds it must not wait for ever.
            let delivered = AssertUnwindSafe(delivering).catch_unwind().await;
            let delivered = delivered.unwrap_or(Err(NotStored::Failed(Failure::Internal)));
            if let Err(not_stored) = delivered {
                first.set(file_type, not_stored.failure());
            }
            delivered
        };
        let delivery = self.context.tracker.spawn(delivering.in_current_span());
        self.road = Some(Road {
            plan,
            parts,
            filling: None,
            content: Content::default(),
            flight,
            next_number: 1,
            arrived,
            delivery,
        });
        Ok(())
    }
}

impl Drop for Intake {
    fn drop(&mut self) {
        // After `arrive` the road is gone and the parts are the delivery's.
        if self.road.is_some() {
            self.parts.each(|part| part.fail(Failure::Internal));
        }
    }
}

fn refusal(mismatch: Mismatch) -> Failure {
    match mismatch {
        Mismatch::WrongField => Failure::WrongFieldType,
        Mismatch::TypeMismatch => Failure::TypeMismatch,
        Mismatch::Macros => Failure::Macros,
        Mismatch::TooManyPixels => Failure::TooManyPixels,
    }
}
