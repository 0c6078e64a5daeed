//! The store connection against raw TCP peers: what it counts, reuses, replaces and closes.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aws_sdk_s3::config::{
    BehaviorVersion, Credentials, Region, RequestChecksumCalculation, retry::RetryConfig,
};
use aws_sdk_s3::primitives::ByteStream;
use aws_smithy_runtime_api::client::http::HttpConnector as _;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use server::connector::{Connector, WireCounter};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

const FRAME: usize = 16 * 1024;
/// Furthest the count may move at once.
const STEP: u64 = 32 * 1024;
const EMPTY_OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
/// Longest that a test waits for something that must come.
const PATIENCE: Duration = Duration::from_secs(10);

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// A request's head as text and its body, by Content-Length.
async fn read_request(peer: &mut TcpStream) -> io::Result<(String, Vec<u8>)> {
    let mut seen = Vec::new();
    let head_len = loop {
        if let Some(at) = seen.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        if peer.read_buf(&mut seen).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    };
    let head = String::from_utf8(seen[..head_len].to_vec()).unwrap();
    let length = header(&head, "content-length").map_or(0, |value| value.parse().unwrap());
    while seen.len() < head_len + length {
        if peer.read_buf(&mut seen).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok((head, seen.split_off(head_len)))
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
}

/// A store that answers every request of every connection; yields the bodies, one list a connection.
fn obliging(listener: TcpListener, connections: usize, requests: usize) -> JoinHandle<Vec<Vec<Vec<u8>>>> {
    tokio::spawn(async move {
        let mut seen = Vec::new();
        for _ in 0..connections {
            let (mut peer, _) = listener.accept().await.unwrap();
            let mut bodies = Vec::new();
            for _ in 0..requests {
                bodies.push(read_request(&mut peer).await.unwrap().1);
                peer.write_all(EMPTY_OK.as_bytes()).await.unwrap();
            }
            seen.push(bodies);
        }
        seen
    })
}

fn counter() -> (WireCounter, Arc<Mutex<Vec<u64>>>) {
    let totals = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&totals);
    (WireCounter::new(move |total| told.lock().unwrap().push(total)), totals)
}

fn pattern(len: usize) -> Bytes {
    (0..len).map(|at| (at % 251) as u8).collect()
}

/// `bytes` in frames of 16 KiB.
fn streamed(bytes: Bytes) -> SdkBody {
    let frames: Vec<_> = (0..bytes.len()).step_by(FRAME).collect();
    let frames = frames.into_iter().map(move |at| bytes.slice(at..bytes.len().min(at + FRAME)));
    SdkBody::from_body_1_x(StreamBody::new(stream::iter(
        frames.map(|bytes| Ok::<_, io::Error>(Frame::data(bytes))),
    )))
}

fn request(method: &str, address: SocketAddr, length: usize, body: SdkBody) -> HttpRequest {
    let mut request = HttpRequest::new(body);
    request.set_method(method).unwrap();
    request.set_uri(format!("http://{address}/bucket/key?partNumber=1")).unwrap();
    request.headers_mut().insert("content-length", length.to_string());
    request
}

fn put(address: SocketAddr, bytes: &Bytes, counter: &WireCounter) -> HttpRequest {
    let mut request = request("PUT", address, bytes.len(), streamed(bytes.clone()));
    request.add_extension(counter.clone());
    request
}

/// Sends and reads the answer to its end.
async fn send(connector: &Connector, request: HttpRequest) -> Result<u16, ConnectorError> {
    let answer: HttpResponse = connector.call(request).await?;
    let status = answer.status().as_u16();
    answer.into_body().collect().await.unwrap();
    Ok(status)
}

async fn until(mut holds: impl FnMut() -> bool) {
    tokio::time::timeout(PATIENCE, async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("it did not come");
}

async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it did not end")
}

