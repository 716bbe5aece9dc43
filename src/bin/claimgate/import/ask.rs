//! What the requests of one owner are asked: of their token, and besides.

use super::condition::Condition;
use super::leaf;
use super::policy::{Ask, Cell, Formula, Policy, Without};
use serde_json::json;

/// What a route asks.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// How a token is asked for, as the route has it.
    pub token: &'static str,
    /// Whose tokens.
    pub issuers: Vec<String>,
    /// What must hold.
    pub require: Condition,
}

/// What requests of a cell are asked; `None` where they are refused whatever they have.
pub fn asked(policy: &Policy, mut cell: Cell<'_>) -> Option<Asked> {
    let mut candidates: Vec<(Condition, &Ask)> = Vec::new();
    let mut before = Vec::new();
    let mut take = |is: Condition, before: &[Condition], ask| {
        let when = Condition::all(before.iter().cloned().chain([is]));
        if when != Condition::Never {
            candidates.push((when, ask));
        }
    };
    let mut ended = false;
    for (formula, ask) in &policy.asks {
        let is = formula.when(true, &cell);
        ended = is == Condition::Always;
        take(is, &before, ask);
        if ended {
            break;
        }
        before.push(formula.when(false, &cell));
    }
    if !ended {
        take(Condition::Always, &before, &policy.otherwise);
    }
    let alone = candidates.len() == 1;
    let mut all: Vec<String> = Vec::new();
    for (_, ask) in &candidates {
        if let Ask::Token { issuers, .. } = ask {
            all.extend(
                issuers.iter().filter(|name| !all.contains(name)).cloned().collect::<Vec<_>>(),
            );
        }
    }
    let mut lenient = alone;
    let mut required = false;
    let mut parts = Vec::new();
    for (when, ask) in candidates {
        match ask {
            Ask::Unsaid => {}
            Ask::Nothing => {
                cell.sees_token = false;
                let allowed = policy.allow.when(true, &cell);
                parts.push(Condition::all([when, allowed]));
                cell.sees_token = true;
                if alone {
                    all.clear();
                }
            }
            Ask::Token { without, issuers, besides } => {
                lenient &= *without == Without::Lenient;
                required = alone && *without == Without::Refused;
                let allowed = policy.allow.when(true, &cell);
                let signed = if alone { Condition::Always } else { signed_by(issuers, *without) };
                parts.push(Condition::all([when, signed, besides.clone(), allowed]));
            }
        }
    }
    let require = Condition::any(parts);
    let token = match require {
        Condition::Never => return None,
        _ if all.is_empty() => "none",
        _ if required || !require.may_hold_without_token() => "required",
        _ if lenient && !require.gains_by_absence() => "lenient",
        _ => "optional",
    };
    all.sort_unstable();
    Some(Asked { token, issuers: all, require })
}

/// The token is of one of these issuers, among others whose tokens the route takes.
fn signed_by(issuers: &[String], without: Without) -> Condition {
    let signed = match leaf::issuer(issuers) {
        Formula::Leaf { holds, .. } => holds,
        _ => Condition::Never,
    };
    let none = Condition::token(vec![("attribute", json!("issuer")), ("present", json!(false))]);
    match without {
        Without::Refused => signed,
        Without::Anonymous | Without::Lenient => Condition::any([signed, none]),
    }
}
