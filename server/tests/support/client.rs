//! A raw HTTP client: requests are bytes, written piece by piece, and the answer is read beside them.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use app::wire::{DOCUMENT_FIELD, FileOutcome, FileType, IMAGE_FIELD, Problem, UploadAnswer};
use serde::de::DeserializeOwned;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpSocket, TcpStream};

use super::PATIENCE;
use super::log::keep_secret;

/// The boundary of every [`Form`].
pub const BOUNDARY: &str = "----brigade-3f1d7c9a5b";

/// A multipart form and the headers that go with it.
#[derive(Clone, Default)]
pub struct Form {
    body: Vec<u8>,
    headers: Vec<(String, String)>,
    files: Vec<std::ops::Range<usize>>,
}

impl Form {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A form with the document and its size header.
    #[must_use]
    pub fn document(content: &[u8]) -> Self {
        Self::new().file(DOCUMENT_FIELD, "a.pdf", content).size(FileType::DocsFile, content.len())
    }

    /// A form with the image and its size header.
    #[must_use]
    pub fn image(content: &[u8]) -> Self {
        Self::new().file(IMAGE_FIELD, "b.jpg", content).size(FileType::MsaImgs, content.len())
    }

    /// A form with both files and both size headers, as the page sends it.
    #[must_use]
    pub fn both(document: &[u8], image: &[u8]) -> Self {
        Self::document(document).file(IMAGE_FIELD, "b.jpg", image).size(FileType::MsaImgs, image.len())
    }

    #[must_use]
    pub fn file(self, field: &str, name: &str, content: &[u8]) -> Self {
        keep_secret(name);
        self.part(
            &format!(
                "Content-Disposition: form-data; name=\"{field}\"; filename=\"{name}\"\r\n\
                 Content-Type: application/octet-stream\r\n"
            ),
            content,
        )
    }

    #[must_use]
    pub fn text(self, field: &str, value: &str) -> Self {
        self.part(&format!("Content-Disposition: form-data; name=\"{field}\"\r\n"), value.as_bytes())
    }

    /// A part with these header lines (each with its line end).
    #[must_use]
    pub fn part(mut self, headers: &str, content: &[u8]) -> Self {
        self.body.extend(format!("--{BOUNDARY}\r\n{headers}\r\n").as_bytes());
        let start = self.body.len();
        self.body.extend(content);
        self.files.push(start..self.body.len());
        self.body.extend(b"\r\n");
        self
    }

    #[must_use]
    pub fn header(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    /// The size header of a file, true or not.
    #[must_use]
    pub fn size(self, file: FileType, size: impl ToString) -> Self {
        self.header(file.size_header(), size)
    }

    /// The same without any size header, as curl and a plain form send it.
    #[must_use]
    pub fn without_sizes(mut self) -> Self {
        let is_size =
            |name: &str| FileType::ALL.iter().any(|file| name.eq_ignore_ascii_case(file.size_header()));
        self.headers.retain(|(name, _)| !is_size(name));
        self
    }

    #[must_use]
    pub fn client_id(self, id: &str) -> Self {
        keep_secret(id);
        self.header("X-Client-Id", id)
    }

    /// The body with its closing boundary.
    #[must_use]
    pub fn body(&self) -> Vec<u8> {
        let mut body = self.body_unclosed();
        body.extend(format!("--{BOUNDARY}--\r\n").as_bytes());
        body
    }

    /// The body up to the closing boundary, which is missing.
    #[must_use]
    pub fn body_unclosed(&self) -> Vec<u8> {
        self.body.clone()
    }

    /// Where byte `offset` of the `index`-th part's content stands in the body.
    #[must_use]
    pub fn offset(&self, index: usize, offset: usize) -> usize {
        let range = &self.files[index];
        assert!(offset <= range.len());
        range.start + offset
    }

    /// The head of a `POST /upload` with a body of `length` bytes.
    #[must_use]
    pub fn head(&self, length: usize) -> Vec<u8> {
        let mut headers = self.headers.clone();
        headers.push(("Content-Length".to_owned(), length.to_string()));
        self.head_with(&headers)
    }

    /// The head of a `POST /upload` with a chunked body.
    #[must_use]
    pub fn chunked_head(&self) -> Vec<u8> {
        let mut headers = self.headers.clone();
        headers.push(("Transfer-Encoding".to_owned(), "chunked".to_owned()));
        self.head_with(&headers)
    }

    fn head_with(&self, headers: &[(String, String)]) -> Vec<u8> {
        let kind = ("Content-Type".to_owned(), format!("multipart/form-data; boundary={BOUNDARY}"));
        let mut all = headers.to_vec();
        if !all.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
            all.push(kind);
        }
        head("POST", "/upload", &all)
    }

    /// Sends the whole form at once and reads the answer.
    pub async fn post(&self, to: SocketAddr) -> Answer {
        self.post_body(to, &self.body()).await
    }

    /// Sends this form's head with another body.
    pub async fn post_body(&self, to: SocketAddr, body: &[u8]) -> Answer {
        let mut request = self.head(body.len());
        request.extend(body);
        exchange(to, &request).await
    }
}

