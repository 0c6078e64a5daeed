//! What a client writes into names and headers does not write the log.

use std::net::SocketAddr;

use app::wire::DOCUMENT_FIELD;
use app::wire::FileType::DocsFile;

use crate::after::normal_upload;
use crate::support::child::Child;
use crate::support::client::{Form, RawConnection, get, head};
use crate::support::fixture::Dir;
use crate::support::log::keep_secret;
use crate::support::sample::{self, KIB, MIB};
use crate::support::store::{Op, ScriptedStore};

/// In every hostile text: it must not be in the log.
const MARK: &str = "written-by-a-client";

/// Line ends, escapes that colour, clear and retitle a terminal, as they are and encoded.
const HOSTILE: [&str; 6] = [
    "\r\n2026-01-01T00:00:00Z ERROR all is lost",
    "\n{\"level\":\"ERROR\"}",
    "\x1b[31mred\x1b[0m",
    "\x1b]0;title\x07\x1b[2J",
    "\u{9b}31m\u{202e}\u{2028}",
    "%0d%0aERROR%1b[31m",
];

/// Both formats, with all that the server has to say.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g14_names_and_headers_do_not_write_the_log() {
    keep_secret(MARK);
    for format in ["text", "json"] {
        let everything = "info,server=trace,s3s=off,aws_config=warn,aws_smithy_runtime=warn";
        let server =
            Child::setup().flags(&["--log-format", format]).env("RUST_LOG", everything).start().await;
        let mut uploads = 0;
        for text in HOSTILE {
            uploads += hostile_names(server.address, text).await;
            hostile_requests(server.address, text).await;
        }
        normal_upload(server.address).await;
        server.signal(rustix::process::Signal::TERM);
        let ended = server.ended().await;
        assert!(ended.status.success());
        assert_is_plain(&ended.log, format);
        let told = ended.log.lines().filter(|line| line.contains("upload ended")).count();
        assert_eq!(told, uploads + 1, "one line each:\n{}", ended.log);
    }
}

/// What a store says is not ours either; it goes into the log, escaped.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g14_a_store_does_not_write_the_log() {
    let stored = Dir::new();
    let store = ScriptedStore::start(&stored.path.join("store")).await;
    let words = "two&#13;&#10;2026-01-01T00:00:00Z ERROR lines\n\u{9b}31m";
    let error = format!("<Error><Code>Some{words}</Code><Message>{words}</Message></Error>");
    store.on(Op::Put).answers(400, &error);
    for format in ["text", "json"] {
        let server = Child::setup().flags(&["--log-format", format]).storing_at(store.addr).start().await;
        let answer = Form::document(&sample::pdf(100 * KIB)).post(server.address).await;
        answer.problem(502, "storage_rejected");
        server.signal(rustix::process::Signal::TERM);
        let ended = server.ended().await;
        assert!(ended.log.contains("PutObject"), "the call is told:\n{}", ended.log);
        assert_is_plain(&ended.log, format);
    }
}

/// Uploads whose file has such a name; returns how many there were.
async fn hostile_names(server: SocketAddr, text: &str) -> usize {
    let content = sample::pdf(10 * KIB);
    let long = format!("{MARK}{}", text.repeat(MIB / text.len()));
    let heads = [
        format!("filename=\"{MARK}{text}.pdf\""),
        format!("filename=\"a.pdf\"; filename*=UTF-8''{MARK}{text}.pdf"),
        format!("filename=\"{long}.pdf\""),
    ];
    for name in &heads {
        let part = format!(
            "Content-Disposition: form-data; name=\"{DOCUMENT_FIELD}\"; {name}\r\nContent-Type: {text}{MARK}\r\n"
        );
        let form = Form::new().part(&part, &content).size(DocsFile, content.len());
        let answer = form.post(server).await;
        assert!([200, 400].contains(&answer.status), "{name:.80?}: {} {}", answer.status, answer.text());
    }
    heads.len()
}

