//! Files that are stored: of every size at which something changes, and what the store says of them then.

use app::wire::FileType::DocsFile;
use app::wire::{DOCUMENT_FIELD, FileOutcome};

use crate::lacks::Lack;
use crate::scene::Scene;
use crate::store::Store;
use crate::support::bucket::Object;
use crate::support::client::Form;
use crate::support::sample::{self, KIB, MIB};
use crate::support::tls_http::fetch;

/// Stores a document of this size; gives what was said of it, and what was in the bucket.
async fn stores(scene: &Scene, size: usize) -> (FileOutcome, Object) {
    let content = sample::pdf(size);
    scene.stores(Form::document(&content), &[&content]).await.remove(0)
}

async fn a_document_of(store: Store, size: usize) {
    let scene = Scene::of(&store).await;
    stores(&scene, size).await;
    scene.finish().await;
}

pub async fn the_smallest_document(store: Store) {
    let scene = Scene::of(&store).await;
    let content = sample::smallest_pdf();
    let (file, _) = scene.stores(Form::document(&content), &[&content]).await.remove(0);
    assert_eq!(file.content_type.as_deref(), Some("application/pdf"));
    scene.finish().await;
}

/// The largest that is one PutObject.
pub async fn just_under_5_mib(store: Store) {
    a_document_of(store, 5 * MIB - 1).await;
}

/// A multipart upload of one part.
pub async fn exactly_5_mib(store: Store) {
    a_document_of(store, 5 * MIB).await;
}

/// A last part of one byte.
pub async fn one_byte_over_5_mib(store: Store) {
    a_document_of(store, 5 * MIB + 1).await;
}

pub async fn several_equal_parts(store: Store) {
    let scene = Scene::of(&store).await;
    let (file, _) = stores(&scene, 12_000_000).await;
    // Of a multipart upload the ETag ends in the number of parts, where the store makes it as S3 does.
    let etag = file.etag.unwrap();
    assert!(etag.trim_matches('"').rsplit_once('-').is_none_or(|(_, parts)| parts == "3"), "{etag}");
    scene.finish().await;
}

/// The largest document by default.
pub async fn exactly_25_mib(store: Store) {
    a_document_of(store, 25 * MIB).await;
}

pub async fn both_files_in_one_form(store: Store) {
    let scene = Scene::of(&store).await;
    let (document, image) = (sample::pdf(6 * MIB), sample::jpeg(300 * KIB));
    let stored = scene.stores(Form::both(&document, &image), &[&document, &image]).await;
    let types: Vec<_> = stored.iter().map(|(file, _)| file.content_type.as_deref().unwrap()).collect();
    assert_eq!(types, ["application/pdf", "image/jpeg"]);
    scene.finish().await;
}

/// Without a size header a part is whole before it is sent.
async fn of_unknown_size(store: Store, size: usize) {
    let scene = Scene::of(&store).await;
    let content = sample::pdf(size);
    scene.stores(Form::document(&content).without_sizes(), &[&content]).await;
    scene.finish().await;
}

pub async fn a_small_file_of_unknown_size(store: Store) {
    of_unknown_size(store, 300 * KIB).await;
}

pub async fn a_large_file_of_unknown_size(store: Store) {
    of_unknown_size(store, 12 * MIB).await;
}

/// The store keeps the header as it was sent, for a Put and for a multipart upload.
pub async fn a_name_that_is_not_ascii(store: Store) {
    let scene = Scene::of(&store).await;
    for size in [300 * KIB, 6 * MIB] {
        let content = sample::pdf(size);
        let form = Form::new().file(DOCUMENT_FIELD, "Überblick 概要.pdf", &content).size(DocsFile, size);
        let (_, object) = scene.stores(form, &[&content]).await.remove(0);
        let disposition = object.content_disposition.unwrap();
        assert!(disposition.starts_with("attachment; filename=\""), "{disposition}");
        let encoded = "filename*=UTF-8''%C3%9Cberblick%20%E6%A6%82%E8%A6%81.pdf";
        assert!(disposition.ends_with(encoded), "{disposition}");
    }
    scene.finish().await;
}

/// Whoever uploaded gets a link that anybody can open, for a while, as an attachment.
pub async fn a_download_link(store: Store) {
    let scene = Scene::of(&store).await;
    for size in [300 * KIB, 6 * MIB] {
        let content = sample::pdf(size);
        let file = Form::document(&content).post(scene.server.address).await.stored_one();
        let got = fetch(file.link.as_deref().expect("it has a link")).await;
        assert_eq!(got.status(), 200, "{:?}", got.body());
        assert!(*got.body() == content, "it is the document");
        assert_eq!(got.headers()["content-type"], "application/pdf");
        assert_eq!(got.headers()["content-disposition"], "attachment; filename=\"a.pdf\"");
        scene.bucket.take_stored(&file, &content).await;
    }
    scene.finish().await;
}

pub async fn checksums_off(store: Store) {
    let scene = Scene::with(&store, &["--s3-checksums", "off"]).await;
    for size in [300 * KIB, 12 * MIB] {
        stores(&scene, size).await;
    }
    scene.finish().await;
}

/// Sent along, the store has compared it, and tells it again. A store that refuses them fails the upload and keeps
/// nothing of it.
pub async fn checksums_on(store: Store) {
    let scene = Scene::with(&store, &["--s3-checksums", "on"]).await;
    let is_refused = scene.lacks().await.contains(&Lack::Trailer);
    for size in [300 * KIB, 12 * MIB] {
        if is_refused {
            let form = Form::document(&sample::pdf(size));
            scene.refuses(form, DocsFile, 502, "storage_rejected").await;
            continue;
        }
        let (_, object) = stores(&scene, size).await;
        assert_eq!(object.content_encoding, None, "of aws-chunked nothing is left");
        let is_told = !scene.lacks().await.contains(&Lack::HeadChecksum);
        assert_eq!(object.checksum.is_some(), is_told, "the store tells the checksum");
    }
    if is_refused {
        scene.nothing_left().await;
        scene.server.stop().await;
    } else {
        scene.finish().await;
    }
}

pub async fn path_style(store: Store) {
    let scene = Scene::with(&store, &["--s3-path-style", "true"]).await;
    for size in [300 * KIB, 6 * MIB] {
        stores(&scene, size).await;
    }
    scene.finish().await;
}
