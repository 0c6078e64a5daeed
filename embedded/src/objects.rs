//! Objects: put, get, head and delete.

use std::ops::Range;

use s3s::dto::{
    ChecksumMode, DeleteObjectsInput, DeleteObjectsOutput, DeletedObject, Error as DeleteError,
    GetObjectInput, GetObjectOutput, HeadObjectInput, HeadObjectOutput, PutObjectInput, PutObjectOutput,
    Range as AskedRange,
};
use s3s::{S3Request, S3Result, s3_error};

use super::Store;
use super::answers::{self, ReadConditions};
use super::bucket::Conditions;
use super::content::Content;
use super::digests::{Claims, Digests};
use super::faults;
use super::intake::Incoming;
use super::listing::MAX_ENTRIES;
use super::paths::hex;
use super::records::{Headers, ObjectRecord, now_ms};

impl Store {
    pub(super) async fn put(&self, mut request: S3Request<PutObjectInput>) -> S3Result<PutObjectOutput> {
        let mut body = Incoming::new(request.input.body.take(), &request.headers);
        let stored = self.put_body(&mut request, &mut body).await;
        if stored.is_err() {
            body.drain().await;
        }
        stored
    }

    async fn put_body(
        &self,
        request: &mut S3Request<PutObjectInput>,
        body: &mut Incoming,
    ) -> S3Result<PutObjectOutput> {
        let bucket = self.bucket(&request.input.bucket)?;
        let claims = Claims::of_put(request)?;
        let input = &mut request.input;
        unsupported(input.tagging.as_ref(), input.sse_customer_key.as_ref())?;
        let headers = Headers::of_put(input)?;
        let key = std::mem::take(&mut input.key);
        let conditions = Conditions::new(input.if_match.take(), input.if_none_match.take());
        let received = body.receive(&self.inner.jobs, bucket.temporary(), claims).await?;
        let record = one_piece(key, headers, received.writer.size(), &received.digests);
        let sums = answers::answered(&received.digests.asked, record.crc64nvme);
        let output = PutObjectOutput {
            e_tag: Some(answers::etag(&record)),
            checksum_crc32: sums.checksum_crc32,
            checksum_crc32c: sums.checksum_crc32c,
            checksum_crc64nvme: sums.checksum_crc64nvme,
            checksum_sha1: sums.checksum_sha1,
            checksum_sha256: sums.checksum_sha256,
            checksum_type: sums.checksum_type,
            ..PutObjectOutput::default()
        };
        self.run(move || bucket.put(received.writer, record, &conditions)).await?;
        Ok(output)
    }

    pub(super) async fn get(&self, mut input: GetObjectInput) -> S3Result<GetObjectOutput> {
        only_version(input.version_id.as_deref())?;
        let bucket = self.bucket(&input.bucket)?;
        let conditions = ReadConditions::of_get(&mut input);
        let checksum = wants_checksum(input.checksum_mode.as_ref());
        self.run(move || {
            let (object, file) = bucket.open_object(&input.key)?;
            conditions.check(&object.record)?;
            let mut output = answers::got(&object.record);
            let size = object.record.size;
            let range = match chosen(&object.record, input.range, input.part_number)? {
                Some(range) => {
                    let (first, last) = (range.start, range.end.saturating_sub(1));
                    output.content_range = Some(format!("bytes {first}-{last}/{size}"));
                    range
                }
                None => {
                    // Of the whole object only: a client would compare it with what it got.
                    output.checksum_crc64nvme = checksum.then(|| answers::crc64nvme(&object.record));
                    output.checksum_type = checksum.then(answers::full_object);
                    0..size
                }
            };
            if input.part_number.is_some() {
                let pieces = object.record.pieces.as_ref();
                output.parts_count = pieces.and_then(|p| i32::try_from(p.parts.len()).ok());
            }
            output.content_length = Some(answers::length(range.end - range.start));
            let mut content = Content::new(object, file, range).map_err(faults::storage)?;
            let first = content.read().map_err(faults::storage)?;
            if !first.is_empty() {
                output.body = Some(content.into_blob(first));
            }
            Ok(output)
        })
        .await
    }

