//! The hub: the only place that knows who uploads and who listens. Publishing is sync; the latest value wins.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use app::wire::{FileMessage, FileType, Snapshot};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::config::Clocks;
use crate::error::Failure;
use crate::ids::{ClientId, UploadId};
use crate::parts::PartPlan;
use crate::snapshot::{Figures, FileState};
use crate::tally::Tally;

/// Between two beats of a watcher, and so between two messages of one file: 30 a second.
const INTERVAL: Duration = Duration::from_micros(33_400);
/// How often the hub looks for what it may forget, in the time that it remembers an upload: once a second.
const SWEEPS: u32 = 600;

/// Cheap to clone; all clones are the same hub.
#[derive(Clone)]
pub struct Hub {
    state: Arc<Mutex<HubState>>,
    waiting_after: Duration,
    remember: Duration,
    tally: Tally,
}

#[derive(Default)]
struct HubState {
    uploads: HashMap<String, Arc<Upload>>,
    channels: HashMap<ClientId, Arc<Channel>>,
    swept: Option<Instant>,
}

/// Those who watch one client id, and what they watch, oldest first.
struct Channel {
    uploads: Mutex<Vec<Arc<Upload>>>,
    changed: watch::Sender<()>,
}

impl Channel {
    fn new() -> Arc<Self> {
        Arc::new(Self { uploads: Mutex::default(), changed: watch::Sender::new(()) })
    }
}

/// What the hub remembers of an upload.
struct Upload {
    id: UploadId,
    started: Instant,
    files: Mutex<Files>,
    end: CancellationToken,
    waits_for_client: Arc<AtomicBool>,
    client: Option<ClientId>,
    channel: Arc<Channel>,
    tally: Tally,
}

impl Upload {
    /// Changes a file's state, and counts what has changed.
    fn change(&self, file_type: FileType, file: &mut FileState, change: impl FnOnce(&mut FileState)) {
        let before = file.figures();
        change(file);
        self.tally.count(file_type.field(), &before, &file.figures());
    }

    /// Says why the upload is to end; false when it has ended already.
    fn end(&self, failure: Failure) -> bool {
        let mut files = lock(&self.files);
        if files.ended.is_some() || files.is_over() {
            return false;
        }
        files.ended_by.get_or_insert(failure);
        drop(files);
        self.end.cancel();
        true
    }

    /// Waits until somebody ends the upload.
    async fn ended(&self) -> Failure {
        self.end.cancelled().await;
        lock(&self.files).ended_by.unwrap_or(Failure::Internal)
    }
}

#[derive(Default)]
struct Files {
    states: BTreeMap<FileType, FileState>,
    /// Why somebody ended the upload.
    ended_by: Option<Failure>,
    ended: Option<Instant>,
}

/// Which of a client's uploads a watcher is told when it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Greeting {
    /// For each file type the newest, and every running one.
    Newest,
    /// Running ones only: old clients use one id for ever.
    Running,
}

impl Hub {
    #[must_use]
    pub fn new(clocks: &Clocks, tally: Tally) -> Self {
        Self { state: Arc::default(), waiting_after: clocks.waiting_after, remember: clocks.remember, tally }
    }

    /// Registers an upload. `waits_for_client` is true while its form waits for the client.
    #[must_use]
    pub fn begin(&self, client: Option<&ClientId>, waits_for_client: Arc<AtomicBool>) -> UploadProgress {
        let mut state = lock(&self.state);
        self.forget_old(&mut state);
        let channel = client.map_or_else(Channel::new, |client| {
            Arc::clone(state.channels.entry(client.clone()).or_insert_with(Channel::new))
        });
        let upload = Arc::new(Upload {
            id: UploadId::random(),
            started: Instant::now(),
            files: Mutex::default(),
            end: CancellationToken::new(),
            waits_for_client,
            client: client.cloned(),
            channel,
            tally: self.tally.clone(),
        });
        lock(&upload.channel.uploads).push(Arc::clone(&upload));
        state.uploads.insert(upload.id.as_str().to_owned(), Arc::clone(&upload));
        UploadProgress { upload }
    }

    /// The client id that an upload was made under, if it was under any.
    ///
    /// # Errors
    /// `upload_unknown`.
    pub fn client(&self, id: &str) -> Result<Option<ClientId>, Failure> {
        self.find(id).map(|upload| upload.client.clone()).ok_or(Failure::UploadUnknown)
    }

    /// The whole state of an upload that runs or ended less than ten minutes ago.
    #[must_use]
    pub fn snapshot(&self, id: &str) -> Option<Snapshot> {
        let upload = self.find(id)?;
        let mut files = lock(&upload.files);
        let files = files.states.values_mut().map(|file| {
            let mut message = file.message(upload.id.as_str(), Instant::now(), self.waiting_after);
            message.key = file.key().map(str::to_owned);
            message
        });
        Some(Snapshot { upload_id: upload.id.to_string(), files: files.collect() })
    }

