//! Bytes in slabs: copied in once, hashed in passing, and shared from there.

use std::collections::VecDeque;

use bytes::Bytes;
use crc_fast::{CrcAlgorithm, Digest};

use crate::budget::{SLAB, Slab};

/// A run of bytes in slabs: full ones, and the one that is being filled.
pub struct Run {
    /// All of [`SLAB`] bytes, but for the last of a run that is sealed.
    full: VecDeque<Bytes>,
    filling: Option<Slab>,
    /// Slabs given up from the front.
    pub(super) dropped: usize,
    pub(super) len: u64,
    /// CRC64NVME of all bytes so far, in passing: they have just been copied.
    pub(super) checksum: Digest,
}

impl Default for Run {
    fn default() -> Self {
        Self {
            full: VecDeque::new(),
            filling: None,
            dropped: 0,
            len: 0,
            checksum: Digest::new(CrcAlgorithm::Crc64Nvme),
        }
    }
}

impl Run {
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether the next byte needs a new slab.
    #[must_use]
    pub fn is_out_of_room(&self) -> bool {
        self.filling.is_none()
    }

    pub fn add_slab(&mut self, slab: Slab) {
        self.filling = Some(slab);
    }

    /// Copies what fits of `bytes` into the slab that is being filled; returns how much that was.
    pub fn append(&mut self, bytes: &[u8]) -> usize {
        let Some(slab) = &mut self.filling else { return 0 };
        let count = slab.fill(bytes);
        self.checksum.update(&bytes[..count]);
        self.len += count as u64;
        if slab.is_full() {
            self.seal();
        }
        count
    }

    /// Shares what is filled: nothing follows in that slab.
    pub(super) fn seal(&mut self) {
        self.full.extend(self.filling.take().map(Slab::freeze));
    }

    fn holds_from(&self) -> u64 {
        (self.dropped * SLAB) as u64
    }

    /// The bytes from `position` on that lie in one slab, `most` at most; `None` where they were given up.
    ///
    /// Of a slab that is still being filled it is a copy: the slab is kept for the replay, the copy only until
    /// it is sent.
    pub(super) fn frame(&self, position: u64, most: u64) -> Option<Bytes> {
        let offset = usize::try_from(position.checked_sub(self.holds_from())?).ok()?;
        let (index, start) = (offset / SLAB, offset % SLAB);
        let end = |len: usize| usize::try_from(most).map_or(len, |most| len.min(start.saturating_add(most)));
        match self.full.get(index) {
            Some(slab) => Some(slab.slice(start..end(slab.len()))),
            None => {
                let filled = self.filling.as_ref()?.as_ref();
                Some(Bytes::copy_from_slice(&filled[start..end(filled.len())]))
            }
        }
    }

    /// Gives up the full slabs before `position`; returns how many.
    pub(super) fn drop_before(&mut self, position: u64) -> usize {
        let before = self.dropped;
        while let Some(slab) = self.full.front()
            && self.holds_from() + slab.len() as u64 <= position
        {
            self.full.pop_front();
            self.dropped += 1;
        }
        self.dropped - before
    }

    pub(super) fn clear(&mut self) {
        self.full.clear();
        self.filling = None;
    }
}
