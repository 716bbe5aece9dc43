//! Envoy's `jwt_authn`: providers are issuers, rules say what is asked of the token where.

use super::condition::Condition;
use super::envoy;
use super::finding::Findings;
use super::issuers::{self, Carried, Issuer, Issuers};
use super::istio;
use super::leaf;
use super::policy::{Ask, Formula, Without};
use super::source::{Object, seconds};
use super::text::Text;
use crate::yaml::Node;
use std::collections::BTreeMap;

/// What the filter asks for.
pub struct Jwt {
    /// What is asked, first match first.
    pub asks: Vec<(Formula, Ask)>,
    /// What is asked where no rule matches.
    pub otherwise: Ask,
    /// The providers.
    pub issuers: Issuers,
}

/// What a requirement comes to.
struct Need {
    without: Without,
    providers: Vec<String>,
    besides: Vec<(String, Vec<String>)>,
}

/// Reads the filter's configuration.
pub fn filter(config: &Object<'_>, findings: &mut Findings) -> Jwt {
    let known = [
        "@type",
        "providers",
        "rules",
        "requirement_map",
        "filter_state_rules",
        "bypass_cors_preflight",
        "strip_failure_response",
        "stat_prefix",
    ];
    let mut issuers = Issuers::default();
    for (name, value) in config.object("providers").iter().flat_map(Object::members) {
        let at = config.at.key("providers").key(name);
        provider(name, &Object::new(value, at), &mut issuers, findings);
    }
    if config.flag("bypass_cors_preflight") {
        findings.stricter(
            &config.at.key("bypass_cors_preflight"),
            "a preflight is refused like any request without a token, until `responses.cors` is set",
        );
    }
    let mut map: BTreeMap<String, Object<'_>> = BTreeMap::new();
    for (name, value) in config.object("requirement_map").iter().flat_map(Object::members) {
        let at = config.at.key("requirement_map").key(name);
        map.insert(name.to_owned(), Object::new(value, at));
    }
    let mut otherwise = Ask::Nothing;
    for name in config
        .others(&known)
        .into_iter()
        .chain(config.get("filter_state_rules").map(|_| "filter_state_rules"))
    {
        findings.left_out(&config.at.key(name), "what no rule matches is refused");
        otherwise = Ask::Unsaid;
    }
    let mut asks = Vec::new();
    for rule in config.list("rules") {
        let matched =
            rule.object("match").map_or(Formula::unknown(), |matched| matches(&matched, findings));
        let requirement = match (rule.object("requires"), rule.text("requirement_name")) {
            (Some(requires), _) => Some(requires),
            (None, Some(name)) => map.get(&name).cloned().or_else(|| Some(rule.clone())),
            (None, None) => None,
        };
        let ask = match requirement {
            None => Ask::Nothing,
            Some(requires) if requires.members().next().is_none() => Ask::Nothing,
            Some(requires) => ask(&requires, &issuers, findings),
        };
        asks.push((matched, ask));
    }
    Jwt { asks, otherwise, issuers }
}

/// A `RouteMatch`.
fn matches(matched: &Object<'_>, findings: &mut Findings) -> Formula {
    let paths = ["prefix", "path", "path_separated_prefix", "safe_regex", "path_match_policy"];
    let known = paths.iter().chain(&["headers", "case_sensitive", "runtime_fraction"]);
    let known: Vec<&str> = known.copied().collect();
    let path = envoy::path(matched);
    if path == Formula::unknown() {
        findings.left_out(&matched.at, "the path cannot be said: what it may match is refused");
    }
    let mut parts = vec![path];
    for header in matched.list("headers") {
        parts.push(super::envoy_rbac::header(&header, findings));
    }
    let mut others = matched.others(&known);
    others.extend(matched.get("runtime_fraction").map(|_| "runtime_fraction"));
    for name in others {
        findings.left_out(
            &matched.at.key(name),
            "not known to the filter: what it may match is refused",
        );
        parts.push(Formula::unknown());
    }
    Formula::All(parts)
}

