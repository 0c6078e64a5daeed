//! Pages of other origins: which may use us, and what a browser asks before it lets them (Fetch, CORS protocol).

use std::sync::Arc;

use app::wire::{CLIENT_ID_HEADER, FileType};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::arrival::Arrival;
use crate::config::is_origin;
use crate::error::Failure;

/// Where a browser says a request comes from, even where it names no origin (Fetch Metadata).
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// What other origins may do.
const METHODS: &str = "GET, POST, DELETE";
/// How long a browser may remember the answer, in seconds: for so long it may go by an `--allowed-origin` of before.
const MAX_AGE: &str = "600";

/// The origins of `--allowed-origin`. Cheap to clone.
#[derive(Clone)]
pub struct Origins(Arc<[String]>);

impl Origins {
    #[must_use]
    pub fn new(allowed: &[String]) -> Self {
        Self(allowed.into())
    }

    /// Lets a request pass that no page of another origin has sent; returns whether it names the origin at all.
    ///
    /// # Errors
    /// `origin_refused`.
    pub fn admit(&self, headers: &HeaderMap, arrival: &Arrival) -> Result<bool, Failure> {
        let mut named = headers.get_all(header::ORIGIN).iter();
        match (named.next(), named.next()) {
            (None, _) if headers.get(FETCH_SITE).is_some_and(|site| site == "cross-site") => {
                Err(Failure::OriginRefused)
            }
            (None, _) => Ok(false),
            (Some(origin), None) if origin == arrival.origin().as_str() || self.of(headers).is_some() => {
                Ok(true)
            }
            (Some(origin), _) => {
                // Whatever else is written there is no origin, and nothing for a log.
                let named = origin.to_str().ok().filter(|origin| is_origin(origin)).unwrap_or("none");
                tracing::info!(
                    origin.named = named,
                    origin.own = arrival.origin(),
                    "a page of another origin was refused; if it is ours, behind a proxy: see --trusted-proxy"
                );
                Err(Failure::OriginRefused)
            }
        }
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
