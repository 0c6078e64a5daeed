//! What a check of somebody's store has shown, for people: printed, and kept as Markdown.

use std::fmt::Write;
use std::fs;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_sdk_s3::primitives::{DateTime, DateTimeFormat};

use crate::store::Store;

/// Cheap to clone; all clones are the same.
#[derive(Clone, Default)]
pub struct Report(Arc<Mutex<Vec<Line>>>);

struct Line {
    case: &'static str,
    took: Duration,
    ended: Result<(), String>,
}

impl Report {
    pub fn add(&self, case: &'static str, took: Duration, ended: Result<(), String>) {
        self.0.lock().unwrap().push(Line { case, took, ended });
    }

    /// Prints it; also into the file that `BRIGADE_STORE_REPORT` names.
    pub fn show(&self, store: &Store) {
        let text = self.text(store);
        println!("{text}");
        if let Some(path) = std::env::var_os("BRIGADE_STORE_REPORT") {
            fs::write(&path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        }
    }

    fn text(&self, store: &Store) -> String {
        let lines = self.0.lock().unwrap();
        let failed = lines.iter().filter(|line| line.ended.is_err()).count();
        let place = store.place().expect("a store that is given");
        let mut text = format!("# s3://{} at {} ({})\n\n", place.bucket, place.endpoint, place.region);
        let (version, took) =
            (env!("CARGO_PKG_VERSION"), lines.iter().map(|line| line.took).sum::<Duration>());
        let _ = writeln!(
            text,
            "bucket-brigade {version}, {}: {} cases passed, {failed} failed, in {:.0} s.\n",
            now(),
            lines.len() - failed,
            took.as_secs_f64()
        );
        let _ = writeln!(text, "What the store lacks, found by asking it:\n");
        match store.found() {
            None => text.push_str("- It was not asked.\n"),
            Some(lacks) if lacks.is_empty() => text.push_str("- Nothing that the server uses.\n"),
            Some(lacks) => lacks.iter().for_each(|lack| text.push_str(&format!("- {}\n", lack.sentence()))),
        }
        text.push_str("\n| case | ended | seconds |\n| --- | --- | --- |\n");
        for Line { case, took, ended } in lines.iter() {
            let ended = if ended.is_ok() { "passed" } else { "**failed**" };
            let _ = writeln!(text, "| {} | {ended} | {:.1} |", case.replace('_', " "), took.as_secs_f64());
        }
        for Line { case, ended, .. } in lines.iter() {
            if let Err(words) = ended {
                let _ = writeln!(text, "\n## {}\n\n```\n{}\n```", case.replace('_', " "), words.trim_end());
            }
        }
        text
    }
}

/// To the second.
fn now() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is right");
    let now = DateTime::from_secs(since.as_secs() as i64);
    now.fmt(DateTimeFormat::DateTime).expect("a time of this century")
}
