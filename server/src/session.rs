//! Browser sessions: a signed cookie, and the client ids that belong to it. Nothing is kept: any replica with the same
//! secret can tell.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::{HeaderMap, header};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::ids::{ClientId, random_bytes};

/// Over https the prefix binds the cookie to this host and to https (RFC 6265bis, 4.1.3.2).
const SECURE_COOKIE: &str = "__Host-brigade_session";
const PLAIN_COOKIE: &str = "brigade_session";
/// Says that there is a session to whoever comes by another site's link: then a browser keeps the session to itself.
const MARKER_COOKIE: &str = "brigade_known";
/// Random bytes of a session and of a client id.
const RANDOM: usize = 16;

/// One browser's, for a while.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Session {
    /// 128 random bits in base64url.
    id: String,
    /// Seconds since 1970.
    ends: u64,
}

impl Session {
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// How long it still holds.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        Duration::from_secs(self.ends).saturating_sub(since_1970())
    }
}

/// Begins, renews and recognises sessions. Cheap to clone.
#[derive(Clone)]
pub struct Sessions {
    key: Hmac<Sha256>,
    life: Duration,
}

impl Sessions {
    /// Sessions hold for `life` from the last page on.
    #[must_use]
    pub fn new(secret: &str, life: Duration) -> Self {
        let key = Hmac::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
        Self { key, life }
    }

    #[must_use]
    pub fn begin(&self) -> Session {
        self.lasting(URL_SAFE_NO_PAD.encode(random_bytes::<RANDOM>()))
    }

    /// The same session, from now on.
    #[must_use]
    pub fn renew(&self, session: Session) -> Session {
        self.lasting(session.id)
    }

    fn lasting(&self, id: String) -> Session {
        Session { id, ends: (since_1970() + self.life).as_secs() }
    }

    /// The session that a request brings, if it is one of ours and still holds.
    #[must_use]
    pub fn read(&self, headers: &HeaderMap, is_secure: bool) -> Option<Session> {
        let session = self.parse(&cookie(headers, session_cookie(is_secure))?)?;
        (!session.remaining().is_zero()).then_some(session)
    }

    /// Whether the browser has a session that it does not bring along this time.
    #[must_use]
    pub fn is_hidden(headers: &HeaderMap, is_secure: bool) -> bool {
        cookie(headers, MARKER_COOKIE).is_some() && cookie(headers, session_cookie(is_secure)).is_none()
    }

    /// The cookies that make a browser bring a session.
    #[must_use]
    pub fn cookies(&self, session: &Session, is_secure: bool) -> [String; 2] {
        let (name, secure) = (session_cookie(is_secure), if is_secure { "; Secure" } else { "" });
        let (value, life) = (self.text(session), self.life.as_secs());
        [
            format!("{name}={value}; Max-Age={life}; Path=/; HttpOnly; SameSite=Strict{secure}"),
            format!("{MARKER_COOKIE}=1; Max-Age={life}; Path=/; HttpOnly; SameSite=Lax{secure}"),
        ]
    }

    /// The cookie that takes the marker back.
    #[must_use]
    pub fn unmark() -> String {
        format!("{MARKER_COOKIE}=; Max-Age=0; Path=/; HttpOnly; SameSite=Lax")
    }

    /// A new client id that belongs to the session.
    #[must_use]
    pub fn issue(&self, session: &Session) -> ClientId {
        let random = random_bytes::<RANDOM>();
        ClientId::of_page(&random, &self.page_mac(&random, session).finalize().into_bytes())
    }

    /// Whether a page's client id belongs to the session.
    #[must_use]
    pub fn owns(&self, session: &Session, client: &ClientId) -> bool {
        client.page_parts().is_some_and(|bytes| {
            let (random, signature) = bytes.split_at(RANDOM);
            self.page_mac(random, session).verify_slice(signature).is_ok()
        })
    }

    fn page_mac(&self, random: &[u8], session: &Session) -> Hmac<Sha256> {
        self.key.clone().chain_update(random).chain_update(&session.id)
    }

    /// Longer than what signs a client id: one is never taken for the other.
    fn cookie_mac(&self, signed: &str) -> Hmac<Sha256> {
        self.key.clone().chain_update("session cookie ").chain_update(signed)
    }

