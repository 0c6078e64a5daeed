//! One client: sends its form as planned, reads what it can, and compares what it is told over the socket.

use std::net::SocketAddr;
use std::time::Duration;

use app::wire::{FileMessage, FileOutcome, FileType, Outcome, Problem, Snapshot, Status, UploadAnswer};
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::plan::{ClientFault, Plan, Watching};
use crate::report::caught;
use crate::support::client::{Answer, BOUNDARY, RawConnection, get, request};
use crate::support::proxy::Proxy;
use crate::support::socket::{Watcher, frame, upgrade};
use crate::support::store::Cut;

/// For the first message of an upload, before it can be cancelled.
const FIRST_MESSAGE: Duration = Duration::from_millis(500);
/// What a flood sends; far more than the 60 that a watcher may send at once.
const FLOOD: usize = 300;

/// How it went.
#[derive(Debug)]
pub struct Ended {
    pub plan: Plan,
    pub answer: Option<Answer>,
    /// Body bytes that were written.
    pub written: usize,
    /// Where in the body each file's closing delimiter ends.
    pub closed_at: Vec<usize>,
    /// The ends that its own socket told.
    pub told: Vec<FileMessage>,
    pub violations: Vec<String>,
}

impl Ended {
    /// In a word, for the tally.
    pub fn word(&self) -> String {
        match &self.answer {
            None => "no answer read".to_owned(),
            Some(answer) if answer.status == 200 => "200".to_owned(),
            Some(answer) => match problem(answer) {
                Some(problem) => format!("{} {}", answer.status, problem.code),
                None => answer.status.to_string(),
            },
        }
    }

    /// What the answer says of each file; nothing without an answer.
    pub fn outcomes(&self) -> Vec<FileOutcome> {
        let Some(answer) = &self.answer else { return Vec::new() };
        match answer.status {
            200 => serde_json::from_slice::<UploadAnswer>(&answer.body)
                .map(|answer| answer.files)
                .unwrap_or_default(),
            _ => problem(answer).map(|problem| problem.files).unwrap_or_default(),
        }
    }

    fn upload_id(&self) -> Option<String> {
        let answer = self.answer.as_ref()?;
        match answer.status {
            200 => serde_json::from_slice::<UploadAnswer>(&answer.body).ok().map(|answer| answer.upload_id),
            _ => problem(answer)?.upload_id,
        }
    }
}

fn problem(answer: &Answer) -> Option<Problem> {
    serde_json::from_slice(&answer.body).ok()
}

/// Sends through a line of its own to `server`.
pub async fn run(plan: Plan, server: SocketAddr) -> Ended {
    let line = Proxy::start(server).await;
    let mut ended = send_over(plan, &line, None, server).await;
    drop(line);
    ended.violations.extend(bad_answer(&ended));
    ended
}

/// The same with everyone who listens, on a server that lives.
pub async fn run_watched(plan: Plan, server: SocketAddr) -> Ended {
    let others = Others::begin(&plan, server);
    let is_cancel =
        matches!(plan.fault, ClientFault::CancelByDelete { .. } | ClientFault::CancelBySocket { .. });
    let mut own = match plan.watching.contains(&Watching::Lawful) || is_cancel {
        true => Some(Watcher::new(server, &plan.client_id).await),
        false => None,
    };
    let line = Proxy::start(server).await;
    let mut ended = send_over(plan, &line, own.as_mut(), server).await;
    drop(line);
    ended.violations.extend(bad_answer(&ended));
    if let Some(mut own) = own {
        hear_the_end(&mut ended, &mut own).await;
        own.close().await;
    }
    if let Some(id) = ended.upload_id() {
        compare_snapshot(&mut ended, &id, server).await;
    }
    ended.violations.extend(others.end().await);
    ended
}

/// A 200 must say of every file that it is stored.
fn bad_answer(ended: &Ended) -> Option<String> {
    let is_200 = ended.answer.as_ref().is_some_and(|answer| answer.status == 200);
    let all = ended.plan.files.iter().all(|file| {
        let field = file.sample.file.field();
        ended.outcomes().iter().any(|outcome| outcome.field == field && outcome.outcome == Outcome::Stored)
    });
    (is_200 && !all).then(|| format!("200 for {:?}: {}", ended.plan, ended.answer.as_ref().unwrap().text()))
}

