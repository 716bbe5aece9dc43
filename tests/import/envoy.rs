//! Envoy's filters as they read: what the chain decides on a request, told from its configuration alone.

use super::harness::Asked;
use regex_lite::Regex;
use serde_json::Value;

/// The HTTP filters of a document, wherever they are.
fn filters(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(items)
            if items.iter().any(|item| {
                item.get("typed_config").is_some()
                    && item.get("name").is_some()
                    && item["typed_config"].get("http_filters").is_none()
            }) =>
        {
            items.iter().collect()
        }
        Value::Array(items) => items.iter().flat_map(filters).collect(),
        Value::Object(members) => members.values().flat_map(filters).collect(),
        _ => Vec::new(),
    }
}

fn list<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Whether the chain lets a request through, where what the filter cannot see is or is not as a policy
/// wants it.
pub fn allows(document: &Value, asked: &Asked, unseen: bool) -> bool {
    let mut metadata = None;
    for filter in filters(document) {
        let config = &filter["typed_config"];
        let kind = config["@type"].as_str().unwrap_or_default();
        if kind.ends_with(".JwtAuthentication") {
            match jwt(config, asked) {
                Some(payload) => metadata = payload,
                None => return false,
            }
        }
        if kind.ends_with(".RBAC") {
            let Some(rules) = config.get("rules") else { continue };
            let context = Context { asked, metadata: metadata.as_ref(), unseen };
            let policies = rules["policies"].as_object().unwrap();
            let matches = policies.values().any(|policy| {
                list(policy, "permissions").iter().any(|one| context.holds(one))
                    && list(policy, "principals").iter().any(|one| context.holds(one))
            });
            let open = match rules["action"].as_str().unwrap_or("ALLOW") {
                "ALLOW" => matches,
                "DENY" => !matches,
                _ => true,
            };
            if !open {
                return false;
            }
        }
    }
    true
}

/// What verifying comes to: nothing where the request is refused, else the payload in metadata.
fn jwt(config: &Value, asked: &Asked) -> Option<Option<(String, Value)>> {
    let matched = |rule: &&Value| {
        let path = asked.plain_path();
        let matched = &rule["match"];
        let text = |name: &str| matched.get(name).and_then(Value::as_str);
        let on_path = if let Some(prefix) = text("prefix") {
            path.starts_with(prefix)
        } else if let Some(exact) = text("path") {
            path == exact
        } else if let Some(prefix) = text("path_separated_prefix") {
            path == prefix || path.starts_with(&format!("{prefix}/"))
        } else {
            whole(matched["safe_regex"]["regex"].as_str().unwrap(), path)
        };
        on_path && list(matched, "headers").iter().all(|one| header(one, asked))
    };
    let Some(rule) = list(config, "rules").iter().find(matched) else { return Some(None) };
    let Some(requires) =
        rule.get("requires").filter(|one| one.as_object().is_some_and(|one| !one.is_empty()))
    else {
        return Some(None);
    };
    requirement(requires, config, asked)
}

fn requirement(requires: &Value, config: &Value, asked: &Asked) -> Option<Option<(String, Value)>> {
    let verify = |name: &str, audiences: Option<&[Value]>| {
        let provider = &config["providers"][name];
        let claims = asked.claims.as_ref().filter(|claims| claims["iss"] == provider["issuer"])?;
        let wanted = audiences.unwrap_or(list(provider, "audiences"));
        let held: Vec<&Value> = match &claims["aud"] {
            Value::Array(items) => items.iter().collect(),
            Value::Null => Vec::new(),
            one => vec![one],
        };
        if !wanted.is_empty() && !held.iter().any(|one| wanted.contains(one)) {
            return None;
        }
        Some(Some((
            provider["payload_in_metadata"].as_str().unwrap_or_default().to_owned(),
            claims.clone(),
        )))
    };
    if let Some(name) = requires.get("provider_name") {
        return verify(name.as_str().unwrap(), None);
    }
    if let Some(both) = requires.get("provider_and_audiences") {
        return verify(both["provider_name"].as_str().unwrap(), Some(list(both, "audiences")));
    }
    let all = || {
        let names = config["providers"].as_object().unwrap().keys();
        names.into_iter().find_map(|name| verify(name, None))
    };
    if requires.get("allow_missing").is_some() {
        return if asked.claims.is_none() { Some(None) } else { all() };
    }
    if requires.get("allow_missing_or_failed").is_some() {
        return Some(all().flatten());
    }
    let any = list(&requires["requires_any"], "requirements");
    let named = any.iter().filter(|one| one.get("allow_missing").is_none());
    let verified = named.filter_map(|one| requirement(one, config, asked)).next();
    let missing =
        any.iter().any(|one| one.get("allow_missing").is_some()) && asked.claims.is_none();
    verified.or(missing.then_some(None))
}

