//! Between the protocol's inputs and outputs and the store's records.

use http::HeaderMap;
use s3s::dto::{
    Checksum, ChecksumType, CommonPrefix, CompletedPart, CopyObjectInput, CreateMultipartUploadInput, ETag,
    ETagCondition, EncodingType, GetObjectInput, GetObjectOutput, HeadObjectInput, HeadObjectOutput,
    IfModifiedSince, IfUnmodifiedSince, Object as ListedObject, Part, PutObjectInput, Timestamp,
    UploadPartCopyInput, UploadPartInput,
};
use s3s::{S3Request, S3Result, s3_error};

use super::bucket::Conditions;
use super::digests::{Claims, crc64_text};
use super::multipart::NamedPart;
use super::page::url_encoded;
use super::records::{Checksums, Headers, ObjectRecord, PartRecord, time_of};

/// User metadata, names and values: S3's rule.
const MAX_METADATA: usize = 2048;

// s3s has a type for the input of each operation, and no trait for the members that several of them have.

macro_rules! headers_of {
    ($input:expr) => {
        Headers {
            content_type: $input.content_type.take(),
            content_disposition: $input.content_disposition.take(),
            content_encoding: $input.content_encoding.take(),
            content_language: $input.content_language.take(),
            cache_control: $input.cache_control.take(),
            metadata: $input.metadata.take().into_iter().flatten().collect(),
        }
    };
}

macro_rules! checksums_of {
    ($input:expr) => {
        Checksums {
            crc32: $input.checksum_crc32.take(),
            crc32c: $input.checksum_crc32c.take(),
            crc64nvme: $input.checksum_crc64nvme.take(),
            sha1: $input.checksum_sha1.take(),
            sha256: $input.checksum_sha256.take(),
        }
    };
}
pub(super) use checksums_of;

macro_rules! claims_of {
    ($request:expr) => {
        Claims {
            content_length: $request.input.content_length,
            content_md5: $request.input.content_md5.take(),
            checksums: checksums_of!($request.input),
            trailing: trailing(&$request.headers),
            trailers: $request.trailing_headers.take(),
        }
    };
}

impl Headers {
    pub fn of_put(input: &mut PutObjectInput) -> S3Result<Self> {
        headers_of!(input).checked()
    }

    pub fn of_upload(input: &mut CreateMultipartUploadInput) -> S3Result<Self> {
        headers_of!(input).checked()
    }

    pub fn of_copy(input: &mut CopyObjectInput) -> S3Result<Self> {
        headers_of!(input).checked()
    }

    fn checked(mut self) -> S3Result<Self> {
        let size: usize = self.metadata.iter().map(|(k, v)| k.len() + v.len()).sum();
        if size > MAX_METADATA {
            return Err(s3_error!(MetadataTooLarge));
        }
        self.content_encoding = self.content_encoding.and_then(|e| without_transport(&e));
        Ok(self)
    }
}

/// `aws-chunked` is how the body came, not what the object is.
fn without_transport(encoding: &str) -> Option<String> {
    let kept: Vec<&str> = encoding
        .split(',')
        .map(str::trim)
        .filter(|e| !e.is_empty() && !e.eq_ignore_ascii_case("aws-chunked"))
        .collect();
    (!kept.is_empty()).then(|| kept.join(","))
}

impl Claims {
    /// # Errors
    /// `InvalidRequest` when the header names an algorithm and no checksum comes.
    pub fn of_put(request: &mut S3Request<PutObjectInput>) -> S3Result<Self> {
        claims_of!(request).kept(&request.headers)
    }

    pub fn of_part(request: &mut S3Request<UploadPartInput>) -> S3Result<Self> {
        claims_of!(request).kept(&request.headers)
    }

    fn kept(self, headers: &HeaderMap) -> S3Result<Self> {
        let promised = headers.contains_key("x-amz-sdk-checksum-algorithm");
        if promised && self.trailing.is_empty() && self.checksums.is_empty() {
            return Err(s3_error!(InvalidRequest, "x-amz-sdk-checksum-algorithm is there, but no checksum."));
        }
        Ok(self)
    }
}

/// The algorithms in `x-amz-trailer`.
fn trailing(headers: &HeaderMap) -> Vec<String> {
    headers
        .get_all("x-amz-trailer")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| {
            let name = name.trim().to_ascii_lowercase();
            name.strip_prefix("x-amz-checksum-").map(String::from)
        })
        .collect()
}

impl From<CompletedPart> for NamedPart {
    fn from(mut part: CompletedPart) -> Self {
        let checksums = checksums_of!(part);
        Self { number: part.part_number.unwrap_or_default(), etag: part.e_tag, checksums }
    }
}

