//! Requests at the edges of HTTP: methods, origins, lengths beyond everything, what follows a refused body.

use app::wire::FileType::DocsFile;

use crate::support::client::{Answer, Form, RawConnection, exchange, head, request};
use crate::support::fixture::Fixture;
use crate::support::sample::{self, KIB, MIB};

fn headers(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// More digits than a head may have get the parser's bare answer, before any byte of the body.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b04_a_megabyte_of_digits() {
    let fixture = Fixture::start().await;
    let form = Form::new().file("docs_field", "a.pdf", &sample::smallest_pdf());
    let form = form.size(DocsFile, "9".repeat(MIB));
    assert_eq!(exchange(fixture.server, &form.head(100 * MIB)).await.status, 431);
    fixture.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a16_too_many_headers_and_an_address_too_long() {
    let fixture = Fixture::start().await;
    let many = |n: usize| {
        let lines: Vec<_> = (0..n).map(|n| (format!("X-{n}"), "1".to_owned())).collect();
        head("GET", "/healthz", &lines)
    };
    // With Host that is 100.
    assert_eq!(exchange(fixture.server, &many(99)).await.status, 200);
    assert_eq!(exchange(fixture.server, &many(100)).await.status, 431);
    let long = request(fixture.server, "GET", &format!("/{}", "x".repeat(64 * KIB))).await;
    assert!(matches!(long.status, 414 | 431), "{}", long.status);
    fixture.finish().await;
}

/// Ten terabytes are refused by the head, and the connection ends though they still trickle.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a19_ten_terabytes() {
    let fixture = Fixture::setup().config(|config| config.clocks.drain = super::SHORT).start().await;
    let form = Form::new().file("docs_field", "a.pdf", &sample::pdf(MIB));
    let mut client = RawConnection::connect(fixture.server).await;
    client.write(&form.head(10_000_000_000_000)).await;
    client.answer().await.problem(413, "size_exceeded");
    let sent = trickle_until_cut(&mut client).await;
    assert!(sent < MIB, "{sent} bytes were taken of a body that nobody wants");
    drop(client);
    fixture.finish().await;
}