fn whole(pattern: &str, text: &str) -> bool {
    Regex::new(&format!("^(?:{pattern})$")).unwrap().is_match(text)
}

fn string(matcher: &Value, text: &str) -> bool {
    let of = |name: &str| matcher.get(name).and_then(Value::as_str);
    if let Some(own) = of("exact") {
        text == own
    } else if let Some(own) = of("prefix") {
        text.starts_with(own)
    } else if let Some(own) = of("suffix") {
        text.ends_with(own)
    } else {
        whole(matcher["safe_regex"]["regex"].as_str().unwrap(), text)
    }
}

fn header(matcher: &Value, asked: &Asked) -> bool {
    let value = match matcher["name"].as_str().unwrap() {
        ":method" => Some(asked.method.clone()),
        ":authority" => Some(asked.host.clone()),
        ":path" => Some(asked.path.clone()),
        name => asked.header(name),
    };
    if let Some(present) = matcher.get("present_match").and_then(Value::as_bool) {
        return value.is_some() == present;
    }
    let Some(value) = value else { return false };
    let of = |name: &str| matcher.get(name).and_then(Value::as_str);
    let is = if let Some(own) = of("exact_match") {
        value == own
    } else if let Some(own) = of("prefix_match") {
        value.starts_with(own)
    } else if let Some(regex) = matcher.get("safe_regex_match") {
        whole(regex["regex"].as_str().unwrap(), &value)
    } else {
        string(&matcher["string_match"], &value)
    };
    is != matcher.get("invert_match").is_some_and(|invert| invert == true)
}

struct Context<'a> {
    asked: &'a Asked,
    metadata: Option<&'a (String, Value)>,
    unseen: bool,
}

impl Context<'_> {
    fn holds(&self, one: &Value) -> bool {
        let (name, inner) = one.as_object().unwrap().iter().next().unwrap();
        match name.as_str() {
            "any" => inner == true,
            "and_rules" => list(inner, "rules").iter().all(|one| self.holds(one)),
            "or_rules" => list(inner, "rules").iter().any(|one| self.holds(one)),
            "and_ids" => list(inner, "ids").iter().all(|one| self.holds(one)),
            "or_ids" => list(inner, "ids").iter().any(|one| self.holds(one)),
            "not_rule" | "not_id" => !self.holds(inner),
            "header" => header(inner, self.asked),
            "url_path" => string(&inner["path"], self.asked.plain_path()),
            "remote_ip" | "direct_remote_ip" => {
                let network = format!(
                    "{}/{}",
                    inner["address_prefix"].as_str().unwrap(),
                    inner["prefix_len"]
                );
                network.parse::<ipnet::IpNet>().unwrap().contains(&self.asked.address)
            }
            "metadata" => {
                let Some((key, payload)) = self.metadata else { return false };
                let mut keys =
                    list(inner, "path").iter().map(|segment| segment["key"].as_str().unwrap());
                if keys.next() != Some(key.as_str()) {
                    return false;
                }
                keys.try_fold(payload, |value, key| value.get(key))
                    .is_some_and(|value| is(&inner["value"], value))
            }
            "authenticated" => {
                self.asked.peer.as_ref().is_some_and(|peer| string(&inner["principal_name"], peer))
            }
            "destination_port" => self.unseen,
            other => panic!("{other}"),
        }
    }
}

fn is(matcher: &Value, value: &Value) -> bool {
    let (name, inner) = matcher.as_object().unwrap().iter().next().unwrap();
    match name.as_str() {
        "string_match" => value.as_str().is_some_and(|text| string(inner, text)),
        "bool_match" => value == inner,
        "double_match" => value.as_f64().is_some() && value.as_f64() == inner["exact"].as_f64(),
        "present_match" => true,
        "list_match" => value
            .as_array()
            .is_some_and(|items| items.iter().any(|item| is(&inner["one_of"], item))),
        "or_match" => list(inner, "value_matchers").iter().any(|one| is(one, value)),
        other => panic!("{other}"),
    }
}
