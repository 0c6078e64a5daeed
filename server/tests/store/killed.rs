//! A store killed in the middle, again and again, or with a disk that fails one call in some: what it confirmed is there,
//! the rest is whole or absent.

use std::collections::HashMap;
use std::env;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use aws_sdk_s3::Client;
use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::types::CompletedPart;
use futures_util::future::join_all;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rustix::process::{Pid, Signal, kill_process};

use crate::fixture::{BUCKET, TestDir, TestStore, bytes, client, eventually};
use crate::multipart::{begin, complete, part};

const DIRECTORY: &str = "BRIGADE_TEST_STORE_DIR";

/// Set, the store's thread never sleeps: a thread that is woken is woken by a write, and that one must not fail.
const AWAKE: &str = "BRIGADE_TEST_STORE_AWAKE";

/// Not a test of its own: the process that gets killed, this test binary started again.
#[test]
#[ignore = "started by the test below"]
fn victim() {
    let Ok(dir) = env::var(DIRECTORY) else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    if env::var_os(AWAKE).is_some() {
        runtime.spawn(async {
            loop {
                tokio::task::yield_now().await;
            }
        });
    }
    runtime.block_on(async {
        let store = server::embedded::Store::open(Path::new(&dir)).unwrap();
        store.ensure_bucket(BUCKET).await.unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("\naddress={}", listener.local_addr().unwrap());
        let forever = tokio_util::sync::CancellationToken::new();
        store.serve(listener, "test", "test-secret", server::embedded::Switches::default(), forever).await;
    });
}

struct Victim(Child);

impl Victim {
    fn start(dir: &Path) -> (Self, SocketAddr) {
        Self::start_under(&[], dir).expect("it serves")
    }

