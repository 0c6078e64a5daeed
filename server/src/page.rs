//! The pages: the upload form with its client id, and the result for browsers without JavaScript.

use app::wire::{Problem, UploadAnswer};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};

use crate::config::Limits;
use crate::ids::PageIds;

/// Renders pages. Cheap to clone.
#[derive(Clone)]
pub struct Pages {
    ids: PageIds,
    limits: Limits,
}

/// The session's cookie. `__Host-` needs https, which this server does not speak itself.
const SESSION_COOKIE: &str = "brigade_session";
/// 24 hours, renewed with every page.
const SESSION_SECONDS: u32 = 24 * 60 * 60;

impl Pages {
    #[must_use]
    pub fn new(secret: &str, limits: &Limits) -> Self {
        Self { ids: PageIds::new(secret.as_bytes()), limits: limits.clone() }
    }

    /// The upload page, with a client id of its own.
    #[must_use]
    pub fn upload_page(&self, headers: &HeaderMap) -> Response {
        let session = session(headers).unwrap_or_else(PageIds::new_session);
        let client_id = self.ids.issue(&session);
        let html = format!("<!doctype html><title>Bucket Brigade</title><p>{}", client_id.as_str());
        let _ = &self.limits;
        let mut response = Html(html).into_response();
        let cookie = format!(
            "{SESSION_COOKIE}={session}; Max-Age={SESSION_SECONDS}; Path=/; HttpOnly; SameSite=Strict"
        );
        if let Ok(cookie) = HeaderValue::from_str(&cookie) {
            response.headers_mut().insert(header::SET_COOKIE, cookie);
        }
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }

    /// What became of a form that was posted without JavaScript.
    #[must_use]
    pub fn result_page(&self, answer: Result<UploadAnswer, Problem>) -> Response {
        let status = answer.as_ref().map_or_else(
            |problem| StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            |_| StatusCode::OK,
        );
        (status, Html(format!("{answer:?}"))).into_response()
    }
}

/// The session that the browser brings, if it looks like one of ours.
fn session(headers: &HeaderMap) -> Option<String> {
    let cookies = headers.get(header::COOKIE)?.to_str().ok()?;
    let session = cookies
        .split(';')
        .find_map(|cookie| cookie.trim().strip_prefix(SESSION_COOKIE)?.strip_prefix('='))?;
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (session.len() == 22 && session.bytes().all(legal)).then(|| session.to_owned())
}
