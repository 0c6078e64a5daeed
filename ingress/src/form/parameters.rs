//! A header's value and its parameters, as Content-Type and Content-Disposition have them: `value; a=b; c="d"`.

const SPACE: [char; 2] = [' ', '\t'];
/// Parameters of one header; a form's have three. Each is compared with all others.
const MAX_PARAMETERS: usize = 32;

/// A value, and its parameters in order.
#[derive(Debug, PartialEq, Eq)]
pub struct Parameters<'a> {
    pub value: &'a str,
    all: Vec<(&'a str, String)>,
}

impl<'a> Parameters<'a> {
    /// Reads a header (RFC 9110, 5.6.6); `None` if it is not well formed, has too many, or one twice, of which two
    /// readers may choose different ones (RFC 6266, 4.1).
    ///
    /// In quotes only a quote is unescaped, since a path of Windows is not escaped.
    pub fn parse(header: &'a str) -> Option<Self> {
        let (value, mut rest) = header.split_at(header.find(';').unwrap_or(header.len()));
        let mut all: Vec<(&str, String)> = Vec::new();
        while let Some(next) = rest.strip_prefix(';') {
            rest = next.trim_start_matches(SPACE);
            if rest.is_empty() || rest.starts_with(';') {
                continue;
            }
            let (name, after) = rest.split_at(token(rest));
            let after = after.strip_prefix('=').filter(|_| !name.is_empty())?;
            let (value, after) = match after.strip_prefix('"') {
                Some(quoted) => unquote(quoted)?,
                None => bare(after)?,
            };
            if all.len() == MAX_PARAMETERS || all.iter().any(|(other, _)| other.eq_ignore_ascii_case(name)) {
                return None;
            }
            all.push((name, value));
            rest = after.trim_start_matches(SPACE);
        }
        rest.is_empty().then_some(Self { value: value.trim_matches(SPACE), all })
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.all.iter().find(|(other, _)| other.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

/// A value without quotes, and what follows it. It should be a token, but clients leave out quotes round a boundary or
/// a name that is none: only what would be ambiguous is refused.
fn bare(text: &str) -> Option<(String, &str)> {
    let end = text.find([';', ' ', '\t']).unwrap_or(text.len());
    let (value, after) = text.split_at(end);
    (!value.contains(['"', ','])).then(|| (value.to_owned(), after))
}

/// How many bytes of a token `text` begins with (RFC 9110, 5.6.2).
fn token(text: &str) -> usize {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    text.bytes().position(|byte| !is_token(byte)).unwrap_or(text.len())
}

/// The text up to the closing quote, and what follows it.
///
/// A backslash escapes a quote (curl before 7.81, or with `--form-escape`), and another backslash before one. Browsers
/// escape no backslash (WHATWG HTML, multipart/form-data encoding: only `"`, CR and LF, by percent), so their name `x\`
/// ends in `\"`: the quote that the header ends with closes, whatever stands before it.
fn unquote(quoted: &str) -> Option<(String, &str)> {
    let mut text = String::new();
    let mut rest = quoted;
    loop {
        let end = rest.find('"')?;
        let (before, after) = (&rest[..end], &rest[end + 1..]);
        let backslashes = end - before.trim_end_matches('\\').len();
        if backslashes % 2 == 0 || after.trim_matches(SPACE).is_empty() {
            text.push_str(before);
            return Some((text, after));
        }
        text.push_str(&before[..end - 1]);
        text.push('"');
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_however_they_are_written() {
        let header = "a/b ; C=d;\te=\"f; g=\\\"h\\\"\" ;; i=; j=\"\"; k===ä(1)?:/=;";
        let read = Parameters::parse(header).unwrap();
        assert_eq!(read.value, "a/b");
        let values = ["c", "E", "i", "j", "g"].map(|name| read.get(name));
        assert_eq!(values, [Some("d"), Some("f; g=\"h\""), Some(""), Some(""), None]);
        assert_eq!(read.get("k"), Some("==ä(1)?:/="));
        assert_eq!(Parameters::parse("").map(|read| read.value), Some(""));
    }

    #[test]
    fn a_backslash_before_a_quote_is_an_escape_or_a_browsers_last_letter() {
        for (quoted, text) in [
            (r#""a\"b""#, Some(r#"a"b"#)),
            (r#""a\"b"; c=d"#, Some(r#"a"b"#)),
            (r#""a\\\"b""#, Some(r#"a\\"b"#)),
            (r#""a\"; b.pdf""#, Some(r#"a"; b.pdf"#)),
            (r#""a\"; c=""#, Some(r#"a"; c="#)),
            (r#""a\"""#, Some(r#"a""#)),
            (r#""a\\""#, Some(r"a\\")),
            (r#""a\\"; c=d"#, Some(r"a\\")),
            (r#""\\server\share\a b""#, Some(r"\\server\share\a b")),
            (r#""a\" "#, Some(r"a\")),
            (r#""a\\\""#, Some(r"a\\\")),
            (r#""\""#, Some(r"\")),
            (r#""a\"; c=d"#, None),
            (r#""a\"; c="d""#, None),
            (r#""a\";"#, None),
            (r#""a\\"b""#, None),
        ] {
            let header = format!("x; b={quoted}");
            let read = Parameters::parse(&header);
            assert_eq!(read.as_ref().and_then(|read| read.get("b")), text, "{header}");
        }
    }

    #[test]
    fn parameters_have_an_end() {
        let header = |count: usize| (0..count).map(|n| format!("; p{n}=v")).collect::<String>();
        assert!(Parameters::parse(&header(MAX_PARAMETERS)).is_some());
        assert!(Parameters::parse(&header(MAX_PARAMETERS + 1)).is_none());
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_not_read() {
        for header in [
            "a; b",
            "a; =b",
            "a; b =c",
            "a; b= c",
            "a; b=c d=e",
            "a; b=c, d",
            "a; b=c\"",
            "a; b=\"c",
            "a; b=\"c\\\";",
            "a; b=\"c\\\"; d=e",
            "a; b=\"c\\\"d",
            "a; b=\"c\\\\\"d\"",
            "a; b=\"c\"d",
            "a; \"b\"=c",
            "a; b=c; b=c",
            "a; b=c; B=d",
        ] {
            assert_eq!(Parameters::parse(header), None, "{header}");
        }
    }
}
