//! What is done to the store and to the line to it while clients upload.

use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::plan::draw_cut;
use crate::report::Report;
use crate::support::proxy::Proxy;
use crate::support::sample::MIB;
use crate::support::store::{Cut, Op, ScriptedStore, error_xml};

/// Operations that an upload asks for, the frequent ones more than once.
const OPS: [Op; 8] =
    [Op::Put, Op::Put, Op::UploadPart, Op::UploadPart, Op::Create, Op::Complete, Op::Abort, Op::Head];

#[derive(Clone, Copy, Debug)]
pub enum StoreFault {
    Fails {
        op: Op,
        times: u64,
        status: u16,
        code: &'static str,
        is_early: bool,
    },
    LosesAnswer {
        op: Op,
        how: Cut,
    },
    CutsBody {
        op: Op,
        after: u64,
        how: Cut,
    },
    StallsBody {
        op: Op,
        after: u64,
        ms: u64,
    },
    Takes {
        op: Op,
        before_ms: u64,
        after_ms: u64,
    },
    /// 200 to Complete with an error, or nothing, inside; done or not.
    FalseSuccess {
        is_done: bool,
        body: &'static str,
    },
    LineCut {
        is_up: bool,
        after: u64,
        how: Cut,
    },
    LineStalls {
        is_up: bool,
        ms: u64,
    },
    /// Bytes a second.
    LineLimited {
        rate: u64,
        ms: u64,
    },
    LineSliced {
        bytes: usize,
        ms: u64,
    },
    LinesReset,
    LineRefuses {
        ms: u64,
    },
}

impl StoreFault {
    /// `stall_ms`: the server's patience with a store that does nothing.
    pub fn draw(rng: &mut StdRng, stall_ms: u64) -> Self {
        let op = *OPS.choose(rng).unwrap();
        let body_op = if rng.random_ratio(1, 2) { Op::Put } else { Op::UploadPart };
        let (how, is_up) = (draw_cut(rng), rng.random_ratio(1, 2));
        // Mostly shorter than the server's patience.
        let ms = rng.random_range(20..stall_ms * 6 / 5);
        let after = rng.random_range(0..6 * MIB as u64) / rng.random_range(1..200);
        match rng.random_range(0..16) {
            0..=2 => {
                let (status, code) = *[
                    (500, "InternalError"),
                    (503, "SlowDown"),
                    (503, "ServiceUnavailable"),
                    (400, "RequestTimeout"),
                ]
                .choose(rng)
                .unwrap();
                let is_early = op == body_op && rng.random_ratio(1, 2);
                Self::Fails { op, times: rng.random_range(1..=3), status, code, is_early }
            }
            3 | 4 => Self::LosesAnswer { op, how },
            5 => Self::CutsBody { op: body_op, after, how },
            6 => Self::StallsBody { op: body_op, after, ms },
            7 => Self::Takes { op, before_ms: ms, after_ms: 0 },
            8 => Self::Takes { op, before_ms: 0, after_ms: ms },
            9 => {
                Self::FalseSuccess { is_done: is_up, body: if after % 2 == 0 { "" } else { "InternalError" } }
            }
            10 | 11 => Self::LineCut { is_up, after: 1 + after / if is_up { 1 } else { 10_000 }, how },
            12 => Self::LineStalls { is_up, ms },
            13 => Self::LineLimited { rate: rng.random_range(200_000..5_000_000), ms: ms / 2 },
            14 if is_up => Self::LineSliced { bytes: rng.random_range(50..2_000), ms: ms / 2 },
            14 => Self::LinesReset,
            _ => Self::LineRefuses { ms: ms / 4 },
        }
    }

    /// Does it now, and mends what has to be mended after its time.
    pub async fn happen(self, store: &ScriptedStore, line: &mut Proxy, report: &mut Report) {
        match self {
            Self::Fails { op, times, status, code, is_early } => {
                let rule = store.on(op).first(times);
                if is_early { rule.fails_early(status, code) } else { rule.fails(status, code) }
            }
            Self::LosesAnswer { op, how } => store.on(op).once().loses_the_answer(how),
            Self::CutsBody { op, after, how } => store.on(op).once().cuts_body(after, how),
            Self::StallsBody { op, after, ms } => open_after(store.on(op).once().stalls_body(after), ms),
            Self::Takes { op, before_ms, after_ms } => {
                store.on(op).once().takes(Duration::from_millis(before_ms), Duration::from_millis(after_ms));
            }
            Self::FalseSuccess { is_done, body } => {
                let rule = store.on(Op::Complete).once();
                let body = if body.is_empty() { String::new() } else { error_xml(body) };
                if is_done { rule.does_but_answers(200, &body) } else { rule.answers(200, &body) }
            }
            Self::LineCut { is_up, after, how } => {
                if is_up {
                    line.up.cut_after(after, how)
                } else {
                    line.down.cut_after(after, how)
                }
            }
            Self::LineStalls { is_up, ms } => {
                let way = if is_up { &line.up } else { &line.down };
                way.stall();
                sleep(Duration::from_millis(ms)).await;
                way.resume();
                report.fault("store line: stalled", 1);
            }
            Self::LineLimited { rate, ms } => {
                line.up.limit(rate);
                sleep(Duration::from_millis(ms)).await;
                line.up.limit(0);
                report.fault("store line: limited", 1);
            }
            Self::LineSliced { bytes, ms } => {
                line.up.slice(bytes);
                sleep(Duration::from_millis(ms)).await;
                line.up.slice(usize::MAX);
                report.fault("store line: sliced", 1);
            }
            Self::LinesReset => {
                line.reset_all();
                report.fault("store line: reset", 1);
            }
            Self::LineRefuses { ms } => {
                line.refuse().await;
                sleep(Duration::from_millis(ms)).await;
                line.accept().await;
                report.fault("store line: refused", 1);
            }
        }
    }
}

/// A call that waits at the gate may come long after; it opens all the same.
fn open_after(gate: CancellationToken, ms: u64) {
    tokio::spawn(async move {
        sleep(Duration::from_millis(ms)).await;
        gate.cancel();
    });
}
