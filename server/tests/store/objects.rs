//! Buckets and objects: what goes in comes out, and what is refused leaves nothing.

use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    ChecksumAlgorithm, ChecksumMode, CompletedPart, Delete, MetadataDirective, ObjectIdentifier,
};
use base64::Engine as _;
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy;
use hyper_util::rt::TokioExecutor;
use md5::{Digest as _, Md5};

use crate::fixture::{BUCKET, MIB, TestStore, bytes, code, get, put};
use crate::multipart::{begin, complete};

fn base64(bytes: impl AsRef<[u8]>) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn crc64(bytes: &[u8]) -> String {
    base64(crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, bytes).to_be_bytes())
}

fn etag(bytes: &[u8]) -> String {
    let hex: String = Md5::digest(bytes).iter().map(|b| format!("{b:02x}")).collect();
    format!("\"{hex}\"")
}

#[tokio::test]
async fn buckets() {
    let store = TestStore::start().await;
    let client = store.client();
    client.create_bucket().bucket("second").send().await.unwrap();
    assert_eq!(code(client.create_bucket().bucket("second").send().await), "BucketAlreadyOwnedByYou");
    client.head_bucket().bucket("second").send().await.unwrap();
    client.get_bucket_location().bucket("second").send().await.unwrap();
    let absent = client.head_bucket().bucket("absent").send().await;
    assert_eq!(absent.unwrap_err().raw_response().unwrap().status().as_u16(), 404);
    let names = |list: aws_sdk_s3::operation::list_buckets::ListBucketsOutput| -> Vec<String> {
        list.buckets().iter().map(|b| b.name().unwrap().to_owned()).collect()
    };
    assert_eq!(names(client.list_buckets().send().await.unwrap()), ["second", BUCKET]);

    client.put_object().bucket("second").key("k").body(vec![1].into()).send().await.unwrap();
    assert_eq!(code(client.delete_bucket().bucket("second").send().await), "BucketNotEmpty");
    client.delete_object().bucket("second").key("k").send().await.unwrap();
    client.delete_bucket().bucket("second").send().await.unwrap();
    assert_eq!(code(client.delete_bucket().bucket("second").send().await), "NoSuchBucket");
    let put = client.put_object().bucket("second").key("k").body(vec![1].into());
    assert_eq!(code(put.send().await), "NoSuchBucket");

    let store = store.restart().await;
    assert_eq!(names(store.client().list_buckets().send().await.unwrap()), [BUCKET]);
    store.stop().await;
}

#[tokio::test]
async fn sizes_come_back_byte_for_byte_whatever_the_framing() {
    let store = TestStore::start().await;
    let sizes = [0, 1, 65_535, 65_536, 65_537, 128 * 1024, MIB + 3];
    for (n, size) in sizes.into_iter().enumerate() {
        let body = bytes(size, n as u64);
        let file = store.dir.path().join("body");
        std::fs::write(&file, &body).unwrap();
        for client in [store.client(), store.checking_client()] {
            assert_eq!(put(&client, "whole", body.clone()).await, etag(&body));
            assert!(get(&client, "whole").await == body, "{size}");
            // From a file the SDK streams: aws-chunked with a trailer, where it checks.
            let stream = ByteStream::from_path(&file).await.unwrap();
            let request = client.put_object().bucket(BUCKET).key("streamed").body(stream);
            let answer = request.send().await.unwrap();
            assert_eq!(answer.e_tag(), Some(etag(&body).as_str()));
            assert_eq!(answer.checksum_crc64_nvme(), Some(crc64(&body).as_str()));
            let head = client.head_object().bucket(BUCKET).key("streamed");
            let head = head.checksum_mode(ChecksumMode::Enabled).send().await.unwrap();
            assert_eq!(head.content_length(), Some(size as i64));
            assert_eq!(head.content_encoding(), None);
            assert_eq!(head.checksum_crc64_nvme(), Some(crc64(&body).as_str()));
            assert_eq!(head.checksum_type().unwrap().as_str(), "FULL_OBJECT");
            assert!(get(&client, "streamed").await == body, "{size} streamed");
        }
        std::fs::remove_file(file).unwrap();
    }
    let store = store.restart().await;
    assert!(get(&store.client(), "whole").await == bytes(MIB + 3, 6));
    store.stop().await;
}

