//! Torture: the server is killed at random moments, and soaked in random faults, while clients upload through proxies
//! that fail; afterwards every object is whole or absent, and nothing is left.
//!
//! What happens is drawn from a seed (`plan`, `soak`); what the machine makes of it in time is not. The small run of each
//! belongs to the tests; `cargo xtask torture` makes it long by the environment.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod report;
mod sample;
mod plan;
mod line;
mod client;
mod ledger;
mod layout;
mod kills;
mod store_faults;
mod soak;
mod broken;

use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use report::Report;

/// For tests that say nothing else.
const SEED: u64 = 1;
/// About half a minute on two cores.
const KILLS: u64 = 20;
const SOAK: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g09_kills_at_random_moments() {
    let (seed, from) = (setting("SEED", SEED), setting("FROM", 0));
    let report = kills::run(seed, from, setting("KILLS", KILLS)).await;
    conclude(&report);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_soak_in_random_faults() {
    let (seed, from) = (setting("SEED", SEED), setting("FROM", 0));
    let report = soak::run(seed, from, Duration::from_secs(setting("SOAK", SOAK.as_secs()))).await;
    conclude(&report);
}

fn conclude(report: &Report) {
    println!("{report}");
    assert!(report.violations.is_empty(), "{} violations, see above", report.violations.len());
}

/// What `cargo xtask torture` says, by the environment.
fn setting(name: &str, default: u64) -> u64 {
    let name = format!("BRIGADE_TORTURE_{name}");
    std::env::var(&name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// The generator of one round: any of them can be repeated without those before it.
fn generator(seed: u64, round: u64) -> StdRng {
    StdRng::seed_from_u64(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ round)
}
