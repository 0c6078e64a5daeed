//! What is in the store, seen by the AWS SDK over a connection that no script touches.

use std::net::SocketAddr;

use app::wire::{FileOutcome, Outcome};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{
    BehaviorVersion, Credentials, Region, RequestChecksumCalculation, ResponseChecksumValidation,
};
use aws_sdk_s3::operation::abort_multipart_upload::AbortMultipartUploadError;
use aws_sdk_s3::types::{ChecksumMode, CompletedMultipartUpload, CompletedPart};

use super::store::{ACCESS_KEY, BUCKET, SECRET_KEY};
use super::tls_http::http_to;

/// The bucket, to be looked into.
#[derive(Clone)]
pub struct Bucket {
    /// For whoever asks the store something that only one test asks.
    pub client: Client,
    pub name: String,
}

/// Where a bucket is, as AWS's tools are told.
#[derive(Clone, Debug)]
pub struct Place {
    pub endpoint: String,
    pub region: String,
    pub access_key: String,
    pub secret_key: String,
    pub path_style: bool,
    pub bucket: String,
}

impl Place {
    /// The bucket of a test's store.
    #[must_use]
    pub fn of(store: SocketAddr) -> Self {
        Self {
            endpoint: format!("http://{store}"),
            region: "us-east-1".to_owned(),
            access_key: ACCESS_KEY.to_owned(),
            secret_key: SECRET_KEY.to_owned(),
            path_style: true,
            bucket: BUCKET.to_owned(),
        }
    }

    /// What a server is told of it.
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let mut environment = vec![
            ("BRIGADE_BUCKET", self.bucket.clone()),
            ("AWS_ENDPOINT_URL", self.endpoint.clone()),
            ("AWS_REGION", self.region.clone()),
            ("AWS_ACCESS_KEY_ID", self.access_key.clone()),
            ("AWS_SECRET_ACCESS_KEY", self.secret_key.clone()),
        ];
        // As it is by default with an endpoint.
        if !self.path_style {
            environment.push(("BRIGADE_S3_PATH_STYLE", "false".to_owned()));
        }
        environment
    }
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
    /// CRC64NVME, where the store tells it.
    pub checksum: Option<String>,
}

impl Bucket {
    #[must_use]
    pub fn at(store: SocketAddr) -> Self {
        Self::of(&Place::of(store))
    }

