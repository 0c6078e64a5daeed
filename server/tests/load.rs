//! Crowds on the real binary: ten thousand idle watchers, and two hundred that come and go each second.
//!
//! The server is a child and the client this process, since one process may be allowed 20,000 open files only.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::thread;
use std::time::{Duration, Instant};

use app::wire::FileType::DocsFile;
use app::wire::{Outcome, Status};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::task::{JoinSet, block_in_place};
use tokio::time::interval;

use support::PATIENCE;
use support::child::Child;
use support::client::{Form, RawConnection, get, head, metric};
use support::fixture::{Fixture, settle};
use support::sample::{self, KIB, MIB};
use support::socket::{Watcher, frame, upgrade, upgrade_head};

const SOCKETS: usize = 10_000;
/// Of the server's memory, in bytes.
const EACH_SOCKET: u64 = 32 * KIB as u64;
/// Threads that open sockets.
const OPENERS: usize = 4;

/// Visits a second.
const VISITS: u32 = 200;
/// Bytes by which the server may be larger after a crowd than after the one before: below 400 a visitor.
const GROWTH: u64 = 4 * MIB as u64;

/// Bytes that the kernel may hold for a client that does not read: far below its own limit of 4 MiB.
const UNREAD: usize = 256 * KIB;

/// The server may begin with the usual limit of 1,024 open files: it raises it by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f14_ten_thousand_idle_sockets() {
    raise_open_files();
    let server = Child::start_under(&["prlimit", "--nofile=1024:"], &[]).await;
    normal_upload(server.address).await;
    let (before, memory) = (at_rest(&server).await, server.rss());

    let began = Instant::now();
    let mut crowd = Crowd::open(server.address, 0..SOCKETS / 2);
    let mut watcher = Watcher::new(server.address, "among-them").await;
    crowd.join(Crowd::open(server.address, SOCKETS / 2..SOCKETS - 1));
    let took = began.elapsed();
    assert_eq!(sockets(&server).await, SOCKETS as f64);
    let each = grown(&server, memory) / SOCKETS as u64;
    println!("{SOCKETS} sockets in {took:?}, {each} bytes of the server's memory each");
    assert!(each <= EACH_SOCKET, "{each} bytes a socket");

    let content = sample::pdf(24 * MIB);
    let answer = Form::document(&content).client_id("among-them").post(server.address).await.stored();
    let end = watcher.terminal_of(&answer.upload_id, DocsFile).await;
    assert_eq!((end.status, end.stored), (Status::Completed, content.len() as u64));
    crowd.all_stay();
    crowd.some_answer();
    assert_eq!(left(&server).await.sockets, SOCKETS as f64, "all stay");

    watcher.close().await;
    crowd.leave();
    assert_eq!(settle(|left| *left == before, || left(&server)).await, before);
    // The allocator keeps what they had; the next crowd lives in it.
    let kept = grown(&server, memory);
    let next = Crowd::open(server.address, SOCKETS..2 * SOCKETS);
    assert_eq!(sockets(&server).await, SOCKETS as f64);
    let grown = grown(&server, memory);
    println!("{} KiB kept when they have left, {} KiB with the next", kept / 1024, grown / 1024);
    assert!(grown <= kept + GROWTH, "{kept} bytes kept, then {grown}");
    next.leave();
    assert_eq!(settle(|left| *left == before, || left(&server)).await, before);
    normal_upload(server.address).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f16_connects_and_closes() {
    let server = Child::start(&[]).await;
    visits(server.address, 0, 5 * VISITS).await;
    let (before, memory) = (at_rest(&server).await, server.rss());

    let took = visits(server.address, 5 * VISITS, 60 * VISITS).await;
    let after = settle(|left| *left == before, || left(&server)).await;
    assert_eq!(after, before);
    let grown = grown(&server, memory);
    println!("{} visits in {took:?}: {} KiB more memory than before", 60 * VISITS, grown / 1024);
    assert!(took < Duration::from_secs(75), "the crowd came in {took:?}: too slow to prove anything");
    assert!(grown <= GROWTH, "{grown} bytes more than before");
    let begun = Instant::now();
    normal_upload(server.address).await;
    assert!(begun.elapsed() < Duration::from_secs(2), "it took {:?}", begun.elapsed());
    server.stop().await;
}

