//! A multipart upload, and the rules by which its parts become an object; pure.

use std::collections::BTreeMap;

use crc_fast::CrcAlgorithm;
use s3s::crypto::{Checksum as _, Md5};
use s3s::dto::ETag;
use s3s::{S3Result, s3_error};

use super::paths::hex;
use super::records::{Checksums, PartRecord, Piece, UploadRecord};

/// Of every part but the last: S3's rule.
pub const MIN_PART_SIZE: u64 = 5 * 1024 * 1024;
/// Of a part, and of an object sent in one piece: S3's rule.
pub const MAX_PART_SIZE: u64 = 5 * 1024 * 1024 * 1024;
/// Of an upload: S3's rule.
pub const MAX_PARTS: u16 = 10_000;

/// An open upload.
#[derive(Debug)]
pub struct Upload {
    pub record: UploadRecord,
    pub parts: BTreeMap<u16, PartRecord>,
    /// A Complete is being carried out: parts and the upload stay as they are until it ended.
    pub completing: bool,
}

/// A part as Complete names it.
#[derive(Debug)]
pub struct NamedPart {
    pub number: i32,
    pub etag: Option<ETag>,
    pub checksums: Checksums,
}

/// What Complete says of the whole object.
#[derive(Debug, Default)]
pub struct Declared {
    pub size: Option<i64>,
    pub checksums: Checksums,
}

/// The object that an upload becomes.
#[derive(Debug, PartialEq)]
pub struct Plan {
    pub pieces: Vec<Piece>,
    pub size: u64,
    pub etag: String,
    pub crc64nvme: u64,
}

/// # Errors
/// `MalformedXML` without parts, `InvalidPartOrder`, `InvalidPart`, `EntityTooSmall`; `InvalidRequest` when
/// the size is not the declared one, `BadDigest` when the CRC64NVME is not.
pub fn plan(stored: &BTreeMap<u16, PartRecord>, named: &[NamedPart], declared: &Declared) -> S3Result<Plan> {
    let parts = chosen(stored, named)?;
    let plan = joined(&parts);
    if let Some(size) = declared.size
        && u64::try_from(size).ok() != Some(plan.size)
    {
        let found = plan.size;
        return Err(s3_error!(
            InvalidRequest,
            "The declared object size is {size}, the parts have {found} bytes."
        ));
    }
    let only_crc64nvme =
        Checksums { crc64nvme: declared.checksums.crc64nvme.clone(), ..Checksums::default() };
    if declared.checksums != only_crc64nvme {
        return Err(s3_error!(
            InvalidRequest,
            "Of a whole multipart object this store verifies CRC64NVME only."
        ));
    }
    let found =
        Checksums { crc64nvme: Some(super::digests::crc64_text(plan.crc64nvme)), ..Checksums::default() };
    if only_crc64nvme.mismatch(&found).is_some() {
        return Err(s3_error!(BadDigest, "The CRC64NVME is not that of the parts."));
    }
    Ok(plan)
}

fn chosen<'a>(stored: &'a BTreeMap<u16, PartRecord>, named: &[NamedPart]) -> S3Result<Vec<&'a PartRecord>> {
    if named.is_empty() {
        return Err(s3_error!(MalformedXML, "Complete names no part."));
    }
    if !named.is_sorted_by(|a, b| a.number < b.number) {
        return Err(s3_error!(InvalidPartOrder, "Part numbers have to be ascending."));
    }
    let mut parts = Vec::with_capacity(named.len());
    for named in named {
        let number = named.number;
        let part = u16::try_from(number)
            .ok()
            .and_then(|n| stored.get(&n))
            .filter(|part| named.etag.as_ref().is_some_and(|e| e.value() == hex(&part.md5)))
            .ok_or_else(|| s3_error!(InvalidPart, "Part {number} is not there or has another ETag."))?;
        let mut known = part.checksums.clone();
        known.crc64nvme = Some(super::digests::crc64_text(part.crc64nvme));
        // A checksum of a kind that was not sent with the part cannot be compared.
        let wrong = named
            .checksums
            .named()
            .into_iter()
            .zip(known.named())
            .any(|((_, claimed), (_, known))| claimed.is_some() && known.is_some() && claimed != known);
        if wrong {
            return Err(s3_error!(InvalidPart, "Part {number} has another checksum."));
        }
        parts.push(part);
    }
    let (_, but_last) = parts.split_last().expect("not empty");
    if let Some(small) = but_last.iter().find(|p| p.size < MIN_PART_SIZE) {
        let (number, size) = (small.number, small.size);
        return Err(s3_error!(
            EntityTooSmall,
            "Part {number} has {size} bytes; all but the last need {MIN_PART_SIZE}."
        ));
    }
    Ok(parts)
}

