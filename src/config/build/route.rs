//! Routes: hosts, paths, methods, and what they ask.

use super::audit::share;
use super::{Builder, check_name, check_not_empty, list, mode};
use crate::config::error::{ConfigError, Place};
use crate::config::raw;
use crate::policy::condition::{Condition, Part};
use crate::policy::host::HostPattern;
use crate::policy::path::Hazards;
use crate::policy::pattern::PathPattern;
use crate::policy::reach::Shadow;
use crate::policy::route::{Methods, Route, RouteShares, TokenMode};
use crate::policy::table::Table;
use crate::policy::{RouteId, tie, tree};
use crate::token::extract::{Carrier, MAX_CARRIERS};
use crate::token::{Issuer, IssuerId};
use hashbrown::HashMap;

impl Builder<'_> {
    pub(super) fn routes(
        &mut self,
        raws: &[raw::Route],
        defaults: &raw::Defaults,
        issuers: &[Issuer],
        above: &Place,
        top: &Place,
    ) -> Result<Vec<Route>, ConfigError> {
        let place = above.key("routes");
        if raws.is_empty() {
            self.warnings.push(place.warning("no route, so that every request is refused"));
        }
        let mut names: HashMap<&str, usize> = HashMap::new();
        let mut routes = Vec::with_capacity(raws.len());
        for (index, raw) in raws.iter().enumerate() {
            let place = place.index(index);
            let route = self.route(raw, defaults, issuers, &place, top)?;
            let name = raw.name.as_deref().unwrap_or_default();
            if let Some(other) = names.insert(name, index) {
                let other = above.key("routes").index(other);
                return Err(place
                    .key("name")
                    .error(format!("`{name}` is the name of `{other}` too: names are unique")));
            }
            routes.push(route);
        }
        if let Some((one, other)) = tie::find_tie(&routes) {
            let name = |id: RouteId| {
                routes.get(id.0).map(|route| route.name.to_string()).unwrap_or_default()
            };
            return Err(place.index(other.0).error(format!(
                "routes `{}` and `{}` tie: they match the same requests equally well; make a \
                 path, host or method differ",
                name(one),
                name(other)
            )));
        }
        Ok(routes)
    }

    /// Warns of routes that no request ever takes.
    pub(super) fn warn_of_unreachable(&mut self, table: &Table, above: &Place) {
        let name = |id: &RouteId| table.get(id.0).map_or("", |route| &route.name);
        for (id, shadow) in table.unreachable() {
            let place = above.key("routes").index(id.0);
            let why = match &shadow {
                Shadow::Denied(by) => {
                    format!("deny route `{}` refuses all that it matches", name(by))
                }
                Shadow::Owned(by) => {
                    let mut by: Vec<&str> = by.iter().map(name).collect();
                    by.sort_unstable();
                    by.dedup();
                    format!("all that it matches is owned by {}", list(by.into_iter()))
                }
            };
            self.warnings.push(place.warning(format!("`{}` can never win: {why}", name(&id))));
        }
    }

    fn route(
        &mut self,
        raw: &raw::Route,
        defaults: &raw::Defaults,
        issuers: &[Issuer],
        place: &Place,
        top: &Place,
    ) -> Result<Route, ConfigError> {
        let Some(name) = &raw.name else {
            return Err(place.error("`name` is missing: it appears in audit, metrics and details"));
        };
        check_name(name, &place.key("name"))?;
        let mut paths = self.paths(raw, place)?;
        paths.sort_by_cached_key(|path| std::cmp::Reverse(tree::rank(path)));
        let hosts = hosts(raw.hosts.as_deref(), &place.key("hosts"))?;
        let token = match raw.token {
            None | Some(raw::Token::Required) => TokenMode::Required,
            Some(raw::Token::Optional) => TokenMode::Optional,
            Some(raw::Token::Lenient) => TokenMode::Lenient,
            Some(raw::Token::None) => TokenMode::None,
        };
        if raw.path_safety.case.is_some() {
            return Err(place
                .key("path_safety")
                .key("case")
                .error("goes with the top-level `path_safety` only: all routes share one index"));
        }
        if raw.path_safety.final_slash.is_some() {
            return Err(place
                .key("path_safety")
                .key("final_slash")
                .error("goes with the top-level `path_safety` only: it says what a pattern owns"));
        }
        let methods = match (&raw.methods, raw.deny) {
            (Some(own), _) => methods(Some(own), &place.key("methods"))?,
            // A deny route that names no method closes all of them.
            (None, true) => Methods::Every,
            (None, false) => {
                methods(defaults.methods.as_deref(), &top.key("defaults").key("methods"))?
            }
        };
        let (carriers, require) = if raw.deny {
            check_deny(raw, place)?;
            (Vec::new(), None)
        } else {
            let accepted = self.accepted(raw, token, defaults, place, top)?;
            let require = raw
                .require
                .as_ref()
                .map(|require| self.condition(require, &place.key("require")))
                .transpose()?;
            if let Some(require) = &require {
                check_reads(require, token, &paths, &hosts, &place.key("require"))?;
            }
            (carriers(&accepted, issuers, place)?, require)
        };
        let token_char = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
        let protocol = |name: &String| !name.is_empty() && name.bytes().all(token_char);
        if let Some(index) = raw.upgrade.iter().position(|name| !protocol(name)) {
            let place = place.key("upgrade").index(index);
            return Err(place.error("not the name of a protocol: write `websocket`"));
        }
        Ok(Route {
            name: name.as_str().into(),
            hosts,
            paths,
            methods,
            deny: raw.deny,
            token: if raw.deny { TokenMode::None } else { token },
            carriers,
            by_token_alone: require.as_ref().is_some_and(Condition::reads_token_alone),
            require,
            upgrade: raw.upgrade.iter().map(|name| name.to_ascii_lowercase().into()).collect(),
            relaxed: self.relaxed.union(hazards(&raw.path_safety)),
            mode: mode(raw.mode),
            audit: RouteShares {
                allowed: share(raw.audit.allowed.as_ref(), &place.key("audit").key("allowed"))?,
                denied: share(raw.audit.denied.as_ref(), &place.key("audit").key("denied"))?,
            },
        })
    }

    fn paths(&self, raw: &raw::Route, place: &Place) -> Result<Vec<PathPattern>, ConfigError> {
        let Some(paths) = &raw.paths else {
            return Err(place.error("`paths` is missing: `[\"/**\"]` is every path"));
        };
        let place = place.key("paths");
        check_not_empty(paths, &place)?;
        let pattern = |(index, text): (usize, &String)| {
            PathPattern::parse(text, self.fold_case)
                .map_err(|reason| place.index(index).error(format!("`{text}`: {reason}")))
        };
        paths.iter().enumerate().map(pattern).collect()
    }

    /// The issuers whose tokens a route takes.
    fn accepted(
        &self,
        raw: &raw::Route,
        token: TokenMode,
        defaults: &raw::Defaults,
        place: &Place,
        top: &Place,
    ) -> Result<Vec<IssuerId>, ConfigError> {
        if token == TokenMode::None {
            return match &raw.issuers {
                Some(_) => Err(place.key("issuers").error("contradicts `token: none`")),
                None => Ok(Vec::new()),
            };
        }
        let named = raw.issuers.as_ref().map(|names| (names, place.key("issuers")));
        let default = defaults.issuers.as_ref();
        let default = default.map(|names| (names, top.key("defaults").key("issuers")));
        match named.or(default) {
            Some((names, place)) => {
                check_not_empty(names, &place)?;
                self.issuer_ids(names, &place)
            }
            None => match self.names.len() {
                0 => Err(place.error(
                    "the route asks for a token, but there are no `issuers`: name one, or say \
                     `token: none`",
                )),
                1 => Ok(vec![IssuerId(0)]),
                _ => Err(place.error(
                    "`issuers` is missing: with more than one issuer a route, or `defaults`, says \
                     whose tokens it takes",
                )),
            },
        }
    }
}

