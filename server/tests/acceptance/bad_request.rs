//! Requests that are wrong as HTTP or as multipart: cut, unclosed, without boundary, compressed.

use std::time::Duration;

use app::wire::FileType::DocsFile;

use crate::refusal::Refusal;
use crate::support::child::Child;
use crate::support::client::{Form, RawConnection, exchange};
use crate::support::fixture::Fixture;
use crate::support::proxy::Proxy;
use crate::support::sample::{self, KIB, MIB};
use crate::support::socket::Watcher;
use crate::support::store::Op;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a01_not_multipart() {
    let fixture = Fixture::start().await;
    for kind in ["application/json", "multipart/mixed; boundary=x", "text/plain"] {
        let form = Form::document(&sample::pdf(10 * KIB)).header("Content-Type", kind);
        let refusal = Refusal::of(&fixture, kind, 415, "not_multipart");
        refusal.ends(DocsFile).leaves_nothing(form).await;
    }
    let head = b"POST /upload HTTP/1.1\r\nHost: brigade.test\r\nContent-Length: 3\r\n\r\nabc";
    exchange(fixture.server, head).await.problem(415, "not_multipart");
    fixture.finish().await;
}

/// A head of more than 16 KiB gets the parser's bare answer, however few connections there are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a16_a_head_too_long() {
    let fixture = Fixture::start().await;
    let head = |length| {
        format!("GET /healthz HTTP/1.1\r\nHost: brigade.test\r\nX-Long: {}\r\n\r\n", "x".repeat(length))
    };
    assert_eq!(exchange(fixture.server, head(12 * KIB).as_bytes()).await.status, 200);
    assert_eq!(exchange(fixture.server, head(17 * KIB).as_bytes()).await.status, 431);
    fixture.normal_upload_passes().await;
    fixture.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a02_a_boundary_that_is_none() {
    let fixture = Fixture::start().await;
    let long = format!("multipart/form-data; boundary={}", "x".repeat(71));
    for kind in ["multipart/form-data", "multipart/form-data; boundary=", &long] {
        let form = Form::document(&sample::pdf(10 * KIB)).header("Content-Type", kind);
        let refusal = Refusal::of(&fixture, kind, 400, "bad_boundary");
        refusal.ends(DocsFile).leaves_nothing(form).await;
    }
    fixture.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a03_closing_boundary_missing() {
    let fixture = Fixture::start().await;
    for size in [10 * KIB, 3 * MIB, 12 * MIB] {
        let form = Form::document(&sample::pdf(size));
        let body = form.body_unclosed();
        let refusal = Refusal::of(&fixture, format!("{size} bytes, unclosed"), 400, "truncated");
        refusal.ends(DocsFile).leaves_nothing_of(form.clone(), &body).await;
        let refusal =
            Refusal::of(&fixture, format!("{size} bytes, unclosed, size unknown"), 400, "truncated");
        refusal.ends(DocsFile).leaves_nothing_of(form.without_sizes(), &body).await;
    }
    fixture.finish().await;
}

/// The body ends where its Content-Length says, in the middle of the file.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a03_the_body_ends_in_the_middle_of_the_file() {
    let fixture = Fixture::start().await;
    for size in [MIB, 12 * MIB] {
        let form = Form::document(&sample::pdf(size));
        let body = form.body()[..form.offset(0, size / 2)].to_vec();
        let refusal = Refusal::of(&fixture, format!("half of {size}"), 400, "truncated");
        refusal.ends(DocsFile).leaves_nothing_of(form, &body).await;
    }
    fixture.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a04_the_boundary_never_comes() {
    let fixture = Fixture::start().await;
    let form = Form::document(&sample::smallest_pdf());
    let refusal = Refusal::of(&fixture, "a long preamble", 400, "bad_boundary");
    refusal.ends(DocsFile).leaves_nothing_of(form, &sample::noise(3 * MIB)).await;
    fixture.finish().await;
}

/// 64 KiB of it are enough to know; what follows is read and thrown away at next to no cost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a04_a_preamble_of_25_mebibytes_costs_next_to_nothing() {
    let server = Child::start(&[]).await;
    let form = Form::document(&sample::pdf(10 * KIB));
    assert_eq!(form.post(server.address).await.status, 200);
    let preamble = sample::noise(25 * MIB);
    let before = server.cpu_time();
    let mut client = RawConnection::connect(server.address).await;
    client.write(&form.head(preamble.len())).await;
    client.write(&preamble[..66 * KIB]).await;
    client.answer().await.problem(400, "bad_boundary");
    client.write(&preamble[66 * KIB..]).await;
    assert!(client.answer_or_close().await.is_none(), "it is drained, and the connection ends");
    let used = server.cpu_time().saturating_sub(before);
    println!("{used:?} of CPU time");
    assert!(used < Duration::from_millis(50), "{used:?} of CPU time");
    server.stop().await;
}

