//! A server, its scripted store and a directory, and the assertion that nothing of them is left.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, Once};
use std::time::{Duration, Instant};

use app::wire::{DOCUMENT_FIELD, FileOutcome, FileType, IMAGE_FIELD};
use server::config::{Config, Endpoint};
use server::start::StartError;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::PATIENCE;
use super::bucket::{Bucket, Object};
use super::client::{Form, get, metric};
use super::log;
use super::proxy::Proxy;
use super::sample;
use super::store::{ACCESS_KEY, BUCKET, Op, SECRET_KEY, ScriptedStore};

/// What the gauges say when nobody is there but the one who asks.
const BASELINE: [(&str, f64); 6] = [
    ("brigade_uploads_in_flight", 0.0),
    ("brigade_buffer_bytes", 0.0),
    ("brigade_buffer_waiting", 0.0),
    ("brigade_parts_in_flight", 0.0),
    ("brigade_progress_clients", 0.0),
    ("brigade_connections", 1.0),
];
/// What the server may keep allocated for the next upload.
const SPARE_BYTES: f64 = 1_048_576.0;
/// How long a store may need to forget an upload (FAULTS.md, store state N).
const SETTLED: Duration = Duration::from_secs(10);

/// Everything a test needs; [`Fixture::finish`] must be its last word.
pub struct Fixture {
    pub server: SocketAddr,
    pub store: ScriptedStore,
    /// Between server and store, when asked for.
    pub proxy: Option<Proxy>,
    pub bucket: Bucket,
    dir: Dir,
    fresh: BTreeSet<PathBuf>,
    /// What the server may hold of files, in bytes.
    buffer_memory: u64,
    serving: JoinHandle<Result<(), StartError>>,
    shutdown: CancellationToken,
    is_finished: bool,
}

/// How a fixture is made.
pub struct Setup {
    configure: Box<dyn FnOnce(&mut Config) + Send>,
    receive_buffer: Option<usize>,
    has_proxy: bool,
}

impl Setup {
    /// Changes the server's configuration.
    #[must_use]
    pub fn config(mut self, configure: impl FnOnce(&mut Config) + Send + 'static) -> Self {
        self.configure = Box::new(configure);
        self
    }

    /// Puts a [`Proxy`] between server and store.
    #[must_use]
    pub fn proxy(mut self) -> Self {
        self.has_proxy = true;
        self
    }

    /// Sets SO_RCVBUF of the store's connections, in bytes.
    #[must_use]
    pub fn receive_buffer(mut self, bytes: usize) -> Self {
        self.receive_buffer = Some(bytes);
        self
    }

