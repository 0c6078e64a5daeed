//! The store connection: small queues, and a count of what the socket has taken.
//!
//! The SDK's own connector lets up to 3 MiB run ahead of the store (FACTS.md 1.8). This one knows which
//! connection carries which request, keeps little in front of the wire, and tells a [`WireCounter`] what
//! the wire took. HTTP/1.1 only, with TLS where the address is `https`; proxies from the environment are
//! not used.

mod counted;
mod pool;
mod wire;

use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderValue, Request, Response, Uri, header};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::service::Service;
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector as TcpConnector;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use rustls::{ClientConfig, RootCertStore};
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::task::AbortHandle;

use counted::Counted;
use pool::{IDLE_TIMEOUT, Pool};
pub use wire::WireCounter;
use wire::{Framing, Meter};

/// Time for DNS, TCP and TLS together, unless the SDK's settings say otherwise.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// The same for requests that must not be sent twice (POST): stores cut idle connections after 5 s or more,
/// and a cut that crosses such a request on the wire would fail it.
const IDLE_TIMEOUT_ONCE: Duration = Duration::from_secs(1);
/// How long an answered connection may take until it is ready for the next request. One whose store
/// answered before it had read the body never is: it is closed.
const SETTLE_TIMEOUT: Duration = Duration::from_millis(250);
/// Bytes a request can have written before it learns that its pooled connection had been cut: the kernel's
/// first window and what it keeps unsent.
const STALE_BYTES: u64 = 256 * 1024;
/// hyper's buffers of a connection, in bytes; the default of 408 KiB is by how much it would run ahead.
const QUEUE_BYTES: usize = 64 * 1024;
/// Bytes the kernel may hold unsent before it takes more. Unlike SO_SNDBUF this costs no throughput.
const NOTSENT_LOWAT: u32 = 16 * 1024;

type Plaintext = MaybeHttpsStream<TokioIo<TcpStream>>;

/// The HTTP client of every call to the store and to whoever gives out credentials.
///
/// A clone shares the connections.
///
/// # Cancellation
///
/// Dropping a request, or a response body before its end, closes the connection.
#[derive(Clone)]
pub struct Connector {
    dial: TowerToHyperService<HttpsConnector<TcpConnector>>,
    pool: Arc<Pool>,
}

impl Connector {
    /// With the platform's certificates; where there are none, every `https` connection is refused.
    #[must_use]
    pub fn new() -> Self {
        Self::with_tls(platform_tls())
    }

    /// Connections that are open, idle ones included.
    #[must_use]
    pub fn open_connections(&self) -> usize {
        self.pool.open.load(Ordering::Relaxed)
    }

    /// Connections that wait for a request.
    #[must_use]
    pub fn idle_connections(&self) -> usize {
        self.pool.idle()
    }

    fn with_tls(tls: ClientConfig) -> Self {
        let mut tcp = TcpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        let dial = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        Self { dial: TowerToHyperService::new(dial), pool: Arc::default() }
    }

    /// Sends `order` over an idle connection, or a new one when none is left.
    ///
    /// A store may cut an idle connection just then. A request that was not begun goes on to the next
    /// connection; one that was, too, if it can be sent twice.
    async fn exchange(
        &self,
        order: Order,
        connect_timeout: Duration,
    ) -> Result<HttpResponse, ConnectorError> {
        let Order { target, mut request, framing, counter } = order;
        let twice = request.method().is_idempotent();
        let max_idle = if twice { IDLE_TIMEOUT } else { IDLE_TIMEOUT_ONCE };

        while let Some(mut connection) = self.pool.take(&target, max_idle) {
            let spare = if twice { spare(&request) } else { None };
            connection.meter().begin(framing, counter.clone());
            match connection.sender.try_send_request(request).await {
                Ok(response) => return self.answered(response, target, connection),
                Err(mut failed) => {
                    let unsent = failed.take_message();
                    let cut = connection.was_cut(failed.error());
                    match unsent.or(spare.filter(|_| cut)) {
                        Some(again) => request = again,
                        None => return Err(failure(failed.into_error())),
                    }
                }
            }
        }

        let mut connection = self.connect(&target, connect_timeout).await?;
        connection.meter().begin(framing, counter);
        match connection.sender.try_send_request(request).await {
            Ok(response) => self.answered(response, target, connection),
            Err(failed) => Err(failure(failed.into_error())),
        }
    }

