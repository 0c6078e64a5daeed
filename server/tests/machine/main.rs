//! What a process and its machine may do: stopped, killed, paused, short of files or memory, misconfigured. One program.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod after;
mod half;

mod clock;
mod commands;
mod demonstrated;
mod killed;
mod limits;
mod logs;
mod notify;
mod panics;
mod paused;
mod shipped;
mod starting;
mod stopping;
