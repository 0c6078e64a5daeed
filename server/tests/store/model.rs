//! The store against a model of it: random sequences of everything that it does, compared after each step.
//!
//! A sequence is told by its seed: `BRIGADE_TEST_SEED=n` runs that one alone.

use std::collections::BTreeMap;
use std::env;

use aws_sdk_s3::Client;
use aws_sdk_s3::types::CompletedPart;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use crate::fixture::{BUCKET, MIB, TestDir, TestStore, bytes, code, get, put};
use crate::multipart::{begin, complete, part};

const SEQUENCES: u64 = 200;
const STEPS: usize = 30;
const KEYS: [&str; 4] = ["a", "a/b", "photos/c d+é", "z"];
/// Around a block of the store's files, and what is easily forgotten.
const SIZES: [usize; 7] = [0, 1, 1000, 65_535, 65_536, 65_537, 150_000];
/// S3's rule for every part but the last.
const LEAST_PART: usize = 5 * MIB;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_sequence_of_steps_does_what_the_model_does() {
    let first = rand::random::<u32>().into();
    let seeds = match env::var("BRIGADE_TEST_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => (first..first + SEQUENCES).collect(),
    };
    for seed in seeds {
        let mut run = Run::start(seed).await;
        for _ in 0..STEPS {
            run.step().await;
        }
        run.reopen().await;
        run.is_done = true;
        run.store.take().unwrap().stop().await;
    }
}

#[derive(Default)]
struct Model {
    objects: BTreeMap<String, Vec<u8>>,
    uploads: Vec<Upload>,
    /// Key and id of uploads that were completed or aborted.
    ended: Vec<(String, String)>,
}

struct Upload {
    key: String,
    id: String,
    parts: BTreeMap<i32, (Vec<u8>, CompletedPart)>,
}

/// One sequence. Its seed and steps are printed when it fails.
struct Run {
    seed: u64,
    random: StdRng,
    store: Option<TestStore>,
    model: Model,
    steps: Vec<String>,
    is_done: bool,
}

impl Drop for Run {
    fn drop(&mut self) {
        if !self.is_done {
            println!("BRIGADE_TEST_SEED={}\n{}", self.seed, self.steps.join("\n"));
        }
    }
}

impl Run {
    async fn start(seed: u64) -> Self {
        Self {
            seed,
            random: StdRng::seed_from_u64(seed),
            // Where a sync costs nothing: what a disk does to it is asked elsewhere.
            store: Some(TestStore::start_in(TestDir::in_memory()).await),
            model: Model::default(),
            steps: Vec::new(),
            is_done: false,
        }
    }

    fn client(&self) -> Client {
        self.store.as_ref().unwrap().client()
    }

