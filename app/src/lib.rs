//! What browser and server share, and all that the browser shows.
//!
//! Modules in the order of an upload: the wire's types, a file's row folded from them, the words of
//! every language and a row in them, what talks to the server, the page's state and what changes and
//! paints it, and the documents that the server writes.

pub use wire;

mod pace;
mod transfers;

pub mod words;

mod captions;
mod lanes;
pub mod sentences;

mod json;

mod feed;
mod send;

mod session;
mod state;

mod awake;
mod choosing;
mod dom;
mod live;
mod memory;
mod paint;

mod document;
mod page;

pub use document::{PageConfig, document_html, head, page_html, result_html};
pub use live::start;
pub use words::{Language, Words};
