//! Conditions in one line, as they are written.

use serde_json::Value;

/// A condition of a configuration that loads.
pub fn condition(written: &Value) -> String {
    let Some(members) = written.as_object() else { return text(written) };
    let list = |parts: &Value, word: &str| {
        let parts: Vec<String> = parts.as_array().into_iter().flatten().map(condition).collect();
        match parts.as_slice() {
            [one] => one.clone(),
            parts => format!("({})", parts.join(word)),
        }
    };
    match members.iter().next() {
        Some((name, parts)) if name == "all" => list(parts, " and "),
        Some((name, parts)) if name == "any" => list(parts, " or "),
        Some((name, part)) if name == "not" => format!("not {}", condition(part)),
        Some((name, part)) if name == "ref" => text(part),
        Some((name, parts)) if name == "by_issuer" => {
            let parts = parts.as_object().into_iter().flatten();
            let parts: Vec<String> =
                parts.map(|(issuer, part)| format!("{issuer}: {}", condition(part))).collect();
            format!("({})", parts.join("; "))
        }
        _ => leaf(members),
    }
}

/// The subject, the operator, and what absence means, whatever their order.
fn leaf(members: &serde_json::Map<String, Value>) -> String {
    const OPERATORS: [&str; 8] =
        ["any_of", "all_of", "none_of", "equals", "present", "matches", "at_least", "at_most"];
    let place = |name: &str| match name {
        "absent" => 2,
        name => u8::from(OPERATORS.contains(&name)),
    };
    let mut members: Vec<_> = members.iter().collect();
    members.sort_by_key(|(name, _)| place(name));
    let words: Vec<String> = members
        .iter()
        .map(|(name, value)| match (name.as_str(), value) {
            ("method", _) => "method".to_owned(),
            ("absent", value) => format!("(absent: {value})"),
            (name, value) => format!("{name} {}", text(value)),
        })
        .collect();
    words.join(" ")
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(text).collect();
            format!("[{}]", items.join(", "))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn writes_conditions() {
        let leaf = || json!({"claim": "a", "any_of": ["x", 1]});
        let cases = [
            (leaf(), "claim a any_of [x, 1]"),
            (
                json!({"equals": true, "claim": "a", "absent": false}),
                "claim a equals true (absent: false)",
            ),
            (json!({"all": [leaf(), {"ref": "r"}]}), "(claim a any_of [x, 1] and r)"),
            (json!({"any": [{"ref": "r"}, {"all": [{"ref": "s"}]}]}), "(r or s)"),
            (json!({"not": {"scopes": ["x"]}}), "not scopes [x]"),
            (json!({"by_issuer": {"i": {"ref": "r"}, "j": {"ref": "s"}}}), "(i: r; j: s)"),
            (json!({"method": true, "any_of": ["GET"]}), "method any_of [GET]"),
        ];
        for (written, want) in cases {
            assert_eq!(condition(&written), want);
        }
    }
}