    fn text(&self, session: &Session) -> String {
        let signed = format!("{}.{}", session.id, session.ends);
        let signature = URL_SAFE_NO_PAD.encode(self.cookie_mac(&signed).finalize().into_bytes());
        format!("{signed}.{signature}")
    }

    fn parse(&self, text: &str) -> Option<Session> {
        let (signed, signature) = text.rsplit_once('.')?;
        self.cookie_mac(signed).verify_slice(&URL_SAFE_NO_PAD.decode(signature).ok()?).ok()?;
        let (id, ends) = signed.split_once('.')?;
        Some(Session { id: id.to_owned(), ends: ends.parse().ok()? })
    }
}

const fn session_cookie(is_secure: bool) -> &'static str {
    if is_secure { SECURE_COOKIE } else { PLAIN_COOKIE }
}

fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let value = |cookie: &str| Some(cookie.trim().strip_prefix(name)?.strip_prefix('=')?.to_owned());
    lines.flat_map(|line| line.split(';')).find_map(value)
}

fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    fn bringing(cookie: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::COOKIE, cookie.parse().unwrap())])
    }

    #[test]
    fn a_session_that_has_ended_is_not_hidden() {
        let marker = "brigade_known=1";
        assert!(Sessions::is_hidden(&bringing(marker), false));
        let both = [marker, "; ", session_cookie(false), "=ended"].concat();
        assert!(!Sessions::is_hidden(&bringing(&both), false));
        assert!(!Sessions::is_hidden(&HeaderMap::new(), false));
    }

    #[test]
    fn a_session_is_brought_back_as_it_was_given() {
        let sessions = Sessions::new("secret", DAY);
        let session = sessions.begin();
        for is_secure in [false, true] {
            let [cookie, _] = sessions.cookies(&session, is_secure);
            let pair = cookie.split(';').next().unwrap();
            let headers = bringing(&format!("other=1; {pair}; more=2"));
            assert_eq!(sessions.read(&headers, is_secure), Some(session.clone()));
            assert_eq!(sessions.read(&headers, !is_secure), None, "another name");
            assert_eq!(Sessions::new("another", DAY).read(&headers, is_secure), None);
            assert_eq!(cookie.contains("; Secure"), is_secure);
        }
    }

    #[test]
    fn a_session_that_was_altered_or_is_over_is_none() {
        let sessions = Sessions::new("secret", DAY);
        let text = sessions.text(&sessions.begin());
        let later = text.replacen('.', ".1", 1);
        for bad in [later.as_str(), &text[1..], &text[..text.len() - 2], "", "a.b", "a.b.c", "....", "ä.1.x"]
        {
            let headers = HeaderMap::from_iter([(
                header::COOKIE,
                axum::http::HeaderValue::from_bytes(format!("{PLAIN_COOKIE}={bad}").as_bytes()).unwrap(),
            )]);
            assert_eq!(sessions.read(&headers, false), None, "{bad}");
        }
        let short = Sessions::new("secret", Duration::ZERO);
        let over = short.text(&short.begin());
        assert_eq!(short.read(&bringing(&format!("{PLAIN_COOKIE}={over}")), false), None);
    }

    #[test]
    fn an_id_belongs_to_its_session_whenever_that_was_renewed() {
        let sessions = Sessions::new("secret", DAY);
        let (mine, other) = (sessions.begin(), sessions.begin());
        let id = sessions.issue(&mine);
        assert!(id.is_of_a_page());
        assert!(sessions.owns(&mine, &id) && !sessions.owns(&other, &id));
        let longer = Sessions::new("secret", 2 * DAY).renew(mine);
        assert!(sessions.owns(&longer, &id));
        assert!(!Sessions::new("another", DAY).owns(&longer, &id));
        assert!(!sessions.owns(&longer, &ClientId::parse("p_mine").unwrap()));
    }

    /// FAULTS.md, S1.
    #[test]
    fn s01_a_million_ids_without_a_repeat() {
        let sessions = Sessions::new("secret", DAY);
        let session = sessions.begin();
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        let mut seen = HashSet::new();
        for _ in 0..1_000_000 {
            let id = sessions.issue(&session);
            let random = id.as_str()[..24].to_owned();
            assert!(id.as_str().len() >= 22 && id.as_str().bytes().all(legal), "{}", id.as_str());
            assert!(seen.insert(random), "twice");
        }
    }
}
