//! Brings one file's parts to the store, a few at once, and settles: stored whole, or nothing left.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use app::wire::{FileOutcome, FileType, Outcome};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::budget::Allowance;
use crate::error::Failure;
use crate::flight::{Departure, Flight};
use crate::kind::MediaType;
use crate::live::Counted;
use crate::parts::Part;
use crate::progress::FileProgress;
use crate::s3::{
    AcknowledgedPart, Bucket, Content, Multipart, NotStored, Object, PartEvent, PartWatch, Stored,
};

/// A part that was handed over to be sent.
pub struct Departed {
    pub part: Part,
    pub departure: Departure,
    /// One in the gauge of parts on their way, until it ends.
    pub live: Counted,
}

/// A file in the store.
#[derive(Clone, Debug)]
pub struct Delivered {
    key: String,
    media: MediaType,
    content: Content,
    stored: Stored,
}

impl Delivered {
    /// The file's entry in the answer.
    #[must_use]
    pub fn outcome(self, file_type: FileType) -> FileOutcome {
        FileOutcome {
            key: Some(self.key),
            size: Some(self.content.size),
            content_type: Some(self.media.mime().to_owned()),
            etag: self.stored.etag,
            checksum_crc64nvme: Some(self.content.checksum()),
            ..FileOutcome::new(file_type, Outcome::Stored)
        }
    }
}

/// The end of a delivery.
pub type Delivery = JoinHandle<Result<Delivered, NotStored>>;

/// Carries the parts of one file to the store, and settles.
///
/// # Cancellation
/// Its two ways run in tasks of their own: dropped half way, a multipart upload would be left to the sweeper.
pub struct Carrier {
    pub bucket: Bucket,
    pub progress: FileProgress,
    pub object: Object,
    pub media: MediaType,
    pub parts: Unacknowledged,
    pub flight: Flight,
}

impl Carrier {
    /// One PutObject: its last byte waits until the file has arrived and nobody has ended the upload.
    ///
    /// # Errors
    /// Nothing of the object is in the store then, or it is not known.
    pub async fn put(
        self,
        mut incoming: mpsc::Receiver<Departed>,
        arrival: oneshot::Receiver<Content>,
    ) -> Result<Delivered, NotStored> {
        let Departed { part, live: _live, .. } =
            incoming.recv().await.ok_or(NotStored::Failed(Failure::Internal))?;
        let watch = self.watch(&part);
        let opening = async {
            let opened =
                self.wait_for(arrival).await.and_then(|content| self.progress.commit().map(|()| content));
            match opened {
                Ok(_) => part.open_gate(),
                Err(failure) => part.fail(failure),
            }
            opened
        };
        let putting = self.bucket.put(&self.object, &part, &watch);
        tokio::pin!(putting, opening);
        // A put that fails before the gate opens ends here; after that only the store knows.
        let (opened, put) = tokio::select! {
            biased;
            opened = &mut opening => (opened, putting.await),
            put = &mut putting => {
                put.map_err(NotStored::Failed)?;
                return Err(NotStored::Failed(Failure::StorageRejected));
            }
        };
        let content = opened.map_err(NotStored::Failed)?;
        let key = &self.object.key;
        let stored = match put {
            Ok(()) => {
                self.acknowledge(&part);
                Box::pin(self.bucket.settle(key, &content, Failure::StorageRejected)).await?
            }
            Err(failure) if !part.was_given_whole() => return Err(NotStored::Failed(failure)),
            Err(failure) => {
                let stored = Box::pin(self.bucket.settle_in_doubt(key, &content, failure)).await?;
                // Its answers were lost; that the object is there says as much.
                self.acknowledge(&part);
                stored
            }
        };
        Ok(self.complete(content, stored))
    }

