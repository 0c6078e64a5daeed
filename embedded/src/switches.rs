//! Faults on a switch: a store that is slow or refuses a part, for whoever wants to see what becomes of an upload then.
//!
//! What the server asks of the bucket itself (is it there, what is open in it) and what clears up is never slowed or
//! refused: a server starts, is ready and sweeps as before.

use std::collections::HashSet;
use std::fmt;
use std::num::NonZeroU64;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use http::{Method, Request, Response, StatusCode, Uri};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use s3s::service::S3Service;
use s3s::{HttpError, HttpResponse};
use tokio::time::{Instant, Sleep};

/// A late timer is made up for, up to this much, or the rate would fall short.
const SLACK: Duration = Duration::from_millis(20);

/// What the store does worse than it can. Nothing by default.
#[derive(Clone, Copy, Debug, Default)]
pub struct Switches {
    /// What each answer about an object waits once all else is done; but not to DELETE.
    pub delay: Duration,
    /// Bytes a second at which bodies are read, those of all connections together.
    pub rate: Option<NonZeroU64>,
    /// Part that is refused once its body was read; an object that is put whole is part 1.
    pub fail_part: Option<FailPart>,
}

/// A part that is refused with 503 `SlowDown`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailPart {
    pub number: u16,
    /// At each attempt, and not at the first of each upload alone.
    pub always: bool,
}

impl Switches {
    #[must_use]
    pub fn are_on(&self) -> bool {
        self.rate.is_some() || self.fail_part.is_some() || !self.delay.is_zero()
    }
}

impl fmt::Display for Switches {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        let delay = (!self.delay.is_zero()).then(|| format!("answers after {:?}", self.delay));
        let rate = self.rate.map(|rate| format!("reads {rate} bytes a second"));
        let fail_part = self.fail_part.map(|FailPart { number, always }| {
            format!("refuses part {number}{}", if always { " always" } else { " the first time" })
        });
        let told: Vec<String> = [delay, rate, fail_part].into_iter().flatten().collect();
        formatter.write_str(&told.join(", "))
    }
}

/// The protocol behind the switches.
pub struct Switched {
    service: S3Service,
    switches: Switches,
    line: Option<Arc<Line>>,
    /// Targets of parts of which the first attempt was refused and none has succeeded.
    refused: Mutex<HashSet<String>>,
}

impl Switched {
    pub fn new(service: S3Service, switches: Switches) -> Self {
        let line = switches.rate.map(|rate| Arc::new(Line { rate, free_at: Mutex::new(Instant::now()) }));
        Self { service, switches, line, refused: Mutex::default() }
    }

    /// # Errors
    /// The service's own.
    pub async fn call(&self, request: Request<Incoming>) -> Result<HttpResponse, HttpError> {
        if !self.switches.are_on() {
            return self.service.call(request.map(s3s::Body::from)).await;
        }
        let (method, target) = (request.method().clone(), request.uri().clone());
        let request = request.map(|body| match &self.line {
            Some(line) => s3s::Body::http_body_unsync(Slowed::new(body, Arc::clone(line))),
            None => s3s::Body::from(body),
        });
        let answer = if self.refuses(&method, &target) {
            // Told when all of it was sent: the bar has gone its way by then, and must not go it back.
            let mut body = request.into_body();
            while let Some(Ok(_)) = body.next().await {}
            slow_down()
        } else {
            self.service.call(request).await?
        };
        self.forget(&method, &target, answer.status());
        if method != Method::DELETE && names_object(&target) {
            tokio::time::sleep(self.switches.delay).await;
        }
        Ok(answer)
    }

    fn refuses(&self, method: &Method, target: &Uri) -> bool {
        let Some(FailPart { number, always }) = self.switches.fail_part else { return false };
        let is_it = *method == Method::PUT && part_number(target) == Some(number);
        is_it && (always || self.refused().insert(target.to_string()))
    }

    /// A part that has arrived, or whose upload ends, is not tried again.
    fn forget(&self, method: &Method, target: &Uri, status: StatusCode) {
        if *method == Method::PUT && status.is_success() {
            self.refused().remove(&target.to_string());
        } else if *method == Method::DELETE {
            let of_object = |other: &String| other.split('?').next() == Some(target.path());
            self.refused().retain(|other| !of_object(other));
        }
    }

