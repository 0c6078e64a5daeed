//! The tables, for the terminal and for `server/benches/RESULTS.md`.

use std::path::Path;
use std::process::Command;

use super::figures::{Figure, Figures, Spread};
use super::relays::Setup;
use super::scenarios::Scenario;
use crate::program::{self, Failure};

const FIGURES: [Figure; 3] = [Figure::Speed, Figure::Cpu, Figure::Memory];

/// What came out of one scenario.
pub struct Results {
    pub scenario: Scenario,
    /// For each entrant, its runs.
    pub rows: Vec<(&'static str, Vec<Figures>)>,
    /// Runs that broke, each with the reason.
    pub broken: Vec<String>,
}

impl Results {
    fn spread(&self, label: &str, figure: Figure) -> Option<Spread> {
        let (_, runs) = self.rows.iter().find(|(row, _)| *row == label)?;
        Spread::of(runs.iter().map(|run| run.get(figure)).collect())
    }

    fn median(&self, label: &str, figure: Figure) -> Option<f64> {
        self.spread(label, figure).map(|spread| spread.median)
    }

    /// Ours is the last row of each scenario.
    fn lines(&self) -> Vec<Vec<String>> {
        let ours = self.rows.last().map_or("", |(label, _)| label);
        let line = |label: &str, runs: usize| {
            let mut line = vec![self.scenario.name.to_owned(), label.to_owned(), runs.to_string()];
            line.extend(FIGURES.map(|figure| self.cell(label, figure)));
            line.extend(FIGURES.map(|figure| {
                let ratio = self.median(ours, figure).zip(self.median(label, figure));
                ratio.map_or_else(String::new, |(ours, other)| format!("{:.2}", ours / other))
            }));
            line
        };
        self.rows.iter().map(|(label, runs)| line(label, runs.len())).collect()
    }

    fn cell(&self, label: &str, figure: Figure) -> String {
        let Some(Spread { least, median, most }) = self.spread(label, figure) else {
            return "broke".to_owned();
        };
        let [least, median, most] = [least, median, most].map(|value| figure.shown(value));
        if least == most { median } else { format!("{median} ({least}-{most})") }
    }

    fn verdicts(&self) -> Vec<Vec<String>> {
        let verdicts =
            self.scenario.goals.iter().map(|goal| goal.verdict(|row, figure| self.median(row, figure)));
        let name = || self.scenario.name.to_owned();
        verdicts
            .map(|verdict| vec![name(), verdict.goal, verdict.measured, verdict.reached.to_owned()])
            .collect()
    }
}

/// Both tables, and what broke.
pub fn tables(results: &[Results]) -> String {
    let figures = ["scenario", "relay", "runs"].into_iter().chain(FIGURES.map(Figure::title));
    let figures = figures.chain(["ours/it MB/s", "ours/it CPU", "ours/it RSS"]).collect::<Vec<_>>();
    let figures = table(&figures, &results.iter().flat_map(Results::lines).collect::<Vec<_>>());
    let goals = ["scenario", "goal", "measured", "reached"];
    let goals = table(&goals, &results.iter().flat_map(Results::verdicts).collect::<Vec<_>>());
    let broken: String = results
        .iter()
        .flat_map(|results| {
            results.broken.iter().map(|reason| format!("- {}: {reason}\n", results.scenario.name))
        })
        .collect();
    let broken = if broken.is_empty() { broken } else { format!("\nBroken runs:\n\n{broken}") };
    format!("{figures}\n{goals}{broken}")
}

/// A table in Markdown that can also be read as it is.
fn table(titles: &[&str], lines: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = lines.iter().map(|line| line[column].chars().count());
        cells.chain([titles[column].len()]).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..titles.len()).map(width).collect();
    let row = |cells: &mut dyn Iterator<Item = &str>| -> String {
        let cells = cells.zip(&widths).map(|(cell, &width)| format!(" {cell:<width$} |"));
        format!("|{}\n", cells.collect::<String>())
    };
    let rule: String = widths.iter().map(|width| format!(" {} |", "-".repeat(*width))).collect();
    let mut text = row(&mut titles.iter().copied());
    text.push_str(&format!("|{rule}\n"));
    text.extend(lines.iter().map(|line| row(&mut line.iter().map(String::as_str))));
    text
}

