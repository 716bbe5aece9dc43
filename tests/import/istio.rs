//! Istio's policies as they read: what the mesh decides on a request, told from the manifests alone.

use super::harness::Asked;
use regex_lite::Regex;
use serde_json::Value;

/// The port at which requests arrive.
pub const PORT: &str = "18080";

fn list<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn texts(value: &Value, name: &str) -> Vec<String> {
    list(value, name)
        .iter()
        .map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned))
        .collect()
}

/// Whether the mesh lets a request through, where what the filter cannot see is or is not as a rule
/// wants it.
pub fn allows(documents: &[Value], asked: &Asked, unseen: bool) -> bool {
    let of = |kind: &'static str| documents.iter().filter(move |one| one["kind"] == kind);
    let rules: Vec<&Value> =
        of("RequestAuthentication").flat_map(|one| list(&one["spec"], "jwtRules")).collect();
    let mut claims = None;
    if !rules.is_empty()
        && let Some(token) = &asked.claims
    {
        let audience = |rule: &&&Value| {
            let wanted = texts(rule, "audiences");
            wanted.is_empty() || values(&token["aud"], false).iter().any(|own| wanted.contains(own))
        };
        let looked_at = rules.iter().any(|rule| match (rule.get("fromHeaders"), &asked.carried) {
            (None, None) => true,
            (Some(places), Some((name, prefix))) => {
                places.as_array().unwrap().iter().any(|place| {
                    place["name"] == name.as_str() && place["prefix"] == prefix.as_str()
                })
            }
            _ => false,
        });
        if looked_at {
            let mut of_issuer = rules.iter().filter(|rule| rule["issuer"] == token["iss"]);
            if !of_issuer.any(|rule| audience(&rule)) {
                return false;
            }
            claims = Some(token);
        }
    }
    let words: Vec<String> =
        rules.iter().flat_map(|rule| texts(rule, "spaceDelimitedClaims")).collect();
    let context = Context { asked, claims, words, unseen };
    let policies = |action: &'static str| {
        of("AuthorizationPolicy")
            .filter(move |one| one["spec"]["action"].as_str().unwrap_or("ALLOW") == action)
    };
    let matches = |policy: &Value| {
        list(&policy["spec"], "rules").iter().any(|rule| context.rule(rule, policy))
    };
    // An external authorizer may refuse what it is asked about.
    if policies("CUSTOM").any(&matches) || policies("DENY").any(&matches) {
        return false;
    }
    policies("ALLOW").next().is_none() || policies("ALLOW").any(&matches)
}

/// The texts of a claim.
fn values(claim: &Value, split: bool) -> Vec<String> {
    match claim {
        Value::String(text) if split => text.split(' ').map(str::to_owned).collect(),
        Value::String(text) => vec![text.clone()],
        Value::Array(items) => {
            items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect()
        }
        _ => Vec::new(),
    }
}

/// `a`, `a*`, `*a`, `*`.
fn is(pattern: &str, text: &str) -> bool {
    if pattern == "*" {
        return !text.is_empty();
    }
    match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(suffix), _) => text.ends_with(suffix),
        (None, Some(prefix)) => text.starts_with(prefix),
        (None, None) => text == pattern,
    }
}

struct Context<'a> {
    asked: &'a Asked,
    claims: Option<&'a Value>,
    words: Vec<String>,
    unseen: bool,
}

