//! `bucket-brigade check`: does with the bucket all that the server will, and says in a sentence what is missing.

use std::sync::Arc;

use clap::Args;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::budget::{Allowance, Budget};
use crate::config::{Config, StorageConfig};
use crate::connector::Connector;
use crate::error::Failure;
use crate::kind::{MediaType, ObjectKey, content_disposition};
use crate::parts::{MIN_PART_SIZE, Part, Run};
use crate::s3::{Bucket, Content, Listing, NotStored, Object, PartWatch};
use crate::start::{self, StartError};
use crate::tally::Tally;

/// A whole, empty document, for whoever finds one that could not be deleted.
const PDF: &[u8] = b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n\
    2 0 obj<</Type/Pages/Kids[]/Count 0>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n";

/// Try all that the server does with the bucket, and say what is missing
#[derive(Args, Debug)]
#[command(
    long_about = "Try all that the server does with the bucket, and say what is missing. Ends with 0 if nothing \
    is.\n\nWrites two small documents under the keys of real ones, 5 MiB in all, and deletes them again."
)]
pub struct Check {
    #[command(flatten)]
    storage: StorageConfig,
}

/// One thing that the server does with a bucket, and the right that it needs.
struct Step {
    what: &'static str,
    right: &'static str,
    on: &'static str,
}

/// What the store said was done is not.
const NOT_AS_SAID: Failure = Failure::StorageRejected;
/// Such a store is good for all else.
const WITHOUT_LIST: &str = "what a kill leaves open stays until a rule of the store's own ends it";
/// One under which the sweeper lists.
const PREFIX: &str = ObjectKey::PREFIXES[0];
const OBJECTS: &str = "supporting_documents/* and photos/*";

const WRITE: Step = Step { what: "write an object", right: "s3:PutObject", on: OBJECTS };
const READ: Step = Step { what: "read it", right: "s3:GetObject", on: OBJECTS };
const MULTIPART: Step = Step { what: "write an object in parts", right: "s3:PutObject", on: OBJECTS };
const LIST: Step =
    Step { what: "list what is being written", right: "s3:ListBucketMultipartUploads", on: "the bucket" };
const ABORT: Step = Step { what: "abort one half way", right: "s3:AbortMultipartUpload", on: OBJECTS };
const CLEAN_UP: Step = Step { what: "delete what was written", right: "s3:DeleteObject", on: OBJECTS };

impl Check {
    /// Tries everything and prints each step; true if nothing is missing.
    ///
    /// # Errors
    /// The store cannot even be looked for.
    pub async fn run(self) -> Result<bool, StartError> {
        let config = Config { storage: self.storage, ..Config::defaults() };
        config.check()?;
        let (tasks, shutdown) = (TaskTracker::new(), CancellationToken::new());
        let bucket =
            start::open_bucket(&config, Connector::new(), Tally::default(), &tasks, &shutdown).await?;
        println!("{}", bucket.place());
        let is_well = Trial::new(bucket).await.run().await;
        shutdown.cancel();
        tasks.close();
        tasks.wait().await;
        Ok(is_well)
    }
}

/// A run through all steps.
struct Trial {
    bucket: Bucket,
    allowance: Allowance,
    is_well: bool,
}

impl Trial {
    async fn new(bucket: Bucket) -> Self {
        let allowance = Budget::new(4 * MIN_PART_SIZE).admit().await;
        let allowance = allowance.expect("a budget of four parts has room for one upload");
        Self { bucket, allowance, is_well: true }
    }

    async fn run(mut self) -> bool {
        if let Err(barrier) = self.bucket.reach().await {
            println!("  FAILED  reach the bucket: {barrier}");
            return false;
        }
        println!("  ok      reach the bucket");
        let (small, large) = (object(), object());
        self.write(&small).await;
        let written = self.write_in_parts(&large).await;
        self.tell(&MULTIPART, written);
        self.abort().await;
        // One that is not there is deleted like one that is.
        let deleted = self.bucket.delete(&small.key).await.and(self.bucket.delete(&large.key).await);
        self.tell(&CLEAN_UP, deleted);
        self.is_well
    }

