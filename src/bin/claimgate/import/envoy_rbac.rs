//! Envoy's `rbac`: permissions and principals.

use super::envoy::{path_matcher, string_matcher};
use super::envoy_jwt::Jwt;
use super::finding::Findings;
use super::leaf::{self, Kind};
use super::path::{Shape, Unsaid};
use super::policy::Formula;
use super::source::Object;
use super::text::Text;
use serde_json::{Value, json};

/// What policies are read with.
pub struct Context<'c> {
    /// The `jwt_authn` filter before it, if there is one.
    pub jwt: Option<&'c Jwt>,
    /// Whether the client's address is the connection's.
    pub direct_is_client: bool,
}

/// When the filter lets a request through.
pub fn filter(config: &Object<'_>, context: &Context<'_>, findings: &mut Findings) -> Formula {
    let shadow = ["shadow_rules", "shadow_matcher", "shadow_rules_stat_prefix"];
    for name in shadow.iter().filter(|name| config.get(name).is_some()) {
        findings.note(&config.at.key(name), "a policy on trial decides nothing");
    }
    let known = ["@type", "rules", "rules_stat_prefix", "track_per_rule_stats"];
    let known: Vec<&str> = known.iter().chain(&shadow).copied().collect();
    if let Some(name) = config.others(&known).first() {
        findings
            .left_out(&config.at.key(name), "not known to the filter: every request is refused");
        return Formula::Const(false);
    }
    let Some(rules) = config.object("rules") else { return Formula::Const(true) };
    let action = rules.text("action").unwrap_or_else(|| "ALLOW".to_owned());
    let denies = match action.as_str() {
        "ALLOW" | "0" => false,
        "DENY" | "1" => true,
        "LOG" | "2" => {
            findings.note(&rules.at.key("action"), "LOG decides nothing");
            return Formula::Const(true);
        }
        _ => {
            findings.left_out(&rules.at.key("action"), "not known: every request is refused");
            return Formula::Const(false);
        }
    };
    let policies = rules.object("policies");
    let mut any = Vec::new();
    for (name, value) in policies.iter().flat_map(Object::members) {
        let at = rules.at.key("policies").key(name);
        let policy = Object::new(value, at);
        let mut reader = Reader { denies, context, findings };
        any.push(reader.policy(&policy));
    }
    let matches = Formula::Any(any);
    if denies { Formula::not(matches) } else { matches }
}

struct Reader<'r> {
    denies: bool,
    context: &'r Context<'r>,
    findings: &'r mut Findings,
}

