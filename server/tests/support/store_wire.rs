//! The scripted store's connections: HTTP in, script applied, the embedded store called.

use std::convert::Infallible;
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::poll_fn;
use http::{Method, Request};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use s3s::HttpResponse;
use s3s::service::S3Service;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::store::{ACCESS_KEY, Act, BUCKET, Call, Cut, Op, SECRET_KEY, Shared, answer, error_xml};

/// Opens the embedded store with its bucket.
pub async fn open(dir: &Path) -> S3Service {
    let store = server::embedded::Store::open(dir).expect("the embedded store opens");
    store.ensure_bucket(BUCKET).await.expect("the bucket is made");
    store.service(ACCESS_KEY, SECRET_KEY)
}

/// Reads at a common pace, in bytes a second; 0 is without limit.
#[derive(Default)]
pub struct Pace {
    rate: AtomicU64,
    free_at: Mutex<Option<Instant>>,
}

impl Pace {
    pub fn set(&self, rate: u64) {
        self.rate.store(rate, Ordering::Release);
    }

    /// Until when whoever has just read `bytes` must wait.
    fn reserve(&self, bytes: usize) -> Option<Instant> {
        let rate = self.rate.load(Ordering::Acquire);
        if rate == 0 {
            return None;
        }
        // A late timer may be made up for, up to this much, or the rate would fall short.
        let earliest = Instant::now().checked_sub(Duration::from_millis(20)).expect("long after boot");
        let mut free_at = self.free_at.lock().unwrap();
        let start = free_at.map_or(earliest, |at| at.max(earliest));
        let end = start + Duration::from_secs_f64(bytes as f64 / rate as f64);
        *free_at = Some(end);
        Some(end)
    }
}

/// Accepts scripted connections until `stop`.
pub async fn accept(listener: TcpListener, shared: Arc<Shared>, stop: CancellationToken) {
    while let Some(Ok((stream, _))) = stop.run_until_cancelled(listener.accept()).await {
        let (shared, stop) = (Arc::clone(&shared), stop.clone());
        tokio::spawn(async move { stop.run_until_cancelled(serve(stream, shared)).await });
    }
}

/// Accepts connections straight to the store.
pub async fn accept_plain(listener: TcpListener, service: S3Service, stop: CancellationToken) {
    while let Some(Ok((stream, _))) = stop.run_until_cancelled(listener.accept()).await {
        let (service, stop) = (service.clone(), stop.clone());
        let serve = service_fn(move |request: Request<Incoming>| {
            let service = service.clone();
            async move { Ok::<_, Infallible>(perform(&service, request.map(s3s::Body::from)).await) }
        });
        let connection =
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), serve);
        tokio::spawn(async move { stop.run_until_cancelled(connection).await });
    }
}

/// The switch that ends a connection.
#[derive(Default)]
struct Switch {
    how: Mutex<Option<Cut>>,
    cut: CancellationToken,
}

impl Switch {
    fn cut(&self, how: Cut) {
        *self.how.lock().unwrap() = Some(how);
        self.cut.cancel();
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let _ = stream.set_nodelay(true);
    let twin = SockRef::from(&stream).try_clone().expect("a file descriptor");
    let number = shared.new_connection();
    let switch = Arc::new(Switch::default());
    let service = {
        let switch = Arc::clone(&switch);
        service_fn(move |request| {
            let (shared, switch) = (Arc::clone(&shared), Arc::clone(&switch));
            async move { Ok::<_, Infallible>(handle(request, number, shared, switch).await) }
        })
    };
    // Small pieces make a fine counter, and little that is read but not yet counted.
    let connection = hyper::server::conn::http1::Builder::new()
        .max_buf_size(16 * 1024)
        .serve_connection(TokioIo::new(stream), service);
    let _ = switch.cut.run_until_cancelled(connection).await;
    if *switch.how.lock().unwrap() == Some(Cut::Reset) {
        let _ = twin.set_linger(Some(Duration::ZERO));
    }
}

/// Ends the call in the log, whatever ends the handler.
struct Ending {
    shared: Arc<Shared>,
    call: Call,
    status: u16,
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.shared.end(&self.call, self.status);
    }
}