    async fn write(&mut self, object: &Object) {
        let (part, _) = self.part(1, PDF).await;
        let put = self.bucket.put(object, &part, &unwatched()).await;
        if self.tell(&WRITE, put) {
            let found = self.bucket.has(&object.key).await;
            self.tell(&READ, found.and_then(|is_there| if is_there { Ok(()) } else { Err(NOT_AS_SAID) }));
        }
    }

    async fn write_in_parts(&self, object: &Object) -> Result<(), Failure> {
        let upload = self.bucket.create(object).await?;
        let mut whole = PDF.to_vec();
        whole.resize(usize::try_from(MIN_PART_SIZE).unwrap_or(usize::MAX), b'\n');
        let (first, mut content) = self.part(1, &whole).await;
        let (second, rest) = self.part(2, b"\n").await;
        content.append(rest.size, rest.crc);
        let mut parts = Vec::new();
        for part in [first, second] {
            match upload.upload(&part, &unwatched()).await {
                Ok(part) => parts.push(part),
                Err(failure) => {
                    // Whether that may be done is the next step's question.
                    let _ = upload.abort().await;
                    return Err(failure);
                }
            }
        }
        upload.complete(parts, &content).await.map(drop).map_err(NotStored::failure)
    }

    async fn abort(&mut self) {
        let object = object();
        let Ok(upload) = self.bucket.create(&object).await else { return };
        match self.bucket.listing(PREFIX, &object.key).await {
            Ok(Listing::ByPrefix) => drop(self.tell(&LIST, Ok(()))),
            Ok(Listing::ByKey | Listing::Unsupported) => {
                println!("  LACKS   {}: {WITHOUT_LIST}", LIST.what);
            }
            Ok(Listing::Missing) => drop(self.tell(&LIST, Err(NOT_AS_SAID))),
            Err(failure) => drop(self.tell(&LIST, Err(failure))),
        }
        let aborted = upload.abort().await;
        self.tell(&ABORT, aborted);
    }

    /// A whole part of these bytes, and what is known of them.
    async fn part(&self, number: u32, bytes: &[u8]) -> (Part, Content) {
        let mut run = Run::default();
        let mut rest = bytes;
        while !rest.is_empty() {
            if run.is_out_of_room() {
                run.add_slab(self.allowance.slab().await);
            }
            rest = &rest[run.append(rest)..];
        }
        let part = Part::new(number, bytes.len() as u64, run);
        let content = Content { size: part.len(), crc: part.checksum() };
        (part, content)
    }

    /// Prints how a step went; true if it went well.
    fn tell(&mut self, step: &Step, outcome: Result<(), Failure>) -> bool {
        match outcome {
            Ok(()) => println!("  ok      {}", step.what),
            Err(Failure::StorageConfig) => {
                println!("  FAILED  {}: allow {} on {}", step.what, step.right, step.on);
            }
            Err(failure @ (Failure::StorageRejected | Failure::Integrity))
                if step.right == WRITE.right && self.bucket.sends_checksums() =>
            {
                let (what, code) = (step.what, failure.code());
                println!("  FAILED  {what}: {code}, perhaps for the checksums: try --s3-checksums off");
            }
            Err(failure) => println!("  FAILED  {}: {}", step.what, failure.code()),
        }
        self.is_well &= outcome.is_ok();
        outcome.is_ok()
    }
}

/// A new key as the server would make it.
fn object() -> Object {
    Object {
        key: ObjectKey::random(MediaType::Pdf).to_string(),
        content_type: MediaType::Pdf.mime(),
        content_disposition: content_disposition(Some("bucket-brigade-check.pdf")),
    }
}

fn unwatched() -> PartWatch {
    Arc::new(|_| ())
}