impl Context<'_> {
    fn rule(&self, rule: &Value, policy: &Value) -> bool {
        let one_of = |name: &str, member: &str| {
            let items = list(rule, name);
            items.is_empty()
                || items
                    .iter()
                    .any(|item| item.get(member).is_none_or(|item| self.members(item, policy)))
        };
        one_of("from", "source")
            && one_of("to", "operation")
            && list(rule, "when").iter().all(|when| {
                let key = when["key"].as_str().unwrap();
                let (wanted, unwanted) = (texts(when, "values"), texts(when, "notValues"));
                (wanted.is_empty() || self.attribute(key, &wanted, policy))
                    && (unwanted.is_empty() || !self.attribute(key, &unwanted, policy))
            })
    }

    fn members(&self, item: &Value, policy: &Value) -> bool {
        item.as_object().unwrap().keys().all(|name| {
            let wanted = texts(item, name);
            match name.strip_prefix("not") {
                Some(rest) => {
                    let (first, rest) = rest.split_at(1);
                    !self.attribute(&format!("{}{rest}", first.to_lowercase()), &wanted, policy)
                }
                None => self.attribute(name, &wanted, policy),
            }
        })
    }

    fn attribute(&self, key: &str, wanted: &[String], policy: &Value) -> bool {
        let asked = self.asked;
        let any = |text: &str| wanted.iter().any(|pattern| is(pattern, text));
        let peer = |of: &dyn Fn(&str) -> String| {
            let Some(peer) = &asked.peer else { return false };
            wanted
                .iter()
                .any(|value| Regex::new(&format!("^(?:{})$", of(value))).unwrap().is_match(peer))
        };
        let claim = |name: &str| {
            let Some(claims) = self.claims else { return false };
            let split = ["scope", "permission"].contains(&name)
                || self.words.iter().any(|word| word == name);
            values(&claims[name], split).iter().any(|text| any(text))
        };
        let network = |address: std::net::IpAddr| {
            wanted.iter().any(|text| match text.parse::<ipnet::IpNet>() {
                Ok(network) => network.contains(&address),
                Err(_) => text.parse() == Ok(address),
            })
        };
        match key {
            "paths" => wanted.iter().any(|pattern| path(pattern, asked.plain_path())),
            "methods" => any(&asked.method),
            "hosts" => any(&asked.host),
            "ports" | "destination.port" => wanted.iter().any(|port| port == PORT),
            "namespaces" | "source.namespace" => {
                peer(&|value| format!(".*/ns/{}/.*", value.replace('*', ".*")))
            }
            "principals" | "source.principal" => {
                let Some(peer) = &asked.peer else { return false };
                any(peer.strip_prefix("spiffe://").unwrap_or(peer))
            }
            "trustDomains" | "source.trustDomain" => peer(&|value| format!("spiffe://{value}/.*")),
            "serviceAccounts" => peer(&|value| {
                let own = policy["metadata"]["namespace"].as_str().unwrap_or("ns-b");
                let (namespace, account) = value.split_once('/').unwrap_or((own, value));
                format!("spiffe://.+/ns/{namespace}/(.+/|)sa/{account}(/.+)?")
            }),
            "ipBlocks" | "source.ip" | "destination.ip" | "connection.sni" => self.unseen,
            "remoteIpBlocks" | "remote.ip" => network(asked.address),
            "requestPrincipals" | "request.auth.principal" => {
                let Some(claims) = self.claims else { return false };
                let (Some(iss), Some(sub)) = (claims["iss"].as_str(), claims["sub"].as_str())
                else {
                    return false;
                };
                wanted.iter().any(|value| match value.rsplit_once('/') {
                    Some((own, subject)) => is(own, iss) && is(subject, sub),
                    None => value == "*" && !iss.is_empty() && !sub.is_empty(),
                })
            }
            "request.auth.audiences" => claim("aud"),
            "request.auth.presenter" => claim("azp"),
            key if key.starts_with("request.headers[") => {
                let name = key.trim_start_matches("request.headers[").trim_end_matches(']');
                asked
                    .header(name)
                    .is_some_and(|value| wanted.iter().any(|own| own == "*" || is(own, &value)))
            }
            key if key.starts_with("request.auth.claims[") => {
                let inside = key.trim_start_matches("request.auth.claims[").trim_end_matches(']');
                let keys: Vec<&str> = inside.split("][").collect();
                let [name] = keys.as_slice() else {
                    let Some(claims) = self.claims else { return false };
                    let found = keys.iter().try_fold(claims, |value, key| value.get(key));
                    return found
                        .is_some_and(|value| values(value, false).iter().any(|text| any(text)));
                };
                claim(name)
            }
            other => panic!("{other}"),
        }
    }
}

fn path(pattern: &str, path: &str) -> bool {
    if !pattern.contains('{') {
        return is(pattern, path);
    }
    let pattern = regex_lite::escape(pattern);
    let pattern = pattern.replace(r"\{\*\*\}", ".*").replace(r"\{\*\}", "[^/]+");
    Regex::new(&format!("^{pattern}$")).unwrap().is_match(path)
}