async fn handle(
    request: Request<Incoming>,
    connection: u64,
    shared: Arc<Shared>,
    switch: Arc<Switch>,
) -> HttpResponse {
    let call = classify(&request, connection);
    let act = shared.begin(&call);
    let mut ending = Ending { shared: Arc::clone(&shared), call: call.clone(), status: 1 };
    let (limit, at_limit) = match &act {
        Some(Act::CutBody { after, cut }) => (*after, AtLimit::Cut(*cut)),
        Some(Act::StallBody { after, gate }) => (*after, AtLimit::Wait(gate.clone())),
        Some(Act::StallThenCut { after, gate, cut }) => (*after, AtLimit::WaitThenCut(gate.clone(), *cut)),
        _ => (u64::MAX, AtLimit::Cut(Cut::Fin)),
    };
    let refusal = shared.refusal_of(&call);
    let (head, body) = request.into_parts();
    let body = Metered {
        body,
        shared: Arc::clone(&shared),
        call,
        switch: Arc::clone(&switch),
        limit,
        at_limit,
        waiting: None,
    };
    let answer = match refusal {
        Some(refusal) => {
            drain(body).await;
            refusal
        }
        None => act_out(act, Request::from_parts(head, body), &shared, &switch).await,
    };
    ending.status = answer.status().as_u16();
    answer
}

async fn act_out(
    act: Option<Act>,
    request: Request<Metered>,
    shared: &Shared,
    switch: &Switch,
) -> HttpResponse {
    let act_on =
        |request: Request<Metered>| perform(&shared.service, request.map(s3s::Body::http_body_unsync));
    match act {
        None | Some(Act::CutBody { .. } | Act::StallBody { .. } | Act::StallThenCut { .. }) => {
            act_on(request).await
        }
        Some(Act::Redirect { status, to }) => {
            drain(request.into_body()).await;
            let mut redirect = answer(status, &error_xml("TemporaryRedirect"));
            redirect.headers_mut().insert("location", to.parse().unwrap());
            redirect
        }
        Some(Act::Trickle { start, gate }) => {
            trickle(shared.service.clone(), request.map(s3s::Body::http_body_unsync), start, gate)
        }
        Some(Act::Answer { status, body, early }) => {
            if early {
                // Still read, or the kernel would answer the rest with a RST that takes the answer along.
                tokio::spawn(drain(request.into_body()));
            } else {
                drain(request.into_body()).await;
            }
            answer(status, &body)
        }
        Some(Act::DoThenAnswer { status, body }) => {
            act_on(request).await;
            answer(status, &body)
        }
        Some(Act::LoseAnswer(how)) => {
            act_on(request).await;
            switch.cut(how);
            std::future::pending().await
        }
        Some(Act::HoldBefore(gate)) => {
            gate.cancelled().await;
            act_on(request).await
        }
        Some(Act::HoldAfter(gate)) => {
            let answer = act_on(request).await;
            gate.cancelled().await;
            answer
        }
        Some(Act::Takes { before, after }) => {
            tokio::time::sleep(before).await;
            let answer = act_on(request).await;
            tokio::time::sleep(after).await;
            answer
        }
        Some(Act::Edit(edit)) => edit(act_on(request).await),
    }
}

/// An answer that has begun, and keeps its reader waiting until the gate opens.
fn trickle(
    service: S3Service,
    request: s3s::HttpRequest,
    start: &'static str,
    gate: CancellationToken,
) -> HttpResponse {
    let (pieces, mut sent) = mpsc::channel(1);
    tokio::spawn(async move {
        let _ = pieces.send(Bytes::from_static(start.as_bytes())).await;
        while gate.run_until_cancelled(tokio::time::sleep(Duration::from_millis(50))).await.is_some() {
            let _ = pieces.send(Bytes::from_static(b" ")).await;
        }
        let done = perform(&service, request).await.into_body().collect().await;
        let text = done.expect("the store answers").to_bytes();
        let declared = text.windows(2).position(|window| window == b"?>").map_or(0, |end| end + 2);
        let _ = pieces.send(if start.is_empty() { text } else { text.slice(declared..) }).await;
    });
    let frames = poll_fn(move |cx| {
        sent.poll_recv(cx).map(|piece| piece.map(|piece| Ok::<_, Infallible>(Frame::data(piece))))
    });
    let mut begun = answer(200, "");
    *begun.body_mut() = s3s::Body::http_body_unsync(StreamBody::new(frames));
    begun
}

