//! File names: out of a part's header, and into the object's Content-Disposition.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, stream};
use http::HeaderValue;
use ingress::form::Form;
use ingress::kind::content_disposition;
use ingress::peer::Patience;

/// Any text as a name, as the value of a part's header, and as a browser writes it there.
pub fn names(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    outgoing(&text);
    if let Some(name) = incoming(data) {
        assert!(!name.is_empty() && !name.contains(['/', '\\']), "{name:?} is a path");
        outgoing(&name);
    }
    // A browser escapes three characters and nothing else, so that a `%` of the name may be taken for an escape.
    if !text.is_empty() && text.len() < 4000 && !text.contains(['/', '\\', '%']) {
        let escaped = text.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A");
        let is_refused = escaped.chars().any(|c| c.is_ascii_control() && c != '\t');
        let header = format!("form-data; name=\"docs_field\"; filename=\"{escaped}\"");
        assert_eq!(incoming(header.as_bytes()), (!is_refused).then(|| text.into_owned()));
    }
}

/// The name in a part with this Content-Disposition.
fn incoming(disposition: &[u8]) -> Option<String> {
    let body = [b"--B\r\nContent-Disposition: ", disposition, b"\r\n\r\nx\r\n--B--"].concat();
    let body = Box::pin(stream::iter([Ok(Bytes::from(body))]));
    let patience = Patience { silence: Duration::from_secs(1), rate_window: Duration::from_secs(1) };
    let mut form =
        Form::open(Some("multipart/form-data; boundary=B"), body, patience).expect("a form's type");
    form.next_file().now_or_never()?.ok()??.name
}

/// A legal header, and a name in it that a file system may have.
fn outgoing(name: &str) {
    let header = content_disposition(Some(name));
    assert!(HeaderValue::from_str(&header).is_ok_and(|value| value.to_str().is_ok()), "{header:?}");
    assert!(header.len() < 1200, "{} bytes", header.len());
    let Some(values) = header.strip_prefix("attachment; filename=\"") else {
        assert_eq!(header, "attachment");
        return;
    };
    let (quoted, extended) = values.split_once('"').expect("the quotes close");
    assert!(!quoted.contains('\\'), "an escape in {header:?}");
    let shown = match extended.strip_prefix("; filename*=UTF-8''") {
        Some(extended) => decoded(extended),
        None => {
            assert_eq!(extended, "");
            quoted.to_owned()
        }
    };
    assert_eq!(shown.chars().count(), quoted.chars().count(), "both names are the same one: {header:?}");
    assert!((1..=255).contains(&shown.len()), "{shown:?} is {} bytes long", shown.len());
    assert!(shown != "." && shown != "..");
    assert_eq!(shown.trim(), shown);
    for character in shown.chars() {
        assert!(!character.is_control() && character != '/' && character != '\\', "{shown:?}");
        assert!(!matches!(character, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}'), "{shown:?}");
    }
    assert_eq!(content_disposition(Some(&shown)), header, "a name that was made fit fits");
}

/// RFC 8187's `value-chars`, read strictly.
fn decoded(value: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = value.as_bytes();
    while let [first, after @ ..] = rest {
        if *first == b'%' {
            let digits = std::str::from_utf8(&after[..2]).expect("two digits");
            bytes.push(u8::from_str_radix(digits, 16).expect("two digits"));
            rest = &after[2..];
        } else {
            assert!(first.is_ascii_alphanumeric() || b"!#$&+-.^_`|~".contains(first), "{value}");
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8(bytes).expect("it says that it is UTF-8")
}
