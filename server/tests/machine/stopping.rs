//! Asked to stop: running uploads get the grace, new ones a refusal, and who asks twice is obeyed at once.

use std::time::{Duration, Instant};

use app::wire::Status;
use rustix::process::Signal;

use crate::after::{has_only, normal_upload, open_uploads, readiness};
use crate::half::{Half, SIZES};
use crate::support::child::Child;
use crate::support::client::{Form, RawConnection, get, head};
use crate::support::sample::{self, KIB};

/// What "at once" may take on a busy machine.
const AT_ONCE: Duration = Duration::from_secs(1);

/// The signal has arrived: the server says so.
async fn begins_to_stop(server: &Child, signal: Signal) {
    assert_eq!(get(server.address, "/readyz").await.status, 200);
    let asked = Instant::now();
    server.signal(signal);
    let ready = readiness(server.address, 503).await;
    assert!(ready.text().contains("stopping"), "{}", ready.text());
    assert!(asked.elapsed() < AT_ONCE, "after {:?}", asked.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g01_a_stop_lets_running_uploads_end() {
    for (size, signal) in SIZES.into_iter().zip([Signal::TERM, Signal::INT]) {
        let server = Child::start(&[]).await;
        let mut running = Half::begin(server.address, size, "stays-until-its-end").await;
        let mut events = RawConnection::connect(server.address).await;
        events.write(&head("GET", "/events?client_id=stays-until-its-end", &[])).await;
        begins_to_stop(&server, signal).await;
        let next = Form::document(&sample::pdf(100 * KIB)).post(server.address).await;
        // A 503 without Retry-After is no problem document of ours.
        assert!(next.problem(503, "server_shutdown").retryable);
        assert_eq!(get(server.address, "/healthz").await.status, 200, "it lives, and is not restarted");
        let key = running.finish().await;
        let events = events.answer().await;
        assert!(events.text().contains("\"completed\""), "told before the end: {}", events.text());
        assert_eq!(running.watcher.closed().await, 1001);
        assert_eq!(running.ends(), 1);
        let dir = server.dir();
        let ended = server.ended().await;
        assert!(ended.status.success(), "{}", ended.status);
        has_only(&dir, &[(&key, &running.content)]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g01_a_stop_ends_who_stalls_beyond_the_grace() {
    for size in SIZES {
        let server = Child::start(&["--shutdown-grace", "700ms"]).await;
        let [document, image] = normal_upload(server.address).await;
        let mut stalled = Half::begin(server.address, size, "stalls-for-ever").await;
        let asked = Instant::now();
        begins_to_stop(&server, Signal::TERM).await;
        assert!(stalled.answer().await.problem(503, "server_shutdown").retryable);
        assert!(asked.elapsed() >= Duration::from_millis(700), "it had its grace");
        let end = stalled.end().await;
        assert_eq!((end.status, end.code.as_deref()), (Status::Error, Some("server_shutdown")));
        assert_eq!(stalled.watcher.closed().await, 1001);
        assert_eq!(stalled.ends(), 1);
        let dir = server.dir();
        let ended = server.ended().await;
        assert!(ended.status.success(), "{}", ended.status);
        assert!(asked.elapsed() < Duration::from_secs(15), "it stopped after {:?}", asked.elapsed());
        has_only(&dir, &[(&document.0, &document.1), (&image.0, &image.1)]).await;
    }
}

/// Not a clean stop: the code says so, and the next start cleans up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g01_a_second_signal_does_not_wait() {
    for size in SIZES {
        let server = Child::start(&[]).await;
        let [document, image] = normal_upload(server.address).await;
        let running = Half::begin(server.address, size, "has-no-time-left").await;
        begins_to_stop(&server, Signal::INT).await;
        let asked = Instant::now();
        server.signal(Signal::INT);
        running.breaks().await;
        let dir = server.dir();
        assert_eq!(server.ended().await.status.code(), Some(2));
        assert!(asked.elapsed() < AT_ONCE, "after {:?}", asked.elapsed());
        assert_eq!(open_uploads(&dir), usize::from(size == SIZES[1]), "there is something to clean up");
        Child::setup().within(&dir).start().await.stop().await;
        has_only(&dir, &[(&document.0, &document.1), (&image.0, &image.1)]).await;
    }
}
