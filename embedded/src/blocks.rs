//! A sealed file: bytes, a checksum for each block of them, and a record; nothing is read unverified.
//!
//! ```text
//! bytes | CRC32C of each 64 KiB block, u32 LE | record, JSON | tail, 32 bytes
//! tail = size u64 | record length u32 | record CRC u32 | table CRC u32 | CRC of these 20 bytes u32 | magic
//! ```
//! The file's length follows from the tail, so a cut file is found when it is opened. Damage is
//! `io::ErrorKind::InvalidData`. Everything here blocks.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use crc_fast::{CrcAlgorithm, Digest};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Bytes under one checksum: small, so that a range read verifies little more than it needs.
const BLOCK: usize = 64 * 1024;
const TAIL: usize = 32;
const MAGIC: &[u8; 8] = b"pail0001";
/// A record holds at most 10,000 parts and some headers; more than this is not one of ours.
const MAX_RECORD: u32 = 4 * 1024 * 1024;

/// A file being written, removed when dropped before it is published.
pub struct Writer {
    file: File,
    path: Unpublished,
    block: Digest,
    /// Bytes in the block that is being filled.
    filled: usize,
    table: Vec<u32>,
    size: u64,
}

impl Writer {
    pub fn create(path: PathBuf) -> io::Result<Self> {
        let file = File::create_new(&path)?;
        Ok(Self {
            file,
            path: Unpublished(Some(path)),
            block: Digest::new(CrcAlgorithm::Crc32Iscsi),
            filled: 0,
            table: Vec::new(),
            size: 0,
        })
    }

    pub fn size(&self) -> u64 {
        self.size
    }

    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.size += bytes.len() as u64;
        let mut rest = bytes;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(BLOCK - self.filled));
            self.block.update(now);
            self.filled += now.len();
            rest = later;
            if self.filled == BLOCK {
                self.end_block();
            }
        }
        Ok(())
    }

    /// Appends the checksums and the record and waits until the disk has it all.
    pub fn seal<R: Serialize>(mut self, record: &R) -> io::Result<Sealed> {
        if self.filled > 0 {
            self.end_block();
        }
        let table: Vec<u8> = self.table.iter().flat_map(|c| c.to_le_bytes()).collect();
        let record = serde_json::to_vec(record)?;
        let record_len = u32::try_from(record.len())
            .ok()
            .filter(|len| *len <= MAX_RECORD)
            .ok_or_else(|| io::Error::other("the record is too long"))?;
        let tail =
            Tail { size: self.size, record_len, record_crc: crc32c(&record), table_crc: crc32c(&table) };
        let end = [table.as_slice(), record.as_slice(), &tail.to_bytes()].concat();
        self.file.write_all(&end)?;
        self.file.sync_all()?;
        Ok(Sealed(self.path))
    }

    fn end_block(&mut self) {
        self.table.push(short(self.block.finalize_reset()));
        self.filled = 0;
    }
}

/// A whole file on disk under a temporary name; removed when dropped.
pub struct Sealed(Unpublished);

impl Sealed {
    /// Gives the file its name, over whatever had it. Durable once its directory is synced.
    pub fn publish(mut self, name: &Path) -> io::Result<()> {
        if let Some(path) = &self.0.0 {
            fs::rename(path, name)?;
        }
        self.0.0 = None;
        Ok(())
    }
}

struct Unpublished(Option<PathBuf>);

impl Drop for Unpublished {
    fn drop(&mut self) {
        if let Some(path) = self.0.take()
            && let Err(error) = fs::remove_file(&path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "a temporary file of the store stays until the next start");
        }
    }
}

/// An open file whose every block is verified when it is read.
pub struct Reader {
    file: File,
    size: u64,
    table: Vec<u32>,
}

