//! Streams uploads from a browser into S3 and reports how far they are.

pub mod connector;
pub mod kind;
