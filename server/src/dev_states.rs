//! Debug builds only (FAULTS.md, S41): every state of the page at one address, for whoever works on it.
//!
//! `/dev/states` frames the real page once a state; `/?state=NAME` is the page with a script that plays the state to it
//! in place of socket and POST (`frontend/e2e/states.js`).

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;

use crate::routes::Server;

const SCRIPT: &str =
    concat!(include_str!("../../frontend/e2e/recorded.js"), include_str!("../../frontend/e2e/states.js"));

/// The script knows the states' names.
const INDEX: &str = r#"<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>States</title>
<style>body { font: 1rem system-ui; display: grid; grid-template-columns: repeat(auto-fill, minmax(26rem, 1fr)); gap: 1rem }
iframe { box-sizing: border-box; inline-size: 100%; block-size: 44rem; border: 1px solid }</style><body><script src="/dev/states.js"></script><script>
for (const name of states) {
  const section = document.body.appendChild(document.createElement("section"));
  section.innerHTML = `<h2><a href="/?state=${name}">${name}</a></h2><iframe loading="lazy" title="${name}" src="/?state=${name}">`;
}
</script>"#;
const INDEX_POLICY: &str =
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'unsafe-inline'; frame-src 'self'";

/// Larger than any page.
const MOST_HTML: usize = 1 << 20;

/// Adds the routes, and the script to pages that are asked for with a state.
pub fn add_to(router: Router<Server>) -> Router<Server> {
    router
        .route(
            "/dev/states",
            get(|| async { ([(header::CONTENT_SECURITY_POLICY, INDEX_POLICY)], Html(INDEX)) }),
        )
        .route("/dev/states.js", get(|| async { ([(header::CONTENT_TYPE, "text/javascript")], SCRIPT) }))
        .layer(from_fn(play))
}

async fn play(request: Request, next: Next) -> Response {
    let uri = request.uri();
    let is_state = uri.path() == "/" && uri.query().is_some_and(|query| query.starts_with("state="));
    let response = next.run(request).await;
    if !is_state {
        return response;
    }
    with_script(response).await.unwrap_or_else(|| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}

/// Puts the script before the page's own, and lets our index frame it.
async fn with_script(response: Response) -> Option<Response> {
    let (mut head, body) = response.into_parts();
    let policy = head.headers.get(header::CONTENT_SECURITY_POLICY)?.to_str().ok()?;
    let nonce = policy.split_once("'nonce-")?.1.split_once('\'')?.0;
    let tag = format!(r#"<script nonce="{nonce}" src="/dev/states.js"></script><script type="module""#);
    let policy = policy.replace("frame-ancestors 'none'", "frame-ancestors 'self'");
    let html = String::from_utf8(to_bytes(body, MOST_HTML).await.ok()?.into()).ok()?;
    let html = html.replacen(r#"<script type="module""#, &tag, 1);
    head.headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_str(&policy).ok()?);
    Some(Response::from_parts(head, Body::from(html)))
}
