//! What is measured, and the bars that it has to hold.

use crate::filters::Policy;
use crate::tokens::{Tokens, expired, mint, mint_forged};

/// A line of the table: the same requests through Envoy's own filters and through Claimgate.
pub struct Row {
    /// Its name, for `--only`.
    pub name: String,
    /// What it is, for the reader.
    pub title: String,
    /// The policy on both sides.
    pub policy: Policy,
    /// The path that is asked for.
    pub path: String,
    /// The tokens that are sent.
    pub tokens: Tokens,
    /// The status of every answer.
    pub status: u16,
    /// Whether Envoy's own filters are measured too.
    pub native: bool,
    /// What Claimgate may add at most.
    pub bars: &'static [Bar],
}

/// What Claimgate may add to a request at most.
pub enum Bar {
    /// As a part of what Envoy's own filters add.
    OfNative(f64),
    /// In thousand instructions.
    Thousand(f64),
    /// As a multiple of what Claimgate adds in another row.
    OfRow(&'static str, f64),
}

const ALGORITHMS: [(&str, &[Bar], &[Bar]); 5] = [
    ("RS256", &[Bar::OfNative(0.85)], &[Bar::OfNative(0.90)]),
    ("ES256", &[Bar::OfNative(0.92)], &[]),
    ("EdDSA", &[Bar::OfNative(1.7), Bar::Thousand(2978.0)], &[]),
    ("PS256", &[Bar::Thousand(8000.0)], &[]),
    ("HS256", &[Bar::OfNative(0.75)], &[Bar::OfNative(1.1)]),
];

/// The rows that `wanted` accepts by their names; tokens are minted for those only.
pub fn rows(tokens: usize, wanted: impl Fn(&str) -> bool) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut add = |name: String, make: &dyn Fn(String) -> Row| {
        if wanted(&name) {
            rows.push(make(name));
        }
    };
    for (algorithm, cold, warm) in &ALGORITHMS {
        let short = algorithm.to_lowercase();
        add(format!("{short}-warm"), &|name| {
            let title = format!("{algorithm}, the same token again");
            row(name, title, Policy::new(algorithm), same(algorithm), warm)
        });
        add(format!("{short}-cold"), &|name| {
            let policy = Policy { cache: false, ..Policy::new(algorithm) };
            let each = Tokens::Each(mint(algorithm, 0..tokens));
            row(name, format!("{algorithm}, every token new"), policy, each, cold)
        });
    }
    let refused = |name, title: &str, cache, tokens, bars| Row {
        status: 401,
        ..row(name, title.to_owned(), Policy { cache, ..Policy::new("RS256") }, tokens, bars)
    };
    add("malformed".to_owned(), &|name| {
        let token = Tokens::Same("e30.not-a-token.!".to_owned());
        refused(name, "a malformed token", true, token, &[])
    });
    add("forged-each".to_owned(), &|name| {
        let each = Tokens::Each(mint_forged(0..tokens));
        refused(name, "a wrong signature, every token new", false, each, &[Bar::OfNative(1.0)])
    });
    add("forged-same".to_owned(), &|name| {
        let token = Tokens::Same(mint_forged(0..1).remove(0));
        refused(name, "a wrong signature, the same token again", true, token, &[])
    });
    add("expired".to_owned(), &|name| {
        refused(name, "an expired token again and again", true, Tokens::Same(expired()), &[])
    });
    for routes in [1, 100, 1000, 10_000] {
        add(format!("routes-{routes}"), &|name| {
            let policy = Policy { routes, ..Policy::new("RS256") };
            let bars: &[Bar] = if routes == 1000 { &[Bar::OfRow("routes-1", 1.2)] } else { &[] };
            let title = format!("{routes} routes");
            Row { native: routes <= 1000, ..row(name, title, policy, same("RS256"), bars) }
        });
    }
    add("audit".to_owned(), &|name| {
        let policy = Policy { audit: true, ..Policy::new("RS256") };
        row(name, "a record of each request".to_owned(), policy, same("RS256"), &[])
    });
    rows
}

fn row(name: String, title: String, policy: Policy, tokens: Tokens, bars: &'static [Bar]) -> Row {
    Row { name, title, path: policy.path(), policy, tokens, status: 200, native: true, bars }
}

fn same(algorithm: &str) -> Tokens {
    Tokens::Same(mint(algorithm, 0..1).remove(0))
}

/// Requests with a token that nobody looks at, for what has no policy.
pub fn plain(policy: Policy) -> Row {
    row("plain".to_owned(), String::new(), policy, same("RS256"), &[])
}
