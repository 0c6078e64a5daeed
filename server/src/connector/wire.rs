//! Counts the body bytes of a request as the store connection's plaintext stream takes them.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::HeaderMap;
use http::header::CONTENT_ENCODING;

/// Told how many body bytes of one attempt the store connection has taken.
///
/// Put into the request's extensions (`HttpRequest::add_extension`). Bytes count once the plaintext stream
/// (the socket, or TLS above it) has accepted them; the request head never counts, and of a body in
/// aws-chunked encoding only the payload of whole chunks does. The body needs a known length: framing that
/// HTTP itself adds would be counted with it.
#[derive(Clone)]
pub struct WireCounter(Arc<Progress>);

struct Progress<F: ?Sized = dyn Fn(u64) + Send + Sync> {
    furthest: AtomicU64,
    tell: F,
}

impl WireCounter {
    /// Calls `on_progress` with the attempt's total, in bytes, whenever it has grown.
    ///
    /// The call comes from within the socket write: it must neither block nor panic.
    pub fn new(on_progress: impl Fn(u64) + Send + Sync + 'static) -> Self {
        Self(Arc::new(Progress { furthest: AtomicU64::new(0), tell: on_progress }))
    }

    fn report(&self, total: u64) {
        if self.0.furthest.fetch_max(total, Ordering::Relaxed) < total {
            (self.0.tell)(total);
        }
    }
}

impl fmt::Debug for WireCounter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WireCounter").field(&self.0.furthest).finish()
    }
}

/// How the payload lies in a request's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// The body is the payload.
    Plain,
    /// `aws-chunked`: chunks of `<hex size>[;extension]CRLF<payload>CRLF`, then trailers.
    AwsChunked,
}

impl Framing {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let encoded = headers
            .get_all(CONTENT_ENCODING)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(|coding| coding.trim().eq_ignore_ascii_case("aws-chunked"));
        if encoded || headers.contains_key("x-amz-decoded-content-length") {
            Self::AwsChunked
        } else {
            Self::Plain
        }
    }
}

/// Follows what one connection writes, request by request.
#[derive(Debug)]
pub(super) struct Meter {
    /// Bytes of `CRLF CRLF` seen in a row; all four: the head is over.
    head_end: usize,
    body: Body,
    payload: u64,
    written: u64,
    counter: Option<WireCounter>,
}

#[derive(Debug)]
enum Body {
    Plain,
    AwsChunked(Chunks),
}

const HEAD_END: &[u8; 4] = b"\r\n\r\n";

impl Meter {
    pub(super) const fn new() -> Self {
        Self { head_end: 0, body: Body::Plain, payload: 0, written: 0, counter: None }
    }

    /// Starts a request: everything of the one before has been written.
    pub(super) fn begin(&mut self, framing: Framing, counter: Option<WireCounter>) {
        let body = match framing {
            Framing::Plain => Body::Plain,
            Framing::AwsChunked => Body::AwsChunked(Chunks::Size(0)),
        };
        *self = Self { head_end: 0, body, payload: 0, written: 0, counter };
    }

    /// Bytes of this request written so far, head and framing included.
    pub(super) const fn written(&self) -> u64 {
        self.written
    }

    /// Takes note that the stream accepted the first `count` bytes of `slices`.
    pub(super) fn accept<'a>(&mut self, slices: impl IntoIterator<Item = &'a [u8]>, count: usize) {
        self.written += count as u64;
        if self.head_end == HEAD_END.len() && matches!(self.body, Body::Plain) {
            self.payload += count as u64;
        } else {
            self.follow(slices, count);
        }
        if let Some(counter) = &self.counter
            && self.payload > 0
        {
            counter.report(self.payload);
        }
    }

    fn follow<'a>(&mut self, slices: impl IntoIterator<Item = &'a [u8]>, mut count: usize) {
        for slice in slices {
            let taken = &slice[..slice.len().min(count)];
            count -= taken.len();
            let body = self.skip_head(taken);
            self.payload += match &mut self.body {
                Body::Plain => body.len() as u64,
                Body::AwsChunked(chunks) => chunks.take(body),
            };
            if count == 0 {
                break;
            }
        }
    }

    /// The bytes after the head's empty line.
    fn skip_head<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        for (at, byte) in bytes.iter().enumerate() {
            if self.head_end == HEAD_END.len() {
                return &bytes[at..];
            }
            self.head_end = if *byte == HEAD_END[self.head_end] {
                self.head_end + 1
            } else {
                usize::from(*byte == b'\r')
            };
        }
        &[]
    }
}

/// Where in an aws-chunked body the stream is.
#[derive(Clone, Copy, Debug)]
enum Chunks {
    /// In a chunk's size, as far as read.
    Size(u64),
    /// Behind the size, up to the end of its line.
    Line(u64),
    Payload {
        left: u64,
        size: u64,
    },
    /// In the line end behind a payload.
    Gap,
    /// Behind the last chunk, or lost: nothing counts any more.
    End,
}

impl Chunks {
    /// Payload bytes of the chunks that `bytes` completes.
    fn take(&mut self, mut bytes: &[u8]) -> u64 {
        let mut whole = 0;
        while let Some((&byte, rest)) = bytes.split_first() {
            *self = match *self {
                Self::Payload { left, size } => {
                    let taken = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
                    bytes = &bytes[taken..];
                    match left - taken as u64 {
                        0 => {
                            whole += size;
                            Self::Gap
                        }
                        left => Self::Payload { left, size },
                    }
                }
                Self::End => return whole,
                state => {
                    bytes = rest;
                    state.next(byte)
                }
            };
        }
        whole
    }

