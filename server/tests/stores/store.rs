//! The stores that the suite runs against, and how each is had.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use server::kind::ObjectKey;
use tokio::sync::OnceCell;

use crate::lacks::{self, Lack};
use crate::support::bucket::{Bucket, Place};
use crate::support::child::{Child, Setup};
use crate::support::log::keep_secret;
use crate::support::store::{ACCESS_KEY, SECRET_KEY};

/// Cheap to clone; all clones are the same.
#[derive(Clone)]
pub struct Store(Arc<Shared>);

struct Shared {
    kind: Kind,
    /// What it lacks, once it was asked.
    lacks: OnceCell<BTreeSet<Lack>>,
}

enum Kind {
    /// Each case has its own: it comes along with the case's server.
    Embedded,
    /// One process, a bucket for each case.
    Moto(OnceLock<Moto>),
    /// Somebody's, with one bucket.
    Given(Place),
}

/// moto's server, which ends when this is dropped, or this process.
struct Moto {
    process: std::process::Child,
    endpoint: String,
    buckets: AtomicU32,
    _stdin: Option<ChildStdin>,
}

impl Store {
    fn new(kind: Kind) -> Self {
        Self(Arc::new(Shared { kind, lacks: OnceCell::new() }))
    }

    /// The one of the real binary.
    pub fn embedded() -> Self {
        Self::new(Kind::Embedded)
    }

    /// The one that Python's tests of S3 use, started with the first case that needs it.
    pub fn moto() -> Self {
        Self::new(Kind::Moto(OnceLock::new()))
    }

    /// The one that the environment names, in the words of AWS's tools and of the server.
    pub fn given() -> Self {
        let wanted = |name: &str| variable(name).unwrap_or_else(|| panic!("set {name}"));
        Self::new(Kind::Given(Place {
            endpoint: wanted("AWS_ENDPOINT_URL"),
            region: variable("AWS_REGION").unwrap_or_else(|| "us-east-1".to_owned()),
            access_key: wanted("AWS_ACCESS_KEY_ID"),
            secret_key: wanted("AWS_SECRET_ACCESS_KEY"),
            path_style: variable("BRIGADE_S3_PATH_STYLE").is_none_or(|word| word == "true"),
            bucket: wanted("BRIGADE_BUCKET"),
        }))
    }

