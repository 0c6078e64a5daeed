//! Bucket Brigade's server.

pub mod embedded;
