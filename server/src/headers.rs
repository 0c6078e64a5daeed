//! The headers that every answer of ours has, errors included (FAULTS.md, S28 to S31).

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;

use crate::arrival::{Proxies, peer};

const PERMISSIONS: HeaderName = HeaderName::from_static("permissions-policy");
const OPENER: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const RESOURCE: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
/// Whatever is no page loads nothing and is framed by nobody.
const NOTHING: &str =
    "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; sandbox";
/// One year, in seconds: the least that OWASP's ASVS takes (3.4.1).
const HTTPS_ONLY: &str = "max-age=31536000";

/// Notes how the request arrived, and adds what its answer does not say itself.
pub async fn frame(State(proxies): State<Proxies>, mut request: Request, next: Next) -> Response {
    let arrival = proxies.arrival(request.headers(), peer(request.extensions()));
    let is_secure = arrival.is_secure;
    request.extensions_mut().insert(arrival);
    let mut response = framed(next.run(request).await);
    if is_secure {
        let https_only = HeaderValue::from_static(HTTPS_ONLY);
        response.headers_mut().insert(header::STRICT_TRANSPORT_SECURITY, https_only);
    }
    response
}

/// Adds what every answer says that does not say otherwise.
#[must_use]
pub fn framed(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "same-origin"),
        (OPENER, "same-origin"),
        (RESOURCE, "same-origin"),
        (PERMISSIONS, "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
        (header::CONTENT_SECURITY_POLICY, NOTHING),
        // What is not said to be kept is somebody's own.
        (header::CACHE_CONTROL, "no-store"),
    ] {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

/// The policy of a page; its one inline script has the nonce, and without one it has no scripts.
#[must_use]
pub fn page_policy(nonce: Option<&str>) -> String {
    let sources = nonce.map_or_else(
        || "img-src 'self'; ".to_owned(),
        |nonce| {
            format!(
                "script-src 'self' 'wasm-unsafe-eval' 'nonce-{nonce}'; connect-src 'self'; img-src 'self' blob:; "
            )
        },
    );
    format!(
        "default-src 'none'; {sources}style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'; \
         object-src 'none'"
    )
}
