//! The scripted store: hyper in front of the embedded store, that logs each call and does as it is told.
//!
//! Rules are tried in the order in which they were made; the first whose turn it is decides. Time of a test's
//! waiting is never slept: [`ScriptedStore::until`] wakes at each call and each piece of a body.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use app::wire::FileType;
use http::{HeaderMap, Response};
use s3s::HttpResponse;
use s3s::service::S3Service;
use socket2::{Domain, Socket, Type};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::PATIENCE;
use super::store_wire::{self, Pace};

pub const ACCESS_KEY: &str = "test-access";
pub const SECRET_KEY: &str = "test-secret-0123456789";
pub const BUCKET: &str = "uploads";

/// What a request to the store asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    Put,
    Create,
    UploadPart,
    Complete,
    Abort,
    Head,
    Get,
    Delete,
    ListParts,
    ListUploads,
    ListObjects,
    HeadBucket,
    Other,
}

/// One request as the store saw it.
#[derive(Clone, Debug)]
pub struct Call {
    pub op: Op,
    pub key: String,
    pub part: Option<u32>,
    pub upload_id: Option<String>,
    pub content_length: Option<u64>,
    pub headers: HeaderMap,
    pub at: Instant,
    /// Which connection, from 1.
    pub connection: u64,
    pub(super) live: Arc<Live>,
}

/// What changes while a call runs.
#[derive(Debug, Default)]
pub(super) struct Live {
    pub read: AtomicU64,
    /// 0 while it runs, 1 when it ended without an answer.
    pub status: AtomicU16,
    pub ended: Mutex<Option<Instant>>,
}

impl Call {
    /// Body bytes read so far.
    #[must_use]
    pub fn read(&self) -> u64 {
        self.live.read.load(Ordering::Acquire)
    }

    /// The status of the answer; `None` while it runs, or when it was cut.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        Some(self.live.status.load(Ordering::Acquire)).filter(|status| *status > 1)
    }

    #[must_use]
    pub fn is_running(&self) -> bool {
        self.live.status.load(Ordering::Acquire) == 0
    }

    /// When the answer was given or the connection ended.
    #[must_use]
    pub fn ended(&self) -> Option<Instant> {
        *self.live.ended.lock().unwrap()
    }

    #[must_use]
    pub fn is(&self, op: Op) -> bool {
        self.op == op
    }

    #[must_use]
    pub fn is_part(&self, part: u32) -> bool {
        self.op == Op::UploadPart && self.part == Some(part)
    }

    /// The session's token, where the keys are temporary.
    #[must_use]
    pub fn token(&self) -> Option<&str> {
        self.headers.get("x-amz-security-token").and_then(|value| value.to_str().ok())
    }

    /// Which of the two files the key belongs to.
    #[must_use]
    pub fn file(&self) -> Option<FileType> {
        file_of(&self.key)
    }
}

/// Which of the two files a key belongs to.
#[must_use]
pub fn file_of(key: &str) -> Option<FileType> {
    if key.starts_with("supporting_documents/") {
        Some(FileType::DocsFile)
    } else if key.starts_with("photos/") {
        Some(FileType::MsaImgs)
    } else {
        None
    }
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    Fin,
    Reset,
}

