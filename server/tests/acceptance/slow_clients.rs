//! Clients that keep us waiting: with the head, with the body, with reading what we answer.

use std::time::Duration;

use app::wire::FileType::DocsFile;
use tokio::time::interval;

use crate::SHORT;
use crate::support::PATIENCE;
use crate::support::client::{Form, RawConnection, exchange, head};
use crate::support::fixture::Fixture;
use crate::support::sample::{self, KIB, MIB};
use crate::support::socket::Watcher;

/// Each byte comes in time, but there are too few of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a10_a_trickle() {
    let setup = Fixture::setup().config(|config| config.clocks.body_rate_window = Duration::from_secs(1));
    let fixture = setup.start().await;
    for size in [3 * MIB, 12 * MIB] {
        let id = format!("trickles-{size}");
        let mut watcher = Watcher::new(fixture.server, &id).await;
        let form = Form::document(&sample::pdf(size)).client_id(&id);
        let body = form.body();
        let mut client = RawConnection::connect(fixture.server).await;
        client.write(&form.head(body.len())).await;
        let start = form.offset(0, size / 2);
        client.write(&body[..start]).await;
        let bytes = body[start..].iter().map(|byte| vec![*byte]);
        let answer = client.answer_while_dripping(Duration::from_millis(50), bytes).await;
        answer.problem(408, "read_timeout");
        assert_eq!(watcher.terminal(DocsFile).await.code.as_deref(), Some("read_timeout"));
        fixture.nothing_stored().await;
    }
    fixture.finish().await;
}

/// Heads that never end are cut, and nobody else waits for them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a11_slow_heads() {
    let fixture = Fixture::setup().config(|config| config.clocks.request_head = SHORT).start().await;
    let mut clients = Vec::new();
    for _ in 0..100 {
        let mut client = RawConnection::connect(fixture.server).await;
        client.write(b"POST /upload HTTP/1.1\r\nHost: brigade.test\r\n").await;
        clients.push(client);
    }
    fixture.normal_upload_passes().await;
    let mut every = interval(SHORT / 10);
    let dripping = async {
        while !clients.is_empty() {
            every.tick().await;
            let mut open = Vec::new();
            for mut client in clients {
                if client.try_write(b"X-More: 1\r\n").await.is_ok() {
                    open.push(client);
                }
            }
            clients = open;
        }
    };
    tokio::time::timeout(PATIENCE, dripping).await.expect("all of them are cut");
    fixture.finish().await;
}

/// An answer that nobody reads is not waited for: the file is stored, the connection ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a12_an_answer_that_nobody_reads() {
    let fixture = Fixture::setup().config(|config| config.clocks.answer_silence = SHORT).start().await;
    let content = sample::pdf(6 * MIB);
    let form = Form::document(&content);
    let body = form.body();
    let mut client = RawConnection::narrow(fixture.server).await;
    client.write(&[form.head(body.len()), body].concat()).await;
    // More answers than client and kernel keep for it.
    let pages = head("GET", "/", &[]).repeat(2_000);
    let connected = async |n: f64| fixture.metric("brigade_connections").await == n;
    assert!(connected(2.0).await, "it is there");
    let _ = client.try_write(&pages).await;
    let cut = async {
        while !connected(1.0).await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, cut).await.expect("it is cut");
    fixture.take_only(&content).await;
    drop(client);
    fixture.finish().await;
}

/// Who reads slowly, but reads, gets every answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a12_a_slow_reader_that_reads_is_served() {
    const PAGES: usize = 40;
    let fixture = Fixture::setup().config(|config| config.clocks.answer_silence = SHORT).start().await;
    let mut client = RawConnection::narrow(fixture.server).await;
    client.write(&head("GET", "/", &[]).repeat(PAGES)).await;
    let mut every = interval(Duration::from_millis(100));
    for page in 0..PAGES {
        every.tick().await;
        let answer = client.answer_or_close().await;
        assert_eq!(answer.map(|answer| answer.status), Some(200), "page {page}");
    }
    drop(client);
    fixture.finish().await;
}

/// What is refused without being looked at is refused in words too, though the client still sends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a18_refused_by_its_address() {
    let fixture = Fixture::start().await;
    let form = Form::document(&sample::pdf(24 * MIB));
    let (head, body) = (String::from_utf8(form.head(form.body().len())).unwrap(), form.body());
    for (wrong, status, code) in [
        (head.replace("/upload", "/uplaod"), 404, "not_found"),
        (head.replace("POST", "PUT"), 405, "method_not_allowed"),
        (head.replace("Host: ", "Host: a b"), 400, "host_invalid"),
    ] {
        let answer = exchange(fixture.server, &[wrong.as_bytes(), &body].concat()).await;
        answer.problem(status, code);
    }
    fixture.finish().await;
}

/// A slow sender that is refused early reads the refusal, and is cut when the drain's time is over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a18_a_slow_sender_reads_the_refusal() {
    let fixture = Fixture::setup().config(|config| config.clocks.drain = SHORT).start().await;
    let document = || Form::document(&sample::exe(24 * MIB));
    for (form, status, code) in [
        (document(), 415, "type_mismatch"),
        (document().without_sizes().size(DocsFile, 26 * MIB), 413, "too_large"),
        (document().without_sizes().size(DocsFile, "+5"), 400, "size_invalid"),
    ] {
        println!("{code}");
        let body = form.body();
        let mut client = RawConnection::connect(fixture.server).await;
        client.write(&form.head(body.len())).await;
        let pieces = body.chunks(64 * KIB).map(<[u8]>::to_vec);
        let answer = client.answer_while_dripping(Duration::from_millis(10), pieces).await;
        answer.problem(status, code);
        let cut = async {
            let mut every = interval(Duration::from_millis(10));
            while client.try_write(b"more").await.is_ok() {
                every.tick().await;
            }
        };
        tokio::time::timeout(PATIENCE, cut).await.expect("the drain has an end");
        fixture.nothing_stored().await;
    }
    fixture.finish().await;
}

/// A fast sender that never stops reads the refusal, and is cut after 32 MiB.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a18_an_endless_sender_reads_the_refusal() {
    let fixture = Fixture::start().await;
    let form = Form::document(&sample::exe(MIB)).without_sizes();
    let mut client = RawConnection::connect(fixture.server).await;
    client.write(&form.chunked_head()).await;
    let start = form.body();
    client.write(format!("{:x}\r\n", start.len()).as_bytes()).await;
    client.write(&start[..form.offset(0, MIB)]).await;
    client.answer().await.problem(415, "type_mismatch");
    client.write(&start[form.offset(0, MIB)..]).await;
    let chunk = [b"\r\n100000\r\n".to_vec(), vec![b'x'; MIB]].concat();
    let mut sent = 0;
    while sent < 512 * MIB && client.try_write(&chunk).await.is_ok() {
        sent += MIB;
    }
    // What is on its way in the kernel comes on top.
    assert!(sent <= 64 * MIB, "{sent} bytes were drained");
    fixture.finish().await;
}
