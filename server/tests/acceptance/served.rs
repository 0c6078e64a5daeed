//! What goes out: the headers of every answer, links to what was stored, and nothing that is for tests only.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Duration;

use app::wire::FileType::DocsFile;
use app::wire::Snapshot;

use crate::support::child::Child;
use crate::support::client::{Answer, Form, exchange, get, head, request};
use crate::support::fixture::{Fixture, outcome_of, settle};
use crate::support::page::{Page, header};
use crate::support::sample::{self, KIB, MIB};
use crate::support::socket::upgrade;
use crate::support::store::Op;

const NOTHING: &str = "default-src 'none'; ";

/// FAULTS.md, S28 to S31.
fn assert_framed(name: &str, answer: &Answer) {
    for (header, value) in [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "same-origin"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        assert_eq!(answer.header(header), Some(value), "{name}: {header}");
    }
    assert!(answer.header("permissions-policy").is_some_and(|value| value.contains("camera=()")), "{name}");
    assert!(answer.header("cache-control").is_some(), "{name}");
    let policy = answer.header("content-security-policy").unwrap_or_else(|| panic!("{name} has no policy"));
    assert!(policy.starts_with(NOTHING) && policy.contains("frame-ancestors 'none'"), "{name}: {policy}");
    assert!(!policy.contains("unsafe-inline") && !policy.contains("'unsafe-eval'"), "{name}: {policy}");
    assert_eq!(answer.header("server"), None, "{name}");
    assert_eq!(answer.header("x-powered-by"), None, "{name}");
    if answer.header("content-type").is_some_and(|kind| kind.contains("json")) {
        assert!(answer.json::<serde_json::Value>().is_object(), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s28_s29_s30_s31_headers_of_every_answer() {
    let fixture = Fixture::start().await;
    let server = fixture.server;
    let page = get(server, "/").await;
    let asset = |kind: &str| {
        let html = page.text();
        let start = html.find("./pkg/").unwrap_or_else(|| panic!("no {kind}"));
        let names = html[start..].split('"').filter(|name| name.starts_with("./pkg/"));
        names.map(|name| name[1..].to_owned()).find(|name| name.ends_with(kind)).unwrap_or_default()
    };
    for (method, target, status) in [
        ("GET", "/", 200),
        ("GET", "/healthz", 200),
        ("GET", "/readyz", 200),
        ("GET", "/metrics", 200),
        ("GET", "/openapi.json", 200),
        ("GET", "/docs", 200),
        ("GET", "/docs.css", 200),
        ("GET", "/favicon.svg", 200),
        ("GET", "/favicon-running.svg", 200),
        ("GET", "/favicon-stored.svg", 200),
        ("GET", "/favicon-failed.svg", 200),
        ("GET", &asset(".css"), 200),
        ("GET", "/uploads/x", 404),
        ("GET", "/nowhere", 404),
        ("GET", "/pkg/", 404),
        ("GET", "/pkg/../Cargo.toml", 404),
        ("GET", "/.git/config", 404),
        ("GET", "/pkg/bucket-brigade.wasm.map", 404),
        ("PUT", "/upload", 405),
        ("TRACE", "/", 405),
        ("OPTIONS", "/upload", 405),
        ("GET", "/ws", 426),
        ("GET", "/events", 400),
        ("GET", "/events?client_id=a.b", 400),
        // FAULTS.md, S41: there are no routes for tests.
        ("GET", "/echo", 404),
        ("GET", "/debug", 404),
        ("GET", "/dev/states", 404),
        ("GET", "/dev/states.js", 404),
        ("GET", "/debug/pprof", 404),
    ] {
        let answer = request(server, method, target).await;
        assert_eq!(answer.status, status, "{method} {target}");
        assert_framed(&format!("{method} {target}"), &answer);
    }
    let stateless = get(server, "/?state=idle").await;
    assert!(stateless.status == 200 && !stateless.text().contains("/dev/"), "{}", stateless.text());
    let refused = upgrade(server, "/ws?client_id=a.b").await.expect_err("refused");
    assert_framed("a refused upgrade", &refused);
    let many = exchange(server, b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n").await;
    assert_framed("two hosts", &many);
    let content = sample::pdf(KIB);
    let stored = Form::document(&content).post(server).await;
    assert_framed("stored", &stored);
    fixture.take_stored(&stored.stored_one(), &content).await;
    let failed = Form::document(b"no document").post(server).await;
    assert_eq!(failed.status, 415);
    assert_framed("failed", &failed);
    let html = Form::document(b"no document").header("Accept", "text/html").post(server).await;
    assert!(html.status == 415 && html.text().starts_with("<!DOCTYPE html>"));
    assert_framed("a result page", &html);
    assert!(html.header("content-security-policy").unwrap().contains("style-src 'self'"));
    fixture.finish().await;
}

/// The one inline script has the nonce of the policy, another with each page.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s28_the_nonce_is_fresh() {
    let fixture = Fixture::start().await;
    let mut nonces = Vec::new();
    for _ in 0..3 {
        let page = get(fixture.server, "/").await;
        let policy = page.header("content-security-policy").unwrap().to_owned();
        let (_, rest) = policy.split_once("'nonce-").expect("it has one");
        let nonce = rest.split('\'').next().unwrap().to_owned();
        assert!(nonce.len() >= 22, "128 bits: {nonce}");
        let html = page.text();
        assert_eq!(html.matches("<script").count(), html.matches(&format!("nonce=\"{nonce}\"")).count());
        assert_eq!(html.matches(" style=").count() + html.matches("<style").count(), 0);
        nonces.push(nonce);
    }
    nonces.dedup();
    assert_eq!(nonces.len(), 3);
    fixture.finish().await;
}

/// Of the store no more is asked than SECURITY.md says; that nothing else ever is, each fixture asserts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s26_the_least_rights() {
    let fixture =
        Fixture::setup().config(|config| config.clocks.sweep = Duration::from_millis(50)).start().await;
    assert_eq!(get(fixture.server, "/readyz").await.status, 200);
    let (document, image) = (sample::pdf(6 * MIB), sample::jpeg(300 * KIB));
    let answer = Form::both(&document, &image).post(fixture.server).await.stored();
    fixture.take_stored(&answer.files[0], &document).await;
    fixture.take_stored(&answer.files[1], &image).await;
    // One that is aborted, and one that has to be removed.
    let short = Form::document(&document).without_sizes().size(DocsFile, document.len() + 1);
    short.post(fixture.server).await.problem(400, "size_mismatch");
    fixture.store.on(Op::Head).edits(|mut answer| {
        answer.headers_mut().insert("content-length", http::HeaderValue::from_static("1"));
        answer
    });
    Form::image(&image).post(fixture.server).await.problem(502, "integrity");
    fixture.store.forget_rules();
    fixture.store.called(Op::ListUploads, 2).await;
    let asked: HashSet<Op> = fixture.store.calls().into_iter().map(|call| call.op).collect();
    for op in
        [Op::Put, Op::Create, Op::UploadPart, Op::Complete, Op::Abort, Op::Head, Op::Delete, Op::ListParts]
    {
        assert!(asked.contains(&op), "{op:?}");
    }
    fixture.finish().await;
}

/// What a link's address answers, without any header of ours.
async fn fetch(link: &str, method: &str) -> Answer {
    let rest = link.strip_prefix("http://").expect("the test's store");
    let (host, target) = rest.split_once('/').expect("a path");
    let address: SocketAddr = host.parse().unwrap();
    let request = format!("{method} /{target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n");
    exchange(address, request.as_bytes()).await
}

/// Whoever uploaded gets a link for a while: to that object, to read it, as an attachment of the type that it has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s20_s22_s23_links_to_what_was_stored() {
    // Whole seconds, as S3 counts them.
    let life = Duration::from_secs(2);
    let fixture = Fixture::setup().config(move |config| config.download_links = life).start().await;
    let page = Page::open(fixture.server).await;
    let (document, image) = (sample::pdf(6 * MIB), sample::jpeg(300 * KIB));
    let answer = page.post(Form::both(&document, &image)).await.stored();
    for (file, content) in answer.files.iter().zip([&document, &image]) {
        let link = file.link.as_deref().expect("it has a link");
        assert!(link.contains("X-Amz-Expires=2"), "{link}");
        let got = fetch(link, "GET").await;
        assert!(got.status == 200 && got.body == *content, "{}", got.status);
        assert_eq!(got.header("content-type"), file.content_type.as_deref());
        assert!(got.header("content-disposition").unwrap().starts_with("attachment"));
        let (bare, _) = link.split_once('?').unwrap();
        for (altered, method) in [
            (bare.to_owned(), "GET"),
            (link.replace("X-Amz-Expires=2", "X-Amz-Expires=9999"), "GET"),
            (link.replacen("docs_file", "docs_filf", 1).replacen("msa_imgs", "msa_imgt", 1), "GET"),
            (link.to_owned(), "PUT"),
            (link.to_owned(), "DELETE"),
        ] {
            assert_eq!(fetch(&altered, method).await.status, 403, "{method} {altered}");
        }
    }
    let snapshot = page.request("GET", &format!("/uploads/{}", answer.upload_id)).await.json::<Snapshot>();
    assert!(snapshot.files.iter().all(|file| file.link.is_some()));
    for file in &answer.files {
        let status = || async { fetch(file.link.as_deref().unwrap(), "GET").await.status };
        assert_eq!(settle(|status| *status == 403, status).await, 403, "it is over");
    }
    fixture.take_stored(outcome_of(&answer.files, DocsFile), &document).await;
    fixture.take_all().await;
    fixture.finish().await;
}

/// None where none is wanted, and none that leads nowhere: a store on loopback is not there for other machines.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_link_where_it_would_not_work() {
    for (life, from, has_link) in
        [(300, "127.0.0.1", true), (300, "192.0.2.1", false), (0, "127.0.0.1", false)]
    {
        let configure = move |config: &mut server::config::Config| {
            config.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
            config.download_links = Duration::from_secs(life);
        };
        let fixture = Fixture::setup().config(configure).start().await;
        let content = sample::pdf(KIB);
        let answer =
            Form::document(&content).header("X-Forwarded-For", from).post(fixture.server).await.stored();
        assert_eq!(answer.files[0].link.is_some(), has_link, "{life} s, from {from}");
        let snapshot =
            head("GET", &format!("/uploads/{}", answer.upload_id), &[header("X-Forwarded-For", from)]);
        let snapshot = exchange(fixture.server, &snapshot).await.json::<Snapshot>();
        assert_eq!(snapshot.files[0].link.is_some(), has_link);
        fixture.take_stored(&answer.files[0], &content).await;
        fixture.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s40_metrics_at_an_address_of_their_own() {
    let server = Child::start(&["--metrics-listen", "127.0.0.1:0"]).await;
    let metrics = server.said("metrics.listen").await;
    get(server.address, "/metrics").await.problem(404, "not_found");
    assert!(!get(server.address, "/openapi.json").await.text().contains("/metrics"));
    for (method, target, status) in [
        ("GET", "/metrics", 200),
        ("POST", "/metrics", 405),
        ("GET", "/", 404),
        ("POST", "/upload", 404),
        ("GET", "/readyz", 404),
    ] {
        let answer = request(metrics, method, target).await;
        assert_eq!(answer.status, status, "{method} {target}");
        assert_eq!(answer.text().contains("brigade_uploads_in_flight"), status == 200, "{method} {target}");
        assert_framed(&format!("{method} {target} of the metrics' address"), &answer);
    }
    server.stop().await;
}