pub(super) fn hazards(raw: &raw::PathSafety) -> Hazards {
    let allowed = |relaxation| relaxation == Some(raw::Relaxation::Allow);
    Hazards {
        encoded_slash: allowed(raw.encoded_slash),
        parameters: allowed(raw.parameters),
        empty_segment: allowed(raw.empty_segment),
    }
}

fn hosts(raw: Option<&[String]>, place: &Place) -> Result<Vec<HostPattern>, ConfigError> {
    let Some(raw) = raw else {
        return Ok(Vec::new());
    };
    check_not_empty(raw, place)?;
    let pattern = |(index, text): (usize, &String)| {
        HostPattern::parse(text)
            .map_err(|reason| place.index(index).error(format!("`{text}`: {reason}")))
    };
    raw.iter().enumerate().map(pattern).collect()
}

fn methods(raw: Option<&[String]>, place: &Place) -> Result<Methods, ConfigError> {
    let Some(raw) = raw else {
        return Ok(Methods::Every);
    };
    check_not_empty(raw, place)?;
    // RFC 9110 section 9.1: a token, compared with case.
    let plain = |name: &String| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_uppercase() || b == b'-')
    };
    if let Some(index) = raw.iter().position(|name| !plain(name)) {
        return Err(place.index(index).error("a method is written in upper case, as `GET`"));
    }
    Ok(Methods::Listed(raw.iter().map(|name| name.as_str().into()).collect()))
}

