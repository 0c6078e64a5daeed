//! The size ladder: byte-equal at every edge, and the store saw PutObject or equal parts as the contract says.

use app::wire::{DOCUMENT_FIELD, FileType, IMAGE_FIELD};

use crate::support::client::Form;
use crate::support::fixture::Fixture;
use crate::support::sample::{self, KIB, MIB};
use crate::support::store::{Call, Op};

const PART: u64 = 5 * MIB as u64;

fn documents() -> Vec<Vec<u8>> {
    let sizes = [5 * MIB - 1, 5 * MIB, 5 * MIB + 1, 10 * MIB, 10 * MIB + 1, 25 * MIB - 1, 25 * MIB];
    let mut files = vec![sample::smallest_pdf()];
    files.extend(sizes.map(sample::pdf));
    files
}

fn images() -> Vec<Vec<u8>> {
    [159, 64 * KIB, 5 * MIB - 1, 5 * MIB, 5 * MIB + 1, 10 * MIB - 1, 10 * MIB].map(sample::jpeg).to_vec()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b09_documents_with_their_size() {
    climb(FileType::DocsFile, documents(), true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b09_images_with_their_size() {
    climb(FileType::MsaImgs, images(), true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b01_documents_of_unknown_size() {
    climb(FileType::DocsFile, documents(), false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b01_images_of_unknown_size() {
    climb(FileType::MsaImgs, images(), false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a13_a_chunked_body_is_an_upload_like_any_other() {
    let fixture = Fixture::start().await;
    let content = sample::pdf(6 * MIB + 1);
    let form = Form::document(&content);
    let mut request = form.chunked_head();
    for piece in form.body().chunks(100_000) {
        request.extend(format!("{:x}\r\n", piece.len()).as_bytes());
        request.extend(piece);
        request.extend(b"\r\n");
    }
    request.extend(b"0\r\n\r\n");
    let answer = crate::support::client::exchange(fixture.server, &request).await;
    fixture.take_stored(&answer.stored_one(), &content).await;
    fixture.finish().await;
}

/// Every accepted type, from its bytes to its key and its content type.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_type_is_stored_as_what_its_bytes_are() {
    let fixture = Fixture::start().await;
    let word = "application/vnd.openxmlformats-officedocument.wordprocessingml.document";
    let cases = [
        (DOCUMENT_FIELD, "Ein Bericht (1).PDF", sample::pdf(9 * KIB), "pdf", "application/pdf"),
        (DOCUMENT_FIELD, "a.docx", sample::docx(6 * MIB), "docx", word),
        (DOCUMENT_FIELD, "no extension", sample::docx(9 * KIB), "docx", word),
        (IMAGE_FIELD, "b.jpeg", sample::jpeg(9 * KIB), "jpg", "image/jpeg"),
        (IMAGE_FIELD, "b.png", sample::png(9 * KIB), "png", "image/png"),
        (IMAGE_FIELD, "b.bin", sample::png(9 * KIB), "png", "image/png"),
    ];
    for (field, name, content, extension, kind) in cases {
        let answer = Form::new().file(field, name, &content).post(fixture.server).await;
        let file = answer.stored_one();
        assert_eq!(file.content_type.as_deref(), Some(kind), "{name}");
        assert_key(file.key.as_deref().unwrap(), field, extension);
        let object = fixture.take_stored(&file, &content).await;
        let disposition = object.content_disposition.unwrap_or_default();
        assert!(disposition.starts_with("attachment"), "{name}: {disposition}");
        assert_eq!(object.content_encoding, None, "{name}");
    }
    fixture.finish().await;
}

async fn climb(file: FileType, contents: Vec<Vec<u8>>, says_size: bool) {
    let fixture = Fixture::start().await;
    for content in contents {
        let form = if file == FileType::DocsFile { Form::document(&content) } else { Form::image(&content) };
        let form = if says_size { form } else { form.without_sizes() };
        let outcome = form.post(fixture.server).await.stored_one();
        let key = outcome.key.clone().unwrap();
        let extension = if file == FileType::DocsFile { "pdf" } else { "jpg" };
        assert_key(&key, file.field(), extension);
        let object = fixture.take_stored(&outcome, &content).await;
        assert!(object.content_disposition.is_some_and(|text| text.starts_with("attachment")));
        let calls: Vec<Call> = fixture.store.calls().into_iter().filter(|call| call.key == key).collect();
        assert_stored_as_agreed(&calls, content.len() as u64);
    }
    fixture.finish().await;
}

/// Under 5 MiB one `PutObject`, from there equal parts; always a look at what came of it; never an ACL.
fn assert_stored_as_agreed(calls: &[Call], size: u64) {
    let ops: Vec<Op> = calls.iter().map(|call| call.op).collect();
    let lengths = |op: Op| -> Vec<u64> {
        let mut parts: Vec<_> = calls.iter().filter(|call| call.is(op)).collect();
        parts.sort_by_key(|call| call.part);
        parts.iter().map(|call| call.content_length.expect("an exact length")).collect()
    };
    if size < PART {
        assert_eq!(lengths(Op::Put), [size], "one PutObject of {size}: {ops:?}");
        assert!(!ops.contains(&Op::Create), "{ops:?}");
    } else {
        let mut parts = vec![PART; usize::try_from(size.div_ceil(PART)).unwrap() - 1];
        parts.push(size - PART * parts.len() as u64);
        assert_eq!(lengths(Op::UploadPart), parts, "equal parts of {size}");
        assert!(!ops.contains(&Op::Put), "{ops:?}");
        let completes: Vec<&Call> = calls.iter().filter(|call| call.is(Op::Complete)).collect();
        assert_eq!(completes.len(), 1, "{ops:?}");
        let said = completes[0].headers.get("x-amz-mp-object-size").and_then(|value| value.to_str().ok());
        assert_eq!(said, Some(size.to_string().as_str()), "Complete says the size");
    }
    assert!(ops.last() == Some(&Op::Head) || ops.contains(&Op::Head), "the object is checked: {ops:?}");
    assert!(!ops.contains(&Op::Abort), "{ops:?}");
    for call in calls {
        assert!(!call.headers.contains_key("x-amz-acl"), "no ACL is ever sent: {:?}", call.op);
    }
}

/// `supporting_documents/docs_file<64 hex>.<ext>` or `photos/msa_imgs<64 hex>.<ext>`.
fn assert_key(key: &str, field: &str, extension: &str) {
    let start = if field == DOCUMENT_FIELD { "supporting_documents/docs_file" } else { "photos/msa_imgs" };
    let rest = key.strip_prefix(start).unwrap_or_else(|| panic!("{key} starts with {start}"));
    let (random, found) = rest.split_once('.').expect("an extension");
    assert_eq!(found, extension, "{key}");
    assert!(random.len() == 64 && random.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f')), "{key}");
}
