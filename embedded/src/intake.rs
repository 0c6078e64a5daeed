//! A request's body into a file: hashed and written as it comes, never whole in memory.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use s3s::dto::StreamingBlob;
use s3s::stream::ByteStream;
use s3s::{S3Result, s3_error};
use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;

use super::blocks::Writer;
use super::digests::{Claims, Digests, Hashing};
use super::faults;
use super::multipart::MAX_PART_SIZE;

/// Bytes handed to the disk at once. A request holds at most two of these, one being filled, one being written.
const BATCH: usize = 128 * 1024;
/// Bytes of a refused body that are read and thrown away, so that the client sees the answer and not a reset.
const MAX_DRAIN: u64 = 32 * 1024 * 1024;
/// The same in time.
const MAX_DRAIN_TIME: Duration = Duration::from_secs(5);

/// A whole body on disk that is what the request claimed; gone when dropped.
pub struct Received {
    pub writer: Writer,
    pub digests: Digests,
}

/// The body of a request.
pub struct Incoming {
    blob: StreamingBlob,
    ended: bool,
    /// The client sends nothing before it is told to.
    held_back: bool,
}

impl Incoming {
    pub fn new(blob: Option<StreamingBlob>, headers: &http::HeaderMap) -> Self {
        Self {
            blob: blob.unwrap_or_else(|| StreamingBlob::from(s3s::Body::empty())),
            ended: false,
            held_back: headers.contains_key(http::header::EXPECT),
        }
    }

    /// # Errors
    /// `IncompleteBody`, `BadDigest`, `InvalidDigest`, `MissingContentLength`, `EntityTooLarge`, or the
    /// disk's. Nothing stays.
    ///
    /// # Cancellation
    /// Leaves nothing; the file goes when the write under way has ended.
    pub async fn receive(
        &mut self,
        jobs: &TaskTracker,
        temporary: PathBuf,
        claims: Claims,
    ) -> S3Result<Received> {
        let length = self.declared_length(&claims)?;
        let file = apart(jobs, || Writer::create(temporary)).await;
        let file = file.map_err(io::Error::other).flatten();
        let sink = Sink { hashing: Hashing::new(&claims), file: file.map_err(faults::storage)? };
        let mut pipe = Pipe::new(sink, jobs.clone());
        let outcome = self.fill(&mut pipe, length).await;
        // The last write has ended before the answer, whatever that is.
        let sink = pipe.finish().await;
        outcome?;
        let sink = sink.map_err(faults::storage)?;
        let received = Received { writer: sink.file, digests: sink.hashing.finish() };
        claims.check(&received.digests)?;
        Ok(received)
    }

    /// Before a refusal: reads on for a while.
    pub async fn drain(&mut self) {
        if self.held_back {
            return;
        }
        let reading = async {
            let mut read = 0;
            while let Some(Ok(frame)) = self.next().await {
                read += frame.len() as u64;
                if read > MAX_DRAIN {
                    break;
                }
            }
        };
        // The answer follows in either case.
        let _in_time = tokio::time::timeout(MAX_DRAIN_TIME, reading).await;
    }

    async fn fill(&mut self, pipe: &mut Pipe, length: u64) -> S3Result<()> {
        let mut read = 0;
        while let Some(frame) = self.next().await {
            let frame = frame?;
            read += frame.len() as u64;
            if read > length {
                return Err(s3_error!(IncompleteBody, "The body is longer than declared."));
            }
            pipe.push(&frame).await.map_err(faults::storage)?;
        }
        if read < length {
            return Err(s3_error!(IncompleteBody, "The body is shorter than declared."));
        }
        Ok(())
    }

    async fn next(&mut self) -> Option<S3Result<Bytes>> {
        if self.ended {
            return None;
        }
        self.held_back = false;
        let frame = self.blob.next().await;
        self.ended = !matches!(frame, Some(Ok(_)));
        frame.map(|frame| frame.map_err(faults::body))
    }

    fn declared_length(&self, claims: &Claims) -> S3Result<u64> {
        let header = claims.content_length.and_then(|n| u64::try_from(n).ok());
        let exact = self.blob.remaining_length().exact();
        let length = exact
            .map(|n| n as u64)
            .or(header)
            .ok_or_else(|| s3_error!(MissingContentLength, "The body's length is not declared."))?;
        if length > MAX_PART_SIZE {
            return Err(s3_error!(EntityTooLarge, "The body is longer than 5 GiB."));
        }
        Ok(length)
    }
}

struct Sink {
    file: Writer,
    hashing: Hashing,
}

/// Fills one batch while the one before is hashed and written on a blocking thread.
struct Pipe {
    jobs: TaskTracker,
    filling: Vec<u8>,
    sink: Whereabouts,
}

enum Whereabouts {
    AtRest(Box<Sink>, Vec<u8>),
    AtWork(oneshot::Receiver<io::Result<(Box<Sink>, Vec<u8>)>>),
    Lost,
}

impl Pipe {
    fn new(sink: Sink, jobs: TaskTracker) -> Self {
        Self { jobs, filling: Vec::new(), sink: Whereabouts::AtRest(Box::new(sink), Vec::new()) }
    }

    async fn push(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let room = BATCH - self.filling.len();
            let (now, later) = bytes.split_at(bytes.len().min(room));
            self.filling.extend_from_slice(now);
            bytes = later;
            if self.filling.len() == BATCH {
                self.flush().await?;
            }
        }
        Ok(())
    }

    async fn flush(&mut self) -> io::Result<()> {
        let (mut sink, mut batch) = self.rest().await?;
        std::mem::swap(&mut batch, &mut self.filling);
        self.sink = Whereabouts::AtWork(apart(&self.jobs, move || {
            sink.hashing.update(&batch);
            sink.file.write(&batch)?;
            batch.clear();
            Ok((sink, batch))
        }));
        Ok(())
    }

    async fn finish(mut self) -> io::Result<Box<Sink>> {
        if !self.filling.is_empty() {
            self.flush().await?;
        }
        Ok(self.rest().await?.0)
    }

    /// Waits for the write under way; the sink and an empty batch.
    async fn rest(&mut self) -> io::Result<(Box<Sink>, Vec<u8>)> {
        match std::mem::replace(&mut self.sink, Whereabouts::Lost) {
            Whereabouts::AtRest(sink, batch) => Ok((sink, batch)),
            Whereabouts::AtWork(write) => write.await.map_err(io::Error::other)?,
            Whereabouts::Lost => Err(io::Error::other("an earlier write failed")),
        }
    }
}

/// Runs `work` where it may block. What nobody waits for any more is dropped there, before the job counts as
/// ended: so no file outlives the wait for the jobs.
fn apart<T: Send + 'static>(
    jobs: &TaskTracker,
    work: impl FnOnce() -> T + Send + 'static,
) -> oneshot::Receiver<T> {
    let (done, receiver) = oneshot::channel();
    jobs.spawn_blocking(move || drop(done.send(work())));
    receiver
}
