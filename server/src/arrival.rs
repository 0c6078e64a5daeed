//! How a request reached us: from which address, and under which origin; proxies tell it where they are trusted.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, header};
use ipnet::IpNet;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// The proxies of `--trusted-proxy`. Cheap to clone.
#[derive(Clone)]
pub struct Proxies(Arc<[IpNet]>);

/// Where a request comes from and what its client calls us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    pub address: IpAddr,
    /// The client speaks https, to a proxy that is trusted to say so.
    pub is_secure: bool,
    /// Host and port as the client wrote them.
    host: String,
}

impl Proxies {
    #[must_use]
    pub fn new(trusted: &[IpNet]) -> Self {
        Self(trusted.into())
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|net| net.contains(&address))
    }

    /// Reads a request's head, as it came from `peer`.
    #[must_use]
    pub fn arrival(&self, headers: &HeaderMap, peer: IpAddr) -> Arrival {
        let is_trusted = self.trusts(peer);
        // Of a list the last is the word of the proxy that we trust; the others may be the client's own.
        let forwarded = |name: &HeaderName| values(headers, name).last().filter(|_| is_trusted);
        let host = forwarded(&FORWARDED_HOST).or_else(|| values(headers, &header::HOST).next());
        Arrival {
            address: if is_trusted { self.client(headers).unwrap_or(peer) } else { peer },
            is_secure: forwarded(&FORWARDED_PROTO).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https")),
            host: host.unwrap_or_default().to_ascii_lowercase(),
        }
    }

    /// The nearest address that is no trusted proxy's own; whatever lies beyond it is only said.
    fn client(&self, headers: &HeaderMap) -> Option<IpAddr> {
        let said: Vec<&str> = values(headers, &FORWARDED_FOR).collect();
        let mut nearest = None;
        for text in said.into_iter().rev() {
            let Some(address) = address(text) else { break };
            nearest = Some(address);
            if !self.trusts(address) {
                break;
            }
        }
        nearest
    }
}

impl Arrival {
    /// The origin that pages of ours have for this client (RFC 6454: no port where it is the scheme's own).
    #[must_use]
    pub fn origin(&self) -> String {
        let (scheme, port) = if self.is_secure { ("https", ":443") } else { ("http", ":80") };
        format!("{scheme}://{}", self.host.strip_suffix(port).unwrap_or(&self.host))
    }
}

/// Put there for every request before it is routed.
impl<S: Send + Sync> FromRequestParts<S> for Arrival {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let nowhere =
            || Self { address: Ipv4Addr::UNSPECIFIED.into(), is_secure: false, host: String::new() };
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_else(nowhere))
    }
}

/// The peer of the connection that brought the request.
#[must_use]
pub fn peer(extensions: &http::Extensions) -> IpAddr {
    let peer = extensions.get::<ConnectInfo<SocketAddr>>();
    peer.map_or(Ipv4Addr::UNSPECIFIED.into(), |ConnectInfo(peer)| peer.ip().to_canonical())
}

/// The members of a list header, over all its lines.
fn values<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl DoubleEndedIterator<Item = &'a str> {
    let lines: Vec<&str> = headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
    lines.into_iter().flat_map(|line| line.split(',').map(str::trim)).filter(|value| !value.is_empty())
}

/// An address as proxies write it, some with a port.
fn address(text: &str) -> Option<IpAddr> {
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    bare.parse().ok().or_else(with_port).map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrival(trusted: &str, peer: &str, headers: &[(&'static str, &str)]) -> Arrival {
        let trusted: Vec<IpNet> = trusted.split_whitespace().map(|net| net.parse().unwrap()).collect();
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        Proxies::new(&trusted).arrival(&map, peer.parse().unwrap())
    }

    const SAID: [(&str, &str); 4] = [
        ("host", "inner:3000"),
        ("x-forwarded-for", "6.6.6.6, 7.7.7.7, 10.0.0.2"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "Files.example"),
    ];

    #[test]
    fn only_a_trusted_proxy_is_believed() {
        let strange = arrival("10.0.0.0/8", "8.8.8.8", &SAID);
        assert_eq!(
            (strange.address, strange.origin()),
            ("8.8.8.8".parse().unwrap(), "http://inner:3000".into())
        );
        let ours = arrival("10.0.0.0/8", "10.0.0.1", &SAID);
        assert_eq!(
            (ours.address, ours.origin()),
            ("7.7.7.7".parse().unwrap(), "https://files.example".into())
        );
    }

    #[test]
    fn the_clients_own_words_stay_behind_the_first_stranger() {
        for (said, address) in [
            ("1.1.1.1, 10.0.0.9", "1.1.1.1"),
            ("10.0.0.7, 10.0.0.9", "10.0.0.7"),
            ("1.1.1.1, unknown, 10.0.0.9", "10.0.0.9"),
            ("unknown", "10.0.0.1"),
            ("2.2.2.2:4711", "2.2.2.2"),
            ("[2001:db8::1]:4711", "2001:db8::1"),
            ("2001:db8::1", "2001:db8::1"),
            ("::ffff:2.2.2.2", "2.2.2.2"),
        ] {
            let found = arrival("10.0.0.0/8", "10.0.0.1", &[("x-forwarded-for", said)]).address;
            assert_eq!(found, address.parse::<IpAddr>().unwrap(), "{said}");
        }
        let lines = [("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "2.2.2.2")];
        assert_eq!(arrival("10.0.0.0/8", "10.0.0.1", &lines).address, "2.2.2.2".parse::<IpAddr>().unwrap());
    }

    #[test]
    fn an_origin_has_no_port_of_its_own_scheme() {
        for (host, scheme, origin) in [
            ("a.example:80", "http", "http://a.example"),
            ("a.example:443", "http", "http://a.example:443"),
            ("a.example:443", "https", "https://a.example"),
            ("[::1]:3000", "http", "http://[::1]:3000"),
        ] {
            let said = [("host", host), ("x-forwarded-proto", scheme)];
            assert_eq!(arrival("10.0.0.0/8", "10.0.0.1", &said).origin(), origin);
        }
    }
}