async fn send_over(plan: Plan, line: &Proxy, own: Option<&mut Watcher>, server: SocketAddr) -> Ended {
    let form = plan.form();
    let body = if plan.is_unclosed { form.body_unclosed() } else { form.body() };
    let closed_at = plan.files.iter().enumerate().map(|(index, file)| {
        // CR LF, the boundary with its dashes, and two bytes that say whether it is the last.
        form.offset(index, file.content_size()) + BOUNDARY.len() + 6
    });
    let mut ended = Ended {
        closed_at: closed_at.collect(),
        answer: None,
        written: 0,
        told: Vec::new(),
        violations: Vec::new(),
        plan: plan.clone(),
    };
    let head = if plan.is_chunked { form.chunked_head() } else { form.head(body.len()) };
    drop(form);
    let sending = async {
        let Ok(stream) = TcpStream::connect(line.addr).await else { return };
        let connection = RawConnection::over(stream);
        Sending { ended: &mut ended, body: &body, own, server }.run(connection, &head).await;
    };
    match plan.line {
        Some(fault) => tokio::select! {
            biased;
            () = fault.happen(line) => {}
            () = sending => {}
        },
        None => sending.await,
    }
    ended
}

struct Sending<'a> {
    ended: &'a mut Ended,
    body: &'a [u8],
    own: Option<&'a mut Watcher>,
    server: SocketAddr,
}

impl Sending<'_> {
    async fn run(mut self, mut connection: RawConnection, head: &[u8]) {
        if connection.try_write(head).await.is_err() {
            return;
        }
        let whole = self.body.len();
        let place = |thousandths: usize| whole / 1000 * thousandths;
        match self.ended.plan.fault {
            ClientFault::None => self.write_to(&mut connection, whole).await,
            ClientFault::Leave { at, how } => {
                self.write_to(&mut connection, place(at)).await;
                return leave(connection, how);
            }
            ClientFault::LeaveBeforeTheAnswer { how } => {
                self.write_to(&mut connection, whole).await;
                return leave(connection, how);
            }
            ClientFault::HalfClose { at } => {
                self.write_to(&mut connection, place(at)).await;
                connection.finish();
            }
            ClientFault::Silence { at, ms } => {
                self.write_to(&mut connection, place(at)).await;
                sleep(Duration::from_millis(ms)).await;
                self.write_to(&mut connection, whole).await;
            }
            ClientFault::CancelByDelete { at } | ClientFault::CancelBySocket { at } => {
                self.write_to(&mut connection, place(at)).await;
                if !self.cancel().await {
                    self.write_to(&mut connection, whole).await;
                }
            }
        }
        self.ended.answer = connection.answer_or_close().await;
    }

    /// Writes the body up to there, or as much of it as the server takes.
    async fn write_to(&mut self, connection: &mut RawConnection, end: usize) {
        let plan = &self.ended.plan;
        let (piece, pause, is_chunked) = (plan.piece, Duration::from_millis(plan.pause_ms), plan.is_chunked);
        while self.ended.written < end {
            let next = (self.ended.written + piece).min(end);
            let bytes = &self.body[self.ended.written..next];
            let framed = if is_chunked { chunk(bytes) } else { bytes.to_vec() };
            // Part of it may have left us.
            self.ended.written = next;
            if connection.try_write(&framed).await.is_err() {
                return;
            }
            if !pause.is_zero() {
                sleep(pause).await;
            }
        }
        if is_chunked && end == self.body.len() {
            let _ = connection.try_write(b"0\r\n\r\n").await;
        }
    }

    /// Whether it was asked for: an upload that nothing was told of has no id.
    async fn cancel(&mut self) -> bool {
        let Some(own) = &mut self.own else { return false };
        let first = async {
            loop {
                if let Some(heard) = own.heard().first() {
                    return heard.message.upload_id.clone();
                }
                sleep(Duration::from_millis(5)).await;
            }
        };
        let Ok(id) = tokio::time::timeout(FIRST_MESSAGE, first).await else { return false };
        if let ClientFault::CancelBySocket { .. } = self.ended.plan.fault {
            own.say(&format!("{{\"cancel\":\"{id}\"}}")).await;
            return true;
        }
        let answer = request(self.server, "DELETE", &format!("/uploads/{id}")).await;
        if ![202, 409].contains(&answer.status) {
            self.ended.violations.push(format!(
                "DELETE of a known upload: {} {}",
                answer.status,
                answer.text()
            ));
        }
        true
    }
}

fn chunk(bytes: &[u8]) -> Vec<u8> {
    let mut framed = format!("{:x}\r\n", bytes.len()).into_bytes();
    framed.extend(bytes);
    framed.extend(b"\r\n");
    framed
}

fn leave(connection: RawConnection, how: Cut) {
    match how {
        Cut::Fin => drop(connection),
        Cut::Reset => connection.reset(),
    }
}

