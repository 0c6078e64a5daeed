//! The checks themselves: each of them finds what it is there to find.

use std::fs;
use std::path::{Path, PathBuf};

use app::wire::FileType;

use crate::client;
use crate::layout::{self, Shape};
use crate::ledger::Ledger;
use crate::plan::{ClientFault, Plan, PlannedFile};
use crate::sample::Sample;
use crate::support::bucket::Bucket;
use crate::support::child::Child;
use crate::support::sample::{KIB, MIB, pdf};
use crate::support::store::{ACCESS_KEY, SECRET_KEY};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_checks_find_what_is_wrong() {
    let flags = ["--store-access-key", ACCESS_KEY, "--store-secret-key", SECRET_KEY];
    let server = Child::start(&flags).await;
    let data_dir = server.dir().path.join("server");
    let bucket = Bucket::at(server.store().await);
    let mut ledger = Ledger::default();
    let large = upload(&server, &mut ledger, 0, 6 * MIB).await;
    let small = upload(&server, &mut ledger, 1, 10 * KIB).await;
    let found = ledger.check(&bucket).await;
    let shapes: Vec<Shape> = found.objects.iter().map(|(shape, _)| shape.clone()).collect();
    assert_eq!((found.violations, found.objects.len()), (Vec::new(), 2));
    assert_eq!(layout::look(&data_dir, &shapes), Vec::<String>::new());

    let stray = data_dir.join("store/tmp/stray");
    fs::write(&stray, b"x").unwrap();
    assert!(layout::look(&data_dir, &shapes)[0].contains("stray"));
    fs::remove_file(&stray).unwrap();

    let parts = parts_of_the_one_upload(&data_dir);
    let extra = parts.join("upload");
    fs::write(&extra, b"x").unwrap();
    assert!(layout::look(&data_dir, &shapes)[0].contains("parts"));
    fs::remove_file(&extra).unwrap();

    flip_a_byte(&parts.join("1"));
    assert_one(&mut ledger, &bucket, &[&format!("{large} cannot be read"), "should be Stored"]).await;
    flip_a_byte(&parts.join("1"));
    assert_one(&mut ledger, &bucket, &[]).await;

    let foreign = "supporting_documents/foreign.pdf";
    bucket.put(foreign, pdf(9 * KIB)).await;
    assert_one(&mut ledger, &bucket, &["is no file that was sent"]).await;
    assert!(layout::look(&data_dir, &shapes)[0].contains("objects"));
    bucket.put(foreign, bucket.get(&small).await.content).await;
    // Twice there, and not under the type that its bytes have.
    assert_one(&mut ledger, &bucket, &["is called"]).await;
    bucket.delete(foreign).await;

    bucket.delete(&small).await;
    assert_one(&mut ledger, &bucket, &["should be Stored"]).await;
    server.stop().await;
}

/// Uploads a document; gives its key.
async fn upload(server: &Child, ledger: &mut Ledger, number: u64, size: usize) -> String {
    let sample = Sample::new(number, FileType::DocsFile, size, 77 + 2 * number);
    let plan = Plan {
        client_id: "broken".to_owned(),
        is_id_shared: false,
        files: vec![PlannedFile { sample, defect: None, declared: Some(sample.size) }],
        is_chunked: false,
        is_unclosed: false,
        piece: 64 * KIB,
        pause_ms: 0,
        fault: ClientFault::None,
        line: None,
        watching: Vec::new(),
    };
    let ended = client::run(plan, server.address).await;
    assert_eq!((ended.word().as_str(), &ended.violations), ("200", &Vec::new()));
    ledger.enter(&ended);
    ended.outcomes()[0].key.clone().unwrap()
}

/// Exactly these are wrong.
async fn assert_one(ledger: &mut Ledger, bucket: &Bucket, wanted: &[&str]) {
    let violations = ledger.check(bucket).await.violations;
    assert_eq!(violations.len(), wanted.len(), "{violations:#?}");
    for (violation, wanted) in violations.iter().zip(wanted) {
        assert!(violation.contains(wanted), "{violation} instead of {wanted}");
    }
}

fn parts_of_the_one_upload(data_dir: &Path) -> PathBuf {
    let uploads = fs::read_dir(data_dir.join("store/buckets/uploads/parts")).unwrap();
    let uploads: Vec<PathBuf> = uploads.map(|entry| entry.unwrap().path()).collect();
    assert_eq!(uploads.len(), 1);
    uploads[0].clone()
}

fn flip_a_byte(file: &Path) {
    let mut bytes = fs::read(file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(file, bytes).unwrap();
}