/// A request head with `Host`.
#[must_use]
pub fn head(method: &str, target: &str, headers: &[(String, String)]) -> Vec<u8> {
    let mut text = format!("{method} {target} HTTP/1.1\r\nHost: brigade.test\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    text.into_bytes()
}

/// A request without body.
pub async fn request(to: SocketAddr, method: &str, target: &str) -> Answer {
    exchange(to, &head(method, target, &[])).await
}

pub async fn get(to: SocketAddr, target: &str) -> Answer {
    request(to, "GET", target).await
}

/// Writes `bytes` while it reads the answer; a server that answers early and closes is no error.
pub async fn exchange(to: SocketAddr, bytes: &[u8]) -> Answer {
    let mut connection = RawConnection::connect(to).await;
    let mut writer = connection.writer.take().expect("a fresh connection can be written");
    let (answer, ()) = tokio::join!(connection.answer(), async {
        for piece in bytes.chunks(64 * 1024) {
            if writer.write_all(piece).await.is_err() {
                break;
            }
        }
    });
    drop(writer);
    answer
}

/// Writes `bytes` while it reads every answer, until the server closes; it is the server's to close, ours stays open.
pub async fn conversation(to: SocketAddr, bytes: &[u8]) -> Vec<Answer> {
    let mut connection = RawConnection::connect(to).await;
    let mut writer = connection.writer.take().expect("a fresh connection can be written");
    let reading = async {
        let mut answers = Vec::new();
        while let Some(answer) = connection.answer_or_close().await {
            answers.push(answer);
        }
        answers
    };
    // A server that refuses what it has read so far may close while more is written.
    let (answers, _) = tokio::join!(reading, writer.write_all(bytes));
    answers
}

/// One connection, written by hand.
pub struct RawConnection {
    reader: OwnedReadHalf,
    writer: Option<OwnedWriteHalf>,
    buffer: Vec<u8>,
}

impl RawConnection {
    pub async fn connect(to: SocketAddr) -> Self {
        Self::over(TcpStream::connect(to).await.expect("the server listens"))
    }

    /// A connection whose reader keeps next to nothing that it has not read.
    pub async fn narrow(to: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(1024).unwrap();
        Self::over(socket.connect(to).await.expect("the server listens"))
    }

    pub fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        let (reader, writer) = stream.into_split();
        Self { reader, writer: Some(writer), buffer: Vec::new() }
    }

    /// Writes all of it; fails the test when the server has stopped reading for [`PATIENCE`].
    pub async fn write(&mut self, bytes: &[u8]) {
        self.try_write(bytes).await.expect("the server reads");
    }

    /// # Errors
    /// The connection is gone.
    pub async fn try_write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let writer = self.writer.as_mut().expect("still open for writing");
        tokio::time::timeout(PATIENCE, writer.write_all(bytes))
            .await
            .unwrap_or_else(|_| panic!("the server did not read {} bytes", bytes.len()))
    }

    /// Ends our half with a FIN; the answer can still be read.
    pub fn finish(&mut self) {
        self.writer = None;
    }

    /// Throws the connection away with a RST.
    pub fn reset(self) {
        let writer = self.writer.expect("still open for writing");
        SockRef::from(writer.as_ref()).set_linger(Some(Duration::ZERO)).unwrap();
        // Without this the half's own drop would send a FIN first.
        writer.forget();
    }

    /// The next answer on this connection.
    pub async fn answer(&mut self) -> Answer {
        match tokio::time::timeout(PATIENCE, read_answer(&mut self.reader, &mut self.buffer)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => panic!("no answer: {error}"),
            Err(_) => panic!("no answer within {PATIENCE:?}"),
        }
    }

    /// The next answer, while pieces are written at a pace; fails when they are over before it comes.
    pub async fn answer_while_dripping(
        &mut self,
        every: Duration,
        pieces: impl Iterator<Item = Vec<u8>>,
    ) -> Answer {
        let mut writer = self.writer.take().expect("still open for writing");
        let mut every = tokio::time::interval(every);
        let dripping = async {
            for piece in pieces {
                every.tick().await;
                if writer.write_all(&piece).await.is_err() {
                    // Cut: the answer may be on its way all the same.
                    std::future::pending().await
                }
            }
        };
        let answer = tokio::select! {
            answer = self.answer() => answer,
            () = dripping => panic!("everything was written and no answer has come"),
        };
        self.writer = Some(writer);
        answer
    }

    /// The next answer, an interim `100 Continue` included.
    pub async fn next_answer(&mut self) -> Answer {
        let read = tokio::time::timeout(PATIENCE, read_head(&mut self.reader, &mut self.buffer));
        let (status, headers) = read.await.expect("an answer in time").expect("an answer");
        Answer { status, headers, body: Vec::new() }
    }

    /// The next answer, or `None` when the server closes or resets first.
    pub async fn answer_or_close(&mut self) -> Option<Answer> {
        tokio::time::timeout(PATIENCE, read_answer(&mut self.reader, &mut self.buffer))
            .await
            .unwrap_or_else(|_| panic!("neither answer nor end within {PATIENCE:?}"))
            .ok()
    }
}

