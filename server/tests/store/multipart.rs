//! Multipart uploads: parts in any order, every refusal of Complete, restart and abort.

use aws_sdk_s3::Client;
use aws_sdk_s3::operation::complete_multipart_upload::builders::CompleteMultipartUploadFluentBuilder;
use aws_sdk_s3::types::{ChecksumMode, CompletedMultipartUpload, CompletedPart};
use base64::Engine as _;

use crate::fixture::{BUCKET, MIB, TestStore, bytes, code, get, put};

const PART: usize = 5 * MIB;

pub async fn begin(client: &Client, key: &str) -> String {
    let begun = client.create_multipart_upload().bucket(BUCKET).key(key);
    let begun = begun.content_type("application/pdf").metadata("m", "v");
    begun.send().await.unwrap().upload_id().unwrap().to_owned()
}

pub async fn part(client: &Client, key: &str, id: &str, number: i32, body: &[u8]) -> CompletedPart {
    let part = client.upload_part().bucket(BUCKET).key(key).upload_id(id);
    let part = part.part_number(number).body(body.to_vec().into());
    let answer = part.send().await.unwrap();
    let etag = answer.e_tag().unwrap();
    CompletedPart::builder().part_number(number).e_tag(etag).build()
}

pub fn complete(
    client: &Client,
    key: &str,
    id: &str,
    parts: &[CompletedPart],
) -> CompleteMultipartUploadFluentBuilder {
    let list = CompletedMultipartUpload::builder().set_parts(Some(parts.to_vec())).build();
    let complete = client.complete_multipart_upload().bucket(BUCKET).key(key);
    complete.upload_id(id).multipart_upload(list)
}

async fn numbers(client: &Client, key: &str, id: &str) -> Vec<i32> {
    let list = client.list_parts().bucket(BUCKET).key(key).upload_id(id);
    let list = list.send().await.unwrap();
    list.parts().iter().map(|p| p.part_number().unwrap()).collect()
}

#[tokio::test]
async fn parts_become_an_object() {
    let store = TestStore::start().await;
    for client in [store.client(), store.checking_client()] {
        let body = bytes(2 * PART + 77_777, 1);
        let id = begin(&client, "k").await;
        let last = part(&client, "k", &id, 9, &body[2 * PART..]).await;
        part(&client, "k", &id, 2, b"in place of this").await;
        let second = part(&client, "k", &id, 2, &body[PART..2 * PART]).await;
        part(&client, "k", &id, 3, b"left out").await;
        let first = part(&client, "k", &id, 1, &body[..PART]).await;
        assert_eq!(numbers(&client, "k", &id).await, [1, 2, 3, 9]);
        assert_eq!(code(client.get_object().bucket(BUCKET).key("k").send().await), "NoSuchKey");

        let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, &body);
        let crc = base64::engine::general_purpose::STANDARD.encode(crc.to_be_bytes());
        let parts = [first, second, last];
        let done =
            complete(&client, "k", &id, &parts).mpu_object_size(body.len() as i64).checksum_crc64_nvme(&crc);
        let done = done.send().await.unwrap();
        assert!(done.e_tag().unwrap().ends_with("-3\""));
        assert_eq!(done.checksum_crc64_nvme(), Some(crc.as_str()));
        assert!(get(&client, "k").await == body);
        let head = client.head_object().bucket(BUCKET).key("k");
        let head = head.checksum_mode(ChecksumMode::Enabled).send().await.unwrap();
        assert_eq!(head.e_tag(), done.e_tag());
        assert_eq!(head.content_length(), Some(body.len() as i64));
        assert_eq!(head.content_type(), Some("application/pdf"));
        assert_eq!(head.metadata().unwrap()["m"], "v");
        assert_eq!(head.checksum_crc64_nvme(), Some(crc.as_str()));

        // Across the seam, and a part by its place.
        let range = client.get_object().bucket(BUCKET).key("k").range(format!(
            "bytes={}-{}",
            PART - 10,
            2 * PART + 10
        ));
        let range = range.send().await.unwrap().body.collect().await.unwrap().to_vec();
        assert!(range == body[PART - 10..=2 * PART + 10]);
        let third = client.get_object().bucket(BUCKET).key("k").part_number(3).send().await.unwrap();
        assert_eq!(third.parts_count(), Some(3));
        assert!(third.body.collect().await.unwrap().to_vec() == body[2 * PART..]);

        assert_eq!(code(complete(&client, "k", &id, &parts).send().await), "NoSuchUpload");
        assert_eq!(store.dir.uploads().len(), 1, "one object, one directory of parts");
        client.delete_object().bucket(BUCKET).key("k").send().await.unwrap();
        crate::fixture::eventually(|| store.dir.uploads().is_empty()).await;
    }
    store.stop().await;
}