    /// A multipart upload: exactly one Complete or Abort.
    ///
    /// # Errors
    /// As [`Carrier::put`].
    pub async fn multipart(
        self,
        incoming: mpsc::Receiver<Departed>,
        arrival: oneshot::Receiver<Content>,
    ) -> Result<Delivered, NotStored> {
        // Boxed, each call takes room only while it runs: the parts take the longest.
        let upload = Box::pin(self.bucket.create(&self.object)).await.map_err(NotStored::Failed)?;
        let ready = match self.send_parts(&upload, incoming).await {
            Ok(parts) => self.wait_for(arrival).await.map(|content| (parts, content)),
            Err(failure) => Err(failure),
        };
        match ready.and_then(|ready| self.progress.commit().map(|()| ready)) {
            Ok((parts, content)) => {
                let stored = Box::pin(upload.complete(parts, &content)).await?;
                Ok(self.complete(content, stored))
            }
            Err(failure) => {
                self.parts.each(|part| part.fail(failure));
                if let Err(abort) = Box::pin(upload.abort()).await {
                    tracing::warn!(code = abort.code(), "an upload could not be aborted; the sweeper will");
                }
                Err(NotStored::Failed(failure))
            }
        }
    }

    /// Sends parts as they set out, until the upload has ended or one has failed. On return none is on its way.
    async fn send_parts(
        &self,
        upload: &Multipart,
        mut incoming: mpsc::Receiver<Departed>,
    ) -> Result<Vec<AcknowledgedPart>, Failure> {
        let mut running = FuturesUnordered::new();
        let mut done = Vec::new();
        let mut more = true;
        let failure = loop {
            if !more && running.is_empty() {
                return Ok(done);
            }
            tokio::select! {
                biased;
                failure = self.progress.ended() => break failure,
                departed = incoming.recv(), if more => match departed {
                    Some(Departed { part, departure, live }) => running.push(async move {
                        let _live = live;
                        let acknowledged = upload.upload(&part, &self.watch(&part)).await?;
                        self.acknowledge(&part);
                        self.flight.land(&departure);
                        Ok::<_, Failure>(acknowledged)
                    }),
                    None => more = false,
                },
                Some(part) = running.next(), if !running.is_empty() => match part {
                    Ok(part) => done.push(part),
                    Err(failure) => break failure,
                },
            }
        };
        self.parts.each(|part| part.fail(failure));
        while running.next().await.is_some() {}
        Err(failure)
    }

    /// The word that the file has arrived; anything else is its failure.
    async fn wait_for(&self, arrival: oneshot::Receiver<Content>) -> Result<Content, Failure> {
        tokio::select! {
            biased;
            failure = self.progress.ended() => Err(failure),
            content = arrival => content.map_err(|_| Failure::ClientGone),
        }
    }

    fn watch(&self, part: &Part) -> PartWatch {
        let (progress, number, len) = (self.progress.clone(), part.number(), part.len());
        Arc::new(move |event| {
            progress.publish(|file| match event {
                PartEvent::Attempt(attempt) => file.attempt(number, len, attempt),
                PartEvent::Sent(bytes) => file.send(number, bytes),
                PartEvent::Retrying => file.retry(number),
            });
        })
    }

    fn acknowledge(&self, part: &Part) {
        part.forget();
        self.parts.remove(part.number());
        self.progress.publish(|file| file.store(part.number()));
    }

    fn complete(&self, content: Content, stored: Stored) -> Delivered {
        let key = self.object.key.clone();
        self.progress.publish(|file| file.complete(key.clone()));
        Delivered { key, media: self.media, content, stored }
    }
}

/// Parts that were begun and are not acknowledged.
#[derive(Clone, Default)]
pub struct Unacknowledged(Arc<Mutex<Vec<Part>>>);

impl Unacknowledged {
    /// Does something to each of them.
    pub fn each(&self, act: impl Fn(&Part)) {
        self.lock().iter().for_each(act);
    }

    pub fn add(&self, part: Part) {
        self.lock().push(part);
    }

    /// Lets the budget take their replay copies when memory runs short.
    pub fn give_up_through(&self, allowance: &Allowance) {
        // Weak: the parts hold slabs, and slabs hold the allowance.
        let parts = Arc::downgrade(&self.0);
        allowance.gives_up_by(move |extent| {
            let parts = parts.upgrade().map(Self);
            parts.map_or(0, |parts| parts.lock().iter().map(|part| part.give_up_replay(extent)).sum())
        });
    }

    fn remove(&self, number: u32) {
        self.lock().retain(|part| part.number() != number);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Part>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