/// An HTTP answer, whole.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[must_use]
    pub fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {} {}", self.status, self.text()))
    }

    /// The answer to an upload of which every file is stored.
    #[must_use]
    #[track_caller]
    pub fn stored(&self) -> UploadAnswer {
        assert_eq!(self.status, 200, "{}", self.text());
        assert!(self.header("content-type").is_some_and(|kind| kind.starts_with("application/json")));
        let answer: UploadAnswer = self.json();
        assert_upload_id(&answer.upload_id);
        answer
    }

    /// The one file of an answer to a form with one file.
    #[must_use]
    #[track_caller]
    pub fn stored_one(&self) -> FileOutcome {
        let mut files = self.stored().files;
        assert_eq!(files.len(), 1, "{files:?}");
        files.remove(0)
    }

    /// The problem document, with all that RFC 9457 and the contract ask of it.
    #[track_caller]
    pub fn problem(&self, status: u16, code: &str) -> Problem {
        assert_eq!(self.status, status, "wanted {code}, got {}", self.text());
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{}", self.text());
        let problem: Problem = self.json();
        assert_eq!(problem.code, code, "{}", self.text());
        assert_eq!(problem.status, status);
        assert!(problem.detail.ends_with('.'), "a sentence for people: {}", problem.detail);
        if status == 503 || status == 429 {
            assert!(self.header("retry-after").is_some(), "{status} says when to come again");
        }
        problem
    }
}

/// A value in the text of `/metrics`, summed over its labels.
#[must_use]
#[track_caller]
pub fn metric(text: &str, name: &str) -> f64 {
    let values = text.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        (rest.starts_with([' ', '{'])).then(|| rest.rsplit(' ').next()?.parse::<f64>().ok())?
    });
    let values: Vec<f64> = values.collect();
    assert!(!values.is_empty(), "/metrics has {name}:\n{text}");
    values.into_iter().sum()
}

/// An upload's id: 22 characters of base64url.
#[track_caller]
pub fn assert_upload_id(id: &str) {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    assert!(id.len() == 22 && id.chars().all(fits), "upload id {id:?}");
    keep_secret(id);
}

async fn read_answer(reader: &mut (impl AsyncRead + Unpin), buffer: &mut Vec<u8>) -> io::Result<Answer> {
    loop {
        let (status, headers) = read_head(reader, buffer).await?;
        if status == 100 {
            continue;
        }
        let mut answer = Answer { status, headers, body: Vec::new() };
        let length = answer.header("content-length").map(|text| text.parse::<usize>().unwrap());
        let is_chunked = answer.header("transfer-encoding").is_some_and(|text| text.contains("chunked"));
        if is_chunked {
            answer.body = read_chunks(reader, buffer).await?;
        } else if let Some(length) = length {
            fill(reader, buffer, length).await?;
            answer.body = buffer.drain(..length).collect();
        } else if status != 101 && status != 204 {
            while more(reader, buffer).await? > 0 {}
            answer.body = std::mem::take(buffer);
        }
        return Ok(answer);
    }
}

pub(super) async fn read_head(
    reader: &mut (impl AsyncRead + Unpin),
    buffer: &mut Vec<u8>,
) -> io::Result<(u16, Vec<(String, String)>)> {
    let text = String::from_utf8_lossy(&read_until(reader, buffer, b"\r\n\r\n").await?).into_owned();
    let mut lines = text.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|word| word.parse().ok());
    let status = status.ok_or_else(|| io::Error::other(format!("no status line: {text}")))?;
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect();
    Ok((status, headers))
}

async fn read_chunks(reader: &mut (impl AsyncRead + Unpin), buffer: &mut Vec<u8>) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = read_until(reader, buffer, b"\r\n").await?;
        let text = String::from_utf8_lossy(&line).into_owned();
        let size = usize::from_str_radix(text.trim(), 16).map_err(io::Error::other)?;
        fill(reader, buffer, size + 2).await?;
        body.extend(buffer.drain(..size));
        buffer.drain(..2);
        if size == 0 {
            return Ok(body);
        }
    }
}

async fn read_until(
    reader: &mut (impl AsyncRead + Unpin),
    buffer: &mut Vec<u8>,
    end: &[u8],
) -> io::Result<Vec<u8>> {
    loop {
        if let Some(at) = buffer.windows(end.len()).position(|window| window == end) {
            return Ok(buffer.drain(..at + end.len()).collect());
        }
        if more(reader, buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

pub(super) async fn fill(
    reader: &mut (impl AsyncRead + Unpin),
    buffer: &mut Vec<u8>,
    size: usize,
) -> io::Result<()> {
    while buffer.len() < size {
        if more(reader, buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

async fn more(reader: &mut (impl AsyncRead + Unpin), buffer: &mut Vec<u8>) -> io::Result<usize> {
    reader.read_buf(buffer).await
}
