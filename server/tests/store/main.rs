//! The embedded store through its front door: a real listener, the real SDK, real files.

#![expect(clippy::unwrap_used, reason = "where a test cannot go on it fails")]

mod faults;
mod fixture;
mod killed;
mod listing;
mod multipart;
mod objects;
mod streaming;
