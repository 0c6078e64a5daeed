//! What is measured, against whom, and what is hoped for.

use std::time::Duration;

use super::client::Load;
use super::figures::Figure;
use super::goals::{Against, Bound, Goal};
use super::payload::Kind;
use super::relays::Relay;
use super::store::Manners;

pub struct Scenario {
    pub name: &'static str,
    /// What happens, for whoever reads the results.
    pub what: &'static str,
    pub store: Manners,
    pub entrants: Vec<Entrant>,
    pub goals: Vec<Goal>,
}

/// One row of the table.
#[derive(Clone, Copy)]
pub struct Entrant {
    pub label: &'static str,
    pub relay: Relay,
    pub load: Load,
    /// More options of ours.
    pub options: &'static [&'static str],
    /// Sockets of ours that are open meanwhile.
    pub watchers: u32,
    /// For those that take long or much memory.
    pub at_most_runs: u32,
}

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;
const SMALL_BUFFER: &[&str] = &["--buffer-memory", "64MiB"];
/// The two ways to run HAProxy; the cheaper one is the peer.
const HAPROXY: &[&str] = &["haproxy-tcp", "haproxy-http"];
const NODE: &[&str] = &["lib-storage"];

impl Entrant {
    fn new(relay: Relay, load: Load) -> Self {
        Self { label: relay.name(), relay, load, options: &[], watchers: 0, at_most_runs: u32::MAX }
    }

    fn with(self, options: &'static [&'static str]) -> Self {
        Self { options, ..self }
    }

    fn once(self) -> Self {
        Self { at_most_runs: 1, ..self }
    }
}

/// All of them, in the order of the results; `thousand_peers` lets lib-storage take 1,000 clients (8 GiB).
pub fn all(thousand_peers: bool) -> Vec<Scenario> {
    vec![single(), latency(), clients64(), clients1000(thousand_peers), burst(), sockets(), large()]
}

fn single() -> Scenario {
    let load = Load { uploads: 1, size: 512 * MIB, kind: Kind::Document, rate: None };
    let bare = &["bare-relay"];
    Scenario {
        name: "single",
        what: "one upload of 512 MiB; the store throws it away",
        store: Manners::default(),
        entrants: Relay::ALL.map(|relay| Entrant::new(relay, load)).to_vec(),
        goals: vec![
            Goal::new(Figure::Cpu, Bound::AtMost(1.25), Against::BestOf(bare)).stretched(1.1),
            Goal::new(Figure::Cpu, Bound::AtMost(0.9), Against::BestOf(HAPROXY)),
            Goal::new(Figure::Cpu, Bound::AtMost(0.2), Against::BestOf(NODE)),
            Goal::new(Figure::Speed, Bound::AtLeast(0.9), Against::BestOf(bare)),
            Goal::new(Figure::Speed, Bound::AtLeast(4.0), Against::BestOf(NODE)),
        ],
    }
}

fn latency() -> Scenario {
    let load = Load { uploads: 1, size: 256 * MIB, kind: Kind::Document, rate: None };
    let relays = [Relay::LibStorage, Relay::MulterS3, Relay::Ours];
    Scenario {
        name: "latency",
        what: "one upload of 256 MiB; the store answers 50 ms after each part and takes 80 MB/s a connection",
        store: Manners {
            answer_after: Duration::from_millis(50),
            rate: Some(80_000_000),
            ..Manners::default()
        },
        entrants: relays.map(|relay| Entrant::new(relay, load)).to_vec(),
        goals: vec![Goal::new(Figure::Speed, Bound::AtLeast(3.5), Against::BestOf(NODE))],
    }
}

