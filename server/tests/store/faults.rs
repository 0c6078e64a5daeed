//! A disk that lies, is full or was left in the middle: an error, never wrong bytes, nothing old lost.

use std::fs;
use std::path::{Path, PathBuf};

use aws_sdk_s3::Client;
use server::embedded::{OpenError, Store, Switches};

use crate::disk::SmallDisk;
use crate::fixture::{BUCKET, MIB, TestDir, TestStore, bytes, code, get, put};
use crate::multipart::{begin, complete, part};

fn flip(file: &Path, at: usize) {
    let mut content = fs::read(file).unwrap();
    content[at] ^= 0x10;
    fs::write(file, content).unwrap();
}

/// What a client gets: the bytes, or how it failed.
async fn read(client: &Client, key: &str) -> Result<Vec<u8>, String> {
    let answer = client.get_object().bucket(BUCKET).key(key).send().await;
    match answer {
        Ok(answer) => match answer.body.collect().await {
            Ok(body) => Ok(body.to_vec()),
            Err(_) => Err("cut".into()),
        },
        refused => Err(code(refused)),
    }
}

#[tokio::test]
async fn g10_a_flipped_bit_anywhere_is_an_error() {
    let mut store = TestStore::start().await;
    let body = bytes(700_000, 1);
    put(&store.client(), "k", body.clone()).await;
    put(&store.client(), "other", b"other".to_vec()).await;
    let holds = |f: &PathBuf| fs::metadata(f).unwrap().len() > 700_000;
    let file = store.dir.objects().into_iter().find(holds).unwrap();
    let length = fs::metadata(&file).unwrap().len() as usize;
    let table = body.len();
    let record = table + 4 * body.len().div_ceil(65_536);
    // First block, a later one, both ends of the table, record and tail.
    let places =
        [0, 65_536, 600_000, table - 1, table, record - 1, record, length - 33, length - 32, length - 1];
    for at in places {
        flip(&file, at);
        for opened_before in [true, false] {
            if !opened_before {
                store = store.restart().await;
            }
            // The record is in memory until the next start, and its copy on disk is not needed before.
            let harmless = opened_before && (record..length - 32).contains(&at);
            let expected = match at {
                300_000..700_000 => Err("cut".to_owned()),
                _ if harmless => Ok(body.clone()),
                _ => Err("Corrupt".to_owned()),
            };
            assert!(read(&store.client(), "k").await == expected, "{at} {opened_before}");
            assert_eq!(get(&store.client(), "other").await, b"other");
        }
        flip(&file, at);
        store = store.restart().await;
        assert!(read(&store.client(), "k").await == Ok(body.clone()), "{at} mended");
    }
    let part_of = store.client().get_object().bucket(BUCKET).key("k").range("bytes=131072-131080");
    flip(&file, 0);
    let part_of = part_of.send().await.unwrap().body.collect().await.unwrap().to_vec();
    assert!(part_of == body[131_072..=131_080], "an intact block can be read");
    put(&store.client(), "k", b"healed".to_vec()).await;
    let store = store.restart().await;
    assert_eq!(get(&store.client(), "k").await, b"healed");
    store.stop().await;
}

#[tokio::test]
async fn g10_a_cut_file_is_an_error() {
    let store = TestStore::start().await;
    let body = bytes(200_000, 2);
    put(&store.client(), "k", body.clone()).await;
    let file = store.dir.objects().remove(0);
    let whole = fs::read(&file).unwrap();
    for length in [0, 10, 65_536, 199_999, 200_000, whole.len() - 1] {
        fs::write(&file, &whole[..length]).unwrap();
        assert_eq!(read(&store.client(), "k").await, Err("Corrupt".into()), "{length}");
    }
    fs::write(&file, [whole.as_slice(), b"x"].concat()).unwrap();
    assert_eq!(read(&store.client(), "k").await, Err("Corrupt".into()));
    let store = store.restart().await;
    assert_eq!(read(&store.client(), "k").await, Err("Corrupt".into()));
    // A damaged object can still be deleted, and is then simply not there.
    store.client().delete_object().bucket(BUCKET).key("k").send().await.unwrap();
    assert_eq!(read(&store.client(), "k").await, Err("NoSuchKey".into()));
    assert_eq!(store.dir.objects().len(), 0);
    store.stop().await;
}