fn joined(parts: &[&PartRecord]) -> Plan {
    let mut md5 = Md5::new();
    let mut size = 0;
    let mut crc64nvme = 0;
    for part in parts {
        md5.update(&part.md5);
        crc64nvme = crc_fast::checksum_combine(CrcAlgorithm::Crc64Nvme, crc64nvme, part.crc64nvme, part.size);
        size += part.size;
    }
    Plan {
        pieces: parts.iter().map(|p| Piece { number: p.number, size: p.size }).collect(),
        size,
        etag: format!("{}-{}", hex(&md5.finalize()), parts.len()),
        crc64nvme,
    }
}

#[cfg(test)]
mod tests {
    use s3s::S3ErrorCode;

    use super::*;

    fn part(number: u16, bytes: &[u8]) -> PartRecord {
        PartRecord {
            number,
            size: bytes.len() as u64,
            md5: Md5::checksum(bytes),
            crc64nvme: crc_fast::checksum(CrcAlgorithm::Crc64Nvme, bytes),
            modified_ms: 0,
            checksums: Checksums::default(),
        }
    }

    fn named(part: &PartRecord) -> NamedPart {
        NamedPart {
            number: i32::from(part.number),
            etag: Some(ETag::Strong(hex(&part.md5))),
            checksums: Checksums::default(),
        }
    }

    fn code(result: S3Result<Plan>) -> S3ErrorCode {
        result.expect_err("refused").code().clone()
    }

    #[test]
    fn parts_are_joined_without_their_bytes() {
        let bytes: Vec<u8> = (0..11 * 1024 * 1024_u32).map(|i| (i % 251) as u8).collect();
        let cut = MIN_PART_SIZE as usize;
        let parts = [part(2, &bytes[..cut]), part(3, &bytes[cut..2 * cut]), part(9, &bytes[2 * cut..])];
        let stored: BTreeMap<u16, PartRecord> = parts.iter().map(|p| (p.number, p.clone())).collect();
        let list: Vec<NamedPart> = parts.iter().map(named).collect();
        let plan = plan(&stored, &list, &Declared::default()).expect("good parts");
        assert_eq!(plan.size, bytes.len() as u64);
        assert_eq!(plan.crc64nvme, crc_fast::checksum(CrcAlgorithm::Crc64Nvme, &bytes));
        let md5s: Vec<u8> = parts.iter().flat_map(|p| p.md5).collect();
        assert_eq!(plan.etag, format!("{}-3", hex(&Md5::checksum(&md5s))));
    }

    #[test]
    fn what_complete_refuses() {
        let big = vec![7; MIN_PART_SIZE as usize];
        let parts = [part(1, &big), part(2, b"small"), part(3, b"last")];
        let stored: BTreeMap<u16, PartRecord> = parts.iter().map(|p| (p.number, p.clone())).collect();
        let any = Declared::default();
        let list = |numbers: &[usize]| numbers.iter().map(|n| named(&parts[n - 1])).collect::<Vec<_>>();

        assert!(plan(&stored, &list(&[1, 3]), &any).is_ok());
        assert_eq!(code(plan(&stored, &[], &any)), S3ErrorCode::MalformedXML);
        assert_eq!(code(plan(&stored, &list(&[3, 1]), &any)), S3ErrorCode::InvalidPartOrder);
        assert_eq!(code(plan(&stored, &list(&[1, 1]), &any)), S3ErrorCode::InvalidPartOrder);
        assert_eq!(code(plan(&stored, &list(&[1, 2, 3]), &any)), S3ErrorCode::EntityTooSmall);
        for number in [-1, 0, 4, 70_000] {
            let mut one = list(&[3]);
            one[0].number = number;
            assert_eq!(code(plan(&stored, &one, &any)), S3ErrorCode::InvalidPart);
        }
        let mut other_tag = list(&[1]);
        other_tag[0].etag = Some(ETag::Strong(hex(&parts[1].md5)));
        assert_eq!(code(plan(&stored, &other_tag, &any)), S3ErrorCode::InvalidPart);
        let mut no_tag = list(&[1]);
        no_tag[0].etag = None;
        assert_eq!(code(plan(&stored, &no_tag, &any)), S3ErrorCode::InvalidPart);

        for size in [-1, 0, MIN_PART_SIZE as i64 - 1, MIN_PART_SIZE as i64 + 1] {
            let declared = Declared { size: Some(size), ..Declared::default() };
            assert_eq!(code(plan(&stored, &list(&[1]), &declared)), S3ErrorCode::InvalidRequest);
        }
        let wrong = Checksums { crc64nvme: Some("AAAAAAAAAAA=".into()), ..Checksums::default() };
        let declared = Declared { size: None, checksums: wrong };
        assert_eq!(code(plan(&stored, &list(&[1]), &declared)), S3ErrorCode::BadDigest);
    }
}
