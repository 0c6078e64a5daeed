//! The life of one upload request: admitted, read file by file, settled exactly once, answered.
//!
//! It runs with its connection while there is one, and goes on without it ([`Adopted`]): a client that leaves
//! ends its body, and nothing else.

mod adopted;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use app::wire::{FileOutcome, FileType, Outcome, Problem, UploadAnswer};
use futures_util::FutureExt;
use futures_util::future::join_all;
use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, Span};

use crate::budget::{Allowance, Budget};
use crate::config::{Clocks, Limits};
use crate::delivery::Delivery;
use crate::error::Failure;
use crate::form::{BodyStream, FileHead, Form};
use crate::live::Live;
use crate::parts::PartPlan;
use crate::peer::Patience;
use crate::progress::{FileProgress, Hub, UploadProgress};
use crate::quota::Place;
use crate::s3::{Bucket, NotStored};
use crate::snapshot::Figures;
use crate::transfer::{FirstFailure, Intake, UploadContext};
use adopted::Adopted;
pub use ingress::announced::Announced;

/// How long an answer waits for the store's clean-up; that goes on after it.
const CLEAN_UP_WAIT: Duration = Duration::from_millis(1500);

/// Takes uploads. Cheap to clone.
#[derive(Clone)]
pub struct Uploads {
    bucket: Bucket,
    hub: Hub,
    budget: Budget,
    limits: Limits,
    clocks: Clocks,
    running: Arc<AtomicUsize>,
    parts: Live,
    tracker: TaskTracker,
}

/// The answer to an upload.
pub type Answer = Result<UploadAnswer, Box<Problem>>;

impl Uploads {
    #[must_use]
    pub fn new(bucket: Bucket, hub: Hub, limits: &Limits, clocks: &Clocks, tracker: TaskTracker) -> Self {
        Self {
            bucket,
            hub,
            budget: Budget::new(limits.buffer_memory.as_u64()),
            limits: limits.clone(),
            clocks: clocks.clone(),
            running: Arc::default(),
            parts: Live::default(),
            tracker,
        }
    }

    /// Uploads that run now.
    #[must_use]
    pub fn running(&self) -> usize {
        self.running.load(Ordering::Relaxed)
    }

    /// Whether new ones are refused: the server stops.
    #[must_use]
    pub fn are_closed(&self) -> bool {
        self.tracker.is_closed()
    }

    /// Parts on their way to the store.
    #[must_use]
    pub fn parts(&self) -> &Live {
        &self.parts
    }

    /// The memory that they share.
    #[must_use]
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// The bytes that a request may bring at most.
    #[must_use]
    pub fn most_bytes(&self, announced: &Announced) -> u64 {
        announced.most_bytes(|file_type| self.limits.largest(file_type))
    }

    /// Takes one request, in its visitor's place; it goes on whether the answer is awaited or not.
    ///
    /// # Errors
    /// The problem, where not every file is stored.
    pub async fn take(&self, announced: Announced, place: Place, stream: BodyStream) -> Answer {
        let (mut upload, mut answered) = self.begin(announced, place, stream);
        let lost = |_| Err(Box::new(Failure::Internal.problem(None, None, Vec::new())));
        tokio::select! {
            biased;
            answer = &mut answered => return answer.unwrap_or_else(lost),
            () = &mut upload => {}
        }
        answered.await.unwrap_or_else(lost)
    }

    fn begin(
        &self,
        announced: Announced,
        place: Place,
        stream: BodyStream,
    ) -> (Adopted, oneshot::Receiver<Answer>) {
        let uploads = self.clone();
        let (answer, answered) = oneshot::channel();
        let upload = async move {
            let settled = match uploads.admit().await {
                Ok(admission) => uploads.run(&admission, announced, stream).await,
                Err(failure) => Err(Box::new(failure.problem(None, None, Vec::new()))),
            };
            drop(place);
            // Nobody may be there to read it.
            let _ = answer.send(settled);
        };
        let span = tracing::info_span!("upload", upload.id = tracing::field::Empty);
        (Adopted::new(upload.instrument(span), &self.tracker), answered)
    }

    async fn admit(&self) -> Result<Admission, Failure> {
        if self.are_closed() {
            return Err(Failure::ServerShutdown);
        }
        if self.running.fetch_add(1, Ordering::Relaxed) >= self.limits.max_uploads {
            self.running.fetch_sub(1, Ordering::Relaxed);
            return Err(Failure::Busy);
        }
        let running = Running(Arc::clone(&self.running));
        let admitted = tokio::time::timeout(self.clocks.permit_wait, self.budget.admit()).await;
        let allowance = admitted.ok().flatten().ok_or(Failure::Busy)?;
        // It may have been a long wait.
        if self.are_closed() {
            return Err(Failure::ServerShutdown);
        }
        Ok(Admission { allowance, _running: running })
    }

