//! The report for a terminal.

use super::document::Document;
use super::tally::Span;
use crate::table::Table;
use claimgate::audit::text::misleads;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The longest bar, in characters.
const BAR: u64 = 40;
/// The most hours and days that are drawn: the newest.
const DRAWN: usize = 48;
/// The longest name, in characters.
const NAME: usize = 72;

/// Tables and plots.
pub fn render(report: &Document) -> String {
    let mut out = String::new();
    // Writing to a String does not fail.
    let mut line = |text: String| {
        let _ = writeln!(out, "{text}");
    };
    let time = |time: &Option<String>| visible(time.as_deref().unwrap_or("-"));
    line(format!("{} to {}", time(&report.first), time(&report.last)));
    line(format!(
        "{} requests: {} allowed, {} denied; {} with an invalid token; {} would be denied but for shadow mode",
        report.requests, report.allowed, report.denied, report.invalid_tokens, report.shadow_denied
    ));
    if report.dropped > 0 || report.unreadable > 0 {
        line(format!(
            "not in these numbers: {} records that caps dropped, {} that cannot be read",
            report.dropped, report.unreadable
        ));
    }
    for (title, what, top) in report.lists() {
        if top.entries.is_empty() {
            continue;
        }
        line(format!("\n{title}"));
        let mut table = Table::new([what, "requests", "denied"]);
        for entry in &top.entries {
            let numbers = [entry.requests, entry.denied].map(|number| number.to_string());
            let [requests, denied] = numbers;
            table.row([visible(&entry.name), requests, denied]);
        }
        line(table.to_string().trim_end().to_owned());
        if top.error > 0 {
            line(format!(
                "more were seen than are remembered: counts may be {} too low",
                top.error
            ));
        }
    }
    let refusals = report.refusals();
    if !refusals.is_empty() {
        line("\nRefusals by code".to_owned());
        let most = refusals.iter().map(|(_, count)| *count).max().unwrap_or(1);
        for (code, count) in refusals {
            line(format!("{code:<28} {count:>9}  {}", bar(count, most)));
        }
    }
    for (title, spans, of) in plots(report) {
        let newest = spans.iter().skip(spans.len().saturating_sub(DRAWN));
        let values: Vec<(&String, u64)> = newest.map(|(time, span)| (time, of(span))).collect();
        let most = values.iter().map(|(_, value)| *value).max().unwrap_or(0);
        if most == 0 {
            continue;
        }
        line(format!("\n{title}"));
        for (time, value) in values {
            line(format!(
                "{:<13} {value:>9}  {}",
                visible(time).replace('T', " "),
                bar(value, most)
            ));
        }
    }
    out
}

/// What is drawn over time: a title, hours or days, and what of each.
type Plot<'r> = (&'static str, &'r BTreeMap<String, Span>, fn(&Span) -> u64);

fn plots(report: &Document) -> [Plot<'_>; 3] {
    [
        ("Requests by hour (UTC)", &report.hours, |span| span.requests),
        ("Refusals by hour (UTC)", &report.hours, |span| span.denied),
        ("Invalid tokens by day (UTC)", &report.days, |span| span.invalid_tokens),
    ]
}

/// A bar in eighths of a character.
fn bar(value: u64, most: u64) -> String {
    const PARTS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = u128::from(value) * u128::from(BAR) * 8 / u128::from(most.max(1));
    let eighths = usize::try_from(eighths).unwrap_or(0);
    let part = PARTS.get(eighths % 8).copied().unwrap_or_default();
    "█".repeat(eighths / 8) + part
}

/// A name that changes nothing about the terminal: what is no printable character is written as an escape.
pub fn visible(name: &str) -> String {
    let mut shown = String::new();
    for (index, c) in name.chars().enumerate() {
        if index == NAME {
            shown.push('…');
            break;
        }
        if misleads(c) {
            shown.extend(c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_bars_and_shows_names_as_they_are() {
        assert_eq!(bar(0, 10), "");
        assert_eq!(bar(10, 10), "█".repeat(40));
        assert_eq!(bar(1, 80), "▌");
        assert_eq!(bar(u64::MAX, u64::MAX), "█".repeat(40));
        assert_eq!(visible("a\u{1b}[2J\n\u{202e}b"), "a\\u{1b}[2J\\u{a}\\u{202e}b");
        assert_eq!(visible(&"x".repeat(100)).chars().count(), NAME + 1);
    }
}
