//! The S3 that comes along: s3s speaks the protocol, this keeps the objects, in files below one directory.
//!
//! An object appears whole or not at all and is on disk before its 200; every block read is verified; what a
//! killed process left is swept at the next start, open multipart uploads stay. Requests are streamed: one
//! holds about half a MiB, besides a chunk of the client's choice when the body is `aws-chunked`.
//!
//! A body's way in: `operations` -> `intake` (with `digests`) -> `blocks` -> `bucket`; out: `bucket` ->
//! `content` -> `blocks`. Versions, ACLs, tags and encryption are not there. Modules are public for the fuzzer only.

mod operations;
mod objects;
mod uploads;
mod copies;
pub mod listing;
pub mod page;
mod answers;

mod intake;
mod digests;
pub mod blocks;
pub mod paths;

mod bucket;
mod multipart;
pub mod records;
mod content;
mod recovery;
mod faults;
mod switches;

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use http::{HeaderValue, Request, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use s3s::HttpResponse;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{S3Error, S3Result, s3_error};
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use blocks::sync_dir;
use bucket::{Bucket, State};
use paths::BucketDir;
use switches::Switched;
pub use switches::{FailPart, Switches};

/// Bytes that a connection reads ahead of its request.
const READ_AHEAD: usize = 128 * 1024;
/// The same of a store whose rate is limited, and what the kernel may hold for it: by both together the sender is ahead
/// of what was read.
const READ_AHEAD_SLOWLY: usize = 16 * 1024;
/// Twice as much would open the window in steps of a quarter of a MiB.
const RECEIVE_BUFFER_SLOWLY: usize = 128 * 1024;
/// Between attempts to accept when the process has no descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// An S3 store in a directory of which it is the only user.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    buckets_dir: PathBuf,
    temporary: PathBuf,
    buckets: RwLock<BTreeMap<String, Arc<Bucket>>>,
    /// Changes under way: they run to their end even when their request is gone.
    jobs: TaskTracker,
    lock: Arc<Lock>,
}

/// The directory is ours as long as this lives.
struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing alone would leave it locked while a child process that is just being started has the file too.
        if let Err(error) = self.0.unlock() {
            tracing::warn!(%error, "the store could not be unlocked");
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("The store in {} is in use by another process.", dir.display())]
    Locked { dir: PathBuf },
    #[error("The store in {} cannot be opened: {source}.", dir.display())]
    Io { dir: PathBuf, source: io::Error },
}

impl Store {
    /// Creates the directory if need be, locks it, and sweeps what a killed process left. Blocks.
    ///
    /// # Errors
    /// When another process has it, or the disk's.
    pub fn open(dir: &Path) -> Result<Self, OpenError> {
        let failed = |source| OpenError::Io { dir: dir.to_owned(), source };
        fs::create_dir_all(dir).map_err(failed)?;
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(dir.join("lock"))
            .map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(OpenError::Locked { dir: dir.to_owned() });
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let inner = Inner::recover(dir, Arc::new(Lock(lock))).map_err(failed)?;
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The protocol on top, for one pair of keys.
    pub fn service(&self, access_key: &str, secret_key: &str) -> S3Service {
        let mut builder = S3ServiceBuilder::new(self.clone());
        builder.set_auth(SimpleAuth::from_single(access_key, secret_key));
        builder.build()
    }

    /// Serves until `shutdown`, as badly as `switches` say, then cuts the connections and waits for changes under way.
    pub async fn serve(
        &self,
        listener: TcpListener,
        access_key: &str,
        secret_key: &str,
        switches: Switches,
        shutdown: CancellationToken,
    ) {
        let read_ahead = if switches.rate.is_some() { READ_AHEAD_SLOWLY } else { READ_AHEAD };
        if switches.rate.is_some()
            && let Err(error) = SockRef::from(&listener).set_recv_buffer_size(RECEIVE_BUFFER_SLOWLY)
        {
            tracing::warn!(%error, "SO_RCVBUF not set: the sender runs further ahead of the store's rate");
        }
        let service = Arc::new(Switched::new(self.service(access_key, secret_key), switches));
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                Some(_) = connections.join_next(), if !connections.is_empty() => {}
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        connections.spawn(connection(stream, Arc::clone(&service), read_ahead));
                    }
                    Err(error) => {
                        tracing::warn!(%error, "the store could not accept a connection");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        connections.shutdown().await;
        self.inner.jobs.close();
        self.inner.jobs.wait().await;
    }

    /// Makes the bucket if it is not there.
    ///
    /// # Errors
    /// `InvalidInput` for a name that S3 does not allow, or the disk's.
    pub async fn ensure_bucket(&self, name: &str) -> io::Result<()> {
        if !s3s::path::check_bucket_name(name) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let (store, name) = (self.clone(), name.to_owned());
        self.inner
            .jobs
            .spawn_blocking(move || store.make_bucket(&name))
            .await
            .map_err(io::Error::other)?
            .map(drop)
    }

    /// Runs a change or a look-up where it may block; it ends even if the caller does not wait.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> S3Result<T> + Send + 'static,
    ) -> S3Result<T> {
        let done = self.inner.jobs.spawn_blocking(work).await;
        done.map_err(S3Error::internal_error)?
    }

