//! Rules of an AuthorizationPolicy.

use super::Options;
use super::finding::{At, Findings};
use super::issuers::Issuers;
use super::leaf::{self, Kind};
use super::path::{Shape, Unsaid};
use super::policy::Formula;
use super::source::Object;
use super::text::Text;
use std::collections::BTreeSet;

/// What rules are read with.
pub struct Context<'c> {
    /// What the caller says.
    pub options: &'c Options,
    /// Who may sign.
    pub issuers: &'c Issuers,
    /// The claims that are split at spaces.
    pub words: &'c BTreeSet<String>,
}

/// What is done about something that cannot be said.
pub fn consequence(denies: bool) -> &'static str {
    if denies {
        "not known to the filter: whatever the rest of the rule matches is refused"
    } else {
        "not known to the filter: the rule opens nothing"
    }
}

/// When a rule matches.
pub fn rule(
    rule: &Object<'_>,
    denies: bool,
    namespace: Option<&str>,
    context: &Context<'_>,
    findings: &mut Findings,
) -> Formula {
    let mut reader = Reader { denies, namespace, context, findings };
    let mut parts = reader.unknown_members(rule, &["from", "to", "when"]);
    for (list, member) in [("from", "source"), ("to", "operation")] {
        let mut any = Vec::new();
        for item in rule.list(list) {
            let mut parts = reader.unknown_members(&item, &[member]);
            parts.extend(item.object(member).map(|item| match member {
                "source" => reader.source(&item),
                _ => reader.operation(&item),
            }));
            any.push(Formula::All(parts));
        }
        if !any.is_empty() {
            parts.push(Formula::Any(any));
        }
    }
    for condition in rule.list("when") {
        parts.push(reader.when(&condition));
    }
    Formula::All(parts)
}

struct Reader<'r> {
    denies: bool,
    namespace: Option<&'r str>,
    context: &'r Context<'r>,
    findings: &'r mut Findings,
}

/// One value of a list.
type Read<'r> = fn(&mut Reader<'r>, &[String], &At) -> Formula;

impl<'r> Reader<'r> {
    fn unknown_members(&mut self, object: &Object<'_>, known: &[&str]) -> Vec<Formula> {
        let others = object.others(known);
        others.iter().map(|name| self.unsaid(&object.at.key(name), "")).collect()
    }

    /// Notes that something cannot be said.
    fn unsaid(&mut self, at: &At, why: &str) -> Formula {
        let consequence = consequence(self.denies);
        let message = match why {
            "" => consequence.to_owned(),
            why => format!("{why}, {consequence}"),
        };
        self.findings.left_out(at, message);
        Formula::unknown()
    }

