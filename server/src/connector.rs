//! The store connection: small queues, and a count of what the socket has taken.
//!
//! The SDK's own connector lets up to 3 MiB run ahead of the store (FACTS.md 1.8). This one knows which
//! connection carries which request, keeps little in front of the wire, and tells a [`WireCounter`] what
//! the wire took. HTTP/1.1 only, with TLS where the address is `https`; proxies from the environment are
//! not used.

mod connection;
mod counted;
mod order;
mod pool;
mod wire;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use http::{Response, Uri};
use http_body_util::Limited;
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector as TcpConnector;
use hyper_util::service::TowerToHyperService;
use rustls::{ClientConfig, RootCertStore};

use connection::{Answer, Connection, Lease};
use order::Order;
use pool::Pool;
pub use wire::WireCounter;

/// Time for DNS, TCP and TLS together, unless the SDK's settings say otherwise: the SDK's own is 3.1 s.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Most bytes of an answer's body: no object is read, and a list of a thousand uploads is far shorter.
const MAX_ANSWER: usize = 4 * 1024 * 1024;
/// How long a connection without a request is kept, for the parts and calls that follow; the SDK would keep it for 90 s.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);
/// The same for requests that must not be sent twice (POST): stores cut idle connections after 5 s or more,
/// and a cut that crosses such a request on the wire would fail it.
const IDLE_TIMEOUT_ONCE: Duration = Duration::from_secs(1);

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
        Self::with_idle_timeout(IDLE_TIMEOUT)
    }

    /// The same, with another limit for connections without a request.
    #[must_use]
    pub fn with_idle_timeout(idle_timeout: Duration) -> Self {
        let mut tcp = TcpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        let dial = HttpsConnectorBuilder::new()
            .with_tls_config(platform_tls())
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        Self { dial: TowerToHyperService::new(dial), pool: Arc::new(Pool::new(idle_timeout)) }
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
        let max_idle = if twice { Duration::MAX } else { IDLE_TIMEOUT_ONCE };

        while let Some(mut connection) = self.pool.take(&target, max_idle) {
            let spare = if twice { order::spare(&request) } else { None };
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
        Connection::begin(plaintext, Arc::clone(&self.pool.open)).await.map_err(failure)
    }

    fn answered(
        &self,
        response: Response<Incoming>,
        target: Uri,
        connection: Connection,
    ) -> Result<HttpResponse, ConnectorError> {
        // A server error may be this one host's: the next request gets another connection.
        let pool = (!response.status().is_server_error()).then(|| Arc::clone(&self.pool));
        let lease = Lease::new(connection, target, pool);
        // The SDK keeps an answer whole in memory before it reads it.
        let limited = |body| Limited::new(Answer::new(body, lease), MAX_ANSWER);
        let response = response.map(|body| SdkBody::from_body_1_x(limited(body)));
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

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        Timed { connector: self.clone(), connect_timeout: CONNECT_TIMEOUT, read_timeout: None }.call(request)
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
