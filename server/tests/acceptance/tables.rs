//! Tables of requests (tests/data): what is refused and how, and the odd ones that must be stored all the same.
//!
//! Behind each request a canary is sent. It tells where the server thinks that the request ends.

mod bench;
mod rows;

use std::collections::HashSet;

use app::wire::FileType::DocsFile;

use crate::support::client::RawConnection;
use crate::support::socket::Watcher;
use bench::Bench;
use rows::Row;

const TABLES: [(&str, &str); 8] = [
    ("sizes.txt", include_str!("../data/sizes.txt")),
    ("part_headers.txt", include_str!("../data/part_headers.txt")),
    ("boundaries.txt", include_str!("../data/boundaries.txt")),
    ("file_names.txt", include_str!("../data/file_names.txt")),
    ("client_ids.txt", include_str!("../data/client_ids.txt")),
    ("queries.txt", include_str!("../data/queries.txt")),
    ("chunks.txt", include_str!("../data/chunks.txt")),
    ("request_heads.txt", include_str!("../data/request_heads.txt")),
];

/// The header line of the form's part, without its end: `{file}` in part_headers.txt.
const FILE: &str = "Content-Disposition: form-data; name=\"docs_field\"; filename=\"a.pdf\"";
/// `{post}` in request_heads.txt.
const POST: &str =
    "POST /upload HTTP/1.1\r\nHost: brigade.test\r\nContent-Type: multipart/form-data; boundary=B\r\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b02_b07_size_headers() {
    let bench = Bench::start().await;
    let form = bench.form(FILE.as_bytes(), b"B");
    bench.run(rows_of("sizes.txt"), |row| post(&[b"X-Docs-Filesize: ", &row.bytes(0, &[])], &form)).await;
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a05_c16_part_headers() {
    let bench = Bench::start().await;
    let words = [("file", FILE.as_bytes().to_vec())];
    bench.run(rows_of("part_headers.txt"), |row| post(&[], &bench.form(&row.bytes(0, &words), b"B"))).await;
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a01_a02_boundaries() {
    let bench = Bench::start().await;
    let request = |row: &Row| {
        let form = bench.form(FILE.as_bytes(), &row.bytes(1, &[]));
        let head =
            format!("POST /upload HTTP/1.1\r\nHost: brigade.test\r\nContent-Length: {}\r\n", form.len());
        [head.as_bytes(), b"Content-Type: ", &row.bytes(0, &[]), b"\r\n\r\n", &form].concat()
    };
    bench.run(rows_of("boundaries.txt"), request).await;
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c13_c14_c15_file_names() {
    let bench = Bench::start().await;
    let head: &[u8] = b"Content-Disposition: form-data; name=\"docs_field\"; filename=\"";
    let request = |row: &Row| post(&[], &bench.form(&[head, &row.bytes(0, &[]), b"\""].concat(), b"B"));
    let stored = bench.run(rows_of("file_names.txt"), request).await;
    for (row, object) in stored {
        let wanted = String::from_utf8(row.bytes(1, &[])).unwrap();
        let disposition = object.content_disposition.unwrap_or_default();
        assert_eq!(shown_name(&disposition), Some(wanted), "{}: {disposition}", row.name);
    }
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f02_client_ids_of_uploads() {
    let bench = Bench::start().await;
    let form = bench.form(FILE.as_bytes(), b"B");
    let rows = rows_of("client_ids.txt").into_iter().map(|row| row.or_outcome_of(1)).collect();
    bench.run(rows, |row| post(&[b"X-Client-Id: ", &row.bytes(0, &[])], &form)).await;
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f02_client_ids_of_watchers() {
    let bench = Bench::start().await;
    for row in rows_of("client_ids.txt") {
        let query = [&b"client_id="[..], &percent_encoded(&row.bytes(0, &[]))].concat();
        bench.watch(&row, &query).await;
    }
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f01_f02_queries() {
    let bench = Bench::start().await;
    for row in rows_of("queries.txt") {
        bench.watch(&row, &row.bytes(0, &[])).await;
    }
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a14_chunk_framing() {
    let bench = Bench::start().await;
    let form = bench.form(FILE.as_bytes(), b"B");
    let (half1, half2) = form.split_at(form.len() / 2);
    let hex = |bytes: &[u8]| format!("{:x}", bytes.len()).into_bytes();
    let words = [
        ("form", form.clone()),
        ("half1", half1.to_vec()),
        ("half2", half2.to_vec()),
        ("hex", hex(&form)),
        ("hex1", hex(half1)),
        ("hex2", hex(half2)),
        ("HEX", hex(&form).to_ascii_uppercase()),
    ];
    let request =
        |row: &Row| [POST.as_bytes(), b"Transfer-Encoding: chunked\r\n\r\n", &row.bytes(0, &words)].concat();
    bench.run(rows_of("chunks.txt"), request).await;
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a15_a16_request_heads() {
    let bench = Bench::start().await;
    let form = bench.form(FILE.as_bytes(), b"B");
    let size = format!("{:x}\r\n", form.len());
    let words = [
        ("post", POST.as_bytes().to_vec()),
        ("length", form.len().to_string().into_bytes()),
        ("chunked", [size.as_bytes(), &form, b"\r\n0\r\n\r\n"].concat()),
        ("form", form),
    ];
    bench.run(rows_of("request_heads.txt"), |row| row.bytes(0, &words)).await;
    bench.finish().await;
}

/// The client is gone before the last chunk: there is nobody to answer, its watchers are told, and nothing is stored.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a14_the_last_chunk_never_comes() {
    let bench = Bench::start().await;
    let server = bench.fixture.server;
    let form = bench.form(FILE.as_bytes(), b"B");
    let half = &form[..form.len() / 2];
    for (number, end) in ["", "\r\n", "\r\n5", "\r\n5\r\nab", "\r\n0\r\n"].into_iter().enumerate() {
        let id = format!("breaks-off-{number}");
        let mut watcher = Watcher::new(server, &id).await;
        let more = format!("X-Client-Id: {id}\r\nX-Docs-Filesize: 10000\r\n");
        let head = format!("{POST}{more}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n", half.len());
        let mut client = RawConnection::connect(server).await;
        client.write(&[head.as_bytes(), half, end.as_bytes()].concat()).await;
        client.finish();
        assert_eq!(watcher.terminal(DocsFile).await.code.as_deref(), Some("client_gone"), "{end:?}");
    }
    bench.finish().await;
}

/// The tables hold what they are for: many cases, every one another.
#[test]
fn tables_have_600_bad_requests() {
    let (mut names, mut bad_in_all) = (HashSet::new(), 0);
    for (table, text) in TABLES {
        let rows = Row::all(text);
        let bad = rows.iter().filter(|row| !row.outcome.is_good()).count();
        println!("{table}: {bad} bad, {} good", rows.len() - bad);
        bad_in_all += bad;
        let mut contents = HashSet::new();
        for row in rows {
            assert!(contents.insert(row.columns()), "{table}: {} is there under another name", row.name);
            assert!(row.outcome.status < 500, "{table}: {}", row.name);
            assert!(names.insert(row.name.clone()), "{table}: {} is there twice", row.name);
        }
    }
    println!("in all: {bad_in_all} bad, {} good", names.len() - bad_in_all);
    assert!(bad_in_all >= 600, "{bad_in_all}");
}

fn rows_of(table: &str) -> Vec<Row> {
    let (_, text) = TABLES.iter().find(|(name, _)| *name == table).expect("a table of that name");
    Row::all(text)
}

/// `POST /upload` of a form with one more header line.
fn post(header: &[&[u8]], form: &[u8]) -> Vec<u8> {
    let line_end: &[u8] = if header.is_empty() { b"" } else { b"\r\n" };
    let length = format!("Content-Length: {}\r\n\r\n", form.len());
    [POST.as_bytes(), &header.concat(), line_end, length.as_bytes(), form].concat()
}

/// The name that a Content-Disposition shows, if nothing is in it but what RFC 6266 and RFC 8187 allow.
fn shown_name(disposition: &str) -> Option<String> {
    let Some(rest) = disposition.strip_prefix("attachment; filename=\"") else {
        return (disposition == "attachment").then(String::new);
    };
    let (ascii, rest) = rest.split_once('"')?;
    if !ascii.bytes().all(|byte| matches!(byte, b' '..=b'~') && !b"\"\\%/".contains(&byte)) {
        return None;
    }
    if rest.is_empty() {
        return Some(ascii.to_owned());
    }
    let mut bytes = Vec::new();
    let mut rest = rest.strip_prefix("; filename*=UTF-8''")?.as_bytes();
    while let [first, after @ ..] = rest {
        rest = match (first, after) {
            (b'%', [high, low, after @ ..]) => {
                let digits = [*high, *low];
                bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
                after
            }
            (byte, after) if byte.is_ascii_alphanumeric() || b"!#$&+-.^_`|~".contains(byte) => {
                bytes.push(*byte);
                after
            }
            _ => return None,
        };
    }
    String::from_utf8(bytes).ok()
}

fn percent_encoded(bytes: &[u8]) -> Vec<u8> {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_".contains(byte);
    let mut text = Vec::new();
    for byte in bytes {
        if is_plain(byte) {
            text.push(*byte);
        } else {
            text.extend(format!("%{byte:02X}").into_bytes());
        }
    }
    text
}

#[test]
fn a_shown_name_is_clean_or_none() {
    for (disposition, name) in [
        ("attachment", Some("")),
        ("attachment; filename=\"a b;c.pdf\"", Some("a b;c.pdf")),
        ("attachment; filename=\"_.pdf\"; filename*=UTF-8''%E2%82%AC.pdf", Some("€.pdf")),
        ("inline; filename=\"a.pdf\"", None),
        ("attachment; filename=\"a/b\"", None),
        ("attachment; filename=\"a\rb\"", None),
        ("attachment; filename=\"ä\"", None),
        ("attachment; filename=\"a\"; filename*=UTF-8''a b", None),
        ("attachment; filename=\"a\"; filename*=UTF-8''%ff", None),
        ("attachment; filename=\"a\"; b=c", None),
    ] {
        assert_eq!(shown_name(disposition).as_deref(), name, "{disposition}");
    }
}
