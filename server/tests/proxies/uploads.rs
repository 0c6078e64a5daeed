//! Files, bars and ends, through each proxy.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use app::wire::FileType::{self, DocsFile, MsaImgs};
use app::wire::{FileMessage, Status};
use tokio::sync::mpsc;

use crate::behind;
use crate::refusals::answer_of;
use crate::support::PATIENCE;
use crate::support::client::{Form, RawConnection, request};
use crate::support::fixture::outcome_of;
use crate::support::reverse_proxy::{Kind, ReverseProxy};
use crate::support::sample::{self, KIB, MIB};
use crate::support::socket::{Heard, Watcher};

behind_each_proxy! {
    both_files_are_stored_and_their_bars_move_meanwhile;
    server_sent_events_come_one_by_one;
    a_client_that_goes_at_60_percent_leaves_nothing;
    a_cancel_ends_the_upload;
}

const DOCUMENT: usize = 12 * MIB;
/// What a proxy and its sockets may hold of a body that has stopped: nothing, but for what it gathers for a moment.
const UNDER_WAY: usize = 64 * 1024;

async fn both_files_are_stored_and_their_bars_move_meanwhile(kind: Kind) {
    let (fixture, proxy) = behind(kind).await;
    let (document, image) = (sample::pdf(DOCUMENT), sample::jpeg(3 * MIB));
    let mut watcher = Watcher::new(proxy.plain, "through-a-proxy").await;
    let form = Form::both(&document, &image).client_id("through-a-proxy");
    let body = form.body();
    let mut client = RawConnection::connect(proxy.plain).await;
    client.write(&form.head(body.len())).await;
    let mut sent = 0;
    // Each step is heard of before the next byte leaves.
    for percent in [20, 40, 60, 80] {
        let until = form.offset(0, DOCUMENT * percent / 100);
        client.write(&body[sent..until]).await;
        sent = until;
        let wanted = DOCUMENT * percent / 100 - UNDER_WAY;
        let said = format!("{percent} percent while no more is sent");
        watcher.until(&said, |heard| received(heard, wanted)).await;
    }
    client.write(&body[sent..]).await;
    let answer = client.answer().await.stored();
    for (file, content) in [(DocsFile, &document), (MsaImgs, &image)] {
        assert_eq!(watcher.terminal(file).await.status, Status::Completed);
        fixture.take_stored(outcome_of(&answer.files, file), content).await;
    }
    drop((client, watcher.close().await, proxy));
    fixture.finish().await;
}

async fn server_sent_events_come_one_by_one(kind: Kind) {
    let (fixture, proxy) = behind(kind).await;
    is_live(proxy.plain).await;
    fixture.take_all().await;
    drop(proxy);
    fixture.finish().await;
}

/// nginx as it is unless it is told otherwise: it speaks HTTP/1.0 to the server, and gathers what that answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_tell_nginx_not_to_gather_them() {
    let (fixture, _) = behind(Kind::Nginx).await;
    let switches = [
        ("proxy_buffering         off;", "proxy_buffering on;"),
        ("proxy_http_version      1.1;", "proxy_http_version 1.0;"),
    ];
    let proxy = ReverseProxy::start_with(Kind::Nginx, fixture.server, &switches).await;
    is_live(proxy.plain).await;
    fixture.take_all().await;
    drop(proxy);
    fixture.finish().await;
}

/// Half of an upload is heard of before the other half is sent.
async fn is_live(proxy: SocketAddr) {
    let mut events = Events::open(&format!("http://{proxy}/events?client_id=by-events")).await;
    let form = Form::document(&sample::pdf(DOCUMENT)).client_id("by-events");
    let body = form.body();
    let mut client = RawConnection::connect(proxy).await;
    client.write(&form.head(body.len())).await;
    let half = form.offset(0, DOCUMENT / 2);
    client.write(&body[..half]).await;
    while events.next().await.received + (UNDER_WAY as u64) < DOCUMENT as u64 / 2 {}
    client.write(&body[half..]).await;
    while !events.next().await.status.is_terminal() {}
    assert_eq!(client.answer().await.status, 200);
}

