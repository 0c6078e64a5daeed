//! What is measured in a run, and over several runs.

/// One run of one relay.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    /// 10^6 bytes of content a second, from the first connection to the last answer.
    pub speed: f64,
    /// Seconds on the CPU for each GiB (2^30) of content, of the relay alone.
    pub cpu: f64,
    /// The relay's largest resident set in MiB.
    pub memory: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure {
    Speed,
    Cpu,
    Memory,
}

/// Of several runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    pub least: f64,
    pub median: f64,
    pub most: f64,
}

impl Figures {
    pub fn get(&self, figure: Figure) -> f64 {
        match figure {
            Figure::Speed => self.speed,
            Figure::Cpu => self.cpu,
            Figure::Memory => self.memory,
        }
    }
}

impl Figure {
    /// With its unit.
    pub fn title(self) -> &'static str {
        match self {
            Self::Speed => "MB/s",
            Self::Cpu => "CPU s/GiB",
            Self::Memory => "peak RSS MiB",
        }
    }

    /// To as many digits as mean something.
    pub fn shown(self, value: f64) -> String {
        match self {
            Self::Speed | Self::Memory => format!("{value:.0}"),
            Self::Cpu => format!("{value:.2}"),
        }
    }
}

impl Spread {
    /// `None` of no values.
    pub fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let (least, most) = (*values.first()?, *values.last()?);
        let (low, high) = (values[(values.len() - 1) / 2], values[values.len() / 2]);
        Some(Self { least, median: f64::midpoint(low, high), most })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_between_two() {
        let spread = Spread::of(vec![3.0, 1.0, 2.0]).unwrap();
        assert_eq!(spread, Spread { least: 1.0, median: 2.0, most: 3.0 });
        assert!((Spread::of(vec![4.0, 1.0, 2.0, 3.0]).unwrap().median - 2.5).abs() < 1e-9);
        assert_eq!(Spread::of(Vec::new()), None);
    }
}