    async fn connect(&self, target: &Uri, limit: Duration) -> Result<Connection, ConnectorError> {
        let plaintext = tokio::time::timeout(limit, self.dial.call(target.clone()))
            .await
            .map_err(|late| ConnectorError::timeout(late.into()).never_connected())?
            .map_err(|refused| ConnectorError::io(refused).never_connected())?;
        keep_little_unsent(&plaintext);

        let meter = Arc::new(Mutex::new(Meter::new()));
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(QUEUE_BYTES)
            .handshake(Counted::new(plaintext, Arc::clone(&meter)))
            .await
            .map_err(failure)?;
        let open = Open::new(Arc::clone(&self.pool.open));
        let driver = tokio::spawn(async move {
            let _open = open;
            if let Err(error) = connection.await {
                tracing::debug!(%error, "store connection ended");
            }
        });
        Ok(Connection { sender, meter, _driver: Driver(driver.abort_handle()) })
    }

    fn answered(
        &self,
        response: Response<Incoming>,
        target: Uri,
        connection: Connection,
    ) -> Result<HttpResponse, ConnectorError> {
        // A server error may be this one host's: the next request gets another connection.
        let pool = (!response.status().is_server_error()).then(|| Arc::clone(&self.pool));
        let lease = Lease { connection, target, pool };
        let response = response.map(|body| SdkBody::from_body_1_x(Answer::new(body, lease)));
        HttpResponse::try_from(response).map_err(|error| ConnectorError::other(error.into(), None))
    }
}

impl Default for Connector {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").field("open", &self.open_connections()).finish_non_exhaustive()
    }
}

impl HttpClient for Connector {
    fn http_connector(&self, settings: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(Timed {
            connector: self.clone(),
            connect_timeout: settings.connect_timeout().unwrap_or(CONNECT_TIMEOUT),
            read_timeout: settings.read_timeout(),
        })
    }
}

/// The connector under the timeouts of one call.
#[derive(Debug)]
struct Timed {
    connector: Connector,
    connect_timeout: Duration,
    /// From the request to the answer's head, the request's body included.
    read_timeout: Option<Duration>,
}

impl HttpConnector for Timed {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let Self { connector, connect_timeout, read_timeout } = self;
        let (connector, connect_timeout, read_timeout) = (connector.clone(), *connect_timeout, *read_timeout);
        HttpConnectorFuture::new(async move {
            let exchange = connector.exchange(Order::new(request)?, connect_timeout);
            match read_timeout {
                None => exchange.await,
                Some(limit) => tokio::time::timeout(limit, exchange)
                    .await
                    .unwrap_or_else(|late| Err(ConnectorError::timeout(late.into()))),
            }
        })
    }
}

/// A request as it goes on the wire, and where to.
struct Order {
    /// Scheme and authority.
    target: Uri,
    request: Request<SdkBody>,
    framing: Framing,
    counter: Option<WireCounter>,
}

impl Order {
    fn new(request: HttpRequest) -> Result<Self, ConnectorError> {
        let mut request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
        let uri = request.uri();
        let (Some(scheme), Some(authority), Some(host)) = (uri.scheme(), uri.authority(), host_header(uri))
        else {
            return Err(ConnectorError::user("the address names no host".into()));
        };
        let target = Uri::builder()
            .scheme(scheme.clone())
            .authority(authority.clone())
            .path_and_query("/")
            .build()
            .map_err(|error| ConnectorError::user(error.into()))?;
        let path = uri.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));

        *request.uri_mut() = Uri::from(path);
        request.headers_mut().entry(header::HOST).or_insert(host);
        let framing = Framing::of(request.headers());
        let counter = request.extensions_mut().remove::<WireCounter>();
        Ok(Self { target, request, framing, counter })
    }
}

/// Host and port as they were signed: without a port that the scheme implies.
fn host_header(uri: &Uri) -> Option<HeaderValue> {
    let host = uri.host()?;
    let implied = if uri.scheme() == Some(&Scheme::HTTPS) { 443 } else { 80 };
    match uri.port_u16() {
        Some(port) if port != implied => HeaderValue::try_from(format!("{host}:{port}")).ok(),
        _ => HeaderValue::try_from(host).ok(),
    }
}

