//! What a service manager is told, and when: the test is one, by systemd's protocol.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use rustix::process::Signal;
use tokio::time::timeout;

use crate::after::{normal_upload, readiness};
use crate::half::Half;
use crate::support::PATIENCE;
use crate::support::child::{Child, Setup};
use crate::support::client::get;
use crate::support::fixture::{Dir, settle};
use crate::support::proxy::Proxy;
use crate::support::store::{ACCESS_KEY, Op, SECRET_KEY, ScriptedStore};

/// Signs ids; no manager may read it.
const SECRET: &str = "signs-the-ids-of-pages";

/// Where the server tells what it is doing.
struct Manager {
    socket: tokio::net::UnixDatagram,
    /// As NOTIFY_SOCKET has it.
    name: String,
}

impl Manager {
    fn at(address: &SocketAddr, name: String) -> Self {
        let socket = UnixDatagram::bind_addr(address).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self { socket: tokio::net::UnixDatagram::from_std(socket).unwrap(), name }
    }

    fn within(dir: &Dir) -> Self {
        let path = dir.path.join("notify");
        Self::at(&SocketAddr::from_pathname(&path).unwrap(), path.display().to_string())
    }

    /// At a name that no file has.
    fn of_no_file(dir: &Dir) -> Self {
        let name = dir.path.file_name().unwrap().to_str().unwrap();
        Self::at(&SocketAddr::from_abstract_name(name).unwrap(), format!("@{name}"))
    }

    fn started_by(&self, setup: Setup) -> Setup {
        setup.env("NOTIFY_SOCKET", &self.name).env("BRIGADE_SECRET", SECRET)
    }

    /// The lines of the next message.
    async fn told(&self) -> Vec<String> {
        let mut message = vec![0; 4096];
        let received = timeout(PATIENCE, self.socket.recv(&mut message)).await.expect("the server tells");
        message.truncate(received.unwrap());
        let text = String::from_utf8(message).unwrap();
        for secret in [SECRET, SECRET_KEY, ACCESS_KEY] {
            assert!(!text.contains(secret), "{text}");
        }
        text.lines().map(str::to_owned).collect()
    }

    fn has_been_told_nothing(&self) {
        let mut message = [0; 4096];
        let received = self.socket.try_recv(&mut message);
        assert!(received.is_err(), "{}", String::from_utf8_lossy(&message));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ready_is_told_when_it_answers_and_not_before() {
    let stored = Dir::new();
    let store = ScriptedStore::start(&stored.path.join("store")).await;
    let manager = Manager::within(&stored);
    let gate = store.on(Op::HeadBucket).holds_before();
    let mut server = manager.started_by(Child::setup().storing_at(store.addr)).spawn();
    let asked = || async { store.calls_of(Op::HeadBucket).len() };
    assert_eq!(settle(|asked| *asked == 1, asked).await, 1, "{}", server.log());
    tokio::time::sleep(Duration::from_millis(300)).await;
    manager.has_been_told_nothing();
    gate.cancel();
    let told = manager.told().await;
    assert_eq!(told[0], "READY=1");
    assert!(told[1].starts_with("STATUS=ready, storing into s3://uploads at "), "{told:?}");
    server.address = server.said("listen").await;
    assert_eq!(get(server.address, "/healthz").await.status, 200);
    normal_upload(server.address).await;
    server.stop().await;
}

/// As soon as it is asked to, though an upload runs on; and how long that may take.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_is_told_at_the_signal() {
    for signal in [Signal::TERM, Signal::INT] {
        let dir = Dir::new();
        let manager = Manager::of_no_file(&dir);
        let server = manager.started_by(Child::setup().flags(&["--shutdown-grace", "20s"])).start().await;
        assert_eq!(manager.told().await[0], "READY=1");
        let mut running = Half::begin(server.address, 3 * 1024 * 1024, "stays-until-its-end").await;
        manager.has_been_told_nothing();
        server.signal(signal);
        let told = manager.told().await;
        assert_eq!(told, ["STOPPING=1", "STATUS=running uploads end", "EXTEND_TIMEOUT_USEC=35000000"]);
        running.finish().await;
        let ended = server.ended().await;
        assert!(ended.status.success(), "{}", ended.status);
        manager.has_been_told_nothing();
    }
}

/// It is ready to answer: with a refusal that says why, as `systemctl status` does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_down_is_told_of() {
    let stored = Dir::new();
    let store = ScriptedStore::start(&stored.path.join("store")).await;
    let mut proxy = Proxy::start(store.addr).await;
    proxy.refuse().await;
    let manager = Manager::within(&stored);
    let server = manager.started_by(Child::setup().storing_at(proxy.addr)).start().await;
    let place = format!("s3://uploads at http://{} (us-east-1)", proxy.addr);
    let down = format!(
        "STATUS=not ready when last asked: {place}: the store cannot be used now: storage_unreachable"
    );
    assert_eq!(manager.told().await, [down.as_str()]);
    assert_eq!(manager.told().await, ["READY=1", &down]);
    proxy.accept().await;
    readiness(server.address, 200).await;
    assert_eq!(manager.told().await, [format!("STATUS=ready, storing into {place}")]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_start_is_never_ready() {
    let dir = Dir::new();
    let manager = Manager::within(&dir);
    let setup = Child::setup().flags(&["--part-size", "1MiB"]);
    let ended = manager.started_by(setup).refused().await;
    assert_eq!(ended.status.code(), Some(1), "the unit does not start it again after that");
    manager.has_been_told_nothing();
}

/// A manager that is not there, or is none, changes nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_listens() {
    let dir = Dir::new();
    let nowhere = dir.path.join("nowhere").display().to_string();
    for (name, told) in [(&*nowhere, "cannot be told"), ("nonsense", "NOTIFY_SOCKET is none")] {
        let server = Child::setup().env("NOTIFY_SOCKET", name).start().await;
        normal_upload(server.address).await;
        assert!(server.log().contains(told), "{}", server.log());
        server.stop().await;
    }
}
