//! Every route, and what stands before it.

use app::wire::Snapshot;
use axum::body::Body;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{FromRequestParts, Path, Query, Request, State};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use axum::{Json, Router, middleware};
use futures_util::TryStreamExt;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use crate::assets;
use crate::config::Clocks;
use crate::error::{Failure, problem_response};
use crate::ids::ClientId;
use crate::listener::Watches;
use crate::metrics::Metrics;
use crate::origins::{self, Origins};
use crate::page::Pages;
use crate::progress::{Greeting, Hub};
use crate::s3::Bucket;
use crate::socket::{self, SocketContext};
use crate::upload::{Announced, Uploads};

/// All that the routes share. Cheap to clone.
#[derive(Clone)]
pub struct Server {
    pub uploads: Uploads,
    pub hub: Hub,
    pub bucket: Bucket,
    pub pages: Pages,
    pub metrics: Metrics,
    pub clocks: Clocks,
    pub origins: Origins,
    /// The uploads have ended: so do sockets.
    pub closing: CancellationToken,
}

/// The service's whole surface.
pub fn router(server: Server) -> Router {
    let cross_origin = middleware::from_fn_with_state(server.origins.clone(), origins::answer);
    Router::new()
        .route("/", get(page_or_socket))
        .route("/upload", post(upload))
        .route("/uploads/{upload_id}", get(snapshot).delete(cancel))
        .route("/ws", any(watch))
        .route("/events", get(events))
        .route("/healthz", get(|| async { Json(serde_json::json!({"status": "ok"})) }))
        .route("/readyz", get(ready))
        .route("/metrics", get(async |State(server): State<Server>| server.metrics.render()))
        .route("/favicon.svg", get(assets::serve_asset))
        .route("/pkg/{*file}", get(assets::serve_asset))
        .fallback(async || Failure::NotFound)
        .method_not_allowed_fallback(async || Failure::MethodNotAllowed)
        .layer(middleware::from_fn(with_one_host))
        .layer(cross_origin)
        .with_state(server)
}

/// Lets only requests pass that say in one way whom they are for (RFC 9112, 3.2).
async fn with_one_host(request: Request, next: Next) -> Response {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let is_host = |host: &HeaderValue| {
        Authority::try_from(host.as_bytes()).is_ok_and(|authority| !authority.as_str().contains('@'))
    };
    let is_named = match (hosts.next(), hosts.next()) {
        (Some(host), None) => is_host(host),
        (None, _) => request.version() < Version::HTTP_11,
        (Some(_), Some(_)) => false,
    };
    if is_named { next.run(request).await } else { Failure::HostInvalid.into_response() }
}

#[derive(Deserialize)]
struct Watching {
    client_id: Option<String>,
}

type WatchQuery = Result<Query<Watching>, QueryRejection>;

fn watching(query: WatchQuery) -> Result<ClientId, Failure> {
    let Query(query) = query.map_err(|_| Failure::ClientIdInvalid)?;
    ClientId::parse(&query.client_id.ok_or(Failure::ClientIdMissing)?)
}

/// A request to become a socket.
struct Upgrade {
    upgrade: WebSocketUpgrade,
    watches: Watches,
}

impl<S: Send + Sync> FromRequestParts<S> for Upgrade {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let upgrade = WebSocketUpgrade::from_request_parts(parts, state).await;
        let watches = parts.extensions.get::<Watches>().cloned().unwrap_or_default();
        upgrade.map(|upgrade| Self { upgrade, watches }).map_err(|_| Failure::UpgradeRequired)
    }
}

/// The page; for clients of the old service, whose socket is at the same address, an upgrade.
async fn page_or_socket(
    State(server): State<Server>,
    query: WatchQuery,
    upgrade: Result<Upgrade, Failure>,
    headers: HeaderMap,
) -> Response {
    match upgrade {
        Ok(upgrade) => server.socket(upgrade, query, Greeting::Running),
        Err(_) => server.pages.upload_page(&headers),
    }
}

async fn watch(State(server): State<Server>, query: WatchQuery, upgrade: Upgrade) -> Response {
    server.socket(upgrade, query, Greeting::Newest)
}

async fn events(State(server): State<Server>, query: WatchQuery) -> Result<Response, Failure> {
    let watcher = server.hub.watch(&watching(query)?, Greeting::Newest);
    Ok(socket::events(watcher, &server.socket_context()))
}

async fn upload(State(server): State<Server>, headers: HeaderMap, body: Body) -> Response {
    let (announced, wants_html) = (Announced::read(&headers), wants_html(&headers));
    // An upload may take hours, and the head pins a read buffer.
    drop(headers);
    let body = Box::pin(body.into_data_stream().map_err(Into::into));
    let answer = server.uploads.take(announced, body).await;
    let failed = answer.is_err();
    let mut response = match answer {
        answer if wants_html => server.pages.result_page(&answer),
        Ok(answer) => Json(answer).into_response(),
        Err(problem) => problem_response(&problem),
    };
    if failed {
        // What is left of the body is never read as a request.
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// A browser's own form asks for a page; programs do not.
fn wants_html(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accept.split(',').any(|range| range.split(';').next().is_some_and(|mime| mime.trim() == "text/html"))
}

/// The id in an address; one that is no text is no upload's.
type UploadPath = Result<Path<String>, PathRejection>;

async fn snapshot(State(server): State<Server>, id: UploadPath) -> Result<Json<Snapshot>, Failure> {
    let Path(id) = id.map_err(|_| Failure::UploadUnknown)?;
    server.hub.snapshot(&id).map(Json).ok_or(Failure::UploadUnknown)
}

async fn cancel(State(server): State<Server>, id: UploadPath) -> Result<StatusCode, Failure> {
    let Path(id) = id.map_err(|_| Failure::UploadUnknown)?;
    server.hub.cancel(&id).map(|()| StatusCode::ACCEPTED)
}

async fn ready(State(server): State<Server>) -> Response {
    let reason = if server.uploads.are_closed() {
        Some("stopping".to_owned())
    } else {
        server.bucket.reach().await.err().map(|failure| failure.code().to_owned())
    };
    match reason {
        None => Json(serde_json::json!({"status": "ready"})).into_response(),
        Some(reason) => {
            let body = Json(serde_json::json!({"status": "not ready", "reason": reason}));
            (StatusCode::SERVICE_UNAVAILABLE, body).into_response()
        }
    }
}

impl Server {
    fn socket(&self, upgrade: Upgrade, query: WatchQuery, greeting: Greeting) -> Response {
        let client = match watching(query) {
            Ok(client) => client,
            Err(failure) => return failure.into_response(),
        };
        upgrade.watches.begin();
        socket::upgrade(upgrade.upgrade, self.hub.watch(&client, greeting), self.socket_context())
    }

    fn socket_context(&self) -> SocketContext {
        SocketContext {
            hub: self.hub.clone(),
            ping: self.clocks.ping,
            gone_after: self.clocks.watcher_gone,
            closing: self.closing.clone(),
            sockets: self.metrics.sockets.clone(),
        }
    }
}
