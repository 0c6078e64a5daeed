//! What the server tells a page about itself, by attributes of `<body>`.

use leptos::prelude::document;

use crate::sentences::Kind;
use crate::wire::FileType;
use crate::words::Words;

/// What every row, place and sentence of a page depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    pub client_id: String,
    /// The two places for files, in their order.
    pub kinds: [Kind; 2],
    pub words: Words,
}

impl Session {
    /// Reads what [`crate::document`] wrote.
    #[must_use]
    pub fn from_document() -> Self {
        let body = document().body();
        let read = |name: &str| body.as_ref().and_then(|body| body.get_attribute(name)).unwrap_or_default();
        let number = |name| read(name).parse().unwrap_or(0);
        Self {
            client_id: read("data-client-id"),
            kinds: kinds(
                number("data-max-document"),
                number("data-max-image"),
                number("data-allow-svg") == 1,
            ),
            words: Words::parse(read("data-words")),
        }
    }
}

/// The two places, with the largest file of each in bytes.
#[must_use]
pub fn kinds(max_document: u64, max_image: u64, svg: bool) -> [Kind; 2] {
    [(FileType::DocsFile, max_document), (FileType::MsaImgs, max_image)].map(|(file_type, limit)| Kind {
        file_type,
        limit,
        svg,
    })
}