#[tokio::test]
async fn a_streamed_body_is_counted_to_the_byte() {
    let (listener, address) = listen().await;
    let store = obliging(listener, 1, 1);
    let bytes = pattern(1_000_003);
    let (counter, totals) = counter();
    assert_eq!(send(&Connector::new(), put(address, &bytes, &counter)).await.unwrap(), 200);
    assert!(store.await.unwrap()[0][0] == bytes, "the body arrived changed");
    let totals = totals.lock().unwrap();
    assert!(totals.is_sorted_by(|a, b| a < b), "only growth is told");
    assert_eq!(totals.last(), Some(&1_000_003));
    assert!(totals.len() >= 20, "told in {} steps", totals.len());
}

#[tokio::test]
async fn one_large_frame_is_counted_in_small_steps() {
    let (listener, address) = listen().await;
    let store = obliging(listener, 1, 1);
    let bytes = pattern(3_000_000);
    let (counter, totals) = counter();
    let mut request = request("PUT", address, bytes.len(), SdkBody::from(bytes.clone()));
    request.add_extension(counter);
    assert_eq!(send(&Connector::new(), request).await.unwrap(), 200);
    assert!(store.await.unwrap()[0][0] == bytes, "the body arrived changed");
    let totals = totals.lock().unwrap();
    assert_eq!(totals.last(), Some(&3_000_000));
    assert!(totals.windows(2).all(|two| two[1] - two[0] <= STEP));
}

#[tokio::test]
async fn the_second_request_takes_the_same_connection_and_counts_from_zero() {
    let (listener, address) = listen().await;
    let store = obliging(listener, 1, 3);
    let connector = Connector::new();
    for len in [100_000, 50_000, 70_000] {
        let (counter, totals) = counter();
        send(&connector, put(address, &pattern(len), &counter)).await.unwrap();
        assert_eq!(totals.lock().unwrap().last(), Some(&(len as u64)));
        until(|| connector.idle_connections() == 1 || store.is_finished()).await;
    }
    let lens: Vec<_> = store.await.unwrap()[0].iter().map(Vec::len).collect();
    assert_eq!(lens, [100_000, 50_000, 70_000]);
    until(|| connector.open_connections() == 0).await;
}

#[tokio::test]
async fn requests_at_once_have_a_connection_each() {
    let (listener, address) = listen().await;
    let connector = Connector::new();
    let both = Arc::new(tokio::sync::Barrier::new(2));
    let store = tokio::spawn(async move {
        let mut peers = Vec::new();
        for _ in 0..2 {
            let (mut peer, _) = listener.accept().await.unwrap();
            let both = Arc::clone(&both);
            peers.push(tokio::spawn(async move {
                let (_, body) = read_request(&mut peer).await.unwrap();
                both.wait().await;
                peer.write_all(EMPTY_OK.as_bytes()).await.unwrap();
                (body.len(), peer)
            }));
        }
        let mut lens = Vec::new();
        for peer in peers {
            lens.push(peer.await.unwrap());
        }
        lens
    });
    let ((one, ones), (two, twos)) = (counter(), counter());
    let (bytes_one, bytes_two) = (pattern(40_000), pattern(90_000));
    let sent = tokio::join!(
        send(&connector, put(address, &bytes_one, &one)),
        send(&connector, put(address, &bytes_two, &two))
    );
    assert_eq!((sent.0.unwrap(), sent.1.unwrap()), (200, 200));
    assert_eq!(ones.lock().unwrap().last(), Some(&40_000));
    assert_eq!(twos.lock().unwrap().last(), Some(&90_000));
    let _peers = store.await.unwrap();
    until(|| connector.idle_connections() == 2).await;
}

#[tokio::test]
async fn an_idle_connection_that_was_cut_is_replaced() {
    let (listener, address) = listen().await;
    let store = obliging(listener, 2, 1);
    let connector = Connector::new();
    for _ in 0..2 {
        let (counter, totals) = counter();
        let status = send(&connector, put(address, &pattern(30_000), &counter)).await.unwrap();
        assert_eq!((status, totals.lock().unwrap().last()), (200, Some(&30_000)));
    }
    assert_eq!(store.await.unwrap().len(), 2);
}

