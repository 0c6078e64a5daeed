//! What one client does, drawn before it begins: files, headers, pace, its own faults and those of its line.

use app::wire::FileType;
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use crate::line::LineFault;
use crate::sample::Sample;
use crate::support::client::Form;
use crate::support::sample::{KIB, MIB, exe};
use crate::support::store::Cut;

/// The server's defaults.
const LARGEST_DOCUMENT: usize = 25 * MIB;
const LARGEST_IMAGE: usize = 10 * MIB;
/// Where multipart uploads begin.
const PART: usize = 5 * MIB;
/// Bytes of one write.
const PIECES: [usize; 4] = [1_000, 16 * KIB, 64 * KIB, 300_000];

#[derive(Clone, Debug)]
pub struct Plan {
    pub client_id: String,
    /// Whether another client may use the same id at the same time.
    pub is_id_shared: bool,
    pub files: Vec<PlannedFile>,
    /// `Transfer-Encoding: chunked` instead of a length.
    pub is_chunked: bool,
    /// The form's closing boundary is missing.
    pub is_unclosed: bool,
    /// Bytes of one write.
    pub piece: usize,
    /// Milliseconds after each write; 0 for none.
    pub pause_ms: u64,
    pub fault: ClientFault,
    pub line: Option<LineFault>,
    pub watching: Vec<Watching>,
}

#[derive(Clone, Debug)]
pub struct PlannedFile {
    pub sample: Sample,
    pub defect: Option<Defect>,
    /// The size header, true or not.
    pub declared: Option<usize>,
}

/// Why a file must not be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defect {
    Empty,
    WrongType,
    /// The header says less than there is, or more.
    DeclaredLess,
    DeclaredMore,
    TooLarge,
}

/// Places are thousandths of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientFault {
    None,
    Leave {
        at: usize,
        how: Cut,
    },
    /// Ends its half of the connection and reads on.
    HalfClose {
        at: usize,
    },
    LeaveBeforeTheAnswer {
        how: Cut,
    },
    Silence {
        at: usize,
        ms: u64,
    },
    CancelByDelete {
        at: usize,
    },
    CancelBySocket {
        at: usize,
    },
}

/// Who else listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watching {
    /// The client's own socket; every message of it is held to the law.
    Lawful,
    /// As old clients connect.
    Old,
    /// Never reads.
    Mute,
    /// Talks more than it may.
    Flood,
    /// Leaves after so many milliseconds and comes back.
    Returns { after_ms: u64 },
}

/// How wild the clients are.
#[derive(Clone, Copy)]
pub struct Temper {
    /// Bytes of the largest file.
    pub largest: usize,
    /// Of files, clients and lines, in percent.
    pub defects: u32,
    pub faults: u32,
    pub line_faults: u32,
    pub has_watchers: bool,
}

impl Plan {
    pub fn draw(rng: &mut StdRng, name: &str, number: u64, temper: Temper) -> Self {
        let mut kinds = vec![FileType::DocsFile, FileType::MsaImgs];
        if rng.random_ratio(1, 2) {
            kinds.reverse();
        }
        if rng.random_ratio(1, 2) {
            kinds.pop();
        }
        let mut files = Vec::new();
        for (index, kind) in kinds.into_iter().enumerate() {
            files.push(PlannedFile::draw(rng, 2 * number + index as u64, kind, temper));
        }
        let fault = ClientFault::draw(rng, temper);
        let is_cancel =
            matches!(fault, ClientFault::CancelByDelete { .. } | ClientFault::CancelBySocket { .. });
        let is_id_shared = rng.random_ratio(1, 8) && !is_cancel;
        let size: usize = files.iter().map(|file| file.sample.size).sum();
        let watching = if temper.has_watchers { draw_watching(rng) } else { Vec::new() };
        Self {
            client_id: if is_id_shared { "twins".to_owned() } else { name.to_owned() },
            is_id_shared,
            files,
            is_chunked: rng.random_ratio(1, 5),
            is_unclosed: rng.random_range(0..100) < temper.defects / 2,
            piece: PIECES.choose(rng).unwrap().max(&(size / 500)).to_owned(),
            pause_ms: if rng.random_ratio(1, 4) { rng.random_range(1..=3) } else { 0 },
            fault,
            line: (rng.random_range(0..100) < temper.line_faults).then(|| LineFault::draw(rng, size)),
            watching,
        }
    }

    pub fn has_defect(&self) -> bool {
        self.files.iter().any(|file| file.defect.is_some())
    }

    /// Whether neither form nor client nor line does anything wrong.
    pub fn is_good(&self) -> bool {
        !self.has_defect() && !self.is_unclosed && self.fault == ClientFault::None && self.line.is_none()
    }

