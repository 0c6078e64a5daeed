//! A panic where there should be none: told like any failure, and nobody else notices.
//!
//! The real routes, with a body around them that panics when a header says so: nothing in the server knows of it.

use app::wire::FileType::{DocsFile, MsaImgs};
use app::wire::{Outcome, Status};
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::middleware::map_request;
use axum::routing::get as on_get;
use futures_util::StreamExt;

use crate::half::SIZES;
use crate::support::client::{Form, get};
use crate::support::fixture::{Fixture, outcome_of};
use crate::support::sample::{self, KIB, MIB};
use crate::support::socket::Watcher;

/// After so many bytes of the body.
const PANICS_AFTER: &str = "x-panics-after";

fn with_panics(routes: Router) -> Router {
    let panics = async || -> &'static str { panic!("a handler, as the test wants") };
    routes.route("/panics", on_get(panics)).layer(map_request(with_panicking_body))
}

/// The body panics once, and goes on when it is asked again.
async fn with_panicking_body(request: Request) -> Request {
    let after = request.headers().get(PANICS_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let Some(after) = after else { return request };
    let (mut read, mut has_panicked) = (0, false);
    request.map(|body| {
        Body::from_stream(body.into_data_stream().inspect(move |chunk| {
            read += chunk.as_ref().map_or(0, |bytes| bytes.len());
            if read > after && !has_panicked {
                has_panicked = true;
                panic!("a body, as the test wants");
            }
        }))
    })
}

async fn fixture() -> Fixture {
    Fixture::setup().config(|config| config.around = Some(with_panics)).start().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g12_a_panic_within_an_upload() {
    let fixture = fixture().await;
    for size in SIZES {
        let id = format!("panics-{size}");
        let mut watcher = Watcher::new(fixture.server, &id).await;
        let content = sample::pdf(size);
        let form = Form::document(&content).client_id(&id).header(PANICS_AFTER, size / 2);
        let problem = form.post(fixture.server).await.problem(500, "internal");
        assert_eq!(outcome_of(&problem.files, DocsFile).outcome, Outcome::Failed);
        let end = watcher.terminal(DocsFile).await;
        assert_eq!((end.status, end.code.as_deref()), (Status::Error, Some("internal")));
        fixture.nothing_stored().await;
        fixture.normal_upload_passes().await;
    }
    fixture.finish().await;
}

/// What arrived before is finished, and the answer says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g12_a_panic_after_the_first_file() {
    let fixture = fixture().await;
    for size in [300 * KIB, 12 * MIB] {
        let id = format!("panics-later-{size}");
        let mut watcher = Watcher::new(fixture.server, &id).await;
        let (document, image) = (sample::pdf(size), sample::jpeg(4 * MIB));
        let form = Form::both(&document, &image).client_id(&id).header(PANICS_AFTER, size + 2 * MIB);
        let problem = form.post(fixture.server).await.problem(500, "internal");
        assert_eq!(outcome_of(&problem.files, MsaImgs).outcome, Outcome::Failed);
        fixture.take_stored(outcome_of(&problem.files, DocsFile), &document).await;
        assert_eq!(watcher.terminal(DocsFile).await.status, Status::Completed);
        assert_eq!(watcher.terminal(MsaImgs).await.code.as_deref(), Some("internal"));
        fixture.nothing_stored().await;
    }
    fixture.finish().await;
}

/// The last resort, for any other route.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g12_a_panic_within_a_route() {
    let fixture = fixture().await;
    for _ in 0..3 {
        let answer = get(fixture.server, "/panics").await;
        answer.problem(500, "internal");
        // The layer that frames every other answer has panicked with the route.
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert!(answer.header("content-security-policy").is_some());
    }
    fixture.finish().await;
}
