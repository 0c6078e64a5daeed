//! A part's header: which field it is, and what the file is called.

use super::parameters::Parameters;
use crate::error::Failure;

/// Header lines of one part; a browser sends two.
const MAX_LINES: usize = 32;

/// What a part says of itself.
#[derive(Debug, PartialEq, Eq)]
pub struct PartHead {
    pub name: String,
    /// As it was sent; present means that the part is a file.
    pub file_name: Option<String>,
}

impl PartHead {
    /// Reads the header `lines`.
    ///
    /// # Errors
    /// `bad_part_header`: not a header, no name, what two readers might read differently, or an encoding that a
    /// browser never uses: the bytes are stored as they come.
    pub fn parse(lines: &[u8]) -> Result<Self, Failure> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_LINES];
        // The parser takes LF alone for a line's end too, and then stops at the first two.
        let is_bare = |at: usize| at == 0 || lines[at - 1] != b'\r';
        if memchr::memchr_iter(b'\n', lines).any(is_bare) {
            return Err(Failure::BadPartHeader);
        }
        let Ok(httparse::Status::Complete((_, headers))) = httparse::parse_headers(lines, &mut headers)
        else {
            return Err(Failure::BadPartHeader);
        };
        let encoding = only(headers, "content-transfer-encoding")?.map(<[u8]>::to_ascii_lowercase);
        let is_verbatim =
            encoding.is_none_or(|encoding| matches!(encoding.as_slice(), b"7bit" | b"8bit" | b"binary"));
        let media = only(headers, "content-type")?.unwrap_or_default();
        if !is_verbatim || media.to_ascii_lowercase().starts_with(b"multipart/") {
            return Err(Failure::BadPartHeader);
        }
        let disposition = only(headers, "content-disposition")?.ok_or(Failure::BadPartHeader)?;
        Self::named(&String::from_utf8_lossy(disposition)).ok_or(Failure::BadPartHeader)
    }

    fn named(disposition: &str) -> Option<Self> {
        let disposition = Parameters::parse(disposition)?;
        if !disposition.value.eq_ignore_ascii_case("form-data") {
            return None;
        }
        // Where there are both, the plain one is for readers who do not know the other (RFC 6266, 4.3).
        let plain = disposition.get("filename").map(str::to_owned);
        let file_name = match disposition.get("filename*") {
            Some(extended) => Some(decode(extended).or(plain)?),
            None => plain,
        };
        Some(Self { name: disposition.get("name")?.to_owned(), file_name })
    }
}

/// The value of a header that may come once.
fn only<'a>(headers: &[httparse::Header<'a>], name: &str) -> Result<Option<&'a [u8]>, Failure> {
    let mut values = headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name));
    let value = values.next().map(|header| header.value);
    if values.next().is_some() { Err(Failure::BadPartHeader) } else { Ok(value) }
}

/// Reads `charset'language'text` (RFC 8187). RFC 7578 forbids it in forms, but some libraries send nothing else for
/// a name beyond ASCII, always in UTF-8.
fn decode(extended: &str) -> Option<String> {
    let mut rest = extended.splitn(3, '\'').nth(2)?.as_bytes();
    let mut bytes = Vec::new();
    while let [first, after @ ..] = rest {
        let (byte, after) = match first {
            b'%' => (hex(after.get(..2)?)?, &after[2..]),
            byte => (*byte, after),
        };
        bytes.push(byte);
        rest = after;
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn hex(digits: &[u8]) -> Option<u8> {
    // `from_str_radix` alone would take a sign.
    let digits =
        std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|b| b.is_ascii_hexdigit()))?;
    u8::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(disposition: &str) -> Result<PartHead, Failure> {
        PartHead::parse(format!("Content-Disposition: {disposition}\r\n\r\n").as_bytes())
    }

    fn names(disposition: &str) -> (String, Option<String>) {
        let head = parse(disposition).unwrap();
        (head.name, head.file_name)
    }

    #[test]
    fn name_and_file_name_are_read_however_they_are_written() {
        let file = |name: &str, file: &str| (name.to_owned(), Some(file.to_owned()));
        assert_eq!(names(r#"form-data; name="a"; filename="b.pdf""#), file("a", "b.pdf"));
        assert_eq!(names(r#"form-data; filename="b.pdf"; name="a""#), file("a", "b.pdf"));
        assert_eq!(names("form-data; name=a; filename=b.pdf"), file("a", "b.pdf"));
        assert_eq!(names(r#"form-data;NAME="a";FileName="b;c=\"d\".pdf""#), file("a", r#"b;c="d".pdf"#));
        assert_eq!(names(r#"form-data; name="a"; filename="C:\dir\b.pdf""#), file("a", r"C:\dir\b.pdf"));
        assert_eq!(names(r#"form-data; name="a"; filename="b\""#), file("a", r"b\"));
        assert_eq!(names(r#"form-data; name="a"; filename="""#), file("a", ""));
        assert_eq!(names(r#"form-data; name="a"; filename*=UTF-8''%e2%82%ac"#), file("a", "€"));
        assert_eq!(names(r#"form-data; name="a"; filename*=UTF-8''c; filename=b"#), file("a", "c"));
        assert_eq!(names(r#"form-data; name="a"; filename*=c; filename=b"#), file("a", "b"));
        assert_eq!(names("form-data; name=a; filename*=UTF-8''a%20(1).pdf"), file("a", "a (1).pdf"));
        assert_eq!(names(r#"form-data; name="a""#), ("a".to_owned(), None));
    }

    #[test]
    fn what_is_no_header_of_a_form_is_refused() {
        for disposition in [
            "form-data",
            r#"form-data; filename="b""#,
            r#"form-data; name="open"#,
            r#"form-data; filename="b\"; name="a""#,
            r#"form-data; name="a"; filename*=b"#,
            r#"form-data; name="a"; filename*=UTF-8''%+1"#,
            r#"attachment; name="a"; filename="b""#,
        ] {
            assert_eq!(parse(disposition), Err(Failure::BadPartHeader), "{disposition}");
        }
        let good = "Content-Disposition: form-data; name=a\r\n";
        for line in [
            "no colon\r\n",
            " folded\r\n",
            "a: b\n",
            "\n",
            "Content-Disposition: form-data; name=a\r\n",
            "nul: \0\r\n",
            "Content-Transfer-Encoding: base64\r\n",
            "Content-Type: multipart/mixed; boundary=x\r\n",
            &"a: b\r\n".repeat(MAX_LINES),
        ] {
            let lines = format!("{good}{line}\r\n");
            assert_eq!(PartHead::parse(lines.as_bytes()), Err(Failure::BadPartHeader), "{line:?}");
        }
        let binary = format!("{good}Content-Transfer-Encoding: Binary\r\n\r\n");
        assert!(PartHead::parse(binary.as_bytes()).is_ok());
    }
}
