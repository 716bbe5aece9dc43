//! The report for a terminal.

use super::document::Document;
use super::tally::Span;
use crate::table::Table;
use claimgate::audit::text::misleads;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The width where it is not that of a terminal, in characters.
const WIDTH: usize = 80;
/// What stands beside the bars, and beside the names.
const BESIDE_BARS: usize = 40;
const BESIDE_NAMES: usize = 24;
/// The most hours and days that are drawn: the newest.
const DRAWN: usize = 48;
/// The longest text that is shown, in characters.
const LONGEST: usize = 240;

/// Tables and plots, as wide as the terminal.
pub fn render(report: &Document) -> String {
    let width = terminal_size::terminal_size().map_or(WIDTH, |(width, _)| width.0.into());
    fit(report, width)
}

fn fit(report: &Document, width: usize) -> String {
    let (longest_bar, longest_name) =
        (width.saturating_sub(BESIDE_BARS).max(8), width.saturating_sub(BESIDE_NAMES).max(16));
    let bar = |value, most| bar(value, most, longest_bar as u64);
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
            table.row([cut(&visible(&entry.name), longest_name), requests, denied]);
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
fn bar(value: u64, most: u64, longest: u64) -> String {
    const PARTS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = u128::from(value) * u128::from(longest) * 8 / u128::from(most.max(1));
    let eighths = usize::try_from(eighths).unwrap_or(0);
    let part = PARTS.get(eighths % 8).copied().unwrap_or_default();
    "█".repeat(eighths / 8) + part
}

/// The beginning of a text, with an ellipsis where it is longer.
fn cut(text: &str, longest: usize) -> String {
    match text.char_indices().nth(longest) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
    }
}

/// A name that changes nothing about a terminal or a page: what is no printable character is written as an escape.
pub fn visible(name: &str) -> String {
    let mut shown = String::new();
    for c in name.chars().take(LONGEST) {
        if misleads(c) {
            shown.extend(c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    if name.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::super::tally::Tally;
    use super::*;

    #[test]
    fn draws_bars_and_shows_names_as_they_are() {
        assert_eq!(bar(0, 10, 40), "");
        assert_eq!(bar(10, 10, 40), "█".repeat(40));
        assert_eq!(bar(1, 80, 40), "▌");
        assert_eq!(bar(u64::MAX, u64::MAX, 40), "█".repeat(40));
        assert_eq!(visible("a\u{1b}[2J\n\u{202e}b"), "a\\u{1b}[2J\\u{a}\\u{202e}b");
        assert_eq!(visible(&"x".repeat(500)).chars().count(), LONGEST + 1);
        assert_eq!((cut("äbc", 2), cut("äb", 2)), ("äb…".to_owned(), "äb".to_owned()));
    }

    #[test]
    fn no_table_or_plot_is_wider_than_the_terminal() {
        let mut tally = Tally::default();
        let name = "n".repeat(400);
        for code in ["critical_header_unsupported", "token_expired"] {
            let record = format!(
                r#"{{"@timestamp":"2026-11-25T10:00:00.000Z","event.action":"access-denied","event.code":"{code}","url.path":"/{name}","user.id":"{name}"}}"#
            );
            tally.add(&record, None, None);
        }
        let report = Document::new(tally, 10);
        for width in [60, 80, 200] {
            let text = fit(&report, width);
            // What is said in sentences wraps.
            let length =
                |line: &str| line.replace("\u{1b}[1m", "").replace("\u{1b}[0m", "").chars().count();
            let wide = |line: &&str| length(line) > width && !line.contains("requests:");
            assert_eq!(text.lines().find(wide), None, "{width}");
        }
    }
}