    fn key(&mut self) -> &'static str {
        KEYS.choose(&mut self.random).unwrap()
    }

    fn content(&mut self, size: usize) -> Vec<u8> {
        bytes(size, self.random.random())
    }

    fn tell(&mut self, step: String) {
        self.steps.push(step);
    }

    async fn step(&mut self) {
        match self.random.random_range(0..100) {
            0..15 => self.put().await,
            15..30 => self.get().await,
            30..36 => self.head().await,
            36..46 => self.delete().await,
            46..56 => self.create().await,
            56..76 => self.part().await,
            76..87 => self.complete().await,
            87..92 => self.abort().await,
            92..95 => self.ended().await,
            _ => self.reopen().await,
        }
        self.compare().await;
    }

    async fn put(&mut self) {
        let key = self.key();
        let size = *SIZES.choose(&mut self.random).unwrap();
        self.tell(format!("put {key}, {size} bytes"));
        let content = self.content(size);
        put(&self.client(), key, content.clone()).await;
        self.model.objects.insert(key.to_owned(), content);
    }

    async fn get(&mut self) {
        let key = self.key();
        self.tell(format!("get {key}"));
        self.same_content(key).await;
    }

    async fn same_content(&self, key: &str) {
        let client = self.client();
        match self.model.objects.get(key) {
            Some(content) => assert!(get(&client, key).await == *content, "{key}"),
            None => assert_eq!(code(client.get_object().bucket(BUCKET).key(key).send().await), "NoSuchKey"),
        }
    }

    async fn head(&mut self) {
        let key = self.key();
        self.tell(format!("head {key}"));
        let head = self.client().head_object().bucket(BUCKET).key(key).send().await;
        match (self.model.objects.get(key), head) {
            (Some(content), Ok(head)) => assert_eq!(head.content_length(), Some(content.len() as i64)),
            (None, Err(error)) => assert!(error.into_service_error().is_not_found()),
            (model, head) => panic!("{:?} bytes, {head:?}", model.map(Vec::len)),
        }
    }

    async fn delete(&mut self) {
        let key = self.key();
        self.tell(format!("delete {key}"));
        self.client().delete_object().bucket(BUCKET).key(key).send().await.unwrap();
        self.model.objects.remove(key);
    }

    async fn create(&mut self) {
        let key = self.key().to_owned();
        self.tell(format!("create {key}"));
        let id = begin(&self.client(), &key).await;
        self.model.uploads.push(Upload { key, id, parts: BTreeMap::new() });
    }

    /// An open upload by its place, when there is one.
    fn open(&mut self) -> Option<usize> {
        let open = self.model.uploads.len();
        (open > 0).then(|| self.random.random_range(0..open))
    }

    async fn part(&mut self) {
        let Some(at) = self.open() else { return };
        let number = self.random.random_range(1..=3);
        let is_large = self.random.random_bool(0.04);
        let size = if is_large { LEAST_PART } else { *SIZES.choose(&mut self.random).unwrap() };
        let content = self.content(size);
        let client = self.client();
        let (key, id) = (self.model.uploads[at].key.clone(), self.model.uploads[at].id.clone());
        self.tell(format!("part {number} of {key}, {size} bytes"));
        let sent = part(&client, &key, &id, number, &content).await;
        self.model.uploads[at].parts.insert(number, (content, sent));
    }

    async fn complete(&mut self) {
        let Some(at) = self.open() else { return };
        let numbers: Vec<i32> = self.model.uploads[at].parts.keys().copied().collect();
        // As a rule all of them; some may be left out.
        let named: Vec<i32> = numbers.into_iter().filter(|_| self.random.random_bool(0.85)).collect();
        let Upload { key, id, parts } = &self.model.uploads[at];
        let (key, id) = (key.clone(), id.clone());
        let list: Vec<CompletedPart> = named.iter().map(|number| parts[number].1.clone()).collect();
        let sizes: Vec<usize> = named.iter().map(|number| parts[number].0.len()).collect();
        let content = named.iter().flat_map(|number| parts[number].0.iter().copied()).collect();
        self.tell(format!("complete {key} of parts {named:?}, {sizes:?} bytes"));
        let done = complete(&self.client(), &key, &id, &list).send().await;
        match sizes.split_last() {
            None => assert_eq!(code(done), "MalformedXML"),
            Some((_, but_last)) if but_last.iter().any(|size| *size < LEAST_PART) => {
                assert_eq!(code(done), "EntityTooSmall");
            }
            Some(_) => {
                done.unwrap();
                self.model.uploads.remove(at);
                self.model.objects.insert(key.clone(), content);
                self.same_content(&key).await;
                self.model.ended.push((key, id));
            }
        }
    }

    async fn abort(&mut self) {
        let Some(at) = self.open() else { return };
        let Upload { key, id, .. } = self.model.uploads.remove(at);
        self.tell(format!("abort {key}"));
        let abort = self.client().abort_multipart_upload().bucket(BUCKET).key(&key).upload_id(&id);
        abort.send().await.unwrap();
        self.model.ended.push((key, id));
    }

    /// What has ended takes nothing more.
    async fn ended(&mut self) {
        let Some((key, id)) = self.model.ended.choose(&mut self.random).cloned() else { return };
        self.tell(format!("an ended upload of {key}"));
        let client = self.client();
        let late = client.upload_part().bucket(BUCKET).key(&key).upload_id(&id).part_number(1);
        assert_eq!(code(late.body(b"late".to_vec().into()).send().await), "NoSuchUpload");
        let part = CompletedPart::builder().part_number(1).e_tag("\"x\"").build();
        assert_eq!(code(complete(&client, &key, &id, &[part]).send().await), "NoSuchUpload");
        let abort = client.abort_multipart_upload().bucket(BUCKET).key(&key).upload_id(&id);
        assert_eq!(code(abort.send().await), "NoSuchUpload");
    }

    /// Closed and opened again, the store has everything as it was, to the byte.
    async fn reopen(&mut self) {
        self.tell("reopen".to_owned());
        let store = self.store.take().unwrap();
        self.store = Some(store.restart().await);
        for key in KEYS {
            self.same_content(key).await;
        }
        self.compare().await;
    }

    /// The lists of objects, of open uploads and of their parts.
    async fn compare(&self) {
        let client = self.client();
        let listed = client.list_objects_v2().bucket(BUCKET).send().await.unwrap();
        let listed = listed.contents().iter().map(|object| (object.key().unwrap(), object.size().unwrap()));
        let objects = self.model.objects.iter().map(|(key, content)| (key.as_str(), content.len() as i64));
        assert_eq!(listed.collect::<Vec<_>>(), objects.collect::<Vec<_>>());
        let open = client.list_multipart_uploads().bucket(BUCKET).send().await.unwrap();
        let mut open: Vec<_> = open
            .uploads()
            .iter()
            .map(|upload| (upload.key().unwrap(), upload.upload_id().unwrap()))
            .collect();
        let mut uploads: Vec<_> =
            self.model.uploads.iter().map(|upload| (upload.key.as_str(), upload.id.as_str())).collect();
        open.sort_unstable();
        uploads.sort_unstable();
        assert_eq!(open, uploads);
        for upload in &self.model.uploads {
            let listed = client.list_parts().bucket(BUCKET).key(&upload.key).upload_id(&upload.id);
            let listed = listed.send().await.unwrap();
            let listed: Vec<_> =
                listed.parts().iter().map(|part| (part.part_number(), part.size(), part.e_tag())).collect();
            let parts = upload
                .parts
                .values()
                .map(|(content, part)| (part.part_number(), Some(content.len() as i64), part.e_tag()));
            assert_eq!(listed, parts.collect::<Vec<_>>());
        }
    }
}