impl Reader<'_> {
    fn policy(&mut self, policy: &Object<'_>) -> Formula {
        let mut parts = Vec::new();
        let known = ["permissions", "principals", "cel_config"];
        for name in policy.others(&known) {
            parts.push(self.unsaid(policy, name));
        }
        let permissions = policy.list("permissions");
        let permissions = permissions.iter().map(|one| self.permission(one)).collect();
        parts.push(Formula::Any(permissions));
        let principals = policy.list("principals");
        let principals = principals.iter().map(|one| self.principal(one)).collect();
        parts.push(Formula::Any(principals));
        Formula::All(parts)
    }

    fn unsaid(&mut self, object: &Object<'_>, name: &str) -> Formula {
        let consequence = super::istio_rules::consequence(self.denies);
        self.findings.left_out(&object.at.key(name), consequence);
        Formula::unknown()
    }

    /// The one member of a `oneof`, by its name with underscores.
    fn only<'v>(&mut self, object: &Object<'v>) -> Option<(String, Object<'v>)> {
        let mut members = object.members();
        let (name, value) = members.next()?;
        let mut snake = String::new();
        for c in name.chars() {
            if c.is_ascii_uppercase() {
                snake.push('_');
            }
            snake.push(c.to_ascii_lowercase());
        }
        members.next().is_none().then(|| (snake, Object::new(value, object.at.key(name))))
    }

    fn permission(&mut self, permission: &Object<'_>) -> Formula {
        let Some((name, inner)) = self.only(permission) else {
            return self.unsaid(permission, "");
        };
        match name.as_str() {
            "and_rules" => {
                Formula::All(inner.list("rules").iter().map(|one| self.permission(one)).collect())
            }
            "or_rules" => {
                Formula::Any(inner.list("rules").iter().map(|one| self.permission(one)).collect())
            }
            "not_rule" => Formula::not(self.permission(&inner)),
            "any" => Formula::Const(permission.flag("any")),
            "header" => self.header(&inner, permission),
            "url_path" => self.url_path(&inner, permission),
            "uri_template" => {
                let config = inner.object("typed_config");
                let template = config.and_then(|config| config.text("path_template"));
                match template.map(|path| Shape::template(&path)) {
                    Some(Ok(shape)) => Formula::Path(shape),
                    Some(Err(Unsaid::Refused)) => Formula::Const(false),
                    _ => self.unsaid(permission, &name),
                }
            }
            _ => self.unsaid(permission, &name),
        }
    }

    fn principal(&mut self, principal: &Object<'_>) -> Formula {
        let Some((name, inner)) = self.only(principal) else {
            return self.unsaid(principal, "");
        };
        match name.as_str() {
            "and_ids" => {
                Formula::All(inner.list("ids").iter().map(|one| self.principal(one)).collect())
            }
            "or_ids" => {
                Formula::Any(inner.list("ids").iter().map(|one| self.principal(one)).collect())
            }
            "not_id" => Formula::not(self.principal(&inner)),
            "any" => Formula::Const(principal.flag("any")),
            "header" => self.header(&inner, principal),
            "url_path" => self.url_path(&inner, principal),
            "authenticated" => {
                match inner.object("principal_name").as_ref().and_then(string_matcher) {
                    Some(text) => {
                        self.findings.stricter(
                            &inner.at,
                            "only the first URI of the client's certificate is compared",
                        );
                        let formula = leaf::peer(&[text], &[]);
                        Formula::Bounds(Box::new(formula), Box::new(Formula::Const(false)))
                    }
                    None => self.unsaid(principal, &name),
                }
            }
            "remote_ip" => self.address(&inner, principal, &name),
            "direct_remote_ip" | "source_ip" if self.context.direct_is_client => {
                self.address(&inner, principal, &name)
            }
            "metadata" => self.metadata(&inner, principal),
            _ => self.unsaid(principal, &name),
        }
    }

    fn address(&mut self, range: &Object<'_>, parent: &Object<'_>, name: &str) -> Formula {
        let length = match range.get("prefix_len") {
            Some(Value::Object(wrapped)) => wrapped.get("value").map(Value::to_string),
            // Left out it is 0, and so every address.
            None => Some("0".to_owned()),
            Some(_) => range.text("prefix_len"),
        };
        let address = range.text("address_prefix").unwrap_or_default();
        let network = format!("{address}/{}", length.unwrap_or_default());
        match leaf::is_network(&network) {
            true => leaf::client_address(&[network]),
            false => self.unsaid(parent, name),
        }
    }

    fn url_path(&mut self, inner: &Object<'_>, parent: &Object<'_>) -> Formula {
        let Some(matcher) = inner.object("path") else { return self.unsaid(parent, "url_path") };
        match path_matcher(&matcher) {
            formula if formula == Formula::unknown() => self.unsaid(parent, "url_path"),
            formula => {
                if let Formula::Path(Shape::Ends(..)) = formula {
                    let text = matcher.text("suffix").unwrap_or_default();
                    let message = super::istio_rules::ends(&format!("*{text}"), self.denies);
                    self.findings.stricter(&matcher.at, message);
                }
                formula
            }
        }
    }

    fn header(&mut self, inner: &Object<'_>, parent: &Object<'_>) -> Formula {
        match header_matcher(inner) {
            Some(formula) => formula,
            None => self.unsaid(parent, "header"),
        }
    }

    fn metadata(&mut self, matcher: &Object<'_>, parent: &Object<'_>) -> Formula {
        let keys: Vec<String> =
            matcher.list("path").iter().filter_map(|segment| segment.text("key")).collect();
        let ours = matcher.text("filter").as_deref() == Some("envoy.filters.http.jwt_authn");
        let known = ["filter", "path", "value", "invert"];
        let (Some((payload, claim)), true, true, Some(jwt)) =
            (keys.split_first(), ours, matcher.others(&known).is_empty(), self.context.jwt)
        else {
            return self.unsaid(parent, "metadata");
        };
        let issuers = &jwt.issuers.kept;
        let providers: Vec<_> =
            issuers.iter().filter(|issuer| issuer.metadata.as_ref() == Some(payload)).collect();
        let words = |name: &String| providers.iter().any(|issuer| issuer.words.contains(name));
        let split = claim.first().is_some_and(words);
        let value = matcher.object("value");
        let formula = match (leaf::claim_name(claim), value, split) {
            (Some(name), Some(value), false) => claim_value(&name, &value),
            _ => None,
        };
        let Some(formula) = formula else { return self.unsaid(parent, "metadata") };
        let names: Vec<String> = providers.iter().map(|issuer| issuer.name.clone()).collect();
        let formula = if names.len() < issuers.len() {
            Formula::All(vec![formula, leaf::issuer(&names)])
        } else if names.is_empty() {
            // No token leaves such metadata.
            Formula::Const(false)
        } else {
            formula
        };
        if matcher.flag("invert") { Formula::not(formula) } else { formula }
    }
}

