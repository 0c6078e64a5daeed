//! Listings: order, prefixes, pages, odd names.

use aws_sdk_s3::types::EncodingType;

use crate::fixture::{BUCKET, TestStore, code, put};

const KEYS: [&str; 8] = ["a", "b/1", "b/2", "b/c/3", "d", "e f+ü", "z/", "z/x"];

#[tokio::test]
async fn objects_page_by_page() {
    let store = TestStore::start().await;
    let client = store.client();
    for key in KEYS.iter().rev() {
        put(&client, key, key.as_bytes().to_vec()).await;
    }
    let store = store.restart().await;
    let client = store.client();
    for page in 1..=9 {
        let list = client.list_objects_v2().bucket(BUCKET).max_keys(page);
        let mut pages = list.into_paginator().send();
        let mut keys = Vec::new();
        while let Some(page_of) = pages.next().await {
            let page_of = page_of.unwrap();
            assert!(page_of.contents().len() <= page as usize);
            assert_eq!(page_of.key_count(), Some(page_of.contents().len() as i32));
            for object in page_of.contents() {
                assert_eq!(object.size(), Some(object.key().unwrap().len() as i64));
                keys.push(object.key().unwrap().to_owned());
            }
        }
        assert_eq!(keys, KEYS, "{page}");
    }
    store.stop().await;
}

#[tokio::test]
async fn folders() {
    let store = TestStore::start().await;
    let client = store.client();
    for key in KEYS {
        put(&client, key, Vec::new()).await;
    }
    let (mut keys, mut folders) = (Vec::new(), Vec::new());
    let mut token = None;
    loop {
        let list = client.list_objects_v2().bucket(BUCKET).delimiter("/").max_keys(2);
        let page = list.set_continuation_token(token).send().await.unwrap();
        assert!(page.contents().len() + page.common_prefixes().len() <= 2);
        keys.extend(page.contents().iter().map(|o| o.key().unwrap().to_owned()));
        folders.extend(page.common_prefixes().iter().map(|p| p.prefix().unwrap().to_owned()));
        token = page.next_continuation_token().map(String::from);
        if token.is_none() {
            break;
        }
    }
    assert_eq!(keys, ["a", "d", "e f+ü"]);
    assert_eq!(folders, ["b/", "z/"]);

    let below = client.list_objects_v2().bucket(BUCKET).prefix("b/").delimiter("/").send().await.unwrap();
    let keys: Vec<_> = below.contents().iter().map(|o| o.key().unwrap()).collect();
    assert_eq!(keys, ["b/1", "b/2"]);
    assert_eq!(below.common_prefixes()[0].prefix(), Some("b/c/"));

    let after = client.list_objects_v2().bucket(BUCKET).start_after("b/2").prefix("b/").send().await.unwrap();
    assert_eq!(after.contents()[0].key(), Some("b/c/3"));
    let none = client.list_objects_v2().bucket(BUCKET).max_keys(0).send().await.unwrap();
    assert_eq!((none.contents().len(), none.is_truncated()), (0, Some(false)));
    let strange = client.list_objects_v2().bucket(BUCKET).continuation_token("x").send().await;
    assert_eq!(code(strange), "InvalidArgument");
    assert_eq!(code(client.list_objects_v2().bucket("absent").send().await), "NoSuchBucket");
    store.stop().await;
}

#[tokio::test]
async fn the_older_listing_and_encoded_names() {
    let store = TestStore::start().await;
    let client = store.client();
    for key in KEYS {
        put(&client, key, Vec::new()).await;
    }
    let mut keys = Vec::new();
    let mut marker = None;
    loop {
        let list = client.list_objects().bucket(BUCKET).max_keys(3).set_marker(marker);
        let page = list.send().await.unwrap();
        keys.extend(page.contents().iter().map(|o| o.key().unwrap().to_owned()));
        marker = page.next_marker().map(String::from);
        if page.is_truncated() != Some(true) {
            break;
        }
    }
    assert_eq!(keys, KEYS);
    let list = client.list_objects_v2().bucket(BUCKET).prefix("e ");
    let list = list.encoding_type(EncodingType::Url).send().await.unwrap();
    assert_eq!(list.encoding_type(), Some(&EncodingType::Url));
    assert_eq!(list.contents()[0].key(), Some("e%20f%2B%C3%BC"));
    store.stop().await;
}

#[tokio::test]
async fn open_uploads_page_by_page() {
    let store = TestStore::start().await;
    let client = store.client();
    let mut expected = Vec::new();
    for key in ["b", "a", "a", "p/x", "p/y"] {
        let begun = client.create_multipart_upload().bucket(BUCKET).key(key).send().await.unwrap();
        expected.push((key.to_owned(), begun.upload_id().unwrap().to_owned()));
    }
    expected.sort();
    let store = store.restart().await;
    let client = store.client();
    for size in 1..=6 {
        let mut seen = Vec::new();
        let (mut key, mut id) = (None, None);
        loop {
            let list = client.list_multipart_uploads().bucket(BUCKET).max_uploads(size);
            let page = list.set_key_marker(key).set_upload_id_marker(id).send().await.unwrap();
            assert!(page.uploads().len() <= size as usize);
            seen.extend(page.uploads().iter().map(|u| {
                assert!(u.initiated().is_some());
                (u.key().unwrap().to_owned(), u.upload_id().unwrap().to_owned())
            }));
            key = page.next_key_marker().map(String::from);
            id = page.next_upload_id_marker().map(String::from);
            if page.is_truncated() != Some(true) {
                break;
            }
        }
        assert_eq!(seen, expected, "{size}");
    }
    let below = client.list_multipart_uploads().bucket(BUCKET).prefix("p/").send().await.unwrap();
    assert_eq!(below.uploads().len(), 2);
    let folders = client.list_multipart_uploads().bucket(BUCKET).delimiter("/").send().await.unwrap();
    assert_eq!((folders.uploads().len(), folders.common_prefixes().len()), (3, 1));
    for (key, id) in expected {
        client.abort_multipart_upload().bucket(BUCKET).key(key).upload_id(id).send().await.unwrap();
    }
    assert_eq!(store.dir.uploads().len(), 0);
    store.stop().await;
}
