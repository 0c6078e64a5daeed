//! The real binary, with its store at an address: one that is not there, slow, of another time, or not to be trusted.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use app::wire::FileType::DocsFile;
use app::wire::Status;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, Stream};

use crate::support::bucket::Bucket;
use crate::support::child::Child;
use crate::support::client::{Form, get};
use crate::support::fixture::Dir;
use crate::support::proxy::Proxy;
use crate::support::sample::{self, KIB, MIB};
use crate::support::socket::Watcher;
use crate::support::store::{ACCESS_KEY, BUCKET, Op, SECRET_KEY, ScriptedStore};

/// The binary with its bucket at this endpoint, run by `around` with these settings of the environment.
async fn server_at(endpoint: &str, around: &[&str], flags: &[&str]) -> Child {
    let settings = [
        format!("AWS_ENDPOINT_URL={endpoint}"),
        format!("AWS_ACCESS_KEY_ID={ACCESS_KEY}"),
        format!("AWS_SECRET_ACCESS_KEY={SECRET_KEY}"),
        "AWS_REGION=us-east-1".to_owned(),
    ];
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let program = [&["env"], settings.as_slice(), around].concat();
    Child::start_under(&program, &[&["--bucket", BUCKET], flags].concat()).await
}

/// Uploads a document that this server must fail with this status and code, in the answer and on the bar.
async fn fails(server: &Child, size: usize, status: u16, code: &str) {
    let id = format!("elsewhere-{size}");
    let mut watcher = Watcher::new(server.address, &id).await;
    let form = Form::document(&sample::pdf(size)).client_id(&id);
    let problem = form.post(server.address).await.problem(status, code);
    let end = watcher.terminal(DocsFile).await;
    assert_eq!((end.status, end.code.as_deref()), (Status::Error, Some(code)));
    assert_eq!(problem.upload_id, Some(end.upload_id));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d05_a_name_that_does_not_resolve() {
    let server = server_at("http://store.invalid:9000", &[], &[]).await;
    for size in [300 * KIB, 6 * MIB] {
        let begun = Instant::now();
        fails(&server, size, 503, "storage_unreachable").await;
        assert!(begun.elapsed() < Duration::from_secs(15), "answered after {:?}", begun.elapsed());
    }
    assert_eq!(get(server.address, "/readyz").await.status, 503);
    server.stop().await;
}

/// The client is read no faster than the memory allows, and the memory is what was allowed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d10_a_store_of_200_kilobytes_a_second_slows_the_client() {
    const MEMORY: u64 = 20 * MIB as u64;
    let dir = Dir::new();
    let store = ScriptedStore::start(&dir.path.join("store")).await;
    let proxy = Proxy::start(store.addr).await;
    let server = server_at(&format!("http://{}", proxy.addr), &[], &["--buffer-memory", "20MiB"]).await;
    let bucket = Bucket::at(store.plain);
    let content = sample::pdf(25 * MIB);
    // What every upload needs is there after the first.
    let _ = Form::document(&content).post(server.address).await.stored_one();
    let before = server.rss();

    proxy.up.limit(200_000);
    let passed = proxy.up.bytes();
    let mut watcher = Watcher::new(server.address, "slowed").await;
    let (form, address) = (Form::document(&content).client_id("slowed"), server.address);
    let posting = tokio::spawn(async move { form.post(address).await });
    proxy.up.passed(passed + 800_000).await;
    let last = watcher.of(DocsFile).pop().expect("it is told of");
    assert!(last.received < content.len() as u64, "the client is slowed: {last:?}");
    assert!(last.received <= last.sent + MEMORY, "{last:?}");
    let grown = server.rss().saturating_sub(before);
    assert!(grown <= MEMORY, "{grown} bytes more than after an upload like it");
    assert!(!posting.is_finished());

    // All has come long before all is stored.
    proxy.up.limit(8_000_000);
    let is_processing =
        |text: &str| text.starts_with("Processing part ") || text == "Processing final part buffered data";
    watcher
        .until("a part is processed", |heard| {
            heard.iter().find(|heard| is_processing(&heard.message.message)).map(|_| ())
        })
        .await;
    let file = posting.await.unwrap().stored_one();
    assert_eq!(watcher.terminal(DocsFile).await.status, Status::Completed);
    assert!(bucket.get(file.key.as_deref().unwrap()).await.content == content);
    assert!(bucket.open_uploads().await.is_empty());
    let grown = server.rss().saturating_sub(before);
    assert!(grown <= MEMORY, "{grown} bytes more than after an upload like it");
    server.stop().await;
}