/// What a client asks for and does not read is not made, does not pile up in the kernel, and goes with the client.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a12_answers_that_nobody_reads_do_not_pile_up() {
    let fixture =
        Fixture::setup().config(|config| config.clocks.answer_silence = Duration::from_secs(5)).start().await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(1).unwrap();
    let stream = socket.connect(fixture.server).await.unwrap();
    let client = stream.local_addr().unwrap();
    let page = get(fixture.server, "/").await.body.len();
    // So few that the server has read them all: what it has not read would make a mere close a reset.
    let asked = 200;
    assert!(asked * page > 2 * UNREAD, "{page} bytes are too small a page");
    let mut stuck = RawConnection::over(stream);
    stuck.write(&head("GET", "/", &[]).repeat(asked)).await;
    let unread = || async { unread(fixture.server, client) };
    assert!(settle(|unread| *unread > 8 * KIB, unread).await > 8 * KIB, "answers wait");
    for _ in 0..10 {
        fixture.normal_upload_passes().await;
    }
    let waiting = unread().await;
    println!("{waiting} of {} bytes wait in the kernel", asked * page);
    assert!(waiting <= UNREAD, "{waiting} bytes wait in the kernel");
    assert_eq!(settle(|unread| *unread == 0, unread).await, 0, "the client is cut");
    drop(stuck);
    fixture.finish().await;
}

/// Bytes that the kernel holds for `client`: sent and not acknowledged, or not yet sent.
fn unread(server: SocketAddr, client: SocketAddr) -> usize {
    let ends = [server, client].map(|address| format!("0100007F:{:04X}", address.port()));
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let mut lines = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let line = lines.find(|fields| fields[1..3] == ends);
    let queue = line.map(|fields| fields[4].split(':').next().unwrap().to_owned());
    queue.map_or(0, |queue| usize::from_str_radix(&queue, 16).unwrap())
}

/// What is there now of those who came.
#[derive(Debug, PartialEq)]
struct Left {
    sockets: f64,
    /// Without the one that asks.
    connections: f64,
    uploads: f64,
    buffer: f64,
    /// Open files of the server, without idle connections to the store: it holds both their ends.
    files: f64,
}

impl Left {
    fn is_rest(&self) -> bool {
        self.sockets + self.connections + self.uploads + self.buffer == 0.0
    }
}

async fn left(server: &Child) -> Left {
    // It is open while the files are counted, so that it can be taken off.
    let mut asking = RawConnection::connect(server.address).await;
    asking.write(&head("GET", "/metrics", &[])).await;
    let text = asking.answer().await.text();
    let files = server.open_files() as f64;
    Left {
        sockets: metric(&text, "brigade_progress_clients"),
        connections: metric(&text, "brigade_connections") - 1.0,
        uploads: metric(&text, "brigade_uploads_in_flight"),
        buffer: metric(&text, "brigade_buffer_bytes"),
        files: files - 1.0 - 2.0 * metric(&text, "brigade_store_connections"),
    }
}

async fn at_rest(server: &Child) -> Left {
    let left = settle(Left::is_rest, || left(server)).await;
    assert!(left.is_rest(), "{left:?}");
    left
}

/// How many watchers there are, once there are as many as shall be.
async fn sockets(server: &Child) -> f64 {
    settle(|left: &Left| left.sockets == SOCKETS as f64, || left(server)).await.sockets
}

fn grown(server: &Child, memory: u64) -> u64 {
    server.rss().saturating_sub(memory)
}

async fn normal_upload(server: SocketAddr) {
    let form = Form::both(&sample::pdf(100 * KIB), &sample::jpeg(20 * KIB));
    let files = form.post(server).await.stored().files;
    assert!(files.len() == 2 && files.iter().all(|file| file.outcome == Outcome::Stored), "{files:?}");
}

/// Idle watchers: all that is kept of each on our side is its file descriptor.
struct Crowd(Vec<TcpStream>);