/// The whole of RESULTS.md.
pub fn page(results: &[Results], setup: &Setup, runs: u32) -> String {
    let scenarios: String = results
        .iter()
        .map(|results| format!("- `{}`: {}\n", results.scenario.name, results.scenario.what))
        .collect();
    format!(
        "# Measured\n\nWritten by `cargo xtask bench` on {}; do not edit.\n\n{}\n## Figures\n\n{}\n\
         ## How\n\n{scenarios}\n{}",
        said("date", &["-u", "+%F %H:%M UTC"]),
        machine(setup),
        tables(results),
        HOW.replace("RUNS", &runs.to_string()),
    )
}

const HOW: &str = "\
All in the same run on the same machine, over loopback: clients, relay and store share the cores. The relays take
turns (first run of each, second run of each, ...), a fresh process each time, RUNS runs unless the table says
otherwise; figures are medians, with the least and the most. MB is 10^6 bytes of content, GiB 2^30.

- CPU: seconds of the relay's own threads and processes (`/proc/PID/task/*/schedstat`), taken right before and right
  after the transfer. Peak RSS: `VmHWM`. `ours/it`: ours by that row; below 1 is better for CPU and RSS.
- Client: one thread and connection an upload, `sendfile` from memory; random bytes behind the head of a PDF or JPEG.
  Clients with a pace begin within a second, all others at once. `bare-relay`, HAProxy and nginx get one `PUT`, the
  others the browser's form with the size declared.
- Store: in the bench's process, a thread a connection; the kernel discards the bytes (`MSG_TRUNC`), up to 1 MiB a call.
  A run counts only if every upload was answered as stored and the store has as many objects and bytes as were sent.
- `bare-relay`: read and write with a buffer of 256 KiB, the floor. HAProxy: one thread, no splicing, `mode tcp` and
  `mode http`; a goal against HAProxy is held to the better of the two. nginx: one worker,
  `proxy_request_buffering off`. `lib-storage`: busboy and `Upload` with its defaults; `multer-s3`: with Express.
";

fn machine(setup: &Setup) -> String {
    let from = |file: &str, name: &str| {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(name)).and_then(|line| line.split_once(':'));
        line.map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory =
        from("/proc/meminfo", "MemTotal").trim_end_matches(" kB").parse().unwrap_or(0.0) / 1024.0 / 1024.0;
    let mut lines = format!(
        "- machine: {}, {cores} cores, {memory:.0} GiB, Linux {}; load before: {}\n- ours: {}\n- peers: node {}",
        from("/proc/cpuinfo", "model name"),
        said("uname", &["-r"]),
        setup.load,
        setup.origin,
        said("node", &["--version"]),
    );
    for package in ["busboy", "@aws-sdk/lib-storage", "multer-s3", "multer", "express"] {
        lines.push_str(&format!(", {package} {}", npm_version(&setup.peers, package)));
    }
    for package in ["haproxy", "nginx"] {
        lines.push_str(&format!(", {package} {}", said("dpkg-query", &["-W", "-f", "${Version}", package])));
    }
    lines + "\n"
}

/// Processes that ran or wanted to, on average over the last minute.
pub fn load() -> String {
    let averages = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    averages.split(' ').next().unwrap_or_default().to_owned()
}

/// Of which commit the workspace is.
pub fn commit(workspace: &Path) -> String {
    let mut git = Command::new("git");
    git.current_dir(workspace).args(["describe", "--always", "--dirty", "--abbrev=12"]);
    program::answer(&mut git).map_or_else(|| "unknown".to_owned(), |commit| format!("commit {commit}"))
}

fn npm_version(peers: &Path, package: &str) -> String {
    let file = peers.join("node_modules").join(package).join("package.json");
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let version =
        text.lines().find_map(|line| line.trim().strip_prefix(r#""version": ""#)?.split('"').next());
    version.unwrap_or("unknown").to_owned()
}

fn said(program: &str, arguments: &[&str]) -> String {
    program::answer(Command::new(program).args(arguments)).unwrap_or_else(|| "unknown".to_owned())
}

/// # Errors
/// The file cannot be written.
pub fn write(page: &str, file: &Path) -> Result<(), Failure> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder).map_err(Failure::at(folder))?;
    }
    std::fs::write(file, page).map_err(Failure::at(file))
}

/// One run, while it all goes on.
pub fn line(turn: &str, label: &str, figures: &Figures) -> String {
    let figures =
        FIGURES.map(|figure| format!("{:>7} {}", figure.shown(figures.get(figure)), figure.title()));
    format!("{turn:<16}  {label:<13} {}", figures.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_aligned() {
        let lines = [vec!["a".to_owned(), "long cell".to_owned()]];
        let expected = "| title | b         |\n| ----- | --------- |\n| a     | long cell |\n";
        assert_eq!(table(&["title", "b"], &lines), expected);
    }
}