/// What is done instead of, or around, the operation.
#[derive(Clone)]
pub(super) enum Act {
    /// Answer without doing it; `early`: without reading the body.
    Answer { status: u16, body: String, early: bool },
    /// Read the body, then send the client elsewhere.
    Redirect { status: u16, to: String },
    /// Do it, then give another answer.
    DoThenAnswer { status: u16, body: String },
    /// Do it, then cut the connection instead of the answer.
    LoseAnswer(Cut),
    /// Read so much of the body, then cut.
    CutBody { after: u64, cut: Cut },
    /// Read so much of the body, then no more until the gate opens.
    StallBody { after: u64, gate: CancellationToken },
    /// The same, then cut when the gate opens.
    StallThenCut { after: u64, gate: CancellationToken, cut: Cut },
    /// Begin a 200 with this, then white space until the gate opens, then do it and answer.
    Trickle { start: &'static str, gate: CancellationToken },
    /// Wait at the gate, then do it.
    HoldBefore(CancellationToken),
    /// Do it, then wait at the gate with the answer.
    HoldAfter(CancellationToken),
    /// Wait, do it, wait, answer.
    Takes { before: Duration, after: Duration },
    /// Do it, then change the answer.
    Edit(Arc<dyn Fn(HttpResponse) -> HttpResponse + Send + Sync>),
}

impl Act {
    fn name(&self) -> &'static str {
        match self {
            Self::Answer { status: 200, .. } => "false success",
            Self::Answer { early: true, .. } => "early error",
            Self::Answer { .. } => "error",
            Self::DoThenAnswer { .. } => "done, other answer",
            Self::LoseAnswer(_) => "answer lost",
            Self::CutBody { .. } => "body cut",
            Self::StallBody { .. } => "body stalled",
            Self::StallThenCut { .. } => "body stalled, then cut",
            Self::Redirect { .. } => "sent elsewhere",
            Self::Trickle { .. } => "answer trickled",
            Self::HoldBefore(_) => "held before",
            Self::HoldAfter(_) => "answer held",
            Self::Takes { .. } => "slow",
            Self::Edit(_) => "answer edited",
        }
    }
}

struct Rule {
    op: Op,
    part: Option<u32>,
    file: Option<FileType>,
    token: Option<String>,
    header: Option<&'static str>,
    turns: RangeInclusive<u64>,
    seen: u64,
    act: Act,
}

impl Rule {
    fn fits(&self, call: &Call) -> bool {
        self.op == call.op
            && (self.part.is_none() || self.part == call.part)
            && (self.file.is_none() || self.file == call.file())
            && (self.token.is_none() || self.token.as_deref() == call.token())
            && self.header.is_none_or(|name| call.headers.contains_key(name))
    }
}

/// A point of the store's byte counter for one file.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Wall clock, milliseconds since 1970.
    pub at_ms: f64,
    /// Of every part, the furthest that any attempt got.
    pub bytes: u64,
    /// Bodies under way.
    pub open: u32,
}

/// An S3 on loopback that does as its script says.
pub struct ScriptedStore {
    pub addr: SocketAddr,
    /// The same store without the script, for whoever checks what is in it.
    pub plain: SocketAddr,
    shared: Arc<Shared>,
    stop: CancellationToken,
}

pub(super) struct Shared {
    pub service: S3Service,
    pub pace: Pace,
    wants_equal_parts: AtomicBool,
    state: Mutex<State>,
    version: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    calls: Vec<Call>,
    rules: Vec<Rule>,
    connections: u64,
    furthest: HashMap<(String, Option<u32>), u64>,
    counters: HashMap<FileType, (u64, u32)>,
    timeline: HashMap<FileType, Vec<Moment>>,
    acted: BTreeMap<&'static str, u64>,
}

impl ScriptedStore {
    /// A store over the directory, on two ports of its own.
    pub async fn start(dir: &Path) -> Self {
        Self::start_with(dir, None).await
    }

    /// The same with the kernel's receive buffer of each connection set, in bytes as the kernel counts them.
    pub async fn start_with(dir: &Path, receive_buffer: Option<usize>) -> Self {
        let service = store_wire::open(dir).await;
        let shared = Arc::new(Shared {
            service,
            pace: Pace::default(),
            wants_equal_parts: AtomicBool::new(false),
            state: Mutex::default(),
            version: watch::Sender::new(0),
        });
        let stop = CancellationToken::new();
        let scripted = listen(receive_buffer);
        let plain = listen(None);
        let (addr, plain_addr) = (scripted.local_addr().unwrap(), plain.local_addr().unwrap());
        tokio::spawn(store_wire::accept(scripted, Arc::clone(&shared), stop.clone()));
        tokio::spawn(store_wire::accept_plain(plain, shared.service.clone(), stop.clone()));
        Self { addr, plain: plain_addr, shared, stop }
    }