impl Reader {
    pub fn new(mut file: File) -> io::Result<Self> {
        let tail = Tail::read(&mut file)?;
        file.seek(SeekFrom::Start(tail.size))?;
        let mut table = vec![0; to_usize(blocks(tail.size) * 4)?];
        file.read_exact(&mut table)?;
        if crc32c(&table) != tail.table_crc {
            return Err(damaged("the block checksums are damaged"));
        }
        let table = table.as_chunks::<4>().0.iter().map(|c| u32::from_le_bytes(*c)).collect();
        Ok(Self { file, size: tail.size, table })
    }

    pub fn size(&self) -> u64 {
        self.size
    }

    /// Up to `most` bytes from `offset`; fewer only at the end. Reads whole blocks.
    pub fn read(&mut self, offset: u64, most: usize) -> io::Result<Bytes> {
        let end = self.size.min(offset.saturating_add(most as u64));
        if offset >= end {
            return Ok(Bytes::new());
        }
        let first = offset / BLOCK as u64;
        let start = first * BLOCK as u64;
        let stop = self.size.min(end.next_multiple_of(BLOCK as u64));
        let mut bytes = vec![0; to_usize(stop - start)?];
        self.file.seek(SeekFrom::Start(start))?;
        self.file.read_exact(&mut bytes)?;
        let checksums = self.table.iter().skip(to_usize(first)?);
        for (block, expected) in bytes.chunks(BLOCK).zip(checksums) {
            if crc32c(block) != *expected {
                return Err(damaged("a block does not match its checksum"));
            }
        }
        let bytes = Bytes::from(bytes);
        Ok(bytes.slice(to_usize(offset - start)?..to_usize(end - start)?))
    }
}

/// The record alone; the bytes are not looked at.
pub fn read_record<R: DeserializeOwned>(path: &Path) -> io::Result<R> {
    let mut file = File::open(path)?;
    let tail = Tail::read(&mut file)?;
    file.seek(SeekFrom::Start(tail.size + blocks(tail.size) * 4))?;
    let mut record = vec![0; tail.record_len as usize];
    file.read_exact(&mut record)?;
    if crc32c(&record) != tail.record_crc {
        return Err(damaged("the record is damaged"));
    }
    serde_json::from_slice(&record).map_err(|_| damaged("the record cannot be read"))
}

/// Makes the names in a directory durable.
pub fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

struct Tail {
    size: u64,
    record_len: u32,
    record_crc: u32,
    table_crc: u32,
}

impl Tail {
    fn to_bytes(&self) -> [u8; TAIL] {
        let mut bytes = [0; TAIL];
        bytes[..8].copy_from_slice(&self.size.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.record_len.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.record_crc.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.table_crc.to_le_bytes());
        let crc = crc32c(&bytes[..20]);
        bytes[20..24].copy_from_slice(&crc.to_le_bytes());
        bytes[24..].copy_from_slice(MAGIC);
        bytes
    }

    fn read(file: &mut File) -> io::Result<Self> {
        let length = file.metadata()?.len();
        let start = length.checked_sub(TAIL as u64).ok_or_else(|| damaged("the file is too short"))?;
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = [0; TAIL];
        file.read_exact(&mut bytes)?;
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let tail = Self {
            size: u64::from(word(0)) | u64::from(word(4)) << 32,
            record_len: word(8),
            record_crc: word(12),
            table_crc: word(16),
        };
        let whole = bytes[24..] == *MAGIC && word(20) == crc32c(&bytes[..20]);
        if !whole || tail.record_len > MAX_RECORD || tail.file_length() != Some(length) {
            return Err(damaged("the file is cut or not one of the store's"));
        }
        Ok(tail)
    }

    fn file_length(&self) -> Option<u64> {
        self.size.checked_add(blocks(self.size) * 4)?.checked_add(u64::from(self.record_len) + TAIL as u64)
    }
}

fn blocks(size: u64) -> u64 {
    size.div_ceil(BLOCK as u64)
}

fn crc32c(bytes: &[u8]) -> u32 {
    short(crc_fast::checksum(CrcAlgorithm::Crc32Iscsi, bytes))
}

