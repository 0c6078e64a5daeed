//! Who may listen and upload: a page's id is its session's, and no page of another origin gets in.

use std::time::Duration;

use app::wire::FileType::DocsFile;
use app::wire::{Snapshot, Status};
use rand::SeedableRng;
use rand::distr::{Alphanumeric, SampleString};
use rand::rngs::StdRng;

use crate::SHORT;
use crate::support::client::{Answer, Form, RawConnection, exchange, get, head};
use crate::support::fixture::Fixture;
use crate::support::page::{Page, client_id, cookies, header};
use crate::support::sample::{self, KIB, MIB};
use crate::support::socket::{Watcher, upgrade, upgrade_with};

/// What refuses a socket.
async fn refusal(page: &Page, id: &str) -> Answer {
    page.socket(id).await.err().unwrap_or_else(|| panic!("a socket under {id}"))
}

/// Another browser, or none, gets nothing of what a page does under its id: no event, no snapshot, no cancel.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f03_s02_s03_an_id_of_another_session() {
    let fixture = Fixture::start().await;
    let victim = Page::open(fixture.server).await;
    let other = Page::open(fixture.server).await;
    assert_ne!((&victim.id, &victim.cookies), (&other.id, &other.cookies));
    let mut watcher = victim.watch().await;
    let content = sample::pdf(6 * MIB);
    let form = victim.form(Form::document(&content), &victim.id);
    let (body, half) = (form.body(), form.offset(0, 5 * MIB + KIB));
    let mut upload = RawConnection::connect(fixture.server).await;
    upload.write(&form.head(body.len())).await;
    upload.write(&body[..half]).await;
    let begun = watcher.until("it has begun", |heard| heard.first().map(|heard| heard.message.clone())).await;
    let upload_id = begun.upload_id;

    let altered = Page {
        cookies: other.cookies.replacen("brigade_session=", "brigade_session=x", 1),
        ..victim.clone()
    };
    let without = Page { cookies: "a=b".to_owned(), ..victim.clone() };
    for stranger in [&other, &altered, &without] {
        refusal(stranger, &victim.id).await.problem(403, "client_id_foreign");
        let events = format!("/events?client_id={}", victim.id);
        stranger.request("GET", &events).await.problem(403, "client_id_foreign");
        let snapshot = format!("/uploads/{upload_id}");
        stranger.request("GET", &snapshot).await.problem(403, "client_id_foreign");
        stranger.request("DELETE", &snapshot).await.problem(403, "client_id_foreign");
        let form = stranger.form(Form::document(&sample::pdf(KIB)), &victim.id);
        form.post(fixture.server).await.problem(403, "client_id_foreign");
    }
    // Over a socket of its own.
    let mut own = other.watch().await;
    own.say(&format!(r#"{{"cancel":"{upload_id}"}}"#)).await;
    assert_eq!(own.close().await.len(), 0, "it is told nothing");

    upload.write(&body[half..]).await;
    let file = upload.answer().await.stored_one();
    fixture.take_stored(&file, &content).await;
    assert_eq!(watcher.terminal(DocsFile).await.status, Status::Completed);
    let heard = watcher.close().await;
    assert!(heard.iter().all(|heard| heard.message.upload_id == upload_id), "and of nothing else");
    let snapshot: Snapshot = victim.request("GET", &format!("/uploads/{upload_id}")).await.json();
    assert_eq!(snapshot.files[0].key, file.key);
    fixture.finish().await;
}

/// The id and the cookie of a page serve it for as long as its session holds, in each of its tabs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_may_do_all_of_it() {
    let fixture = Fixture::start().await;
    let first = Page::open(fixture.server).await;
    let second = Page::open_with(fixture.server, &first.origin, &first.headers()).await;
    assert_ne!(first.id, second.id);
    let (mut watcher, content) = (second.watch().await, sample::pdf(300 * KIB));
    // By the cookie of the other tab: the session is the same.
    let crossed = Page { cookies: first.cookies.clone(), ..second.clone() };
    let file = crossed.post(Form::document(&content)).await.stored_one();
    fixture.take_stored(&file, &content).await;
    let end = watcher.terminal(DocsFile).await;
    assert_eq!(end.status, Status::Completed);
    let events = first.request("GET", &format!("/events?client_id={}", second.id)).await;
    assert!(events.status == 200 && events.text().contains("Completed!"), "{}", events.text());
    first.request("DELETE", &format!("/uploads/{}", end.upload_id)).await.problem(409, "upload_finished");
    drop(watcher);
    fixture.finish().await;
}