/// The store's cut crosses the request on the wire: it is read, and never answered.
async fn cut_in_passing(method: &str) -> (Result<u16, ConnectorError>, Vec<u64>) {
    let (listener, address) = listen().await;
    let store = tokio::spawn(async move {
        let (mut peer, _) = listener.accept().await.unwrap();
        read_request(&mut peer).await.unwrap();
        peer.write_all(EMPTY_OK.as_bytes()).await.unwrap();
        read_request(&mut peer).await.unwrap();
        drop(peer);
        let (mut peer, _) = listener.accept().await.unwrap();
        let (_, body) = read_request(&mut peer).await.unwrap();
        peer.write_all(EMPTY_OK.as_bytes()).await.unwrap();
        body.len()
    });
    let connector = Connector::new();
    let (counter, totals) = counter();
    let bytes = pattern(60_000);
    send(&connector, put(address, &bytes, &WireCounter::new(|_| ()))).await.unwrap();
    until(|| connector.idle_connections() == 1).await;
    let mut request = request(method, address, bytes.len(), SdkBody::from(bytes));
    request.add_extension(counter);
    let sent = send(&connector, request).await;
    if sent.is_ok() {
        assert_eq!(store.await.unwrap(), 60_000);
    } else {
        store.abort();
    }
    let totals = totals.lock().unwrap().clone();
    (sent, totals)
}

#[tokio::test]
async fn a_cut_in_passing_does_not_fail_what_can_be_sent_twice() {
    let (sent, totals) = in_time(cut_in_passing("PUT")).await;
    assert_eq!(sent.unwrap(), 200);
    assert!(totals.is_sorted_by(|a, b| a < b), "the second try must not take the count back");
    assert_eq!(totals.last(), Some(&60_000));
}

#[tokio::test]
async fn a_cut_in_passing_never_repeats_a_post() {
    let (sent, _) = in_time(cut_in_passing("POST")).await;
    assert!(sent.unwrap_err().is_io());
}

#[tokio::test]
async fn a_dropped_request_closes_its_connection() {
    let (listener, address) = listen().await;
    let connector = Connector::new();
    let bytes = pattern(32 << 20);
    let (counter, totals) = counter();
    let call = tokio::spawn(connector.call(put(address, &bytes, &counter)));
    let (mut peer, _) = listener.accept().await.unwrap();
    until(|| !totals.lock().unwrap().is_empty()).await;
    call.abort();
    until(|| connector.open_connections() == 0).await;
    let mut rest = Vec::new();
    let end = in_time(peer.read_to_end(&mut rest)).await;
    assert!(end.is_err() || rest.len() < bytes.len(), "the whole request came though it was dropped");
}

#[tokio::test]
async fn an_answer_dropped_before_its_end_closes_its_connection() {
    let (listener, address) = listen().await;
    let connector = Connector::new();
    let store = tokio::spawn(async move {
        let (mut peer, _) = listener.accept().await.unwrap();
        read_request(&mut peer).await.unwrap();
        peer.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf").await.unwrap();
        let mut rest = Vec::new();
        peer.read_to_end(&mut rest).await.map(|_| rest.len())
    });
    let answer = connector.call(request("GET", address, 0, SdkBody::empty())).await.unwrap();
    drop(answer);
    assert!(matches!(in_time(store).await.unwrap(), Ok(0) | Err(_)));
    until(|| connector.open_connections() == 0).await;
}

