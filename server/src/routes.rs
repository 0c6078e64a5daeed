//! Every route, and what stands before it.

use app::wire::Snapshot;
use axum::body::Body;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{FromRef, FromRequestParts, Path, Query, Request, State};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use axum::{Json, Router, middleware};
use futures_util::TryStreamExt;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use crate::arrival::Arrival;
use crate::assets;
use crate::config::Clocks;
use crate::error::{Failure, problem_response};
use crate::headers;
use crate::ids::ClientId;
use crate::language::Spoken;
use crate::links::Links;
use crate::listener::Watches;
use crate::metrics::Metrics;
use crate::origins;
use crate::page::Pages;
use crate::progress::{Greeting, Hub};
use crate::quota::{Place, Quotas, TooMuch};
use crate::readiness::Readiness;
use crate::socket::{self, SocketContext};
use crate::upload::{Announced, Uploads};
use crate::visitor::{Access, Visitor};

/// Where the form goes.
const UPLOAD: &str = "/upload";

/// All that the routes share. Cheap to clone.
#[derive(Clone)]
pub struct Server {
    pub uploads: Uploads,
    pub hub: Hub,
    pub readiness: Readiness,
    pub pages: Pages,
    pub metrics: Metrics,
    pub clocks: Clocks,
    pub access: Access,
    pub quotas: Quotas,
    pub links: Links,
    /// They are at an address of their own.
    pub hides_metrics: bool,
    /// The uploads have ended: so do sockets.
    pub closing: CancellationToken,
}

impl FromRef<Server> for Access {
    fn from_ref(server: &Server) -> Self {
        server.access.clone()
    }
}

/// The service's whole surface.
pub fn router(server: Server) -> Router {
    let cross_origin = middleware::from_fn_with_state(server.access.origins.clone(), origins::answer);
    let frame = middleware::from_fn_with_state(server.access.proxies.clone(), headers::frame);
    let router = Router::new();
    let router = if server.hides_metrics { router } else { router.route("/metrics", get(metrics)) };
    let router = router
        .route("/", get(page_or_socket))
        .route(UPLOAD, post(upload))
        .route("/uploads/{upload_id}", get(snapshot).delete(cancel))
        .route("/ws", any(watch))
        .route("/events", get(events))
        .route("/healthz", get(|| async { Json(serde_json::json!({"status": "ok"})) }))
        .route("/readyz", get(ready))
        .route("/favicon.svg", get(assets::serve_asset))
        .route("/favicon-running.svg", get(assets::serve_asset))
        .route("/favicon-stored.svg", get(assets::serve_asset))
        .route("/favicon-failed.svg", get(assets::serve_asset))
        .route("/pkg/{*file}", get(assets::serve_asset));
    #[cfg(debug_assertions)]
    let router = crate::dev_states::add_to(router);
    router
        .fallback(async || Failure::NotFound)
        .method_not_allowed_fallback(async || Failure::MethodNotAllowed)
        .layer(middleware::from_fn(with_one_host))
        .layer(cross_origin)
        .layer(middleware::from_fn(end_behind_bodies))
        .layer(frame)
        .with_state(server)
}

/// What is at the address of the metrics, if they have one of their own.
pub fn metrics_router(server: Server) -> Router {
    let frame = middleware::from_fn_with_state(server.access.proxies.clone(), headers::frame);
    Router::new()
        .route("/metrics", get(metrics))
        .fallback(async || Failure::NotFound)
        .method_not_allowed_fallback(async || Failure::MethodNotAllowed)
        .layer(frame)
        .with_state(server)
}