#[tokio::test]
async fn a_refused_complete_leaves_the_upload_as_it_was() {
    let store = TestStore::start().await;
    let client = store.client();
    put(&client, "k", b"old".to_vec()).await;
    let id = begin(&client, "k").await;
    let body = bytes(PART, 2);
    let one = part(&client, "k", &id, 1, &body).await;
    let two = part(&client, "k", &id, 2, b"small").await;
    let three = part(&client, "k", &id, 3, b"last").await;
    let no = |parts: &[CompletedPart]| complete(&client, "k", &id, parts);
    let with = |number: i32, etag: &str| CompletedPart::builder().part_number(number).e_tag(etag).build();

    assert_eq!(code(no(&[]).send().await), "MalformedXML");
    assert_eq!(code(no(&[three.clone(), one.clone()]).send().await), "InvalidPartOrder");
    assert_eq!(code(no(&[one.clone(), one.clone()]).send().await), "InvalidPartOrder");
    assert_eq!(code(no(&[one.clone(), with(4, "\"x\"")]).send().await), "InvalidPart");
    assert_eq!(code(no(&[with(1, two.e_tag().unwrap())]).send().await), "InvalidPart");
    assert_eq!(code(no(&[one.clone(), two, three.clone()]).send().await), "EntityTooSmall");
    let good = [one, three];
    assert_eq!(code(no(&good).mpu_object_size(PART as i64).send().await), "InvalidRequest");
    assert_eq!(code(no(&good).checksum_crc64_nvme("AAAAAAAAAAA=").send().await), "BadDigest");
    assert_eq!(code(no(&good).if_none_match("*").send().await), "PreconditionFailed");
    assert_eq!(code(complete(&client, "other", &id, &good).send().await), "NoSuchUpload");
    assert_eq!(code(complete(&client, "k", "../x", &good).send().await), "NoSuchUpload");

    assert_eq!(numbers(&client, "k", &id).await, [1, 2, 3]);
    assert_eq!(get(&client, "k").await, b"old");
    let size = PART as i64 + 4;
    no(&good).mpu_object_size(size).send().await.unwrap();
    assert!(get(&client, "k").await == [body.as_slice(), b"last"].concat());
    store.stop().await;
}

#[tokio::test]
async fn an_open_upload_survives_a_restart() {
    let store = TestStore::start().await;
    let id = begin(&store.client(), "k").await;
    let body = bytes(PART + 1, 3);
    let one = part(&store.client(), "k", &id, 1, &body[..PART]).await;
    let store = store.restart().await;
    let client = store.client();
    assert_eq!(numbers(&client, "k", &id).await, [1]);
    let two = part(&client, "k", &id, 2, &body[PART..]).await;
    let store = store.restart().await;
    complete(&store.client(), "k", &id, &[one, two]).send().await.unwrap();
    let store = store.restart().await;
    assert!(get(&store.client(), "k").await == body);
    let head = store.client().head_object().bucket(BUCKET).key("k").send().await.unwrap();
    assert_eq!(head.content_type(), Some("application/pdf"));
    let open = store.client().list_multipart_uploads().bucket(BUCKET).send().await.unwrap();
    assert_eq!(open.uploads().len(), 0);
    store.stop().await;
}

#[tokio::test]
async fn abort_leaves_nothing() {
    let store = TestStore::start().await;
    let client = store.client();
    let id = begin(&client, "k").await;
    let one = part(&client, "k", &id, 1, b"one").await;
    let abort = |id: &str| client.abort_multipart_upload().bucket(BUCKET).key("k").upload_id(id).send();
    abort(&id).await.unwrap();
    assert_eq!(store.dir.uploads().len(), 0);
    assert_eq!(code(abort(&id).await), "NoSuchUpload");
    assert_eq!(code(complete(&client, "k", &id, &[one]).send().await), "NoSuchUpload");
    let late = client.upload_part().bucket(BUCKET).key("k").upload_id(&id).part_number(1);
    assert_eq!(code(late.body(bytes(MIB, 4).into()).send().await), "NoSuchUpload");
    let list = client.list_parts().bucket(BUCKET).key("k").upload_id(&id).send().await;
    assert_eq!(code(list), "NoSuchUpload");
    let id = begin(&client, "k").await;
    for number in [0, 10_001] {
        let part = client.upload_part().bucket(BUCKET).key("k").upload_id(&id).part_number(number);
        assert_eq!(code(part.body(vec![1].into()).send().await), "InvalidArgument");
    }
    let store = store.restart().await;
    let open = store.client().list_multipart_uploads().bucket(BUCKET).send().await.unwrap();
    assert_eq!(open.uploads().len(), 1);
    store.stop().await;
}

#[tokio::test]
async fn parts_page_by_page() {
    let store = TestStore::start().await;
    let client = store.checking_client();
    let id = begin(&client, "k").await;
    let mut etags = Vec::new();
    for number in [10_000, 5, 1, 77] {
        let sent = part(&client, "k", &id, number, &number.to_le_bytes()).await;
        etags.push((number, sent.e_tag().unwrap().to_owned()));
    }
    etags.sort();
    for size in 1..=5 {
        let mut pages = client
            .list_parts()
            .bucket(BUCKET)
            .key("k")
            .upload_id(&id)
            .max_parts(size)
            .into_paginator()
            .send();
        let mut seen = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.unwrap();
            assert!(page.parts().len() <= size as usize);
            seen.extend(page.parts().iter().map(|p| {
                assert_eq!(p.size(), Some(4));
                assert!(p.checksum_crc64_nvme().is_some() && p.checksum_crc32().is_some());
                (p.part_number().unwrap(), p.e_tag().unwrap().to_owned())
            }));
        }
        assert_eq!(seen, etags, "{size}");
    }
    store.stop().await;
}