fn clients64() -> Scenario {
    let load = Load { uploads: 64, size: 32 * MIB, kind: Kind::Document, rate: Some(2_000_000) };
    Scenario {
        name: "clients64",
        what: "64 uploads of 32 MiB at once, each at 2 MB/s; ours with --buffer-memory 64MiB",
        store: Manners::default(),
        entrants: vec![
            Entrant::new(Relay::LibStorage, load).once(),
            Entrant::new(Relay::Ours, load).with(SMALL_BUFFER),
        ],
        goals: vec![Goal::new(Figure::Memory, Bound::AtMost(112.0), Against::Itself)],
    }
}

fn clients1000(with_peers: bool) -> Scenario {
    let load = Load { uploads: 1000, size: 6 * MIB, kind: Kind::Document, rate: Some(100_000) };
    let ours = Entrant::new(Relay::Ours, load).with(SMALL_BUFFER);
    let peer = with_peers.then(|| Entrant::new(Relay::LibStorage, load).once());
    Scenario {
        name: "clients1000",
        what: "1,000 uploads of 6 MiB at once, each at 100 KB/s; ours with --buffer-memory 64MiB; \
               every 50th object is compared byte by byte",
        store: Manners { compare_every: Some(50), ..Manners::default() },
        entrants: peer.into_iter().chain([ours]).collect(),
        goals: vec![Goal::new(Figure::Memory, Bound::AtMost(192.0), Against::Itself).stretched(176.0)],
    }
}

fn burst() -> Scenario {
    let load = Load { uploads: 200, size: MIB, kind: Kind::Image, rate: None };
    Scenario {
        name: "burst",
        what: "200 uploads of 1 MiB at once; ours with --buffer-memory 64MiB",
        store: Manners::default(),
        entrants: vec![
            Entrant::new(Relay::LibStorage, load),
            Entrant::new(Relay::Ours, load).with(SMALL_BUFFER),
        ],
        goals: vec![
            Goal::new(Figure::Speed, Bound::AtLeast(4.5), Against::BestOf(NODE)),
            Goal::new(Figure::Memory, Bound::AtMost(144.0), Against::Itself),
        ],
    }
}

fn sockets() -> Scenario {
    let load = Load { uploads: 16, size: 128 * MIB, kind: Kind::Document, rate: None };
    let (alone, beside) = ("ours, alone", "ours + 10,000");
    let ours = Entrant::new(Relay::Ours, load).with(SMALL_BUFFER);
    Scenario {
        name: "sockets",
        what: "16 uploads of 128 MiB at once, alone and beside 10,000 idle WebSockets, each with a client id of its \
               own; ours with --buffer-memory 64MiB; a run counts only if all sockets stay; 312 MiB for all of them \
               are 32 KiB each",
        store: Manners::default(),
        entrants: vec![Entrant { label: alone, ..ours }, Entrant { label: beside, watchers: 10_000, ..ours }],
        goals: vec![
            Goal::new(Figure::Speed, Bound::AtLeast(0.8), Against::BestOf(&["ours, alone"])).of(beside),
            Goal::new(Figure::Memory, Bound::AtMost(312.0), Against::MoreThan(alone)).of(beside),
        ],
    }
}

fn large() -> Scenario {
    let load = |size| Load { uploads: 1, size, kind: Kind::Document, rate: None };
    let (small, big) = ("ours, 1 GiB", "ours, 10 GiB");
    let goal = |figure, limit, against| Goal::new(figure, Bound::AtMost(limit), against).of(big);
    Scenario {
        name: "large",
        what: "one upload of 10 GiB against one of 1 GiB, a fresh process for each; the store throws it away",
        store: Manners::default(),
        entrants: vec![
            Entrant { label: small, ..Entrant::new(Relay::Ours, load(GIB)) },
            Entrant { label: big, ..Entrant::new(Relay::Ours, load(10 * GIB)) },
        ],
        goals: vec![
            goal(Figure::Cpu, 1.1, Against::BestOf(&["ours, 1 GiB"])),
            goal(Figure::Memory, 10.0, Against::MoreThan("ours, 1 GiB")),
        ],
    }
}
