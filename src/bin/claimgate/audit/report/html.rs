//! The report as one page that loads nothing from anywhere.

use super::document::Document;
use super::tally::Span;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The most hours and days that are drawn: the newest.
const DRAWN: usize = 168;

const STYLE: &str = "
:root { color-scheme: light dark; --ink: #1b1f24; --dim: #5b6570; --paper: #fff; --card: #f5f7f9; --bar: #2f6fb3; --bad: #c0392b; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ed; --dim: #9aa5b1; --paper: #14171a; --card: #1e2328; --bar: #6aa7e8; --bad: #f0776a; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 72rem; padding: 1.5rem 1rem 3rem; font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.05rem; margin: 0 0 .6rem; } p { color: var(--dim); margin: .2rem 0 1.2rem; }
.numbers { display: flex; flex-wrap: wrap; gap: .8rem; margin-bottom: 1.2rem; }
.numbers div { background: var(--card); border-radius: .5rem; padding: .6rem 1rem; min-width: 8rem; color: var(--dim); font-size: .85rem; }
.numbers b { display: block; font-size: 1.5rem; color: var(--ink); font-variant-numeric: tabular-nums; }
.grid { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); gap: 1rem; }
section { background: var(--card); border-radius: .5rem; padding: 1rem; overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th { text-align: left; color: var(--dim); font-weight: 500; } td, th { padding: .2rem .6rem .2rem 0; vertical-align: top; }
td:first-child { overflow-wrap: anywhere; } .n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
svg { display: block; width: 100%; height: auto; } .a { fill: var(--bar); } .d { fill: var(--bad); } text { fill: var(--dim); font: 11px system-ui, sans-serif; }
";

/// The page.
pub fn render(report: &Document) -> String {
    let mut page = String::new();
    let mut add = |text: &str| page.push_str(text);
    add("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">");
    // Nothing that stands in a log can load or run anything.
    add(
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">",
    );
    add("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">");
    add(&format!("<title>Access report</title><style>{STYLE}</style></head><body>"));
    let time = |time: &Option<String>| escape(time.as_deref().unwrap_or("-"));
    add(&format!("<h1>Access report</h1><p>{} to {}</p>", time(&report.first), time(&report.last)));
    add("<div class=\"numbers\">");
    for (number, what) in [
        (report.requests, "requests"),
        (report.allowed, "allowed"),
        (report.denied, "denied"),
        (report.invalid_tokens, "with an invalid token"),
        (report.shadow_denied, "denied in shadow mode"),
        (report.dropped, "records dropped by caps"),
        (report.unreadable, "records not readable"),
    ] {
        add(&format!("<div><b>{}</b>{what}</div>", thousands(number)));
    }
    add("</div><div class=\"grid\">");
    add(&plot("Requests and refusals by hour (UTC)", &report.hours, |span| {
        (span.requests, span.denied)
    }));
    add(&plot("Invalid tokens by day (UTC)", &report.days, |span| {
        (span.invalid_tokens, span.invalid_tokens)
    }));
    for (title, what, top) in report.lists() {
        if top.entries.is_empty() {
            continue;
        }
        add(&format!(
            "<section><h2>{title}</h2><table><tr><th>{what}</th><th class=\"n\">requests</th><th class=\"n\">denied</th></tr>"
        ));
        for entry in &top.entries {
            add(&format!(
                "<tr><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
                escape(&entry.name),
                thousands(entry.requests),
                thousands(entry.denied)
            ));
        }
        add("</table>");
        if top.error > 0 {
            add(&format!("<p>Counts may be {} too low.</p>", thousands(top.error)));
        }
        add("</section>");
    }
    let refusals = report.refusals();
    if !refusals.is_empty() {
        add(
            "<section><h2>Refusals by code</h2><table><tr><th>code</th><th class=\"n\">requests</th></tr>",
        );
        for (code, count) in refusals {
            add(&format!("<tr><td>{code}</td><td class=\"n\">{}</td></tr>", thousands(count)));
        }
        add("</table></section>");
    }
    add("</div></body></html>\n");
    page
}

/// Bars over time: all, and of these the second number in another colour.
fn plot(title: &str, spans: &BTreeMap<String, Span>, of: impl Fn(&Span) -> (u64, u64)) -> String {
    const WIDTH: f64 = 640.0;
    const HEIGHT: f64 = 180.0;
    let newest = spans.iter().skip(spans.len().saturating_sub(DRAWN));
    let values: Vec<(&str, (u64, u64))> =
        newest.map(|(time, span)| (time.as_str(), of(span))).collect();
    let most = values.iter().map(|(_, (all, _))| *all).max().unwrap_or(0).max(1);
    let mut svg = format!(
        "<section><h2>{title}</h2><svg viewBox=\"0 0 {WIDTH} 216\" role=\"img\" aria-label=\"{title}\"><text x=\"0\" y=\"10\">{}</text>",
        thousands(most)
    );
    // A few bars stay bars.
    let step = (WIDTH / values.len().max(1) as f64).min(48.0);
    for (index, (time, (all, part))) in values.iter().enumerate() {
        let x = index as f64 * step;
        let title = format!("{}: {all}, {part} denied", escape(time));
        for (value, class) in [(all, "a"), (part, "d")] {
            let height = HEIGHT * *value as f64 / most as f64;
            // Writing to a String does not fail.
            let _ = write!(
                svg,
                "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{height:.1}\"><title>{title}</title></rect>",
                196.0 - height,
                (step * 0.85).max(0.5)
            );
        }
    }
    let (first, last) = (values.first(), values.last());
    if let Some(((first, _), (last, _))) = first.zip(last) {
        let span = if first == last {
            escape(first)
        } else {
            format!("{} to {}", escape(first), escape(last))
        };
        // Writing to a String does not fail.
        let _ = write!(svg, "<text x=\"0\" y=\"212\">{}</text>", span.replace('T', " "));
    }
    svg + "</svg></section>"
}

fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Text in HTML, also within an attribute; what cannot be seen is written as an escape.
fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for c in super::terminal::visible(text).chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_text_and_numbers_as_such() {
        assert_eq!(escape("<a b='c'>&\"\u{0}"), "&lt;a b=&#39;c&#39;&gt;&amp;&quot;\\u{0}");
        let cases = [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")];
        for (number, want) in cases {
            assert_eq!(thousands(number), want);
        }
    }
}
