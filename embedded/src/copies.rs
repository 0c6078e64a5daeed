//! Server-side copies, of a whole object or of a range into a part.

use std::sync::Arc;

use s3s::dto::{
    CopyObjectInput, CopyObjectOutput, CopyObjectResult, CopyPartResult, CopySource, MetadataDirective,
    Range, UploadPartCopyInput, UploadPartCopyOutput,
};
use s3s::{S3Result, s3_error};

use super::Store;
use super::answers::{self, ReadConditions};
use super::blocks::Writer;
use super::bucket::{Bucket, Conditions};
use super::content::Content;
use super::digests::{Claims, Digests, Hashing};
use super::faults;
use super::multipart::MAX_PART_SIZE;
use super::objects::one_piece;
use super::records::{Checksums, Headers, PartRecord, now_ms, time_of};
use super::uploads::part_number;

impl Store {
    /// The copy is one piece, whatever its source was.
    pub(super) async fn copy(&self, mut input: CopyObjectInput) -> S3Result<CopyObjectOutput> {
        let (from, source_key) = self.source(&input.copy_source)?;
        let to = self.bucket(&input.bucket)?;
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
                let (writer, digests) = written(content, &to)?;
                let record = one_piece(key, headers, writer.size(), &digests);
                to.put(writer, record.clone(), &Conditions::default())?;
                Ok(record)
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

    pub(super) async fn copy_part(&self, mut input: UploadPartCopyInput) -> S3Result<UploadPartCopyOutput> {
        let number = part_number(input.part_number)?;
        let (from, source_key) = self.source(&input.copy_source)?;
        let to = self.bucket(&input.bucket)?;
        let conditions = ReadConditions::of_part_copy(&mut input);
        let range = input.copy_source_range.as_deref().map(Range::parse);
        let range = range
            .transpose()
            .map_err(|_| s3_error!(InvalidArgument, "x-amz-copy-source-range is no range."))?;
        let part = self
            .run(move || {
                let (object, file) = from.open_object(&source_key)?;
                conditions.check(&object.record)?;
                let size = object.record.size;
                let range = range.map_or(Ok(0..size), |range| range.check(size));
                let range = range.map_err(|_| s3_error!(InvalidRange))?;
                let content = Content::new(object, file, range).map_err(faults::storage)?;
                let (writer, digests) = written(content, &to)?;
                let part = PartRecord {
                    number,
                    size: writer.size(),
                    md5: digests.md5,
                    crc64nvme: digests.crc64nvme,
                    modified_ms: now_ms(),
                    checksums: Checksums::default(),
                };
                to.put_part(&input.key, &input.upload_id, writer, part.clone())?;
                Ok(part)
            })
            .await?;
        Ok(UploadPartCopyOutput {
            copy_part_result: Some(CopyPartResult {
                e_tag: Some(answers::part_etag(&part)),
                last_modified: Some(time_of(part.modified_ms).into()),
                checksum_crc64nvme: answers::part_checksums(&part).checksum_crc64nvme,
                ..CopyPartResult::default()
            }),
            ..UploadPartCopyOutput::default()
        })
    }

    fn source(&self, source: &CopySource) -> S3Result<(Arc<Bucket>, String)> {
        match source {
            CopySource::Bucket { bucket, key, version_id: None } => {
                Ok((self.bucket(bucket)?, key.to_string()))
            }
            _ => Err(s3_error!(NotImplemented, "A copy is from a bucket and of the current version.")),
        }
    }
}

/// Blocks.
fn written(mut content: Content, to: &Bucket) -> S3Result<(Writer, Digests)> {
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
    write().map_err(faults::storage)
}