    /// The members of a source or an operation, each with its negation.
    fn members(&mut self, object: &Object<'_>, members: &[(&str, &str, Read<'r>)]) -> Formula {
        let known: Vec<&str> = members.iter().flat_map(|(name, not, _)| [*name, *not]).collect();
        let mut parts = self.unknown_members(object, &known);
        for (name, not, read) in members {
            let values = object.texts(name);
            if !values.is_empty() {
                parts.push(read(self, &values, &object.at.key(name)));
            }
            let values = object.texts(not);
            if !values.is_empty() {
                parts.push(Formula::not(read(self, &values, &object.at.key(not))));
            }
        }
        Formula::All(parts)
    }

    fn source(&mut self, source: &Object<'_>) -> Formula {
        self.members(
            source,
            &[
                ("principals", "not_principals", Self::principals),
                ("request_principals", "not_request_principals", Self::request_principals),
                ("namespaces", "not_namespaces", Self::namespaces),
                ("service_accounts", "not_service_accounts", Self::service_accounts),
                ("trust_domains", "not_trust_domains", Self::trust_domains),
                ("ip_blocks", "not_ip_blocks", Self::direct_address),
                ("remote_ip_blocks", "not_remote_ip_blocks", Self::address),
            ],
        )
    }

    fn operation(&mut self, operation: &Object<'_>) -> Formula {
        self.members(
            operation,
            &[
                ("hosts", "not_hosts", Self::hosts),
                ("ports", "not_ports", Self::ports),
                ("methods", "not_methods", Self::methods),
                ("paths", "not_paths", Self::paths),
            ],
        )
    }

    fn when(&mut self, condition: &Object<'_>) -> Formula {
        let mut parts = self.unknown_members(condition, &["key", "values", "not_values"]);
        let key = condition.text("key").unwrap_or_default();
        for (name, negated) in [("values", false), ("not_values", true)] {
            let values = condition.texts(name);
            if values.is_empty() {
                continue;
            }
            let at = condition.at.clone();
            let is = self.attribute(&key, &values, &at);
            parts.push(if negated { Formula::not(is) } else { is });
        }
        Formula::All(parts)
    }

    fn attribute(&mut self, key: &str, values: &[String], at: &At) -> Formula {
        let read: Read<'r> = match key {
            "remote.ip" => Self::address,
            "source.ip" => Self::direct_address,
            "source.namespace" => Self::namespaces,
            "source.principal" => Self::principals,
            "source.serviceAccount" => Self::service_accounts,
            "source.trustDomain" => Self::trust_domains,
            "request.auth.principal" => Self::request_principals,
            "request.auth.audiences" => {
                |reader, values, at| reader.claim(&["aud".into()], values, at)
            }
            "request.auth.presenter" => {
                |reader, values, at| reader.claim(&["azp".into()], values, at)
            }
            "destination.port" => Self::ports,
            _ => {
                if let Some(name) = bracketed(key, "request.headers").as_deref() {
                    return match name {
                        [name] => self.header(name, values, at),
                        _ => self.unsaid(at, &format!("the key `{key}` cannot be read")),
                    };
                }
                return match bracketed(key, "request.auth.claims") {
                    Some(keys) => self.claim(&keys, values, at),
                    None => self.unsaid(at, &format!("`{key}`")),
                };
            }
        };
        read(self, values, at)
    }

    fn header(&mut self, name: &str, values: &[String], at: &At) -> Formula {
        if name.starts_with(':') {
            return self.unsaid(at, &format!("the pseudo-header `{name}`"));
        }
        let texts = texts(values);
        if texts.contains(&Text::Something) {
            return leaf::header_present(name);
        }
        match leaf::header(name, &texts) {
            formula if formula == Formula::unknown() => {
                self.unsaid(at, &format!("the header `{name}`"))
            }
            formula => formula,
        }
    }

    fn claim(&mut self, keys: &[String], values: &[String], at: &At) -> Formula {
        if self.context.issuers.kept.is_empty() {
            // Nobody reads a token.
            return Formula::Const(false);
        }
        let words = matches!(keys, [name] if self.context.words.contains(name));
        let kind = if words { Kind::Words } else { Kind::Either };
        let name = leaf::claim_name(keys);
        match name.map(|name| leaf::claim(&name, kind, &texts(values))) {
            Some(formula) if formula != Formula::unknown() => formula,
            _ => self.unsaid(at, &format!("the claim `{}`", keys.join("."))),
        }
    }

    fn request_principals(&mut self, values: &[String], _: &At) -> Formula {
        let issuers = &self.context.issuers.kept;
        let mut parts = Vec::new();
        for value in values {
            let (iss, sub) = principal(value);
            let signed: Vec<String> = issuers
                .iter()
                .filter(|issuer| iss.is(&issuer.iss))
                .map(|issuer| issuer.name.clone())
                .collect();
            if signed.is_empty() {
                continue;
            }
            let mut part = vec![leaf::claim("sub", Kind::Text, &[sub])];
            if signed.len() < issuers.len() {
                part.push(leaf::issuer(&signed));
            }
            parts.push(Formula::All(part));
        }
        Formula::Any(parts)
    }

    fn principals(&mut self, values: &[String], _: &At) -> Formula {
        let of = |prefix: &str, value: &String| match Text::istio(value) {
            Text::Exact(text) => Text::Exact(format!("{prefix}{text}")),
            Text::Prefix(text) => Text::Prefix(format!("{prefix}{text}")),
            other => other,
        };
        let mut elsewhere = Vec::new();
        for value in values {
            // `cluster.local` stands for the mesh's trust domain, whatever it is called.
            if let Some(rest) = value.strip_prefix("cluster.local/") {
                let rest = Text::istio(rest).pattern();
                elsewhere.extend(Text::regex(&format!("spiffe://[^/]+/{rest}")));
            }
        }
        let own: Vec<Text> = values.iter().map(|value| of("spiffe://", value)).collect();
        leaf::peer(&own, &elsewhere)
    }

    fn namespaces(&mut self, values: &[String], at: &At) -> Formula {
        self.peers(values, at, |value| format!(".*/ns/{}/.*", wild(value, ".*")))
    }

    fn trust_domains(&mut self, values: &[String], at: &At) -> Formula {
        if values.iter().any(|value| value == "cluster.local") && self.denies {
            // It may be called otherwise.
            return self.unsaid(at, "the mesh's own trust domain `cluster.local`");
        }
        self.peers(values, at, |value| format!("spiffe://{}/.*", wild(value, "[^/]*")))
    }

    fn service_accounts(&mut self, values: &[String], at: &At) -> Formula {
        let Some(namespace) = self
            .namespace
            .or(self.context.options.namespace.as_deref())
            .or_else(|| values.iter().all(|value| value.contains('/')).then_some(""))
        else {
            return self.unsaid(at, "the policy's namespace is not known (`--namespace`)");
        };
        let namespace = namespace.to_owned();
        self.peers(values, at, |value| {
            let (namespace, account) = value.split_once('/').unwrap_or((&namespace, value));
            let (namespace, account) = (regex_lite::escape(namespace), regex_lite::escape(account));
            format!("spiffe://.+/ns/{namespace}/(?:.+/)?sa/{account}(?:/.+)?")
        })
    }

    fn peers(&mut self, values: &[String], at: &At, pattern: impl Fn(&str) -> String) -> Formula {
        let texts: Option<Vec<Text>> =
            values.iter().map(|value| Text::regex(&pattern(value))).collect();
        match texts {
            Some(texts) => leaf::peer(&texts, &[]),
            None => self.unsaid(at, "not a name"),
        }
    }

    fn direct_address(&mut self, _: &[String], at: &At) -> Formula {
        self.unsaid(at, "the connection's own address (`remoteIpBlocks` is the client's)")
    }

    fn address(&mut self, values: &[String], at: &At) -> Formula {
        if values.iter().all(|value| leaf::is_network(value)) {
            leaf::client_address(values)
        } else {
            self.unsaid(at, "not a network")
        }
    }

    fn hosts(&mut self, values: &[String], at: &At) -> Formula {
        let each = values.iter().map(|value| Text::istio(&value.to_ascii_lowercase()));
        let texts: Vec<Text> = each.collect();
        for text in &texts {
            let told = match text {
                Text::Exact(host) => !host.contains(':'),
                Text::Suffix(suffix) => suffix.starts_with('.') && !suffix.contains(':'),
                Text::Something => true,
                _ => false,
            };
            if !told {
                let consequence = if self.denies { "refused" } else { "not let through" };
                self.findings.stricter(
                    at,
                    format!(
                        "a host that only begins or ends so, or has a port, is {consequence}, but \
                         for hosts that a rule names"
                    ),
                );
            }
        }
        Formula::Any(texts.into_iter().map(Formula::Host).collect())
    }

    fn ports(&mut self, values: &[String], at: &At) -> Formula {
        match self.context.options.port {
            Some(port) => Formula::Const(values.iter().any(|value| value.parse() == Ok(port))),
            None => self.unsaid(at, "the port (`--port` says which one the filter stands at)"),
        }
    }

    fn methods(&mut self, values: &[String], _: &At) -> Formula {
        Formula::Any(values.iter().map(|value| Formula::Method(Text::istio(value))).collect())
    }

    fn paths(&mut self, values: &[String], at: &At) -> Formula {
        let mut parts = Vec::new();
        for value in values {
            let shape = if value.contains('{') {
                Shape::template(value)
            } else {
                match Text::istio(value) {
                    Text::Exact(path) => Shape::exact(&path),
                    Text::Prefix(path) => Shape::prefix(&path),
                    Text::Suffix(path) => Shape::suffix(&path),
                    _ => Ok(Shape::EVERY),
                }
            };
            if let Ok(Shape::Ends(..)) = shape {
                self.findings.stricter(at, ends(value, self.denies));
            }
            parts.push(match shape {
                Ok(shape) => Formula::Path(shape),
                Err(Unsaid::Refused) => Formula::Const(false),
                Err(Unsaid::Pattern) => self.unsaid(at, &format!("the path `{value}`")),
            });
        }
        Formula::Any(parts)
    }
}

