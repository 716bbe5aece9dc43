//! Envoy's `jwt_authn` and `rbac` HTTP filters, wherever they stand.

use super::Options;
use super::finding::{At, Findings};
use super::issuers::Issuers;
use super::path::Shape;
use super::policy::{Ask, Formula, Policy};
use super::source::{Document, Object};
use super::text::Text;
use super::{envoy_jwt, envoy_rbac};
use crate::Failure;
use serde_json::Value;

/// A connection manager, or a list of filters by itself.
struct Chain<'d> {
    filters: Vec<Object<'d>>,
    manager: Option<Object<'d>>,
    listener: Option<String>,
    at: At,
}

/// What the type of a filter's configuration is called, without its package.
fn type_of(object: &Object<'_>) -> String {
    let url = object.text("@type").unwrap_or_default();
    url.rsplit(['/', '.']).next().unwrap_or_default().to_owned()
}

/// Whether a filter is one of the two.
fn is_ours(filter: &Object<'_>) -> bool {
    filter
        .object("typed_config")
        .is_some_and(|config| matches!(type_of(&config).as_str(), "JwtAuthentication" | "RBAC"))
}

/// Reads the one chain that has such filters.
pub fn read(
    documents: &[Document],
    options: &Options,
    findings: &mut Findings,
) -> Result<Option<(Policy, Issuers)>, Failure> {
    let mut chains = Vec::new();
    for document in documents {
        let at = At::document(&document.file, &document.name);
        search(&document.value, &at, None, &mut chains);
    }
    chains.retain(|chain| chain.filters.iter().any(is_ours));
    if let Some(name) = &options.listener {
        chains.retain(|chain| chain.listener.as_ref() == Some(name));
        if chains.is_empty() {
            return Err(format!("no listener `{name}` with `jwt_authn` or `rbac` filters"));
        }
    }
    match chains.as_slice() {
        [] => Ok(None),
        [chain] => chain.policy(findings).map(Some),
        several => {
            let names: Vec<&str> = several
                .iter()
                .map(|chain| chain.listener.as_deref().unwrap_or("without a name"))
                .collect();
            Err(format!(
                "there are several filter chains, each a configuration of its own: name the \
                 listener of one by `--listener` ({})",
                names.join(", ")
            ))
        }
    }
}