    #[must_use]
    pub fn of(place: &Place) -> Self {
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new(place.region.clone()))
            .credentials_provider(Credentials::new(&place.access_key, &place.secret_key, None, None, "test"))
            .endpoint_url(&place.endpoint)
            .force_path_style(place.path_style)
            // Nothing that a store may lack.
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            .http_client(http_to(&place.endpoint))
            .build();
        Self { client: Client::from_conf(config), name: place.bucket.clone() }
    }

    /// Makes the bucket.
    pub async fn create(&self) {
        self.client.create_bucket().bucket(&self.name).send().await.expect("the bucket is made");
    }

    /// Every key there is.
    pub async fn keys(&self) -> Vec<String> {
        self.keys_below("").await
    }

    /// Every key that begins so.
    pub async fn keys_below(&self, prefix: &str) -> Vec<String> {
        let mut keys = Vec::new();
        let mut pages =
            self.client.list_objects_v2().bucket(&self.name).prefix(prefix).into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.expect("the bucket lists");
            keys.extend(page.contents().iter().filter_map(|object| object.key().map(str::to_owned)));
        }
        keys
    }

    /// The whole object, its size the same by HEAD and by its bytes.
    pub async fn get(&self, key: &str) -> Object {
        let head = self.client.head_object().bucket(&self.name).key(key).checksum_mode(ChecksumMode::Enabled);
        let head = head.send().await;
        let head = head.unwrap_or_else(|error| panic!("HEAD {key}: {error:?}"));
        let got = self.client.get_object().bucket(&self.name).key(key).send().await;
        let got = got.unwrap_or_else(|error| panic!("GET {key}: {error:?}"));
        let (content_type, etag) = (got.content_type.clone(), got.e_tag.clone());
        let (content_disposition, content_encoding) =
            (got.content_disposition.clone(), got.content_encoding.clone());
        let content = got.body.collect().await.expect("the object reads to its end").to_vec();
        assert_eq!(head.content_length(), Some(content.len() as i64), "{key} is whole");
        let checksum = head.checksum_crc64_nvme;
        let key = key.to_owned();
        Object { key, content, content_type, content_disposition, content_encoding, etag, checksum }
    }

    /// Accounts for an object: reads it, compares it with what was sent, and deletes it.
    pub async fn take(&self, key: &str, content: &[u8]) -> Object {
        let object = self.get(key).await;
        assert_eq!(object.content.len(), content.len(), "size of {key}");
        assert!(object.content == content, "{key} is byte-equal");
        self.delete(key).await;
        object
    }

    /// Accounts for a file that an answer calls stored, and holds the answer to what is in the store.
    pub async fn take_stored(&self, file: &FileOutcome, content: &[u8]) -> Object {
        assert_eq!(file.outcome, Outcome::Stored, "{file:?}");
        assert_eq!(file.size, Some(content.len() as u64));
        let key = file.key.as_deref().expect("a stored file has its key");
        let object = self.take(key, content).await;
        assert_eq!(file.content_type, object.content_type);
        assert_eq!(file.etag.as_deref().map(unquoted), object.etag.as_deref().map(unquoted));
        assert!(
            object.checksum.is_none() || object.checksum == file.checksum_crc64nvme,
            "{key}: {:?}",
            object.checksum
        );
        assert_eq!(file.code, None);
        object
    }

    pub async fn put(&self, key: &str, content: Vec<u8>) {
        let put = self.client.put_object().bucket(&self.name).key(key).body(content.into());
        put.send().await.expect("the object is put");
    }

    /// Begins a multipart upload; gives its id.
    pub async fn begin(&self, key: &str) -> String {
        let begun = self.client.create_multipart_upload().bucket(&self.name).key(key).send().await;
        begun.expect("the upload begins").upload_id.expect("an id")
    }

    /// Sends a part; gives its ETag.
    pub async fn part(&self, key: &str, upload_id: &str, number: i32, content: Vec<u8>) -> CompletedPart {
        let part = self.client.upload_part().bucket(&self.name).key(key).upload_id(upload_id);
        let sent = part.part_number(number).body(content.into()).send().await.expect("the part is taken");
        CompletedPart::builder().part_number(number).set_e_tag(sent.e_tag).build()
    }

    /// Whether the parts become an object.
    pub async fn completes(&self, key: &str, upload_id: &str, parts: Vec<CompletedPart>) -> bool {
        let list = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let complete = self.client.complete_multipart_upload().bucket(&self.name).key(key);
        complete.upload_id(upload_id).multipart_upload(list).send().await.is_ok()
    }

    pub async fn delete(&self, key: &str) {
        self.client.delete_object().bucket(&self.name).key(key).send().await.expect("the object is deleted");
    }

    /// Key and id of every multipart upload that was neither completed nor aborted.
    pub async fn open_uploads(&self) -> Vec<(String, String)> {
        let listed = self.client.list_multipart_uploads().bucket(&self.name).send().await;
        let listed = listed.expect("the uploads list");
        let pair = |upload: &aws_sdk_s3::types::MultipartUpload| {
            (upload.key().unwrap_or_default().to_owned(), upload.upload_id().unwrap_or_default().to_owned())
        };
        listed.uploads().iter().map(pair).collect()
    }

    /// Aborts whatever is open; an upload that is being completed is not.
    pub async fn abort_open(&self) {
        for (key, upload_id) in self.open_uploads().await {
            let abort = self.client.abort_multipart_upload().bucket(&self.name).key(key).upload_id(upload_id);
            let aborted = abort.send().await.map_err(|error| error.into_service_error());
            let is_settled = |error: &AbortMultipartUploadError| {
                error.is_no_such_upload() || error.meta().code() == Some("OperationAborted")
            };
            assert!(aborted.as_ref().err().is_none_or(is_settled), "{aborted:?}");
        }
    }

    pub async fn abort(&self, key: &str, upload_id: &str) {
        let abort = self.client.abort_multipart_upload().bucket(&self.name).key(key).upload_id(upload_id);
        abort.send().await.expect("the upload is aborted");
    }
}

fn unquoted(etag: &str) -> &str {
    etag.trim_matches('"')
}