    /// Ends every file of an upload that is neither terminal nor past its point of no return.
    ///
    /// # Errors
    /// `upload_unknown`, `upload_finished`.
    pub fn cancel(&self, id: &str) -> Result<(), Failure> {
        let upload = self.find(id).ok_or(Failure::UploadUnknown)?;
        if upload.end(Failure::Cancelled) { Ok(()) } else { Err(Failure::UploadFinished) }
    }

    /// Ends every running upload, as [`Hub::cancel`] does, for another reason.
    pub fn end_all(&self, failure: Failure) {
        let uploads: Vec<_> = lock(&self.state).uploads.values().cloned().collect();
        for upload in uploads {
            upload.end(failure);
        }
    }

    /// Watches all uploads of a client, those to come included.
    #[must_use]
    pub fn watch(&self, client: &ClientId, greeting: Greeting) -> Watcher {
        let mut state = lock(&self.state);
        self.forget_old(&mut state);
        let channel = Arc::clone(state.channels.entry(client.clone()).or_insert_with(Channel::new));
        // Under the lock: a channel without a listener is forgotten by whoever comes next.
        let changed = channel.changed.subscribe();
        drop(state);
        let told = greet(&lock(&channel.uploads), greeting);
        Watcher {
            channel,
            changed,
            told,
            beat: None,
            told_at: None,
            waiting_after: self.waiting_after,
            tally: self.tally.clone(),
        }
    }

    fn find(&self, id: &str) -> Option<Arc<Upload>> {
        let mut state = lock(&self.state);
        self.forget_old(&mut state);
        state.uploads.get(id).cloned()
    }

    /// Drops uploads that ended long ago, and channels that nobody uses; not at each call, since it looks at all.
    fn forget_old(&self, state: &mut HubState) {
        if state.swept.is_some_and(|at| at.elapsed() < self.remember / SWEEPS) {
            return;
        }
        state.swept = Some(Instant::now());
        let old = |upload: &Upload| lock(&upload.files).ended.is_some_and(|at| at.elapsed() >= self.remember);
        state.uploads.retain(|_, upload| {
            let keep = !old(upload);
            if !keep {
                lock(&upload.channel.uploads).retain(|other| !Arc::ptr_eq(other, upload));
            }
            keep
        });
        state
            .channels
            .retain(|_, channel| channel.changed.receiver_count() > 0 || !lock(&channel.uploads).is_empty());
    }
}

/// The files that a new watcher is not told of.
fn greet(uploads: &[Arc<Upload>], greeting: Greeting) -> HashMap<Watched, Told> {
    let mut told = HashMap::new();
    let mut newest = HashSet::new();
    for upload in uploads.iter().rev() {
        for (file_type, file) in &lock(&upload.files).states {
            let is_newest = newest.insert(*file_type);
            let hidden = match greeting {
                Greeting::Newest => file.is_terminal() && !is_newest,
                Greeting::Running => file.is_terminal(),
            };
            if hidden {
                told.insert(Watched::new(upload, *file_type), Told::End);
            }
        }
    }
    told
}

impl Files {
    fn is_over(&self) -> bool {
        !self.states.is_empty() && self.states.values().all(FileState::is_terminal)
    }
}

/// An upload's side of the hub. Dropped, it ends whatever file has no end yet: no bar spins for ever.
pub struct UploadProgress {
    upload: Arc<Upload>,
}

impl UploadProgress {
    #[must_use]
    pub fn id(&self) -> &UploadId {
        &self.upload.id
    }

    /// How far a file of it has come.
    #[must_use]
    pub fn figures(&self, file_type: FileType) -> Option<Figures> {
        lock(&self.upload.files).states.get(&file_type).map(FileState::figures)
    }

    /// Waits until somebody ends the upload: a person, or the server's stop.
    ///
    /// # Cancellation
    /// Safe.
    pub async fn ended(&self) -> Failure {
        self.upload.ended().await
    }

    /// Adds a file that a header declared or a part brought; the same file twice is one.
    #[must_use]
    pub fn file(&self, file_type: FileType, plan: Option<PartPlan>) -> FileProgress {
        let upload = &self.upload;
        let mut files = lock(&upload.files);
        files.states.entry(file_type).or_insert_with(|| {
            FileState::new(file_type, plan, upload.started, Arc::clone(&upload.waits_for_client))
        });
        drop(files);
        upload.channel.changed.send_replace(());
        FileProgress { upload: Arc::clone(upload), file_type }
    }
}

impl Drop for UploadProgress {
    fn drop(&mut self) {
        let mut files = lock(&self.upload.files);
        for (file_type, file) in &mut files.states {
            self.upload.change(*file_type, file, |file| file.fail(Failure::Internal));
        }
        files.ended = Some(Instant::now());
        drop(files);
        self.upload.channel.changed.send_replace(());
    }
}

/// Where one file's numbers are published. Cheap to clone; no method waits.
#[derive(Clone)]
pub struct FileProgress {
    upload: Arc<Upload>,
    file_type: FileType,
}

impl FileProgress {
    /// Changes the file's state and tells its watchers.
    pub fn publish(&self, change: impl FnOnce(&mut FileState)) {
        let mut files = lock(&self.upload.files);
        if let Some(file) = files.states.get_mut(&self.file_type) {
            self.upload.change(self.file_type, file, change);
        }
        drop(files);
        self.upload.channel.changed.send_replace(());
    }

