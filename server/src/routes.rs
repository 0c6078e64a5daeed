//! Every route, and what stands before it.

use app::wire::{FileType, Snapshot, UploadAnswer};
use axum::body::Body;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{FromRef, FromRequestParts, Path, Query, Request, State};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Version, header};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{any, get};
use axum::{Extension, Json, Router, middleware};
use futures_util::TryStreamExt;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::{self, Description};
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
    let (schemas, paths, _) = routes!(watch);
    // Whatever the method, without an upgrade it is told of that (FAULTS.md, F18).
    let socket = (schemas, paths, any(watch));
    let described = OpenApiRouter::with_openapi(api::base())
        .routes(routes!(upload))
        .routes(routes!(snapshot, cancel))
        .routes(socket)
        .routes(routes!(events))
        .routes(routes!(page_or_socket))
        .routes(routes!(healthy))
        .routes(routes!(ready))
        .routes(routes!(openapi))
        .routes(routes!(docs));
    let described = if server.hides_metrics { described } else { described.routes(routes!(metrics)) };
    let (router, description) = described.split_for_parts();
    // Files of the pages: no part of the API.
    let router = router
        .route("/docs.css", get(assets::serve_asset))
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
        .layer(Extension(Description::new(description)))
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

/// What operators watch.
#[utoipa::path(get, path = "/metrics", responses(
    (status = 200, description = "Gauges and counters.", body = String, content_type = "application/openmetrics-text"),
    api::AnyProblem,
))]
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

/// The upload page.
///
/// With a `client_id`, and an upgrade to a WebSocket, it is what `/ws` is, for clients of the old service: of uploads
/// that have ended they are told nothing.
#[utoipa::path(get, path = "/", params(
    ("lang" = Option<String>, Query, description = "The page's language, `en` or `ar`; else it is the browser's."),
    ("client_id" = Option<String>, Query, description = "As of `/ws`."),
), responses(
    (status = 101, description = "The socket."),
    (status = 200, description = "The page.", body = String, content_type = "text/html"),
    api::WatchProblem,
))]
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

/// Watches the uploads of a client id over a WebSocket.
///
/// Each text frame is a `FileMessage`: the whole state of one file. First comes the newest upload of either file and
/// whatever runs, then every change. The client may say `{"cancel":"<upload_id>"}`, and nothing else.
#[utoipa::path(get, path = "/ws", params(api::WatchedId), responses(
    (status = 101, description = "The socket."),
    api::SocketProblem,
))]
async fn watch(
    State(server): State<Server>,
    query: WatchQuery,
    visitor: Visitor,
    upgrade: Upgrade,
) -> Result<Response, Failure> {
    server.socket(upgrade, query, &visitor, Greeting::Newest)
}

/// Watches the uploads of a client id by server-sent events.
///
/// The `data` of each event is a `FileMessage`, as over `/ws`. It ends behind the last message of the last upload.
///
/// ```sh
/// curl -N "http://127.0.0.1:3000/events?client_id=me"
/// ```
#[utoipa::path(get, path = "/events", params(api::WatchedId), responses(
    (status = 200, description = "A message an event.", body = api::Event, content_type = "text/event-stream"),
    api::WatchProblem,
))]
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

/// Stores the files of a form.
///
/// It answers when every file is in the store, whole, or the first one has failed; `files` says what became of each.
/// Whoever asks for `text/html` gets a page instead.
///
/// ```sh
/// curl -F docs_field=@report.pdf -F msa_imgs=@photo.jpg http://127.0.0.1:3000/upload
/// curl -H "X-Docs-Filesize: $(stat -c %s report.pdf)" -H "X-Client-Id: me" \
///      -F docs_field=@report.pdf http://127.0.0.1:3000/upload
/// ```
#[utoipa::path(post, path = UPLOAD, params(api::UploadHeaders), request_body(
    content = api::UploadForm,
    content_type = "multipart/form-data",
    encoding(
        ("docs_field" = (content_type = api::media_types(FileType::DocsFile))),
        ("msa_imgs" = (content_type = api::media_types(FileType::MsaImgs))),
    ),
), responses(
    (status = 200, description = "Every file is stored.", content(
        (UploadAnswer = "application/json"),
        (String = "text/html"),
    )),
    api::UploadProblem,
))]
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

/// The state of an upload, until ten minutes after its end.
///
/// ```sh
/// curl http://127.0.0.1:3000/uploads/UPLOAD_ID
/// ```
#[utoipa::path(get, path = "/uploads/{upload_id}", params(
    ("upload_id" = String, Path, description = "As the messages and the answer name it."),
), responses(
    (status = 200, description = "A message a file.", body = Snapshot),
    api::SnapshotProblem,
))]
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

/// Ends an upload.
///
/// What is not stored yet will not be; its `POST /upload` answers 409 `cancelled`.
///
/// ```sh
/// curl -X DELETE http://127.0.0.1:3000/uploads/UPLOAD_ID
/// ```
#[utoipa::path(delete, path = "/uploads/{upload_id}", params(
    ("upload_id" = String, Path, description = "As the messages name it."),
), responses(
    (status = 202, description = "It ends."),
    api::CancelProblem,
))]
async fn cancel(
    State(server): State<Server>,
    visitor: Visitor,
    id: UploadPath,
) -> Result<StatusCode, Failure> {
    let Path(id) = id.map_err(|_| Failure::UploadUnknown)?;
    server.hub.client(&id)?.map_or(Ok(()), |client| visitor.may_act(&client))?;
    server.hub.cancel(&id).map(|()| StatusCode::ACCEPTED)
}

/// Whether the process answers.
#[utoipa::path(get, path = "/healthz", responses(
    (status = 200, description = "It does.", body = api::Health),
    api::AnyProblem,
))]
async fn healthy() -> Json<api::Health> {
    Json(api::Health { status: "ok" })
}

/// Whether uploads can be taken: the server is not stopping, and the store answers.
#[utoipa::path(get, path = "/readyz", responses(
    (status = 200, description = "They can.", body = api::Readiness),
    (status = 503, description = "They cannot.", body = api::Readiness),
    api::AnyProblem,
))]
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

/// This description, for programs: OpenAPI 3.1.
#[utoipa::path(get, path = "/openapi.json", responses(
    (status = 200, description = "The document.", body = Object, content_type = "application/json"),
    api::AnyProblem,
))]
async fn openapi(Extension(description): Extension<Description>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], description.json)
}

/// This description, for people.
#[utoipa::path(get, path = "/docs", responses(
    (status = 200, description = "The page.", body = String, content_type = "text/html"),
    api::AnyProblem,
))]
async fn docs(Extension(description): Extension<Description>) -> impl IntoResponse {
    let policy = [(header::CONTENT_SECURITY_POLICY, headers::page_policy(None))];
    (policy, Html(description.page))
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
