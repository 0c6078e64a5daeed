//! A TCP proxy in this process that slows, slices, stalls, cuts, resets and refuses, per direction; one HTTP request
//! it can block.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::PATIENCE;
use super::store::Cut;

/// Most bytes that are passed on at once.
const BUFFER: usize = 16 * 1024;
/// As much of a request as tells it from others.
const REQUEST: usize = 64;

/// A proxy on loopback in front of one address.
pub struct Proxy {
    pub addr: SocketAddr,
    /// From whoever connects to the target.
    pub up: Arc<Direction>,
    /// From the target back.
    pub down: Arc<Direction>,
    is_open: watch::Sender<bool>,
    listens: watch::Receiver<bool>,
    lines: Arc<Mutex<CancellationToken>>,
    stop: CancellationToken,
}

/// One direction of all connections together.
pub struct Direction {
    bytes: AtomicU64,
    rate: AtomicU64,
    /// When the bytes passed on so far are paid for.
    free_at: Mutex<Option<Instant>>,
    /// Most bytes of one write.
    slice: AtomicUsize,
    cut: Mutex<Option<(u64, Cut)>>,
    cuts: AtomicU64,
    /// Milliseconds without a byte that end a connection; 0: none do.
    idle: AtomicU64,
    stalled: watch::Sender<bool>,
    blocked: watch::Sender<Option<&'static str>>,
    moved: watch::Sender<()>,
}

impl Direction {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            bytes: AtomicU64::new(0),
            rate: AtomicU64::new(0),
            free_at: Mutex::new(None),
            slice: AtomicUsize::new(BUFFER),
            cut: Mutex::new(None),
            cuts: AtomicU64::new(0),
            idle: AtomicU64::new(0),
            stalled: watch::Sender::new(false),
            blocked: watch::Sender::new(None),
            moved: watch::Sender::new(()),
        })
    }

    /// Bytes passed on so far, over all connections.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Acquire)
    }

    /// Connections that [`Self::cut_after`] has ended so far.
    #[must_use]
    pub fn cuts(&self) -> u64 {
        self.cuts.load(Ordering::Acquire)
    }

    /// Bytes a second of all connections together from now on; 0 is without limit.
    pub fn limit(&self, rate: u64) {
        self.rate.store(rate, Ordering::Release);
    }

    /// Passes on at most so many bytes at once from now on.
    pub fn slice(&self, bytes: usize) {
        self.slice.store(bytes.clamp(1, BUFFER), Ordering::Release);
    }

    /// Passes everything on, as at the start.
    pub fn heal(&self) {
        self.limit(0);
        self.slice(BUFFER);
        *self.cut.lock().unwrap() = None;
        self.idle.store(0, Ordering::Release);
        self.blocked.send_replace(None);
        self.resume();
    }

    /// Passes nothing on until [`Self::resume`].
    pub fn stall(&self) {
        self.stalled.send_replace(true);
    }

    pub fn resume(&self) {
        self.stalled.send_replace(false);
    }

    /// Ends, once, the connection that carries the `after`-th byte from now.
    pub fn cut_after(&self, after: u64, how: Cut) {
        *self.cut.lock().unwrap() = Some((self.bytes() + after, how));
    }

    /// Ends every connection that carries nothing for so long.
    pub fn cut_idle(&self, after: Duration) {
        self.idle.store(u64::try_from(after.as_millis()).unwrap(), Ordering::Release);
    }

    /// Waits for the next bytes of a connection.
    async fn read(&self, from: &mut ReadHalf<'_>, buffer: &mut [u8]) -> Result<usize, End> {
        match self.idle.load(Ordering::Acquire) {
            0 => Ok(from.read(buffer).await?),
            idle => match tokio::time::timeout(Duration::from_millis(idle), from.read(buffer)).await {
                Ok(read) => Ok(read?),
                Err(_) => Err(End::Cut(Cut::Reset)),
            },
        }
    }

    /// Waits until so many bytes in all have been passed on.
    pub async fn passed(&self, at_least: u64) {
        let mut moved = self.moved.subscribe();
        let wait = async {
            while self.bytes() < at_least {
                moved.changed().await.expect("this holds the sender");
            }
        };
        let waited = tokio::time::timeout(PATIENCE, wait).await;
        waited.unwrap_or_else(|_| panic!("{} of {at_least} bytes passed the proxy", self.bytes()));
    }

    /// Until when whoever has passed on `bytes` since `started` must wait.
    fn reserve(&self, started: Instant, bytes: usize) -> Option<Instant> {
        let rate = self.rate.load(Ordering::Acquire);
        if rate == 0 {
            return None;
        }
        let mut free_at = self.free_at.lock().unwrap();
        let start = free_at.map_or(started, |at| at.max(started));
        let end = start + Duration::from_secs_f64(bytes as f64 / rate as f64);
        *free_at = Some(end);
        Some(end)
    }

    /// How many of `wanted` bytes may pass, and whether the connection ends after them.
    fn allowance(&self, wanted: usize) -> (usize, Option<Cut>) {
        let mut cut = self.cut.lock().unwrap();
        let before = self.bytes();
        match *cut {
            Some((at, how)) if before + wanted as u64 >= at => {
                *cut = None;
                self.cuts.fetch_add(1, Ordering::AcqRel);
                let allowed = usize::try_from(at - before).unwrap();
                self.bytes.fetch_add(allowed as u64, Ordering::AcqRel);
                (allowed, Some(how))
            }
            _ => {
                self.bytes.fetch_add(wanted as u64, Ordering::AcqRel);
                (wanted, None)
            }
        }
    }
}

