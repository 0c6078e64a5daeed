//! What is in the store, seen by the AWS SDK over a connection that no script touches.

use std::net::SocketAddr;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_s3::operation::abort_multipart_upload::AbortMultipartUploadError;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};

use super::plain_http::plain_http;
use super::store::{ACCESS_KEY, BUCKET, SECRET_KEY};

/// The bucket, to be looked into.
#[derive(Clone)]
pub struct Bucket {
    client: Client,
}

/// An object, read whole.
#[derive(Clone, Debug)]
pub struct Object {
    pub key: String,
    pub content: Vec<u8>,
    pub content_type: Option<String>,
    pub content_disposition: Option<String>,
    pub content_encoding: Option<String>,
    pub etag: Option<String>,
}

impl Bucket {
    #[must_use]
    pub fn at(store: SocketAddr) -> Self {
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new(ACCESS_KEY, SECRET_KEY, None, None, "test"))
            .endpoint_url(format!("http://{store}"))
            .force_path_style(true)
            .http_client(plain_http())
            .build();
        Self { client: Client::from_conf(config) }
    }

    /// Every key there is.
    pub async fn keys(&self) -> Vec<String> {
        let mut keys = Vec::new();
        let mut pages = self.client.list_objects_v2().bucket(BUCKET).into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.expect("the bucket lists");
            keys.extend(page.contents().iter().filter_map(|object| object.key().map(str::to_owned)));
        }
        keys
    }

    /// The whole object, its size the same by HEAD and by its bytes.
    pub async fn get(&self, key: &str) -> Object {
        let head = self.client.head_object().bucket(BUCKET).key(key).send().await;
        let head = head.unwrap_or_else(|error| panic!("HEAD {key}: {error:?}"));
        let got = self.client.get_object().bucket(BUCKET).key(key).send().await;
        let got = got.unwrap_or_else(|error| panic!("GET {key}: {error:?}"));
        let (content_type, etag) = (got.content_type.clone(), got.e_tag.clone());
        let (content_disposition, content_encoding) =
            (got.content_disposition.clone(), got.content_encoding.clone());
        let content = got.body.collect().await.expect("the object reads to its end").to_vec();
        assert_eq!(head.content_length(), Some(content.len() as i64), "{key} is whole");
        Object { key: key.to_owned(), content, content_type, content_disposition, content_encoding, etag }
    }

    pub async fn put(&self, key: &str, content: Vec<u8>) {
        let put = self.client.put_object().bucket(BUCKET).key(key).body(content.into());
        put.send().await.expect("the object is put");
    }

    /// Begins a multipart upload; gives its id.
    pub async fn begin(&self, key: &str) -> String {
        let begun = self.client.create_multipart_upload().bucket(BUCKET).key(key).send().await;
        begun.expect("the upload begins").upload_id.expect("an id")
    }

    /// Sends a part; gives its ETag.
    pub async fn part(&self, key: &str, upload_id: &str, number: i32, content: Vec<u8>) -> CompletedPart {
        let part = self.client.upload_part().bucket(BUCKET).key(key).upload_id(upload_id);
        let sent = part.part_number(number).body(content.into()).send().await.expect("the part is taken");
        CompletedPart::builder().part_number(number).set_e_tag(sent.e_tag).build()
    }

    /// Whether the parts become an object.
    pub async fn completes(&self, key: &str, upload_id: &str, parts: Vec<CompletedPart>) -> bool {
        let list = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let complete = self.client.complete_multipart_upload().bucket(BUCKET).key(key);
        complete.upload_id(upload_id).multipart_upload(list).send().await.is_ok()
    }

    pub async fn delete(&self, key: &str) {
        self.client.delete_object().bucket(BUCKET).key(key).send().await.expect("the object is deleted");
    }

    /// Key and id of every multipart upload that was neither completed nor aborted.
    pub async fn open_uploads(&self) -> Vec<(String, String)> {
        let listed = self.client.list_multipart_uploads().bucket(BUCKET).send().await;
        let listed = listed.expect("the uploads list");
        let pair = |upload: &aws_sdk_s3::types::MultipartUpload| {
            (upload.key().unwrap_or_default().to_owned(), upload.upload_id().unwrap_or_default().to_owned())
        };
        listed.uploads().iter().map(pair).collect()
    }

    /// Aborts whatever is open; an upload that is being completed is not.
    pub async fn abort_open(&self) {
        for (key, upload_id) in self.open_uploads().await {
            let abort = self.client.abort_multipart_upload().bucket(BUCKET).key(key).upload_id(upload_id);
            let aborted = abort.send().await.map_err(|error| error.into_service_error());
            let is_settled = |error: &AbortMultipartUploadError| {
                error.is_no_such_upload() || error.meta().code() == Some("OperationAborted")
            };
            assert!(aborted.as_ref().err().is_none_or(is_settled), "{aborted:?}");
        }
    }

    pub async fn abort(&self, key: &str, upload_id: &str) {
        let abort = self.client.abort_multipart_upload().bucket(BUCKET).key(key).upload_id(upload_id);
        abort.send().await.expect("the upload is aborted");
    }
}
