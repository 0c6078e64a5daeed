//! The embedded store through its front door: a real listener, the real SDK, real files.

mod faults;
mod fixture;
mod killed;
mod listing;
mod multipart;
mod objects;
mod streaming;