/// The conditions of a GET or HEAD, or of a copy on its source.
#[derive(Default)]
pub struct ReadConditions {
    pub if_match: Option<ETagCondition>,
    pub if_none_match: Option<ETagCondition>,
    pub if_modified_since: Option<IfModifiedSince>,
    pub if_unmodified_since: Option<IfUnmodifiedSince>,
}

impl ReadConditions {
    pub fn of_get(input: &mut GetObjectInput) -> Self {
        Self {
            if_match: input.if_match.take(),
            if_none_match: input.if_none_match.take(),
            if_modified_since: input.if_modified_since.take(),
            if_unmodified_since: input.if_unmodified_since.take(),
        }
    }

    pub fn of_head(input: &mut HeadObjectInput) -> Self {
        Self {
            if_match: input.if_match.take(),
            if_none_match: input.if_none_match.take(),
            if_modified_since: input.if_modified_since.take(),
            if_unmodified_since: input.if_unmodified_since.take(),
        }
    }

    pub fn of_copy(input: &mut CopyObjectInput) -> Self {
        Self {
            if_match: input.copy_source_if_match.take(),
            if_none_match: input.copy_source_if_none_match.take(),
            if_modified_since: input.copy_source_if_modified_since.take(),
            if_unmodified_since: input.copy_source_if_unmodified_since.take(),
        }
    }

    pub fn of_part_copy(input: &mut UploadPartCopyInput) -> Self {
        Self {
            if_match: input.copy_source_if_match.take(),
            if_none_match: input.copy_source_if_none_match.take(),
            if_modified_since: input.copy_source_if_modified_since.take(),
            if_unmodified_since: input.copy_source_if_unmodified_since.take(),
        }
    }

    /// In the order of RFC 9110, 13.2.2.
    ///
    /// # Errors
    /// `PreconditionFailed` or `NotModified`.
    pub fn check(&self, record: &ObjectRecord) -> S3Result<()> {
        let meets = |condition: &ETagCondition| match condition {
            ETagCondition::Any => true,
            ETagCondition::ETag(tag) => record.etag == tag.value(),
        };
        // Headers have whole seconds.
        let modified = Timestamp::from(time_of(record.modified_ms / 1000 * 1000));
        let failed = match (&self.if_match, &self.if_unmodified_since) {
            (Some(condition), _) => !meets(condition),
            (None, Some(since)) => modified > *since,
            (None, None) => false,
        };
        if failed {
            return Err(s3_error!(PreconditionFailed, "The object is another one."));
        }
        let unchanged = match (&self.if_none_match, &self.if_modified_since) {
            (Some(condition), _) => meets(condition),
            (None, Some(since)) => modified <= *since,
            (None, None) => false,
        };
        if unchanged {
            return Err(s3_error!(NotModified));
        }
        Ok(())
    }
}

impl Conditions {
    pub fn new(if_match: Option<ETagCondition>, if_none_match: Option<ETagCondition>) -> Self {
        Self { if_match, if_none_match }
    }
}

/// Without body, length and range.
pub fn got(record: &ObjectRecord) -> GetObjectOutput {
    let headers = record.headers.clone();
    GetObjectOutput {
        accept_ranges: Some("bytes".into()),
        cache_control: headers.cache_control,
        content_disposition: headers.content_disposition,
        content_encoding: headers.content_encoding,
        content_language: headers.content_language,
        content_type: headers.content_type.or_else(unknown_type),
        e_tag: Some(etag(record)),
        last_modified: Some(time_of(record.modified_ms).into()),
        metadata: Some(headers.metadata.into_iter().collect()),
        ..GetObjectOutput::default()
    }
}

/// With the checksum when it is asked for.
pub fn head(record: &ObjectRecord, checksum: bool) -> HeadObjectOutput {
    let got = got(record);
    let sum = checksum.then(|| crc64nvme(record));
    HeadObjectOutput {
        accept_ranges: got.accept_ranges,
        cache_control: got.cache_control,
        content_disposition: got.content_disposition,
        content_encoding: got.content_encoding,
        content_language: got.content_language,
        content_length: Some(length(record.size)),
        content_type: got.content_type,
        e_tag: got.e_tag,
        last_modified: got.last_modified,
        metadata: got.metadata,
        checksum_type: sum.is_some().then(full_object),
        checksum_crc64nvme: sum,
        ..HeadObjectOutput::default()
    }
}

pub fn listed(record: &ObjectRecord, encode: &Encode) -> ListedObject {
    ListedObject {
        key: Some(encode.text(&record.key)),
        size: Some(length(record.size)),
        e_tag: Some(etag(record)),
        last_modified: Some(time_of(record.modified_ms).into()),
        ..ListedObject::default()
    }
}

