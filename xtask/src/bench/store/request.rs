//! Request heads, and the few operations of S3 that the relays ask for.

/// How the body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// After so many bytes.
    Length(u64),
    /// After the chunk of length zero.
    Chunked,
}

/// A request without its body.
#[derive(Debug, PartialEq, Eq)]
pub struct Request {
    pub operation: Operation,
    pub framing: Framing,
    /// Bytes of content, where the body also carries chunk signatures and checksums (aws-chunked).
    pub decoded_length: Option<u64>,
    pub wants_continue: bool,
    pub is_last: bool,
}

/// `key` is the whole path, bucket included.
#[derive(Debug, PartialEq, Eq)]
pub enum Operation {
    CreateMultipartUpload { key: String },
    UploadPart { upload: String, number: u32 },
    CompleteMultipartUpload { upload: String },
    AbortMultipartUpload { upload: String },
    ListParts { upload: String },
    ListMultipartUploads,
    PutObject { key: String },
    HeadObject { key: String },
    DeleteObject { key: String },
    HeadBucket,
    Unknown,
}

impl Request {
    /// Reads a head, as far as its empty line; `None` when it is no HTTP.
    pub fn parse(head: &str) -> Option<Self> {
        let mut lines = head.split("\r\n");
        let mut first = lines.next()?.split(' ');
        let (method, target) = (first.next()?, first.next()?);
        let mut request = Self {
            operation: Operation::of(method, target),
            framing: Framing::Length(0),
            decoded_length: None,
            wants_continue: false,
            is_last: false,
        };
        for line in lines.take_while(|line| !line.is_empty()) {
            let (name, value) = line.split_once(':')?;
            request.take_header(&name.to_ascii_lowercase(), value.trim())?;
        }
        Some(request)
    }

    fn take_header(&mut self, name: &str, value: &str) -> Option<()> {
        match name {
            "content-length" => self.framing = Framing::Length(value.parse().ok()?),
            "transfer-encoding" => self.framing = Framing::Chunked,
            "x-amz-decoded-content-length" => self.decoded_length = Some(value.parse().ok()?),
            "expect" => self.wants_continue = value.eq_ignore_ascii_case("100-continue"),
            "connection" => self.is_last = value.eq_ignore_ascii_case("close"),
            _ => {}
        }
        Some(())
    }
}

impl Operation {
    fn of(method: &str, target: &str) -> Self {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let value = |wanted: &str| {
            let mut pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
            pairs.find(|(name, _)| *name == wanted).map(|(_, value)| value.to_owned())
        };
        let key = path.trim_matches('/').to_owned();
        let number = value("partNumber").and_then(|number| number.parse().ok());
        match (method, value("uploadId"), number) {
            ("PUT", Some(upload), Some(number)) => Self::UploadPart { upload, number },
            ("PUT", None, _) => Self::PutObject { key },
            ("POST", Some(upload), _) => Self::CompleteMultipartUpload { upload },
            ("POST", None, _) if value("uploads").is_some() => Self::CreateMultipartUpload { key },
            ("GET", Some(upload), _) => Self::ListParts { upload },
            ("GET", None, _) if value("uploads").is_some() => Self::ListMultipartUploads,
            ("DELETE", Some(upload), _) => Self::AbortMultipartUpload { upload },
            ("DELETE", None, _) => Self::DeleteObject { key },
            ("HEAD", ..) if !key.contains('/') => Self::HeadBucket,
            ("HEAD", ..) => Self::HeadObject { key },
            _ => Self::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_an_aws_chunked_body_counts_its_content() {
        let head = "PUT /uploads/photos/a?x-id=UploadPart&partNumber=3&uploadId=u9 HTTP/1.1\r\nHost: a:1\r\n\
                    Content-Length: 70\r\nX-Amz-Decoded-Content-Length: 42\r\nExpect: 100-continue\r\n\r\n";
        let request = Request::parse(head).unwrap();
        assert_eq!(request.operation, Operation::UploadPart { upload: "u9".to_owned(), number: 3 });
        assert_eq!((request.framing, request.decoded_length), (Framing::Length(70), Some(42)));
        assert!(request.wants_continue && !request.is_last);
    }

    #[test]
    fn operations_are_told_by_method_and_query() {
        let key = || "uploads/a/b".to_owned();
        let upload = || "7".to_owned();
        for (method, target, operation) in [
            ("POST", "/uploads/a/b?uploads", Operation::CreateMultipartUpload { key: key() }),
            ("POST", "/uploads/a/b?uploadId=7", Operation::CompleteMultipartUpload { upload: upload() }),
            ("DELETE", "/uploads/a/b?uploadId=7", Operation::AbortMultipartUpload { upload: upload() }),
            ("GET", "/uploads/a/b?uploadId=7&x-id=ListParts", Operation::ListParts { upload: upload() }),
            ("GET", "/uploads?uploads=&prefix=x", Operation::ListMultipartUploads),
            ("PUT", "/uploads/a/b?x-id=PutObject", Operation::PutObject { key: key() }),
            ("HEAD", "/uploads/a/b", Operation::HeadObject { key: key() }),
            ("HEAD", "/uploads/", Operation::HeadBucket),
            ("GET", "/uploads/a/b", Operation::Unknown),
        ] {
            assert_eq!(Operation::of(method, target), operation);
        }
    }

    #[test]
    fn what_is_no_http_is_no_request() {
        assert_eq!(Request::parse("hello\r\n\r\n"), None);
        assert_eq!(Request::parse("PUT / HTTP/1.1\r\nContent-Length: many\r\n\r\n"), None);
    }
}