/// What becomes of a path whose end is looked at.
pub fn ends(value: &str, denies: bool) -> String {
    let depth = super::path::MAX_DEPTH;
    let consequence =
        if denies { "every deeper path is refused" } else { "deeper it opens nothing" };
    format!("`{value}` is looked for in paths of up to {depth} segments, {consequence}")
}

/// The issuer and the subject that a request principal asks for: the last slash parts them.
fn principal(value: &str) -> (Text, Text) {
    let something = || Text::Something;
    match value.rsplit_once('/') {
        _ if value == "*" => (something(), something()),
        Some((iss, sub)) if value.starts_with('*') => {
            (Text::istio(iss), Text::Exact(sub.to_owned()))
        }
        None if value.starts_with('*') => (something(), Text::istio(value)),
        Some((iss, sub)) if value.ends_with('*') => (Text::Exact(iss.to_owned()), Text::istio(sub)),
        None if value.ends_with('*') => (Text::istio(value), something()),
        Some((iss, sub)) => (Text::Exact(iss.to_owned()), Text::Exact(sub.to_owned())),
        None => (Text::Exact(value.to_owned()), Text::Exact(String::new())),
    }
}

fn texts(values: &[String]) -> Vec<Text> {
    values.iter().map(|value| Text::istio(value)).collect()
}

/// A name in which a star takes what this matches.
fn wild(value: &str, star: &str) -> String {
    value.split('*').map(regex_lite::escape).collect::<Vec<_>>().join(star)
}

/// `a` and `b` of `name[a][b]`.
fn bracketed(key: &str, name: &str) -> Option<Vec<String>> {
    let inside = key.strip_prefix(name)?.strip_prefix('[')?.strip_suffix(']')?;
    Some(inside.split("][").map(str::to_owned).collect())
}
