//! Rounds without kills: clients and watchers of every temper, in front of a store and a line to it that fail at random.

use std::time::{Duration, Instant};

use bytesize::ByteSize;
use futures_util::StreamExt;
use rand::Rng;
use rand::rngs::StdRng;
use server::config::Config;
use tokio::time::sleep;

use crate::client::{Ended, run_watched};
use crate::ledger::Ledger;
use crate::plan::{ClientFault, Plan, Temper};
use crate::report::{Report, caught};
use crate::store_faults::StoreFault;
use crate::support::PATIENCE;
use crate::support::fixture::Fixture;
use crate::support::proxy::Proxy;
use crate::support::sample::MIB;
use crate::support::store::{Call, Op, ScriptedStore};

/// Uploads of one round, and how many of them at once.
const UPLOADS: u64 = 40;
const AT_ONCE: usize = 4;
/// The server's patience with the store and with a client, shortened so that many faults find their time.
const STORE_STALL: Duration = Duration::from_millis(1_500);
const CLIENT_SILENCE: Duration = Duration::from_secs(2);
/// Milliseconds between two faults of the store, at most; each round has its own.
const FAULT_EVERY_MS: std::ops::Range<u64> = 20..200;

/// Rounds from `from` on, as many as begin within `duration`.
pub async fn run(seed: u64, from: u64, duration: Duration) -> Report {
    let begun = Instant::now();
    let mut report = Report::new(String::new());
    let mut round = from;
    while begun.elapsed() < duration && !report.is_hopeless() {
        let started = Instant::now();
        let rng = crate::generator(seed, round);
        let mut part = match caught(one_round(rng, round)).await {
            Ok(part) => part,
            Err(words) => Report { violations: vec![words], ..Report::default() },
        };
        for violation in &mut part.violations {
            *violation = format!("(--seed {seed} --from {round} --soak 1s) {violation}");
            println!("VIOLATION {violation}");
        }
        println!("soak {round}: {}; {} ms", part.line(), started.elapsed().as_millis());
        report.merge(part);
        round += 1;
    }
    report.title = format!("soak of {:?}, seed {seed}, rounds {from} to {}", begun.elapsed(), round - 1);
    report
}

async fn one_round(mut rng: StdRng, round: u64) -> Report {
    let mut report = Report::default();
    let memory = if rng.random_ratio(1, 2) { rng.random_range(20..48) } else { 256 };
    let most_uploads = if rng.random_ratio(1, 4) { 3 } else { 1_024 };
    let configure = move |config: &mut Config| {
        config.limits.buffer_memory = ByteSize(memory * MIB as u64);
        config.limits.max_uploads = most_uploads;
        config.clocks.store_stall = STORE_STALL;
        config.clocks.store_complete = 2 * STORE_STALL;
        config.clocks.body_silence = CLIENT_SILENCE;
        config.clocks.body_rate_window = CLIENT_SILENCE;
        config.clocks.request_head = CLIENT_SILENCE;
        config.clocks.answer_silence = CLIENT_SILENCE;
        config.clocks.permit_wait = CLIENT_SILENCE;
        config.clocks.drain = CLIENT_SILENCE;
        config.clocks.waiting_after = Duration::from_millis(200);
    };
    let mut fixture = Fixture::setup().proxy().config(configure).start().await;
    let mut line = fixture.proxy.take().expect("it was asked for");
    let temper = Temper { largest: 25 * MIB, defects: 8, faults: 30, line_faults: 25, has_watchers: true };
    let plans: Vec<Plan> = (0..UPLOADS)
        .map(|number| Plan::draw(&mut rng, &format!("s{number}"), round * 1_000 + number, temper))
        .collect();
    let mut ledger = Ledger::default();
    let mut sabotage = Report::default();
    tokio::select! {
        () = upload_all(plans, fixture.server, &mut ledger, &mut report) => {}
        () = sabotage_for_ever(&mut rng, &fixture.store, &mut line, &mut sabotage) => {}
    }
    report.merge(sabotage);
    for (what, times) in fixture.store.acted() {
        report.fault(&format!("store: {what}"), times);
    }
    report.fault("store line: cut", line.up.cuts() + line.down.cuts());
    fixture.store.forget_rules();
    line.heal().await;
    fixture.proxy = Some(line);
    until_idle(&fixture).await;
    settle_open_uploads(&fixture, &mut report).await;
    let found = ledger.check(&fixture.bucket).await;
    report.checked("objects read and compared", found.objects.len() as u64);
    report.checked("objects whose client had no answer", found.unanswered as u64);
    report.violations.extend(found.violations);
    fixture.take_all().await;
    if report.violations.is_empty() {
        // Gauges, files, panics, log, and a normal upload.
        fixture.finish().await;
        report.checked("rounds that left nothing", 1);
    } else {
        let finish = caught(fixture.finish()).await;
        report.violations.extend(finish.err());
    }
    report
}