    /// The state behind one byte of framing.
    fn next(self, byte: u8) -> Self {
        match (self, byte) {
            (Self::Size(size), b';' | b'\r') => Self::Line(size),
            (Self::Size(size), digit) => char::from(digit)
                .to_digit(16)
                .and_then(|digit| size.checked_mul(16)?.checked_add(u64::from(digit)))
                .map_or(Self::End, Self::Size),
            (Self::Line(0), b'\n') => Self::End,
            (Self::Line(size), b'\n') => Self::Payload { left: size, size },
            (Self::Gap, b'\n') => Self::Size(0),
            (state, _) => state,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    fn recording() -> (WireCounter, Arc<Mutex<Vec<u64>>>) {
        let totals = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&totals);
        (WireCounter::new(move |total| seen.lock().unwrap().push(total)), totals)
    }

    /// Totals after each of `writes`, one write a time.
    fn totals(framing: Framing, writes: &[&[u8]]) -> Vec<u64> {
        let (counter, totals) = recording();
        let mut meter = Meter::new();
        meter.begin(framing, Some(counter));
        for write in writes {
            meter.accept([*write], write.len());
        }
        drop(meter);
        Arc::into_inner(totals).unwrap().into_inner().unwrap()
    }

    #[test]
    fn the_head_never_counts_wherever_it_is_cut() {
        let request = b"PUT /k HTTP/1.1\r\na: b\r\r\n\r\nbody";
        for cut in 0..=request.len() {
            let (head, tail) = request.split_at(cut);
            assert_eq!(totals(Framing::Plain, &[head, tail]).last(), Some(&4), "cut at {cut}");
        }
        assert!(totals(Framing::Plain, &[&request[..request.len() - 4]]).is_empty());
    }

    #[test]
    fn a_partly_accepted_vectored_write_counts_what_was_accepted() {
        let (counter, totals) = recording();
        let mut meter = Meter::new();
        meter.begin(Framing::Plain, Some(counter));
        let slices: [&[u8]; 3] = [b"PUT / HTTP/1.1\r\n\r\n", b"0123456789", b"abcdef"];
        meter.accept(slices, 18);
        meter.accept(slices[1..].iter().copied(), 4);
        meter.accept([&slices[1][4..], slices[2]], 8);
        meter.accept([&slices[2][2..]], 4);
        assert_eq!(*totals.lock().unwrap(), [4, 12, 16]);
        assert_eq!(meter.written(), 34);
    }

    #[test]
    fn of_aws_chunked_only_whole_chunks_count() {
        let body = b"PUT / HTTP/1.1\r\n\r\n4;chunk-signature=ab\r\nWiki\r\nA\r\n0123456789\r\n0;x=y\r\nx-amz-checksum-crc32:AAAA\r\n\r\n";
        let bytes: Vec<&[u8]> = body.chunks(1).collect();
        assert_eq!(totals(Framing::AwsChunked, &bytes), [4, 14]);
        assert_eq!(totals(Framing::AwsChunked, &[body]), [14]);
        for cut in 0..=body.len() {
            let (head, tail) = body.split_at(cut);
            assert_eq!(totals(Framing::AwsChunked, &[head, tail]).last(), Some(&14), "cut at {cut}");
        }
        let one_short = body.windows(6).position(|w| w == b"456789").unwrap() + 5;
        assert_eq!(totals(Framing::AwsChunked, &[&body[..one_short]]), [4]);
    }

    #[test]
    fn a_malformed_chunk_ends_the_count() {
        let request = b"PUT / HTTP/1.1\r\n\r\n4\r\nWiki\r\nzz\r\n4\r\nWiki\r\n";
        assert_eq!(totals(Framing::AwsChunked, &[request]), [4]);
        let overflow = b"PUT / HTTP/1.1\r\n\r\nfffffffffffffffff\r\nWiki\r\n";
        assert!(totals(Framing::AwsChunked, &[overflow]).is_empty());
    }

    #[test]
    fn the_next_request_starts_from_zero() {
        let mut meter = Meter::new();
        for _ in 0..2 {
            let (counter, totals) = recording();
            meter.begin(Framing::Plain, Some(counter));
            meter.accept([&b"PUT / HTTP/1.1\r\n\r\nab"[..]], 20);
            meter.accept([&b"cd"[..]], 2);
            assert_eq!(*totals.lock().unwrap(), [2, 4]);
        }
    }

    #[test]
    fn framing_is_read_from_the_headers() {
        let headers = |name: &'static str, value: &'static str| {
            HeaderMap::from_iter([(http::HeaderName::from_static(name), value.parse().unwrap())])
        };
        assert_eq!(Framing::of(&headers("content-encoding", "gzip, aws-chunked")), Framing::AwsChunked);
        assert_eq!(Framing::of(&headers("x-amz-decoded-content-length", "5")), Framing::AwsChunked);
        assert_eq!(Framing::of(&headers("content-encoding", "gzip")), Framing::Plain);
        assert_eq!(Framing::of(&HeaderMap::new()), Framing::Plain);
    }
}