    /// Waits until somebody ends the upload, see [`UploadProgress::ended`].
    pub async fn ended(&self) -> Failure {
        self.upload.ended().await
    }

    /// Passes the point of no return, unless somebody ended the upload before.
    ///
    /// # Errors
    /// Why it was ended.
    pub fn commit(&self) -> Result<(), Failure> {
        lock(&self.upload.files).ended_by.map_or(Ok(()), Err)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Watched {
    upload: String,
    file_type: FileType,
}

impl Watched {
    fn new(upload: &Upload, file_type: FileType) -> Self {
        Self { upload: upload.id.to_string(), file_type }
    }
}

/// What a watcher has been told of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    State { version: u64, waiting: Option<app::wire::Waiting> },
    End,
}

/// One listener: every change of every file, coalesced, the newest state only.
///
/// All files have one beat: a page that is told of both at once is painted once.
pub struct Watcher {
    channel: Arc<Channel>,
    changed: watch::Receiver<()>,
    told: HashMap<Watched, Told>,
    /// Whom the beat under way has told of; none between two beats.
    beat: Option<HashSet<Watched>>,
    /// When a beat last told something.
    told_at: Option<Instant>,
    waiting_after: Duration,
    tally: Tally,
}

impl Watcher {
    /// The next message.
    ///
    /// # Cancellation
    /// Safe: a message is taken only when it is returned.
    pub async fn next(&mut self) -> FileMessage {
        loop {
            self.changed.mark_unchanged();
            match self.due(Instant::now()) {
                Due::Message(message) => return *message,
                // Changes until then are coalesced without waking anybody.
                Due::Held(until) => tokio::time::sleep_until(until.into()).await,
                Due::Nothing(None) => drop(self.changed.changed().await),
                Due::Nothing(Some(waits_at)) => {
                    drop(tokio::time::timeout_at(waits_at.into(), self.changed.changed()).await);
                }
            }
        }
    }

    /// The next message, if it need not wait; the end of an upload never does.
    pub fn due_now(&mut self) -> Option<FileMessage> {
        match self.due(Instant::now()) {
            Due::Message(message) => Some(*message),
            Due::Held(_) | Due::Nothing(_) => None,
        }
    }

    /// Whether every upload of this client has ended and been told.
    #[must_use]
    pub fn is_over(&self) -> bool {
        let uploads = lock(&self.channel.uploads);
        !uploads.is_empty()
            && uploads.iter().all(|upload| {
                let files = lock(&upload.files);
                files.is_over()
                    && files
                        .states
                        .keys()
                        .all(|file| self.told.get(&Watched::new(upload, *file)) == Some(&Told::End))
            })
    }

    fn due(&mut self, now: Instant) -> Due {
        let next_beat = self.told_at.map_or(now, |at| at + INTERVAL);
        if self.beat.is_none() && next_beat <= now {
            self.beat = Some(HashSet::new());
        }
        let (mut is_held, mut waits_at): (bool, Option<Instant>) = (false, None);
        let uploads = lock(&self.channel.uploads).clone();
        for upload in &uploads {
            let mut files = lock(&upload.files);
            for (file_type, file) in &mut files.states {
                let watched = Watched::new(upload, *file_type);
                let told = self.told.get(&watched);
                if told == Some(&Told::End) {
                    continue;
                }
                let waiting = file.waiting(now, self.waiting_after);
                let state = Told::State { version: file.version(), waiting };
                if told == Some(&state) {
                    let at = file.waits_at(self.waiting_after).filter(|at| *at > now);
                    waits_at = [waits_at, at].into_iter().flatten().min();
                    continue;
                }
                let end = file.is_terminal();
                if !end {
                    let Some(beat) = self.beat.as_mut().filter(|beat| !beat.contains(&watched)) else {
                        is_held = true;
                        continue;
                    };
                    beat.insert(watched.clone());
                    self.told_at = Some(now);
                }
                if let Some(Told::State { version, .. }) = told {
                    self.tally.dropped(file.version().saturating_sub(version + 1));
                }
                let message = file.message(upload.id.as_str(), now, self.waiting_after);
                self.told.insert(watched, if end { Told::End } else { state });
                return Due::Message(Box::new(message));
            }
        }
        self.beat = None;
        self.forget_gone(&uploads);
        if is_held { Due::Held(next_beat) } else { Due::Nothing(waits_at) }
    }

    fn forget_gone(&mut self, uploads: &[Arc<Upload>]) {
        if self.told.len() > 2 * uploads.len() {
            let known: HashSet<&str> = uploads.iter().map(|upload| upload.id.as_str()).collect();
            self.told.retain(|watched, _| known.contains(watched.upload.as_str()));
        }
    }
}

enum Due {
    Message(Box<FileMessage>),
    /// Something changed, but the last beat was less than an interval ago.
    Held(Instant),
    /// Nothing changed; if it stays so, a file waits from then on.
    Nothing(Option<Instant>),
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