async fn a_client_that_goes_at_60_percent_leaves_nothing(kind: Kind) {
    let (fixture, proxy) = behind(kind).await;
    for is_reset in [true, false] {
        let id = format!("goes-{is_reset}");
        let (client, mut watcher) = send_60_percent(proxy.plain, &id).await;
        if is_reset {
            client.reset()
        } else {
            drop(client)
        }
        let end = watcher.terminal(DocsFile).await;
        let code = end.code.as_deref();
        assert!(matches!(code, Some("client_gone" | "truncated")), "{end:?}");
        fixture.nothing_stored().await;
        watcher.close().await;
    }
    drop(proxy);
    fixture.finish().await;
}

async fn a_cancel_ends_the_upload(kind: Kind) {
    let (fixture, proxy) = behind(kind).await;
    for by_socket in [true, false] {
        let id = format!("cancels-{by_socket}");
        let (mut client, mut watcher) = send_60_percent(proxy.plain, &id).await;
        let upload_id = watcher.heard()[0].message.upload_id.clone();
        if by_socket {
            watcher.say(&format!("{{\"cancel\":\"{upload_id}\"}}")).await;
        } else {
            let answer = request(proxy.plain, "DELETE", &format!("/uploads/{upload_id}")).await;
            assert_eq!(answer.status, 202);
        }
        assert_eq!(watcher.terminal(DocsFile).await.code.as_deref(), Some("cancelled"));
        answer_of(kind, &mut client, &[0; KIB]).await.problem(409, "cancelled");
        fixture.nothing_stored().await;
        watcher.close().await;
    }
    drop(proxy);
    fixture.finish().await;
}

async fn send_60_percent(proxy: SocketAddr, id: &str) -> (RawConnection, Watcher) {
    let mut watcher = Watcher::new(proxy, id).await;
    let form = Form::document(&sample::pdf(DOCUMENT)).client_id(id);
    let mut client = RawConnection::connect(proxy).await;
    client.write(&form.head(form.body().len())).await;
    client.write(&form.body()[..form.offset(0, DOCUMENT * 6 / 10)]).await;
    watcher.until("60 percent", |heard| received(heard, DOCUMENT * 6 / 10 - UNDER_WAY)).await;
    (client, watcher)
}

/// Something when so many bytes of the document have come to the server.
fn received(heard: &[Heard], wanted: usize) -> Option<()> {
    let is_there = |m: &FileMessage| m.file_type == FileType::DocsFile && m.received >= wanted as u64;
    heard.iter().any(|heard| is_there(&heard.message)).then_some(())
}

/// curl, which prints each event as it comes.
struct Events {
    curl: Child,
    lines: mpsc::UnboundedReceiver<String>,
}

impl Events {
    /// Open when the answer's head is there.
    async fn open(url: &str) -> Self {
        let mut curl = Command::new("curl");
        curl.args(["-q", "-sN", "-D", "-", url]).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut curl = curl.spawn().expect("curl runs");
        let stdout = BufReader::new(curl.stdout.take().unwrap());
        let (line, lines) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            for said in stdout.lines().map_while(Result::ok) {
                let _ = line.send(said);
            }
        });
        let mut events = Self { curl, lines };
        assert!(events.line().await.contains(" 200"));
        while !events.line().await.is_empty() {}
        events
    }

    async fn next(&mut self) -> FileMessage {
        loop {
            if let Some(data) = self.line().await.strip_prefix("data:") {
                return serde_json::from_str(data).unwrap();
            }
        }
    }

    async fn line(&mut self) -> String {
        let line = tokio::time::timeout(PATIENCE, self.lines.recv()).await;
        line.expect("an event in time").expect("events go on")
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        let _ = (self.curl.kill(), self.curl.wait());
    }
}