async fn perform(service: &S3Service, request: s3s::HttpRequest) -> HttpResponse {
    match service.call(request).await {
        Ok(answer) => answer,
        Err(error) => answer(500, &format!("{error:?}")),
    }
}

async fn drain(mut body: Metered) {
    while let Some(Ok(_)) = body.frame().await {}
}

/// Which operation a request is, by method, path and query.
fn classify(request: &Request<Incoming>, connection: u64) -> Call {
    let path = request.uri().path().trim_start_matches('/');
    let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
    let query = request.uri().query().unwrap_or_default();
    let value = |name: &str| {
        query.split('&').find_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (key == name).then(|| value.to_owned())
        })
    };
    let (upload_id, part) = (value("uploadId"), value("partNumber"));
    let has_key = !key.is_empty();
    let op = match *request.method() {
        Method::PUT if has_key && part.is_some() => Op::UploadPart,
        Method::PUT if has_key => Op::Put,
        Method::POST if has_key && value("uploads").is_some() => Op::Create,
        Method::POST if has_key && upload_id.is_some() => Op::Complete,
        Method::DELETE if has_key && upload_id.is_some() => Op::Abort,
        Method::DELETE if has_key => Op::Delete,
        Method::HEAD if has_key => Op::Head,
        Method::HEAD if bucket == BUCKET => Op::HeadBucket,
        Method::GET if has_key && upload_id.is_some() => Op::ListParts,
        Method::GET if has_key => Op::Get,
        Method::GET if value("uploads").is_some() => Op::ListUploads,
        Method::GET if bucket == BUCKET => Op::ListObjects,
        _ => Op::Other,
    };
    let length = request.headers().get("content-length").and_then(|value| value.to_str().ok());
    Call {
        op,
        key: key.to_owned(),
        part: part.and_then(|text| text.parse().ok()),
        upload_id,
        content_length: length.and_then(|text| text.parse().ok()),
        headers: request.headers().clone(),
        at: std::time::Instant::now(),
        connection,
        live: Arc::default(),
    }
}

enum AtLimit {
    Cut(Cut),
    Wait(CancellationToken),
    WaitThenCut(CancellationToken, Cut),
}

/// A request body that is counted, paced, and cut or stalled where the script says.
struct Metered {
    body: Incoming,
    shared: Arc<Shared>,
    call: Call,
    switch: Arc<Switch>,
    limit: u64,
    at_limit: AtLimit,
    waiting: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Metered {
    /// What has to be waited for before the next bytes are read.
    fn obstacle(&mut self) {
        if self.call.read() < self.limit {
            return;
        }
        self.limit = u64::MAX;
        self.waiting = Some(match &self.at_limit {
            AtLimit::Cut(how) => {
                self.switch.cut(*how);
                Box::pin(std::future::pending())
            }
            AtLimit::Wait(gate) => Box::pin(gate.clone().cancelled_owned()),
            AtLimit::WaitThenCut(gate, how) => {
                let (gate, switch, how) = (gate.clone(), Arc::clone(&self.switch), *how);
                Box::pin(async move {
                    gate.cancelled().await;
                    switch.cut(how);
                    std::future::pending().await
                })
            }
        });
    }
}

impl Body for Metered {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        loop {
            if let Some(waiting) = &mut self.waiting {
                std::task::ready!(waiting.as_mut().poll(cx));
                self.waiting = None;
            }
            self.obstacle();
            if self.waiting.is_none() {
                break;
            }
        }
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(cx));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            self.shared.count(&self.call, data.len() as u64);
            if let Some(end) = self.shared.pace.reserve(data.len()) {
                self.waiting = Some(Box::pin(tokio::time::sleep_until(end)));
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