/// A link on another site brings no cookie that is `SameSite=Strict`: the browser is made to come again, and the ids of
/// the pages that are open stay good.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_from_another_site_takes_no_session_away() {
    let fixture = Fixture::start().await;
    let page = Page::open(fixture.server).await;
    let marker = page.cookies.split("; ").find(|pair| pair.starts_with("brigade_known=")).unwrap();
    let bounced = exchange(fixture.server, &head("GET", "/", &[header("Cookie", marker)])).await;
    assert_eq!((bounced.status, bounced.header("refresh"), client_id(&bounced)), (200, Some("0"), None));
    assert!(!bounced.header("content-security-policy").unwrap().contains("sandbox"));
    let set = cookies(&bounced);
    assert!(set.iter().all(|cookie| !cookie.contains("brigade_session")), "{set:?}");
    // Once only: what it is made to forget would have it come again for ever.
    assert!(set.iter().any(|cookie| cookie.starts_with("brigade_known=;") && cookie.contains("Max-Age=0")));
    let again = Page::open_with(fixture.server, &page.origin, &page.headers()).await;
    assert!(again.socket(&page.id).await.is_ok());
    fixture.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f05_s07_s08_s09_pages_of_other_origins() {
    let allowed = "https://files.example";
    let configure =
        move |config: &mut server::config::Config| config.allowed_origins = vec![allowed.to_owned()];
    let fixture = Fixture::setup().config(configure).start().await;
    let page = Page::open(fixture.server).await;
    let foreign = [
        "https://evil.example",
        "null",
        "http://brigade.test.evil.example",
        "http://brigade.test:81",
        "https://brigade.test",
        "http://brigade.test/",
        "http://files.example",
        "https://files.example.evil.example",
        "",
    ];
    let origins = foreign.map(|origin| vec![header("Origin", origin)]);
    let twice = vec![header("Origin", &page.origin), header("Origin", &page.origin)];
    let unnamed = vec![header("Sec-Fetch-Site", "cross-site")];
    for headers in origins.into_iter().chain([twice, unnamed]) {
        println!("{headers:?}");
        let with_cookie = [headers.clone(), vec![header("Cookie", &page.cookies)]].concat();
        for id in [page.id.as_str(), "a-program"] {
            for target in [format!("/ws?client_id={id}"), format!("/?client_id={id}")] {
                let refused = upgrade_with(fixture.server, &target, &with_cookie).await.expect_err("refused");
                refused.problem(403, "origin_refused");
            }
            let form = with_cookie
                .iter()
                .fold(Form::document(&sample::pdf(KIB)), |form, (name, value)| form.header(name, value));
            form.client_id(id).post(fixture.server).await.problem(403, "origin_refused");
        }
        for (method, target) in
            [("GET", "/events?client_id=a-program"), ("DELETE", "/uploads/x"), ("GET", "/uploads/x")]
        {
            let answer = exchange(fixture.server, &head(method, target, &with_cookie)).await;
            answer.problem(403, "origin_refused");
            assert_eq!(answer.header("access-control-allow-origin"), None);
        }
    }
    // No browser, and an id of a browser's page.
    let cookie = [header("Cookie", &page.cookies)];
    let unnamed = upgrade_with(fixture.server, &format!("/ws?client_id={}", page.id), &cookie).await;
    unnamed.expect_err("refused").problem(403, "origin_refused");
    let form = Form::document(&sample::pdf(KIB)).client_id(&page.id).header("Cookie", &page.cookies);
    form.post(fixture.server).await.problem(403, "origin_refused");
    fixture.nothing_stored().await;

    // A program names none; an allowed page names its own, and may read the answer.
    assert!(upgrade(fixture.server, "/ws?client_id=a-program").await.is_ok());
    let named = [header("Origin", allowed), header("Sec-Fetch-Site", "cross-site")];
    assert!(upgrade_with(fixture.server, "/ws?client_id=a-program", &named).await.is_ok());
    let content = sample::pdf(KIB);
    let form = named.iter().fold(Form::document(&content), |form, (name, value)| form.header(name, value));
    let answer = form.post(fixture.server).await;
    assert_eq!(answer.header("access-control-allow-origin"), Some(allowed));
    assert_eq!(answer.header("access-control-allow-credentials"), None);
    fixture.take_stored(&answer.stored_one(), &content).await;
    fixture.finish().await;
}

