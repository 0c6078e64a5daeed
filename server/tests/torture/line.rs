//! What the line between a client and the server does to one upload.

use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;
use tokio::time::sleep;

use crate::plan::draw_cut;
use crate::support::proxy::Proxy;
use crate::support::store::Cut;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineFault {
    /// Bytes from the client, or to it.
    CutUp {
        after: u64,
        how: Cut,
    },
    CutDown {
        after: u64,
        how: Cut,
    },
    Slice {
        bytes: usize,
    },
    /// Bytes a second.
    Limit {
        rate: u64,
    },
    Stall {
        is_up: bool,
        after_ms: u64,
        ms: u64,
    },
    ResetAll {
        after_ms: u64,
    },
}

impl LineFault {
    /// For an upload of about `size` bytes.
    pub fn draw(rng: &mut StdRng, size: usize) -> Self {
        let size = size as u64 + 600;
        let how = draw_cut(rng);
        match rng.random_range(0..7) {
            0 => Self::CutUp { after: rng.random_range(1..=size + size / 50), how },
            1 => Self::CutDown { after: rng.random_range(1..800), how },
            2 | 3 => Self::Slice { bytes: rng.random_range(20..3_000).max(size as usize / 5_000) },
            4 => Self::Limit { rate: size * 1_000 / rng.random_range(200..2_000) },
            5 => Self::Stall {
                is_up: rng.random_ratio(2, 3),
                after_ms: rng.random_range(0..400),
                ms: rng.random_range(50..900),
            },
            _ => Self::ResetAll { after_ms: rng.random_range(0..600) },
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::CutUp { .. } | Self::CutDown { .. } => "line: cut",
            Self::Slice { .. } => "line: sliced",
            Self::Limit { .. } => "line: limited",
            Self::Stall { .. } => "line: stalled",
            Self::ResetAll { .. } => "line: reset",
        }
    }

    /// Does it to a line; what takes no time is done when this is first polled. Never ends.
    pub async fn happen(self, line: &Proxy) {
        match self {
            Self::CutUp { after, how } => line.up.cut_after(after, how),
            Self::CutDown { after, how } => line.down.cut_after(after, how),
            Self::Slice { bytes } => line.up.slice(bytes),
            Self::Limit { rate } => line.up.limit(rate),
            Self::Stall { is_up, after_ms, ms } => {
                let way = if is_up { &line.up } else { &line.down };
                sleep(Duration::from_millis(after_ms)).await;
                way.stall();
                sleep(Duration::from_millis(ms)).await;
                way.resume();
            }
            Self::ResetAll { after_ms } => {
                sleep(Duration::from_millis(after_ms)).await;
                line.reset_all();
            }
        }
        std::future::pending().await
    }
}