    pub async fn start(self) -> Fixture {
        count_panics();
        log::capture();
        log::keep_secret(SECRET_KEY);
        let dir = Dir::new();
        let stored = dir.path.join("store");
        let store = ScriptedStore::start_with(&stored, self.receive_buffer).await;
        let fresh = files_below(&stored);
        let mut config = Config::defaults();
        config.storage.data_dir = dir.path.join("server");
        config.storage.bucket = Some(BUCKET.to_owned());
        config.clocks.store_backoff = Duration::from_millis(10);
        config.clocks.ready = Duration::ZERO;
        (self.configure)(&mut config);
        let buffer_memory = config.limits.buffer_memory.as_u64();
        let proxy = if self.has_proxy { Some(Proxy::start(store.addr).await) } else { None };
        let endpoint = proxy.as_ref().map_or(store.addr, |proxy| proxy.addr);
        config.storage.endpoint = Some(Endpoint {
            url: format!("http://{endpoint}"),
            region: "us-east-1".to_owned(),
            access_key: ACCESS_KEY.to_owned(),
            secret_key: SECRET_KEY.to_owned(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let serving = tokio::spawn(server::serve(listener, config, shutdown.clone()));
        let bucket = Bucket::at(store.plain);
        Fixture {
            server,
            store,
            proxy,
            bucket,
            dir,
            fresh,
            buffer_memory,
            serving,
            shutdown,
            is_finished: false,
        }
    }
}

/// What the server may ask of a store: SECURITY.md and docs/aws/policy.json name the rights for it. Get is for links.
pub const RIGHTS: [Op; 11] = [
    Op::Put,
    Op::Create,
    Op::UploadPart,
    Op::Complete,
    Op::Abort,
    Op::Head,
    Op::Get,
    Op::Delete,
    Op::ListParts,
    Op::ListUploads,
    Op::HeadBucket,
];

impl Fixture {
    /// A server with the defaults, but quick to try again.
    pub async fn start() -> Self {
        Self::setup().start().await
    }

    #[must_use]
    pub fn setup() -> Setup {
        Setup { configure: Box::new(|_| ()), receive_buffer: None, has_proxy: false }
    }

    /// As [`Bucket::take`].
    pub async fn take(&self, key: &str, content: &[u8]) -> Object {
        self.bucket.take(key, content).await
    }

    /// As [`Bucket::take_stored`].
    pub async fn take_stored(&self, file: &FileOutcome, content: &[u8]) -> Object {
        self.bucket.take_stored(file, content).await
    }

    /// Accounts for whatever is in the store.
    pub async fn take_all(&self) {
        for key in self.bucket.keys().await {
            self.bucket.delete(&key).await;
        }
    }

    /// Accounts for the one object in the store.
    pub async fn take_only(&self, content: &[u8]) -> Object {
        let keys = self.bucket.keys().await;
        assert_eq!(keys.len(), 1, "one object: {keys:?}");
        self.take(&keys[0], content).await
    }

    /// Fails unless the store is empty within the time the contract gives.
    pub async fn nothing_stored(&self) {
        assert_eq!(self.bucket.keys().await, Vec::<String>::new(), "no object");
        let open = settle(Vec::is_empty, || self.bucket.open_uploads()).await;
        assert!(open.is_empty(), "no open multipart upload: {open:?}\n{}", self.store.log());
    }

    /// A normal upload of both files, as invariant I7 asks after each fault.
    pub async fn normal_upload_passes(&self) {
        let (document, image) = (sample::pdf(100 * sample::KIB), sample::jpeg(20 * sample::KIB));
        let form = Form::new()
            .file(DOCUMENT_FIELD, "confidential-report.pdf", &document)
            .size(FileType::DocsFile, document.len())
            .file(IMAGE_FIELD, "private-portrait.jpg", &image)
            .size(FileType::MsaImgs, image.len())
            .client_id("somebody-after-the-fault");
        let begun = Instant::now();
        let answer = form.post(self.server).await;
        let stored = answer.stored();
        assert!(begun.elapsed() < Duration::from_secs(2), "it took {:?}", begun.elapsed());
        assert_eq!(stored.files.len(), 2);
        self.take_stored(&stored.files[0], &document).await;
        self.take_stored(&stored.files[1], &image).await;
    }

    /// A value of `/metrics`, summed over its labels.
    pub async fn metric(&self, name: &str) -> f64 {
        metric(&get(self.server, "/metrics").await.text(), name)
    }

    /// Asserts the invariants of FAULTS.md: nothing is left in the server and in the store, a normal upload passes once
    /// the store is well again, nobody panicked, nobody told a secret. Ends both.
    pub async fn finish(mut self) {
        self.is_finished = true;
        self.nothing_stored().await;
        self.store.forget_rules();
        self.store.pace(0);
        if let Some(proxy) = &mut self.proxy {
            proxy.heal().await;
        }
        self.normal_upload_passes().await;
        self.nothing_stored().await;
        for (gauge, baseline) in BASELINE {
            let value = settle(|value| *value == baseline, || self.metric(gauge)).await;
            assert_eq!(value, baseline, "{gauge} is back at its baseline");
        }
        let kept = self.metric("brigade_buffer_allocated_bytes").await;
        assert!(kept <= SPARE_BYTES, "{kept} bytes are allocated and not used");
        let most = self.metric("brigade_buffer_most_allocated_bytes").await;
        assert!(most <= self.buffer_memory as f64, "{most} bytes were held, {} allowed", self.buffer_memory);
        let stored = self.dir.path.join("store");
        let extra = || async { files_below(&stored).difference(&self.fresh).cloned().collect::<Vec<_>>() };
        let left = settle(Vec::is_empty, extra).await;
        assert!(left.is_empty(), "files that belong to no object: {left:?}");
        let beyond: Vec<_> =
            self.store.calls().into_iter().filter(|call| !RIGHTS.contains(&call.op)).collect();
        assert!(beyond.is_empty(), "calls that no right is documented for: {beyond:?}");
        self.shutdown.cancel();
        let ended = tokio::time::timeout(PATIENCE, &mut self.serving).await;
        ended.expect("the server stops").expect("without a panic").expect("without an error");
        let panics = PANICS.lock().unwrap();
        assert!(panics.is_empty(), "panics of the server: {panics:?}");
        log::assert_discreet();
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.shutdown.cancel();
        let is_forgotten = !self.is_finished && !std::thread::panicking();
        assert!(!is_forgotten, "a test ends with Fixture::finish");
    }
}

/// The id and outcome of a file in an answer.
#[must_use]
pub fn outcome_of(files: &[FileOutcome], file: FileType) -> &FileOutcome {
    let found = files.iter().find(|outcome| outcome.field == file.field());
    found.unwrap_or_else(|| panic!("{file:?} is in {files:?}"))
}

/// Asks again until the answer fits or [`SETTLED`] has passed: the store offers no event for this.
pub async fn settle<T, F: Future<Output = T>>(fits: impl Fn(&T) -> bool, mut ask: impl FnMut() -> F) -> T {
    let deadline = Instant::now() + SETTLED;
    loop {
        let value = ask().await;
        if fits(&value) || Instant::now() > deadline {
            return value;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Every file below a directory.
#[must_use]
pub fn files_below(dir: &Path) -> BTreeSet<PathBuf> {
    let mut files = BTreeSet::new();
    let Ok(entries) = std::fs::read_dir(dir) else { return files };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else {
            files.insert(path);
        }
    }
    files
}

/// Where the code under test panicked, in this process.
static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Notes every panic in the sources under test; tasks would swallow them.
fn count_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let default = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let place = info.location().map(ToString::to_string).unwrap_or_default();
            if !place.contains("tests/") {
                PANICS.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(place);
            }
            default(info);
        }));
    });
}

/// A directory that goes when it is dropped.
pub struct Dir {
    pub path: PathBuf,
}

impl Dir {
    #[must_use]
    pub fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("brigade-test-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(path.join("store")).unwrap();
        std::fs::create_dir_all(path.join("server")).unwrap();
        Self { path }
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}