    pub fn form(&self) -> Form {
        self.files.iter().fold(Form::new().client_id(&self.client_id), |form, file| {
            let name = if file.sample.file == FileType::DocsFile { "a.pdf" } else { "b.jpg" };
            let form = form.file(file.sample.file.field(), name, &file.content());
            match file.declared {
                Some(size) => form.size(file.sample.file, size),
                None => form,
            }
        })
    }
}

impl PlannedFile {
    fn draw(rng: &mut StdRng, number: u64, kind: FileType, temper: Temper) -> Self {
        let limit = match kind {
            FileType::DocsFile => LARGEST_DOCUMENT,
            FileType::MsaImgs => LARGEST_IMAGE,
        };
        let mut size = draw_size(rng, limit).min(temper.largest);
        let defect = (rng.random_range(0..100) < temper.defects).then(|| Defect::draw(rng));
        if defect == Some(Defect::TooLarge) {
            size = limit + 1;
        }
        let sample = Sample::new(number, kind, size, rng.random());
        let by = rng.random_range(1..=sample.size.min(100_000) - 1);
        let is_declared = rng.random_ratio(3, 4);
        let declared = match defect {
            Some(Defect::DeclaredLess) => Some(sample.size - by),
            Some(Defect::DeclaredMore) => Some(sample.size + by),
            Some(Defect::Empty) => is_declared.then_some(0),
            _ => is_declared.then_some(sample.size),
        };
        Self { sample, defect, declared }
    }

    /// Bytes that are sent.
    pub fn content_size(&self) -> usize {
        if self.defect == Some(Defect::Empty) { 0 } else { self.sample.size }
    }

    pub fn content(&self) -> Vec<u8> {
        match self.defect {
            Some(Defect::Empty) => Vec::new(),
            Some(Defect::WrongType) => exe(self.sample.size),
            _ => self.sample.content(),
        }
    }
}

impl Defect {
    fn draw(rng: &mut StdRng) -> Self {
        use Defect::{DeclaredLess, DeclaredMore, Empty, TooLarge, WrongType};
        *[Empty, WrongType, DeclaredLess, DeclaredMore, DeclaredLess, DeclaredMore, TooLarge]
            .choose(rng)
            .unwrap()
    }
}

impl ClientFault {
    fn draw(rng: &mut StdRng, temper: Temper) -> Self {
        if rng.random_range(0..100) >= temper.faults {
            return Self::None;
        }
        let (at, how) = (rng.random_range(0..1000), draw_cut(rng));
        match rng.random_range(0..8) {
            0 | 1 => Self::Leave { at, how },
            2 => Self::HalfClose { at },
            3 => Self::LeaveBeforeTheAnswer { how },
            4 => Self::Silence { at, ms: rng.random_range(100..1_000) },
            5 => Self::Silence { at, ms: 3_000 },
            6 if temper.has_watchers => Self::CancelBySocket { at },
            7 if temper.has_watchers => Self::CancelByDelete { at },
            _ => Self::Leave { at, how },
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Leave { how: Cut::Fin, .. } => "client: leaves by FIN",
            Self::Leave { how: Cut::Reset, .. } => "client: leaves by RST",
            Self::HalfClose { .. } => "client: ends its half of the connection",
            Self::LeaveBeforeTheAnswer { .. } => "client: leaves before the answer",
            Self::Silence { .. } => "client: falls silent",
            Self::CancelByDelete { .. } => "client: cancels by DELETE",
            Self::CancelBySocket { .. } => "client: cancels over its socket",
        }
    }
}

impl Watching {
    pub fn name(self) -> &'static str {
        match self {
            Self::Lawful => "watcher: lawful",
            Self::Old => "watcher: old",
            Self::Mute => "watcher: never reads",
            Self::Flood => "watcher: floods",
            Self::Returns { .. } => "watcher: leaves and returns",
        }
    }
}

pub fn draw_cut(rng: &mut StdRng) -> Cut {
    if rng.random_ratio(1, 2) { Cut::Fin } else { Cut::Reset }
}

/// Many small ones, the edges, and any size.
fn draw_size(rng: &mut StdRng, limit: usize) -> usize {
    match rng.random_range(0..10) {
        0 => rng.random_range(0..2 * KIB),
        1..=3 => rng.random_range(0..256 * KIB),
        4 | 5 => rng.random_range(0..PART),
        6 => *[PART - 1, PART, PART + 1, 2 * PART, 2 * PART + 1, limit - 1, limit].choose(rng).unwrap(),
        _ => rng.random_range(0..=limit),
    }
    .min(limit)
}

fn draw_watching(rng: &mut StdRng) -> Vec<Watching> {
    let mut watching = Vec::new();
    if rng.random_ratio(3, 4) {
        watching.push(Watching::Lawful);
    }
    if rng.random_ratio(1, 2) {
        watching.push(match rng.random_range(0..4) {
            0 => Watching::Old,
            1 => Watching::Mute,
            2 => Watching::Flood,
            _ => Watching::Returns { after_ms: rng.random_range(0..500) },
        });
    }
    watching
}