async fn metrics(State(server): State<Server>) -> Response {
    server.metrics.render()
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

/// Only an upload that is stored has been read to its end: behind any other body the connection ends, so that nothing of
/// it is read as a request, and says so, so that a proxy sends none that would be lost (RFC 9112, 9.6).
async fn end_behind_bodies(request: Request, next: Next) -> Response {
    let headers = request.headers();
    let has_body = headers.contains_key(header::TRANSFER_ENCODING)
        || headers.get(header::CONTENT_LENGTH).is_some_and(|length| length != "0");
    let is_upload = request.method() == Method::POST && request.uri().path() == UPLOAD;
    let mut response = next.run(request).await;
    let is_unread = if is_upload { !response.status().is_success() } else { has_body };
    if is_unread {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
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
    visitor: Result<Visitor, Failure>,
    upgrade: Result<Upgrade, Failure>,
    arrival: Arrival,
    spoken: Spoken,
    headers: HeaderMap,
) -> Response {
    match upgrade {
        Ok(upgrade) => visitor
            .and_then(|visitor| server.socket(upgrade, query, &visitor, Greeting::Running))
            .unwrap_or_else(Failure::into_response),
        Err(_) => server.pages.upload_page(&headers, &arrival, spoken),
    }
}

async fn watch(
    State(server): State<Server>,
    query: WatchQuery,
    visitor: Visitor,
    upgrade: Upgrade,
) -> Result<Response, Failure> {
    server.socket(upgrade, query, &visitor, Greeting::Newest)
}

async fn events(
    State(server): State<Server>,
    query: WatchQuery,
    visitor: Visitor,
) -> Result<Response, Failure> {
    let client = watching(query)?;
    visitor.may_listen(&client)?;
    Ok(match server.quotas.socket(&visitor) {
        Ok(place) => {
            let watcher = server.hub.watch(&client, Greeting::Newest);
            socket::events(watcher, server.socket_context(&visitor, place))
        }
        Err(too_much) => refuse(&visitor, too_much),
    })
}

async fn upload(
    State(server): State<Server>,
    visitor: Result<Visitor, Failure>,
    arrival: Arrival,
    spoken: Spoken,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let (announced, wants_html) = (Announced::read(&headers), wants_html(&headers));
    // An upload may take hours, and the head pins a read buffer.
    drop(headers);
    let admitted = visitor.and_then(|visitor| {
        announced.client().map_or(Ok(()), |client| visitor.may_act(client))?;
        let bytes = server.uploads.most_bytes(&announced);
        let place = server.quotas.upload(&visitor, announced.files(), bytes);
        Ok(place.map_err(|too_much| refuse(&visitor, too_much)))
    });
    let place = match admitted.map_err(Failure::into_response).flatten() {
        Ok(place) => place,
        Err(refusal) => return refusal,
    };
    let body = Box::pin(body.into_data_stream().map_err(Into::into));
    let mut answer = server.uploads.take(announced, place, body).await;
    let files = answer.as_mut().map_or_else(|problem| &mut problem.files, |answer| &mut answer.files);
    server.links.add_to(files, &arrival).await;
    match answer {
        answer if wants_html => server.pages.result_page(&answer, spoken),
        Ok(answer) => Json(answer).into_response(),
        Err(problem) => problem_response(&problem),
    }
}

fn refuse(visitor: &Visitor, TooMuch { retry_after }: TooMuch) -> Response {
    let (address, seconds) = (visitor.arrival.address, retry_after.as_secs());
    tracing::info!(client.address = %address, retry_after.s = seconds, "a visitor had too much");
    let mut response = Failure::RateLimited.into_response();
    // Whole seconds, and not too early.
    response.headers_mut().insert(header::RETRY_AFTER, (seconds + 1).into());
    response
}

/// A browser's own form asks for a page; programs do not.
fn wants_html(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accept.split(',').any(|range| range.split(';').next().is_some_and(|mime| mime.trim() == "text/html"))
}

/// The id in an address; one that is no text is no upload's.
type UploadPath = Result<Path<String>, PathRejection>;

async fn snapshot(
    State(server): State<Server>,
    visitor: Visitor,
    id: UploadPath,
) -> Result<Json<Snapshot>, Failure> {
    let Path(id) = id.map_err(|_| Failure::UploadUnknown)?;
    server.hub.client(&id)?.map_or(Ok(()), |client| visitor.may_listen(&client))?;
    let mut snapshot = server.hub.snapshot(&id).ok_or(Failure::UploadUnknown)?;
    server.links.add_to_snapshot(&mut snapshot, &visitor.arrival).await;
    Ok(Json(snapshot))
}

async fn cancel(
    State(server): State<Server>,
    visitor: Visitor,
    id: UploadPath,
) -> Result<StatusCode, Failure> {
    let Path(id) = id.map_err(|_| Failure::UploadUnknown)?;
    server.hub.client(&id)?.map_or(Ok(()), |client| visitor.may_act(&client))?;
    server.hub.cancel(&id).map(|()| StatusCode::ACCEPTED)
}

async fn ready(State(server): State<Server>) -> Response {
    let reason = if server.uploads.are_closed() {
        Some("stopping".to_owned())
    } else {
        server.readiness.look().await.err().map(|barrier| barrier.failure().code().to_owned())
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
    fn socket(
        &self,
        upgrade: Upgrade,
        query: WatchQuery,
        visitor: &Visitor,
        greeting: Greeting,
    ) -> Result<Response, Failure> {
        let client = watching(query)?;
        visitor.may_act(&client)?;
        Ok(match self.quotas.socket(visitor) {
            Ok(place) => {
                upgrade.watches.begin();
                let context = self.socket_context(visitor, place);
                socket::upgrade(upgrade.upgrade, self.hub.watch(&client, greeting), context)
            }
            Err(too_much) => refuse(visitor, too_much),
        })
    }

    fn socket_context(&self, visitor: &Visitor, place: Place) -> SocketContext {
        SocketContext {
            hub: self.hub.clone(),
            visitor: visitor.clone(),
            ping: self.clocks.ping,
            gone_after: self.clocks.watcher_gone,
            closing: self.closing.clone(),
            counted: (self.metrics.sockets.token(), place),
        }
    }
}
