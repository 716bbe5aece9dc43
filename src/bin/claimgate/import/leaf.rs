//! Leaves: what a source asks of claims, headers and the peer, each with what makes it hold and what
//! makes it fail. Where the two leave a gap, a request in it is refused.

use super::condition::Condition;
use super::policy::Formula;
use super::text::{Text, alternatives};
use serde_json::{Value, json};

/// How a claim compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A string, or an element of a list.
    Either,
    /// The same, a string being split at spaces first.
    Words,
    /// A string.
    Scalar,
    /// An element of a list.
    Element,
    /// What is a string in every token that verifies.
    Text,
}

/// A string operand that holds no placeholder.
pub fn plain(text: &str) -> String {
    text.replace("${", "$${")
}

/// The name of a claim by the keys that lead to it.
pub fn claim_name(keys: &[String]) -> Option<String> {
    let escape = |key: &String| key.replace('~', "~0").replace('/', "~1");
    match keys {
        [] => None,
        [name] if name.is_empty() => None,
        [name] if name.starts_with('/') => Some(format!("/{}", escape(name))),
        [name] => Some(name.clone()),
        [first, rest @ ..] => {
            // A pointer reads a star and a number in its own way.
            let own = |key: &String| key == "*" || key.bytes().all(|b| b.is_ascii_digit());
            if rest.iter().any(own) || first == "*" {
                return None;
            }
            let steps: Vec<String> = keys.iter().map(escape).collect();
            Some(format!("/{}", steps.join("/")))
        }
    }
}

/// The first element of a claim that is a list.
fn first_element(claim: &str) -> Option<String> {
    let pointer = match claim.starts_with('/') {
        true => claim.to_owned(),
        false => format!("/{}", claim.replace('~', "~0").replace('/', "~1")),
    };
    (pointer != "/*").then(|| format!("{pointer}/0"))
}

/// A claim is one of these texts.
pub fn claim(claim: &str, kind: Kind, texts: &[Text]) -> Formula {
    let Some(first) = first_element(claim) else { return Formula::unknown() };
    let is_list =
        |is: bool| Condition::token(vec![("claim", json!(first)), ("present", json!(is))]);
    let exact: Vec<String> = texts
        .iter()
        .filter_map(|text| match text {
            Text::Exact(text) => Some(plain(text)),
            _ => None,
        })
        .collect();
    let others = || texts.iter().filter(|text| !matches!(text, Text::Exact(_)));
    let mut parts = Vec::new();
    if kind == Kind::Words && exact.iter().any(|text| text.contains(' ')) {
        return Formula::unknown();
    }
    if !exact.is_empty() {
        let of = |member| Condition::token(vec![("claim", json!(claim)), member]);
        match kind {
            // A list is not equal to anything.
            Kind::Scalar | Kind::Text => {
                parts.extend(exact.iter().map(|text| of(("equals", json!(text)))))
            }
            _ => parts.push(of(("any_of", json!(exact)))),
        }
    }
    if others().next().is_some() {
        let pattern = alternatives(others().map(Text::pattern));
        parts.push(Condition::token(vec![("claim", json!(claim)), ("matches", json!(pattern))]));
    }
    if kind == Kind::Words {
        let words = alternatives(texts.iter().map(Text::word_pattern));
        let pattern = format!("(?s:.* )?(?:{words})(?s: .*)?");
        let word = Condition::token(vec![("claim", json!(claim)), ("matches", json!(pattern))]);
        parts.push(Condition::all([is_list(false), word]));
    }
    let holds = Condition::any(parts);
    let fails = Condition::not(holds.clone().absent_is_false());
    match kind {
        Kind::Either | Kind::Words | Kind::Text => Formula::Leaf { holds, fails },
        Kind::Scalar if others().next().is_none() => {
            Formula::Leaf { holds, fails: Condition::any([fails, is_list(true)]) }
        }
        Kind::Scalar => Formula::Leaf {
            holds: Condition::all([holds, is_list(false)]),
            fails: Condition::any([fails, is_list(true)]),
        },
        Kind::Element => Formula::Leaf { holds: Condition::all([holds, is_list(true)]), fails },
    }
}