    /// Runs one upload to its end.
    async fn run(&self, admission: &Admission, announced: Announced, body: BodyStream) -> Answer {
        let patience =
            Patience { silence: self.clocks.body_silence, rate_window: self.clocks.body_rate_window };
        let form = Form::open(announced.content_type.as_deref(), body, patience);
        let waits = form.as_ref().map(Form::waits_for_client).unwrap_or_default();
        let (client, client_id_failure) = match &announced.client {
            Ok(client) => (client.as_ref(), None),
            Err(failure) => (None, Some((None, *failure))),
        };
        let progress = self.hub.begin(client, waits);
        Span::current().record("upload.id", progress.id().short());
        let mut upload = Upload { files: Vec::new(), progress };
        for (file_type, size) in FileType::ALL.into_iter().zip(announced.sizes) {
            if let Ok(Some(size)) = size {
                upload.declare(file_type, size, self.limits.part_size.as_u64());
            }
        }
        let refused = client_id_failure
            .map_or(Ok(()), Err)
            .and_then(|()| announced.check(|file_type| self.limits.largest(file_type)));
        let ended = match refused.and_then(|()| form.map_err(|failure| (None, failure))) {
            Ok(mut form) => {
                let context = self.context(admission);
                let reading = upload.read(self, &context, &mut form);
                // A panic ends the reading like a failure: what has arrived is settled, and the client reads why.
                let ended = AssertUnwindSafe(reading).catch_unwind().await;
                ended.unwrap_or(Err((None, Failure::Internal)))
            }
            Err(refusal) => Err(refusal),
        };
        let settled = upload.settle(ended).await;
        upload.tell(settled.as_ref().map_or_else(|problem| problem.code.as_str(), |_| "stored"));
        settled
    }

    fn context(&self, admission: &Admission) -> UploadContext {
        UploadContext {
            bucket: self.bucket.clone(),
            allowance: admission.allowance.clone(),
            part_size: self.limits.part_size.as_u64(),
            allow_svg: self.limits.allow_svg,
            max_image_pixels: self.limits.max_image_pixels,
            permit_wait: self.clocks.permit_wait,
            tracker: self.tracker.clone(),
            live_parts: self.parts.clone(),
            first: FirstFailure::default(),
        }
    }
}

/// An upload's place among those that run.
struct Admission {
    allowance: Allowance,
    _running: Running,
}

