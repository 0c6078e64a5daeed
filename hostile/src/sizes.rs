//! A request's head: size headers, client id, type and length.

use http::{HeaderMap, HeaderValue, header};
use ingress::announced::Announced;
use wire::{CLIENT_ID_HEADER, FileType};

/// A header a line: its first byte says which, the rest is its value.
///
/// A size is what one header of plain digits says; anything else is an error, and never a number. What is taken is no
/// larger than what is allowed.
pub fn sizes(data: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in data.split(|byte| *byte == b'\n').take(50) {
        let Some((which, value)) = line.split_first() else { continue };
        let name = match which % 8 {
            0 | 1 => FileType::DocsFile.size_header(),
            2 | 3 => FileType::MsaImgs.size_header(),
            4 => CLIENT_ID_HEADER,
            5 => header::CONTENT_TYPE.as_str(),
            6 => header::CONTENT_LENGTH.as_str(),
            _ => header::CONTENT_ENCODING.as_str(),
        };
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.append(header::HeaderName::from_static(name), value);
        }
    }
    let announced = Announced::read(&headers);
    for (file_type, read) in FileType::ALL.into_iter().zip(announced.sizes) {
        let values: Vec<&[u8]> =
            headers.get_all(file_type.size_header()).iter().map(HeaderValue::as_bytes).collect();
        let expected = match values.as_slice() {
            [] => Ok(None),
            [digits] => decimal(digits).map(Some).ok_or(()),
            _ => Err(()),
        };
        assert_eq!(read.map_err(drop), expected, "{values:?}");
    }
    if let Ok(Some(client)) = &announced.client {
        let id = client.as_str();
        assert!((1..=128).contains(&id.len()), "{id}");
        assert!(id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'), "{id}");
    }
    let largest = |file_type| if file_type == FileType::DocsFile { 1_000 } else { 100 };
    if announced.check(largest).is_ok() {
        for (file_type, size) in FileType::ALL.into_iter().zip(announced.sizes) {
            assert!(size.is_ok_and(|size| size.is_none_or(|size| size <= largest(file_type))));
        }
        assert!(!headers.get_all(header::CONTENT_ENCODING).iter().any(|value| value == "gzip"));
    }
    // Whatever is allowed, no sum of it may overflow.
    let _ = announced.check(|_| u64::MAX);
}

/// By hand, digit by digit.
fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |number, digit| {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit < 10)?;
        number.checked_mul(10)?.checked_add(u64::from(digit))
    })
}
