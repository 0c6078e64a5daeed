//! Multipart uploads: begin, a part, Complete.

use s3s::dto::{
    CompleteMultipartUploadInput, CompleteMultipartUploadOutput, CreateMultipartUploadInput,
    CreateMultipartUploadOutput, UploadPartInput, UploadPartOutput,
};
use s3s::{S3Request, S3Result, s3_error};

use super::Store;
use super::answers::{self, checksums_of};
use super::bucket::Conditions;
use super::digests::Claims;
use super::intake::Incoming;
use super::multipart::{Declared, MAX_PARTS, NamedPart};
use super::objects::unsupported;
use super::records::{Checksums, Headers, PartRecord, UploadRecord, now_ms};

impl Store {
    pub(super) async fn begin(
        &self,
        mut input: CreateMultipartUploadInput,
    ) -> S3Result<CreateMultipartUploadOutput> {
        let bucket = self.bucket(&input.bucket)?;
        unsupported(input.tagging.as_ref(), input.sse_customer_key.as_ref())?;
        let record = UploadRecord {
            initiated_ms: now_ms(),
            headers: Headers::of_upload(&mut input)?,
            key: input.key.clone(),
        };
        let upload_id = self.run(move || bucket.create_upload(record)).await?;
        Ok(CreateMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(upload_id),
            checksum_algorithm: input.checksum_algorithm,
            ..CreateMultipartUploadOutput::default()
        })
    }

    pub(super) async fn part(&self, mut request: S3Request<UploadPartInput>) -> S3Result<UploadPartOutput> {
        let mut body = Incoming::new(request.input.body.take(), &request.headers);
        let stored = self.part_body(&mut request, &mut body).await;
        if stored.is_err() {
            body.drain().await;
        }
        stored
    }

    async fn part_body(
        &self,
        request: &mut S3Request<UploadPartInput>,
        body: &mut Incoming,
    ) -> S3Result<UploadPartOutput> {
        let claims = Claims::of_part(request)?;
        let input = &request.input;
        let number = part_number(input.part_number)?;
        let bucket = self.bucket(&input.bucket)?;
        let (key, upload_id) = (input.key.clone(), input.upload_id.clone());
        {
            let (bucket, key, upload_id) = (bucket.clone(), key.clone(), upload_id.clone());
            // Before the body is read; it is looked up again when the part is whole.
            self.run(move || bucket.state().upload(&key, &upload_id).map(drop)).await?;
        }
        let received = body.receive(&self.inner.jobs, bucket.temporary(), claims).await?;
        let part = PartRecord {
            number,
            size: received.writer.size(),
            md5: received.digests.md5,
            crc64nvme: received.digests.crc64nvme,
            modified_ms: now_ms(),
            checksums: received.digests.asked,
        };
        let sums = answers::part_checksums(&part);
        let output = UploadPartOutput {
            e_tag: Some(answers::part_etag(&part)),
            checksum_crc32: sums.checksum_crc32,
            checksum_crc32c: sums.checksum_crc32c,
            checksum_crc64nvme: sums.checksum_crc64nvme,
            checksum_sha1: sums.checksum_sha1,
            checksum_sha256: sums.checksum_sha256,
            ..UploadPartOutput::default()
        };
        let writer = received.writer;
        self.run(move || bucket.put_part(&key, &upload_id, writer, part)).await?;
        Ok(output)
    }

    pub(super) async fn complete(
        &self,
        mut input: CompleteMultipartUploadInput,
    ) -> S3Result<CompleteMultipartUploadOutput> {
        let bucket = self.bucket(&input.bucket)?;
        let listed = input.multipart_upload.and_then(|u| u.parts);
        let named: Vec<NamedPart> = listed.into_iter().flatten().map(NamedPart::from).collect();
        let declared = Declared { size: input.mpu_object_size, checksums: checksums_of!(input) };
        let conditions = Conditions::new(input.if_match, input.if_none_match);
        let (key, upload_id) = (input.key, input.upload_id);
        let record =
            self.run(move || bucket.complete(&key, &upload_id, &named, &declared, &conditions)).await?;
        Ok(CompleteMultipartUploadOutput {
            location: Some(format!("/{}/{}", input.bucket, record.key)),
            e_tag: Some(answers::etag(&record)),
            checksum_crc64nvme: Some(answers::crc64nvme(&record)),
            checksum_type: Some(answers::full_object()),
            bucket: Some(input.bucket),
            key: Some(record.key),
            ..CompleteMultipartUploadOutput::default()
        })
    }
}

/// # Errors
/// `InvalidArgument`.
pub fn part_number(asked: i32) -> S3Result<u16> {
    u16::try_from(asked)
        .ok()
        .filter(|n| (1..=MAX_PARTS).contains(n))
        .ok_or_else(|| s3_error!(InvalidArgument, "Part numbers are 1 to {MAX_PARTS}."))
}
