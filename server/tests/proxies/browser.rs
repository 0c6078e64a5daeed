//! The page itself in Chromium, through each proxy.

use std::net::SocketAddr;

use crate::behind;
use crate::script::Script;
use crate::support::fixture::Dir;
use crate::support::reverse_proxy::{Kind, ReverseProxy};
use crate::support::sample::{self, MIB};

behind_each_proxy! {
    the_page_at_the_root;
    the_page_below_a_path_over_https;
}

async fn the_page_at_the_root(kind: Kind) {
    let (fixture, proxy) = behind(kind).await;
    let (document, image) = (sample::pdf(12 * MIB), sample::jpeg(2 * MIB));
    run("http", proxy.plain, "/", [&document, &image]).await;
    assert_eq!(fixture.bucket.keys().await.len(), 4, "by the page, and by its form without a script");
    fixture.take_all().await;
    drop(proxy);
    fixture.finish().await;
}

async fn the_page_below_a_path_over_https(kind: Kind) {
    let (fixture, proxy) = behind(kind).await;
    let (document, image) = (sample::pdf(12 * MIB), sample::jpeg(2 * MIB));
    run("https", proxy.secure, "/files/", [&document, &image]).await;
    assert_eq!(fixture.bucket.keys().await.len(), 4, "by the page, and by its form without a script");
    fixture.take_all().await;
    drop(proxy);
    fixture.finish().await;
}

async fn run(scheme: &str, proxy: SocketAddr, base: &str, files: [&[u8]; 2]) {
    let dir = Dir::new();
    let paths = ["report.pdf", "portrait.jpg"].map(|name| dir.path.join(name));
    for (path, content) in paths.iter().zip(files) {
        std::fs::write(path, content).unwrap();
    }
    let url = format!("{scheme}://{proxy}{base}");
    let [document, image] = paths.each_ref().map(|path| path.to_str().unwrap());
    Script::start("proxied.mjs", proxy, &[&url, document, image]).ends().await;
}

/// nginx as it is unless it is told otherwise: the page says so in place of a bar that stands.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_holds_the_upload_back_is_named() {
    let (fixture, _) = behind(Kind::Nginx).await;
    let switches = [("proxy_request_buffering off;", "proxy_request_buffering on;")];
    let proxy = ReverseProxy::start_with(Kind::Nginx, fixture.server, &switches).await;
    let document = sample::pdf(12 * MIB);
    let dir = Dir::new();
    let file = dir.path.join("report.pdf");
    std::fs::write(&file, &document).unwrap();
    let mut script = Script::start("stores.mjs", proxy.plain, &["buffered", file.to_str().unwrap()]);
    script.reaches("ready").await;
    script.go();
    script.ends().await;
    fixture.take_only(&document).await;
    drop(proxy);
    fixture.finish().await;
}
