//! nginx, HAProxy or Caddy before the server, by the very files of `docs/proxies/`: of those only addresses and paths
//! are others here.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustix::process::{Pid, Signal, kill_process};
use tokio::net::{TcpSocket, TcpStream};

use super::PATIENCE;
use super::fixture::Dir;

/// How long a proxy may take to end after SIGTERM: Caddy waits for its clients.
const FAREWELL: Duration = Duration::from_secs(3);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Nginx,
    Haproxy,
    Caddy,
}

/// A proxy with a certificate for 127.0.0.1 that nobody has signed. Ended when dropped.
pub struct ReverseProxy {
    pub plain: SocketAddr,
    pub secure: SocketAddr,
    process: Child,
    dir: Dir,
    _kept: [TcpSocket; 2],
}

impl ReverseProxy {
    /// As it is documented.
    pub async fn start(kind: Kind, server: SocketAddr) -> Self {
        Self::start_with(kind, server, &[]).await
    }

    /// The same with these texts of the file replaced by others.
    pub async fn start_with(kind: Kind, server: SocketAddr, switches: &[(&str, &str)]) -> Self {
        let (dir, kept) = (Dir::new(), [kept_port(), kept_port()]);
        let [plain, secure] = kept.each_ref().map(|socket| socket.local_addr().unwrap());
        let place = Place { dir: &dir.path, plain, secure, server, switches };
        let mut command = match kind {
            Kind::Nginx => nginx(&place),
            Kind::Haproxy => haproxy(&place),
            Kind::Caddy => caddy(&place),
        };
        let log = File::create(dir.path.join("log")).unwrap();
        let home = &dir.path;
        command.env_clear().env("HOME", home).env("XDG_DATA_HOME", home).env("XDG_CONFIG_HOME", home);
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let process = command.spawn().unwrap_or_else(|error| panic!("{kind:?}: {error}"));
        let mut proxy = Self { plain, secure, process, dir, _kept: kept };
        for address in [plain, secure] {
            proxy.listens(address).await;
        }
        proxy
    }

    async fn listens(&mut self, address: SocketAddr) {
        let begun = Instant::now();
        while TcpStream::connect(address).await.is_err() {
            let ended = self.process.try_wait().unwrap();
            assert!(ended.is_none() && begun.elapsed() < PATIENCE, "no proxy ({ended:?}):\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.path.join("log")).unwrap_or_default()
    }
}

impl Drop for ReverseProxy {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("the proxy's log:\n{}", self.log());
        }
        // Politely, since only then does nginx end its worker.
        let id = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw);
        let begun = Instant::now();
        while let (Some(id), Ok(None)) = (id, self.process.try_wait())
            && begun.elapsed() < FAREWELL
        {
            let _ = kill_process(id, Signal::TERM);
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = (self.process.kill(), self.process.wait());
    }
}

/// A port that is ours until the proxy listens there, and again after that: bound and not listening, it is given to
/// nobody who asks for any port, and may be bound by whoever asks for this one with SO_REUSEADDR.
fn kept_port() -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    socket
}

/// What a proxy's file is made for.
struct Place<'a> {
    dir: &'a Path,
    plain: SocketAddr,
    secure: SocketAddr,
    server: SocketAddr,
    switches: &'a [(&'a str, &'a str)],
}

fn nginx(place: &Place<'_>) -> Command {
    let &Place { dir, plain, secure, server, switches } = place;
    let [certificate, key] = certificate_and_key();
    let own = [
        ("listen 80;", format!("listen {plain};")),
        ("listen 443 ", format!("listen {secure} ")),
        ("127.0.0.1:3000", server.to_string()),
        ("/etc/ssl/certs/files.example.org.pem", write(dir, "certificate.pem", &certificate)),
        ("/etc/ssl/private/files.example.org.key", write(dir, "key.pem", &key)),
    ];
    let site = write(dir, "site.conf", &documented("nginx.conf", &own, switches));
    let temp = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let temp: String = temp.map(|name| format!("{name}_temp_path {};\n", dir.join(name).display())).concat();
    // What stands around a site; `gzip` is on in Debian's.
    let main = format!(
        "daemon off;\nworker_processes 1;\nerror_log stderr;\npid {};\nevents {{}}\n\
         http {{\naccess_log off;\ngzip on;\n{temp}include {site};\n}}\n",
        dir.join("pid").display()
    );
    let mut command = Command::new("/usr/sbin/nginx");
    command.args(["-e", "stderr", "-c", &write(dir, "nginx.conf", &main)]);
    command
}

fn haproxy(place: &Place<'_>) -> Command {
    let &Place { dir, plain, secure, server, switches } = place;
    let own = [
        ("bind :80\n", format!("bind {plain}\n")),
        ("bind :443 ", format!("bind {secure} ")),
        ("127.0.0.1:3000", server.to_string()),
        ("/etc/haproxy/files.example.org.pem", write(dir, "both.pem", &certificate_and_key().concat())),
    ];
    let mut command = Command::new("/usr/sbin/haproxy");
    command.args(["-db", "-f", &write(dir, "haproxy.cfg", &documented("haproxy.cfg", &own, switches))]);
    command
}

fn caddy(place: &Place<'_>) -> Command {
    let &Place { dir, plain, secure, server, switches } = place;
    let [certificate, key] = certificate_and_key();
    // A host name would be the only one that is answered, and a port alone is listened to everywhere; and unless it is
    // told which port is that of http, it listens to 80 as well.
    let (http, https) = (plain.port(), secure.port());
    let admin = format!(
        "admin unix/{}\n\tdefault_bind 127.0.0.1\n\thttp_port {http}\n\thttps_port {https}",
        dir.join("admin").display()
    );
    let own = [
        ("admin localhost:2019", admin),
        ("http://files.example.org", format!("http://:{http}")),
        ("https://files.example.org", format!("https://:{https}")),
        ("127.0.0.1:3000", server.to_string()),
        ("/etc/caddy/files.example.org.pem", write(dir, "certificate.pem", &certificate)),
        ("/etc/caddy/files.example.org.key", write(dir, "key.pem", &key)),
    ];
    let mut command = Command::new("/usr/bin/caddy");
    let file = write(dir, "Caddyfile", &documented("Caddyfile", &own, switches));
    command.args(["run", "--adapter", "caddyfile", "--config", &file]);
    command
}

/// A file of `docs/proxies/` with these texts replaced; each of them is there.
fn documented(name: &str, own: &[(&str, String)], switches: &[(&str, &str)]) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/proxies").join(name);
    let text = fs::read_to_string(&file).unwrap();
    let own = own.iter().map(|(from, to)| (*from, to.as_str()));
    switches.iter().copied().chain(own).fold(text, |text, (from, to)| {
        assert!(text.contains(from), "{name} does not say {from:?}");
        text.replace(from, to)
    })
}

fn certificate_and_key() -> [String; 2] {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    [("self-signed.der", "CERTIFICATE"), ("self-signed.key.der", "PRIVATE KEY")].map(|(name, what)| {
        let text = STANDARD.encode(fs::read(data.join(name)).unwrap());
        format!("-----BEGIN {what}-----\n{text}\n-----END {what}-----\n")
    })
}

fn write(dir: &Path, name: &str, text: &str) -> String {
    let path = dir.join(name);
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}
