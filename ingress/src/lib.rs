//! What a client sends, read and judged before anything of it is believed.
//!
//! In the order of a request: [`announced`] reads its head, with [`ids`]; [`form`] takes the body apart under the
//! clocks of [`peer`]; [`kind`] finds out what a file is, and what it may be called. [`error`] says what was wrong.
//! Values in, values out: no store, no state of the server. What may come is anybody's, so all of it is fuzzed.

pub mod announced;
pub mod ids;
pub mod peer;
pub mod form;
pub mod kind;
pub mod error;
