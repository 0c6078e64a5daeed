//! Objects: put, copy, get, head, delete and list.

use std::ops::{Bound, Range};
use std::sync::Arc;

use s3s::dto::{
    ChecksumMode, CopyObjectInput, CopyObjectOutput, CopyObjectResult, CopySource, DeleteObjectsInput,
    DeleteObjectsOutput, DeletedObject, Error as DeleteError, GetObjectInput, GetObjectOutput,
    HeadObjectInput, HeadObjectOutput, ListObjectsInput, ListObjectsOutput, ListObjectsV2Input,
    ListObjectsV2Output, MetadataDirective, PutObjectInput, PutObjectOutput, Range as AskedRange,
};
use s3s::{S3Request, S3Result, s3_error};

use super::Store;
use super::answers::{self, Encode, ReadConditions};
use super::blocks::Writer;
use super::bucket::{Bucket, Conditions, Object};
use super::content::Content;
use super::digests::{Claims, Digests, Hashing};
use super::faults;
use super::intake::Incoming;
use super::keys::hex;
use super::listing::{Page, Query};
use super::multipart::MAX_PART_SIZE;
use super::records::{Headers, ObjectRecord, now_ms, time_of};

/// Entries of a listing page: S3's rule.
pub const MAX_ENTRIES: i32 = 1000;

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
        let headers = Headers::of_put(input)?;
        let key = std::mem::take(&mut input.key);
        let conditions = Conditions::new(input.if_match.take(), input.if_none_match.take());
        let received = body.receive(bucket.temporary(), claims).await?;
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

    pub(super) async fn copy(&self, mut input: CopyObjectInput) -> S3Result<CopyObjectOutput> {
        let CopySource::Bucket { bucket: source, key: source_key, version_id: None } = &input.copy_source
        else {
            return Err(s3_error!(NotImplemented, "A copy is from a bucket and of the current version."));
        };
        let (from, to) = (self.bucket(source)?, self.bucket(&input.bucket)?);
        let source_key = source_key.to_string();
        let replace =
            input.metadata_directive.as_ref().is_some_and(|d| d.as_str() == MetadataDirective::REPLACE);
        if !replace && Arc::ptr_eq(&from, &to) && source_key == input.key {
            return Err(s3_error!(InvalidRequest, "A copy onto itself has to replace the metadata."));
        }
        let conditions = ReadConditions::of_copy(&mut input);
        let headers = replace.then(|| Headers::of_copy(&mut input)).transpose()?;
        let key = input.key;
        let record = self
            .run(move || {
                let (object, file) = from.open_object(&source_key)?;
                conditions.check(&object.record)?;
                let headers = headers.unwrap_or_else(|| object.record.headers.clone());
                let whole = 0..object.record.size;
                let content = Content::new(object, file, whole).map_err(faults::storage)?;
                copy(content, &to, key, headers)
            })
            .await?;
        Ok(CopyObjectOutput {
            copy_object_result: Some(CopyObjectResult {
                e_tag: Some(answers::etag(&record)),
                last_modified: Some(time_of(record.modified_ms).into()),
                checksum_crc64nvme: Some(answers::crc64nvme(&record)),
                checksum_type: Some(answers::full_object()),
                ..CopyObjectResult::default()
            }),
            ..CopyObjectOutput::default()
        })
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

    pub(super) async fn list(&self, input: ListObjectsInput) -> S3Result<ListObjectsOutput> {
        let encode = Encode::new(input.encoding_type);
        let listing = Listing {
            prefix: input.prefix.unwrap_or_default(),
            delimiter: input.delimiter.unwrap_or_default(),
            after: input.marker.unwrap_or_default(),
            max: limit(input.max_keys)?,
        };
        let (page, listing) = self.page(&input.bucket, listing).await?;
        Ok(ListObjectsOutput {
            name: Some(input.bucket),
            is_truncated: Some(page.next.is_some()),
            next_marker: page.next.as_deref().map(|n| encode.text(n)),
            contents: Some(listed(&page, &encode)),
            common_prefixes: encode.prefixes(&page.prefixes),
            prefix: Some(encode.text(&listing.prefix)),
            delimiter: nonempty(encode.text(&listing.delimiter)),
            marker: Some(encode.text(&listing.after)),
            max_keys: i32::try_from(listing.max).ok(),
            encoding_type: encode.answer(),
            ..ListObjectsOutput::default()
        })
    }

    pub(super) async fn list_v2(&self, input: ListObjectsV2Input) -> S3Result<ListObjectsV2Output> {
        let encode = Encode::new(input.encoding_type);
        let start_after = input.start_after;
        let token = input.continuation_token;
        let after = match &token {
            Some(token) => from_token(token)?,
            None => start_after.clone().unwrap_or_default(),
        };
        let listing = Listing {
            prefix: input.prefix.unwrap_or_default(),
            delimiter: input.delimiter.unwrap_or_default(),
            after,
            max: limit(input.max_keys)?,
        };
        let (page, listing) = self.page(&input.bucket, listing).await?;
        Ok(ListObjectsV2Output {
            name: Some(input.bucket),
            is_truncated: Some(page.next.is_some()),
            next_continuation_token: page.next.as_deref().map(to_token),
            continuation_token: token,
            key_count: i32::try_from(page.entries.len() + page.prefixes.len()).ok(),
            contents: Some(listed(&page, &encode)),
            common_prefixes: encode.prefixes(&page.prefixes),
            prefix: Some(encode.text(&listing.prefix)),
            delimiter: nonempty(encode.text(&listing.delimiter)),
            start_after: start_after.map(|s| encode.text(&s)),
            max_keys: i32::try_from(listing.max).ok(),
            encoding_type: encode.answer(),
            ..ListObjectsV2Output::default()
        })
    }

    async fn page(&self, bucket: &str, listing: Listing) -> S3Result<(Page<Arc<Object>>, Listing)> {
        let bucket = self.bucket(bucket)?;
        self.run(move || {
            let query = listing.query();
            let start = query.start();
            let from = if start == listing.after { Bound::Excluded(start) } else { Bound::Included(start) };
            let state = bucket.state();
            let keys = state.objects.range::<str, _>((from, Bound::Unbounded));
            let page = query.page(keys.map(|(key, object)| (key.as_str(), Arc::clone(object))));
            drop(state);
            Ok((page, listing))
        })
        .await
    }
}

