//! A multipart form becomes files: field, name and bytes, one after the other, as they arrive.
//!
//! multer does the parsing. It reads its source for as long as that is ready and looks for headers
//! without bound, so the body reaches it through [`Guarded`]: one chunk a poll, limits on what is
//! not file content, and the clocks that run only while we wait for the client (FACTS.md 4).

use std::error::Error as StdError;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use app::wire::FileType;
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use multer::{Field, Multipart};
use tokio::time::{Instant, Sleep};

use crate::error::Failure;
use crate::kind;

/// Text fields of a form, names and values together. They are ignored, so this is generous.
const MAX_TEXT: usize = 64 * 1024;
/// Parts of a form; Django's cap on fields.
const MAX_FIELDS: usize = 1000;
/// One part's header (busboy's limit).
const MAX_PART_HEADER: usize = 16 * 1024;
/// What may come before the first boundary.
const MAX_PREAMBLE: usize = 64 * 1024;
/// Longest boundary (RFC 2046, section 5.1.1).
const MAX_BOUNDARY: usize = 70;
/// Least rate of a client over a whole window, in bytes a second (Apache's `MinRate`).
const MIN_RATE: u64 = 500;

/// The body of a request, whatever its transport.
pub type BodyStream = Pin<Box<dyn Stream<Item = Result<Bytes, Box<dyn StdError + Send + Sync>>> + Send>>;

/// A request's body, shared between the form that reads it and whoever drains what the form left.
#[derive(Clone)]
pub struct RequestBody {
    stream: Arc<Mutex<BodyStream>>,
    polled: Arc<AtomicBool>,
}

impl RequestBody {
    #[must_use]
    pub fn new(stream: BodyStream) -> Self {
        Self { stream: Arc::new(Mutex::new(stream)), polled: Arc::default() }
    }

    /// Reads on without looking, so that a refused client gets to read its answer instead of a reset.
    ///
    /// Ends after `limit` bytes or `time`. A client that waits for `100 Continue` is not asked for a body
    /// that nobody wants.
    pub async fn drain(self, expects_continue: bool, limit: usize, time: Duration) {
        if expects_continue && !self.polled.load(Ordering::Relaxed) {
            return;
        }
        let mut left = limit;
        let drained = async {
            while let Some(Ok(chunk)) = poll_fn(|context| self.poll(context)).await {
                left = left.saturating_sub(chunk.len());
                if left == 0 {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(time, drained).await;
    }

    fn poll(&self, context: &mut Context<'_>) -> Poll<Option<<BodyStream as Stream>::Item>> {
        self.polled.store(true, Ordering::Relaxed);
        lock(&self.stream).poll_next_unpin(context)
    }
}

/// How long a client may keep us waiting.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Without a byte.
    pub silence: Duration,
    /// Waiting time over which the rate must reach 500 B/s.
    pub rate_window: Duration,
}

/// A file part's head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileHead {
    pub file_type: FileType,
    /// Without path and escapes; `None` when the part has none.
    pub name: Option<String>,
}

/// The form of one request.
pub struct Form {
    multipart: Multipart<'static>,
    tap: Arc<Tap>,
    delimiter: Vec<u8>,
    field: Option<Field<'static>>,
    /// The part after the current file, when [`Form::end_of_file`] has already met it.
    next: Option<multer::Result<Option<Field<'static>>>>,
    /// The current file's first bytes, read to tell an empty input from a file.
    first: Option<Bytes>,
    parts: usize,
    text: usize,
    seen: Vec<(String, bool)>,
}

impl Form {
    /// Opens the form that `content_type` describes.
    ///
    /// # Errors
    /// `not_multipart`, `bad_boundary`.
    pub fn open(content_type: Option<&str>, body: RequestBody, patience: Patience) -> Result<Self, Failure> {
        let boundary = boundary(content_type)?;
        let tap = Arc::new(Tap::default());
        let guarded = Guarded {
            body,
            tap: Arc::clone(&tap),
            patience,
            rest: false,
            deadline: None,
            waited: Duration::ZERO,
            bytes: 0,
        };
        Ok(Self {
            delimiter: format!("\r\n--{boundary}").into_bytes(),
            multipart: Multipart::new(guarded, boundary),
            tap,
            field: None,
            next: None,
            first: None,
            parts: 0,
            text: 0,
            seen: Vec::new(),
        })
    }

    /// True while we wait for the client, and for nothing else.
    #[must_use]
    pub fn waits_for_client(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.tap.waiting)
    }

