//! The pages: the upload form with its client id, and the result for browsers without JavaScript.

use app::words::Word;
use app::{PageConfig, Words};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::arrival::Arrival;
use crate::assets::site_paths;
use crate::config::Limits;
use crate::error::problem_status;
use crate::headers::page_policy;
use crate::ids::random_bytes;
use crate::language::Spoken;
use crate::session::Sessions;
use crate::upload::Answer;

/// Renders pages. Cheap to clone.
#[derive(Clone)]
pub struct Pages {
    sessions: Sessions,
    limits: Limits,
}

impl Pages {
    #[must_use]
    pub fn new(sessions: Sessions, limits: &Limits) -> Self {
        Self { sessions, limits: limits.clone() }
    }

    /// The upload page, with a client id that belongs to the browser's session.
    #[must_use]
    pub fn upload_page(&self, headers: &HeaderMap, arrival: &Arrival, spoken: Spoken) -> Response {
        let known = self.sessions.read(headers, arrival.is_secure);
        if known.is_none() && Sessions::is_hidden(headers, arrival.is_secure) {
            return once_more(spoken);
        }
        let session = known.map_or_else(|| self.sessions.begin(), |session| self.sessions.renew(session));
        let nonce = URL_SAFE_NO_PAD.encode(random_bytes::<16>());
        let config = self.config(self.sessions.issue(&session).as_str(), Some(nonce.clone()), spoken);
        let mut response = Html(app::page_html(&config)).into_response();
        let headers = response.headers_mut();
        for cookie in self.sessions.cookies(&session, arrival.is_secure) {
            headers.append(header::SET_COOKIE, plain(&cookie));
        }
        headers.insert(header::CONTENT_SECURITY_POLICY, plain(&page_policy(Some(&nonce))));
        spoken.mark(headers);
        response
    }

    /// What became of a form that was posted without JavaScript.
    #[must_use]
    pub fn result_page(&self, answer: &Answer, spoken: Spoken) -> Response {
        let status = answer.as_ref().map_or_else(|problem| problem_status(problem), |_| StatusCode::OK);
        let page = Html(app::result_html(&self.config("", None, spoken), answer));
        let policy = [(header::CONTENT_SECURITY_POLICY, plain(&page_policy(None)))];
        let mut response = (status, policy, page).into_response();
        spoken.mark(response.headers_mut());
        response
    }

    fn config(&self, client_id: &str, nonce: Option<String>, spoken: Spoken) -> PageConfig {
        let site = site_paths();
        PageConfig {
            language: spoken.language,
            is_language_asked: spoken.is_asked,
            client_id: client_id.to_owned(),
            nonce,
            css: site.css,
            js: site.js,
            wasm: site.wasm,
            max_document: self.limits.max_document_size.as_u64(),
            max_image: self.limits.max_image_size.as_u64(),
            allow_svg: self.limits.allow_svg,
        }
    }
}

/// Has the browser come again by itself. To whoever follows another site's link it does not give its session
/// (SameSite=Strict), and a new one would take the ids from the pages that are open under it.
fn once_more(spoken: Spoken) -> Response {
    let head = [
        (header::REFRESH, HeaderValue::from_static("0")),
        (header::SET_COOKIE, plain(&Sessions::unmark())),
        // A browser does not refresh what is in a sandbox.
        (header::CONTENT_SECURITY_POLICY, plain(&page_policy(None))),
    ];
    let title = Words::of(spoken.language).text(Word::Title);
    let page = format!("<!DOCTYPE html><html lang=\"{}\"><title>{title}</title>", spoken.language.code());
    let mut response = (head, Html(page)).into_response();
    spoken.mark(response.headers_mut());
    response
}

fn plain(value: &str) -> HeaderValue {
    HeaderValue::from_str(value).expect("made of visible ASCII")
}
