//! The service behind nginx, HAProxy and Caddy as `docs/proxies.md` sets them up.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../browser/script.rs"]
mod script;
#[path = "../support/mod.rs"]
mod support;

use support::fixture::Fixture;
use support::reverse_proxy::{Kind, ReverseProxy};

/// A test for each proxy.
macro_rules! behind_each_proxy {
    ($($(#[$doc:meta])* $name:ident;)+) => {$(
        $(#[$doc])*
        mod $name {
            use crate::support::reverse_proxy::Kind;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn nginx() {
                super::$name(Kind::Nginx).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn haproxy() {
                super::$name(Kind::Haproxy).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn caddy() {
                super::$name(Kind::Caddy).await;
            }
        }
    )+};
}

mod base_path;
mod browser;
mod refusals;
mod uploads;
mod visitors;

/// A server that believes the proxy, and the proxy before it.
async fn behind(kind: Kind) -> (Fixture, ReverseProxy) {
    let trusting = |config: &mut server::config::Config| {
        config.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
    };
    let fixture = Fixture::setup().config(trusting).start().await;
    let proxy = ReverseProxy::start(kind, fixture.server).await;
    (fixture, proxy)
}
