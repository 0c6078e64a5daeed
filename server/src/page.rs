//! The pages: the upload form with its client id, and the result for browsers without JavaScript.

use app::PageConfig;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};

use crate::assets::site_paths;
use crate::config::Limits;
use crate::ids::PageIds;
use crate::upload::Answer;

/// The session's cookie. `__Host-` would need https, which this server does not speak itself.
const SESSION_COOKIE: &str = "brigade_session";
/// 24 hours, renewed with every page.
const SESSION_SECONDS: u32 = 24 * 60 * 60;
/// A session is 128 bits in base64url.
const SESSION_LEN: usize = 22;

/// Renders pages. Cheap to clone.
#[derive(Clone)]
pub struct Pages {
    ids: PageIds,
    limits: Limits,
}

impl Pages {
    #[must_use]
    pub fn new(secret: &str, limits: &Limits) -> Self {
        Self { ids: PageIds::new(secret.as_bytes()), limits: limits.clone() }
    }

    /// The upload page, with a client id that belongs to the browser's session.
    #[must_use]
    pub fn upload_page(&self, headers: &HeaderMap) -> Response {
        let session = session(headers).unwrap_or_else(PageIds::new_session);
        let config = self.config(self.ids.issue(&session).as_str());
        let mut response = Html(app::page_html(&config)).into_response();
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
    pub fn result_page(&self, answer: &Answer) -> Response {
        let status = answer.as_ref().map_or_else(
            |problem| StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            |_| StatusCode::OK,
        );
        (status, Html(app::result_html(&self.config(""), answer))).into_response()
    }

    fn config(&self, client_id: &str) -> PageConfig {
        let site = site_paths();
        PageConfig {
            client_id: client_id.to_owned(),
            nonce: None,
            css: site.css,
            js: site.js,
            wasm: site.wasm,
            max_document: self.limits.max_document_size.as_u64(),
            max_image: self.limits.max_image_size.as_u64(),
            allow_svg: self.limits.allow_svg,
        }
    }
}

/// The session that the browser brings, if it looks like one of ours.
fn session(headers: &HeaderMap) -> Option<String> {
    let cookies = headers.get(header::COOKIE)?.to_str().ok()?;
    let ours = |cookie: &str| Some(cookie.trim().strip_prefix(SESSION_COOKIE)?.strip_prefix('=')?.to_owned());
    let session = cookies.split(';').find_map(ours)?;
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (session.len() == SESSION_LEN && session.bytes().all(legal)).then_some(session)
}
