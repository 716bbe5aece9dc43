//! What a push did: which keys came, stay and went, by id and thumbprint.

use super::Arguments;
use super::jwk::{Plan, Told};
use super::target::Target;
use claimgate::token::key::Skipped;
use serde::Serialize;
use std::path::PathBuf;

/// What a push did, or would do.
#[derive(Serialize)]
pub struct Report {
    /// The file that is replaced: where a symbolic link leads to.
    file: String,
    issuer: String,
    place: String,
    pub changed: bool,
    pub dry_run: bool,
    /// How many keys the set has.
    keys: usize,
    added: Vec<Told>,
    updated: Vec<Told>,
    pub kept: Vec<Told>,
    dropped: Vec<Told>,
    skipped: Vec<Unused>,
}

/// A key of the provider's that the filter could not use.
#[derive(Serialize)]
struct Unused {
    kid: Option<String>,
    reason: &'static str,
}

impl Report {
    /// Of a push that changes nothing.
    pub fn new(
        arguments: &Arguments,
        path: &Option<PathBuf>,
        target: &Target<'_>,
        skipped: &[Skipped],
    ) -> Self {
        let unused =
            |skipped: &Skipped| Unused { kid: skipped.kid.clone(), reason: skipped.reason };
        let (added, updated, kept, dropped) = Default::default();
        Self {
            file: path.as_ref().map_or("-".into(), |path| path.to_string_lossy()).into_owned(),
            issuer: target.issuer.clone(),
            place: target.place(),
            changed: false,
            dry_run: arguments.dry_run,
            keys: target.keys().len(),
            added,
            updated,
            kept,
            dropped,
            skipped: skipped.iter().map(unused).collect(),
        }
    }

    /// Takes up what changes; what to warn of.
    pub fn take(&mut self, plan: Plan) -> Vec<String> {
        let mut warnings: Vec<String> = Vec::new();
        for kid in &plan.reused {
            warnings.push(format!(
                "the provider lists another key with the id `{}`: the new one takes its place at once, and what the old \
                 one signed is refused",
                kid.escape_debug()
            ));
        }
        if !plan.continues && self.keys > 0 {
            warnings.push(
                "no key of before stays: tokens that are about are refused; `--overlap` keeps keys for a time that the \
                 provider no longer lists"
                    .to_owned(),
            );
        }
        self.changed = plan.changed;
        self.keys = plan.entries.len();
        (self.added, self.updated, self.kept, self.dropped) =
            (plan.added, plan.updated, plan.kept, plan.dropped);
        warnings
    }

    /// For people.
    pub fn text(&self) -> String {
        let done = match (self.changed, self.dry_run) {
            (false, _) => "nothing changed",
            (true, true) => "would be pushed",
            (true, false) => "pushed",
        };
        let Self { file, place, keys, .. } = self;
        let mut text = format!("{file}: {place}: {done}, keys: {keys}\n");
        let all = [
            ("added", &self.added),
            ("updated", &self.updated),
            ("kept", &self.kept),
            ("dropped", &self.dropped),
        ];
        for (word, keys) in all {
            for key in keys {
                let until = key.until.iter().map(|until| format!("  until {until}"));
                let why: String =
                    until.chain(key.reason.iter().map(|why| format!("  {why}"))).collect();
                text +=
                    &format!("  {word:7}  {}  {}{why}\n", id(key.kid.as_deref()), key.thumbprint);
            }
        }
        for Unused { kid, reason } in &self.skipped {
            text += &format!("  skipped  {}  {reason}\n", id(kid.as_deref()));
        }
        text
    }
}

/// A key's id, which the provider chose.
fn id(kid: Option<&str>) -> String {
    kid.map_or("(no id)".to_owned(), |kid| kid.escape_debug().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_order_no_terminal_about() {
        assert_eq!(id(Some("a\u{1b}[2J\n\u{202e}\u{9b}b")), "a\\u{1b}[2J\\n\\u{202e}\\u{9b}b");
    }
}