    /// A new rule for an operation: every call, until it is narrowed.
    #[must_use = "a rule without an act does nothing"]
    pub fn on(&self, op: Op) -> RuleBuilder<'_> {
        RuleBuilder {
            store: self,
            op,
            part: None,
            file: None,
            token: None,
            header: None,
            turns: 1..=u64::MAX,
        }
    }

    /// Forgets the script; the log stays.
    pub fn forget_rules(&self) {
        self.shared.state.lock().unwrap().rules.clear();
    }

    /// How often the script did what.
    #[must_use]
    pub fn acted(&self) -> BTreeMap<&'static str, u64> {
        self.shared.state.lock().unwrap().acted.clone()
    }

    /// Reads all bodies together at `rate` bytes a second; 0 is without limit.
    pub fn pace(&self, rate: u64) {
        self.shared.pace.set(rate);
    }

    /// From now on Complete is refused when the parts are not all equal but the last, which may be smaller: a rule of
    /// some stores.
    pub fn want_equal_parts(&self) {
        self.shared.wants_equal_parts.store(true, Ordering::Release);
    }

    /// Every call so far, in order of arrival.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.shared.state.lock().unwrap().calls.clone()
    }

    /// The calls of one operation so far.
    #[must_use]
    pub fn calls_of(&self, op: Op) -> Vec<Call> {
        self.calls().into_iter().filter(|call| call.op == op).collect()
    }

    /// The byte counter of one file over time.
    #[must_use]
    pub fn timeline(&self, file: FileType) -> Vec<Moment> {
        self.shared.state.lock().unwrap().timeline.get(&file).cloned().unwrap_or_default()
    }

    /// Waits until `find` finds something in the log.
    pub async fn until<T>(&self, wanted: &str, mut find: impl FnMut(&[Call]) -> Option<T>) -> T {
        let mut version = self.shared.version.subscribe();
        let found = tokio::time::timeout(PATIENCE, async {
            loop {
                version.borrow_and_update();
                if let Some(found) = find(&self.shared.state.lock().unwrap().calls) {
                    return found;
                }
                version.changed().await.expect("the store lives as long as this handle");
            }
        });
        match found.await {
            Ok(found) => found,
            Err(_) => panic!("{wanted}: not within {PATIENCE:?}\n{}", self.log()),
        }
    }

    /// Waits for the `n`-th call of an operation.
    pub async fn called(&self, op: Op, n: usize) -> Call {
        self.until(&format!("call {n} of {op:?}"), |calls| {
            calls.iter().filter(|call| call.is(op)).nth(n - 1).cloned()
        })
        .await
    }

    /// Waits until a part's body has been read so far, in any attempt.
    pub async fn part_read(&self, part: u32, at_least: u64) -> Call {
        self.until(&format!("{at_least} bytes of part {part}"), |calls| {
            calls.iter().find(|call| call.is_part(part) && call.read() >= at_least).cloned()
        })
        .await
    }

    /// Waits until the store has answered 200 to a part.
    pub async fn part_stored(&self, part: u32) -> Call {
        self.until(&format!("part {part} stored"), |calls| {
            calls.iter().find(|call| call.is_part(part) && call.status() == Some(200)).cloned()
        })
        .await
    }

    /// The log in words, for the message of a failed assertion.
    #[must_use]
    pub fn log(&self) -> String {
        let lines = self.calls().into_iter().map(|call| {
            let (part, read) = (call.part.unwrap_or(0), call.read());
            format!(
                "{:?} part {part} {} of {:?} read, answer {:?}, {}",
                call.op,
                read,
                call.content_length,
                call.status(),
                call.key
            )
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

impl Drop for ScriptedStore {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Narrows a rule, then says what is done.
pub struct RuleBuilder<'a> {
    store: &'a ScriptedStore,
    op: Op,
    part: Option<u32>,
    file: Option<FileType>,
    token: Option<String>,
    header: Option<&'static str>,
    turns: RangeInclusive<u64>,
}

impl RuleBuilder<'_> {
    /// Only for this part number.
    #[must_use]
    pub fn part(mut self, part: u32) -> Self {
        self.part = Some(part);
        self
    }

    /// Only for this one of the two files.
    #[must_use]
    pub fn of(mut self, file: FileType) -> Self {
        self.file = Some(file);
        self
    }

    /// Only for calls that bear this session token.
    #[must_use]
    pub fn bearing(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self
    }

    /// Only for calls that have this header.
    #[must_use]
    pub fn with_header(mut self, name: &'static str) -> Self {
        self.header = Some(name);
        self
    }

    /// Only for the `n`-th matching call after now.
    #[must_use]
    pub fn nth(mut self, n: u64) -> Self {
        self.turns = n..=n;
        self
    }

    /// Only for the first `n` matching calls after now.
    #[must_use]
    pub fn first(mut self, n: u64) -> Self {
        self.turns = 1..=n;
        self
    }

    pub fn once(self) -> Self {
        self.first(1)
    }

    /// Reads the body, then answers with an S3 error instead of doing it.
    pub fn fails(self, status: u16, code: &str) {
        self.add(Act::Answer { status, body: error_xml(code), early: false });
    }

    /// Answers with an S3 error before the body was read, and goes on reading it.
    pub fn fails_early(self, status: u16, code: &str) {
        self.add(Act::Answer { status, body: error_xml(code), early: true });
    }

    /// Reads the body, then answers this instead of doing it.
    pub fn answers(self, status: u16, body: &str) {
        self.add(Act::Answer { status, body: body.to_owned(), early: false });
    }

    /// Reads the body, then points to another address instead of doing it.
    pub fn redirects(self, status: u16, to: &str) {
        self.add(Act::Redirect { status, to: to.to_owned() });
    }

    /// Does it, then answers something else.
    pub fn does_but_answers(self, status: u16, body: &str) {
        self.add(Act::DoThenAnswer { status, body: body.to_owned() });
    }

    /// Does it, then cuts the connection instead of answering.
    pub fn loses_the_answer(self, cut: Cut) {
        self.add(Act::LoseAnswer(cut));
    }

    /// Reads about `after` bytes of the body, then cuts the connection.
    pub fn cuts_body(self, after: u64, cut: Cut) {
        self.add(Act::CutBody { after, cut });
    }

    /// Reads about `after` bytes of the body, then none until the gate is cancelled.
    pub fn stalls_body(self, after: u64) -> CancellationToken {
        let gate = CancellationToken::new();
        self.add(Act::StallBody { after, gate: gate.clone() });
        gate
    }

    /// Reads about `after` bytes of the body, then none, and cuts the connection when the gate is cancelled.
    pub fn stalls_then_cuts(self, after: u64, cut: Cut) -> CancellationToken {
        let gate = CancellationToken::new();
        self.add(Act::StallThenCut { after, gate: gate.clone(), cut });
        gate
    }

    /// Answers 200 at once and begins the body with `start`; white space follows until the gate is cancelled, then it
    /// is done and the rest of its answer sent.
    pub fn trickles(self, start: &'static str) -> CancellationToken {
        let gate = CancellationToken::new();
        self.add(Act::Trickle { start, gate: gate.clone() });
        gate
    }

    /// Does nothing until the gate is cancelled, then does it.
    pub fn holds_before(self) -> CancellationToken {
        let gate = CancellationToken::new();
        self.add(Act::HoldBefore(gate.clone()));
        gate
    }

    /// Does it, and keeps the answer back until the gate is cancelled.
    pub fn holds_after(self) -> CancellationToken {
        let gate = CancellationToken::new();
        self.add(Act::HoldAfter(gate.clone()));
        gate
    }

    /// Waits so long before it does it, and so long again before it answers.
    pub fn takes(self, before: Duration, after: Duration) {
        self.add(Act::Takes { before, after });
    }

    /// Does it, and changes the answer.
    pub fn edits(self, edit: impl Fn(HttpResponse) -> HttpResponse + Send + Sync + 'static) {
        self.add(Act::Edit(Arc::new(edit)));
    }

    fn add(self, act: Act) {
        let Self { store, op, part, file, token, header, turns } = self;
        let rule = Rule { op, part, file, token, header, turns, seen: 0, act };
        store.shared.state.lock().unwrap().rules.push(rule);
    }
}

impl Shared {
    pub fn new_connection(&self) -> u64 {
        let mut state = self.state.lock().unwrap();
        state.connections += 1;
        state.connections
    }

    /// Logs a call and says what is to be done with it.
    pub fn begin(&self, call: &Call) -> Option<Act> {
        let mut state = self.state.lock().unwrap();
        state.calls.push(call.clone());
        if let Some(file) = call.body_of() {
            let counter = state.counters.entry(file).or_default();
            counter.1 += 1;
            state.mark(file);
        }
        let mut due = None;
        for rule in &mut state.rules {
            if rule.fits(call) {
                rule.seen += 1;
                if due.is_none() && rule.turns.contains(&rule.seen) {
                    due = Some(rule.act.clone());
                }
            }
        }
        if let Some(act) = &due {
            *state.acted.entry(act.name()).or_default() += 1;
        }
        drop(state);
        self.version.send_modify(|n| *n += 1);
        due
    }

    /// What is said to a Complete of unequal parts where they have to be equal.
    pub fn refusal_of(&self, call: &Call) -> Option<HttpResponse> {
        if !call.is(Op::Complete) || !self.wants_equal_parts.load(Ordering::Acquire) {
            return None;
        }
        let mut lengths = BTreeMap::new();
        for part in &self.state.lock().unwrap().calls {
            if part.is(Op::UploadPart) && part.upload_id == call.upload_id && part.status() == Some(200) {
                lengths.insert(part.part, part.content_length);
            }
        }
        let last = lengths.pop_last().map(|(_, length)| length);
        let first = lengths.values().next().copied();
        let is_equal = first.is_none_or(|first| {
            lengths.values().all(|length| *length == first) && last.is_some_and(|last| last <= first)
        });
        (!is_equal).then(|| answer(400, &error_xml("InvalidPart")))
    }

    /// Counts body bytes of a call.
    pub fn count(&self, call: &Call, bytes: u64) {
        let read = call.live.read.fetch_add(bytes, Ordering::AcqRel) + bytes;
        if let Some(file) = call.body_of() {
            let mut state = self.state.lock().unwrap();
            let furthest = state.furthest.entry((call.key.clone(), call.part)).or_default();
            let gain = read.saturating_sub(*furthest);
            *furthest += gain;
            state.counters.entry(file).or_default().0 += gain;
            state.mark(file);
        }
        self.version.send_modify(|n| *n += 1);
    }

    pub fn end(&self, call: &Call, status: u16) {
        *call.live.ended.lock().unwrap() = Some(Instant::now());
        call.live.status.store(status, Ordering::Release);
        if let Some(file) = call.body_of() {
            let mut state = self.state.lock().unwrap();
            state.counters.entry(file).or_default().1 -= 1;
            state.mark(file);
        }
        self.version.send_modify(|n| *n += 1);
    }
}

impl State {
    fn mark(&mut self, file: FileType) {
        let (bytes, open) = self.counters.get(&file).copied().unwrap_or_default();
        let moment = Moment { at_ms: super::wall_clock_ms(), bytes, open };
        self.timeline.entry(file).or_default().push(moment);
    }
}

impl Call {
    /// The file whose content this call carries.
    fn body_of(&self) -> Option<FileType> {
        matches!(self.op, Op::Put | Op::UploadPart).then(|| self.file()).flatten()
    }
}

/// The XML of an S3 error.
#[must_use]
pub fn error_xml(code: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code>\
         <Message>scripted secret-detail-of-the-store</Message><RequestId>test</RequestId></Error>"
    )
}

/// An answer with this body.
#[must_use]
pub fn answer(status: u16, body: &str) -> HttpResponse {
    let mut answer = Response::new(s3s::Body::from(body.to_owned()));
    *answer.status_mut() = http::StatusCode::from_u16(status).unwrap();
    answer.headers_mut().insert("content-type", http::HeaderValue::from_static("application/xml"));
    answer
}

fn listen(receive_buffer: Option<usize>) -> TcpListener {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    // Accepted sockets inherit it, and only so is it in force from the first byte.
    if let Some(bytes) = receive_buffer {
        // Linux doubles it, for its own book-keeping (socket(7)).
        socket.set_recv_buffer_size(bytes).unwrap();
        assert_eq!(socket.recv_buffer_size().unwrap(), 2 * bytes);
    }
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket.listen(1024).unwrap();
    socket.set_nonblocking(true).unwrap();
    TcpListener::from_std(socket.into()).unwrap()
}
