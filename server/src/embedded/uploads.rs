//! Multipart uploads: begin, parts, lists and Complete.

use std::ops::Bound;

use s3s::dto::{
    CompleteMultipartUploadInput, CompleteMultipartUploadOutput, CreateMultipartUploadInput,
    CreateMultipartUploadOutput, ListMultipartUploadsInput, ListMultipartUploadsOutput, ListPartsInput,
    ListPartsOutput, MultipartUpload, UploadPartInput, UploadPartOutput,
};
use s3s::{S3Request, S3Result, s3_error};

use super::Store;
use super::answers::{self, Encode};
use super::bucket::Conditions;
use super::digests::Claims;
use super::intake::Incoming;
use super::listing::Query;
use super::multipart::{Declared, MAX_PARTS, NamedPart};
use super::objects::{limit, nonempty};
use super::records::{Checksums, Headers, PartRecord, UploadRecord, now_ms, time_of};

impl Store {
    pub(super) async fn begin(
        &self,
        mut input: CreateMultipartUploadInput,
    ) -> S3Result<CreateMultipartUploadOutput> {
        let bucket = self.bucket(&input.bucket)?;
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
        let number = u16::try_from(input.part_number)
            .ok()
            .filter(|n| (1..=MAX_PARTS).contains(n))
            .ok_or_else(|| s3_error!(InvalidArgument, "Part numbers are 1 to {MAX_PARTS}."))?;
        let bucket = self.bucket(&input.bucket)?;
        let (key, upload_id) = (input.key.clone(), input.upload_id.clone());
        {
            let (bucket, key, upload_id) = (bucket.clone(), key.clone(), upload_id.clone());
            // Before the body is read; it is looked up again when the part is whole.
            self.run(move || bucket.state().upload(&key, &upload_id).map(drop)).await?;
        }
        let received = body.receive(bucket.temporary(), claims).await?;
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

    pub(super) async fn complete(
        &self,
        input: CompleteMultipartUploadInput,
    ) -> S3Result<CompleteMultipartUploadOutput> {
        let bucket = self.bucket(&input.bucket)?;
        let listed = input.multipart_upload.and_then(|u| u.parts);
        let named: Vec<NamedPart> = listed.into_iter().flatten().map(NamedPart::from).collect();
        let declared = Declared {
            size: input.mpu_object_size,
            checksums: Checksums {
                crc32: input.checksum_crc32,
                crc32c: input.checksum_crc32c,
                crc64nvme: input.checksum_crc64nvme,
                sha1: input.checksum_sha1,
                sha256: input.checksum_sha256,
            },
        };
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