    fn bucket(&self, name: &str) -> S3Result<Arc<Bucket>> {
        self.buckets().get(name).cloned().ok_or_else(|| s3_error!(NoSuchBucket, "There is no such bucket."))
    }

    fn buckets(&self) -> impl std::ops::Deref<Target = BTreeMap<String, Arc<Bucket>>> {
        let buckets = self.inner.buckets.read();
        buckets.unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is a new one. Blocks.
    fn make_bucket(&self, name: &str) -> io::Result<bool> {
        let inner = &self.inner;
        if self.buckets().contains_key(name) {
            return Ok(false);
        }
        let draft = BucketDir::new(inner.temporary.join(paths::random_name()));
        fs::create_dir(draft.path())?;
        fs::create_dir(draft.objects())?;
        fs::create_dir(draft.uploads())?;
        sync_dir(draft.path())?;
        {
            let mut buckets = inner.buckets.write().unwrap_or_else(PoisonError::into_inner);
            if buckets.contains_key(name) {
                fs::remove_dir_all(draft.path())?;
                return Ok(false);
            }
            let dir = BucketDir::new(inner.buckets_dir.join(name));
            fs::rename(draft.path(), dir.path())?;
            buckets.insert(name.to_owned(), inner.bucket(name, dir, State::default())?);
        }
        sync_dir(&inner.buckets_dir)?;
        Ok(true)
    }

    /// Blocks.
    fn remove_bucket(&self, name: &str) -> S3Result<()> {
        let bucket = self.bucket(name)?;
        bucket.remove(|| {
            let buckets = self.inner.buckets.write();
            buckets.unwrap_or_else(PoisonError::into_inner).remove(name);
        })
    }
}

impl Inner {
    fn recover(dir: &Path, lock: Arc<Lock>) -> io::Result<Self> {
        let temporary = dir.join("tmp");
        if temporary.exists() {
            fs::remove_dir_all(&temporary)?;
        }
        fs::create_dir(&temporary)?;
        let buckets_dir = dir.join("buckets");
        fs::create_dir_all(&buckets_dir)?;
        sync_dir(dir)?;
        let inner =
            Self { buckets_dir, temporary, buckets: RwLock::default(), jobs: TaskTracker::new(), lock };
        let mut buckets = BTreeMap::new();
        for name in recovery::names(&inner.buckets_dir)? {
            if s3s::path::check_bucket_name(&name) {
                let dir = BucketDir::new(inner.buckets_dir.join(&name));
                let state = recovery::recover(&dir)?;
                buckets.insert(name.clone(), inner.bucket(&name, dir, state)?);
            }
        }
        Ok(Self { buckets: RwLock::new(buckets), ..inner })
    }

    fn bucket(&self, name: &str, dir: BucketDir, state: State) -> io::Result<Arc<Bucket>> {
        let (temporary, lock) = (self.temporary.clone(), Arc::clone(&self.lock));
        Bucket::new(name.to_owned(), dir, temporary, state, lock).map(Arc::new)
    }
}

async fn connection(stream: TcpStream, service: Arc<Switched>, read_ahead: usize) {
    let dated = service_fn(move |request: Request<Incoming>| {
        let service = Arc::clone(&service);
        async move { service.call(request).await.map(with_date) }
    });
    let served = async {
        stream.set_nodelay(true)?;
        http1::Builder::new()
            .max_buf_size(read_ahead)
            .serve_connection(TokioIo::new(stream), dated)
            .await
            .map_err(io::Error::other)
    };
    if let Err(error) = served.await {
        tracing::debug!(%error, "a connection to the store broke");
    }
}

/// The clock as it is. Hyper's own `Date` stands still when the clock is set back, until that has caught up, and by it
/// clients correct the time in their signatures: for an hour every call would be refused.
fn with_date(mut answer: HttpResponse) -> HttpResponse {
    let now = httpdate::fmt_http_date(SystemTime::now());
    let now = HeaderValue::try_from(now).expect("a date is visible ASCII");
    answer.headers_mut().insert(header::DATE, now);
    answer
}