#[tokio::test]
async fn an_answer_before_the_body_was_read_is_delivered_and_closes_the_connection() {
    for status in [403, 503] {
        let (listener, address) = listen().await;
        let connector = Connector::new();
        let store = tokio::spawn(async move {
            let (mut peer, _) = listener.accept().await.unwrap();
            let mut some = [0; 512];
            peer.read_exact(&mut some).await.unwrap();
            let answer = format!("HTTP/1.1 {status} No\r\ncontent-length: 2\r\n\r\nno");
            peer.write_all(answer.as_bytes()).await.unwrap();
            peer
        });
        // The client has sent a frame and is still waiting for the next.
        let first = stream::iter([Ok::<_, io::Error>(Frame::data(pattern(FRAME)))]);
        let body = SdkBody::from_body_1_x(StreamBody::new(first.chain(stream::pending())));
        let answered = in_time(send(&connector, request("PUT", address, 1 << 20, body))).await;
        assert_eq!(answered.unwrap(), status);
        until(|| connector.open_connections() == 0).await;
        drop(store.await.unwrap());
    }
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_a_while() {
    let (listener, address) = listen().await;
    let store = tokio::spawn(async move {
        let (mut peer, _) = listener.accept().await.unwrap();
        read_request(&mut peer).await.unwrap();
        peer.write_all(EMPTY_OK.as_bytes()).await.unwrap();
        peer.read(&mut [0; 16]).await.unwrap()
    });
    let limit = Duration::from_millis(300);
    let connector = Connector::with_idle_timeout(limit);
    send(&connector, request("GET", address, 0, SdkBody::empty())).await.unwrap();
    until(|| connector.idle_connections() == 1).await;
    let since = Instant::now();
    assert_eq!(in_time(store).await.unwrap(), 0, "closed by us");
    assert!(since.elapsed() > limit / 2, "closed too early");
    until(|| connector.open_connections() == 0).await;
    assert_eq!(connector.idle_connections(), 0);
}

#[tokio::test]
async fn the_count_runs_little_ahead_of_a_store_that_stops_reading() {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(128 * 1024).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket.listen(16).unwrap();
    socket.set_nonblocking(true).unwrap();
    let listener = TcpListener::from_std(socket.into()).unwrap();
    let address = listener.local_addr().unwrap();

    for (shape, body) in
        [("16 KiB frames", streamed(pattern(16 << 20))), ("one frame", SdkBody::from(pattern(16 << 20)))]
    {
        let sent = Arc::new(AtomicU64::new(0));
        let told = Arc::clone(&sent);
        let connector = Connector::new();
        let mut request = request("PUT", address, 16 << 20, body);
        request.add_extension(WireCounter::new(move |total| told.store(total, Ordering::Relaxed)));
        let call = tokio::spawn(connector.call(request));
        let (mut peer, _) = listener.accept().await.unwrap();
        peer.read_exact(&mut [0; 1024]).await.unwrap();

        // Standing still can only be seen by looking again later.
        let mut still = 0;
        let mut last = 0;
        while still < 5 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let now = sent.load(Ordering::Relaxed);
            still = if now == last { still + 1 } else { 0 };
            last = now;
        }
        eprintln!("{shape}: {} KiB ahead", last / 1024);
        assert!(last > 0 && last <= 512 * 1024, "{shape}: {last} bytes ahead");
        call.abort();
    }
}

#[tokio::test]
async fn errors_are_told_apart() {
    let connector = Connector::new();

    let (listener, address) = listen().await;
    drop(listener);
    let refused = send(&connector, request("PUT", address, 2, SdkBody::from("ab"))).await.unwrap_err();
    assert!(refused.is_io(), "refused: {refused:?}");

    let (listener, address) = listen().await;
    let store = tokio::spawn(async move {
        loop {
            let (mut peer, _) = listener.accept().await.unwrap();
            let _ = read_request(&mut peer).await;
        }
    });
    let closed = send(&connector, request("PUT", address, 2, SdkBody::from("ab"))).await.unwrap_err();
    assert!(closed.is_io(), "closed without an answer: {closed:?}");

    let broken = StreamBody::new(stream::iter([
        Ok(Frame::data(pattern(FRAME))),
        Err(io::Error::other("the browser left")),
    ]));
    let body = SdkBody::from_body_1_x(broken);
    let user = send(&connector, request("PUT", address, 1 << 20, body)).await.unwrap_err();
    assert!(user.is_user(), "body error: {user:?}");
    let short = send(&connector, request("PUT", address, 1 << 20, streamed(pattern(100)))).await.unwrap_err();
    assert!(short.is_user(), "short body: {short:?}");

    let mut nowhere = request("GET", address, 0, SdkBody::empty());
    nowhere.set_uri("/no/host").unwrap();
    assert!(send(&connector, nowhere).await.unwrap_err().is_user());
    store.abort();

    let (listener, address) = listen().await;
    let store = tokio::spawn(async move {
        let (mut peer, _) = listener.accept().await.unwrap();
        read_request(&mut peer).await.unwrap();
        peer.write_all(b"+OK this is not HTTP\r\n\r\n").await.unwrap();
    });
    let garbage = send(&connector, request("GET", address, 0, SdkBody::empty())).await.unwrap_err();
    assert!(garbage.is_other(), "garbage: {garbage:?}");
    store.await.unwrap();
}