/// The same request again, if its body can be had twice.
fn spare(request: &Request<SdkBody>) -> Option<Request<SdkBody>> {
    let mut spare = Request::new(request.body().try_clone()?);
    request.method().clone_into(spare.method_mut());
    request.uri().clone_into(spare.uri_mut());
    request.headers().clone_into(spare.headers_mut());
    Some(spare)
}

/// A body that failed, or fell short of its declared length, is ours (`user`); what happened to the
/// connection is `io`; an answer that is no HTTP is `other`.
fn failure(error: hyper::Error) -> ConnectorError {
    let class = if error.is_timeout() {
        ConnectorError::timeout
    } else if error.is_user() {
        ConnectorError::user
    } else if error.is_parse() {
        |error| ConnectorError::other(error, None)
    } else {
        ConnectorError::io
    };
    class(error.into())
}

fn keep_little_unsent(plaintext: &Plaintext) {
    let socket = match plaintext {
        MaybeHttpsStream::Http(tcp) => tcp.inner(),
        MaybeHttpsStream::Https(tls) => tls.inner().get_ref().0.inner().inner(),
    };
    #[cfg(any(target_os = "android", target_os = "linux"))]
    if let Err(error) = SockRef::from(socket).set_tcp_notsent_lowat(NOTSENT_LOWAT) {
        tracing::debug!(%error, "TCP_NOTSENT_LOWAT not set: the bars run further ahead");
    }
}

fn platform_tls() -> ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = || {
        ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("ring knows the versions rustls was built with")
    };
    let roots = versions().with_native_roots().unwrap_or_else(|error| {
        tracing::warn!(%error, "no https: the platform's certificates are missing");
        versions().with_root_certificates(RootCertStore::empty())
    });
    roots.with_no_client_auth()
}

/// An open connection. Dropping it closes the socket, whatever is still queued.
struct Connection {
    sender: SendRequest<SdkBody>,
    meter: Arc<Mutex<Meter>>,
    _driver: Driver,
}

impl Connection {
    fn meter(&self) -> MutexGuard<'_, Meter> {
        self.meter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether `error` is what a connection looks like that had been cut before the request came.
    fn was_cut(&self, error: &hyper::Error) -> bool {
        let broken = !(error.is_user() || error.is_parse() || error.is_timeout());
        broken && self.meter().written() <= STALE_BYTES
    }
}

/// Ends the task that moves a connection's bytes: hyper itself would first wait for its queue to be taken.
struct Driver(AbortHandle);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// One in the gauge of open connections.
struct Open(Arc<AtomicUsize>);

impl Open {
    fn new(gauge: Arc<AtomicUsize>) -> Self {
        gauge.fetch_add(1, Ordering::Relaxed);
        Self(gauge)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A connection whose answer is being read.
struct Lease {
    connection: Connection,
    target: Uri,
    /// None: not to be used again.
    pool: Option<Arc<Pool>>,
}

impl Lease {
    /// Gives the connection back once hyper is ready for the next request.
    fn end(self) {
        let Self { mut connection, target, pool: Some(pool) } = self else { return };
        tokio::spawn(async move {
            if let Ok(Ok(())) = tokio::time::timeout(SETTLE_TIMEOUT, connection.sender.ready()).await {
                connection.meter().begin(Framing::Plain, None);
                pool.put(target, connection);
            }
        });
    }
}

/// An answer's body; its end gives the connection back.
struct Answer {
    body: Incoming,
    lease: Option<Lease>,
}

impl Answer {
    fn new(body: Incoming, lease: Lease) -> Self {
        let mut answer = Self { body, lease: Some(lease) };
        if answer.body.is_end_stream() {
            answer.end();
        }
        answer
    }

    fn end(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.end();
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Err(_))) => self.lease = None,
            Poll::Ready(None) => self.end(),
            Poll::Ready(Some(Ok(_))) if self.body.is_end_stream() => self.end(),
            Poll::Ready(Some(Ok(_))) | Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
