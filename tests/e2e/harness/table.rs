//! Tables of cases: all are tried, and all that fail are reported together.

/// Collects what differs from what is expected.
#[derive(Default)]
pub struct Table {
    failures: Vec<String>,
    rows: usize,
}

impl Table {
    /// An empty table.
    pub fn new() -> Self {
        Table::default()
    }

    /// One case: its name, what came out, what should; `a|b` where the interface leaves the choice.
    pub fn row(&mut self, name: impl AsRef<str>, got: impl AsRef<str>, expected: impl AsRef<str>) {
        let (got, expected) = (got.as_ref(), expected.as_ref());
        let holds = expected.split('|').any(|choice| choice == got);
        self.hold(name, holds, format!("expected `{expected}`, got `{got}`"));
    }

    /// One case: its name, whether it holds, what to say if it does not.
    pub fn hold(&mut self, name: impl AsRef<str>, holds: bool, otherwise: impl AsRef<str>) {
        self.rows += 1;
        if !holds {
            self.failures.push(format!("{}: {}", name.as_ref(), otherwise.as_ref()));
        }
    }

    /// Fails the test if a case failed.
    pub fn check(self) {
        let Table { failures, rows } = self;
        assert!(
            failures.is_empty(),
            "{} of {rows} cases failed:\n{}",
            failures.len(),
            failures.join("\n")
        );
    }
}