fn ask(requires: &Object<'_>, issuers: &Issuers, findings: &mut Findings) -> Ask {
    let need = match need(requires, issuers) {
        Ok(need) => need,
        Err(why) => {
            findings.left_out(&requires.at, format!("{why}: what the rule matches is refused"));
            return Ask::Unsaid;
        }
    };
    let mut names = Vec::new();
    for provider in &need.providers {
        match issuers.kept.iter().find(|issuer| issuer.provider == *provider) {
            Some(issuer) => names.push(issuer.name.clone()),
            None => findings.left_out(
                &requires.at,
                format!("the provider `{provider}` is left out: its tokens are refused"),
            ),
        }
    }
    if names.is_empty() {
        return Ask::Unsaid;
    }
    names.sort_unstable();
    names.dedup();
    for (provider, audiences) in &need.besides {
        let own = issuers.kept.iter().find(|issuer| issuer.provider == *provider);
        let known = |issuer: &Issuer| {
            issuer.audiences.is_empty()
                || audiences.iter().all(|one| issuer.audiences.contains(one))
        };
        if own.is_some_and(|issuer| !known(issuer)) {
            findings.stricter(&requires.at, "the provider's own audiences are asked for too");
        }
    }
    let several = names.len() > 1;
    let besides = Condition::all(need.besides.iter().filter_map(|(provider, audiences)| {
        let issuer = issuers.kept.iter().find(|issuer| issuer.provider == *provider)?;
        let texts: Vec<Text> = audiences.iter().cloned().map(Text::Exact).collect();
        let holds = |formula: Formula| match formula {
            Formula::Leaf { holds, .. } => holds,
            _ => Condition::Never,
        };
        let holds_audience = holds(leaf::claim("aud", leaf::Kind::Either, &texts));
        if !several {
            return Some(holds_audience);
        }
        let own = holds(leaf::issuer(std::slice::from_ref(&issuer.name)));
        Some(Condition::any([Condition::not(own), holds_audience]))
    }));
    let mut without = need.without;
    if without != Without::Refused && besides != Condition::Always {
        findings.stricter(&requires.at, "audiences beside `allow_missing`: a token is required");
        without = Without::Refused;
    }
    Ask::Token { without, issuers: names, besides }
}

/// What a `JwtRequirement` comes to.
fn need(requires: &Object<'_>, issuers: &Issuers) -> Result<Need, String> {
    let one = |provider: String| Need {
        without: Without::Refused,
        providers: vec![provider],
        besides: Vec::new(),
    };
    let every = |without| Need {
        without,
        providers: issuers.kept.iter().map(|issuer| issuer.provider.clone()).collect(),
        besides: Vec::new(),
    };
    if let Some(name) = requires.text("provider_name") {
        return Ok(one(name));
    }
    if let Some(both) = requires.object("provider_and_audiences") {
        let name = both.text("provider_name").unwrap_or_default();
        let audiences = both.texts("audiences");
        let mut need = one(name.clone());
        if !audiences.is_empty() {
            need.besides.push((name, audiences));
        }
        return Ok(need);
    }
    if requires.get("allow_missing").is_some() {
        return Ok(every(Without::Anonymous));
    }
    if requires.get("allow_missing_or_failed").is_some() {
        return Ok(every(Without::Lenient));
    }
    let lenience = |need: &Need| match need.without {
        Without::Refused => 0,
        Without::Anonymous => 1,
        Without::Lenient => 2,
    };
    if let Some(any) = requires.object("requires_any") {
        let parts = any.list("requirements");
        let needs = parts.iter().map(|part| Ok((part, need(part, issuers)?)));
        let needs: Vec<(&Object<'_>, Need)> = needs.collect::<Result<_, String>>()?;
        let without = needs.iter().map(|(_, need)| need).max_by_key(|need| lenience(need));
        let without = without.ok_or("nothing is required of any")?.without;
        // `allow_missing` names no provider, and asks for none beside those that are named.
        let named = |part: &Object<'_>| {
            part.get("allow_missing").is_none() && part.get("allow_missing_or_failed").is_none()
        };
        let some_named = needs.iter().any(|(part, _)| named(part));
        let mut sum = Need { without, providers: Vec::new(), besides: Vec::new() };
        for (_, need) in needs.into_iter().filter(|(part, _)| named(part) || !some_named) {
            sum.providers.extend(need.providers);
            sum.besides.extend(need.besides);
        }
        return Ok(sum);
    }
    if let Some(all) = requires.object("requires_all") {
        let parts = all.list("requirements");
        return match parts.as_slice() {
            [one] => need(one, issuers),
            _ => Err("several tokens in one request".to_owned()),
        };
    }
    Err("the requirement is not known".to_owned())
}

fn provider(name: &str, config: &Object<'_>, issuers: &mut Issuers, findings: &mut Findings) {
    let mut carried = Vec::new();
    for header in config.list("from_headers") {
        let header_name = header.text("name").unwrap_or_default().to_ascii_lowercase();
        carried.push(Carried::Header(header_name, header.text("value_prefix").unwrap_or_default()));
    }
    carried.extend(config.texts("from_params").into_iter().map(Carried::Query));
    carried.extend(config.texts("from_cookies").into_iter().map(Carried::Cookie));
    if carried.is_empty() {
        carried = issuers::usual_places();
    }
    match read_provider(name, config, carried.clone(), findings) {
        Ok(issuer) => issuers.add(issuer, findings),
        Err(why) => {
            findings.left_out(&config.at, format!("{why}: its tokens are refused"));
            issuers.leave_out(carried);
        }
    }
}