    pub(super) async fn head(&self, mut input: HeadObjectInput) -> S3Result<HeadObjectOutput> {
        only_version(input.version_id.as_deref())?;
        let bucket = self.bucket(&input.bucket)?;
        let conditions = ReadConditions::of_head(&mut input);
        let checksum = wants_checksum(input.checksum_mode.as_ref());
        self.run(move || {
            let object = bucket.object(&input.key)?;
            conditions.check(&object.record)?;
            Ok(answers::head(&object.record, checksum))
        })
        .await
    }

    pub(super) async fn delete(&self, input: DeleteObjectsInput) -> S3Result<DeleteObjectsOutput> {
        let bucket = self.bucket(&input.bucket)?;
        let quiet = input.delete.quiet.unwrap_or(false);
        let keys: Vec<String> = input.delete.objects.into_iter().map(|o| o.key).collect();
        if keys.is_empty() || keys.len() > MAX_ENTRIES as usize {
            return Err(s3_error!(MalformedXML, "From 1 to {MAX_ENTRIES} keys at once."));
        }
        let (stayed, keys) = self.run(move || Ok((bucket.delete(&keys)?, keys))).await?;
        let gone = keys
            .into_iter()
            .filter(|key| !quiet && !stayed.iter().any(|(k, _)| k == key))
            .map(|key| DeletedObject { key: Some(key), ..DeletedObject::default() })
            .collect();
        let errors = stayed
            .into_iter()
            .map(|(key, error)| {
                let fault = faults::storage(error);
                DeleteError {
                    key: Some(key),
                    code: Some(fault.code().as_str().to_owned()),
                    message: fault.message().map(String::from),
                    version_id: None,
                }
            })
            .collect();
        Ok(DeleteObjectsOutput {
            deleted: Some(gone),
            errors: Some(errors),
            ..DeleteObjectsOutput::default()
        })
    }
}

/// What the store would have to forget, it does not take.
pub fn unsupported(tags: Option<&String>, customer_key: Option<&String>) -> S3Result<()> {
    if tags.is_some() || customer_key.is_some() {
        return Err(s3_error!(NotImplemented, "The store keeps no tags and encrypts nothing."));
    }
    Ok(())
}

pub fn one_piece(key: String, headers: Headers, size: u64, digests: &Digests) -> ObjectRecord {
    ObjectRecord {
        key,
        size,
        etag: hex(&digests.md5),
        crc64nvme: digests.crc64nvme,
        modified_ms: now_ms(),
        headers,
        pieces: None,
    }
}

/// The bytes that a range or a part number asks for.
fn chosen(
    record: &ObjectRecord,
    range: Option<AskedRange>,
    part_number: Option<i32>,
) -> S3Result<Option<Range<u64>>> {
    let unsatisfiable = || s3_error!(InvalidRange, "The object has no such bytes.");
    match (range, part_number) {
        (Some(_), Some(_)) => Err(s3_error!(InvalidRequest, "A range and a part number exclude each other.")),
        (Some(range), None) => match range.check(record.size) {
            Ok(range) => Ok(Some(range)),
            Err(_) => Err(unsatisfiable()),
        },
        (None, Some(number)) => {
            let index = usize::try_from(number - 1).map_err(|_| unsatisfiable())?;
            let Some(pieces) = &record.pieces else {
                return (index == 0).then_some(None).ok_or_else(unsatisfiable);
            };
            let piece = pieces.parts.get(index).ok_or_else(unsatisfiable)?;
            let start = pieces.parts[..index].iter().map(|p| p.size).sum();
            Ok(Some(start..start + piece.size))
        }
        (None, None) => Ok(None),
    }
}

fn only_version(version_id: Option<&str>) -> S3Result<()> {
    match version_id {
        None | Some("null") => Ok(()),
        Some(_) => Err(s3_error!(NoSuchVersion, "The store keeps no versions.")),
    }
}

fn wants_checksum(mode: Option<&ChecksumMode>) -> bool {
    mode.is_some_and(|m| m.as_str().eq_ignore_ascii_case(ChecksumMode::ENABLED))
}