impl Proxy {
    pub async fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (up, down) = (Direction::new(), Direction::new());
        let (is_open, opened) = watch::channel(true);
        let (listening, listens) = watch::channel(true);
        let stop = CancellationToken::new();
        let lines = Arc::new(Mutex::new(stop.child_token()));
        let door = Door {
            target,
            addr,
            up: Arc::clone(&up),
            down: Arc::clone(&down),
            lines: Arc::clone(&lines),
            opened,
            listening,
        };
        let stopped = stop.clone();
        tokio::spawn(async move { stopped.run_until_cancelled(door.run(listener)).await });
        Self { addr, up, down, is_open, listens, lines, stop }
    }

    /// From now on connections are refused; running ones are reset.
    pub async fn refuse(&mut self) {
        self.is_open.send_replace(false);
        self.listens.wait_for(|listens| !listens).await.unwrap();
        self.reset_all();
    }

    /// Listens again on the same port.
    pub async fn accept(&mut self) {
        self.is_open.send_replace(true);
        self.listens.wait_for(|listens| *listens).await.unwrap();
    }

    /// Breaks nothing any more.
    pub async fn heal(&mut self) {
        self.up.heal();
        self.down.heal();
        self.accept().await;
    }

    /// From now on a connection is reset whose last request begins so, `GET /ws` for one, also a running one.
    pub fn block(&self, request: &'static str) {
        self.up.blocked.send_replace(Some(request));
    }

    /// Resets every connection there is; new ones are welcome.
    pub fn reset_all(&self) {
        let mut lines = self.lines.lock().unwrap();
        lines.cancel();
        *lines = self.stop.child_token();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

struct Door {
    target: SocketAddr,
    addr: SocketAddr,
    up: Arc<Direction>,
    down: Arc<Direction>,
    lines: Arc<Mutex<CancellationToken>>,
    opened: watch::Receiver<bool>,
    listening: watch::Sender<bool>,
}

impl Door {
    async fn run(mut self, mut listener: TcpListener) {
        loop {
            self.let_in(listener).await;
            // The proxy was dropped.
            if self.opened.has_changed().is_err() {
                return;
            }
            // Bound and not listening: refused, and nobody else gets the port.
            let port = TcpSocket::new_v4().unwrap();
            port.set_reuseaddr(true).unwrap();
            port.bind(self.addr).expect("the port is still free");
            self.listening.send_replace(false);
            if self.opened.wait_for(|open| *open).await.is_err() {
                return;
            }
            listener = port.listen(1024).expect("the port is ours");
            self.listening.send_replace(true);
        }
    }

    /// Accepts until the door is closed; then the listener is gone.
    async fn let_in(&self, listener: TcpListener) {
        let mut opened = self.opened.clone();
        loop {
            let stream = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = opened.wait_for(|open| !open) => return,
            };
            let Ok((stream, _)) = stream else { continue };
            let reset = self.lines.lock().unwrap().clone();
            let (target, up, down) = (self.target, Arc::clone(&self.up), Arc::clone(&self.down));
            tokio::spawn(carry(stream, target, up, down, reset));
        }
    }
}

async fn carry(
    mut client: TcpStream,
    target: SocketAddr,
    up: Arc<Direction>,
    down: Arc<Direction>,
    reset: CancellationToken,
) {
    let Ok(mut server) = TcpStream::connect(target).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let ended = {
        let (client_reader, client_writer) = client.split();
        let (server_reader, server_writer) = server.split();
        let both = async {
            tokio::try_join!(
                pump(client_reader, server_writer, &up),
                pump(server_reader, client_writer, &down)
            )
        };
        reset.run_until_cancelled(both).await
    };
    let is_reset = match ended {
        None | Some(Err(End::Cut(Cut::Reset))) => true,
        Some(Err(End::Io(error))) => error.kind() == io::ErrorKind::ConnectionReset,
        Some(Ok(_) | Err(End::Cut(Cut::Fin))) => false,
    };
    if is_reset {
        for stream in [&client, &server] {
            let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
    }
}

enum End {
    Cut(Cut),
    Io(io::Error),
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

async fn pump(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, way: &Direction) -> Result<(), End> {
    let (mut stalled, mut blocked) = (way.stalled.subscribe(), way.blocked.subscribe());
    let mut buffer = vec![0; BUFFER];
    // How the last request begins: in a segment of its own.
    let mut request = Vec::new();
    loop {
        let _ = stalled.wait_for(|stalled| !stalled).await;
        let slice = way.slice.load(Ordering::Acquire);
        let is_blocked =
            |blocked: &Option<&str>| blocked.is_some_and(|start| request.starts_with(start.as_bytes()));
        let read = tokio::select! {
            read = way.read(&mut from, &mut buffer[..slice]) => read?,
            _ = blocked.wait_for(is_blocked) => return Err(End::Cut(Cut::Reset)),
        };
        if [&b"GET "[..], b"POST "].iter().any(|method| buffer[..read].starts_with(method)) {
            request = buffer[..read.min(REQUEST)].to_vec();
            if way.blocked.borrow().is_some_and(|start| request.starts_with(start.as_bytes())) {
                return Err(End::Cut(Cut::Reset));
            }
        }
        if read == 0 {
            let _ = to.shutdown().await;
            return Ok(());
        }
        let _ = stalled.wait_for(|stalled| !stalled).await;
        let (allowed, cut) = way.allowance(read);
        let started = Instant::now();
        to.write_all(&buffer[..allowed]).await?;
        way.moved.send_replace(());
        if let Some(how) = cut {
            return Err(End::Cut(how));
        }
        if let Some(paid) = way.reserve(started, allowed) {
            tokio::time::sleep_until(paid).await;
        }
    }
}