/// Keys that are given out for a while: when the store calls a token expired, whatever its date says, the next is
/// fetched.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d21_a_token_that_expires_is_renewed() {
    let dir = Dir::new();
    let store = ScriptedStore::start(&dir.path.join("store")).await;
    let bucket = Bucket::at(store.plain);
    let keys = KeyStub::start();
    // The answer to a HEAD has no body, and S3 says 400.
    store.on(Op::HeadBucket).bearing("token-1").fails(400, "ExpiredToken");
    let server = Child::setup()
        .flags(&["--bucket", BUCKET])
        .env("AWS_ENDPOINT_URL", &format!("http://{}", store.addr))
        .env("AWS_REGION", "us-east-1")
        .env("AWS_CONTAINER_CREDENTIALS_FULL_URI", &format!("http://{}/", keys.address))
        .start()
        .await;
    assert_eq!(get(server.address, "/readyz").await.status, 200);
    let asked: Vec<_> = store.calls().iter().map(|call| (call.op, call.token().map(str::to_owned))).collect();
    let told = ["token-1", "token-2"].map(|token| (Op::HeadBucket, Some(token.to_owned())));
    assert_eq!((asked, keys.given()), (told.to_vec(), 2), "at the start");
    let calls = [
        (Op::Create, 0, 6 * MIB),
        (Op::UploadPart, 2, 12 * MIB),
        (Op::Complete, 0, 6 * MIB),
        (Op::Head, 0, 6 * MIB),
        (Op::Put, 0, 300 * KIB),
        (Op::Head, 0, 300 * KIB),
    ];
    for (expired, (op, part, size)) in (1..).zip(calls) {
        println!("{op:?}, {size} bytes");
        // From this call on the store knows the token no more.
        let at = store.calls().len();
        let token = format!("token-{}", expired + 1);
        let rule = store.on(op).bearing(&token);
        let rule = if part > 0 { rule.part(part) } else { rule };
        rule.fails(400, "ExpiredToken");
        let content = sample::pdf(size);
        let file = Form::document(&content).post(server.address).await.stored_one();
        let key = file.key.unwrap();
        assert!(bucket.get(&key).await.content == content);
        bucket.delete(&key).await;
        let new = store.calls().split_off(at);
        assert!(new.iter().any(|call| call.op == op && call.token() == Some(&*token)), "it was refused");
        let next = format!("token-{}", expired + 2);
        assert_eq!(new.last().and_then(|call| call.token()), Some(&*next), "{}", store.log());
        assert_eq!(keys.given(), expired + 2, "one new token for one that expired");
    }
    assert!(bucket.open_uploads().await.is_empty());
    server.stop().await;
}

/// Gives out keys as a container's agent does, each with a token of its own that is said to hold for years.
struct KeyStub {
    address: SocketAddr,
    given: Arc<AtomicUsize>,
}

impl KeyStub {
    /// It ends with the process.
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let given = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&given);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let _ = stream.read(&mut [0; 4096]);
                let number = count.fetch_add(1, Ordering::SeqCst) + 1;
                let body = format!(
                    r#"{{"AccessKeyId":"{ACCESS_KEY}","SecretAccessKey":"{SECRET_KEY}","Token":"token-{number}","Expiration":"2099-01-01T00:00:00Z"}}"#
                );
                let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n";
                let _ = write!(stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len());
            }
        });
        Self { address, given }
    }

    fn given(&self) -> usize {
        self.given.load(Ordering::SeqCst)
    }
}