impl Crowd {
    fn open(server: SocketAddr, numbers: Range<usize>) -> Self {
        let step = numbers.len().div_ceil(OPENERS);
        let open = |first: usize| {
            let numbers = first..numbers.end.min(first + step);
            move || numbers.map(|number| idle(server, number).unwrap()).collect::<Vec<_>>()
        };
        block_in_place(|| {
            thread::scope(|scope| {
                let openers: Vec<_> =
                    numbers.clone().step_by(step).map(|first| scope.spawn(open(first))).collect();
                Self(openers.into_iter().flat_map(|opener| opener.join().unwrap()).collect())
            })
        })
    }

    fn join(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }

    /// None was closed; pings that came meanwhile are answered.
    fn all_stay(&self) {
        for mut socket in &self.0 {
            socket.set_nonblocking(true).unwrap();
            let mut pings = [0; 64];
            match socket.read(&mut pings) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(length) if length > 0 => {
                    for ping in pings[..length].chunks(2) {
                        assert_eq!(ping, [0x89, 0], "an idle watcher hears pings only");
                        socket.write_all(&frame(0xa, &[])).unwrap();
                    }
                }
                ended => panic!("a watcher was cut: {ended:?}"),
            }
            socket.set_nonblocking(false).unwrap();
        }
    }

    /// Every hundredth asks and is answered.
    fn some_answer(&self) {
        for mut socket in self.0.iter().step_by(100) {
            socket.write_all(&frame(0x9, b"here")).unwrap();
            let mut heard = Vec::new();
            while !heard.ends_with(b"\x8a\x04here") {
                let mut byte = [0];
                socket.read_exact(&mut byte).expect("an answer to a ping");
                heard.extend(byte);
            }
        }
    }

    /// One half says so before.
    fn leave(self) {
        for mut socket in self.0.iter().step_by(2) {
            socket.write_all(&frame(0x8, &1000_u16.to_be_bytes())).unwrap();
        }
    }
}

fn idle(server: SocketAddr, number: usize) -> io::Result<TcpStream> {
    let mut socket = TcpStream::connect(server)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.write_all(&upgrade_head(&format!("/ws?client_id=idle-{number}")))?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let mut bytes = [0; 512];
        let length = socket.read(&mut bytes)?;
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        answer.extend(&bytes[..length]);
    }
    assert!(answer.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&answer));
    Ok(socket)
}

/// So many visits, evenly paced, from `first` on; every thousandth comes with a normal upload.
async fn visits(server: SocketAddr, first: u32, count: u32) -> Duration {
    let began = Instant::now();
    let mut pace = interval(Duration::from_secs(1) / VISITS);
    let mut running = JoinSet::new();
    for number in first..first + count {
        pace.tick().await;
        running.spawn(visit(server, number));
        if number % 1000 == 0 {
            running.spawn(normal_upload(server));
        }
        while let Some(ended) = running.try_join_next() {
            ended.unwrap();
        }
    }
    while let Some(ended) = running.join_next().await {
        ended.unwrap();
    }
    began.elapsed()
}

/// Half of them are watchers who close properly; the others say nothing, or break off in the middle of a request
/// or of its answer.
async fn visit(server: SocketAddr, number: u32) {
    match number % 6 {
        0 | 2 | 4 => watch_and_close(server, number).await,
        1 => drop(RawConnection::connect(server).await),
        3 => {
            let mut connection = RawConnection::connect(server).await;
            connection.write(b"GET /healthz HTTP/1.1\r\nHost: ").await;
            connection.reset();
        }
        _ => {
            let mut connection = RawConnection::connect(server).await;
            connection.write(&head("GET", "/", &[])).await;
            connection.reset();
        }
    }
}

async fn watch_and_close(server: SocketAddr, number: u32) {
    let (mut reader, mut writer, _) =
        upgrade(server, &format!("/ws?client_id=visitor-{number}")).await.expect("a socket");
    writer.write_all(&frame(0x8, &1000_u16.to_be_bytes())).await.unwrap();
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(PATIENCE, reader.read_to_end(&mut rest)).await;
    ended.expect("the server closes too").expect("without a reset");
}

/// To the most that this process may have.
fn raise_open_files() {
    let most = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most }).unwrap();
    assert!(most.is_none_or(|most| most > SOCKETS as u64 + 500), "hard limit of open files: {most:?}");
}
