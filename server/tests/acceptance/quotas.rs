//! How much one session, or one address, may do at once and in an hour.

use std::net::SocketAddr;

use bytesize::ByteSize;
use server::config::Config;

use crate::support::client::{Answer, Form, RawConnection};
use crate::support::fixture::{Fixture, settle};
use crate::support::page::{Page, header};
use crate::support::sample::{self, KIB};
use crate::support::socket::upgrade_with;

fn is_limited(answer: &Answer) -> u64 {
    answer.problem(429, "rate_limited");
    answer.header("retry-after").expect("it says when").parse().expect("in seconds")
}

/// Nine sockets of a session, one more than it may have; then one of them closes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f15_a_ninth_socket_of_one_session() {
    let fixture = Fixture::start().await;
    let page = Page::open(fixture.server).await;
    let mut open = Vec::new();
    for n in 1..=8 {
        open.push(page.socket(&page.id).await.unwrap_or_else(|answer| panic!("{n}: {}", answer.status)));
    }
    assert!(is_limited(&page.socket(&page.id).await.expect_err("the ninth")) >= 1);
    is_limited(&page.request("GET", &format!("/events?client_id={}", page.id)).await);
    // Another browser, and whoever has no session, is not concerned.
    let other = Page::open(fixture.server).await;
    assert!(other.socket(&other.id).await.is_ok());
    drop(open.pop());
    let comes_in = async || page.socket(&page.id).await.ok();
    assert!(settle(Option::is_some, comes_in).await.is_some());
    drop(open);
    fixture.finish().await;
}

/// A client of that address, as a trusted proxy tells it.
async fn socket_from(server: SocketAddr, address: &str) -> Result<impl Sized, Answer> {
    upgrade_with(server, "/ws?client_id=a-program", &[header("X-Forwarded-For", address)]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f15_s33_too_many_from_one_address() {
    let configure = |config: &mut Config| {
        config.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
        config.quota.max_sockets_per_address = Some(2);
        config.quota.max_uploads_per_address = Some(1);
    };
    let fixture = Fixture::setup().config(configure).start().await;
    for (ours, same, other) in
        [("192.0.2.1", "192.0.2.1", "192.0.2.2"), ("2001:db8::1", "2001:db8::2:1", "2001:db8:0:1::1")]
    {
        let open = [socket_from(fixture.server, ours).await, socket_from(fixture.server, same).await];
        assert!(open.iter().all(Result::is_ok), "{ours}");
        is_limited(&socket_from(fixture.server, same).await.err().expect("the third"));
        assert!(socket_from(fixture.server, other).await.is_ok(), "{other}");
        // What the client says of itself is not believed.
        let claimed = format!("{other}, {ours}");
        is_limited(&socket_from(fixture.server, &claimed).await.err().expect("the third"));

        let content = sample::pdf(300 * KIB);
        let from = |address: &str| Form::document(&content).header("X-Forwarded-For", address);
        let form = from(ours);
        let mut running = RawConnection::connect(fixture.server).await;
        running.write(&form.head(form.body().len())).await;
        running.write(&form.body()[..KIB]).await;
        let runs = async || fixture.metric("brigade_uploads_in_flight").await;
        assert_eq!(settle(|n| *n == 1.0, runs).await, 1.0);
        is_limited(&from(same).post(fixture.server).await);
        fixture.take_stored(&from(other).post(fixture.server).await.stored_one(), &content).await;
        running.write(&form.body()[KIB..]).await;
        fixture.take_stored(&running.answer().await.stored_one(), &content).await;
        fixture.take_stored(&from(same).post(fixture.server).await.stored_one(), &content).await;
    }
    fixture.finish().await;
}

/// A page that sends one form after the other, and then two at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s12_uploads_of_one_session_at_once() {
    let fixture = Fixture::setup().config(|config| config.quota.max_uploads_per_session = 1).start().await;
    let page = Page::open(fixture.server).await;
    let content = sample::pdf(300 * KIB);
    for _ in 0..3 {
        fixture.take_stored(&page.post(Form::document(&content)).await.stored_one(), &content).await;
    }
    let form = page.form(Form::document(&content), &page.id);
    let mut running = RawConnection::connect(fixture.server).await;
    running.write(&form.head(form.body().len())).await;
    running.write(&form.body()[..KIB]).await;
    let runs = async || fixture.metric("brigade_uploads_in_flight").await;
    assert_eq!(settle(|n| *n == 1.0, runs).await, 1.0);
    is_limited(&page.post(Form::document(&content)).await);
    running.write(&form.body()[KIB..]).await;
    fixture.take_stored(&running.answer().await.stored_one(), &content).await;
    fixture.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s12_files_and_bytes_in_an_hour() {
    let (document, image) = (sample::pdf(100 * KIB), sample::jpeg(100 * KIB));
    let both = || Form::both(&document, &image);
    for (name, files, bytes) in
        [("files", Some(4), None), ("bytes", None, Some(ByteSize::kib(420))), ("neither", None, None)]
    {
        let configure = move |config: &mut Config| {
            config.quota.files_per_hour = files;
            config.quota.bytes_per_hour = bytes;
        };
        let fixture = Fixture::setup().config(configure).start().await;
        let page = Page::open(fixture.server).await;
        for _ in 0..2 {
            let answer = page.post(both()).await.stored();
            fixture.take_stored(&answer.files[0], &document).await;
            fixture.take_stored(&answer.files[1], &image).await;
        }
        let third = page.post(both()).await;
        if name == "neither" {
            let _ = third.stored();
            fixture.take_all().await;
        } else {
            let wait = is_limited(&third);
            // Half of the hour's two forms have to come back; that it was asked does not make it longer.
            assert!((1000..=1801).contains(&wait), "{name}: {wait} s");
            assert!(is_limited(&page.post(both()).await) <= wait, "{name}");
            let other = Page::open(fixture.server).await;
            let _ = other.post(both()).await.stored();
            fixture.take_all().await;
        }
        fixture.finish().await;
    }
}