/// What a deny route asks would never be asked.
fn check_deny(raw: &raw::Route, place: &Place) -> Result<(), ConfigError> {
    let idle = [
        ("token", raw.token.is_some()),
        ("issuers", raw.issuers.is_some()),
        ("require", raw.require.is_some()),
        ("upgrade", !raw.upgrade.is_empty()),
        ("mode", raw.mode.is_some()),
    ];
    match idle.iter().find(|(_, present)| *present) {
        Some((name, _)) => Err(place.key(name).error("contradicts `deny: true`")),
        None => Ok(()),
    }
}

/// A condition must not read what its route never has.
fn check_reads(
    require: &Condition,
    token: TokenMode,
    paths: &[PathPattern],
    hosts: &[HostPattern],
    place: &Place,
) -> Result<(), ConfigError> {
    let mut wrong = None;
    require.visit(&mut |part| {
        let reason = match part {
            Part::Token if token == TokenMode::None => {
                Some("reads claims, which a route with `token: none` never has".to_owned())
            }
            Part::PathCapture(name) => {
                let without = paths.iter().find(|path| !path.names().any(|own| own == name));
                without.map(|path| {
                    format!("reads the path capture `{name}`, which pattern `{path}` does not have")
                })
            }
            Part::HostCapture(name) => {
                let has = |host: &&HostPattern| {
                    matches!(host, HostPattern::Capture { name: own, .. } if **own == *name)
                };
                (hosts.is_empty() || !hosts.iter().all(|host| has(&host))).then(|| {
                    format!("reads the host capture `{name}`, which not every host of the route has")
                })
            }
            Part::Token | Part::Scope(_) | Part::Request => None,
        };
        wrong = wrong.take().or(reason);
    });
    match wrong {
        Some(reason) => Err(place.error(reason)),
        None => Ok(()),
    }
}

/// The places where the tokens of these issuers are carried, each once.
fn carriers(
    accepted: &[IssuerId],
    issuers: &[Issuer],
    place: &Place,
) -> Result<Vec<Carrier>, ConfigError> {
    let mut carriers: Vec<Carrier> = Vec::new();
    for id in accepted {
        for source in issuers.get(id.0).map(|issuer| issuer.sources.as_slice()).unwrap_or_default()
        {
            match carriers.iter_mut().find(|carrier| carrier.source == *source) {
                Some(carrier) if carrier.issuers.contains(id) => {}
                Some(carrier) => carrier.issuers.push(*id),
                None => {
                    carriers.push(Carrier { source: source.clone(), issuers: vec![*id] });
                }
            }
        }
    }
    if carriers.len() > MAX_CARRIERS {
        return Err(place.error(format!(
            "its issuers carry tokens in {} places, at most {MAX_CARRIERS} can be looked at",
            carriers.len()
        )));
    }
    Ok(carriers)
}