/// Headers of parts without an end take no memory that grows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a05_part_headers_without_end_take_no_memory() {
    const GROWTH: u64 = 4 * MIB as u64;
    let server = Child::start(&[]).await;
    let endless = |line: &str| Form::new().part(&line.repeat(MIB / line.len()), b"").body();
    let bodies = [endless("X-Header: of the usual length\r\n"), endless("x")];
    let send_all = async || {
        for body in bodies.iter().cycle().take(100) {
            Form::new().post_body(server.address, body).await.problem(400, "bad_part_header");
        }
    };
    send_all().await;
    let before = server.rss();
    send_all().await;
    let grown = server.rss().saturating_sub(before);
    println!("{} KiB more for 100 MiB of headers", grown / KIB as u64);
    assert!(grown <= GROWTH, "{grown} bytes");
    server.stop().await;
}

/// Content-Length promises more than comes before the FIN.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a07_the_body_is_cut_short() {
    let fixture = Fixture::start().await;
    for size in [MIB, 12 * MIB] {
        let id = format!("cut-{size}");
        let form = Form::document(&sample::pdf(size)).client_id(&id);
        let body = form.body();
        let mut watcher = Watcher::new(fixture.server, &id).await;
        let mut client = RawConnection::connect(fixture.server).await;
        client.write(&form.head(body.len())).await;
        client.write(&body[..form.offset(0, size * 6 / 10)]).await;
        client.finish();
        let end = watcher.terminal(DocsFile).await;
        assert_eq!(end.code.as_deref(), Some("client_gone"));
        fixture.nothing_stored().await;
        fixture.normal_upload_passes().await;
    }
    fixture.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a14_broken_chunks() {
    let fixture = Fixture::start().await;
    let form = Form::document(&sample::pdf(100 * KIB));
    let refusal = Refusal::of(&fixture, "a chunk size that is none", 400, "bad_chunk").ends(DocsFile);
    refusal
        .send(form, async |form, server| {
            let mut request = form.chunked_head();
            let body = form.body();
            let part = &body[..form.offset(0, 50 * KIB)];
            request.extend(format!("{:x}\r\n", part.len()).as_bytes());
            request.extend(part);
            request.extend(b"\r\nxyz\r\n");
            exchange(server, &request).await
        })
        .await;
    fixture.nothing_stored().await;
    fixture.normal_upload_passes().await;
    fixture.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a20_a_compressed_body() {
    let fixture = Fixture::start().await;
    let form = Form::document(&sample::pdf(10 * KIB)).header("Content-Encoding", "gzip");
    Refusal::of(&fixture, "gzip", 415, "not_multipart").ends(DocsFile).leaves_nothing(form).await;
    fixture.finish().await;
}

/// Refused early while the client still sends: it reads the status all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a18_a_client_that_still_sends_reads_the_refusal() {
    let fixture = Fixture::start().await;
    let form = Form::document(&sample::exe(24 * MIB));
    let refusal = Refusal::of(&fixture, "24 MiB of a program", 415, "type_mismatch");
    refusal.ends(DocsFile).leaves_nothing(form).await;
    fixture.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_client_ids() {
    let fixture = Fixture::start().await;
    let long = "x".repeat(129);
    for id in ["*", ">", "a.b", "a b", "a/b", "é", "", &long] {
        let form = Form::document(&sample::pdf(10 * KIB)).client_id(id);
        form.post(fixture.server).await.problem(400, "client_id_invalid");
    }
    assert!(fixture.store.calls_of(Op::Put).is_empty());
    fixture.nothing_stored().await;
    fixture.normal_upload_passes().await;
    fixture.finish().await;
}

/// Every way a boundary can be split by what the network delivers, and bytes in the file that look like one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a06_the_boundary_split_anywhere() {
    let fixture = Fixture::start().await;
    let mut content = sample::pdf(2 * KIB);
    let likeness = format!("\r\n--{}", &crate::support::client::BOUNDARY[..10]);
    content.extend(likeness.as_bytes());
    content.extend(b"\r\n%%EOF\n");
    let form = Form::document(&content);
    let body = form.body();
    let end = form.offset(0, content.len());
    for split in end - 3..body.len() {
        let mut client = RawConnection::connect(fixture.server).await;
        client.write(&form.head(body.len())).await;
        client.write(&body[..split]).await;
        // Two writes of a socket without delay, with a round trip between them: two reads.
        crate::support::client::get(fixture.server, "/healthz").await;
        client.write(&body[split..]).await;
        let answer = client.answer().await;
        fixture.take_stored(&answer.stored_one(), &content).await;
    }
    fixture.finish().await;
}

/// A network that delivers a byte at a time, or a few, changes nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a06_a_network_that_slices() {
    let fixture = Fixture::start().await;
    let proxy = Proxy::start(fixture.server).await;
    let (document, image) = (sample::pdf(20 * KIB), sample::jpeg(5 * KIB));
    for bytes in [1, 2, 3, 7, 61, 1021] {
        for way in [&proxy.up, &proxy.down] {
            way.slice(bytes);
        }
        let stored = Form::both(&document, &image).post(proxy.addr).await.stored();
        fixture.take_stored(&stored.files[0], &document).await;
        fixture.take_stored(&stored.files[1], &image).await;
    }
    fixture.finish().await;
}
