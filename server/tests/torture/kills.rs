//! Rounds that end in SIGKILL: clients upload, the server dies, another one starts over its directory and is looked at.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::Rng;
use rand::rngs::StdRng;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::client::{self, Ended};
use crate::layout::{Shape, strays};
use crate::ledger::{Found, Ledger};
use crate::plan::{ClientFault, Plan, Temper};
use crate::report::{Report, caught, last_words};
use crate::sample::Sample;
use crate::support::bucket::Bucket;
use crate::support::child::{Child, Setup};
use crate::support::client::{Form, get};
use crate::support::fixture::{Dir, settle};
use crate::support::proxy::Proxy;
use crate::support::sample::{KIB, MIB, jpeg, pdf};
use crate::support::store::{ACCESS_KEY, SECRET_KEY};

/// Bytes of one round's files together, so that a few large ones are under way at most.
const MOST_BYTES: usize = 60 * MIB;
/// Bytes of the objects that stay from round to round.
const MOST_KEPT: usize = 40 * MIB;
/// For what a client does when its server has died.
const LEFT_BEHIND: Duration = Duration::from_millis(200);
/// A normal upload after a restart (FAULTS.md, I7).
const NORMAL: Duration = Duration::from_secs(2);

/// When the server dies.
#[derive(Clone, Copy, Debug)]
enum Moment {
    Ms(u64),
    /// So many bytes from the clients together, and microseconds more.
    Bytes(u64, u64),
    /// So many microseconds after the first, second, ... client has been answered or has left.
    Client(usize, u64),
}

/// The server's directory, and what must be in it.
struct Ground {
    data_dir: PathBuf,
    dir: Arc<Dir>,
    ledger: Ledger,
}

impl Ground {
    fn new() -> Self {
        let dir = Arc::new(Dir::new());
        Self { data_dir: dir.path.join("server"), dir, ledger: Ledger::default() }
    }

    /// A server over the directory, with these flags.
    fn server(&self, flags: &[&str]) -> Setup {
        Child::setup().within(&self.dir).flags(flags)
    }
}

/// Kills so many servers, in the rounds from `from` on.
pub async fn run(seed: u64, from: u64, kills: u64) -> Report {
    let mut report = Report::new(format!("{kills} kills, seed {seed}, from round {from}"));
    let mut ground = Ground::new();
    for round in from..from + kills {
        let begun = Instant::now();
        let mut rng = crate::generator(seed, round);
        if rng.random_ratio(1, 12) {
            ground = Ground::new();
        }
        let before = report.violations.len();
        let line = one_round(&mut rng, round, &mut ground, &mut report).await;
        for violation in &mut report.violations[before..] {
            *violation = format!("(--seed {seed} --from {round} --kills 1) {violation}");
            println!("VIOLATION {violation}");
        }
        let found = report.violations.len() - before;
        println!("kill {round}: {line}; {} ms, {found} violations", begun.elapsed().as_millis());
        if report.is_hopeless() {
            break;
        }
    }
    last_look(&mut ground, &mut report).await;
    report
}

async fn one_round(rng: &mut StdRng, round: u64, ground: &mut Ground, report: &mut Report) -> String {
    let flags = draw_flags(rng);
    let plans = draw_plans(rng, round);
    let moment = draw_moment(rng, &plans);
    let again = draw_starts(rng);
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let server = ground.server(&flags).start().await;
    let (ended, log) = until_killed(server, plans, moment, report).await;
    report.fault("killed while clients upload", 1);
    look_at_log(&log, report);
    let mut answers: Vec<String> = Vec::new();
    for ended in &ended {
        answers.push(ended.word());
        report.answered(&ended.word());
        report.violations.extend(ended.violations.iter().cloned());
        report.violations.extend(ground.ledger.enter(ended));
    }
    for microseconds in &again {
        let starting = ground.server(&flags).spawn();
        sleep(Duration::from_micros(*microseconds)).await;
        look_at_log(&starting.kill().await, report);
        report.fault("killed while it starts", 1);
    }
    let begun = Instant::now();
    let server = ground.server(&flags).start().await;
    let restart = begun.elapsed().as_millis();
    let found = look(&server, &ground.data_dir, &mut ground.ledger, report).await;
    let (objects, unanswered) = (found.objects.len(), found.unanswered);
    prune(&server, ground, found, report).await;
    look_at_log(&server.kill().await, report);
    report.fault("killed at rest", 1);
    answers.sort();
    format!(
        "{moment:?}; answers: {}; started again in {restart} ms with {objects} objects, {unanswered} of them unanswered",
        answers.join(", ")
    )
}

