//! Watchers that come and go, flood, break the protocol, vanish or never read: none costs anybody else anything.

use std::time::Duration;

use app::wire::FileType::DocsFile;
use app::wire::Status;
use tokio::io::AsyncWriteExt;

use crate::SHORT;
use crate::support::PATIENCE;
use crate::support::client::{Answer, Form, RawConnection, exchange, head};
use crate::support::fixture::Fixture;
use crate::support::proxy::Proxy;
use crate::support::sample::{self, KIB, MIB};
use crate::support::socket::{Heard, Watcher, frame, upgrade, upgrade_head};

/// Waits until so many watchers are connected.
async fn until_watched_by(fixture: &Fixture, n: f64) {
    let reached = async {
        while fixture.metric("brigade_progress_clients").await != n {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, reached).await.unwrap_or_else(|_| panic!("never {n} watchers"));
}

/// An upload that has sent `sent` bytes of its document and waits.
struct Paused {
    form: Form,
    content: Vec<u8>,
    client: RawConnection,
    sent: usize,
}

impl Paused {
    async fn begin(fixture: &Fixture, id: &str, size: usize) -> Self {
        let content = sample::pdf(size);
        let form = Form::document(&content).client_id(id);
        let mut client = RawConnection::connect(fixture.server).await;
        client.write(&form.head(form.body().len())).await;
        Self { form, content, client, sent: 0 }
    }

    /// Sends until so many bytes of the document have gone.
    async fn send_to(&mut self, offset: usize) {
        let to = self.form.offset(0, offset);
        self.client.write(&self.form.body()[self.sent..to]).await;
        self.sent = to;
    }

    async fn finish(mut self, fixture: &Fixture) {
        self.client.write(&self.form.body()[self.sent..]).await;
        let answer = self.client.answer().await;
        fixture.take_stored(&answer.stored_one(), &self.content).await;
    }
}

fn received(at_least: usize) -> impl FnMut(&[Heard]) -> Option<u64> {
    move |heard| {
        let found = heard.iter().find(|heard| heard.message.received + 64 * KIB as u64 >= at_least as u64)?;
        Some(found.message.seq)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f04_two_sockets_of_one_id() {
    let fixture = Fixture::start().await;
    let mut first = Watcher::new(fixture.server, "two-sockets").await;
    let mut second = Watcher::new(fixture.server, "two-sockets").await;
    let mut upload = Paused::begin(&fixture, "two-sockets", 3 * MIB).await;
    upload.send_to(MIB).await;
    first.until("a third", received(MIB)).await;
    second.until("a third", received(MIB)).await;
    first.close().await;
    until_watched_by(&fixture, 1.0).await;
    upload.send_to(2 * MIB).await;
    second.until("two thirds", received(2 * MIB)).await;
    upload.finish(&fixture).await;
    assert_eq!(second.terminal(DocsFile).await.status, Status::Completed);
    drop(second);
    fixture.finish().await;
}

/// A socket that is reset comes back: its first message is the whole state, newer than the last it heard.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f07_a_socket_drops_and_returns() {
    let fixture = Fixture::start().await;
    let proxy = Proxy::start(fixture.server).await;
    let mut upload = Paused::begin(&fixture, "drops-and-returns", 3 * MIB).await;
    let mut before = Watcher::new(proxy.addr, "drops-and-returns").await;
    upload.send_to(MIB).await;
    let seq = before.until("a third", received(MIB)).await;
    proxy.reset_all();
    assert_eq!(before.closed().await, 1006);
    upload.send_to(2 * MIB).await;
    let mut after = Watcher::new(proxy.addr, "drops-and-returns").await;
    let again = after.until("two thirds", received(2 * MIB)).await;
    assert!(again > seq, "seq {again} after {seq}");
    proxy.reset_all();
    after.closed().await;
    upload.finish(&fixture).await;
    // What happened while nobody listened is told to whoever comes.
    let mut late = Watcher::new(proxy.addr, "drops-and-returns").await;
    let end = late.terminal(DocsFile).await;
    assert!(end.status == Status::Completed && end.seq > again, "{end:?}");
    drop((before, after, late, proxy));
    fixture.finish().await;
}

/// A socket and an event stream that nobody reads are cut, while forty uploads that they watch go on, and are heard of
/// by whoever listens.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f08_who_never_reads_is_cut() {
    const UPLOADS: usize = 40;
    let fixture = Fixture::setup().config(|config| config.clocks.answer_silence = SHORT).start().await;
    let mut healthy = Watcher::new(fixture.server, "never-reads").await;
    let mut socket = RawConnection::narrow(fixture.server).await;
    socket.write(&upgrade_head("/ws?client_id=never-reads")).await;
    let mut events = RawConnection::narrow(fixture.server).await;
    events.write(&head("GET", "/events?client_id=never-reads", &[])).await;
    until_watched_by(&fixture, 3.0).await;
    let mut uploads = Vec::new();
    for _ in 0..UPLOADS {
        uploads.push(Paused::begin(&fixture, "never-reads", 4 * MIB).await);
    }
    let mut sent = 0;
    let cut = async {
        while fixture.metric("brigade_progress_clients").await > 1.0 {
            sent += 8 * KIB;
            assert!(sent < 4 * MIB, "nobody is cut");
            for upload in &mut uploads {
                upload.send_to(sent).await;
            }
            let all_heard = |heard: &[Heard]| {
                let far = heard.iter().filter(|heard| heard.message.received + 4096 >= sent as u64);
                let uploads: std::collections::HashSet<_> =
                    far.map(|heard| heard.message.upload_id.as_str()).collect();
                (uploads.len() == UPLOADS).then_some(())
            };
            healthy.until("all of them moved", all_heard).await;
        }
    };
    tokio::time::timeout(2 * PATIENCE, cut).await.expect("both are cut");
    for upload in uploads {
        upload.finish(&fixture).await;
    }
    drop((socket, events, healthy));
    fixture.finish().await;
}

/// 10,000 messages at once, or as many pings: the peer is told why it is cut.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f10_f12_a_flood_of_messages_or_pings() {
    let fixture = Fixture::start().await;
    let cancel = frame(0x1, br#"{"cancel":"AAAAAAAAAAAAAAAAAAAAAA"}"#);
    for (name, message) in [("cancels", cancel), ("pings", frame(0x9, b"")), ("pongs", frame(0xa, b"x"))] {
        println!("{name}");
        let mut watcher = Watcher::new(fixture.server, "floods").await;
        let _ = watcher.try_send_raw(&message.repeat(10_000)).await;
        assert_eq!(watcher.closed().await, 1008, "{name}");
        let mut watcher = Watcher::new(fixture.server, "within-the-limit").await;
        watcher.send_raw(&message.repeat(50)).await;
        watcher.close().await;
    }
    fixture.finish().await;
}

/// Fragments without content never end a message. They are read at watchers' pace, not at the sender's, and who says
/// nothing else is cut.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f12_a_flood_of_tiny_fragments() {
    let fixture = Fixture::setup().config(|config| config.clocks.watcher_gone = 4 * SHORT).start().await;
    let (reader, mut writer, _) = upgrade(fixture.server, "/ws?client_id=fragments").await.unwrap();
    let begin = [vec![0x01], frame(0x1, b"").split_off(1)].concat();
    let more = [vec![0x00], frame(0x0, b"").split_off(1)].concat();
    writer.write_all(&begin).await.unwrap();
    let fragments = more.repeat(MIB);
    let mut sent = 0;
    let flood = async {
        while sent < 256 * MIB {
            match writer.write(&fragments).await {
                Ok(bytes) => sent += bytes,
                Err(_) => return,
            }
        }
    };
    let cut = tokio::time::timeout(PATIENCE, async {
        tokio::join!(flood, until_watched_by(&fixture, 0.0));
    });
    cut.await.expect("it is cut");
    // Its 64 KiB, what the kernel keeps for the two of us, and 32 MiB that are thrown away so that it reads why.
    assert!(sent < 64 * MIB, "{sent} bytes of fragments were read");
    fixture.normal_upload_passes().await;
    drop((reader, writer));
    fixture.finish().await;
}

