//! `cargo xtask bench`: ours and its peers in turn, on one machine, in front of one store.

mod scenarios;
mod goals;
mod relays;
pub mod pipe;
mod process;
mod payload;
mod client;
mod watchers;
mod store;
mod figures;
mod report;
mod page;

use std::env;
use std::fs;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::places::Places;
use crate::program::Failure;
use crate::{server, site, tools};
use figures::Figures;
use payload::Payload;
use relays::{Relay, Setup};
use report::Results;
use scenarios::{Entrant, Scenario};
use store::{Store, Tally};
use watchers::Watchers;

/// The command that makes this program the bare relay.
pub const PIPE: &str = "bench-pipe";

const OPTIONS: &str = "\
cargo xtask bench page                      the page in its browser, nothing else
cargo xtask bench [SCENARIO...] [--runs N] [--server PATH] [--only RELAY,...] [--write] [--peers-1000]
  --runs N        of each relay, 3 unless given
  --server PATH   measure this binary instead of building one
  --only RELAYS   leave the others out
  --write         write server/benches/RESULTS.md even when not all is measured
  --peers-1000    let lib-storage take 1,000 clients too (needs 8 GiB)";

/// A median needs no fewer.
const THREE: NonZeroU32 = NonZeroU32::new(3).expect("3 is not 0");

struct Options {
    scenarios: Vec<Scenario>,
    runs: NonZeroU32,
    server: Option<PathBuf>,
    only: Vec<Relay>,
    /// Whether RESULTS.md is written.
    is_kept: bool,
}

/// Measures, prints the tables, and writes them down when it measured all.
///
/// # Errors
/// Something that is needed is missing. A run that breaks is told in the exit code, after the tables.
pub fn run(places: &Places, arguments: &[String]) -> Result<ExitCode, Failure> {
    if arguments == ["page"] {
        return page::run(places);
    }
    let options = Options::parse(arguments)?;
    let setup = set_up(places, &options)?;
    let payload = Arc::new(Payload::make()?);
    let runs = options.runs.get();
    let mut results = Vec::new();
    for scenario in options.scenarios {
        results.push(measure(scenario, runs, &options.only, &setup, &payload));
    }
    println!("\n{}", report::tables(&results));
    if options.is_kept {
        let file = places.workspace.join("server/benches/RESULTS.md");
        report::write(&report::page(&results, &setup, runs), &file)?;
        println!("xtask: written to {}", file.display());
    }
    if results.iter().any(|results| !results.broken.is_empty()) {
        eprintln!(
            "xtask: runs broke, see above; the logs stay in {} until the next time",
            setup.work.display()
        );
        return Ok(ExitCode::FAILURE);
    }
    fs::remove_dir_all(&setup.work).map_err(Failure::at(&setup.work))?;
    Ok(ExitCode::SUCCESS)
}

impl Options {
    fn parse(arguments: &[String]) -> Result<Self, Failure> {
        let wrong = |what: String| Failure::new(format!("{what}\n{OPTIONS}"));
        let (mut names, mut only, mut server) = (Vec::new(), Vec::new(), None);
        let (mut runs, mut is_written, mut thousand_peers) = (THREE, false, false);
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| wrong(format!("{argument} needs a value")));
            match argument.as_str() {
                "--runs" => runs = value()?.parse().map_err(|error| wrong(format!("--runs: {error}")))?,
                "--server" => server = Some(PathBuf::from(value()?)),
                "--only" => only = relays(value()?).map_err(wrong)?,
                "--write" => is_written = true,
                "--peers-1000" => thousand_peers = true,
                option if option.starts_with('-') => return Err(wrong(format!("{option} is no option"))),
                name => names.push(name),
            }
        }
        let mut scenarios = scenarios::all(thousand_peers);
        if let Some(name) = names.iter().find(|name| scenarios.iter().all(|known| known.name != **name)) {
            let known: Vec<_> = scenarios.iter().map(|scenario| scenario.name).collect();
            return Err(wrong(format!("{name} is no scenario: there are {}", known.join(", "))));
        }
        let is_full = names.is_empty() && only.is_empty();
        scenarios.retain(|scenario| names.is_empty() || names.contains(&scenario.name));
        Ok(Self { scenarios, runs, server, only, is_kept: is_written || is_full })
    }
}

fn relays(list: &str) -> Result<Vec<Relay>, String> {
    let relay = |name: &str| {
        let known = Relay::ALL.map(Relay::name).join(", ");
        let found = Relay::ALL.into_iter().find(|relay| relay.name() == name);
        found.ok_or_else(|| format!("{name} is no relay: there are {known}"))
    };
    list.split(',').map(relay).collect()
}