    /// The same by way of a program that becomes the store; none when it does not come so far as to serve.
    fn start_under(program: &[&str], dir: &Path) -> Option<(Self, SocketAddr)> {
        let itself = env::current_exe().unwrap();
        let words = [program, &[itself.to_str().unwrap()]].concat();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).args(["--exact", "killed::victim", "--ignored", "--nocapture"]);
        if !program.is_empty() {
            command.env(AWAKE, "1");
        }
        let child = command.env(DIRECTORY, dir).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut victim = Self(child.unwrap());
        let pid = Pid::from_child(&victim.0);
        // A disk that fails may also leave it hanging.
        let (_starting, started) = mpsc::channel::<()>();
        std::thread::spawn(move || {
            if started.recv_timeout(Duration::from_secs(10)) == Err(mpsc::RecvTimeoutError::Timeout) {
                let _ = kill_process(pid, Signal::KILL);
            }
        });
        let lines = BufReader::new(victim.0.stdout.take().unwrap()).lines();
        let mut lines = lines.map_while(Result::ok);
        let address = lines.find_map(|line| line.strip_prefix("address=").map(String::from))?;
        Some((victim, address.parse().unwrap()))
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        // It may have ended by itself; its id is its own until it is waited for.
        let _ = self.0.kill();
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
async fn g09_what_was_confirmed_survives_a_kill() {
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
            if store(&client, &key, version).await.is_err() {
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
    nothing_is_left(dir, &mut possible).await;
}

/// Opened once more, the store has what is possible, and when that is deleted, nothing.
async fn nothing_is_left(dir: TestDir, possible: &mut HashMap<String, Possible>) {
    let store = TestStore::start_in(dir).await;
    assert_eq!(store.dir.temporary().len(), 0);
    check(&store.client(), possible).await;
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

/// How many kills: as many as the issue asks for, unless another number is wanted.
fn kills() -> u64 {
    env::var("BRIGADE_TEST_KILLS").map_or(200, |text| text.parse().unwrap())
}

/// Killed at a random moment around the Completes of two uploads, each time over the objects of the time before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g09_killed_in_the_middle_of_complete() {
    const KEYS: [&str; 2] = ["first", "second"];
    let seed = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let dir = TestDir::new();
    let mut possible: HashMap<String, Possible> =
        KEYS.map(|key| (key.to_owned(), Possible(vec![None]))).into();
    // How long the Completes take when nobody is killed; a first guess, corrected by each that is answered.
    let mut usual = Duration::from_millis(10);
    let (mut answered, mut whole, mut absent) = (0, 0, 0);
    for kill in 0..kills() {
        let (victim, address) = Victim::start(dir.path());
        let client = client(address, false);
        let before: Vec<_> = possible.values().map(|states| states.0.clone()).collect();
        check(&client, &mut possible).await;
        for (states, now) in before.iter().zip(possible.values()).filter(|(states, _)| states.len() > 1) {
            if now.0[0] == states[0] { absent += 1 } else { whole += 1 }
        }
        no_stray_file(&client, &dir, &possible).await;

        let mut ready = Vec::new();
        for (n, key) in KEYS.into_iter().enumerate() {
            let version = 1 + 2 * kill + n as u64;
            possible.get_mut(key).unwrap().0.push(Some(version));
            let id = begin(&client, key).await;
            let part = part(&client, key, &id, 1, &body(version)).await;
            ready.push((key, version, id, part));
        }
        let begun = Instant::now();
        let killer = tokio::spawn({
            let delay = usual.mul_f64(random.random_range(0.0..1.3));
            async move {
                tokio::time::sleep(delay).await;
                drop(victim);
            }
        });
        let completing = ready.iter().map(async |(key, _, id, part)| {
            let done = complete(&client, key, id, std::slice::from_ref(part)).send().await;
            done.is_ok().then(|| begun.elapsed())
        });
        let completed = join_all(completing).await;
        for ((key, version, ..), took) in ready.iter().zip(completed) {
            if let Some(took) = took {
                usual = (3 * usual + took) / 4;
                answered += 1;
                possible.get_mut(*key).unwrap().0 = vec![Some(*version)];
            }
        }
        killer.await.unwrap();
    }
    println!(
        "{} kills, Complete takes {usual:?}: {answered} answered before, {whole} done and not answered, {absent} not done",
        kills()
    );
    nothing_is_left(dir, &mut possible).await;
}

/// Of what a kill left only the open uploads remain; without them there is a directory of parts for each object.
async fn no_stray_file(client: &Client, dir: &TestDir, possible: &HashMap<String, Possible>) {
    assert_eq!(dir.temporary().len(), 0);
    let open = client.list_multipart_uploads().bucket(BUCKET).send().await.unwrap();
    for upload in open.uploads() {
        let (key, id) = (upload.key().unwrap(), upload.upload_id().unwrap());
        client.abort_multipart_upload().bucket(BUCKET).key(key).upload_id(id).send().await.unwrap();
    }
    let objects = possible.values().filter(|states| states.0[0].is_some()).count();
    assert_eq!(dir.objects().len(), objects);
    assert_eq!(dir.uploads().len(), objects);
}

/// The kernel ends the process in the middle of a write, at each of many offsets of the file (`RLIMIT_FSIZE`).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g09_killed_at_every_offset_of_a_write() {
    let dir = TestDir::new();
    let mut possible = HashMap::new();
    {
        let (_victim, address) = Victim::start(dir.path());
        crate::fixture::put(&client(address, false), "key", body(7)).await;
        possible.insert("key".to_owned(), Possible(vec![Some(7)]));
    }
    // `body(14)` has 100,000 bytes; checksums and record follow.
    let offsets = (0..100_000).step_by(6_000).chain((99_990..100_500).step_by(30));
    let mut killed = 0;
    for offset in offsets {
        let limit = format!("--fsize={offset}");
        let Some((_victim, address)) = Victim::start_under(&["prlimit", "--core=0", &limit], dir.path())
        else {
            panic!("it serves under {limit}");
        };
        let client = client(address, false);
        check(&client, &mut possible).await;
        let put = client.put_object().bucket(BUCKET).key("key").body(body(14).into()).send().await;
        let states = &mut possible.get_mut("key").unwrap().0;
        match put {
            Ok(_) => *states = vec![Some(14)],
            Err(_) => states.push(Some(14)),
        }
        killed += u64::from(states.len() > 1);
    }
    assert!(killed >= 25, "{killed} writes were cut");
    nothing_is_left(dir, &mut possible).await;
}

/// The same offsets as an error: a short write, and then none. It is told, and what was there before stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g08_a_write_that_ends_short() {
    let dir = TestDir::new();
    let mut possible = HashMap::from([("key".to_owned(), Possible(vec![None]))]);
    let (mut stored, mut refused) = (0, 0);
    let offsets = (0..100_000).step_by(9_000).chain((99_990..100_500).step_by(60));
    // Versions of 100,000 bytes; checksums and record follow.
    for (offset, version) in offsets.zip((7..).step_by(7)) {
        let limit = format!("--fsize={offset}");
        // Without the signal the write fails instead.
        let program = ["sh", "-c", "trap '' XFSZ; exec \"$0\" \"$@\"", "prlimit", &limit];
        let (_victim, address) = Victim::start_under(&program, dir.path()).expect("it serves");
        let client = client(address, false);
        match store(&client, "key", version).await {
            Ok(()) => {
                assert!(offset > 100_000, "{offset}");
                possible.get_mut("key").unwrap().0 = vec![Some(version)];
                stored += 1;
            }
            Err(told) => {
                assert_eq!(told, Some(500), "{offset}");
                refused += 1;
            }
        }
        assert_eq!(dir.temporary().len(), 0, "{offset}");
        check(&client, &mut possible).await;
    }
    assert!(stored > 0 && refused > 12, "{stored} stored, {refused} refused");
    nothing_is_left(dir, &mut possible).await;
}

