//! The commands that our pages tell their readers to type, run as they stand there.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use app::wire::FileMessage;

/// Where the commands find the server, and what they leave to the reader.
pub const ADDRESS: &str = "127.0.0.1:3000";
pub const UPLOAD_ID: &str = "UPLOAD_ID";
pub const PID: &str = "PID";

/// The shell's commands on a page that nobody has run yet, in their order.
pub struct Commands(Vec<String>);

impl Commands {
    /// What a backslash continues is one.
    #[must_use]
    pub fn of(page: &str) -> Self {
        let page = page.replace("\\\n", " ");
        let blocks = page.split("```sh\n").skip(1).filter_map(|rest| rest.split("\n```").next());
        Self(blocks.flat_map(str::lines).map(str::to_owned).collect())
    }

    /// Only those that begin so.
    pub fn keep(&mut self, beginning: &str) {
        self.0.retain(|command| command.starts_with(beginning));
    }

    /// Takes the first with all of `words` from those that are left.
    #[track_caller]
    pub fn take(&mut self, words: &[&str]) -> String {
        let fits = |command: &String| words.iter().all(|word| command.contains(word));
        let at = self.0.iter().position(fits).unwrap_or_else(|| panic!("{words:?} are in {:?}", self.0));
        self.0.remove(at)
    }

    #[track_caller]
    pub fn all_were_run(&self) {
        assert!(self.0.is_empty(), "commands that nobody has tried: {:?}", self.0);
    }
}

/// The command as a reader types it in this directory; curl keeps its meter to itself.
#[must_use]
pub fn shell(command: &str, dir: &Path) -> Command {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(command.replacen("curl ", "curl -sS ", 1)).current_dir(dir);
    shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    shell
}

/// What it prints when it ends well.
pub async fn run(shell: Command) -> Vec<u8> {
    let Output { status, stdout, stderr } = output(shell).await;
    assert!(status.success(), "{status}: {}", String::from_utf8_lossy(&stderr));
    stdout
}

/// All that is left of it.
pub async fn output(mut shell: Command) -> Output {
    tokio::task::spawn_blocking(move || shell.output().unwrap()).await.unwrap()
}

/// The messages of `/events`, as curl prints them.
#[must_use]
pub fn messages(events: &[u8]) -> Vec<FileMessage> {
    let data = str::from_utf8(events).unwrap().lines().filter_map(|line| line.strip_prefix("data:"));
    data.map(|message| serde_json::from_str(message).unwrap()).collect()
}