#[tokio::test]
async fn headers_and_metadata_stay_with_the_object() {
    let store = TestStore::start().await;
    let disposition = "attachment; filename*=UTF-8''%E2%82%AC.pdf";
    let put = store.checking_client().put_object().bucket(BUCKET).key("k").body(vec![7; 10].into());
    let put = put
        .content_type("application/pdf")
        .content_disposition(disposition)
        .content_encoding("gzip")
        .content_language("de")
        .cache_control("no-store")
        .metadata("name", "pail");
    put.send().await.unwrap();
    let store = store.restart().await;
    let client = store.client();
    let head = client.head_object().bucket(BUCKET).key("k").send().await.unwrap();
    assert_eq!(head.content_type(), Some("application/pdf"));
    assert_eq!(head.content_disposition(), Some(disposition));
    assert_eq!(head.content_encoding(), Some("gzip"));
    assert_eq!(head.content_language(), Some("de"));
    assert_eq!(head.cache_control(), Some("no-store"));
    assert_eq!(head.metadata().unwrap()["name"], "pail");
    assert_eq!(head.checksum_crc64_nvme(), None, "only when it is asked for");
    let big = client.put_object().bucket(BUCKET).key("big").metadata("m", "x".repeat(2048));
    assert_eq!(code(big.send().await), "MetadataTooLarge");

    // A copy onto itself is how clients change the metadata.
    let source = format!("{BUCKET}/k");
    let copy = || client.copy_object().bucket(BUCKET).key("k").copy_source(&source);
    assert_eq!(code(copy().send().await), "InvalidRequest");
    let changed = copy().metadata_directive(MetadataDirective::Replace).metadata("name", "other");
    changed.send().await.unwrap();
    let head = client.head_object().bucket(BUCKET).key("k").send().await.unwrap();
    assert_eq!(head.metadata().unwrap()["name"], "other");
    assert_eq!(head.content_disposition(), None);
    assert_eq!(get(&client, "k").await, vec![7; 10]);
    store.stop().await;
}

#[tokio::test]
async fn checksums_are_verified() {
    let store = TestStore::start().await;
    let client = store.client();
    let body = bytes(200_000, 1);
    let put = || client.put_object().bucket(BUCKET).key("k").body(body.clone().into());
    for algorithm in [
        ChecksumAlgorithm::Crc32,
        ChecksumAlgorithm::Crc32C,
        ChecksumAlgorithm::Crc64Nvme,
        ChecksumAlgorithm::Sha1,
        ChecksumAlgorithm::Sha256,
    ] {
        // In a header, and behind the body.
        put().checksum_algorithm(algorithm.clone()).send().await.unwrap();
        let file = store.dir.path().join("body");
        std::fs::write(&file, &body).unwrap();
        let stream = ByteStream::from_path(&file).await.unwrap();
        let streamed = store.checking_client().put_object().bucket(BUCKET).key("streamed");
        streamed.checksum_algorithm(algorithm).body(stream).send().await.unwrap();
        std::fs::remove_file(file).unwrap();
    }
    client.delete_object().bucket(BUCKET).key("k").send().await.unwrap();
    put().content_md5(base64(Md5::digest(&body))).send().await.unwrap();
    client.delete_object().bucket(BUCKET).key("k").send().await.unwrap();

    let refused = [
        code(put().content_md5(base64(Md5::digest(b"other"))).send().await),
        code(put().checksum_crc32(base64([0; 4])).send().await),
        code(put().checksum_crc32_c(base64([0; 4])).send().await),
        code(put().checksum_crc64_nvme(base64([0; 8])).send().await),
        code(put().checksum_sha1(base64([0; 20])).send().await),
        code(put().checksum_sha256(base64([0; 32])).send().await),
    ];
    assert_eq!(refused, ["BadDigest"; 6]);
    assert_eq!(code(put().content_md5("AAAA").send().await), "InvalidDigest");
    assert_eq!(code(client.get_object().bucket(BUCKET).key("k").send().await), "NoSuchKey");
    store.stop().await;
}

