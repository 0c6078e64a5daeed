//! What anybody may send, put through the parsers: one function for each fuzz target.
//!
//! The fuzzer (`fuzz/`, `cargo xtask fuzz`) calls them with what it makes up, the tests with what it has found. Each
//! panics when a promise is broken, and is happy with every input otherwise.

mod form;
mod kinds;
mod messages;
mod names;
mod records;
mod sizes;

use bytes::Bytes;

pub use form::form;
pub use kinds::kinds;
pub use messages::messages;
pub use names::names;
pub use records::records;
pub use sizes::sizes;

/// A target's function.
pub type Target = fn(&[u8]);

/// Every target by its name, which is also that of its corpus.
pub const TARGETS: [(&str, Target); 6] = [
    ("form", form),
    ("kinds", kinds),
    ("messages", messages),
    ("names", names),
    ("records", records),
    ("sizes", sizes),
];

/// How a body comes: in pieces of random sizes, the same for the same seed.
struct Cuts {
    state: u32,
    /// Largest piece, in bytes.
    most: u32,
}

impl Cuts {
    /// The input's first two bytes decide; the pieces are at most `sizes` long.
    fn split<'a>(data: &'a [u8], sizes: &[u32; 8]) -> Option<(Self, &'a [u8])> {
        let ([low, high], rest) = data.split_first_chunk()?;
        let most = sizes[usize::from(low % 8)];
        Some((Self { state: u32::from_le_bytes([*low, *high, 1, 1]), most }, rest))
    }

    fn of(mut self, body: &[u8]) -> Vec<Bytes> {
        let mut rest = Bytes::copy_from_slice(body);
        let mut pieces = Vec::new();
        while !rest.is_empty() {
            let size = 1 + self.random() % self.most;
            pieces.push(rest.split_to(rest.len().min(size as usize)));
        }
        pieces
    }

    fn random(&mut self) -> u32 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 17;
        self.state ^= self.state << 5;
        self.state
    }
}