/// Waits for the end of every file that the socket or the answer spoke of, and compares the two.
async fn hear_the_end(ended: &mut Ended, own: &mut Watcher) {
    if let Some(id) = ended.upload_id() {
        for outcome in ended.outcomes() {
            let Some(file) = FileType::ALL.into_iter().find(|file| file.field() == outcome.field) else {
                continue;
            };
            let end = own.terminal_of(&id, file).await;
            ended.violations.extend(disagreement(&outcome, &end).map(|how| format!("socket: {how}")));
            ended.told.push(end);
        }
        return;
    }
    if ended.plan.is_id_shared {
        return;
    }
    let mut known: Vec<_> =
        own.heard().into_iter().map(|heard| (heard.message.upload_id, heard.message.file_type)).collect();
    known.sort();
    known.dedup();
    for (id, file) in known {
        ended.told.push(own.terminal_of(&id, file).await);
    }
}

async fn compare_snapshot(ended: &mut Ended, id: &str, server: SocketAddr) {
    let answer = get(server, &format!("/uploads/{id}")).await;
    let outcomes = ended.outcomes();
    if answer.status == 404 && outcomes.is_empty() {
        return;
    }
    let Ok(snapshot) = serde_json::from_slice::<Snapshot>(&answer.body) else {
        return ended.violations.push(format!(
            "no snapshot after the answer: {} {}",
            answer.status,
            answer.text()
        ));
    };
    for outcome in &outcomes {
        let found = snapshot.files.iter().find(|file| file.file_type.field() == outcome.field);
        let how = match found {
            Some(message) => disagreement(outcome, message),
            None => Some(format!("{outcome:?} is not in it")),
        };
        ended.violations.extend(how.map(|how| format!("snapshot: {how}")));
    }
}

/// How an end that was told differs from the answer.
fn disagreement(outcome: &FileOutcome, end: &FileMessage) -> Option<String> {
    let agrees = match outcome.outcome {
        Outcome::Stored => end.status == Status::Completed,
        _ => end.status == Status::Error && outcome.code == end.code,
    };
    (!agrees).then(|| format!("the answer says {outcome:?}, and {end:?} was told"))
}

/// Those who listen besides the client itself.
struct Others {
    stop: CancellationToken,
    running: Vec<tokio::task::JoinHandle<Result<(), String>>>,
}

impl Others {
    fn begin(plan: &Plan, server: SocketAddr) -> Self {
        let stop = CancellationToken::new();
        let others = plan.watching.iter().filter(|watching| **watching != Watching::Lawful);
        let running = others.map(|watching| {
            let listening = listen(*watching, plan.client_id.clone(), server, stop.clone());
            tokio::spawn(caught(listening))
        });
        let running = running.collect();
        Self { stop, running }
    }

    /// What went wrong with them.
    async fn end(self) -> Vec<String> {
        self.stop.cancel();
        let mut violations = Vec::new();
        for task in self.running {
            violations.extend(task.await.unwrap().err().map(|words| format!("watcher: {words}")));
        }
        violations
    }
}

async fn listen(watching: Watching, id: String, server: SocketAddr, stop: CancellationToken) {
    match watching {
        Watching::Lawful => {}
        Watching::Old => {
            let watcher = Watcher::old(server, &id).await;
            stop.cancelled().await;
            watcher.close().await;
        }
        Watching::Mute => {
            let open = upgrade(server, &format!("/ws?client_id={id}")).await;
            let (reader, writer, _) = open.unwrap_or_else(|answer| panic!("no socket: {}", answer.status));
            // Next to no room for what it does not read.
            let _ = SockRef::from(reader.as_ref()).set_recv_buffer_size(1);
            stop.cancelled().await;
            drop((reader, writer));
        }
        Watching::Flood => {
            let mut watcher = Watcher::new(server, &id).await;
            for _ in 0..FLOOD {
                if watcher.try_send_raw(&frame(0x1, br#"{"cancel":"AAAAAAAAAAAAAAAAAAAAAA"}"#)).await.is_err()
                {
                    break;
                }
            }
            let code = watcher.closed().await;
            // The end of a connection may overtake the frame that explains it, when we still send.
            assert!([1006, 1008].contains(&code), "a flood is answered by {code}");
        }
        Watching::Returns { after_ms } => {
            let first = Watcher::new(server, &id).await;
            let left = tokio::time::timeout(Duration::from_millis(after_ms), stop.cancelled()).await;
            first.close().await;
            if left.is_err() {
                let second = Watcher::new(server, &id).await;
                stop.cancelled().await;
                second.close().await;
            }
        }
    }
}