#[tokio::test]
async fn ranges() {
    let store = TestStore::start().await;
    let client = store.client();
    let body = bytes(3 * 65_536 + 10, 2);
    let size = body.len();
    put(&client, "k", body.clone()).await;
    let cases = [
        (0, 0),
        (0, 65_535),
        (65_535, 65_536),
        (65_536, 131_071),
        (1, size - 2),
        (size - 1, size - 1),
        (100, 10 * size),
    ];
    for (first, last) in cases {
        let request = client.get_object().bucket(BUCKET).key("k");
        let answer = request.range(format!("bytes={first}-{last}")).send().await.unwrap();
        let last = last.min(size - 1);
        let header = format!("bytes {first}-{last}/{size}");
        assert_eq!(answer.content_range(), Some(header.as_str()));
        assert_eq!(answer.content_length(), Some((last - first + 1) as i64));
        let got = answer.body.collect().await.unwrap().to_vec();
        assert!(got == body[first..=last], "{first}-{last}");
    }
    let range = |r: &str| client.get_object().bucket(BUCKET).key("k").range(r).send();
    let tail = range("bytes=-70000").await.unwrap().body.collect().await.unwrap().to_vec();
    assert!(tail == body[size - 70_000..]);
    let rest = range("bytes=65537-").await.unwrap().body.collect().await.unwrap().to_vec();
    assert!(rest == body[65_537..]);
    assert_eq!(code(range(&format!("bytes={size}-")).await), "InvalidRange");
    store.stop().await;
}

#[tokio::test]
async fn absent_things_have_their_codes() {
    let store = TestStore::start().await;
    let client = store.client();
    assert_eq!(code(client.get_object().bucket(BUCKET).key("k").send().await), "NoSuchKey");
    assert_eq!(code(client.get_object().bucket("absent").key("k").send().await), "NoSuchBucket");
    let head = client.head_object().bucket(BUCKET).key("k").send().await.unwrap_err();
    assert_eq!(head.raw_response().unwrap().status().as_u16(), 404);
    client.delete_object().bucket(BUCKET).key("k").send().await.unwrap();
    let version = client.get_object().bucket(BUCKET).key("k").version_id("x").send().await;
    assert_eq!(code(version), "NoSuchVersion");
    assert_eq!(code(client.get_bucket_acl().bucket(BUCKET).send().await), "NotImplemented");
    let tagged = client.put_object().bucket(BUCKET).key("k").tagging("a=b");
    assert_eq!(code(tagged.send().await), "NotImplemented");
    let long = client.put_object().bucket(BUCKET).key("x".repeat(1025)).body(vec![1].into());
    assert_eq!(code(long.send().await), "KeyTooLongError");
    store.stop().await;
}

#[tokio::test]
async fn conditions_on_writing() {
    let store = TestStore::start().await;
    let client = store.client();
    let put = |body: &[u8]| client.put_object().bucket(BUCKET).key("k").body(body.to_vec().into());
    assert_eq!(code(put(b"a").if_match("\"x\"").send().await), "PreconditionFailed");
    put(b"a").if_none_match("*").send().await.unwrap();
    assert_eq!(code(put(b"b").if_none_match("*").send().await), "PreconditionFailed");
    assert_eq!(get(&client, "k").await, b"a");
    put(b"c").if_match(etag(b"a")).send().await.unwrap();
    assert_eq!(get(&client, "k").await, b"c");
    store.stop().await;
}

#[tokio::test]
async fn keys_without_traps() {
    let store = TestStore::start().await;
    let client = store.checking_client();
    let longest = "ü".repeat(512);
    let deep = "d/".repeat(512);
    let keys = [
        "a",
        "A",
        "a/b",
        "a/",
        "a/b/c",
        "a//b",
        "..",
        "../../etc/passwd",
        ".",
        "./x",
        "%2e%2e",
        "a b+c?d=e&f#g",
        "ä",
        "a\u{308}",
        "日本語/📄.pdf",
        "CON",
        "nul.txt",
        "trailing.",
        "\\x",
        "a\nb",
        "'\"<>&",
        &longest,
        &deep,
    ];
    for key in keys {
        put(&client, key, key.as_bytes().to_vec()).await;
    }
    let store = store.restart().await;
    let client = store.client();
    for key in keys {
        assert_eq!(get(&client, key).await, key.as_bytes(), "{key:?}");
    }
    assert_eq!(store.dir.objects().len(), keys.len());
    client.delete_object().bucket(BUCKET).key("a").send().await.unwrap();
    assert_eq!(get(&client, "A").await, b"A");
    assert_eq!(get(&client, "a/").await, b"a/");
    let all = |keys: &[&str]| {
        let ids = keys.iter().map(|k| ObjectIdentifier::builder().key(*k).build().unwrap());
        Delete::builder().set_objects(Some(ids.collect())).build().unwrap()
    };
    // Those whose names XML can hold: a line end inside an element comes back as one, so it is kept.
    let answer = client.delete_objects().bucket(BUCKET).delete(all(&keys)).send().await.unwrap();
    assert_eq!((answer.deleted().len(), answer.errors().len()), (keys.len(), 0));
    assert_eq!(store.dir.objects().len(), 0);
    store.stop().await;
}