fn draw_flags(rng: &mut StdRng) -> Vec<String> {
    let mut flags: Vec<String> =
        ["--store-access-key", ACCESS_KEY, "--store-secret-key", SECRET_KEY].map(str::to_owned).into();
    if rng.random_ratio(1, 3) {
        flags.extend(["--buffer-memory".to_owned(), format!("{}MiB", rng.random_range(20..64))]);
    }
    if rng.random_ratio(1, 3) {
        flags.extend(["--s3-checksums", "on"].map(str::to_owned));
    }
    flags
}

/// Microseconds for which servers may start before they are killed; mostly none is.
fn draw_starts(rng: &mut StdRng) -> Vec<u64> {
    let starts = rng.random_range(0..4_u32).saturating_sub(1);
    let most = if rng.random_ratio(1, 2) { 20_000 } else { 150_000 };
    (0..starts).map(|_| rng.random_range(0..most)).collect()
}

fn draw_plans(rng: &mut StdRng, round: u64) -> Vec<Plan> {
    let largest = if rng.random_ratio(1, 3) { 6 * MIB } else { 25 * MIB };
    let temper = Temper { largest, defects: 6, faults: 12, line_faults: 40, has_watchers: false };
    let clients = rng.random_range(2..=7);
    let mut left = MOST_BYTES;
    let mut plans = Vec::new();
    for number in 0..clients {
        let temper = Temper { largest: temper.largest.min(left / 2), ..temper };
        let plan = Plan::draw(rng, &format!("k{number}"), round * 100 + number, temper);
        left = left.saturating_sub(bytes(&plan));
        plans.push(plan);
    }
    plans
}

fn bytes(plan: &Plan) -> usize {
    plan.files.iter().map(|file| file.sample.size).sum()
}

fn draw_moment(rng: &mut StdRng, plans: &[Plan]) -> Moment {
    let all: usize = plans.iter().map(bytes).sum();
    match rng.random_range(0..4) {
        0 => Moment::Ms(rng.random_range(0..600)),
        1 | 2 => Moment::Bytes(rng.random_range(0..all as u64), rng.random_range(0..20_000)),
        _ => Moment::Client(rng.random_range(1..=plans.len()), rng.random_range(0..3_000)),
    }
}

/// Lets the clients begin, kills the server at the moment, and lets them end.
async fn until_killed(
    server: Child,
    plans: Vec<Plan>,
    moment: Moment,
    report: &mut Report,
) -> (Vec<Ended>, String) {
    // All clients' lines lead through this one: it counts their bytes.
    let meter = Proxy::start(server.address).await;
    let mut running = JoinSet::new();
    for plan in plans {
        report.fault(plan.fault.name(), u64::from(plan.fault != ClientFault::None));
        if let Some(line) = plan.line {
            report.fault(line.name(), 1);
        }
        running.spawn(client::run(plan, meter.addr));
    }
    let mut ended = Vec::new();
    let mut take = |joined: Result<Ended, tokio::task::JoinError>| match joined {
        Ok(one) => ended.push(one),
        Err(error) => report.violations.push(match error.try_into_panic() {
            Ok(panic) => format!("client: {}", last_words(&*panic)),
            Err(error) => error.to_string(),
        }),
    };
    let waiting = wait_for(moment, &meter);
    tokio::pin!(waiting);
    let mut count = 0;
    loop {
        tokio::select! {
            () = &mut waiting => break,
            joined = running.join_next() => match joined {
                Some(joined) => {
                    take(joined);
                    count += 1;
                    if let Moment::Client(clients, microseconds) = moment && count == clients {
                        sleep(Duration::from_micros(microseconds)).await;
                        break;
                    }
                }
                None => break,
            },
        }
    }
    let log = server.kill().await;
    let late = async {
        sleep(LEFT_BEHIND).await;
        meter.reset_all();
    };
    tokio::join!(late, async {
        while let Some(joined) = running.join_next().await {
            take(joined);
        }
    });
    (ended, log)
}

async fn wait_for(moment: Moment, meter: &Proxy) {
    match moment {
        Moment::Ms(ms) => sleep(Duration::from_millis(ms)).await,
        Moment::Bytes(bytes, microseconds) => {
            while meter.up.bytes() < bytes {
                sleep(Duration::from_millis(1)).await;
            }
            sleep(Duration::from_micros(microseconds)).await;
        }
        Moment::Client(..) => std::future::pending().await,
    }
}