/// The frames that RFC 6455 forbids, and the code that each is closed with.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f11_frames_against_the_protocol() {
    let fixture = Fixture::start().await;
    let first = |first: u8, payload: &[u8]| [vec![first], frame(0, payload).split_off(1)].concat();
    let close = |code: u16| frame(0x8, &code.to_be_bytes());
    let mut frames: Vec<(String, Vec<u8>, u16)> = vec![
        ("first reserved bit, as compression sets it".into(), first(0xc1, b"x"), 1002),
        ("second reserved bit".into(), first(0xa1, b"x"), 1002),
        ("third reserved bit".into(), first(0x91, b"x"), 1002),
        ("no mask".into(), b"\x81\x02hi".to_vec(), 1002),
        ("ping without mask".into(), b"\x89\x00".to_vec(), 1002),
        ("ping in fragments".into(), first(0x09, b""), 1002),
        ("pong in fragments".into(), first(0x0a, b""), 1002),
        ("close in fragments".into(), first(0x08, b""), 1002),
        ("ping of 126 bytes".into(), frame(0x9, &[0; 126]), 1002),
        ("pong of 126 bytes".into(), frame(0xa, &[0; 126]), 1002),
        ("close of 126 bytes".into(), frame(0x8, &[[3, 232].as_slice(), &[b'x'; 124]].concat()), 1002),
        ("close of one byte".into(), frame(0x8, &[3]), 1002),
        ("close whose reason is no UTF-8".into(), frame(0x8, &[3, 232, 0xff]), 1007),
        ("continuation of nothing".into(), frame(0x0, b"x"), 1002),
        ("last continuation of nothing".into(), first(0x00, b"x"), 1002),
        ("a message within a message".into(), [first(0x01, b"a"), frame(0x1, b"b")].concat(), 1002),
        ("text that is no UTF-8".into(), frame(0x1, &[0xce, 0xba, 0xff]), 1007),
        ("text that ends within a letter".into(), frame(0x1, &[0xce]), 1007),
        ("half of a surrogate pair".into(), frame(0x1, &[0xed, 0xa0, 0x80]), 1007),
        ("an overlong slash".into(), frame(0x1, &[0xc0, 0xaf]), 1007),
        ("no UTF-8 in a fragment".into(), [first(0x01, b"a"), frame(0x0, &[0xff])].concat(), 1007),
        ("a binary message".into(), frame(0x2, b"x"), 1008),
        (
            "5000 bytes in fragments".into(),
            [first(0x01, &[b'x'; 2500]), frame(0, &[b'x'; 2500])].concat(),
            1009,
        ),
        ("a length of 2^63".into(), [&[0x81, 0xff, 0x80][..], &[0; 11]].concat(), 1009),
    ];
    for opcode in (0x3..=0x7).chain(0xb..=0xf) {
        frames.push((format!("reserved opcode {opcode:#x}"), frame(opcode, b"x"), 1002));
    }
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535] {
        frames.push((format!("close code {code}"), close(code), 1002));
    }
    for code in [1000, 1001, 1003, 1007, 1011, 3000, 4999] {
        frames.push((format!("close code {code} is answered"), close(code), code));
    }
    let mut wrong = Vec::new();
    for (name, bytes, expected) in &frames {
        let mut watcher = Watcher::new(fixture.server, "breaks-the-protocol").await;
        // The server may close before it has read all of it.
        let _ = watcher.try_send_raw(bytes).await;
        let code = watcher.closed().await;
        if code != *expected {
            wrong.push(format!("{name}: closed with {code} instead of {expected}"));
        }
    }
    println!("{} frames", frames.len());
    assert_eq!(wrong, Vec::<String>::new());
    fixture.finish().await;
}

