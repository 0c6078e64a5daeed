//! A part's header: which field it is, and what the file is called.

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
    /// `bad_part_header`: not a header, no name, or an encoding that a browser never uses: the bytes are stored
    /// as they come.
    pub fn parse(lines: &[u8]) -> Result<Self, Failure> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_LINES];
        let Ok(httparse::Status::Complete((_, headers))) = httparse::parse_headers(lines, &mut headers)
        else {
            return Err(Failure::BadPartHeader);
        };
        let value = |name: &str| {
            headers.iter().find(|header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value)
        };
        let encoding = value("content-transfer-encoding").map(<[u8]>::to_ascii_lowercase);
        let is_verbatim =
            encoding.is_none_or(|encoding| matches!(encoding.as_slice(), b"7bit" | b"8bit" | b"binary"));
        let is_nested =
            value("content-type").is_some_and(|media| media.to_ascii_lowercase().starts_with(b"multipart/"));
        if !is_verbatim || is_nested {
            return Err(Failure::BadPartHeader);
        }
        let disposition = value("content-disposition").ok_or(Failure::BadPartHeader)?;
        let disposition = String::from_utf8_lossy(disposition);
        let name = parameter(&disposition, "name")?.ok_or(Failure::BadPartHeader)?;
        Ok(Self { name, file_name: parameter(&disposition, "filename")? })
    }
}

/// A parameter of a Content-Disposition; in quotes only a quote can be escaped, since a path of Windows is not.
fn parameter(disposition: &str, name: &str) -> Result<Option<String>, Failure> {
    let mut rest = disposition;
    while let Some((key, value)) = rest.split_once(';').and_then(|(_, rest)| rest.split_once('=')) {
        let (value, after) = match value.trim_start().strip_prefix('"') {
            Some(quoted) => unquote(quoted).ok_or(Failure::BadPartHeader)?,
            None => {
                let end = value.find(';').unwrap_or(value.len());
                (value[..end].trim().to_owned(), &value[end..])
            }
        };
        if key.trim().eq_ignore_ascii_case(name) {
            return Ok(Some(value));
        }
        rest = after;
    }
    Ok(None)
}

/// The text up to the closing quote, and what follows it.
fn unquote(quoted: &str) -> Option<(String, &str)> {
    let mut text = String::new();
    let mut rest = quoted;
    loop {
        let end = rest.find('"')?;
        let (before, after) = (&rest[..end], &rest[end + 1..]);
        match before.strip_suffix('\\') {
            Some(escaped) => {
                text.push_str(escaped);
                text.push('"');
                rest = after;
            }
            None => {
                text.push_str(before);
                return Some((text, after));
            }
        }
    }
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
        assert_eq!(names(r#"form-data; name="a"; filename="""#), file("a", ""));
        assert_eq!(names(r#"form-data; name="a"; filename*=UTF-8''b"#), ("a".to_owned(), None));
        assert_eq!(names(r#"form-data; name="a""#), ("a".to_owned(), None));
    }

    #[test]
    fn what_is_no_header_of_a_form_is_refused() {
        for disposition in [
            "form-data",
            r#"form-data; filename="b""#,
            r#"form-data; name="open"#,
            r#"form-data; name="a"; filename="b\""#,
        ] {
            assert_eq!(parse(disposition), Err(Failure::BadPartHeader), "{disposition}");
        }
        let good = "Content-Disposition: form-data; name=a\r\n";
        for line in [
            "no colon\r\n",
            " folded\r\n",
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