/// A claim is exactly this number or boolean.
pub fn claim_value(claim: &str, value: &Value) -> Formula {
    let equals = Condition::token(vec![("claim", json!(claim)), ("equals", value.clone())]);
    let fails = Condition::not(equals.clone().absent_is_false());
    Formula::Leaf { holds: equals, fails }
}

/// A claim is there.
pub fn claim_present(claim: &str) -> Formula {
    let holds = Condition::token(vec![("claim", json!(claim)), ("present", json!(true))]);
    // One that is null is there, for Envoy.
    Formula::Leaf { holds, fails: Condition::Never }
}

/// The token is of one of these issuers, by the names that they have here.
pub fn issuer(names: &[String]) -> Formula {
    let member = match names {
        [] => return Formula::Const(false),
        [name] => ("equals", json!(name)),
        names => ("any_of", json!(names)),
    };
    let holds = Condition::token(vec![("attribute", json!("issuer")), member]);
    let fails = Condition::not(holds.clone().absent_is_false());
    Formula::Leaf { holds, fails }
}

/// A header, its values joined with commas where it is repeated, is one of these texts.
pub fn header(name: &str, texts: &[Text]) -> Formula {
    let name = name.to_ascii_lowercase();
    // What can be part of a condition's name.
    if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
        return Formula::unknown();
    }
    let exact: Vec<String> = texts
        .iter()
        .filter_map(|text| match text {
            Text::Exact(text) => Some(plain(text)),
            _ => None,
        })
        .collect();
    let others: Vec<&Text> = texts.iter().filter(|text| !matches!(text, Text::Exact(_))).collect();
    let mut parts = Vec::new();
    if !exact.is_empty() {
        parts.push(Condition::request(vec![("header", json!(name)), ("any_of", json!(exact))]));
    }
    if !others.is_empty() {
        let pattern = alternatives(others.iter().map(|text| text.pattern()));
        parts.push(Condition::request(vec![("header", json!(name)), ("matches", json!(pattern))]));
    }
    let is = Condition::any(parts);
    let single = Condition::request(vec![("ref", json!(single(&name)))]);
    let absent = Condition::request(vec![("header", json!(name)), ("present", json!(false))]);
    Formula::Leaf {
        holds: Condition::all([is.clone(), single.clone()]),
        fails: Condition::any([absent, Condition::all([Condition::not(is), single])]),
    }
}

/// The name of the condition that a header is there once, and in UTF-8.
pub fn single(header: &str) -> String {
    format!("single-{header}")
}

/// A header is there.
pub fn header_present(name: &str) -> Formula {
    let name = name.to_ascii_lowercase();
    let is = |is: bool| Condition::request(vec![("header", json!(name)), ("present", json!(is))]);
    Formula::Leaf { holds: is(true), fails: is(false) }
}

/// The URI in the client's certificate is one of these; `elsewhere` is what it may also be where
/// only a denial counts.
pub fn peer(texts: &[Text], elsewhere: &[Text]) -> Formula {
    let is = |texts: &[Text]| {
        let pattern = alternatives(texts.iter().map(Text::pattern));
        let operator = match texts {
            [Text::Exact(text)] => ("equals", json!(plain(text))),
            _ => ("matches", json!(pattern)),
        };
        Condition::request(vec![("peer", json!("uri_san")), operator])
    };
    let absent = Condition::request(vec![("peer", json!("uri_san")), ("present", json!(false))]);
    let all: Vec<Text> = texts.iter().chain(elsewhere).cloned().collect();
    Formula::Leaf { holds: is(texts), fails: Condition::any([absent, Condition::not(is(&all))]) }
}

/// The client's address, as Envoy sees it, is in one of these networks.
pub fn client_address(networks: &[String]) -> Formula {
    let is = Condition::request(vec![("client_address", json!(networks))]);
    Formula::Leaf { holds: is.clone(), fails: Condition::not(is) }
}

/// Whether this is an address or a network.
pub fn is_network(text: &str) -> bool {
    text.parse::<ipnet::IpNet>().is_ok() || text.parse::<std::net::IpAddr>().is_ok()
}