/// Signed with a time that the store does not believe: the log says why it was refused, and it is signed anew with the
/// store's time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d22_a_clock_twenty_minutes_off() {
    let Some(library) = faketime() else {
        println!("SKIPPED: faketime is missing");
        return;
    };
    let preload = format!("LD_PRELOAD={}", library.display());
    let dir = Dir::new();
    let store = ScriptedStore::start(&dir.path.join("store")).await;
    let bucket = Bucket::at(store.plain);
    for shift in ["FAKETIME=+20m", "FAKETIME=-20m"] {
        println!("{shift}");
        let server = server_at(&format!("http://{}", store.addr), &[&preload, shift], &[]).await;
        // The first is small: a refusal is lost with the connection where more of the body is on its way.
        for size in [KIB, 6 * MIB] {
            let content = sample::pdf(size);
            let file = Form::document(&content).post(server.address).await.stored_one();
            let key = file.key.unwrap();
            assert!(bucket.get(&key).await.content == content, "{size}");
            bucket.delete(&key).await;
        }
        let named = server.log().contains("the clock of this machine is wrong, or the store's is");
        assert!(named, "{}", server.log());
        server.stop().await;
    }
    assert_eq!(bucket.keys().await, Vec::<String>::new());
    assert!(bucket.open_uploads().await.is_empty());
}

/// The library that shifts the clock. Its program would stand between us and the server, and outlive it.
fn faketime() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").ok()?.flatten();
    let mut libraries = folders.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"));
    libraries.find(|library| library.exists())
}

/// A certificate that nobody vouches for, or of another host: no request is sent, encrypted or in the clear.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d27_a_certificate_that_is_wrong() {
    let dir = Dir::new();
    let trusted = dir.path.join("trusted.pem");
    let pem = STANDARD.encode(CERTIFICATE);
    std::fs::write(&trusted, format!("-----BEGIN CERTIFICATE-----\n{pem}\n-----END CERTIFICATE-----\n"))
        .unwrap();
    let trusting = format!("SSL_CERT_FILE={}", trusted.display());
    for (name, host, settings, is_sent) in [
        ("nobody vouches for it", "127.0.0.1", &[][..], false),
        ("of another host", "127.0.0.2", &[trusting.as_str()][..], false),
        // Where all is right the stub does get the request: it would see a wrong one, too.
        ("trusted", "127.0.0.1", &[trusting.as_str()][..], true),
    ] {
        println!("{name}");
        let stub = TlsStub::start();
        let server = server_at(&format!("https://{host}:{}", stub.port), settings, &[]).await;
        for size in [300 * KIB, 6 * MIB] {
            fails(&server, size, 503, "storage_unreachable").await;
        }
        let ready = get(server.address, "/readyz").await;
        assert_eq!(ready.status, 503);
        let seen = stub.seen.lock().unwrap().clone();
        assert!(!seen.first_bytes.is_empty(), "it was asked");
        assert!(seen.first_bytes.iter().all(|byte| *byte == TLS_HANDSHAKE), "never in the clear: {seen:?}");
        assert_eq!(seen.requests > 0, is_sent, "{name}: {seen:?}");
        server.stop().await;
    }
}

/// For 127.0.0.1, signed by itself, made for this test by openssl; it ends in a hundred years.
const CERTIFICATE: &[u8] = include_bytes!("../data/self-signed.der");
const KEY: &[u8] = include_bytes!("../data/self-signed.key.der");
/// What a TLS connection begins with (RFC 8446, 5.1).
const TLS_HANDSHAKE: u8 = 22;

/// An https host that closes each connection once it has read something of a request.
struct TlsStub {
    port: u16,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Clone, Debug, Default)]
struct Seen {
    first_bytes: Vec<u8>,
    requests: usize,
}

impl TlsStub {
    /// On every address of this machine; it ends with the process.
    fn start() -> Self {
        let listener = TcpListener::bind(SocketAddr::from(([0, 0, 0, 0], 0))).unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(KEY));
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![CertificateDer::from(CERTIFICATE)], key)
            .unwrap();
        let (config, shared) = (Arc::new(config), Arc::clone(&seen));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (config, seen) = (Arc::clone(&config), Arc::clone(&shared));
                std::thread::spawn(move || look(stream, config, &seen));
            }
        });
        Self { port, seen }
    }
}

fn look(mut stream: TcpStream, config: Arc<ServerConfig>, seen: &Mutex<Seen>) {
    let mut first = [0];
    if matches!(stream.peek(&mut first), Ok(1)) {
        seen.lock().unwrap().first_bytes.push(first[0]);
    }
    let mut tls = ServerConnection::new(config).unwrap();
    let mut tls = Stream::new(&mut tls, &mut stream);
    if matches!(tls.read(&mut [0; 1024]), Ok(1..)) {
        seen.lock().unwrap().requests += 1;
    }
    // Gone by then, as a rule.
    let _ = tls.flush();
}
