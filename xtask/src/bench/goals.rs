//! What is hoped for, and whether it is reached.

use super::figures::{Figure, Spread};

/// A figure of one row, held against a number or other rows. All are medians.
#[derive(Clone, Copy, Debug)]
pub struct Goal {
    figure: Figure,
    of: &'static str,
    bound: Bound,
    /// A limit that would be better still.
    stretch: Option<f64>,
    against: Against,
}

#[derive(Clone, Copy, Debug)]
pub enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

#[derive(Clone, Copy, Debug)]
pub enum Against {
    /// The limit is the figure itself.
    Itself,
    /// The limit is a ratio, to the hardest of these rows.
    BestOf(&'static [&'static str]),
    /// The limit is a difference.
    MoreThan(&'static str),
}

/// One line of the goals' table.
#[derive(Debug, PartialEq, Eq)]
pub struct Verdict {
    pub goal: String,
    pub measured: String,
    pub reached: &'static str,
}

impl Goal {
    pub fn new(figure: Figure, bound: Bound, against: Against) -> Self {
        Self { figure, of: "ours", bound, stretch: None, against }
    }

    pub fn of(self, of: &'static str) -> Self {
        Self { of, ..self }
    }

    pub fn stretched(self, limit: f64) -> Self {
        Self { stretch: Some(limit), ..self }
    }

    /// `median` gives a row's figure, `None` where it was not measured.
    pub fn verdict(&self, median: impl Fn(&str, Figure) -> Option<f64>) -> Verdict {
        let measured = self.measured(median);
        let reached = match measured {
            None => "not measured",
            Some(_) if self.stretch.is_none() && self.is_within(measured, self.limit()) => "yes",
            Some(_) if self.is_within(measured, self.stretch.unwrap_or(f64::NAN)) => "yes, and the stretch",
            Some(_) if self.is_within(measured, self.limit()) => "yes, the stretch not",
            Some(_) => "NO",
        };
        let shown = measured.map_or_else(String::new, |value| self.shown(value));
        Verdict { goal: self.sentence(), measured: shown, reached }
    }

    fn measured(&self, median: impl Fn(&str, Figure) -> Option<f64>) -> Option<f64> {
        let own = median(self.of, self.figure)?;
        match self.against {
            Against::Itself => Some(own),
            Against::MoreThan(other) => Some(own - median(other, self.figure)?),
            Against::BestOf(others) => {
                let others = Spread::of(others.iter().filter_map(|row| median(row, self.figure)).collect())?;
                let hardest = if self.figure == Figure::Speed { others.most } else { others.least };
                Some(own / hardest)
            }
        }
    }

    fn limit(&self) -> f64 {
        match self.bound {
            Bound::AtMost(limit) | Bound::AtLeast(limit) => limit,
        }
    }

    fn is_within(&self, measured: Option<f64>, limit: f64) -> bool {
        measured.is_some_and(|measured| match self.bound {
            Bound::AtMost(_) => measured <= limit,
            Bound::AtLeast(_) => measured >= limit,
        })
    }

    fn sentence(&self) -> String {
        let sign = if matches!(self.bound, Bound::AtMost(_)) { "<=" } else { ">=" };
        let limit = self.shown(self.limit());
        let against = match self.against {
            Against::Itself => String::new(),
            Against::BestOf(others) => format!(" x {}", others.join(" or ")),
            Against::MoreThan(other) => format!(" more than {other}"),
        };
        let stretch =
            self.stretch.map(|limit| format!(" (stretch {})", self.shown(limit))).unwrap_or_default();
        format!("{} of {} {sign} {limit}{against}{stretch}", self.figure.title(), self.of)
    }

    fn shown(&self, value: f64) -> String {
        match self.against {
            Against::BestOf(_) => format!("{value:.2}"),
            _ => self.figure.shown(value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn median(row: &str, _: Figure) -> Option<f64> {
        match row {
            "ours" => Some(1.2),
            "cheap" => Some(1.0),
            "dear" => Some(2.0),
            _ => None,
        }
    }

    #[test]
    fn the_hardest_peer_counts() {
        let goal = Goal::new(Figure::Cpu, Bound::AtMost(1.25), Against::BestOf(&["dear", "cheap", "absent"]));
        let verdict = goal.stretched(1.1).verdict(median);
        assert_eq!((verdict.measured.as_str(), verdict.reached), ("1.20", "yes, the stretch not"));
        let goal = Goal::new(Figure::Speed, Bound::AtLeast(0.9), Against::BestOf(&["dear", "cheap"]));
        assert_eq!(goal.verdict(median).reached, "NO");
    }

    #[test]
    fn what_was_not_measured_is_not_reached() {
        let goal = Goal::new(Figure::Cpu, Bound::AtMost(1.0), Against::BestOf(&["absent"]));
        assert_eq!(goal.verdict(median).reached, "not measured");
        let goal = Goal::new(Figure::Memory, Bound::AtMost(1.0), Against::MoreThan("cheap"));
        assert_eq!(goal.verdict(median).reached, "yes");
    }
}