    fn refused(&self) -> MutexGuard<'_, HashSet<String>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether it is `/bucket/key`.
fn names_object(target: &Uri) -> bool {
    target.path().trim_start_matches('/').split_once('/').is_some_and(|(_, key)| !key.is_empty())
}

/// Of a PUT.
fn part_number(target: &Uri) -> Option<u16> {
    let parameters = || target.query().unwrap_or_default().split('&');
    let number = parameters().find_map(|parameter| parameter.strip_prefix("partNumber="));
    number.map_or_else(|| names_object(target).then_some(1), |number| number.parse().ok())
}

fn slow_down() -> HttpResponse {
    let text = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\
                <Error><Code>SlowDown</Code><Message>This part is refused on request.</Message></Error>";
    let mut answer = Response::new(s3s::Body::from(text.to_owned()));
    *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    let xml = http::HeaderValue::from_static("application/xml");
    answer.headers_mut().insert(http::header::CONTENT_TYPE, xml);
    answer
}

/// The one line over which all bodies come.
struct Line {
    rate: NonZeroU64,
    free_at: Mutex<Instant>,
}

impl Line {
    /// Until when it is taken by whoever has read so many bytes now.
    fn take(&self, bytes: usize, now: Instant) -> Instant {
        let lasts = Duration::from_secs_f64(bytes as f64 / self.rate.get() as f64);
        let mut free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
        *free_at = free_at.max(now.checked_sub(SLACK).unwrap_or(now)) + lasts;
        *free_at
    }
}

/// A body that is read no faster than the line has room for; hyper reads no further from the socket meanwhile.
struct Slowed {
    body: Incoming,
    line: Arc<Line>,
    free: Pin<Box<Sleep>>,
}

impl Slowed {
    fn new(body: Incoming, line: Arc<Line>) -> Self {
        Self { body, line, free: Box::pin(tokio::time::sleep_until(Instant::now())) }
    }
}

impl Body for Slowed {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        ready!(self.free.as_mut().poll(cx));
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            let free_at = self.line.take(data.len(), Instant::now());
            self.free.as_mut().reset(free_at);
        }
        Poll::Ready(frame)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(target: &str) -> Option<u16> {
        part_number(&target.parse().expect("a target"))
    }

    #[test]
    fn the_part_that_a_put_is_for() {
        assert_eq!(number("/uploads/a/key?x-id=UploadPart&partNumber=3&uploadId=abc"), Some(3));
        assert_eq!(number("/uploads/key?uploadId=abc&partNumber=12"), Some(12));
        assert_eq!(number("/uploads/key?partNumber=three&uploadId=abc"), None);
        assert_eq!(number("/uploads/key?x-id=PutObject"), Some(1), "an object that is put whole");
        assert_eq!(number("/uploads/key"), Some(1));
        assert_eq!(number("/uploads/"), None, "a bucket");
        assert_eq!(number("/uploads"), None);
    }

    #[test]
    fn all_bodies_share_one_line() {
        let (begun, ms) = (Instant::now(), Duration::from_millis);
        let line = Line { rate: NonZeroU64::new(1000).expect("not 0"), free_at: Mutex::new(begun) };
        assert_eq!(line.take(500, begun) - begun, ms(500));
        assert_eq!(line.take(250, begun) - begun, ms(750), "after the first");
        assert_eq!(line.take(100, begun + ms(760)) - begun, ms(850), "a late timer is made up for");
        assert_eq!(line.take(100, begun + ms(9_000)) - begun, ms(9_080), "an idle line is not");
    }

    #[test]
    fn they_say_what_they_do() {
        let off = Switches::default();
        assert!(!off.are_on());
        let part = |always| Some(FailPart { number: 3, always });
        let all = Switches {
            delay: Duration::from_secs(3),
            rate: NonZeroU64::new(2_097_152),
            fail_part: part(false),
        };
        assert!(all.are_on());
        let told = "answers after 3s, reads 2097152 bytes a second, refuses part 3 the first time";
        assert_eq!(all.to_string(), told);
        assert_eq!(Switches { fail_part: part(true), ..off }.to_string(), "refuses part 3 always");
    }
}
