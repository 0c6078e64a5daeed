//! The embedded store through its front door: a real listener, the real SDK, real files.

#![expect(clippy::unwrap_used, reason = "where a test cannot go on it fails")]

#[path = "../support/disk.rs"]
mod disk;
mod faults;
mod fixture;
mod killed;
mod listing;
mod model;
mod multipart;
mod objects;
#[path = "../support/plain_http.rs"]
mod plain_http;
mod streaming;
mod switches;
