//! What browser and server share, and all that the browser shows.
//!
//! Modules in the order of an upload: the wire's types, a file's row folded from them, the words of
//! every language and a row in them, what talks to the server, the page's state and what changes and
//! paints it, and the documents that the server writes.

pub use wire;

pub mod pace;
pub mod transfers;

pub mod words;

pub mod captions;
pub mod lanes;
pub mod sentences;

mod json;

pub mod feed;
pub mod send;

pub mod session;
pub mod state;

mod awake;
mod choosing;
mod dom;
mod live;
mod memory;
mod paint;

pub mod document;
pub mod page;

pub use document::{PageConfig, document_html, head, page_html, result_html, result_page, shell};
pub use live::start;
pub use words::{Language, Words};