/// Writes a KiB at a time, and gives how many bytes went before the server cut us.
async fn trickle_until_cut(client: &mut RawConnection) -> usize {
    let piece = [b'x'; KIB];
    let mut sent = 0;
    let mut every = tokio::time::interval(std::time::Duration::from_millis(10));
    let cut = async {
        while client.try_write(&piece).await.is_ok() {
            sent += piece.len();
            every.tick().await;
        }
    };
    tokio::time::timeout(crate::support::PATIENCE, cut).await.expect("the connection is cut");
    sent
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a21_other_methods() {
    let fixture = Fixture::start().await;
    for method in ["GET", "PUT", "PATCH", "DELETE", "TRACE", "OPTIONS", "PROPFIND"] {
        let answer = request(fixture.server, method, "/upload").await;
        answer.problem(405, "method_not_allowed");
        assert_eq!(answer.header("allow"), Some("POST"), "{method}");
    }
    for target in ["/", "/healthz", "/events", "/metrics"] {
        let answer = request(fixture.server, "TRACE", target).await;
        answer.problem(405, "method_not_allowed");
        assert!(answer.header("allow").is_some_and(|allow| allow.contains("GET")), "{target}: {answer:?}");
    }
    let answer = request(fixture.server, "POST", "/uploads/AAAAAAAAAAAAAAAAAAAAAA").await;
    assert_eq!(answer.header("allow"), Some("GET,HEAD,DELETE"));
    fixture.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a21_a_preflight_of_an_allowed_origin() {
    let configure = |config: &mut server::config::Config| {
        config.allowed_origins = vec!["https://good.example".to_owned()];
    };
    let fixture = Fixture::setup().config(configure).start().await;
    let ask = async |origin: &str, method: &str| -> Answer {
        let asked = headers(&[("Origin", origin), ("Access-Control-Request-Method", method)]);
        exchange(fixture.server, &head("OPTIONS", "/upload", &asked)).await
    };
    let allowed = ask("https://good.example", "POST").await;
    assert_eq!(allowed.status, 204, "{allowed:?}");
    assert_eq!(allowed.header("access-control-allow-origin"), Some("https://good.example"));
    assert_eq!(allowed.header("vary"), Some("origin"));
    assert_eq!(allowed.header("access-control-allow-methods"), Some("GET, POST, DELETE"));
    let headers = allowed.header("access-control-allow-headers").unwrap_or_default().to_ascii_lowercase();
    for name in ["x-client-id", "x-docs-filesize", "x-image-filesize"] {
        assert!(headers.contains(name), "{headers}");
    }
    for stranger in ["https://good.example.evil", "http://good.example", "null", "https://good.example/"] {
        let refused = ask(stranger, "POST").await;
        refused.problem(405, "method_not_allowed");
        assert_eq!(refused.header("access-control-allow-origin"), None, "{stranger}");
        assert_eq!(refused.header("vary"), Some("origin"), "{stranger}");
    }
    let content = sample::pdf(10 * KIB);
    let form = Form::document(&content);
    let answer = form.clone().header("Origin", "https://good.example").post(fixture.server).await;
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://good.example"));
    fixture.take_stored(&answer.stored_one(), &content).await;
    let refused =
        form.size(DocsFile, "x").header("Origin", "https://good.example").post(fixture.server).await;
    refused.problem(400, "size_invalid");
    assert_eq!(refused.header("access-control-allow-origin"), Some("https://good.example"), "to read why");
    fixture.finish().await;
}

/// A file whose bytes look like a request, in an upload that is refused early: they are never read as one, and neither
/// is a real request behind it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a22_what_follows_a_refused_upload() {
    let fixture = Fixture::setup().config(|config| config.clocks.drain = super::SHORT).start().await;
    let canary = head("GET", "/canary", &[]);
    let mut content = sample::exe(64 * KIB);
    for _ in 0..10_000 {
        content.extend_from_slice(&canary);
    }
    for form in [Form::document(&content), Form::document(&content).size(DocsFile, 1)] {
        let body = form.body();
        let mut client = RawConnection::connect(fixture.server).await;
        let bytes = [form.head(body.len()), body, canary.clone()].concat();
        // The server may close before it has read all of it.
        let _ = client.try_write(&bytes).await;
        let refused = client.answer().await;
        assert!(matches!(refused.status, 415 | 400), "{}", refused.text());
        assert_eq!(refused.header("connection"), Some("close"));
        assert!(client.answer_or_close().await.is_none(), "no second answer");
    }
    fixture.finish().await;
}

/// A body that no route reads: the answer says that the connection ends, so that a proxy gives it to nobody else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a22_a_body_that_nobody_reads() {
    let fixture = Fixture::start().await;
    let sized = [("Content-Length".to_owned(), "3000".to_owned())];
    let chunked = [("Transfer-Encoding".to_owned(), "chunked".to_owned())];
    let two_hosts = [sized[0].clone(), ("Host".to_owned(), "another".to_owned())];
    let strange = [sized[0].clone(), ("Origin".to_owned(), "https://evil.example".to_owned())];
    for (method, target, headers, status) in [
        ("POST", "/", &sized[..], 405),
        ("GET", "/", &sized[..], 200),
        ("GET", "/healthz", &chunked[..], 200),
        ("POST", "/metrics", &chunked[..], 405),
        ("POST", "/uploads/x", &sized[..], 405),
        ("DELETE", "/uploads/x", &sized[..], 404),
        ("PUT", "/nowhere", &sized[..], 404),
        ("POST", "/upload", &sized[..], 415),
        ("POST", "/upload", &two_hosts[..], 400),
        ("POST", "/upload", &strange[..], 403),
    ] {
        let mut client = RawConnection::connect(fixture.server).await;
        client.write(&head(method, target, headers)).await;
        let answer = client.answer().await;
        assert_eq!(answer.status, status, "{method} {target}");
        assert_eq!(answer.header("connection"), Some("close"), "{method} {target}");
    }
    // Without a body it goes on.
    let mut client = RawConnection::connect(fixture.server).await;
    for _ in 0..3 {
        client.write(&head("GET", "/healthz", &[])).await;
        assert_eq!(client.answer().await.header("connection"), None);
    }
    fixture.finish().await;
}