fn client(
    address: SocketAddr,
    connector: &Connector,
    checksums: RequestChecksumCalculation,
) -> aws_sdk_s3::Client {
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(connector.clone())
        .endpoint_url(format!("http://{address}"))
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("key", "secret", None, None, "test"))
        .request_checksum_calculation(checksums)
        .aws_chunked_encoding_chunk_size(Some(FRAME))
        .retry_config(RetryConfig::disabled())
        .build();
    aws_sdk_s3::Client::from_conf(config)
}

/// UploadPart by the SDK: the head the store saw, the body it saw, the totals told.
async fn upload_part(bytes: Bytes, checksums: RequestChecksumCalculation) -> (String, Vec<u8>, Vec<u64>) {
    let (listener, address) = listen().await;
    let store = tokio::spawn(async move {
        let (mut peer, _) = listener.accept().await.unwrap();
        let request = read_request(&mut peer).await.unwrap();
        peer.write_all(b"HTTP/1.1 200 OK\r\nETag: \"abc\"\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        request
    });
    let (counter, totals) = counter();
    let body = {
        let bytes = bytes.clone();
        SdkBody::retryable(move || streamed(bytes.clone()))
    };
    let part = client(address, &Connector::new(), checksums)
        .upload_part()
        .bucket("bucket")
        .key("key")
        .upload_id("id")
        .part_number(7)
        .content_length(bytes.len() as i64)
        .body(ByteStream::new(body))
        .customize()
        .mutate_request(move |request| request.add_extension(counter.clone()))
        .send()
        .await
        .unwrap();
    assert_eq!(part.e_tag(), Some("\"abc\""));
    let (head, body) = store.await.unwrap();
    let totals = totals.lock().unwrap().clone();
    (head, body, totals)
}

#[tokio::test]
async fn the_sdk_uploads_a_part_over_it() {
    let bytes = pattern(5 << 20);
    let (head, body, totals) = upload_part(bytes.clone(), RequestChecksumCalculation::WhenRequired).await;
    assert!(head.starts_with("PUT /bucket/key?"), "{head}");
    assert!(header(&head, "host").is_some_and(|host| host.starts_with("127.0.0.1:")), "{head}");
    assert!(header(&head, "transfer-encoding").is_none(), "{head}");
    assert!(body == bytes, "the part arrived changed");
    assert_eq!(totals.last(), Some(&(5 << 20)));
    assert!(totals.windows(2).all(|two| two[0] < two[1] && two[1] - two[0] <= STEP));
}

#[tokio::test]
async fn of_a_chunked_part_the_payload_is_counted() {
    let bytes = pattern((1 << 20) + 5);
    let (head, body, totals) = upload_part(bytes.clone(), RequestChecksumCalculation::WhenSupported).await;
    assert_eq!(header(&head, "x-amz-decoded-content-length"), Some("1048581"), "{head}");
    assert!(body.len() > bytes.len());
    assert_eq!(totals.last(), Some(&1_048_581));
    assert!(totals[..totals.len() - 1].iter().all(|total| total % FRAME as u64 == 0), "{totals:?}");
}
