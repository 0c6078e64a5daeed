//! Lists of objects, parts and open uploads, page by page.

use std::ops::Bound;
use std::sync::Arc;

use s3s::dto::{
    ListMultipartUploadsInput, ListMultipartUploadsOutput, ListObjectsInput, ListObjectsOutput,
    ListObjectsV2Input, ListObjectsV2Output, ListPartsInput, ListPartsOutput, MultipartUpload,
};
use s3s::{S3Result, s3_error};

use super::Store;
use super::answers::{self, Encode};
use super::bucket::Object;
use super::page::{Page, Query};
use super::paths::hex;
use super::records::time_of;

/// Entries of a page: S3's rule.
pub const MAX_ENTRIES: i32 = 1000;

impl Store {
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

    pub(super) async fn parts(&self, input: ListPartsInput) -> S3Result<ListPartsOutput> {
        let bucket = self.bucket(&input.bucket)?;
        let max = limit(input.max_parts)?;
        let marker = input.part_number_marker.unwrap_or(0);
        let after = u16::try_from(marker.clamp(0, i32::from(u16::MAX))).unwrap_or(u16::MAX);
        self.run(move || {
            let mut state = bucket.state();
            let upload = state.upload(&input.key, &input.upload_id)?;
            let mut rest = upload
                .parts
                .range((Bound::Excluded(after), Bound::Unbounded))
                .map(|(_, part)| answers::listed_part(part));
            let parts: Vec<_> = rest.by_ref().take(max).collect();
            let more = max > 0 && rest.next().is_some();
            Ok(ListPartsOutput {
                is_truncated: Some(more),
                next_part_number_marker: parts.last().filter(|_| more).and_then(|p| p.part_number),
                parts: Some(parts),
                part_number_marker: Some(marker),
                max_parts: i32::try_from(max).ok(),
                bucket: Some(input.bucket),
                key: Some(input.key),
                upload_id: Some(input.upload_id),
                ..ListPartsOutput::default()
            })
        })
        .await
    }

    /// Sorted by key, then by upload id.
    pub(super) async fn uploads(
        &self,
        input: ListMultipartUploadsInput,
    ) -> S3Result<ListMultipartUploadsOutput> {
        let bucket = self.bucket(&input.bucket)?;
        let encode = Encode::new(input.encoding_type);
        let max = limit(input.max_uploads)?;
        let prefix = input.prefix.unwrap_or_default();
        let delimiter = input.delimiter.unwrap_or_default();
        let key_marker = input.key_marker.unwrap_or_default();
        let id_marker = input.upload_id_marker.filter(|_| !key_marker.is_empty());
        self.run(move || {
            let state = bucket.state();
            let query = Query { prefix: &prefix, delimiter: &delimiter, after: &key_marker, max };
            // Without an id marker a key marker leaves out all uploads of that key.
            let beyond = |key: &str, id: &str| match &id_marker {
                Some(marker) => (key, id) > (key_marker.as_str(), marker.as_str()),
                None => key > key_marker.as_str() || key_marker.is_empty(),
            };
            let entries = state
                .uploads
                .iter()
                .filter(|((key, id), _)| key.as_str() >= prefix.as_str() && beyond(key, id))
                .map(|((key, id), upload)| (key.as_str(), (key, id, upload)));
            let page = query.page(entries);
            let last_id = page.entries.last().map(|(_, id, _)| (*id).clone());
            let uploads = page.entries.iter().map(|(key, id, upload)| MultipartUpload {
                key: Some(encode.text(key)),
                upload_id: Some((*id).clone()),
                initiated: Some(time_of(upload.record.initiated_ms).into()),
                ..MultipartUpload::default()
            });
            Ok(ListMultipartUploadsOutput {
                uploads: Some(uploads.collect()),
                common_prefixes: encode.prefixes(&page.prefixes),
                is_truncated: Some(page.next.is_some()),
                // After a common prefix there is no id to go on from.
                next_upload_id_marker: last_id.filter(|_| {
                    let last = page.entries.last().map(|(key, _, _)| key.as_str());
                    page.next.is_some() && page.next.as_deref() == last
                }),
                next_key_marker: page.next.as_deref().map(|n| encode.text(n)),
                prefix: Some(encode.text(&prefix)),
                delimiter: nonempty(encode.text(&delimiter)),
                key_marker: Some(encode.text(&key_marker)),
                upload_id_marker: id_marker.clone(),
                max_uploads: i32::try_from(max).ok(),
                bucket: Some(input.bucket),
                encoding_type: encode.answer(),
                ..ListMultipartUploadsOutput::default()
            })
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

fn listed(page: &Page<Arc<Object>>, encode: &Encode) -> Vec<s3s::dto::Object> {
    page.entries.iter().map(|object| answers::listed(&object.record, encode)).collect()
}

/// # Errors
/// `InvalidArgument` for a negative number.
fn limit(asked: Option<i32>) -> S3Result<usize> {
    usize::try_from(asked.unwrap_or(MAX_ENTRIES).min(MAX_ENTRIES))
        .map_err(|_| s3_error!(InvalidArgument, "A limit cannot be negative."))
}

fn nonempty(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

/// Keys hold any character, a token only harmless ones.
pub fn to_token(last: &str) -> String {
    hex(last.as_bytes())
}

/// # Errors
/// `InvalidArgument` for what [`to_token`] does not make.
pub fn from_token(token: &str) -> S3Result<String> {
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