#[tokio::test]
async fn g10_damaged_parts_are_an_error() {
    let store = TestStore::start().await;
    let client = store.client();
    let body = bytes(6 * MIB, 3);
    let id = begin(&client, "k").await;
    let one = part(&client, "k", &id, 1, &body[..5 * MIB]).await;
    let two = part(&client, "k", &id, 2, &body[5 * MIB..]).await;
    complete(&client, "k", &id, &[one, two]).send().await.unwrap();
    let pieces = store.dir.uploads().remove(0);
    let second = pieces.join("2");
    flip(&second, 1000);
    assert_eq!(read(&client, "k").await, Err("cut".into()));
    flip(&second, 1000);
    assert!(read(&client, "k").await == Ok(body.clone()));
    // Another whole part in its place is not the object's part.
    fs::rename(&second, pieces.join("aside")).unwrap();
    fs::copy(pieces.join("1"), &second).unwrap();
    assert_eq!(read(&client, "k").await, Err("cut".into()));
    fs::remove_file(&second).unwrap();
    assert_eq!(read(&client, "k").await, Err("cut".into()));
    flip(&pieces.join("1"), 0);
    assert_eq!(read(&client, "k").await, Err("Corrupt".into()));
    // With its record gone nobody knows whose parts these are: they stay.
    flip(&pieces.join("1"), 0);
    fs::rename(pieces.join("aside"), &second).unwrap();
    let object = store.dir.objects().remove(0);
    flip(&object, 0);
    let store = store.restart().await;
    assert_eq!(read(&store.client(), "k").await, Err("Corrupt".into()));
    flip(&object, 0);
    let store = store.restart().await;
    assert!(read(&store.client(), "k").await == Ok(body));
    store.stop().await;
}

#[tokio::test]
async fn a_damaged_part_of_an_open_upload_is_not_there_after_a_restart() {
    let store = TestStore::start().await;
    let id = begin(&store.client(), "k").await;
    let one = part(&store.client(), "k", &id, 1, b"one").await;
    let file = store.dir.uploads().remove(0).join("1");
    let length = fs::metadata(&file).unwrap().len() as usize;
    flip(&file, length - 1);
    let store = store.restart().await;
    let done = complete(&store.client(), "k", &id, std::slice::from_ref(&one));
    assert_eq!(code(done.send().await), "InvalidPart");
    let again = part(&store.client(), "k", &id, 1, b"one").await;
    complete(&store.client(), "k", &id, &[again]).send().await.unwrap();
    assert_eq!(get(&store.client(), "k").await, b"one");
    store.stop().await;
}