fn read_provider(
    name: &str,
    config: &Object<'_>,
    carried: Vec<Carried>,
    findings: &mut Findings,
) -> Result<Issuer, String> {
    let known = [
        "issuer",
        "audiences",
        "remote_jwks",
        "local_jwks",
        "forward",
        "from_headers",
        "from_params",
        "from_cookies",
        "forward_payload_header",
        "pad_forward_payload_header",
        "payload_in_metadata",
        "header_in_metadata",
        "failed_status_in_metadata",
        "clock_skew_seconds",
        "jwt_cache_config",
        "claim_to_headers",
        "clear_route_cache",
        "require_expiration",
        "max_lifetime",
        "normalize_payload_in_metadata",
    ];
    if let Some(other) = config.others(&known).first() {
        return Err(format!("`{other}` is not known"));
    }
    let iss = config.text("issuer").filter(|iss| !iss.is_empty());
    let iss = iss.ok_or("without `issuer` it takes tokens of every one")?;
    let mut claim_headers = Vec::new();
    for pair in config.list("claim_to_headers") {
        let header = pair.text("header_name").unwrap_or_default().to_ascii_lowercase();
        let claim = pair.text("claim_name").unwrap_or_default();
        let keys: Vec<String> = claim.split('.').map(str::to_owned).collect();
        let path = leaf::claim_name(&keys).ok_or_else(|| format!("no claim `{claim}`"));
        match path.and_then(|path| issuers::check_header(&header, &path).map(|()| path)) {
            Ok(path) => claim_headers.push((header, path)),
            Err(why) => findings.left_out(&pair.at, why),
        }
    }
    if config.flag("pad_forward_payload_header") {
        findings
            .left_out(&config.at.key("pad_forward_payload_header"), "base64url without padding");
    }
    for name in ["header_in_metadata", "failed_status_in_metadata"] {
        if config.get(name).is_some() {
            findings.left_out(&config.at.key(name), "the filter writes no such metadata");
        }
    }
    let normal = config.object("normalize_payload_in_metadata");
    let skew = config.text("clock_skew_seconds").and_then(|text| text.parse().ok());
    let lifetime = config.get("max_lifetime").and_then(seconds).map(|time| time.floor() as u64);
    Ok(Issuer {
        provider: name.to_owned(),
        name: String::new(),
        iss,
        audiences: config.texts("audiences"),
        keys: keys(config)?,
        carried,
        forward: config.flag("forward"),
        clock_skew: skew.unwrap_or(60),
        max_lifetime: lifetime,
        payload_header: config.text("forward_payload_header").map(|name| name.to_ascii_lowercase()),
        claim_headers,
        metadata: config.text("payload_in_metadata"),
        words: normal.map(|normal| normal.texts("space_delimited_claims")).unwrap_or_default(),
        at: config.at.clone(),
    })
}

#[allow(clippy::disallowed_methods, reason = "the command line reads files and its environment")]
fn keys(config: &Object<'_>) -> Result<Node, String> {
    if let Some(local) = config.object("local_jwks") {
        if let Some(text) = local.text("inline_string") {
            return istio::inline_keys(&text);
        }
        if let Some(text) = local.text("inline_bytes") {
            use base64::Engine as _;
            let bytes = base64::engine::general_purpose::STANDARD.decode(text.trim());
            let bytes = bytes.map_err(|_| "`inline_bytes` is not base64")?;
            return istio::inline_keys(&String::from_utf8_lossy(&bytes));
        }
        let name = local.text("filename").ok_or("a key set that is in no file")?;
        let beside = std::path::Path::new(local.at.file()).with_file_name(&name);
        let text = std::fs::read_to_string(&beside)
            .map_err(|error| format!("`{}`: {error}", beside.display()))?;
        return istio::inline_keys(&text);
    }
    let remote = config.object("remote_jwks").ok_or("without keys")?;
    let uri = remote.object("http_uri").ok_or("`remote_jwks` without `http_uri`")?;
    let url = uri.text("uri").ok_or("`http_uri` without `uri`")?;
    let cluster = uri.text("cluster").ok_or("`http_uri` without `cluster`")?;
    let bounded = |value: Option<&serde_json::Value>, least: f64, most: f64| {
        let time = value.and_then(seconds).map(|time| time.ceil().clamp(least, most));
        time.map(|time| format!("{time}s"))
    };
    let timeout = bounded(uri.get("timeout"), 1.0, 30.0);
    let refresh = bounded(remote.get("cache_duration"), 1.0, 86_400.0);
    Ok(istio::remote(&cluster, &url, timeout.as_deref(), refresh.as_deref()))
}
