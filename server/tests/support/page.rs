//! A page as a browser has it open: its session's cookies, its client id, and the headers that it sends with them.

use std::net::SocketAddr;

use super::client::{Answer, Form, exchange, head};
use super::log::keep_secret;
use super::socket::{Open, Watcher, upgrade_with};

/// What `Host` is in every request of the tests.
const ORIGIN: &str = "http://brigade.test";

/// Cheap to clone: another tab of the same browser has the same cookies.
#[derive(Clone, Debug)]
pub struct Page {
    pub server: SocketAddr,
    pub cookies: String,
    pub id: String,
    pub origin: String,
}

impl Page {
    /// Opened by a browser that was never there.
    pub async fn open(server: SocketAddr) -> Self {
        Self::open_with(server, ORIGIN, &[]).await
    }

    /// The same with these headers, where our origin is then this one.
    pub async fn open_with(server: SocketAddr, origin: &str, headers: &[(String, String)]) -> Self {
        let answer = exchange(server, &head("GET", "/", headers)).await;
        let cookies: Vec<&str> =
            cookies(&answer).into_iter().filter_map(|cookie| cookie.split(';').next()).collect();
        let page = Self {
            server,
            cookies: cookies.join("; "),
            id: client_id(&answer).expect("the page has one"),
            origin: origin.to_owned(),
        };
        keep_secret(&page.id);
        page.cookies
            .split("; ")
            .filter_map(|pair| pair.split_once('='))
            .for_each(|(_, value)| keep_secret(value));
        page
    }

    /// What its requests bring along: `Origin` where a browser says it.
    #[must_use]
    pub fn headers(&self) -> Vec<(String, String)> {
        vec![header("Cookie", &self.cookies), header("Origin", &self.origin)]
    }

    /// The form as this page would send it, under an id.
    #[must_use]
    pub fn form(&self, form: Form, id: &str) -> Form {
        self.headers().into_iter().fold(form.client_id(id), |form, (name, value)| form.header(&name, value))
    }

    pub async fn post(&self, form: Form) -> Answer {
        self.form(form, &self.id).post(self.server).await
    }

    pub async fn request(&self, method: &str, target: &str) -> Answer {
        exchange(self.server, &head(method, target, &self.headers())).await
    }

    /// Its socket, under an id.
    ///
    /// # Errors
    /// The answer that refuses it.
    pub async fn socket(&self, id: &str) -> Result<Open, Answer> {
        upgrade_with(self.server, &format!("/ws?client_id={id}"), &self.headers()).await
    }

    pub async fn watch(&self) -> Watcher {
        Watcher::open_with(self.server, &format!("/ws?client_id={}", self.id), &self.headers()).await
    }
}

/// The cookies that an answer sets.
#[must_use]
pub fn cookies(answer: &Answer) -> Vec<&str> {
    let set = answer.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"));
    set.map(|(_, value)| value.as_str()).collect()
}

/// The client id in a page's HTML.
#[must_use]
pub fn client_id(answer: &Answer) -> Option<String> {
    let html = answer.text();
    let (_, rest) = html.split_once("data-client-id=\"")?;
    rest.split('"').next().map(str::to_owned)
}

#[must_use]
pub fn header(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}