fn set_up(places: &Places, options: &Options) -> Result<Setup, Failure> {
    let (server, origin) = match &options.server {
        Some(server) => {
            let server = server.canonicalize().map_err(Failure::at(server))?;
            (server.clone(), format!("the binary {}", server.display()))
        }
        None => {
            site::build(places)?;
            (server::build(places)?.path().to_owned(), report::commit(&places.workspace))
        }
    };
    tools::byte_pipes()?;
    let peers = tools::bench_peers(places)?;
    let xtask = env::current_exe().map_err(Failure::at(Path::new("/proc/self/exe")))?;
    let work = places.target.join("bench");
    // What a run that was killed has left.
    if work.exists() {
        fs::remove_dir_all(&work).map_err(Failure::at(&work))?;
    }
    fs::create_dir_all(work.join("data")).map_err(Failure::at(&work))?;
    // Whoever builds in the meantime does not change what is measured.
    let copy = work.join("bucket-brigade");
    fs::copy(&server, &copy).map_err(Failure::at(&server))?;
    // Ten thousand watchers are as many sockets, and the relays inherit the limit.
    let most = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most })
        .map_err(|error| Failure::new(format!("limit of open files: {error}")))?;
    Ok(Setup { server: copy, origin, load: report::load(), peers, work, xtask })
}

fn measure(scenario: Scenario, runs: u32, only: &[Relay], setup: &Setup, payload: &Arc<Payload>) -> Results {
    println!("xtask: {}: {}", scenario.name, scenario.what);
    let is_wanted = |entrant: &&Entrant| only.is_empty() || only.contains(&entrant.relay);
    let entrants: Vec<Entrant> = scenario.entrants.iter().filter(is_wanted).copied().collect();
    let mut rows: Vec<_> = entrants.iter().map(|entrant| (entrant.label, Vec::new())).collect();
    let mut broken = Vec::new();
    for run in 1..=runs {
        let turn = format!("{} {run}/{runs}", scenario.name);
        for (entrant, (label, figures)) in entrants.iter().zip(&mut rows) {
            if run > entrant.at_most_runs {
                continue;
            }
            match one_run(&scenario, entrant, setup, payload) {
                Ok(measured) => {
                    println!("{}", report::line(&turn, label, &measured));
                    figures.push(measured);
                }
                Err(reason) => {
                    eprintln!("{turn}  {label} BROKE: {reason}");
                    broken.push(format!("{label}, run {run}: {reason}"));
                }
            }
        }
    }
    Results { scenario, rows, broken }
}

fn one_run(
    scenario: &Scenario,
    entrant: &Entrant,
    setup: &Setup,
    payload: &Arc<Payload>,
) -> Result<Figures, Failure> {
    let store = Store::start(scenario.store, Arc::clone(payload))?;
    let relay = entrant.relay.start(setup, store.address, entrant.options)?;
    let watchers = Watchers::open(relay.address, entrant.watchers)?;
    let load = &entrant.load;
    let before = relay.cpu_seconds()?;
    let took = client::send(relay.address, entrant.relay.speech(), load, payload)?;
    let cpu = relay.cpu_seconds()? - before;
    let memory = relay.peak_rss_mib()?;
    watchers.all_stay()?;
    check(store.tally(), scenario, entrant)?;
    let bytes = load.bytes() as f64;
    Ok(Figures { speed: bytes / 1e6 / took.as_secs_f64(), cpu: cpu / (bytes / GIB), memory })
}

/// Bytes.
const GIB: f64 = 1024.0 * 1024.0 * 1024.0;

/// All that was sent is stored, once, and what was compared is the same.
fn check(tally: Tally, scenario: &Scenario, entrant: &Entrant) -> Result<(), Failure> {
    let load = &entrant.load;
    let uploads = u64::from(load.uploads);
    let expected = Tally {
        objects: uploads,
        bytes: load.bytes(),
        compared: scenario.store.compare_every.map_or(0, |every| uploads.div_ceil(every)),
        different: 0,
    };
    if tally == expected { Ok(()) } else { Err(Failure::new(format!("stored {tally:?}, not {expected:?}"))) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use client::{Load, Speech};
    use payload::Kind;
    use store::Manners;

    #[test]
    fn what_is_sent_is_counted_and_compared() {
        let payload = Arc::new(Payload::make().unwrap());
        let manners = Manners { compare_every: Some(2), ..Manners::default() };
        let store = Store::start(manners, Arc::clone(&payload)).unwrap();
        let load = Load { uploads: 5, size: 300_000, kind: Kind::Image, rate: None };
        client::send(store.address, Speech::Put, &load, &payload).unwrap();
        let expected = Tally { objects: 5, bytes: 1_500_000, compared: 3, different: 0 };
        assert_eq!(store.tally(), expected);
    }

    #[test]
    fn options_are_checked_before_anything_is_measured() {
        let parse = |line: &str| Options::parse(&line.split(' ').map(str::to_owned).collect::<Vec<_>>());
        let options = parse("single burst --runs 1 --only ours,nginx").unwrap();
        assert_eq!(
            options.scenarios.iter().map(|scenario| scenario.name).collect::<Vec<_>>(),
            ["single", "burst"]
        );
        assert_eq!((options.runs.get(), options.only), (1, vec![Relay::Ours, Relay::Nginx]));
        assert!(!options.is_kept && Options::parse(&[]).unwrap().is_kept);
        for wrong in ["--runs 0", "--runs", "sprint", "--only wget", "--fast"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