#[tokio::test]
async fn what_a_kill_left_is_swept() {
    let store = TestStore::start().await;
    let client = store.client();
    let id = begin(&client, "k").await;
    let one = part(&client, "k", &id, 1, b"one").await;
    let open = begin(&client, "open").await;
    complete(&client, "k", &id, &[one]).send().await.unwrap();
    put(&client, "plain", b"plain".to_vec()).await;
    let dir = store.stop().await;

    // Half a file, half a bucket; the upload's record and a part left out, as if Complete had got no further;
    // the parts of an object that has been replaced, and an upload whose record was never written.
    fs::write(dir.path().join("tmp/half"), b"half").unwrap();
    fs::create_dir_all(dir.path().join("tmp/bucket/objects")).unwrap();
    let parts = dir.path().join("buckets").join(BUCKET).join("parts");
    fs::copy(parts.join(&open).join("upload"), parts.join(&id).join("upload")).unwrap();
    fs::copy(parts.join(&id).join("1"), parts.join(&id).join("2")).unwrap();
    fs::create_dir(parts.join("orphan")).unwrap();
    fs::copy(parts.join(&id).join("1"), parts.join("orphan").join("1")).unwrap();
    fs::create_dir(parts.join("begun")).unwrap();

    let store = TestStore::start_in(dir).await;
    let client = store.client();
    assert_eq!(store.dir.temporary().len(), 0);
    assert_eq!(store.dir.uploads().len(), 2);
    assert_eq!(crate::fixture::files(&parts.join(&id)), [parts.join(&id).join("1")]);
    assert_eq!(get(&client, "k").await, b"one");
    assert_eq!(get(&client, "plain").await, b"plain");
    let uploads = client.list_multipart_uploads().bucket(BUCKET).send().await.unwrap();
    assert_eq!(uploads.uploads().len(), 1);
    assert_eq!(uploads.uploads()[0].upload_id(), Some(open.as_str()));
    store.stop().await;
}

#[tokio::test]
async fn a_second_store_on_the_directory_refuses() {
    let store = TestStore::start().await;
    let refused = Store::open(store.dir.path()).err().expect("in use");
    assert!(matches!(refused, OpenError::Locked { .. }));
    let sentence = refused.to_string();
    assert!(sentence.ends_with("is in use by another process.") && !sentence.contains('\n'));
    put(&store.client(), "k", b"still here".to_vec()).await;
    assert_eq!(get(&store.client(), "k").await, b"still here");
    let store = store.restart().await;
    store.stop().await;

    let dir = TestDir::new();
    let file = dir.path().join("file");
    fs::write(&file, b"").unwrap();
    let refused = Store::open(&file.join("below")).err().expect("not a directory");
    assert!(matches!(refused, OpenError::Io { .. }));
}

#[tokio::test]
async fn g07_a_full_disk_is_an_error_and_loses_nothing() {
    let dir = TestDir::new();
    let Some(_disk) = SmallDisk::mount(dir.path(), 6) else {
        return;
    };
    let store = Store::open(dir.path()).unwrap();
    store.ensure_bucket(BUCKET).await.unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = tokio_util::sync::CancellationToken::new();
    let serving = tokio::spawn({
        let stop = stop.clone();
        async move { store.serve(listener, "test", "test-secret", Switches::default(), stop).await }
    });
    let client = crate::fixture::client(address, false);
    let old = bytes(3 * MIB, 4);
    put(&client, "old", old.clone()).await;
    let id = begin(&client, "parts").await;
    let one = part(&client, "parts", &id, 1, b"one").await;

    for key in ["old", "new"] {
        let put = client.put_object().bucket(BUCKET).key(key).body(bytes(8 * MIB, 5).into());
        let refused = put.send().await.unwrap_err();
        assert_eq!(refused.raw_response().unwrap().status().as_u16(), 507);
        assert_eq!(code(Err::<(), _>(refused)), "StorageFull");
        assert_eq!(dir.temporary().len(), 0);
    }
    let big = client.upload_part().bucket(BUCKET).key("parts").upload_id(&id).part_number(1);
    assert_eq!(code(big.body(bytes(5 * MIB, 6).into()).send().await), "StorageFull");
    assert_eq!(dir.temporary().len(), 0);
    assert!(get(&client, "old").await == old);
    assert_eq!(read(&client, "new").await, Err("NoSuchKey".into()));

    // Room again: the next one is stored, and the upload goes on with the part it had.
    put(&client, "small", bytes(MIB, 7)).await;
    assert!(get(&client, "small").await == bytes(MIB, 7));
    complete(&client, "parts", &id, &[one]).send().await.unwrap();
    assert_eq!(get(&client, "parts").await, b"one");
    stop.cancel();
    serving.await.unwrap();
}