struct Running(Arc<AtomicUsize>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One file of an upload, from its declaration to its end.
struct UploadFile {
    file_type: FileType,
    declared: Option<u64>,
    progress: FileProgress,
    /// Place in the form; files that were only declared come last.
    place: Option<usize>,
    fate: Fate,
}

enum Fate {
    /// Its part of the form has not come, or not to its end.
    Missing,
    /// It ended early; what it began in the store is being cleaned up.
    Ended(Failure, Outcome, Option<Delivery>),
    /// It arrived: only the store decides.
    Arrived(Delivery),
}

/// A running upload: its files, and where they are published.
struct Upload {
    files: Vec<UploadFile>,
    progress: UploadProgress,
}

/// Why the reading of a form ended early: the file to blame, if it is one, and the failure.
type Ended = (Option<FileType>, Failure);

impl Upload {
    fn declare(&mut self, file_type: FileType, size: u64, part_size: u64) {
        let progress = self.progress.file(file_type, Some(PartPlan::new(size, part_size)));
        self.files.push(UploadFile::new(file_type, Some(size), progress));
    }

    /// The one line of the log for an upload.
    fn tell(&self, code: &str) {
        let [document, image] = FileType::ALL.map(|file_type| self.progress.figures(file_type));
        let outcome = |file: Option<Figures>| file.and_then(|file| file.outcome).map(|outcome| outcome.word);
        let ms = |time: Option<Duration>| time.map(|time| time.as_millis() as u64);
        tracing::info!(
            upload.id = self.progress.id().short(),
            upload.code = code,
            document.outcome = outcome(document),
            document.received.bytes = document.map(|file| file.received),
            document.stored.parts = document.map(|file| file.parts_stored),
            document.retries = document.map(|file| file.retries),
            document.received.ms = ms(document.and_then(|file| file.received_in)),
            document.stored.ms = ms(document.and_then(|file| file.stored_in)),
            image.outcome = outcome(image),
            image.received.bytes = image.map(|file| file.received),
            image.stored.parts = image.map(|file| file.parts_stored),
            image.retries = image.map(|file| file.retries),
            image.received.ms = ms(image.and_then(|file| file.received_in)),
            image.stored.ms = ms(image.and_then(|file| file.stored_in)),
            "upload ended"
        );
    }

    /// Reads the form file by file, until its end or the first failure.
    async fn read(
        &mut self,
        uploads: &Uploads,
        context: &UploadContext,
        form: &mut Form,
    ) -> Result<(), Ended> {
        let mut place = 0;
        loop {
            let next = tokio::select! {
                biased;
                (file_type, failure) = context.first.wait() => return Err((Some(file_type), failure)),
                failure = self.progress.ended() => return Err((None, failure)),
                next = form.next_file() => next.map_err(|failure| (None, failure))?,
            };
            let Some(head) = next else { break };
            let file_type = head.file_type;
            let limit = uploads.limits.largest(file_type);
            let index = self.begin(file_type, place);
            place += 1;
            self.receive(index, context, form, head, limit).await?;
        }
        match self.files.iter().find(|file| matches!(file.fate, Fate::Missing)) {
            Some(missing) => Err((Some(missing.file_type), Failure::FileMissing)),
            None if self.files.is_empty() => Err((None, Failure::NoFile)),
            None => Ok(()),
        }
    }

    /// The file's part of the form has begun; returns its index.
    fn begin(&mut self, file_type: FileType, place: usize) -> usize {
        let known = self.files.iter().position(|file| file.file_type == file_type);
        let index = known.unwrap_or_else(|| {
            let progress = self.progress.file(file_type, None);
            self.files.push(UploadFile::new(file_type, None, progress));
            self.files.len() - 1
        });
        self.files[index].place = Some(place);
        self.files[index].progress.publish(|state| state.begin());
        index
    }

    /// Reads one file to its end; on failure the file's fate is set.
    async fn receive(
        &mut self,
        index: usize,
        context: &UploadContext,
        form: &mut Form,
        head: FileHead,
        limit: u64,
    ) -> Result<(), Ended> {
        let file = &mut self.files[index];
        let file_type = file.file_type;
        let mut intake = Intake::new(context.clone(), file.progress.clone(), head, file.declared, limit);
        let received = tokio::select! {
            biased;
            (first, failure) = context.first.wait() => Err((Some(first), failure)),
            failure = self.progress.ended() => Err((None, failure)),
            received = take_in(&mut intake, form) => received.map_err(|failure| (Some(file_type), failure)),
        };
        let Err(ended) = received else {
            file.fate = Fate::Arrived(intake.arrive().map_err(|failure| (Some(file_type), failure))?);
            return Ok(());
        };
        // A delivery that fails also fails whoever feeds it; its own word is the cause.
        let (blamed, failure) = context.first.get().map_or(ended, |(first, failure)| (Some(first), failure));
        let other_failed = blamed.is_some_and(|blamed| blamed != file_type);
        let outcome = if other_failed { Outcome::NotReceived } else { Outcome::Failed };
        file.fate = Fate::Ended(failure, outcome, intake.fail(failure));
        Err((blamed, failure))
    }

    /// Waits for every file's end, publishes it, and puts the answer together.
    async fn settle(&mut self, ended: Result<(), Ended>) -> Answer {
        let first = ended.err();
        self.files.sort_by_key(|file| file.place.unwrap_or(usize::MAX));
        // All at once: one file's end does not wait for another's.
        let ends = join_all(self.files.drain(..).map(|file| file.settle(first))).await;
        let (outcomes, failures): (Vec<_>, Vec<_>) = ends.into_iter().unzip();
        let failed = failures.into_iter().flatten().next();
        let upload_id = self.progress.id().to_string();
        match failed.or(first) {
            None => Ok(UploadAnswer { upload_id, files: outcomes }),
            Some((file_type, failure)) => {
                Err(Box::new(failure.problem(file_type, Some(upload_id), outcomes)))
            }
        }
    }
}

/// Reads a file's bytes into its intake, until its delimiter is complete.
async fn take_in(intake: &mut Intake, form: &mut Form) -> Result<(), Failure> {
    while let Some(chunk) = form.chunk().await? {
        intake.push(chunk).await?;
    }
    intake.finish().await
}

impl UploadFile {
    /// One whose part of the form has not come yet.
    fn new(file_type: FileType, declared: Option<u64>, progress: FileProgress) -> Self {
        Self { file_type, declared, progress, place: None, fate: Fate::Missing }
    }

    /// The file's end, published, and as an entry of the answer; `first` is what ended the form.
    async fn settle(self, first: Option<Ended>) -> (FileOutcome, Option<Ended>) {
        let file_type = self.file_type;
        let (failure, outcome) = match self.fate {
            Fate::Arrived(delivery) => match delivery.await {
                Ok(Ok(delivered)) => return (delivered.outcome(file_type), None),
                Ok(Err(NotStored::Unknown)) => (NotStored::Unknown.failure(), Outcome::Unknown),
                Ok(Err(NotStored::Failed(failure))) => (failure, Outcome::Failed),
                Err(_) => (Failure::Internal, Outcome::Failed),
            },
            Fate::Ended(failure, outcome, delivery) => {
                if let Some(delivery) = delivery {
                    // Late clean-up goes on by itself; its own failures are logged there.
                    let _ = tokio::time::timeout(CLEAN_UP_WAIT, delivery).await;
                }
                (failure, outcome)
            }
            Fate::Missing => {
                let (blamed, failure) = first.unwrap_or((None, Failure::FileMissing));
                let other_failed = blamed.is_some_and(|blamed| blamed != file_type);
                (failure, if other_failed { Outcome::NotReceived } else { Outcome::Failed })
            }
        };
        self.progress.publish(|state| match outcome {
            Outcome::NotReceived => state.miss(failure),
            _ => state.fail(failure),
        });
        let code = Some(failure.code().to_owned());
        let entry = FileOutcome { code, ..FileOutcome::new(file_type, outcome) };
        (entry, Some((Some(file_type), failure)))
    }
}
