//! What browser and server share, and all that the browser shows.

pub mod wire;