pub fn listed_part(part: &PartRecord) -> Part {
    let sums = part_checksums(part);
    Part {
        part_number: Some(i32::from(part.number)),
        size: Some(length(part.size)),
        e_tag: Some(part_etag(part)),
        last_modified: Some(time_of(part.modified_ms).into()),
        checksum_crc32: sums.checksum_crc32,
        checksum_crc32c: sums.checksum_crc32c,
        checksum_crc64nvme: sums.checksum_crc64nvme,
        checksum_sha1: sums.checksum_sha1,
        checksum_sha256: sums.checksum_sha256,
    }
}

/// The CRC64NVME, which every part has, and those that were sent.
pub fn part_checksums(part: &PartRecord) -> Checksum {
    answered(&part.checksums, part.crc64nvme)
}

pub fn answered(sent: &Checksums, crc64nvme: u64) -> Checksum {
    let sent = sent.clone();
    Checksum {
        checksum_crc32: sent.crc32,
        checksum_crc32c: sent.crc32c,
        checksum_crc64nvme: Some(crc64_text(crc64nvme)),
        checksum_sha1: sent.sha1,
        checksum_sha256: sent.sha256,
        checksum_type: Some(full_object()),
    }
}

pub fn crc64nvme(record: &ObjectRecord) -> String {
    crc64_text(record.crc64nvme)
}

pub fn full_object() -> ChecksumType {
    ChecksumType::from_static(ChecksumType::FULL_OBJECT)
}

pub fn etag(record: &ObjectRecord) -> ETag {
    ETag::Strong(record.etag.clone())
}

pub fn part_etag(part: &PartRecord) -> ETag {
    ETag::Strong(super::paths::hex(&part.md5))
}

pub fn length(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

fn unknown_type() -> Option<String> {
    Some("binary/octet-stream".into())
}

/// Of the names in a listing: XML cannot hold every character.
pub struct Encode(Option<EncodingType>);

impl Encode {
    pub fn new(asked: Option<EncodingType>) -> Self {
        Self(asked.filter(|e| e.as_str() == EncodingType::URL))
    }

    pub fn answer(&self) -> Option<EncodingType> {
        self.0.clone()
    }

    pub fn text(&self, text: &str) -> String {
        match self.0 {
            Some(_) => url_encoded(text),
            None => text.to_owned(),
        }
    }

    pub fn prefixes(&self, prefixes: &[String]) -> Option<Vec<CommonPrefix>> {
        let prefix = |p: &String| CommonPrefix { prefix: Some(self.text(p)) };
        Some(prefixes.iter().map(prefix).collect())
    }
}

#[cfg(test)]
mod tests {
    use s3s::dto::TimestampFormat;

    use super::*;

    #[test]
    fn the_transport_is_no_encoding_of_the_object() {
        assert_eq!(without_transport("aws-chunked"), None);
        assert_eq!(without_transport("gzip, aws-chunked").as_deref(), Some("gzip"));
        assert_eq!(without_transport("AWS-chunked,br").as_deref(), Some("br"));
        assert_eq!(without_transport(""), None);
    }

    #[test]
    fn conditions_on_reading() {
        let record = ObjectRecord {
            key: "k".into(),
            size: 0,
            etag: "abc".into(),
            crc64nvme: 0,
            modified_ms: 1_000_500,
            headers: Headers::default(),
            pieces: None,
        };
        let at = |s: &str| Timestamp::parse(TimestampFormat::EpochSeconds, s).expect("a time");
        let tag = |t: &str| Some(ETagCondition::ETag(ETag::Strong(t.into())));
        let code = |c: ReadConditions| c.check(&record).err().map(|e| e.code().clone());
        let none = ReadConditions::default;
        use s3s::S3ErrorCode::{NotModified, PreconditionFailed};
        assert_eq!(code(none()), None);
        assert_eq!(code(ReadConditions { if_match: tag("abc"), ..none() }), None);
        assert_eq!(code(ReadConditions { if_match: tag("x"), ..none() }), Some(PreconditionFailed));
        assert_eq!(code(ReadConditions { if_none_match: tag("abc"), ..none() }), Some(NotModified));
        assert_eq!(code(ReadConditions { if_none_match: tag("x"), ..none() }), None);
        assert_eq!(code(ReadConditions { if_modified_since: Some(at("1000")), ..none() }), Some(NotModified));
        assert_eq!(code(ReadConditions { if_modified_since: Some(at("999")), ..none() }), None);
        assert_eq!(code(ReadConditions { if_unmodified_since: Some(at("1000")), ..none() }), None);
        assert_eq!(
            code(ReadConditions { if_unmodified_since: Some(at("999")), ..none() }),
            Some(PreconditionFailed)
        );
    }
}
