//! A script of `frontend/e2e` under way: it says how far it is, and goes on when it is told to.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use tokio::sync::mpsc;

/// How long a script may need for a step; what it waits for in the page ends sooner.
const STEP: Duration = Duration::from_secs(90);

/// Node with a script, which drives a Chromium of its own. Killed when dropped before its end.
pub struct Script {
    node: Child,
    go: ChildStdin,
    lines: mpsc::UnboundedReceiver<String>,
    said: String,
}

impl Script {
    /// Starts it against the server, or the proxy before it.
    pub fn start(name: &str, address: SocketAddr, arguments: &[&str]) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../frontend/e2e").join(name);
        let mut command = Command::new("node");
        command.arg(script).args(arguments).env("BASE_URL", format!("http://{address}"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut node = command.spawn().expect("node runs");
        let (go, stdout) = (node.stdin.take().unwrap(), node.stdout.take().unwrap());
        let (line, lines) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            for said in BufReader::new(stdout).lines().map_while(Result::ok) {
                if line.send(said).is_err() {
                    return;
                }
            }
        });
        Self { node, go, lines, said: String::new() }
    }

    /// Waits until it has come to this step.
    pub async fn reaches(&mut self, step: &str) {
        let ended = format!("the browser's script did not come to {step:?}:\n");
        while self.line().await.unwrap_or_else(|| panic!("{ended}{}", self.said)) != step {}
    }

    /// Lets it go on from a step.
    pub fn go(&mut self) {
        self.go.write_all(b"go\n").expect("the script waits");
    }

    /// Waits for its end, which must be a good one.
    pub async fn ends(self) {
        self.tells().await;
    }

    /// The same, and its last line.
    pub async fn tells(mut self) -> String {
        while self.line().await.is_some() {}
        let status = self.node.wait().expect("node is our child");
        assert!(status.success(), "the browser's script failed:\n{}", self.said);
        self.said.lines().last().unwrap_or_default().to_owned()
    }

    async fn line(&mut self) -> Option<String> {
        let line = tokio::time::timeout(STEP, self.lines.recv()).await;
        let line = line.unwrap_or_else(|_| panic!("the browser's script is stuck:\n{}", self.said))?;
        writeln!(self.said, "{line}").expect("a string takes it");
        Some(line)
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        // Playwright ends Chromium when its pipe breaks.
        let _ = (self.node.kill(), self.node.wait());
    }
}
