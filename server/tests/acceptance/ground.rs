//! What the other tests stand on does what it says, and notices what is wrong.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;

use crate::support::bucket::Bucket;
use crate::support::client::RawConnection;
use crate::support::fixture::Dir;
use crate::support::proxy::Proxy;
use crate::support::sample::{self, KIB, MIB};
use crate::support::store::{Cut, Op, ScriptedStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

#[test]
fn samples_are_what_they_say() {
    use file_format::FileFormat as F;
    let cases = [
        (sample::smallest_pdf(), F::PortableDocumentFormat),
        (sample::pdf(6 * MIB + 1), F::PortableDocumentFormat),
        (sample::jpeg(159), F::JointPhotographicExpertsGroup),
        (sample::jpeg(300_001), F::JointPhotographicExpertsGroup),
        (sample::png(10 * KIB), F::PortableNetworkGraphics),
        // Only the ZIP's directory says that it is a document.
        (sample::docx(10 * KIB), F::Zip),
        (sample::zip(), F::Zip),
    ];
    for (content, format) in cases {
        assert_eq!(F::from_reader(std::io::Cursor::new(&content)).unwrap(), format);
    }
    assert_ne!(sample::pdf(MIB), sample::pdf(MIB), "never the same twice");
    for size in 163..163 + 70_000 {
        let padding = size - 159;
        if padding % 65_537 < 5 {
            assert_eq!(sample::jpeg(size).len(), size);
        }
    }
}

/// An error, then a cut, then an answer that never comes back: as the script says, and logged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_does_as_it_is_told() {
    let dir = Dir::new();
    let store = ScriptedStore::start(&dir.path.join("store")).await;
    let scripted = Bucket::at(store.addr);
    let plain = Bucket::at(store.plain);
    store.on(Op::ListObjects).nth(2).fails(403, "AccessDenied");
    assert!(scripted.keys().await.is_empty());
    let refused = AssertUnwindSafe(scripted.keys()).catch_unwind().await;
    assert!(refused.is_err(), "the second call is refused");
    assert!(scripted.keys().await.is_empty(), "the third passes");
    assert!(plain.keys().await.is_empty());
    let calls = store.calls_of(Op::ListObjects);
    let statuses: Vec<_> = calls.iter().map(|call| call.status()).collect();
    assert_eq!(statuses, [Some(200), Some(403), Some(200)], "the plain door is not logged");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_proxy_cuts_resets_and_refuses() {
    let target = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut proxy = Proxy::start(target.local_addr().unwrap()).await;
    for (how, ends_clean) in [(Cut::Fin, true), (Cut::Reset, false)] {
        proxy.up.cut_after(1000, how);
        let mut near = RawConnection::connect(proxy.addr).await;
        let (mut far, _) = target.accept().await.unwrap();
        near.write(&[7; 5000]).await;
        let mut got = Vec::new();
        assert_eq!(far.read_to_end(&mut got).await.is_ok(), ends_clean, "{how:?}");
        assert!(got.len() <= 1000, "{} bytes before the cut", got.len());
    }
    proxy.refuse().await;
    assert!(TcpStream::connect(proxy.addr).await.is_err());
    proxy.accept().await;
    let mut near = TcpStream::connect(proxy.addr).await.unwrap();
    let (mut far, _) = target.accept().await.unwrap();
    proxy.down.stall();
    far.write_all(b"held").await.unwrap();
    near.write_all(b"passes").await.unwrap();
    let mut six = [0; 6];
    far.read_exact(&mut six).await.unwrap();
    assert_eq!(&six, b"passes");
    let before = proxy.down.bytes();
    proxy.down.resume();
    proxy.down.passed(before + 4).await;
}

/// A paced store is as fast as it says, and its counter moves in small steps.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paced_store_counts_in_small_steps() {
    let dir = Dir::new();
    let store = ScriptedStore::start(&dir.path.join("store")).await;
    store.pace(4_000_000);
    let content = sample::noise(2_000_000);
    let begun = std::time::Instant::now();
    Bucket::at(store.addr).put("photos/x", content).await;
    let took = begun.elapsed().as_secs_f64();
    assert!((0.4..1.5).contains(&took), "2 MB at 4 MB/s took {took} s");
    let timeline = store.timeline(app::wire::FileType::MsaImgs);
    assert_eq!(timeline.last().map(|moment| (moment.bytes, moment.open)), Some((2_000_000, 0)));
    let steps = timeline.windows(2).map(|pair| pair[1].bytes - pair[0].bytes).max();
    assert!(steps <= Some(16 * KIB as u64), "{steps:?}");
}

/// A fixture must be able to fail: an object that no test accounted for is found.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_left_behind_is_found() {
    let dir = Dir::new();
    let store = ScriptedStore::start(&dir.path.join("store")).await;
    let bucket = Bucket::at(store.plain);
    bucket.put("photos/left", sample::noise(10)).await;
    assert_eq!(bucket.keys().await, ["photos/left"]);
    assert_eq!(bucket.get("photos/left").await.content.len(), 10);
    let id = bucket.begin("photos/begun").await;
    assert_eq!(bucket.open_uploads().await, [("photos/begun".to_owned(), id.clone())]);
    bucket.abort("photos/begun", &id).await;
    assert!(bucket.open_uploads().await.is_empty());
}