    /// The next file of the form; text fields and inputs left empty are passed over.
    ///
    /// # Errors
    /// Whatever is wrong with the form; it cannot be read on after that.
    pub async fn next_file(&mut self) -> Result<Option<FileHead>, Failure> {
        while let Some(field) = self.next_field().await? {
            self.parts += 1;
            check_header(&field)?;
            if self.parts > MAX_FIELDS {
                return Err(Failure::FormTooLarge);
            }
            let name = field.name().unwrap_or_default().to_owned();
            let Some(file_name) = field.file_name().map(kind::file_name_from_header) else {
                self.pass_over_text(name, field).await?;
                continue;
            };
            self.field = Some(field);
            self.tap.in_file(true);
            self.first = self.read().await?;
            if file_name.is_empty() && self.first.is_none() {
                self.end_of_file().await?;
                continue;
            }
            let file_type = FileType::ALL.into_iter().find(|file| file.field() == name);
            let file_type = file_type.ok_or(Failure::UnknownField)?;
            self.note_name(name, true)?;
            return Ok(Some(FileHead { file_type, name: Some(file_name).filter(|name| !name.is_empty()) }));
        }
        Ok(None)
    }

    /// The current file's next bytes; `None` once its delimiter has begun.
    ///
    /// # Errors
    /// As [`Form::next_file`].
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Failure> {
        match self.first.take() {
            Some(first) => Ok(Some(first)),
            None => self.read().await,
        }
    }

    /// Waits until the current file's delimiter is complete: from here on the file has arrived.
    ///
    /// # Errors
    /// As [`Form::next_file`].
    pub async fn end_of_file(&mut self) -> Result<(), Failure> {
        self.field = None;
        self.tap.in_file(false);
        poll_fn(|context| {
            if self.next.is_none()
                && let Poll::Ready(next) = self.multipart.poll_next_field(context)
            {
                self.next = Some(next);
            }
            match &self.next {
                Some(Ok(_)) => Poll::Ready(Ok(())),
                _ if self.tap.delimiter_seen(&self.delimiter) => Poll::Ready(Ok(())),
                Some(Err(error)) => Poll::Ready(Err(self.failure(error))),
                None => Poll::Pending,
            }
        })
        .await
    }

    async fn read(&mut self) -> Result<Option<Bytes>, Failure> {
        let Some(field) = &mut self.field else { return Ok(None) };
        loop {
            let chunk = field.chunk().await;
            match chunk {
                Ok(Some(bytes)) if bytes.is_empty() => {}
                Ok(chunk) => return Ok(chunk),
                Err(error) => return Err(self.failure(&error)),
            }
        }
    }

    async fn next_field(&mut self) -> Result<Option<Field<'static>>, Failure> {
        self.field = None;
        let next = match self.next.take() {
            Some(next) => next,
            None => self.multipart.next_field().await,
        };
        self.tap.found();
        next.map_err(|error| self.failure(&error))
    }

    async fn pass_over_text(&mut self, name: String, mut field: Field<'static>) -> Result<(), Failure> {
        self.text += name.len();
        self.note_name(name, false)?;
        self.tap.in_file(true);
        while let Some(chunk) = field.chunk().await.map_err(|error| self.failure(&error))? {
            self.text += chunk.len();
            if self.text > MAX_TEXT {
                return Err(Failure::FormTooLarge);
            }
        }
        self.tap.in_file(false);
        Ok(())
    }

    /// A file's field may come once, and not as text besides.
    fn note_name(&mut self, name: String, is_file: bool) -> Result<(), Failure> {
        let is_file_field = FileType::ALL.iter().any(|file| file.field() == name);
        if self.seen.iter().any(|(seen, was_file)| *seen == name && (is_file || *was_file)) {
            return Err(Failure::DuplicateField);
        }
        if is_file_field {
            self.seen.push((name, is_file));
        }
        Ok(())
    }

    fn failure(&self, error: &multer::Error) -> Failure {
        if let multer::Error::StreamReadFailed(cause) = error {
            return cause.downcast_ref::<Failure>().copied().unwrap_or(Failure::ClientGone);
        }
        let ended = self.tap.lock().ended;
        match error {
            multer::Error::IncompleteFieldData { .. } => Failure::Truncated,
            multer::Error::IncompleteStream
                if ended && self.parts == 0 && !self.tap.any(&self.delimiter[2..]) =>
            {
                Failure::NoFile
            }
            multer::Error::IncompleteStream if ended => Failure::Truncated,
            multer::Error::IncompleteStream => Failure::BadBoundary,
            _ => Failure::BadPartHeader,
        }
    }
}

/// Takes the boundary out of a Content-Type.
fn boundary(content_type: Option<&str>) -> Result<String, Failure> {
    let content_type = content_type.ok_or(Failure::NotMultipart)?;
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("multipart/form-data") {
        return Err(Failure::NotMultipart);
    }
    let boundary = multer::parse_boundary(content_type).map_err(|_| Failure::BadBoundary)?;
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&byte);
    if boundary.is_empty()
        || boundary.len() > MAX_BOUNDARY
        || boundary.ends_with(' ')
        || !boundary.bytes().all(legal)
    {
        return Err(Failure::BadBoundary);
    }
    Ok(boundary)
}

