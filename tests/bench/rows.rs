//! What is measured, and the bars that it has to hold.

use crate::filters::Policy;
use crate::tokens::{Tokens, expired, mint, mint_forged};

/// A line of the table: the same requests through Envoy's own filters and through Claimgate.
pub struct Row {
    /// Its name, for `--only`.
    pub name: String,
    /// What kind of a request it is, for the reader.
    pub section: &'static str,
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
    /// Whether something stands in the way that has to refuse a request without a token.
    pub guarded: bool,
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
    /// In thousand instructions over what Claimgate adds in another row.
    OverRow(&'static str, f64),
}

const VERIFICATION: &str = "verification";

/// What is verified, with the bars where every token is new and where the same comes again.
const ALGORITHMS: [(&str, &[Bar], &[Bar]); 5] = [
    ("RS256", &[Bar::OfNative(0.85)], &[Bar::OfNative(0.92)]),
    ("ES256", &[Bar::OfNative(0.92)], &[]),
    ("EdDSA", &[Bar::OfNative(1.7), Bar::Thousand(2978.0)], &[]),
    ("PS256", &[Bar::Thousand(8000.0)], &[]),
    ("HS256", &[Bar::OfNative(0.75)], &[Bar::OfNative(1.1)]),
];

/// The rows that `wanted` accepts by their names; tokens are minted for those only.
pub fn rows(tokens: usize, wanted: impl Fn(&str) -> bool) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut add = |name: &str, make: &dyn Fn() -> Row| {
        if wanted(name) {
            rows.push(Row { name: name.to_owned(), ..make() });
        }
    };
    for (algorithm, cold, warm) in &ALGORITHMS {
        let policy = Policy::new(algorithm);
        let short = algorithm.to_lowercase();
        add(&format!("{short}-warm"), &|| {
            let title = format!("{algorithm}, the same token again");
            row(VERIFICATION, &title, policy.clone(), same(algorithm), warm)
        });
        add(&format!("{short}-cold"), &|| {
            let policy = Policy { cache: false, ..policy.clone() };
            let each = Tokens::Each(mint(algorithm, 0..tokens));
            row(VERIFICATION, &format!("{algorithm}, every token new"), policy, each, cold)
        });
    }
    let policy = || Policy::new("RS256");
    let refused = |title: &str, policy, tokens, bars| Row {
        status: 401,
        ..row("refusal", title, policy, tokens, bars)
    };
    add("malformed", &|| {
        let token = Tokens::Same("e30.not-a-token.!".to_owned());
        refused("malformed token", policy(), token, &[])
    });
    add("forged-each", &|| {
        let policy = Policy { cache: false, ..policy() };
        let each = Tokens::Each(mint_forged(0..tokens));
        refused("wrong RS256 signature, every token new", policy, each, &[Bar::OfNative(1.0)])
    });
    add("forged-same", &|| {
        let token = Tokens::Same(mint_forged(0..1).remove(0));
        refused("wrong RS256 signature, the same token again", policy(), token, &[])
    });
    add("expired", &|| {
        refused("expired token, again and again", policy(), Tokens::Same(expired()), &[])
    });
    let counts =
        [(1, "1 route"), (100, "100 routes"), (1000, "1,000 routes"), (10_000, "10,000 routes")];
    for (routes, title) in counts {
        add(&format!("routes-{routes}"), &|| {
            let policy = Policy { routes: Some(routes), ..policy() };
            let bars: &[Bar] = if routes >= 1000 { &[Bar::OfRow("routes-1", 1.2)] } else { &[] };
            Row { native: routes <= 1000, ..row("routes", title, policy, same("RS256"), bars) }
        });
    }
    let counts = [
        (1, "1 route that captures what its condition asks for"),
        (10_000, "10,000 routes that capture what their conditions ask for"),
    ];
    for (routes, title) in counts {
        add(&format!("captures-{routes}"), &|| {
            let policy = Policy { routes: Some(routes), captures: true, ..policy() };
            let bars: &[Bar] = if routes > 1 { &[Bar::OfRow("captures-1", 1.2)] } else { &[] };
            Row { native: false, ..row("routes", title, policy, same("RS256"), bars) }
        });
    }
    add("audit", &|| {
        let policy = Policy { audit: true, ..policy() };
        row(
            "records",
            "RS256, the same token again, each request recorded",
            policy,
            same("RS256"),
            &[Bar::Thousand(91.9)],
        )
    });
    add("integrity", &|| {
        let policy = Policy { audit: true, integrity: true, ..policy() };
        let title = "the same, and the records are a signed chain";
        let bars = &[Bar::OverRow("audit", 15.0)];
        Row { native: false, ..row("records", title, policy, same("RS256"), bars) }
    });
    for (revoked, title) in [(10, "10"), (1_000_000, "1,000,000")] {
        add(&format!("revocation-{revoked}"), &|| {
            let policy = Policy { revoked, ..policy() };
            let title = format!("RS256, the same token again, {title} others revoked");
            let bars = &[Bar::OverRow("rs256-warm", 1.0)];
            Row { native: false, ..row("revocation", &title, policy, same("RS256"), bars) }
        });
    }
    add("limit", &|| {
        let policy = Policy { limited: true, ..policy() };
        let title = "RS256, the same token again, its subject's requests counted by a limit";
        let bars = &[Bar::OverRow("rs256-warm", 15.0)];
        Row { native: false, ..row("limits", title, policy, same("RS256"), bars) }
    });
    add("cookie", &|| {
        let policy = Policy { session: Some(false), ..policy() };
        let title = "RS256, the same token again, from a cookie";
        Row { native: false, ..row("sessions", title, policy, same("RS256"), &[]) }
    });
    add("renewal", &|| {
        let policy = Policy { session: Some(true), ..policy() };
        let title = "the same, and the session is renewed when it is due, which it is not";
        let bars = &[Bar::OverRow("cookie", 4.0)];
        Row { native: false, ..row("sessions", title, policy, same("RS256"), bars) }
    });
    rows
}

/// The requests for what has no policy.
pub fn plain() -> Row {
    Row { guarded: false, ..row("", "", Policy::new("RS256"), same("RS256"), &[]) }
}

fn row(
    section: &'static str,
    title: &str,
    policy: Policy,
    tokens: Tokens,
    bars: &'static [Bar],
) -> Row {
    Row {
        name: String::new(),
        section,
        title: title.to_owned(),
        path: policy.path(),
        policy,
        tokens,
        status: 200,
        guarded: true,
        native: true,
        bars,
    }
}

fn same(algorithm: &str) -> Tokens {
    Tokens::Same(mint(algorithm, 0..1).remove(0))
}