/// Everything that must be true of a server that has just started over what a kill left.
async fn look(server: &Child, data_dir: &Path, ledger: &mut Ledger, report: &mut Report) -> Found {
    let address = server.address;
    let ready = caught(async move { get(address, "/readyz").await }).await;
    match ready {
        Ok(answer) if answer.status == 200 => {}
        Ok(answer) => report.violations.push(format!("/readyz: {} {}", answer.status, answer.text())),
        Err(words) => report.violations.push(format!("/readyz: {words}")),
    }
    let bucket = Bucket::at(server.store().await);
    let found = look_into(&bucket, data_dir, ledger, report).await;
    report.checked("restarts", 1);
    report.violations.extend(normal_upload(address, &bucket).await);
    found
}

/// The same of a store and its directory.
pub async fn look_into(bucket: &Bucket, data_dir: &Path, ledger: &mut Ledger, report: &mut Report) -> Found {
    let listing = bucket.clone();
    let open = caught(async move { settle(Vec::is_empty, || listing.open_uploads()).await }).await;
    match open {
        Ok(open) if open.is_empty() => {}
        Ok(open) => {
            report.violations.push(format!("{} uploads are open after the sweep: {open:?}", open.len()))
        }
        Err(words) => report.violations.push(format!("the open uploads do not list: {words}")),
    }
    let mut found = ledger.check(bucket).await;
    report.violations.append(&mut found.violations);
    let shapes: Vec<Shape> = found.objects.iter().map(|(shape, _)| shape.clone()).collect();
    report.violations.extend(strays(data_dir, &shapes).await);
    report.checked("objects read and compared", found.objects.len() as u64);
    report.checked("objects whose client had no answer", found.unanswered as u64);
    found
}

async fn normal_upload(address: SocketAddr, bucket: &Bucket) -> Option<String> {
    let (document, image) = (pdf(100 * KIB), jpeg(20 * KIB));
    let form = Form::both(&document, &image);
    let begun = Instant::now();
    let posting = async move { form.post(address).await.stored() };
    let answer = match tokio::time::timeout(NORMAL, caught(posting)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(words)) => return Some(format!("a normal upload: {words}")),
        Err(_) => return Some(format!("a normal upload takes longer than {:?}", begun.elapsed())),
    };
    for (file, content) in answer.files.iter().zip([document, image]) {
        let (bucket, key) = (bucket.clone(), file.key.clone().unwrap_or_default());
        let read = caught(async move {
            let object = bucket.get(&key).await;
            bucket.delete(&key).await;
            object.content
        });
        if read.await != Ok(content) {
            return Some(format!("a normal upload does not read back: {file:?}"));
        }
    }
    None
}

/// Deletes what the next rounds need not carry along: some stay, and must stay whole.
async fn prune(server: &Child, ground: &mut Ground, found: Found, report: &mut Report) {
    let bucket = Bucket::at(server.store().await);
    let (mut kept, mut bytes): (Vec<(String, Sample)>, usize) = (Vec::new(), 0);
    let mut shapes = Vec::new();
    // The newest first: those of the last round have been through one kill only.
    let mut objects: Vec<_> = found.objects;
    objects.sort_by_key(|(_, sample)| std::cmp::Reverse(sample.map(|sample| sample.number)));
    for (shape, sample) in objects {
        match sample {
            Some(sample) if bytes + shape.size <= MOST_KEPT => {
                bytes += shape.size;
                kept.push((shape.key.clone(), sample));
                shapes.push(shape);
            }
            _ => {
                let (bucket, key) = (bucket.clone(), shape.key);
                let deleted = caught(async move { bucket.delete(&key).await }).await;
                report.violations.extend(deleted.err());
            }
        }
    }
    ground.ledger.keep(&kept);
    report.violations.extend(strays(&ground.data_dir, &shapes).await);
}

/// A last start, everything deleted, and an end as an operator ends it: only the empty store may be left.
async fn last_look(ground: &mut Ground, report: &mut Report) {
    let keys = ["--store-access-key", ACCESS_KEY, "--store-secret-key", SECRET_KEY];
    let server = ground.server(&keys).start().await;
    let found = look(&server, &ground.data_dir, &mut ground.ledger, report).await;
    let bucket = Bucket::at(server.store().await);
    for (shape, _) in found.objects {
        bucket.delete(&shape.key).await;
    }
    report.violations.extend(strays(&ground.data_dir, &[]).await);
    report.violations.extend(caught(server.stop()).await.err());
}

fn look_at_log(log: &str, report: &mut Report) {
    let bad = log.lines().filter(|line| line.contains("panicked") || line.contains("\"ERROR\""));
    report.violations.extend(bad.map(|line| format!("the log says: {line}")));
    report.checked("logs read", 1);
}