    pub fn name(&self) -> &'static str {
        match self.0.kind {
            Kind::Embedded => "embedded",
            Kind::Moto(_) => "moto",
            Kind::Given(_) => "given",
        }
    }

    /// A server with these flags in front of it, and where its bucket is.
    pub async fn serve(&self, flags: &[&str]) -> (Child, Place) {
        let place = match &self.0.kind {
            Kind::Embedded => {
                let keys = ["--store-access-key", ACCESS_KEY, "--store-secret-key", SECRET_KEY];
                let server = Child::setup().flags(&keys).flags(flags).start().await;
                let place = Place::of(server.store().await);
                return (server, place);
            }
            Kind::Moto(moto) => moto.get_or_init(Moto::start).another_bucket().await,
            Kind::Given(place) => place.clone(),
        };
        keep_secret(&place.secret_key);
        (self.setup(&place).flags(flags).start().await, place)
    }

    /// A server that is to store there, not started yet.
    pub fn setup(&self, place: &Place) -> Setup {
        self.environment(place)
            .into_iter()
            .fold(Child::setup(), |setup, (name, value)| setup.env(name, &value))
    }

    /// What a program of ours is told of the place.
    pub fn environment(&self, place: &Place) -> Vec<(&'static str, String)> {
        let mut environment = place.environment();
        if matches!(self.0.kind, Kind::Given(_)) {
            let also = ["BRIGADE_S3_CHECKSUMS", "SSL_CERT_FILE"];
            environment.extend(also.into_iter().filter_map(|name| Some((name, variable(name)?))));
        }
        environment
    }

    /// What it is known to lack, by docs/stores.md; nobody knows it of one that is given.
    pub fn documented(&self) -> Option<BTreeSet<Lack>> {
        match self.0.kind {
            Kind::Embedded => Some(BTreeSet::new()),
            // For tests of programs: whoever asks is let in, and an upload has always begun on 10 November 2010.
            Kind::Moto(_) => Some(BTreeSet::from([Lack::Keys, Lack::Initiated])),
            Kind::Given(_) => None,
        }
    }

    /// What it lacks: asked once, in the first bucket that is looked at.
    pub async fn lacks(&self, place: &Place) -> &BTreeSet<Lack> {
        self.0.lacks.get_or_init(|| lacks::ask(place)).await
    }

    /// The same, if it was asked.
    pub fn found(&self) -> Option<&BTreeSet<Lack>> {
        self.0.lacks.get()
    }

    /// Where it is and what it is, for the report.
    pub fn place(&self) -> Option<&Place> {
        match &self.0.kind {
            Kind::Given(place) => Some(place),
            _ => None,
        }
    }

    /// Takes away what a case that failed has left in a bucket that is not ours; it had nothing of ours before.
    pub async fn tidy(&self) {
        let Kind::Given(place) = &self.0.kind else { return };
        let bucket = Bucket::of(place);
        for prefix in FOLDERS {
            for key in bucket.keys_below(prefix).await.iter().filter(|key| ObjectKey::is_ours(key)) {
                bucket.delete(key).await;
            }
        }
        if self.found().is_some_and(|lacks| lacks.contains(&Lack::ListUploads)) {
            return;
        }
        for (key, id) in bucket.open_uploads().await {
            if FOLDERS.iter().any(|folder| key.starts_with(folder)) {
                bucket.abort(&key, &id).await;
            }
        }
    }

    /// Whether the bucket is one that the suite may use: what it finds in its folders it deletes and aborts.
    ///
    /// # Errors
    /// Somebody uses it.
    pub async fn is_free(&self) -> Result<(), String> {
        let Kind::Given(place) = &self.0.kind else { return Ok(()) };
        let bucket = Bucket::of(place);
        let mut used = Vec::new();
        for folder in FOLDERS {
            used.extend(bucket.keys_below(folder).await);
            let list =
                bucket.client.list_multipart_uploads().bucket(&bucket.name).prefix(folder).send().await;
            // A store that has no such call is found to lack it.
            let listed = list.iter().flat_map(|listed| listed.uploads());
            used.extend(listed.filter_map(|upload| upload.key().map(str::to_owned)));
        }
        match used.as_slice() {
            [] => Ok(()),
            [first, ..] => {
                Err(format!("{} is in use, by {first}: this needs a bucket of its own", bucket.name))
            }
        }
    }
}

/// Where objects of ours lie.
pub const FOLDERS: [&str; 2] = ["supporting_documents/", "photos/"];

impl Moto {
    fn start() -> Self {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
        let python = target.join("tools/moto/bin/python");
        assert!(python.exists(), "{} is missing: cargo xtask test installs it", python.display());
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stores/run_moto.py");
        let mut process = Command::new(python)
            .arg("-B")
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port: u16 = line.trim().parse().expect("moto says its port");
        let endpoint = format!("http://127.0.0.1:{port}");
        let _stdin = process.stdin.take();
        Self { process, endpoint, buckets: AtomicU32::new(0), _stdin }
    }

    async fn another_bucket(&self) -> Place {
        let number = self.buckets.fetch_add(1, Ordering::Relaxed);
        let place = Place {
            endpoint: self.endpoint.clone(),
            region: "us-east-1".to_owned(),
            access_key: ACCESS_KEY.to_owned(),
            secret_key: SECRET_KEY.to_owned(),
            path_style: true,
            bucket: format!("uploads-{number}"),
        };
        Bucket::of(&place).create().await;
        place
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
