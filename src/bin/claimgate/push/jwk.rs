//! The keys of a set before and after: which stay, which are new, and which the provider no longer lists.

use super::edit::Entry;
use crate::keys::thumbprint;
use claimgate::json;
use claimgate::token::key::{Skipped, parse_jwks};
use claimgate::token::remote;
use claimgate::token::signature::{AlgorithmSet, Portable};
use serde::Serialize;
use serde_json::{Map, Value};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The members of a key that the filter reads, and [`MISSED`]. No others are pushed, so that what a provider adds
/// changes nothing.
pub const MEMBERS: [&str; 12] =
    ["kty", "crv", "kid", "alg", "use", "key_ops", "x", "y", "n", "e", "x5c", MISSED];

/// Since when the provider no longer lists a key that stays for the overlap.
pub const MISSED: &str = "x-missed-since";

/// Which key one is: the same material under another id is another key.
type Identity = (Option<String>, String);

/// A key that is told of.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Told {
    pub kid: Option<String>,
    /// By RFC 7638.
    pub thumbprint: String,
    /// The end of its overlap.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// Why it goes, where it is not that the provider no longer lists it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What becomes of a key set.
#[derive(Debug, Default)]
pub struct Plan {
    /// The new set, in order.
    pub entries: Vec<Entry>,
    pub added: Vec<Told>,
    /// Those whose other members changed, or which the provider lists again.
    pub updated: Vec<Told>,
    /// Those that the provider no longer lists, and that stay.
    pub kept: Vec<Told>,
    pub dropped: Vec<Told>,
    /// Whether anything is to be written.
    pub changed: bool,
    /// Whether a key of before stays.
    pub continues: bool,
    /// The ids that other keys have now.
    pub reused: Vec<String>,
}

/// Reads the set that a provider publishes, as the filter would: its usable keys, and the others.
///
/// # Errors
/// Where none can be used.
pub fn published(
    body: &[u8],
    algorithms: Option<AlgorithmSet>,
) -> Result<(Vec<Value>, Vec<Skipped>), String> {
    let (_, skipped) = remote::read_set(body, algorithms, &Portable)?;
    let document = json::parse(body).map_err(|wrong| format!("not JSON: {wrong}"))?;
    let listed = document.get("keys").and_then(Value::as_array).into_iter().flatten().enumerate();
    let usable = listed.filter(|(index, _)| skipped.iter().all(|skipped| skipped.index != *index));
    Ok((usable.map(|(_, key)| normal(key)).collect(), skipped))
}

/// A key without the members that the filter does not read.
fn normal(key: &Value) -> Value {
    let material = key.get("n").or_else(|| key.get("x")).is_some();
    let read = |name: &&&str| **name != MISSED && !(**name == "x5c" && material);
    let member = |name: &&str| {
        let value = key.get(*name)?;
        // Of a chain only the first certificate is the key's.
        let first = || value.get(0).map(|first| Value::from(vec![first.clone()]));
        let value = if *name == "x5c" { first().unwrap_or_default() } else { value.clone() };
        Some(((*name).to_owned(), value))
    };
    MEMBERS.iter().filter(read).filter_map(member).collect::<Map<_, _>>().into()
}

fn identity(key: &Value) -> Identity {
    (key.get("kid").and_then(Value::as_str).map(str::to_owned), thumbprint(key))
}

fn told((kid, thumbprint): &Identity) -> Told {
    let (kid, thumbprint) = (kid.clone(), thumbprint.clone());
    Told { kid, thumbprint, until: None, reason: None }
}

