//! An object's bytes, or a range of them, read piece by piece and verified before they are sent.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use s3s::dto::StreamingBlob;

use super::blocks::Reader;
use super::bucket::Object;

/// Bytes read from the disk at once; a multiple of the block, so that no block is verified twice.
const CHUNK: usize = 256 * 1024;

/// What is still to be read of an object. Overwriting or deleting it meanwhile changes nothing here.
pub struct Content {
    object: Arc<Object>,
    open: Option<OpenPiece>,
    left: Range<u64>,
}

struct OpenPiece {
    reader: Reader,
    /// Of the piece's first byte in the object.
    start: u64,
}

impl Content {
    /// `file` is the object's own. Blocks.
    pub fn new(object: Arc<Object>, file: File, range: Range<u64>) -> io::Result<Self> {
        let mut content = Self { open: None, left: range, object };
        if content.object.record.pieces.is_none() {
            let reader = Reader::new(file)?;
            content.open = Some(content.checked(reader, 0, content.object.record.size)?);
        }
        Ok(content)
    }

    /// Bytes still to be read.
    pub fn left(&self) -> u64 {
        self.left.end.saturating_sub(self.left.start)
    }

    /// The next bytes, empty at the end. Blocks.
    pub fn read(&mut self) -> io::Result<Bytes> {
        if self.left.is_empty() {
            return Ok(Bytes::new());
        }
        let mut piece = match self.open.take() {
            Some(piece) if self.left.start < piece.start + piece.reader.size() => piece,
            _ => self.open_next()?,
        };
        let offset = self.left.start - piece.start;
        // Up to where the next read begins on a whole chunk.
        let room = CHUNK as u64 - offset % CHUNK as u64;
        let most = room.min(self.left.end - self.left.start);
        let bytes = piece.reader.read(offset, usize::try_from(most).map_err(io::Error::other)?)?;
        self.left.start += bytes.len() as u64;
        self.open = Some(piece);
        Ok(bytes)
    }

    /// `first` has been read already: a damaged object is refused before the first byte is sent.
    pub fn into_blob(self, first: Bytes) -> StreamingBlob {
        StreamingBlob::wrap(Box::pin(stream::try_unfold(
            (self, Some(first)),
            |(mut content, first)| async move {
                if let Some(first) = first {
                    return Ok(Some((first, (content, None))));
                }
                let read = tokio::task::spawn_blocking(move || content.read().map(|bytes| (bytes, content)));
                let (bytes, content) = read.await.map_err(io::Error::other)??;
                Ok::<_, io::Error>((!bytes.is_empty()).then_some((bytes, (content, None))))
            },
        )))
    }

    fn open_next(&self) -> io::Result<OpenPiece> {
        let lost = || io::Error::new(io::ErrorKind::InvalidData, "a piece is missing");
        let pieces = self.object.record.pieces.as_ref().ok_or_else(lost)?;
        let mut start = 0;
        for piece in &pieces.parts {
            if self.left.start < start + piece.size {
                let path = self.object.piece(piece.number).ok_or_else(lost)?;
                let file = File::open(path).map_err(|error| match error.kind() {
                    io::ErrorKind::NotFound => lost(),
                    _ => error,
                })?;
                return self.checked(Reader::new(file)?, start, piece.size);
            }
            start += piece.size;
        }
        Err(lost())
    }

    fn checked(&self, reader: Reader, start: u64, size: u64) -> io::Result<OpenPiece> {
        if reader.size() != size {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "a file has another size than the object's record says",
            ));
        }
        Ok(OpenPiece { reader, start })
    }
}
