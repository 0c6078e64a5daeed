//! What a run saw: counts by kind, and every violation with the seed that brings it back.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

/// More would tell nothing new.
pub const MOST_VIOLATIONS: usize = 20;

#[derive(Default)]
pub struct Report {
    pub title: String,
    /// Uploads by the answer that their client read.
    pub answers: BTreeMap<String, u64>,
    /// What was done to the server.
    pub faults: BTreeMap<String, u64>,
    /// What was looked at.
    pub checks: BTreeMap<String, u64>,
    pub violations: Vec<String>,
}

impl Report {
    pub fn new(title: String) -> Self {
        Self { title, ..Self::default() }
    }

    pub fn answered(&mut self, how: &str) {
        count(&mut self.answers, how, 1);
    }

    pub fn fault(&mut self, kind: &str, times: u64) {
        count(&mut self.faults, kind, times);
    }

    pub fn checked(&mut self, what: &str, times: u64) {
        count(&mut self.checks, what, times);
    }

    pub fn merge(&mut self, other: Self) {
        let maps = [
            (&mut self.answers, other.answers),
            (&mut self.faults, other.faults),
            (&mut self.checks, other.checks),
        ];
        for (ours, theirs) in maps {
            theirs.iter().for_each(|(what, times)| count(ours, what, *times));
        }
        self.violations.extend(other.violations);
    }

    /// In a few words.
    pub fn line(&self) -> String {
        let sum = |map: &BTreeMap<String, u64>| map.values().sum::<u64>();
        let stored = self.answers.get("200").copied().unwrap_or(0);
        let (uploads, faults) = (sum(&self.answers), sum(&self.faults));
        format!("{uploads} uploads, {stored} × 200, {faults} faults, {} violations", self.violations.len())
    }

    pub fn is_hopeless(&self) -> bool {
        self.violations.len() >= MOST_VIOLATIONS
    }
}

fn count(map: &mut BTreeMap<String, u64>, name: &str, times: u64) {
    if times > 0 {
        *map.entry(name.to_owned()).or_default() += times;
    }
}

impl Display for Report {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        writeln!(out, "\n{}", self.title)?;
        for (name, map) in [("uploads", &self.answers), ("faults", &self.faults), ("checks", &self.checks)] {
            writeln!(out, "  {name}: {} in all", map.values().sum::<u64>())?;
            for (what, times) in map {
                writeln!(out, "    {times:>7}  {what}")?;
            }
        }
        for violation in &self.violations {
            writeln!(out, "  VIOLATION {violation}")?;
        }
        write!(out, "  {} violations", self.violations.len())
    }
}

/// What a task that panicked had to say.
pub fn last_words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string))
        .unwrap_or_else(|| "a panic".to_owned())
}

/// Runs something in a task of its own, so that its panic is an error with its words.
pub async fn caught<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Result<T, String> {
    let done = tokio::spawn(work).await;
    done.map_err(|error| match error.try_into_panic() {
        Ok(panic) => last_words(&*panic),
        Err(error) => error.to_string(),
    })
}