/// Looks for chains of HTTP filters.
fn search<'d>(value: &'d Value, at: &At, listener: Option<&str>, chains: &mut Vec<Chain<'d>>) {
    match value {
        Value::Object(members) => {
            let object = Object::new(value, at.clone());
            let filters = object.list("http_filters");
            if !filters.is_empty() {
                let manager = Some(object);
                let listener = listener.map(str::to_owned);
                chains.push(Chain { filters, manager, listener, at: at.clone() });
                return;
            }
            let own = members.get("name").and_then(Value::as_str);
            let is_listener = object.get("filter_chains").is_some();
            let listener = if is_listener { own.or(listener) } else { listener };
            for (name, value) in members {
                search(value, &at.key(name), listener, chains);
            }
        }
        Value::Array(items) => {
            let objects: Vec<Object<'_>> = items
                .iter()
                .enumerate()
                .map(|(index, item)| Object::new(item, at.index(index)))
                .collect();
            if objects.iter().any(is_ours) {
                let listener = listener.map(str::to_owned);
                chains.push(Chain { filters: objects, manager: None, listener, at: at.clone() });
                return;
            }
            for (index, item) in items.iter().enumerate() {
                search(item, &at.index(index), listener, chains);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

impl Chain<'_> {
    fn policy(&self, findings: &mut Findings) -> Result<(Policy, Issuers), Failure> {
        let mut jwt: Option<envoy_jwt::Jwt> = None;
        let mut parts = Vec::new();
        for filter in self.filters.iter().filter(|filter| is_ours(filter)) {
            let Some(config) = filter.object("typed_config") else { continue };
            if filter.flag("disabled") {
                findings.note(&filter.at, "disabled");
                continue;
            }
            if type_of(&config) == "RBAC" {
                let context = envoy_rbac::Context {
                    jwt: jwt.as_ref(),
                    direct_is_client: self.direct_is_client(),
                };
                parts.push(envoy_rbac::filter(&config, &context, findings));
            } else if jwt.is_some() {
                return Err("two `jwt_authn` filters in one chain cannot be carried over".into());
            } else {
                jwt = Some(envoy_jwt::filter(&config, findings));
            }
        }
        self.per_route(&mut parts, findings);
        let (asks, otherwise, issuers) = match jwt {
            None => (Vec::new(), Ask::Nothing, Issuers::default()),
            Some(jwt) => (jwt.asks, jwt.otherwise, jwt.issuers),
        };
        parts.push(issuers.guard());
        Ok((Policy { asks, otherwise, allow: Formula::All(parts) }, issuers))
    }

    /// Whether the client's address is the connection's.
    fn direct_is_client(&self) -> bool {
        let Some(manager) = &self.manager else { return false };
        manager.flag("use_remote_address")
            && manager.text("xff_num_trusted_hops").is_none_or(|hops| hops == "0")
            && manager.get("original_ip_detection_extensions").is_none()
    }

    /// What routes say of the two filters is closed: it may ask for more.
    fn per_route(&self, parts: &mut Vec<Formula>, findings: &mut Findings) {
        let Some(manager) = &self.manager else {
            findings.note(&self.at, "per-route settings, if there are any, are not seen");
            return;
        };
        if manager.get("rds").is_some() || manager.get("scoped_routes").is_some() {
            findings.note(&manager.at, "routes come from elsewhere: their settings are not seen");
        }
        let Some(config) = manager.object("route_config") else { return };
        let names: Vec<String> = self
            .filters
            .iter()
            .filter(|filter| is_ours(filter))
            .filter_map(|filter| filter.text("name"))
            .collect();
        let mut close = |object: &Object<'_>, what: Formula| {
            let own = object.object("typed_per_filter_config");
            let known = own
                .iter()
                .flat_map(Object::members)
                .find(|(name, _)| names.iter().any(|own| own == name));
            if let (Some((name, _)), Some(own)) = (known, &own) {
                findings.left_out(
                    &own.at.key(name),
                    "settings of a route: whatever the route matches is refused",
                );
                parts.push(Formula::not(what));
            }
        };
        close(&config, Formula::Const(true));
        for host in config.list("virtual_hosts") {
            let domains = host.texts("domains");
            let domains = domains
                .iter()
                .map(|domain| Formula::Host(Text::istio(&domain.to_ascii_lowercase())));
            let domains = Formula::Any(domains.collect());
            close(&host, domains.clone());
            for route in host.list("routes") {
                let path = route.object("match").map_or(Formula::Const(true), |matched| {
                    // What else it asks for makes it match less.
                    let path = path(&matched);
                    Formula::Bounds(Box::new(Formula::unknown()), Box::new(Formula::not(path)))
                });
                close(&route, Formula::All(vec![domains.clone(), path]));
            }
        }
    }
}

/// The path of a `RouteMatch`.
pub fn path(matched: &Object<'_>) -> Formula {
    let shape = if let Some(path) = matched.text("prefix") {
        Shape::prefix(&path)
    } else if let Some(path) = matched.text("path") {
        Shape::exact(&path)
    } else if let Some(path) = matched.text("path_separated_prefix") {
        Shape::beneath(&path)
    } else if let Some(regex) = matched.object("safe_regex").and_then(|regex| regex.text("regex")) {
        Shape::regex(&regex)
    } else if let Some(policy) = matched.object("path_match_policy") {
        let config = policy.object("typed_config");
        let template = config.and_then(|config| config.text("path_template"));
        template.map_or(Err(super::path::Unsaid::Pattern), |path| Shape::template(&path))
    } else {
        Err(super::path::Unsaid::Pattern)
    };
    let folded = matched.get("case_sensitive") == Some(&Value::Bool(false));
    match shape {
        Err(super::path::Unsaid::Refused) => Formula::Const(false),
        Ok(shape) if folded => {
            // It matches more than this.
            Formula::Bounds(Box::new(Formula::Path(shape)), Box::new(Formula::unknown()))
        }
        Ok(shape) => Formula::Path(shape),
        Err(super::path::Unsaid::Pattern) => Formula::unknown(),
    }
}

/// A `StringMatcher`, or `None` where it cannot be said.
pub fn string_matcher(matcher: &Object<'_>) -> Option<Text> {
    let known = ["exact", "prefix", "suffix", "contains", "safe_regex", "ignore_case"];
    if !matcher.others(&known).is_empty() {
        return None;
    }
    let text = if let Some(text) = matcher.text("exact") {
        Text::Exact(text)
    } else if let Some(text) = matcher.text("prefix") {
        Text::Prefix(text)
    } else if let Some(text) = matcher.text("suffix") {
        Text::Suffix(text)
    } else if let Some(text) = matcher.text("contains") {
        Text::Contains(text)
    } else {
        let regex = matcher.object("safe_regex")?.text("regex")?;
        return if matcher.flag("ignore_case") { None } else { Text::regex(&regex) };
    };
    Some(if matcher.flag("ignore_case") { text.folded() } else { text })
}

/// A `StringMatcher` of a whole path.
pub fn path_matcher(matcher: &Object<'_>) -> Formula {
    let shape = match string_matcher(matcher) {
        Some(Text::Exact(path)) => Shape::exact(&path),
        Some(Text::Prefix(path)) => Shape::prefix(&path),
        Some(Text::Suffix(path)) => Shape::suffix(&path),
        Some(Text::Regex(regex)) if !matcher.flag("ignore_case") => Shape::regex(&regex),
        _ => return Formula::unknown(),
    };
    match shape {
        Ok(shape) => Formula::Path(shape),
        Err(super::path::Unsaid::Refused) => Formula::Const(false),
        Err(super::path::Unsaid::Pattern) => Formula::unknown(),
    }
}