#[tokio::test]
async fn copies() {
    let store = TestStore::start().await;
    let client = store.client();
    let body = bytes(300_000, 3);
    let put = client.put_object().bucket(BUCKET).key("from").body(body.clone().into());
    put.content_type("image/png").send().await.unwrap();
    let copy = client.copy_object().bucket(BUCKET).key("to").copy_source(format!("{BUCKET}/from"));
    let answer = copy.send().await.unwrap();
    assert_eq!(answer.copy_object_result().unwrap().e_tag(), Some(etag(&body).as_str()));
    client.delete_object().bucket(BUCKET).key("from").send().await.unwrap();
    assert!(get(&client, "to").await == body);
    let head = client.head_object().bucket(BUCKET).key("to").send().await.unwrap();
    assert_eq!(head.content_type(), Some("image/png"));
    let absent = client.copy_object().bucket(BUCKET).key("x").copy_source(format!("{BUCKET}/from"));
    assert_eq!(code(absent.send().await), "NoSuchKey");
    store.stop().await;
}

#[tokio::test]
async fn copies_of_ranges() {
    let store = TestStore::start().await;
    let client = store.client();
    let body = bytes(6 * MIB, 4);
    put(&client, "from", body.clone()).await;
    let id = begin(&client, "to").await;
    let source = format!("{BUCKET}/from");
    let copy = |number| {
        let copy = client.upload_part_copy().bucket(BUCKET).key("to").upload_id(&id);
        copy.part_number(number).copy_source(&source)
    };
    let mut parts = Vec::new();
    for (number, range) in [(1, format!("bytes=7-{}", 5 * MIB + 6)), (2, "bytes=0-99".into())] {
        let answer = copy(number).copy_source_range(range).send().await.unwrap();
        let etag = answer.copy_part_result().unwrap().e_tag().unwrap().to_owned();
        parts.push(CompletedPart::builder().part_number(number).e_tag(etag).build());
    }
    assert_eq!(code(copy(3).copy_source_range("bytes=x").send().await), "InvalidArgument");
    let beyond = copy(3).copy_source_range(format!("bytes={}-{}", 6 * MIB, 7 * MIB));
    assert_eq!(code(beyond.send().await), "InvalidRange");
    assert_eq!(code(copy(3).upload_id("none").send().await), "NoSuchUpload");
    complete(&client, "to", &id, &parts).send().await.unwrap();
    assert!(get(&client, "to").await == [&body[7..5 * MIB + 7], &body[..100]].concat());
    store.stop().await;
}

#[tokio::test]
async fn links_and_keys() {
    let store = TestStore::start().await;
    let client = store.client();
    put(&client, "ä/b c", b"linked".to_vec()).await;
    let link = client.get_object().bucket(BUCKET).key("ä/b c");
    let link = link.response_content_type("text/plain");
    let until = PresigningConfig::expires_in(std::time::Duration::from_secs(60)).unwrap();
    let link = link.presigned(until).await.unwrap();
    let http = legacy::Client::builder(TokioExecutor::new()).build_http::<Empty<bytes::Bytes>>();
    let answer = http.get(link.uri().parse().unwrap()).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "text/plain");
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "linked");
    let altered = link.uri().replace("X-Amz-Expires=60", "X-Amz-Expires=61");
    assert_eq!(http.get(altered.parse().unwrap()).await.unwrap().status(), 403);
    let anonymous = format!("http://{}/{BUCKET}/%C3%A4/b%20c", store.address);
    assert_eq!(http.get(anonymous.parse().unwrap()).await.unwrap().status(), 403);
    store.stop().await;
}
