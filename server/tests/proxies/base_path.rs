//! Below a path that the proxy takes away: nothing is set for that, since every address in a page is relative.

use app::wire::FileType::DocsFile;
use app::wire::Status;

use crate::behind;
use crate::support::client::{Answer, Form, exchange, get, request};
use crate::support::reverse_proxy::Kind;
use crate::support::sample::{self, KIB};
use crate::support::socket::Watcher;

behind_each_proxy! {
    pages_and_all_that_they_name_are_there_below_a_path;
    the_form_and_the_socket_work_below_a_path;
}

const BASE: &str = "/files/";

async fn pages_and_all_that_they_name_are_there_below_a_path(kind: Kind) {
    let (fixture, proxy) = behind(kind).await;
    for (target, language) in [("/files", ""), ("/files?lang=ar", "lang=ar")] {
        let moved = get(proxy.plain, target).await;
        assert_eq!(moved.status, 308, "{target}");
        let (path, query) = relative(moved.header("location").unwrap());
        assert_eq!((path, query), (BASE, language), "{target}");
    }
    for (page, least) in [("", 5), ("?lang=ar", 5), ("docs", 5)] {
        let answer = get(proxy.plain, &format!("{BASE}{page}")).await;
        assert_eq!(answer.status, 200, "{page}");
        let addresses = addresses(&answer);
        assert!(addresses.len() >= least, "{addresses:?}");
        for address in addresses.iter().filter(|address| !address.starts_with(['#', '?'])) {
            let (path, _) = address.split_once('?').unwrap_or((address, ""));
            // An action is posted to.
            let status = if path == "upload" { 405 } else { 200 };
            let target = format!("{BASE}{}", address.trim_start_matches("./"));
            assert_eq!(get(proxy.plain, &target).await.status, status, "{target}, of {page:?}");
        }
    }
    let description: serde_json::Value = get(proxy.plain, "/files/openapi.json").await.json();
    assert_eq!(description["servers"][0]["url"], ".", "beside the description itself");
    drop(proxy);
    fixture.finish().await;
}

async fn the_form_and_the_socket_work_below_a_path(kind: Kind) {
    let (fixture, proxy) = behind(kind).await;
    let content = sample::pdf(100 * KIB);
    let mut watcher = Watcher::open(proxy.plain, "/files/ws?client_id=below-a-path").await;
    let form = Form::document(&content).client_id("below-a-path");
    let page = post_below(&form.clone().header("Accept", "text/html"), proxy.plain).await;
    assert!(page.status == 200 && page.text().starts_with("<!DOCTYPE html>"), "{}", page.text());
    for address in addresses(&page).iter().filter(|address| !address.starts_with("http://")) {
        let target = format!("{BASE}{}", address.trim_start_matches("./"));
        assert_eq!(get(proxy.plain, &target).await.status, 200, "{target}, of the result");
    }
    let end = watcher.terminal(DocsFile).await;
    assert_eq!(end.status, Status::Completed);
    let snapshot = format!("/files/uploads/{}", end.upload_id);
    assert_eq!(get(proxy.plain, &snapshot).await.status, 200);
    request(proxy.plain, "DELETE", &snapshot).await.problem(409, "upload_finished");
    fixture.take_only(&content).await;
    let stored = post_below(&form, proxy.plain).await.stored_one();
    fixture.take_stored(&stored, &content).await;
    watcher.close().await;
    drop(proxy);
    fixture.finish().await;
}

async fn post_below(form: &Form, proxy: std::net::SocketAddr) -> Answer {
    let body = form.body();
    let head = String::from_utf8(form.head(body.len())).unwrap();
    let head = head.replacen("POST /upload ", "POST /files/upload ", 1);
    exchange(proxy, &[head.as_bytes(), &body].concat()).await
}

/// Every address that a page names, the script's imports included; none begins at the host's root.
fn addresses(page: &Answer) -> Vec<String> {
    let html = page.text();
    let after = |mark: &'static str| html.split(mark).skip(1).filter_map(|rest| rest.split('"').next());
    let marks = ["href=\"", "src=\"", "action=\"", "from \"", "module_or_path:\""];
    let found: Vec<String> = marks.into_iter().flat_map(after).map(str::to_owned).collect();
    assert!(found.iter().all(|address| !address.starts_with('/')), "{found:?}");
    found
}

/// Path and query of a location, whether it names the host or not.
fn relative(location: &str) -> (&str, &str) {
    let path = location.find(BASE).map_or(location, |at| &location[at..]);
    path.split_once('?').unwrap_or((path, ""))
}