/// A peer that is gone without a word is not kept.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f13_a_peer_vanishes() {
    let setup = Fixture::setup().config(|config| {
        config.clocks.ping = SHORT / 3;
        config.clocks.watcher_gone = SHORT;
    });
    let fixture = setup.start().await;
    let proxy = Proxy::start(fixture.server).await;
    let gone = Watcher::new(proxy.addr, "vanishes").await;
    let mut stays = Watcher::new(fixture.server, "vanishes").await;
    until_watched_by(&fixture, 2.0).await;
    proxy.up.stall();
    proxy.down.stall();
    // Who answers is kept for longer than who does not.
    tokio::join!(until_watched_by(&fixture, 1.0), stays.answer_pings(10));
    assert_eq!(fixture.metric("brigade_progress_clients").await, 1.0);
    drop((gone, stays, proxy));
    fixture.finish().await;
}

/// Compression that a client offers is not taken up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f17_no_compression() {
    let fixture = Fixture::start().await;
    let offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n";
    let mut request = upgrade_head("/ws?client_id=compresses");
    request.truncate(request.len() - 2);
    request.extend(offer.as_bytes());
    let mut client = RawConnection::connect(fixture.server).await;
    client.write(&request).await;
    let answer = client.next_answer().await;
    assert_eq!(answer.status, 101);
    assert_eq!(answer.header("sec-websocket-extensions"), None);
    drop(client);
    fixture.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f18_what_is_no_upgrade() {
    let fixture = Fixture::start().await;
    let proper = String::from_utf8(upgrade_head("/ws?client_id=upgrades")).unwrap();
    let without = |line: &str| {
        let lines = proper.split("\r\n").filter(|other| !other.starts_with(line));
        lines.collect::<Vec<_>>().join("\r\n")
    };
    let requests = [
        ("version 8", proper.replace("Version: 13", "Version: 8")),
        ("no version", without("Sec-WebSocket-Version")),
        ("no key", without("Sec-WebSocket-Key")),
        ("no Upgrade", without("Upgrade")),
        ("no Connection", without("Connection")),
        ("another protocol", proper.replace("websocket", "h2c")),
        ("POST", proper.replace("GET", "POST")),
        ("a plain GET", String::from_utf8(head("GET", "/ws?client_id=upgrades", &[])).unwrap()),
    ];
    for (name, request) in requests {
        println!("{name}");
        let answer: Answer = exchange(fixture.server, request.as_bytes()).await;
        answer.problem(426, "upgrade_required");
        assert_eq!(answer.header("sec-websocket-version"), Some("13"), "{name}");
        assert_eq!(answer.header("upgrade"), Some("websocket"), "{name}");
    }
    fixture.finish().await;
}