/// A `ValueMatcher` on a claim.
fn claim_value(claim: &str, value: &Object<'_>) -> Option<Formula> {
    let mut members = value.members();
    let (_, _) = members.next()?;
    if members.next().is_some() {
        return None;
    }
    if let Some(matcher) = value.object("string_match") {
        // A token in which these are no strings does not verify.
        let kind = if matches!(claim, "iss" | "sub" | "jti") { Kind::Text } else { Kind::Scalar };
        return Some(leaf::claim(claim, kind, &[string_matcher(&matcher)?]));
    }
    if let Some(Value::Bool(is)) = value.get("bool_match") {
        return Some(leaf::claim_value(claim, &json!(is)));
    }
    if let Some(exact) = value.object("double_match").and_then(|matcher| matcher.get("exact")) {
        return exact.is_number().then(|| leaf::claim_value(claim, exact));
    }
    if value.get("present_match") == Some(&Value::Bool(true)) {
        return Some(leaf::claim_present(claim));
    }
    if let Some(list) = value.object("list_match") {
        let one = list.object("one_of")?;
        let matcher = one.object("string_match")?;
        return Some(leaf::claim(claim, Kind::Element, &[string_matcher(&matcher)?]));
    }
    if let Some(or) = value.object("or_match") {
        let parts = or.list("value_matchers");
        let parts = parts.iter().map(|part| claim_value(claim, part));
        return parts.collect::<Option<Vec<_>>>().map(Formula::Any);
    }
    None
}

/// A `HeaderMatcher` of a route.
pub fn header(matcher: &Object<'_>, findings: &mut Findings) -> Formula {
    header_matcher(matcher).unwrap_or_else(|| {
        findings.left_out(&matcher.at, "not known to the filter: what it may match is refused");
        Formula::unknown()
    })
}

/// A `HeaderMatcher`, pseudo-headers included.
fn header_matcher(matcher: &Object<'_>) -> Option<Formula> {
    let known = [
        "name",
        "string_match",
        "exact_match",
        "prefix_match",
        "suffix_match",
        "contains_match",
        "safe_regex_match",
        "present_match",
        "invert_match",
        "treat_missing_header_as_empty",
    ];
    if !matcher.others(&known).is_empty() || matcher.flag("treat_missing_header_as_empty") {
        return None;
    }
    let name = matcher.text("name")?.to_ascii_lowercase();
    let invert = matcher.flag("invert_match");
    let present = matcher.get("present_match").and_then(Value::as_bool);
    let text = if let Some(string) = matcher.object("string_match") {
        Some(string_matcher(&string)?)
    } else if let Some(regex) = matcher.object("safe_regex_match") {
        Some(Text::regex(&regex.text("regex")?)?)
    } else if let Some(text) = matcher.text("exact_match") {
        // An empty one asks for presence only.
        (!text.is_empty()).then_some(Text::Exact(text))
    } else if let Some(text) = matcher.text("prefix_match") {
        Some(Text::Prefix(text))
    } else if let Some(text) = matcher.text("suffix_match") {
        Some(Text::Suffix(text))
    } else {
        matcher.text("contains_match").map(Text::Contains)
    };
    let negated = |formula| if invert { Formula::not(formula) } else { formula };
    if let (true, Some(present)) = (name.starts_with(':') || name == "host", present) {
        return Some(negated(Formula::Const(present)));
    }
    let formula = match (name.as_str(), text) {
        (":method", Some(text)) => negated(Formula::Method(text)),
        (":authority" | "host", Some(text)) => negated(Formula::Host(lower(text))),
        (":path", Some(text)) => negated(whole_path(&text)),
        (name, _) if name.starts_with(':') => return None,
        (name, None) => {
            let is = leaf::header_present(name);
            let is = if present == Some(false) { Formula::not(is) } else { is };
            negated(is)
        }
        (name, Some(text)) => {
            let is = leaf::header(name, &[text]);
            if is == Formula::unknown() {
                return None;
            }
            if invert {
                // What one version of Envoy says of a header that is not there, another does not.
                let there = leaf::header_present(name);
                let inverted = Formula::All(vec![there, Formula::not(is.clone())]);
                Formula::Bounds(Box::new(inverted), Box::new(is))
            } else {
                is
            }
        }
    };
    Some(formula)
}

/// Hosts compare in lower case.
fn lower(text: Text) -> Text {
    match text {
        Text::Exact(text) => Text::Exact(text.to_ascii_lowercase()),
        Text::Prefix(text) => Text::Prefix(text.to_ascii_lowercase()),
        Text::Suffix(text) => Text::Suffix(text.to_ascii_lowercase()),
        Text::Contains(text) => Text::Contains(text.to_ascii_lowercase()),
        other => other,
    }
}

/// `:path` with its query, of which conditions see no more than parameters.
fn whole_path(text: &Text) -> Formula {
    let shape = match text {
        Text::Exact(path) => Shape::exact(path),
        Text::Prefix(path) if !path.contains('?') => {
            return match Shape::prefix(path) {
                Ok(shape) => Formula::Path(shape),
                Err(Unsaid::Refused) => Formula::Const(false),
                Err(Unsaid::Pattern) => Formula::unknown(),
            };
        }
        Text::Something => return Formula::Const(true),
        _ => return Formula::unknown(),
    };
    match shape {
        // Perhaps with a query, then it is not so.
        Ok(shape) => Formula::Bounds(
            Box::new(Formula::Const(false)),
            Box::new(Formula::not(Formula::Path(shape))),
        ),
        Err(_) => Formula::unknown(),
    }
}