fn status<E>(error: &SdkError<E, aws_smithy_runtime_api::client::orchestrator::HttpResponse>) -> Option<u16> {
    error.raw_response().map(|answer| answer.status().as_u16())
}

/// A disk that fails, or does by halves, one call in some: never a 200 whose object is not there, never wrong bytes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g08_a_disk_that_fails_now_and_then() {
    const FAULTS: [&str; 9] = [
        "enable_random name=posix/io/rw/write,probability=0.1,failinfo=28",
        "enable_random name=posix/io/rw/write,probability=0.1,failinfo=5",
        "enable_random name=posix/io/rw/write/reduce,probability=0.5",
        "enable_random name=posix/io/rw/read/reduce,probability=0.5",
        "enable_random name=posix/io/sync/fsync,probability=0.15,failinfo=5",
        "enable_random name=posix/io/sync/fsync,probability=0.15,failinfo=28",
        "enable_random name=posix/io/dir/rename,probability=0.2,failinfo=28",
        "enable_random name=posix/io/oc/open,probability=0.03,failinfo=28",
        "enable_random name=posix/io/dir/unlink,probability=0.3,failinfo=5",
    ];
    if !Path::new("/usr/bin/fiu-run").exists() {
        println!("SKIPPED: fiu-run is missing");
        return;
    }
    let dir = TestDir::new();
    let mut possible: HashMap<String, Possible> = HashMap::new();
    let mut version = 0;
    for fault in FAULTS {
        let (mut stored, mut refused, mut cut) = (0, 0, 0);
        let is_harmless = fault.contains("reduce") || fault.contains("unlink");
        // By chance the store may not even open.
        for _ in 0..40 {
            if stored >= 12 && (is_harmless || refused >= 2) {
                break;
            }
            {
                let (_healthy, address) = Victim::start(dir.path());
                check(&client(address, false), &mut possible).await;
            }
            let Some((_victim, address)) = Victim::start_under(&["fiu-run", "-x", "-c", fault], dir.path())
            else {
                cut += 1;
                continue;
            };
            let client = client(address, false);
            for _ in 0..12 {
                version += 1;
                let key = format!("key-{}", version % 3);
                let states = &mut possible.entry(key.clone()).or_insert_with(|| Possible(vec![None])).0;
                states.push(Some(version));
                let storing = store(&client, &key, version);
                match tokio::time::timeout(Duration::from_secs(3), storing).await {
                    Ok(Ok(())) => {
                        *states = vec![Some(version)];
                        stored += 1;
                    }
                    Ok(Err(Some(status))) => {
                        assert!((500..600).contains(&status), "{fault}: {status}");
                        refused += 1;
                    }
                    Ok(Err(None)) | Err(_) => {
                        cut += 1;
                        break;
                    }
                }
            }
        }
        println!("{fault}: {stored} stored, {refused} refused, {cut} cut");
        assert!(stored >= 12 && (is_harmless || refused >= 2), "{fault}: {stored} stored, {refused} refused");
    }
    nothing_is_left(dir, &mut possible).await;
}

/// Puts a version, or sends it in parts; the status of the refusal when there is one.
async fn store(client: &Client, key: &str, version: u64) -> Result<(), Option<u16>> {
    if !version.is_multiple_of(4) {
        let put = client.put_object().bucket(BUCKET).key(key).body(body(version).into()).send().await;
        return put.map(drop).map_err(|error| status(&error));
    }
    let begun = client.create_multipart_upload().bucket(BUCKET).key(key).send().await;
    let begun = begun.map_err(|error| status(&error))?;
    let id = begun.upload_id().unwrap();
    let part = client.upload_part().bucket(BUCKET).key(key).upload_id(id).part_number(1);
    let sent = part.body(body(version).into()).send().await.map_err(|error| status(&error))?;
    let part = CompletedPart::builder().part_number(1).set_e_tag(sent.e_tag).build();
    let done = complete(client, key, id, &[part]).send().await;
    done.map(drop).map_err(|error| status(&error))
}
