//! Tries the cases of a table on one server: what each is answered, what comes of the request behind it, what is left.

use std::time::Duration;

use app::wire::{DOCUMENT_FIELD, Outcome as FileEnd, Problem, UploadAnswer};

use super::rows::{Outcome, Row, Said};
use crate::support::bucket::Object;
use crate::support::client::{Answer, conversation, exchange};
use crate::support::fixture::Fixture;
use crate::support::sample;

/// The document of every form, in bytes: sizes.txt counts on it.
const CONTENT: usize = 10_240;
/// What asks for a socket.
const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";

/// A server that many requests are tried on.
pub struct Bench {
    pub fixture: Fixture,
    content: Vec<u8>,
}

impl Bench {
    pub async fn start() -> Self {
        let setup = Fixture::setup().config(|config| {
            // How long the server waits for a body that was promised and never comes,
            config.clocks.drain = Duration::from_millis(200);
            // and for a next request, where the canary was taken for the end of the last one.
            config.clocks.request_head = Duration::from_secs(2);
        });
        Self { fixture: setup.start().await, content: sample::pdf(CONTENT) }
    }

    /// A form of one part with that header, the document in it.
    pub fn form(&self, header: &[u8], boundary: &[u8]) -> Vec<u8> {
        let head = [b"--", boundary, b"\r\n", header, b"\r\n\r\n"].concat();
        [&head, &self.content[..], b"\r\n--", boundary, b"--\r\n"].concat()
    }

    /// Tries every case, one after the other so that what is left is known to be its own; returns what was stored.
    pub async fn run(&self, rows: Vec<Row>, request: impl Fn(&Row) -> Vec<u8>) -> Vec<(Row, Object)> {
        let (mut stored, mut broken) = (Vec::new(), Vec::new());
        for row in rows {
            println!("{}", row.name);
            let canary = format!("GET /canary-{} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", row.name);
            let sent = [request(&row), canary.into_bytes()].concat();
            let answers = conversation(self.fixture.server, &sent).await;
            match seen(&answers) {
                Ok(seen) if row.outcome.holds(&seen) => {}
                Ok(seen) => broken.push(format!("{}: {} promised, {seen} seen", row.name, row.outcome)),
                Err(error) => broken.push(format!("{}: {error}", row.name)),
            }
            if let Some(object) = self.take(answers.first()).await {
                stored.push((row.clone(), object));
            }
            let left = self.fixture.bucket.keys().await;
            assert!(left.is_empty(), "{} leaves {left:?}", row.name);
        }
        assert!(broken.is_empty(), "{} cases:\n{}", broken.len(), broken.join("\n"));
        stored
    }

    /// Accounts for the file that an answer calls stored.
    async fn take(&self, answer: Option<&Answer>) -> Option<Object> {
        let answer = answer.filter(|answer| said(answer) == Said::Stored)?;
        let file = answer.stored_one();
        let key = file.key.as_deref().unwrap_or_default();
        let random =
            key.strip_prefix("supporting_documents/docs_file").and_then(|rest| rest.strip_suffix(".pdf"));
        let is_random = |text: &str| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        assert!(random.is_some_and(is_random), "nothing of the client's in a key: {key}");
        Some(self.fixture.take_stored(&file, &self.content).await)
    }

    /// Asks for the events of whoever `query` names, wherever that can be asked.
    pub async fn watch(&self, row: &Row, query: &[u8]) {
        println!("{}", row.name);
        let is_good = row.outcome.is_good();
        for (path, upgrade) in [("/ws", UPGRADE), ("/", UPGRADE), ("/events", "")] {
            // Events go on for ever; that they come is another test's.
            if is_good && path == "/events" {
                continue;
            }
            let head = format!(" HTTP/1.1\r\nHost: brigade.test\r\n{upgrade}\r\n");
            let request = [b"GET ", path.as_bytes(), b"?", query, head.as_bytes()].concat();
            let answer = exchange(self.fixture.server, &request).await;
            let status = if is_good { 101 } else { row.outcome.status };
            let seen = (answer.status, said(&answer));
            let promised = if is_good { Said::Bare } else { row.outcome.said.clone() };
            assert_eq!(seen, (status, promised), "{} at {path}", row.name);
        }
    }

    pub async fn finish(self) {
        self.fixture.nothing_stored().await;
        self.fixture.normal_upload_passes().await;
        self.fixture.finish().await;
    }
}

/// What the answers to a request and to the canary behind it say.
fn seen(answers: &[Answer]) -> Result<Outcome, String> {
    let goes_on = match answers {
        [_] => false,
        [_, canary] if canary.status == 404 => true,
        [] => return Ok(Outcome::CLOSED),
        [_, others @ ..] => {
            let statuses: Vec<u16> = others.iter().map(|answer| answer.status).collect();
            return Err(format!("answers to requests that nobody sent: {statuses:?}"));
        }
    };
    Ok(Outcome { status: answers[0].status, said: said(&answers[0]), goes_on })
}

fn said(answer: &Answer) -> Said {
    match answer.header("content-type") {
        None if answer.body.is_empty() => Said::Bare,
        Some("application/problem+json") => {
            let problem: Problem = answer.json();
            let problem = answer.problem(answer.status, &problem.code);
            let none_stored = problem.files.iter().all(|file| file.outcome != FileEnd::Stored);
            assert!(none_stored, "a file is stored: {problem:?}");
            Said::Code(problem.code)
        }
        Some(_) if answer.status == 200 => match serde_json::from_slice::<UploadAnswer>(&answer.body) {
            Ok(answer) if answer.files.iter().any(|file| file.field == DOCUMENT_FIELD) => Said::Stored,
            _ => Said::Other,
        },
        _ => Said::Other,
    }
}

#[test]
fn what_answers_to_a_case_and_its_canary_mean() {
    let answer = |status, kind: Option<&str>, body: &str| Answer {
        status,
        headers: kind.map(|kind| ("Content-Type".to_owned(), kind.to_owned())).into_iter().collect(),
        body: body.as_bytes().to_vec(),
    };
    let bare = || answer(400, None, "");
    let canary = || answer(404, Some("application/problem+json"), "{}");
    let other = || answer(200, Some("application/json"), r#"{"status":"ok"}"#);
    let outcome = |status, said, goes_on| Ok(Outcome { status, said, goes_on });
    assert_eq!(seen(&[]), Ok(Outcome::CLOSED));
    assert_eq!(seen(&[bare()]), outcome(400, Said::Bare, false));
    assert_eq!(seen(&[other(), canary()]), outcome(200, Said::Other, true));
    assert!(seen(&[bare(), other()]).is_err(), "a request was found in the first one's bytes");
    assert!(seen(&[bare(), canary(), canary()]).is_err());
}