/// What a set of keys becomes where the provider lists these now.
pub fn plan(
    old: &[Value],
    listed: &[Value],
    algorithms: Option<AlgorithmSet>,
    overlap: Duration,
    now: SystemTime,
) -> Plan {
    let set = Value::from(Map::from_iter([("keys".to_owned(), old.to_vec().into())]));
    let skipped = parse_jwks(&set, algorithms, &Portable).map(|(_, skipped)| skipped);
    let skipped = skipped.unwrap_or_default();
    let mut new: Vec<(Identity, &Value)> = Vec::new();
    for key in listed {
        let identity = identity(key);
        if new.iter().all(|(other, _)| *other != identity) {
            new.push((identity, key));
        }
    }
    let mut plan = Plan::default();
    let mut seen: Vec<Identity> = Vec::new();
    for (index, key) in old.iter().enumerate() {
        let own = identity(key);
        if let Some(skipped) = skipped.iter().find(|skipped| skipped.index == index) {
            // No reason to write, but no longer there where something else is.
            let reason = Some(format!("the filter does not use it: {}", skipped.reason));
            plan.dropped.push(Told { reason, ..told(&own) });
            continue;
        }
        if seen.contains(&own) {
            let reason = Some("it is there twice".to_owned());
            plan.dropped.push(Told { reason, ..told(&own) });
            continue;
        }
        let reused = || own.0.is_some() && new.iter().any(|((kid, _), _)| *kid == own.0);
        match new.iter().find(|(identity, _)| *identity == own) {
            Some((_, now)) => {
                plan.continues = true;
                if **now == normal(key) && key.get(MISSED).is_none() {
                    plan.entries.push(Entry::Keep(index));
                } else {
                    plan.entries.push(Entry::Write((*now).clone()));
                    plan.updated.push(told(&own));
                    plan.changed = true;
                }
            }
            None if reused() => {
                let reason = Some("the provider lists another key with its id".to_owned());
                plan.dropped.push(Told { reason, ..told(&own) });
                plan.reused.extend(own.0.clone());
                plan.changed = true;
            }
            None => plan.missed(index, key, &own, overlap, now),
        }
        seen.push(own);
    }
    for (identity, key) in new {
        if !seen.contains(&identity) {
            plan.entries.push(Entry::Write(key.clone()));
            plan.added.push(told(&identity));
            plan.changed = true;
        }
    }
    plan
}

impl Plan {
    /// A key that the provider no longer lists.
    fn missed(
        &mut self,
        index: usize,
        key: &Value,
        identity: &Identity,
        overlap: Duration,
        now: SystemTime,
    ) {
        let noted = key.get(MISSED).and_then(Value::as_str);
        let noted = noted.and_then(|text| humantime::parse_rfc3339(text).ok());
        // One in the future, where a clock was wrong, would make the key stay for longer.
        let noted = noted.filter(|since| *since <= now);
        let until = noted.unwrap_or(now).checked_add(overlap);
        let Some(until) = until.filter(|until| now < *until) else {
            self.dropped.push(told(identity));
            self.changed = true;
            return;
        };
        self.continues = true;
        self.kept.push(Told { until: Some(written(until)), ..told(identity) });
        if noted.is_some() {
            self.entries.push(Entry::Keep(index));
            return;
        }
        let mut key = normal(key);
        if let Some(members) = key.as_object_mut() {
            members.insert(MISSED.to_owned(), written(now).into());
        }
        self.entries.push(Entry::Write(key));
        self.changed = true;
    }
}

