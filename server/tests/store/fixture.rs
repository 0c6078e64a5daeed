//! A store on port 0 in a directory of its own, and clients for it.

use std::fmt::Debug;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{
    BehaviorVersion, Credentials, Region, RequestChecksumCalculation, ResponseChecksumValidation,
    StalledStreamProtectionConfig,
};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use server::embedded::{Store, Switches};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::plain_http::plain_http;

pub const ACCESS_KEY: &str = "test";
pub const SECRET_KEY: &str = "test-secret";
pub const BUCKET: &str = "uploads";
pub const MIB: usize = 1024 * 1024;

/// A directory of its own, removed at the end.
pub struct TestDir(PathBuf);

impl TestDir {
    pub fn new() -> Self {
        Self::below(&std::env::temp_dir())
    }

    /// One whose files are in memory, where the system has such.
    pub fn in_memory() -> Self {
        let memory = Path::new("/dev/shm");
        if memory.is_dir() { Self::below(memory) } else { Self::new() }
    }

    fn below(parent: &Path) -> Self {
        let path = parent.join(format!("brigade-store-{:032x}", rand::random::<u128>()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn objects(&self) -> Vec<PathBuf> {
        files(&self.0.join("buckets").join(BUCKET).join("objects"))
    }

    pub fn uploads(&self) -> Vec<PathBuf> {
        files(&self.0.join("buckets").join(BUCKET).join("parts"))
    }

    pub fn temporary(&self) -> Vec<PathBuf> {
        files(&self.0.join("tmp"))
    }
}

impl Drop for TestDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    files
}

pub struct TestStore {
    pub dir: TestDir,
    pub address: SocketAddr,
    shutdown: CancellationToken,
    serving: JoinHandle<()>,
}

impl TestStore {
    pub async fn start() -> Self {
        Self::start_in(TestDir::new()).await
    }

    pub async fn start_in(dir: TestDir) -> Self {
        Self::start_with(dir, Switches::default()).await
    }

    /// One that is slow or refuses parts.
    pub async fn start_with(dir: TestDir, switches: Switches) -> Self {
        let store = Store::open(dir.path()).unwrap();
        store.ensure_bucket(BUCKET).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let stop = shutdown.clone();
        let serving = tokio::spawn(async move {
            store.serve(listener, ACCESS_KEY, SECRET_KEY, switches, stop).await;
        });
        Self { dir, address, shutdown, serving }
    }

    /// Sends plain bodies, as the product does over http.
    pub fn client(&self) -> Client {
        client(self.address, false)
    }

    /// Sends `aws-chunked` bodies with checksums where it can, as the SDK does by default.
    pub fn checking_client(&self) -> Client {
        client(self.address, true)
    }

    /// Ends it in order; nothing half written is left.
    pub async fn stop(self) -> TestDir {
        self.shutdown.cancel();
        self.serving.await.unwrap();
        assert_eq!(self.dir.temporary(), Vec::<PathBuf>::new());
        self.dir
    }

    pub async fn restart(self) -> Self {
        Self::start_in(self.stop().await).await
    }
}

pub fn client(address: SocketAddr, checksums: bool) -> Client {
    let (request, response) = if checksums {
        (RequestChecksumCalculation::WhenSupported, ResponseChecksumValidation::WhenSupported)
    } else {
        (RequestChecksumCalculation::WhenRequired, ResponseChecksumValidation::WhenRequired)
    };
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .credentials_provider(Credentials::new(ACCESS_KEY, SECRET_KEY, None, None, "test"))
        .region(Region::new("us-east-1"))
        .endpoint_url(format!("http://{address}"))
        .force_path_style(true)
        .retry_config(aws_sdk_s3::config::retry::RetryConfig::disabled())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .request_checksum_calculation(request)
        .response_checksum_validation(response)
        .http_client(plain_http())
        .build();
    Client::from_conf(config)
}

/// The S3 error code of a refusal.
#[track_caller]
pub fn code<T: Debug, E: ProvideErrorMetadata + Debug, R: Debug>(
    answer: Result<T, SdkError<E, R>>,
) -> String {
    match answer.expect_err("a refusal") {
        SdkError::ServiceError(error) => match error.err().code() {
            Some(code) => code.to_owned(),
            None => panic!("no code: {error:?}"),
        },
        other => panic!("no answer: {other:?}"),
    }
}

/// Bytes that repeat nowhere soon: a block in the wrong place would show.
pub fn bytes(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    let mut out = Vec::with_capacity(length + 8);
    while out.len() < length {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        out.extend_from_slice(&(state >> 24).to_le_bytes()[..5]);
    }
    out.truncate(length);
    out
}

pub async fn put(client: &Client, key: &str, body: Vec<u8>) -> String {
    let put = client.put_object().bucket(BUCKET).key(key);
    let put = put.body(body.into()).send().await.unwrap();
    put.e_tag().unwrap().to_owned()
}

pub async fn get(client: &Client, key: &str) -> Vec<u8> {
    let got = client.get_object().bucket(BUCKET).key(key).send().await;
    got.unwrap().body.collect().await.unwrap().to_vec()
}

/// Waits until `condition` holds; for what another process or task does in its own time.
#[track_caller]
pub fn eventually(mut condition: impl FnMut() -> bool) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    async move {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !condition() {
            assert!(Instant::now() < deadline, "never happened: {caller}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}
