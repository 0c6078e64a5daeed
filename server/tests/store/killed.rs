//! A store killed in the middle, again and again: what it confirmed is there, the rest is whole or absent.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::types::CompletedPart;

use crate::fixture::{BUCKET, TestDir, TestStore, bytes, client, eventually};
use crate::multipart::complete;

const DIRECTORY: &str = "BRIGADE_TEST_STORE_DIR";

/// Not a test of its own: the process that gets killed, this test binary started again.
#[test]
#[ignore = "started by the test below"]
fn victim() {
    let Ok(dir) = std::env::var(DIRECTORY) else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = server::embedded::Store::open(Path::new(&dir)).unwrap();
        store.ensure_bucket(BUCKET).await.unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("\naddress={}", listener.local_addr().unwrap());
        let forever = tokio_util::sync::CancellationToken::new();
        store.serve(listener, "test", "test-secret", forever).await;
    });
}

struct Victim(Child);

impl Victim {
    fn start(dir: &Path) -> (Self, SocketAddr) {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "killed::victim", "--ignored", "--nocapture"])
            .env(DIRECTORY, dir)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = lines
            .map(Result::unwrap)
            .find_map(|line| line.strip_prefix("address=").map(String::from))
            .expect("it serves");
        (Self(child), address.parse().unwrap())
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// Which versions of a key may be there: the last confirmed one and those begun after it.
#[derive(Default)]
struct Possible(Vec<Option<u64>>);

fn body(version: u64) -> Vec<u8> {
    bytes(100_000 + (version as usize % 7) * 100_000, version)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_confirmed_survives_a_kill() {
    let dir = TestDir::new();
    let mut possible: HashMap<String, Possible> = HashMap::new();
    let mut version = 0;
    let mut confirmed = 0;
    for round in 0..8 {
        let (victim, address) = Victim::start(dir.path());
        let client = client(address, false);
        check(&client, &mut possible).await;
        // Some time after the first success, another in each round, whatever is going on then.
        let (begun, first) = tokio::sync::oneshot::channel();
        let mut begun = Some(begun);
        let killer = tokio::spawn(async move {
            first.await.unwrap();
            tokio::time::sleep(Duration::from_millis(17 * round)).await;
            drop(victim);
        });
        loop {
            version += 1;
            let key = format!("key-{}", version % 3);
            let states = &mut possible.entry(key.clone()).or_insert_with(|| Possible(vec![None])).0;
            states.push(Some(version));
            let stored = if version % 4 == 0 {
                in_parts(&client, &key, body(version)).await
            } else {
                let put = client.put_object().bucket(BUCKET).key(&key);
                let put = put.body(body(version).into()).send().await;
                put.map(drop).map_err(aws_sdk_s3::Error::from)
            };
            if stored.is_err() {
                break;
            }
            *states = vec![Some(version)];
            confirmed += 1;
            if let Some(begun) = begun.take() {
                begun.send(()).unwrap();
            }
        }
        killer.await.unwrap();
    }
    println!("{confirmed} objects confirmed between 8 kills");
    let store = TestStore::start_in(dir).await;
    assert_eq!(store.dir.temporary().len(), 0);
    check(&store.client(), &mut possible).await;
    let uploads = store.client().list_multipart_uploads().bucket(BUCKET).send().await.unwrap();
    for upload in uploads.uploads() {
        let abort = store.client().abort_multipart_upload().bucket(BUCKET);
        let abort = abort.key(upload.key().unwrap()).upload_id(upload.upload_id().unwrap());
        abort.send().await.unwrap();
    }
    for key in possible.keys() {
        store.client().delete_object().bucket(BUCKET).key(key).send().await.unwrap();
    }
    eventually(|| store.dir.uploads().is_empty()).await;
    assert_eq!(store.dir.objects().len(), 0);
    store.stop().await;
}

async fn in_parts(client: &Client, key: &str, body: Vec<u8>) -> Result<(), aws_sdk_s3::Error> {
    let begun = client.create_multipart_upload().bucket(BUCKET).key(key).send().await?;
    let id = begun.upload_id().unwrap();
    let part = client.upload_part().bucket(BUCKET).key(key).upload_id(id).part_number(1);
    let etag = part.body(body.into()).send().await?.e_tag().unwrap().to_owned();
    let part = CompletedPart::builder().part_number(1).e_tag(etag).build();
    complete(client, key, id, &[part]).send().await?;
    Ok(())
}

/// Each key is one of its possible versions, whole; from now on it is that one.
async fn check(client: &Client, possible: &mut HashMap<String, Possible>) {
    for (key, states) in possible {
        let found = match client.get_object().bucket(BUCKET).key(key).send().await {
            Ok(answer) => {
                let read = answer.body.collect().await.unwrap().to_vec();
                let known = |v: &&Option<u64>| v.is_some_and(|v| body(v) == read);
                *states.0.iter().find(known).expect("a version that may be there")
            }
            Err(error) => {
                let error = error.into_service_error();
                assert!(error.is_no_such_key(), "{error:?}");
                assert!(states.0.contains(&None), "{key} was confirmed");
                None
            }
        };
        states.0 = vec![found];
    }
}
