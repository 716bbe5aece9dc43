//! What was counted, and whether it holds the bars.

use crate::rows::{Bar, Row};

/// A row with what it took, in thousand instructions a request over no filter.
pub struct Measured {
    /// The row.
    pub row: Row,
    /// What Envoy's own filters add.
    pub native: Option<f64>,
    /// What Claimgate adds.
    pub claimgate: f64,
}

/// A bar, and whether it holds.
pub struct Verdict {
    /// The bar in words.
    pub text: String,
    /// Whether it holds.
    pub holds: bool,
}

impl Measured {
    /// What Claimgate adds as a part of what Envoy's own filters add, where that is more than nothing.
    pub fn ratio(&self) -> Option<f64> {
        self.native.filter(|native| *native > 1.0).map(|native| self.claimgate / native)
    }

    /// The bars of the row, as far as all that they compare was measured.
    pub fn verdicts(&self, all: &[Measured]) -> Vec<Verdict> {
        let verdict = |bar: &Bar| {
            let (limit, text) = match bar {
                Bar::OfNative(part) => {
                    (part * self.native?, format!("at most {part:.2} of native"))
                }
                Bar::Thousand(limit) => (*limit, format!("below {limit} k")),
                Bar::OfRow(name, part) => {
                    let other = all.iter().find(|other| other.row.name == *name)?;
                    let text = format!("at most {part:.2} of {}", other.row.title);
                    (part * other.claimgate, text)
                }
                Bar::OverRow(name, more) => {
                    let other = all.iter().find(|other| other.row.name == *name)?;
                    let text = format!("at most {more} k over {}", other.row.title);
                    (other.claimgate + more, text)
                }
            };
            Some(Verdict { text, holds: self.claimgate <= limit })
        };
        self.row.bars.iter().filter_map(verdict).collect()
    }

    /// A line for the terminal.
    pub fn line(&self, all: &[Measured]) -> String {
        let number = |value: Option<f64>, digits: usize| {
            value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
        };
        let verdicts = self.verdicts(all);
        let verdicts = verdicts.iter().map(|verdict| {
            format!("{} ({})", if verdict.holds { "ok" } else { "BROKEN" }, verdict.text)
        });
        format!(
            "{:<16} {:>10} {:>10.1} {:>7}  {}",
            self.row.name,
            number(self.native, 1),
            self.claimgate,
            number(self.ratio(), 3),
            verdicts.collect::<Vec<_>>().join(", "),
        )
    }
}