async fn upload_all(
    plans: Vec<Plan>,
    server: std::net::SocketAddr,
    ledger: &mut Ledger,
    report: &mut Report,
) {
    for plan in &plans {
        report.fault(plan.fault.name(), u64::from(plan.fault != ClientFault::None));
        report.fault("client: form that must fail", u64::from(plan.is_unclosed || plan.has_defect()));
        if let Some(line) = plan.line {
            report.fault(line.name(), 1);
        }
        for watching in &plan.watching {
            report.fault(watching.name(), 1);
        }
    }
    let running = futures_util::stream::iter(plans).map(|plan| async move {
        let words = format!("{plan:?}");
        caught(run_watched(plan, server)).await.map_err(|error| format!("client: {error}; {words}"))
    });
    let mut running = running.buffer_unordered(AT_ONCE);
    while let Some(ended) = running.next().await {
        match ended {
            Ok(ended) => {
                report.answered(&ended.word());
                report.violations.extend(ended.violations.iter().cloned());
                report.violations.extend(undeserved(&ended));
                report.violations.extend(ledger.enter(&ended));
            }
            Err(words) => report.violations.push(words),
        }
    }
}

/// Who does everything right is never told that it is the client's fault; a machine that stands still may time it out.
fn undeserved(ended: &Ended) -> Option<String> {
    let status = ended.answer.as_ref()?.status;
    let is_blamed = (400..500).contains(&status) && status != 408;
    (ended.plan.is_good() && is_blamed).then(|| format!("{} for a good form: {:?}", ended.word(), ended.plan))
}

async fn sabotage_for_ever(rng: &mut StdRng, store: &ScriptedStore, line: &mut Proxy, report: &mut Report) {
    let every_ms = rng.random_range(FAULT_EVERY_MS);
    let stall_ms = u64::try_from(STORE_STALL.as_millis()).unwrap();
    loop {
        sleep(Duration::from_millis(rng.random_range(0..every_ms))).await;
        StoreFault::draw(rng, stall_ms).happen(store, line, report).await;
    }
}

/// Uploads whose clients have left may still be settled, and a slow store may still do what it was asked.
async fn until_idle(fixture: &Fixture) {
    let begun = Instant::now();
    while fixture.metric("brigade_uploads_in_flight").await > 0.0 {
        assert!(begun.elapsed() < PATIENCE, "uploads are in flight though every client has left");
        sleep(Duration::from_millis(20)).await;
    }
    while fixture.store.calls().iter().any(Call::is_running) && begun.elapsed() < PATIENCE {
        sleep(Duration::from_millis(20)).await;
    }
}

/// What may be open is what the server cannot know of, or has counted as not to be aborted: the sweeper's.
async fn settle_open_uploads(fixture: &Fixture, report: &mut Report) {
    let calls = fixture.store.calls();
    let mut given_up = fixture.metric("brigade_s3_aborts_total{outcome=\"failed\"}").await as usize;
    for (key, id) in fixture.bucket.open_uploads().await {
        let its = |op: Option<Op>| {
            calls.iter().any(|call| call.upload_id.as_ref() == Some(&id) && op.is_none_or(|op| call.op == op))
        };
        if !its(None) {
            report.checked("open uploads whose answer to Create was lost: the sweeper's", 1);
        } else if given_up > 0 {
            given_up -= 1;
            report.checked("open uploads whose Abort failed for good: the sweeper's", 1);
        } else {
            let aborted = its(Some(Op::Abort));
            report.violations.push(format!("an upload is open, Abort seen: {aborted}; {key} {id}"));
        }
        // An Abort whose client is gone may just have taken effect.
        let bucket = fixture.bucket.clone();
        let _ = caught(async move { bucket.abort(&key, &id).await }).await;
    }
}
