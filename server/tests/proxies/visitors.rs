//! Who the server takes a client for, behind a proxy that it trusts.

use std::net::SocketAddr;
use std::process::Command;

use crate::behind;
use crate::support::client::{Answer, Form, exchange, get, head};
use crate::support::fixture::{Dir, Fixture};
use crate::support::page::{Page, client_id, cookies, header};
use crate::support::reverse_proxy::{Kind, ReverseProxy};
use crate::support::sample::{self, KIB};

behind_each_proxy! {
    a_page_over_http_has_its_session;
    a_page_over_https_has_a_secure_session;
    without_trusted_proxy_no_page_over_https_works;
    what_a_stranger_says_of_itself_is_not_passed_on;
}

async fn a_page_over_http_has_its_session(kind: Kind) {
    let (fixture, proxy) = behind(kind).await;
    let page = Page::open(proxy.plain).await;
    assert!(page.cookies.contains("brigade_session=") && !page.cookies.contains("__Host-"));
    let watcher = page.watch().await;
    let content = sample::pdf(100 * KIB);
    let stored = page.post(Form::document(&content)).await.stored_one();
    fixture.take_stored(&stored, &content).await;
    watcher.close().await;
    drop(proxy);
    fixture.finish().await;
}

async fn a_page_over_https_has_a_secure_session(kind: Kind) {
    let (fixture, proxy) = behind(kind).await;
    let content = sample::pdf(100 * KIB);
    for version in ["--http1.1", "--http2"] {
        let page = SecurePage::open(&proxy, version).await;
        assert!(page.answer.contains("strict-transport-security: max-age="), "{}", page.answer);
        let session = page.cookies.iter().find(|cookie| cookie.starts_with("__Host-brigade_session="));
        let session = session.unwrap_or_else(|| panic!("{:?}", page.cookies));
        assert!(session.contains("; Path=/;") && session.contains("; SameSite=Strict"), "{session}");
        assert!(page.cookies.iter().all(|cookie| cookie.ends_with("; Secure")), "{:?}", page.cookies);
        let said = page.post(&proxy, version, &content).await;
        assert!(said.contains("\"outcome\":\"stored\""), "{said}");
        fixture.take_only(&content).await;
    }
    drop(proxy);
    fixture.finish().await;
}

/// What `docs/proxies.md` says goes wrong then.
async fn without_trusted_proxy_no_page_over_https_works(kind: Kind) {
    let fixture = Fixture::start().await;
    let proxy = ReverseProxy::start(kind, fixture.server).await;
    let page = SecurePage::open(&proxy, "--http1.1").await;
    assert!(!page.answer.contains("strict-transport-security"), "{}", page.answer);
    assert!(page.cookies.iter().all(|cookie| !cookie.contains("Secure")), "{:?}", page.cookies);
    let said = page.post(&proxy, "--http1.1", &sample::pdf(KIB)).await;
    assert!(said.contains("\"code\":\"origin_refused\""), "{said}");
    drop(proxy);
    fixture.finish().await;
}

/// The line for that is in each file, behind a hash sign; in Caddy's it is what is left when its block is gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_can_be_sent_to_https() {
    let fixture = Fixture::start().await;
    for (kind, line) in
        [(Kind::Nginx, "if ($scheme = http)"), (Kind::Haproxy, "http-request redirect scheme")]
    {
        let hidden = format!("#{line}");
        let proxy = ReverseProxy::start_with(kind, fixture.server, &[(&hidden, line)]).await;
        let moved = get(proxy.plain, "/files/?lang=ar").await;
        assert_eq!(moved.status, 308, "{kind:?}");
        assert_eq!(moved.header("location"), Some("https://brigade.test/files/?lang=ar"), "{kind:?}");
        assert!(curl(proxy.secure, "/files/?lang=ar", &[]).await.contains("data-client-id="));
    }
    fixture.finish().await;
}

async fn what_a_stranger_says_of_itself_is_not_passed_on(kind: Kind) {
    let (fixture, proxy) = behind(kind).await;
    let forged = [
        header("X-Forwarded-For", "192.0.2.1"),
        header("X-Forwarded-Proto", "https"),
        header("X-Forwarded-Host", "evil.example"),
    ];
    // The server itself believes whoever comes from this machine.
    let page = exchange(fixture.server, &head("GET", "/", &forged)).await;
    assert!(cookies(&page).iter().any(|cookie| cookie.starts_with("__Host-")));
    let page = exchange(proxy.plain, &head("GET", "/", &forged)).await;
    assert!(cookies(&page).iter().all(|cookie| !cookie.contains("Secure")), "not https: {page:?}");

    let page = Page::open_with(proxy.plain, "https://evil.example", &forged).await;
    let forging = |form: Form| forged.iter().fold(form, |form, (name, value)| form.header(name, value));
    let content = sample::pdf(KIB);
    page.post(forging(Form::document(&content))).await.problem(403, "origin_refused");
    // A link to a store of this machine is for clients of this machine.
    let direct = forging(Form::document(&content)).post(fixture.server).await.stored_one();
    assert_eq!(direct.link, None);
    let proxied = forging(Form::document(&content)).post(proxy.plain).await.stored_one();
    assert!(proxied.link.is_some(), "the client is this machine and not 192.0.2.1");
    for stored in [direct, proxied] {
        fixture.take_stored(&stored, &content).await;
    }
    drop(proxy);
    fixture.finish().await;
}

/// A page as curl has it over https.
struct SecurePage {
    /// Head and HTML; the head's names in small letters.
    answer: String,
    cookies: Vec<String>,
    id: String,
}

impl SecurePage {
    async fn open(proxy: &ReverseProxy, version: &str) -> Self {
        let answer = curl(proxy.secure, "/", &[version, "-i"]).await;
        let lines = answer.lines().filter_map(|line| line.split_once(": "));
        let cookies = lines.filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"));
        let cookies = cookies.map(|(_, cookie)| cookie.to_owned()).collect();
        let answered = Answer { status: 200, headers: Vec::new(), body: answer.clone().into() };
        let id = client_id(&answered).expect("the page has one");
        Self { answer: answer.replace("Strict-Transport-Security", "strict-transport-security"), cookies, id }
    }

    /// Posts a document as the page would.
    async fn post(&self, proxy: &ReverseProxy, version: &str, content: &[u8]) -> String {
        let dir = Dir::new();
        let file = dir.path.join("a.pdf");
        std::fs::write(&file, content).unwrap();
        let pairs = self.cookies.iter().filter_map(|cookie| cookie.split(';').next());
        let cookie = format!("Cookie: {}", pairs.collect::<Vec<_>>().join("; "));
        let (id, origin) = (format!("X-Client-Id: {}", self.id), format!("Origin: https://{}", proxy.secure));
        let form = format!("docs_field=@{}", file.display());
        curl(proxy.secure, "/upload", &[version, "-H", &cookie, "-H", &id, "-H", &origin, "-F", &form]).await
    }
}

async fn curl(address: SocketAddr, target: &str, words: &[&str]) -> String {
    let mut curl = Command::new("curl");
    curl.args(["-q", "-sSk"]).args(words).arg(format!("https://{address}{target}"));
    let said = tokio::task::spawn_blocking(move || curl.output().expect("curl runs")).await.unwrap();
    assert!(said.status.success(), "{said:?}");
    String::from_utf8(said.stdout).unwrap()
}
