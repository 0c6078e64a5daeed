//! Pages of other origins: what a browser asks before it lets them use us (Fetch, CORS protocol).

use std::sync::Arc;

use app::wire::{CLIENT_ID_HEADER, FileType};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// What other origins may do.
const METHODS: &str = "GET, POST, DELETE";
/// How long a browser may remember the answer, in seconds.
const MAX_AGE: &str = "600";

/// The origins of `--allowed-origin`. Cheap to clone.
#[derive(Clone)]
pub struct Origins(Arc<[String]>);

impl Origins {
    #[must_use]
    pub fn new(allowed: &[String]) -> Self {
        Self(allowed.into())
    }

    /// The request's origin, if it is one of these, to the letter.
    fn of(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let origin = headers.get(header::ORIGIN)?;
        self.0.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes()).then(|| origin.clone())
    }
}

/// Answers an allowed origin's preflight, and lets it read the other answers.
pub async fn answer(State(origins): State<Origins>, request: Request, next: Next) -> Response {
    if origins.0.is_empty() {
        return next.run(request).await;
    }
    let origin = origins.of(request.headers());
    let is_permitted = origin.is_some() && is_preflight(&request);
    let mut response = if is_permitted { permission() } else { next.run(request).await };
    let headers = response.headers_mut();
    if let Some(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("retry-after"));
    }
    // A cache keeps what it got for one origin from all others.
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    response
}

fn is_preflight(request: &Request) -> bool {
    request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

fn permission() -> Response {
    let ours = FileType::ALL.map(FileType::size_header);
    let headers = format!("{CLIENT_ID_HEADER}, {}", ours.join(", "));
    let permission = [
        (header::ACCESS_CONTROL_ALLOW_METHODS, METHODS),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, headers.as_str()),
        (header::ACCESS_CONTROL_MAX_AGE, MAX_AGE),
    ];
    (StatusCode::NO_CONTENT, permission).into_response()
}