/// FAULTS.md, S33: only a proxy that is trusted says how a client came.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s33_what_a_proxy_says() {
    let said = [
        header("X-Forwarded-Proto", "https"),
        header("X-Forwarded-Host", "files.example"),
        header("X-Forwarded-For", "192.0.2.7"),
    ];
    for is_trusted in [true, false] {
        let configure = move |config: &mut server::config::Config| {
            config.trusted_proxies =
                if is_trusted { vec!["127.0.0.0/8".parse().unwrap()] } else { Vec::new() };
        };
        let fixture = Fixture::setup().config(configure).start().await;
        let origin = if is_trusted { "https://files.example" } else { "http://brigade.test" };
        let opened = exchange(fixture.server, &head("GET", "/", &said)).await;
        let set = cookies(&opened);
        assert_eq!(set.iter().any(|cookie| cookie.starts_with("__Host-brigade_session=")), is_trusted);
        assert!(set.iter().all(|cookie| cookie.contains("; Secure") == is_trusted), "{set:?}");
        assert!(set[0].contains("; HttpOnly; SameSite=Strict") && set[0].contains("; Path=/"), "{set:?}");
        assert!(!set[0].contains("Domain"), "{set:?}");
        assert_eq!(opened.header("strict-transport-security").is_some(), is_trusted);
        let page = Page::open_with(fixture.server, origin, &said).await;
        for claimed in ["https://files.example", "http://brigade.test", "http://files.example"] {
            let headers = [&said[..], &[header("Cookie", &page.cookies), header("Origin", claimed)]].concat();
            let open = upgrade_with(fixture.server, &format!("/ws?client_id={}", page.id), &headers).await;
            assert_eq!(open.is_ok(), claimed == origin, "{claimed}, trusted: {is_trusted}");
        }
        fixture.finish().await;
    }
}

/// A socket does not outlive the session that opened it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f19_s05_the_session_ends() {
    // Whole seconds: the cookie's end is no finer.
    let life = Duration::from_secs(2);
    let fixture = Fixture::setup().config(move |config| config.clocks.session = life).start().await;
    let page = Page::open(fixture.server).await;
    let (mut watcher, mut program) = (page.watch().await, Watcher::new(fixture.server, "a-program").await);
    let events = format!("/events?client_id={}", page.id);
    let stream = page.request("GET", &events);
    let (closed, stream) = tokio::join!(watcher.closed(), stream);
    assert_eq!(closed, 1008);
    assert_eq!((stream.status, stream.text().as_str()), (200, ""), "it ends, too");
    refusal(&page, &page.id).await.problem(403, "client_id_foreign");
    page.post(Form::document(&sample::pdf(KIB))).await.problem(403, "client_id_foreign");
    // Whoever has no session stays.
    assert!(tokio::time::timeout(SHORT, program.closed()).await.is_err());
    let renewed = Page::open(fixture.server).await;
    assert!(renewed.socket(&renewed.id).await.is_ok());
    drop((watcher, program));
    fixture.finish().await;
}

/// Guesses get one answer, and nobody's upload.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s06_ten_thousand_guesses() {
    let fixture = Fixture::start().await;
    let content = sample::pdf(KIB);
    fixture.take_stored(&Form::document(&content).post(fixture.server).await.stored_one(), &content).await;
    let mut rng = StdRng::seed_from_u64(6);
    let mut connection = RawConnection::connect(fixture.server).await;
    for _ in 0..100 {
        let guesses: Vec<u8> = (0..100)
            .flat_map(|_| head("GET", &format!("/uploads/{}", Alphanumeric.sample_string(&mut rng, 22)), &[]))
            .collect();
        connection.write(&guesses).await;
        for _ in 0..100 {
            connection.answer().await.problem(404, "upload_unknown");
        }
    }
    fixture.finish().await;
}

/// FAULTS.md, S10: what only reads changes nothing, whatever it is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s10_get_changes_nothing() {
    let fixture = Fixture::start().await;
    for target in ["/upload", "/uploads/x?_method=DELETE", "/uploads", "/ws?client_id=a&cancel=x"] {
        let answer = get(fixture.server, target).await;
        assert!(answer.status >= 400, "{target}: {}", answer.status);
    }
    fixture.nothing_stored().await;
    fixture.finish().await;
}
