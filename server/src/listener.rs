//! The accept loop: HTTP/1.1 with clocks on the request's head and on the reading of answers, and a bounded read buffer.

mod guarded;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::response::IntoResponse;
use futures_util::FutureExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::SockRef;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::{ServiceExt, service_fn};

use crate::config::Clocks;
use crate::error::Failure;
use crate::headers;
use crate::peer::Patience;
pub use guarded::Watches;
use guarded::{Guarded, Manners};

/// What a new connection's read buffer is a share of, in bytes: the more connections there are, the less it gets. It
/// keeps what it got, so that 256 that came one by one have up to 20 MiB together.
const READ_MEMORY: usize = 4 * 1024 * 1024;
/// One read's most, in bytes: the fewer reads, the less often client and server wake each other. 512 MiB took 1.15
/// CPU s/GiB with 128 KiB, 0.87 with 256, 0.74 with 512 and 0.74 with this.
const LARGEST_READ: usize = 1024 * 1024;
/// The least of it: a request's head must fit.
const SMALLEST_READ: usize = REQUEST_HEAD + 1024;
/// Longest request head, in bytes (FAULTS.md, limits).
const REQUEST_HEAD: usize = 16 * 1024;
/// What the kernel takes for a client beyond what is on its way to it, in bytes: without a limit 1,000 clients that
/// read slowly took all the memory that the kernel has for TCP (2.2 GiB), and everyone else's connections stood. It
/// takes more when half of it has gone: who reads 500 B/s lets it take some within the clock's 30 s.
const UNSENT: u32 = 16 * 1024;
/// Connections that wait to be accepted; past that a client's first try is lost, and it comes again a second later.
const BACKLOG: u32 = 4096;
/// One in so many of the files that the process may have open is not for clients: with none left, running uploads
/// would get no connection to the store, and would fail for the sake of those who have only come.
const SPARE_FILES: u64 = 3;
/// After a failed accept, mostly for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Lets the process open as many files as it may: each watcher is one, and it often begins with a limit of 1,024.
pub fn raise_open_files() {
    let most = getrlimit(Resource::Nofile).maximum;
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most }) {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}

/// Listens on the `address` that `flag` gives, where a crowd may come at once.
///
/// # Errors
/// The address cannot be had; the error names it.
pub fn bind(flag: &str, address: SocketAddr) -> io::Result<TcpListener> {
    let sentence = |error: &io::Error| format!("{flag} {address}: {error}: give another address");
    try_bind(address).map_err(|error| io::Error::new(error.kind(), sentence(&error)))
}

fn try_bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A restart does not wait for connections of the run before.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// What every connection is served with. Cheap to clone.
#[derive(Clone)]
pub struct Service {
    router: Router,
    request_head: Duration,
    manners: Manners,
    shutdown: CancellationToken,
}

impl Service {
    /// Connections last until `shutdown`; requests that run then are ended by whoever owns them.
    #[must_use]
    pub fn new(router: Router, clocks: &Clocks, shutdown: CancellationToken) -> Self {
        let reading = Patience { silence: clocks.answer_silence, rate_window: clocks.answer_silence };
        let manners = Manners { reading, drain: clocks.drain };
        Self { router, request_head: clocks.request_head, manners, shutdown }
    }
}

/// Serves whoever comes to `listener` until the service shuts down.
pub async fn accept(listener: TcpListener, service: Service, connections: TaskTracker) {
    let most_files =
        getrlimit(Resource::Nofile).current.map_or(u64::MAX, |limit| limit - limit / SPARE_FILES);
    loop {
        let accepted = tokio::select! {
            () = service.shutdown.cancelled() => return,
            accepted = accept_sparing(&listener, most_files) => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let read_buffer = read_buffer(connections.len() + 1);
                connections.spawn(serve(stream, service.clone(), read_buffer));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Accepts the next client once fewer files than `most` are open.
async fn accept_sparing(listener: &TcpListener, most: u64) -> io::Result<(TcpStream, SocketAddr)> {
    if !spares(listener, most) {
        tracing::warn!(
            files.open = most,
            "new clients wait: the open files that are left are for running uploads"
        );
        while !spares(listener, most) {
            tokio::time::sleep(ACCEPT_PAUSE).await;
        }
    }
    listener.accept().await
}

/// Whether fewer files than `most` are open: a new one gets the lowest number that is free.
fn spares(listener: &TcpListener, most: u64) -> bool {
    let lowest = listener.as_fd().try_clone_to_owned();
    lowest.is_ok_and(|file| u64::try_from(file.as_raw_fd()).is_ok_and(|number| number < most))
}

/// The read buffer of a connection that is one of so many, in bytes; what is unread stays with the client.
#[must_use]
pub fn read_buffer(connections: usize) -> usize {
    (READ_MEMORY / connections).clamp(SMALLEST_READ, LARGEST_READ)
}

async fn serve(stream: TcpStream, service: Service, read_buffer: usize) {
    let Ok(peer) = stream.peer_addr() else { return };
    if stream.set_nodelay(true).is_err() || SockRef::from(&stream).set_tcp_notsent_lowat(UNSENT).is_err() {
        return;
    }
    let watches = Watches::default();
    let stream = Guarded::new(stream, service.manners, watches.clone());
    let router = service.router;
    let handle = service_fn(move |mut request: http::Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        request.extensions_mut().insert(watches.clone());
        let answer = router.clone().oneshot(request);
        async move {
            // The last resort: without it a panic would end the connection, and the client would not know why.
            let answer = AssertUnwindSafe(answer).catch_unwind().await;
            // What is left of a body is never read as a request.
            let closing = [(http::header::CONNECTION, "close")];
            let broken = || headers::framed((closing, Failure::Internal).into_response());
            let answer = answer.unwrap_or_else(|_| Ok(broken()));
            Ok::<_, Infallible>(answer.unwrap_or_else(|never| match never {}))
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(service.request_head)
        .max_buf_size(read_buffer)
        .max_header_size(REQUEST_HEAD)
        .half_close(false)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(handle))
        .with_upgrades();
    tokio::pin!(connection);
    let result = tokio::select! {
        result = &mut connection => result,
        () = service.shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a connection ended early");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn read_buffers_shrink_as_connections_grow_in_number() {
        assert_eq!(read_buffer(1), LARGEST_READ);
        assert_eq!(read_buffer(4), LARGEST_READ);
        assert_eq!(read_buffer(64), 64 * 1024);
        assert_eq!(read_buffer(240), 17_476);
        assert_eq!(read_buffer(100_000), SMALLEST_READ);
    }
}