struct Listing {
    prefix: String,
    delimiter: String,
    after: String,
    max: usize,
}

impl Listing {
    fn query(&self) -> Query<'_> {
        Query { prefix: &self.prefix, delimiter: &self.delimiter, after: &self.after, max: self.max }
    }
}

/// Blocks. The copy is one piece, whatever its source was.
fn copy(mut content: Content, to: &Bucket, key: String, headers: Headers) -> S3Result<ObjectRecord> {
    if content.left() > MAX_PART_SIZE {
        return Err(s3_error!(InvalidRequest, "The source is longer than 5 GiB."));
    }
    let mut write = || {
        let mut writer = Writer::create(to.temporary())?;
        let mut hashing = Hashing::new(&Claims::default());
        loop {
            let bytes = content.read()?;
            if bytes.is_empty() {
                return Ok((writer, hashing.finish()));
            }
            hashing.update(&bytes);
            writer.write(&bytes)?;
        }
    };
    let (writer, digests) = write().map_err(faults::storage)?;
    let record = one_piece(key, headers, writer.size(), &digests);
    to.put(writer, record.clone(), &Conditions::default())?;
    Ok(record)
}

fn one_piece(key: String, headers: Headers, size: u64, digests: &Digests) -> ObjectRecord {
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

fn listed(page: &Page<Arc<Object>>, encode: &Encode) -> Vec<s3s::dto::Object> {
    page.entries.iter().map(|object| answers::listed(&object.record, encode)).collect()
}

/// # Errors
/// `InvalidArgument` for a negative number.
pub fn limit(asked: Option<i32>) -> S3Result<usize> {
    usize::try_from(asked.unwrap_or(MAX_ENTRIES).min(MAX_ENTRIES))
        .map_err(|_| s3_error!(InvalidArgument, "A limit cannot be negative."))
}

pub fn nonempty(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

/// Keys hold any character, a token only harmless ones.
fn to_token(last: &str) -> String {
    hex(last.as_bytes())
}

fn from_token(token: &str) -> S3Result<String> {
    let digit = |c: &u8| char::from(*c).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let byte = |pair: &[u8; 2]| Some(digit(&pair[0])? << 4 | digit(&pair[1])?);
    let (pairs, odd) = token.as_bytes().as_chunks::<2>();
    let bytes: Option<Vec<u8>> = pairs.iter().map(byte).collect();
    bytes
        .filter(|_| odd.is_empty())
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(|| s3_error!(InvalidArgument, "The continuation token is not one of ours."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_back() {
        for key in ["", "a", "a/b", "ä\u{1}\n", "\u{10FFFF}"] {
            assert_eq!(from_token(&to_token(key)).expect("our own"), key);
        }
        for token in ["x", "0", "0g", "ff", "6", "é"] {
            assert!(from_token(token).is_err(), "{token}");
        }
    }
}
