//! A table for people: columns as wide as they need be.

use anstyle::Style;
use std::fmt;

pub struct Table<const N: usize> {
    head: [&'static str; N],
    rows: Vec<[String; N]>,
}

impl<const N: usize> Table<N> {
    pub fn new(head: [&'static str; N]) -> Self {
        Self { head, rows: Vec::new() }
    }

    pub fn row(&mut self, cells: [String; N]) {
        self.rows.push(cells);
    }
}

impl<const N: usize> fmt::Display for Table<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut widths = self.head.map(str::len);
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.chars().count().max(*width);
            }
        }
        let line = |cells: Vec<&str>| {
            let cells = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}  "));
            cells.collect::<String>().trim_end().to_owned()
        };
        let bold = Style::new().bold();
        writeln!(f, "{bold}{}{bold:#}", line(self.head.to_vec()))?;
        for row in &self.rows {
            writeln!(f, "{}", line(row.iter().map(String::as_str).collect()))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aligns() {
        let mut table = Table::new(["a", "long", "c"]);
        table.row(["ü1".into(), "x".into(), "y".into()]);
        table.row([String::new(), "longer".into(), String::new()]);
        let text = table.to_string();
        let lines: Vec<&str> = text.lines().skip(1).collect();
        assert_eq!(lines, ["ü1  x       y", "    longer"]);
        assert!(text.contains("a   long    c"), "{text}");
    }
}
