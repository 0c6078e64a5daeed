//! The language of a page: what its address asks for (`?lang=ar`), else what the browser would like best.

use std::convert::Infallible;

use app::Language;
use axum::extract::FromRequestParts;
use axum::http::header::{ACCEPT_LANGUAGE, CONTENT_LANGUAGE, VARY};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue};

/// What a page's reader is spoken to in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spoken {
    pub language: Language,
    /// By the address; the page's own links then ask for it too.
    pub is_asked: bool,
}

impl Spoken {
    fn read(query: Option<&str>, headers: &HeaderMap) -> Self {
        let asked = query.unwrap_or_default().split('&').find_map(|pair| pair.strip_prefix("lang="));
        if let Some(language) = asked.and_then(Language::of_tag) {
            return Self { language, is_asked: true };
        }
        let lines = headers.get_all(ACCEPT_LANGUAGE).iter().filter_map(|line| line.to_str().ok());
        let language = Language::accepted(&lines.collect::<Vec<_>>().join(","));
        Self { language, is_asked: false }
    }

    /// Says so of an answer.
    pub fn mark(self, headers: &mut HeaderMap) {
        headers.insert(CONTENT_LANGUAGE, HeaderValue::from_static(self.language.code()));
        headers.append(VARY, HeaderValue::from_static("accept-language"));
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Spoken {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(Self::read(parts.uri.query(), &parts.headers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use app::Words;

    #[test]
    fn the_address_goes_before_the_browser() {
        let mut headers = HeaderMap::new();
        let spoken = |query, headers: &HeaderMap| {
            let spoken = Spoken::read(query, headers);
            (spoken.language, spoken.is_asked)
        };
        assert_eq!(spoken(None, &headers), (Language::English, false));
        headers.append(ACCEPT_LANGUAGE, HeaderValue::from_static("fr"));
        headers.append(ACCEPT_LANGUAGE, HeaderValue::from_static("ar;q=0.5"));
        assert_eq!(spoken(None, &headers), (Language::Arabic, false));
        assert_eq!(spoken(Some("client_id=a&lang=en"), &headers), (Language::English, true));
        assert_eq!(spoken(Some("lang=xx"), &headers), (Language::Arabic, false));
        headers.insert(ACCEPT_LANGUAGE, HeaderValue::from_bytes(b"\xff").unwrap());
        assert_eq!(spoken(Some("lang"), &headers), (Language::English, false));
    }

    /// Of the table of failures itself, so that none is forgotten: its texts are code, sentence, code, sentence.
    #[test]
    fn every_failure_has_a_sentence_in_every_language() {
        let source = include_str!("../../ingress/src/error.rs");
        let table = source.split("fn row(self)").nth(1).unwrap().split("fn code(self)").next().unwrap();
        let texts: Vec<&str> = table.split('"').skip(1).step_by(2).collect();
        let rows: Vec<(&str, &str)> = texts.chunks_exact(2).map(|row| (row[0], row[1])).collect();
        assert!(rows.contains(&("internal", crate::error::Failure::Internal.sentence())), "{rows:?}");
        for &(code, _) in &rows {
            for language in Language::ALL {
                assert!(Words::of(language).fault(code).is_some(), "{code} in {language:?}");
            }
            // In English both say the same; the page knows better why a client's connection ended.
            let ours = Words::of(Language::English).fault(code).unwrap();
            let is_theirs = rows.iter().any(|row| row.0 == code && row.1.starts_with(ours));
            assert!(is_theirs || code == "client_gone", "{code}: {ours}");
        }
    }
}
