//! A file that is sent: made of a seed whenever it is needed, so that nobody has to keep it.

use app::wire::FileType;

use crate::support::sample::{jpeg_of, pdf_of};

/// Below these a file has no room for what makes it different from the others.
const LEAST_DOCUMENT: usize = 600;
const LEAST_IMAGE: usize = 200;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// In its run.
    pub number: u64,
    pub file: FileType,
    /// Bytes.
    pub size: usize,
    pub seed: u64,
}

impl Sample {
    #[must_use]
    pub fn new(number: u64, file: FileType, size: usize, seed: u64) -> Self {
        let least = match file {
            FileType::DocsFile => LEAST_DOCUMENT,
            FileType::MsaImgs => LEAST_IMAGE,
        };
        Self { number, file, size: size.max(least), seed }
    }

    #[must_use]
    pub fn content(&self) -> Vec<u8> {
        match self.file {
            FileType::DocsFile => pdf_of(self.seed, self.size),
            FileType::MsaImgs => jpeg_of(self.seed, self.size),
        }
    }

    #[must_use]
    pub fn media_type(&self) -> &'static str {
        match self.file {
            FileType::DocsFile => "application/pdf",
            FileType::MsaImgs => "image/jpeg",
        }
    }
}

/// CRC64NVME, by which a content is found again.
#[must_use]
pub fn checksum(content: &[u8]) -> u64 {
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, content)
}
