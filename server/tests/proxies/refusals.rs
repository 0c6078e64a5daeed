//! Refusals in the middle of a body: each proxy passes the server's own answer on.

use std::process::Command;

use app::wire::FileType::DocsFile;
use app::wire::Problem;

use crate::behind;
use crate::support::client::{Answer, Form, RawConnection};
use crate::support::fixture::Dir;
use crate::support::reverse_proxy::Kind;
use crate::support::sample::{self, KIB, MIB};
use crate::support::socket::Watcher;

behind_each_proxy! {
    a_refusal_reaches_a_client_that_has_stopped_in_the_middle;
    a_refusal_reaches_a_client_that_sends_on;
    a_refusal_over_https;
}

/// How often what a race could decide is tried.
const TIMES: usize = 4;

/// What is refused by its first bytes, and what by its 25 MiB and one.
fn refused() -> [(Form, u16, &'static str); 2] {
    [
        (Form::document(&sample::png(20 * MIB)), 415, "wrong_field_type"),
        (Form::document(&sample::pdf(30 * MIB)).without_sizes(), 413, "too_large"),
    ]
}

async fn a_refusal_reaches_a_client_that_has_stopped_in_the_middle(kind: Kind) {
    let (fixture, proxy) = behind(kind).await;
    for (form, status, code) in refused() {
        let id = format!("refused-{status}");
        let mut watcher = Watcher::new(proxy.plain, &id).await;
        let form = form.client_id(&id);
        let body = form.body();
        let until = form.offset(0, if status == 415 { MIB } else { 26 * MIB });
        let mut client = RawConnection::connect(proxy.plain).await;
        client.write(&form.head(body.len())).await;
        // Whoever reads no more may have closed.
        let _ = client.try_write(&body[..until]).await;
        assert_eq!(watcher.terminal(DocsFile).await.code.as_deref(), Some(code), "the socket tells at once");
        answer_of(kind, &mut client, &body[until..]).await.problem(status, code);
        watcher.close().await;
    }
    drop(proxy);
    fixture.finish().await;
}

/// The answer to a client that has not sent these bytes of its body yet. A server written in Go, as Caddy is, answers
/// HTTP/1.1 only after its read of the body has ended: with the next bytes.
pub async fn answer_of(kind: Kind, client: &mut RawConnection, unsent: &[u8]) -> Answer {
    if kind == Kind::Caddy {
        let _ = client.try_write(&unsent[..KIB]).await;
    }
    client.answer().await
}

/// At full speed: neither 502 nor reset.
async fn a_refusal_reaches_a_client_that_sends_on(kind: Kind) {
    let (fixture, proxy) = behind(kind).await;
    for (form, status, code) in refused() {
        for _ in 0..TIMES {
            form.post(proxy.plain).await.problem(status, code);
        }
    }
    drop(proxy);
    fixture.finish().await;
}

/// By curl, which reads between two writes, over HTTP/1.1 and HTTP/2. Caddy's answer may be cut short there, by a Go
/// that closes what it has not read; then the socket still tells.
async fn a_refusal_over_https(kind: Kind) {
    let (fixture, proxy) = behind(kind).await;
    let dir = Dir::new();
    let file = dir.path.join("a.pdf");
    std::fs::write(&file, sample::png(20 * MIB)).unwrap();
    for (at, version) in ["--http1.1", "--http2"].repeat(TIMES).into_iter().enumerate() {
        let id = format!("refused-{at}");
        let mut watcher = Watcher::new(proxy.plain, &id).await;
        let mut curl = Command::new("curl");
        curl.args(["-q", "-sSk", version, "-H", &format!("X-Client-Id: {id}"), "-F"]);
        curl.arg(format!("docs_field=@{}", file.display())).arg(format!("https://{}/upload", proxy.secure));
        let said = tokio::task::spawn_blocking(move || curl.output().expect("curl runs")).await.unwrap();
        let problem = serde_json::from_slice::<Problem>(&said.stdout).map(|problem| problem.code);
        let is_cut = kind == Kind::Caddy && !said.status.success();
        assert!(is_cut || problem.is_ok_and(|code| code == "wrong_field_type"), "{version}: {said:?}");
        assert_eq!(watcher.terminal(DocsFile).await.code.as_deref(), Some("wrong_field_type"));
        watcher.close().await;
    }
    drop(proxy);
    fixture.finish().await;
}