/// Refuses headers that are too long, and encodings a browser never uses: the bytes are stored as they come.
fn check_header(field: &Field<'_>) -> Result<(), Failure> {
    let headers = field.headers();
    let length: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    let encoding =
        headers.get("content-transfer-encoding").map(|value| value.as_bytes().to_ascii_lowercase());
    let verbatim =
        encoding.is_none_or(|encoding| matches!(encoding.as_slice(), b"7bit" | b"8bit" | b"binary"));
    let nested = field.content_type().is_some_and(|mime| mime.type_() == "multipart");
    if length > MAX_PART_HEADER || !verbatim || nested || field.name().is_none() {
        return Err(Failure::BadPartHeader);
    }
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the guard has seen pass, for the form to look at.
#[derive(Default)]
struct Tap {
    waiting: Arc<AtomicBool>,
    state: Mutex<TapState>,
}

#[derive(Default)]
struct TapState {
    /// The newest raw chunks: enough to hold a delimiter and the header after it.
    recent: std::collections::VecDeque<Bytes>,
    recent_len: usize,
    in_file: bool,
    found_first: bool,
    /// Bytes since file content ended.
    between: usize,
    ended: bool,
}

impl Tap {
    fn lock(&self) -> MutexGuard<'_, TapState> {
        lock(&self.state)
    }

    fn in_file(&self, in_file: bool) {
        let mut state = self.lock();
        state.in_file = in_file;
        state.between = 0;
    }

    fn found(&self) {
        let mut state = self.lock();
        state.found_first = true;
        state.between = 0;
    }

    fn note(&self, chunk: &Bytes) -> Result<(), Failure> {
        let mut state = self.lock();
        state.recent.push_back(chunk.clone());
        state.recent_len += chunk.len();
        while let Some(front) = state.recent.front() {
            if state.recent_len - front.len() < MAX_PART_HEADER + 2 * MAX_BOUNDARY {
                break;
            }
            state.recent_len -= front.len();
            state.recent.pop_front();
        }
        // What a chunk held before this one is counted with the limit's slack of one chunk.
        let before = state.between;
        state.between += chunk.len();
        match (state.in_file, state.found_first) {
            (true, _) => Ok(()),
            (false, false) if before > MAX_PREAMBLE => Err(Failure::BadBoundary),
            (false, true) if before > MAX_PART_HEADER => Err(Failure::BadPartHeader),
            _ => Ok(()),
        }
    }

    fn tail(&self) -> Vec<u8> {
        self.lock().recent.iter().flat_map(|chunk| chunk.iter().copied()).collect()
    }

    fn any(&self, pattern: &[u8]) -> bool {
        memchr::memmem::find(&self.tail(), pattern).is_some()
    }

    /// Whether the newest delimiter is complete: followed by a line's end, or by `--`.
    fn delimiter_seen(&self, delimiter: &[u8]) -> bool {
        let tail = self.tail();
        memchr::memmem::rfind(&tail, delimiter).is_some_and(|start| {
            let after = &tail[start + delimiter.len()..];
            after.starts_with(b"\r\n") || after.starts_with(b"--")
        })
    }
}

/// The request body as multer may see it.
struct Guarded {
    body: RequestBody,
    tap: Arc<Tap>,
    patience: Patience,
    /// After each chunk one poll answers `Pending`, which makes multer parse what it has.
    rest: bool,
    deadline: Option<(Instant, Pin<Box<Sleep>>)>,
    waited: Duration,
    bytes: u64,
}

impl Guarded {
    /// Ends a wait; fails a client that stayed under the least rate for a whole window of waiting.
    fn arrived(&mut self, bytes: usize) -> Result<(), Failure> {
        self.tap.waiting.store(false, Ordering::Relaxed);
        self.bytes += bytes as u64;
        if let Some((since, _)) = self.deadline.take() {
            self.waited += since.elapsed();
        }
        if self.waited < self.patience.rate_window {
            return Ok(());
        }
        let too_slow = self.bytes < MIN_RATE * self.waited.as_secs();
        self.waited = Duration::ZERO;
        self.bytes = 0;
        if too_slow { Err(Failure::ReadTimeout) } else { Ok(()) }
    }

    fn waits(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Failure>>> {
        self.tap.waiting.store(true, Ordering::Relaxed);
        let silence = self.patience.silence;
        let (_, sleep) =
            self.deadline.get_or_insert_with(|| (Instant::now(), Box::pin(tokio::time::sleep(silence))));
        sleep.as_mut().poll(context).map(|()| Some(Err(Failure::ReadTimeout)))
    }
}

impl Stream for Guarded {
    type Item = Result<Bytes, Failure>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if std::mem::take(&mut this.rest) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        match this.body.poll(context) {
            Poll::Pending => this.waits(context),
            Poll::Ready(Some(Ok(chunk))) => {
                this.rest = true;
                let checked = this.arrived(chunk.len()).and_then(|()| this.tap.note(&chunk));
                Poll::Ready(Some(checked.map(|()| chunk)))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(body_failure(&*error)))),
            Poll::Ready(None) => {
                this.tap.waiting.store(false, Ordering::Relaxed);
                this.tap.lock().ended = true;
                Poll::Ready(None)
            }
        }
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