/// Requests with such a text in their line and in their headers: refused by the parser, or not told.
async fn hostile_requests(server: SocketAddr, text: &str) {
    let header = |name: &str, value: String| (name.to_owned(), value);
    let long = format!("{MARK}{}", text.repeat(MIB / text.len()));
    for value in [format!("{MARK}{text}"), long] {
        for name in ["User-Agent", "X-Client-Id", "Origin", "Cookie", "X-Forwarded-For"] {
            let request = head("GET", "/ws?client_id=somebody", &[header(name, value.clone())]);
            exchange_whatever(server, &request).await;
        }
        exchange_whatever(server, &head("GET", &format!("/uploads/{value}"), &[])).await;
        exchange_whatever(server, &head("GET", &format!("/ws?client_id={value}"), &[])).await;
    }
    assert_eq!(get(server, "/healthz").await.status, 200);
}

/// The server may close before it has read everything.
async fn exchange_whatever(server: SocketAddr, request: &[u8]) {
    let mut connection = RawConnection::connect(server).await;
    if connection.try_write(request).await.is_ok() {
        connection.finish();
        connection.answer_or_close().await;
    }
}

/// Every line is one of the logger's own, and has no control character.
fn assert_is_plain(log: &str, format: &str) {
    for line in log.lines() {
        let is_ours = match format {
            "json" => serde_json::from_str::<serde_json::Value>(line).is_ok_and(|line| line.is_object()),
            // 2026-01-01T00:00:00.000000Z  INFO server: ...
            _ => line.get(26..27) == Some("Z") && line.contains(" server") | line.contains("bucket_brigade"),
        };
        assert!(is_ours, "{line:?} in\n{log}");
        // JSON itself escapes those of ASCII; whoever reads it otherwise is no terminal.
        let is_raw = |c: char| if format == "json" { c.is_ascii_control() } else { c.is_control() };
        assert!(!line.contains(is_raw), "{line:?}");
    }
}

/// One line says all of an upload, and what else is told of it has its id.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_is_one_line_with_all_figures() {
    let stored = Dir::new();
    let store = ScriptedStore::start(&stored.path.join("store")).await;
    store.on(Op::UploadPart).part(2).first(1).fails(503, "SlowDown");
    let server = Child::setup().flags(&["--log-format", "json"]).storing_at(store.addr).start().await;
    let (document, image) = (sample::pdf(12 * MIB), sample::jpeg(20 * KIB));
    let answer = Form::both(&document, &image).post(server.address).await.stored();
    server.signal(rustix::process::Signal::TERM);
    let log = server.ended().await.log;
    let lines = log.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let of_upload: Vec<_> = lines.filter(|line| !line["span"]["upload.id"].is_null()).collect();
    let id = &answer.upload_id[..8];
    assert!(of_upload.iter().all(|line| line["span"]["upload.id"] == id), "{log}");
    let retried: Vec<_> = of_upload.iter().filter(|line| line["s3.operation"] == "UploadPart").collect();
    assert_eq!(retried.len(), 1, "the failed part is told with the upload's id:\n{log}");
    let ended: Vec<_> = of_upload.iter().filter(|line| line["message"] == "upload ended").collect();
    let [line] = ended.as_slice() else { panic!("one line:\n{log}") };
    assert_eq!((&line["upload.id"], &line["upload.code"]), (&id.into(), &"stored".into()));
    for (file, size, parts, retries) in [("document", document.len(), 3, 1), ("image", image.len(), 1, 0)] {
        let field = |name: &str| &line[format!("{file}.{name}")];
        assert_eq!(field("outcome"), "stored");
        assert_eq!(field("received.bytes"), size);
        assert_eq!((field("stored.parts"), field("retries")), (&parts.into(), &retries.into()));
        let ms = |name| field(name).as_u64().unwrap_or_else(|| panic!("{name} in {line}"));
        assert!(ms("received.ms") <= ms("stored.ms"), "{line}");
    }
}
