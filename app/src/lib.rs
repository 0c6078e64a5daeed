//! What browser and server share, and all that the browser shows.
//!
//! Modules in the order of an upload: the wire's types, a file's row folded from them, the words of
//! every language and a row in them, what talks to the server, what is seen, and the documents the
//! server wraps it in.

pub use wire;

pub mod transfers;

pub mod words;

pub mod captions;
pub mod sentences;

mod json;

pub mod feed;
pub mod send;

pub mod bars;
pub mod card;
pub mod page;

pub mod document;

pub use document::{PageConfig, page_html, result_html, result_page, shell};
pub use page::{App, Session};
pub use words::{Language, Words};