fn short(crc: u64) -> u32 {
    u32::try_from(crc).expect("a CRC32C has 32 bits")
}

fn to_usize(length: u64) -> io::Result<usize> {
    usize::try_from(length).map_err(io::Error::other)
}

fn damaged(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(name: &str) -> PathBuf {
        let random: u128 = rand::random();
        std::env::temp_dir().join(format!("brigade-blocks-{random:032x}-{name}"))
    }

    fn sealed(bytes: &[u8], step: usize) -> PathBuf {
        let name = path("sealed");
        let mut writer = Writer::create(path("temporary")).expect("a working disk");
        bytes.chunks(step).for_each(|c| writer.write(c).expect("a working disk"));
        writer.seal(&"record").expect("a working disk").publish(&name).expect("a working disk");
        name
    }

    fn read_all(path: &Path) -> io::Result<Vec<u8>> {
        let mut reader = Reader::new(File::open(path)?)?;
        let mut all = Vec::new();
        while all.len() < to_usize(reader.size())? {
            all.extend_from_slice(&reader.read(all.len() as u64, 100_000)?);
        }
        Ok(all)
    }

    #[test]
    fn what_is_written_in_any_steps_is_read_in_any_ranges() {
        for size in [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK, 3 * BLOCK + 7] {
            let bytes: Vec<u8> = (0..size).map(|i| (i % 251) as u8).collect();
            for step in [1000, BLOCK - 1, BLOCK, 2 * BLOCK + 1] {
                let path = sealed(&bytes, step);
                assert_eq!(read_record::<String>(&path).expect("a working disk"), "record");
                let mut reader =
                    Reader::new(File::open(&path).expect("a working disk")).expect("a working disk");
                assert_eq!(reader.size(), size as u64);
                for offset in [0, 1, BLOCK - 1, BLOCK, 2 * BLOCK + 3, size] {
                    for most in [1, BLOCK - 1, BLOCK, 2 * BLOCK, 10 * BLOCK] {
                        let end = size.min(offset + most);
                        let expected = bytes.get(offset..end).unwrap_or_default();
                        assert!(reader.read(offset as u64, most).expect("a working disk") == expected);
                    }
                }
                fs::remove_file(path).expect("a working disk");
            }
        }
    }

    #[test]
    fn no_changed_bit_and_no_other_length_goes_unnoticed() {
        let bytes = b"forty-two bytes that a disk may play with.";
        let path = sealed(bytes, 10);
        let whole = fs::read(&path).expect("a working disk");
        let noticed = |content: &[u8]| {
            fs::write(&path, content).expect("a working disk");
            let faults = [read_all(&path).err(), read_record::<String>(&path).err()];
            faults.iter().flatten().any(|e| e.kind() == io::ErrorKind::InvalidData)
        };
        for bit in 0..whole.len() * 8 {
            let mut content = whole.clone();
            content[bit / 8] ^= 1 << (bit % 8);
            assert!(noticed(&content), "bit {bit}");
        }
        for length in 0..whole.len() {
            assert!(noticed(&whole[..length]), "length {length}");
        }
        assert!(noticed(&[whole.as_slice(), b"x"].concat()));
        assert!(!noticed(&whole));
        assert_eq!(read_all(&path).expect("a working disk"), bytes);
        fs::remove_file(path).expect("a working disk");
    }

    #[test]
    fn a_file_that_is_not_published_goes() {
        let temporary = path("temporary");
        let mut writer = Writer::create(temporary.clone()).expect("a working disk");
        writer.write(b"half").expect("a working disk");
        assert!(temporary.exists());
        drop(writer);
        assert!(!temporary.exists());
        let writer = Writer::create(temporary.clone()).expect("a working disk");
        let sealed = writer.seal(&"record").expect("a working disk");
        let nowhere = path("absent").join("name");
        assert!(sealed.publish(&nowhere).is_err());
        assert!(!temporary.exists());
    }
}