fn written(time: SystemTime) -> String {
    // Past the year 9999 it cannot be written.
    let seconds = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let time = UNIX_EPOCH + Duration::from_secs(seconds.min(253_402_300_799));
    humantime::format_rfc3339_seconds(time).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const X: [&str; 2] = [
        "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
        "PUAXw-hDiVqStwqnTRt-vJyYLM8uxJaMwM1V8Sr0Zgw",
    ];
    const NOW: &str = "2026-11-25T14:00:00Z";

    fn key(kid: &str, x: usize) -> Value {
        json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": X[x]})
    }

    fn missed(mut key: Value, since: &str) -> Value {
        key[MISSED] = since.into();
        key
    }

    fn planned(old: &[Value], new: &[Value], overlap: u64) -> Plan {
        let now = humantime::parse_rfc3339(NOW).unwrap();
        plan(old, new, None, Duration::from_secs(overlap), now)
    }

    #[test]
    fn keys_come_stay_and_go() {
        let (a, b) = (key("a", 0), key("b", 1));
        let other = json!({"kty": "OKP", "crv": "Ed25519", "kid": "a", "x": X[0], "alg": "EdDSA"});
        let more = json!({"kty": "OKP", "crv": "Ed25519", "kid": "a", "x": X[0], "x5t": "y"});
        let oct = json!({"kty": "oct", "k": "AAAA"});
        use Entry::{Keep, Write};
        let noted = |key: &Value| Write(missed(key.clone(), NOW));
        type Case = (Vec<Value>, Vec<Value>, u64, Vec<Entry>, [usize; 4], bool);
        let cases: [Case; 15] = [
            (vec![a.clone()], vec![a.clone()], 0, vec![Keep(0)], [0; 4], false),
            (
                vec![a.clone(), b.clone()],
                vec![b.clone(), a.clone()],
                0,
                vec![Keep(0), Keep(1)],
                [0; 4],
                false,
            ),
            (vec![more], vec![a.clone()], 0, vec![Keep(0)], [0; 4], false),
            (vec![], vec![a.clone()], 0, vec![Write(a.clone())], [1, 0, 0, 0], true),
            (
                vec![a.clone()],
                vec![a.clone(), b.clone(), b.clone()],
                0,
                vec![Keep(0), Write(b.clone())],
                [1, 0, 0, 0],
                true,
            ),
            (vec![a.clone()], vec![other.clone()], 0, vec![Write(other)], [0, 1, 0, 0], true),
            (vec![a.clone()], vec![b.clone()], 0, vec![Write(b.clone())], [1, 0, 0, 1], true),
            (
                vec![a.clone()],
                vec![b.clone()],
                60,
                vec![noted(&a), Write(b.clone())],
                [1, 0, 1, 0],
                true,
            ),
            (
                vec![missed(a.clone(), "2026-11-25T13:59:01Z"), b.clone()],
                vec![b.clone()],
                60,
                vec![Keep(0), Keep(1)],
                [0, 0, 1, 0],
                false,
            ),
            (
                vec![missed(a.clone(), "2026-11-25T13:59:00Z"), b.clone()],
                vec![b.clone()],
                60,
                vec![Keep(1)],
                [0, 0, 0, 1],
                true,
            ),
            // The overlap is over, was made shorter, begins in the future, is nonsense.
            (
                vec![missed(a.clone(), "2026-11-25T13:59:59Z"), b.clone()],
                vec![b.clone()],
                0,
                vec![Keep(1)],
                [0, 0, 0, 1],
                true,
            ),
            (
                vec![missed(a.clone(), "2027-11-25T13:59:59Z"), b.clone()],
                vec![b.clone()],
                60,
                vec![noted(&a), Keep(1)],
                [0, 0, 1, 0],
                true,
            ),
            (
                vec![missed(a.clone(), "soon"), b.clone()],
                vec![b.clone()],
                60,
                vec![noted(&a), Keep(1)],
                [0, 0, 1, 0],
                true,
            ),
            // It is listed again.
            (
                vec![missed(a.clone(), NOW)],
                vec![a.clone()],
                60,
                vec![Write(a.clone())],
                [0, 1, 0, 0],
                true,
            ),
            // What the filter does not use is no reason to write.
            (
                vec![oct, a.clone(), a.clone()],
                vec![a.clone()],
                60,
                vec![Keep(1)],
                [0, 0, 0, 2],
                false,
            ),
        ];
        for (case, (old, new, overlap, entries, told, changed)) in cases.into_iter().enumerate() {
            let plan = planned(&old, &new, overlap);
            assert_eq!(plan.entries, entries, "case {case}");
            let got = [&plan.added, &plan.updated, &plan.kept, &plan.dropped].map(Vec::len);
            assert_eq!((got, plan.changed), (told, changed), "case {case}");
        }
    }

    #[test]
    fn another_key_with_the_id_takes_its_place() {
        let plan = planned(&[key("a", 0)], &[key("a", 1)], 3600);
        assert_eq!(plan.entries, [Entry::Write(key("a", 1))]);
        assert_eq!(plan.reused, ["a"]);
        assert!(!plan.continues);
        // The same key under another id is one more.
        let plan = planned(&[key("a", 0)], &[key("b", 0)], 3600);
        assert_eq!((plan.added.len(), plan.kept.len(), plan.continues), (1, 1, true));
        assert_eq!(plan.kept[0].until.as_deref(), Some("2026-11-25T15:00:00Z"));
    }

    #[test]
    fn reads_what_the_filter_reads() {
        let set = json!({"keys": [
            {"kty": "oct", "kid": "s", "k": "AAAA"},
            {"kty": "OKP", "crv": "Ed25519", "kid": "a", "x": X[0], "nbf": 1, "x5c": ["y"], MISSED: NOW},
        ]});
        let (keys, skipped) = published(set.to_string().as_bytes(), None).unwrap();
        assert_eq!(keys, [key("a", 0)]);
        assert_eq!((skipped.len(), skipped[0].index), (1, 0));
        let narrow = AlgorithmSet::of(&[claimgate::token::signature::Algorithm::ES256]);
        let why = published(set.to_string().as_bytes(), Some(narrow)).unwrap_err();
        assert!(
            why.starts_with("no usable key (a symmetric key in a key set never counts"),
            "{why}"
        );
    }
}
