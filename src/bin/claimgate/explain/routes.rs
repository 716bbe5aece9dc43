//! The request as policy sees it, and what became of each route that could have taken it.

use crate::testing::run::target;
use claimgate::audit::without_tokens;
use claimgate::engine::{Engine, Outcome};
use claimgate::policy::contest::Standing;
use claimgate::policy::host;
use claimgate::policy::path::{SafePath, Segments};
use claimgate::request::Request;
use serde::Serialize;

/// The request.
#[derive(Serialize)]
pub struct Asked {
    pub method: String,
    /// As it was sent, tokens cut out.
    pub authority: String,
    pub target: String,
    /// The safe host, or what is wrong with it.
    pub host: Read<String>,
    /// The decoded segments, or what is wrong with the path.
    pub path: Read<Vec<String>>,
    /// What another server may read instead, where a relaxation lets that be.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub other_readings: Vec<Vec<String>>,
}

/// Something that was read, or why it was not.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Read<T> {
    Safe(T),
    Refused(&'static str),
}

/// A route whose host and path match.
#[derive(Serialize)]
pub struct Contender {
    pub route: String,
    pub place: String,
    /// Its pattern that matches.
    pub path: String,
    /// The host that it names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Whether it is the one that decides.
    pub decides: bool,
    pub why: &'static str,
}

impl Asked {
    pub fn of(engine: &Engine, request: &Request<'_>, outcome: &Outcome<'_>) -> Self {
        let sent = |name| {
            let text = String::from_utf8_lossy(request.first(name).unwrap_or_default());
            without_tokens(&text).into_owned()
        };
        // What stands before an `@` may be a password.
        let authority = sent(":authority");
        let named = authority.rsplit_once('@').map(|(_, host)| format!("[user info]@{host}"));
        let segments = |path: &Segments<'_>| -> Vec<String> {
            path.iter().map(|segment| without_tokens(segment).into_owned()).collect()
        };
        let safe = SafePath::check(request.first(":path"), engine.fold_case);
        let others = safe.as_ref().map(SafePath::others).unwrap_or_default();
        let other_readings = others.iter().map(segments).collect();
        Self {
            method: sent(":method"),
            authority: named.unwrap_or(authority),
            target: target(engine, request),
            host: match (&outcome.host, host::normalise(request.first(":authority"))) {
                (Some(host), _) => Read::Safe(host.to_string()),
                (None, Ok(host)) => Read::Safe(host.into_owned()),
                (None, Err(reason)) => Read::Refused(reason),
            },
            path: match &safe {
                Ok(safe) => Read::Safe(segments(safe.plain())),
                Err(reason) => Read::Refused(reason),
            },
            other_readings,
        }
    }
}

/// All that match, those that decide first.
pub fn contenders(engine: &Engine, request: &Request<'_>, outcome: &Outcome<'_>) -> Vec<Contender> {
    let explained = engine.explain(request, outcome);
    let owned = explained.contenders.iter().any(|one| one.standing == Standing::Owns);
    let contenders = explained.contenders.iter().map(|one| {
        let takes = outcome.route == Some(one.route);
        let (decides, why) = match one.standing {
            Standing::OtherMethod if owned => {
                (false, "loses: of the same path, and does not take the method")
            }
            other => standing(other, takes),
        };
        let route = engine.routes.get(one.route.0);
        Contender {
            route: route.map(|route| route.name.to_string()).unwrap_or_default(),
            place: format!("routes[{}]", one.route.0),
            path: one.path.to_string(),
            host: one.host.map(ToString::to_string),
            decides,
            why,
        }
    });
    contenders.collect()
}

/// Whether a standing decides, and why in a sentence.
fn standing(standing: Standing, takes: bool) -> (bool, &'static str) {
    match standing {
        Standing::Denies => (true, "denies: a deny route wins over every other"),
        Standing::Owns if takes => (true, "takes the request"),
        Standing::Owns => (false, "would take the request, if it were not refused before"),
        Standing::Unlisted => (false, "loses: another route of the same path lists the method"),
        Standing::OtherMethod => {
            (true, "owns the path, and does not take the method; no broader route is asked")
        }
        Standing::AllBut => {
            (true, "would match if its stars took any text: the path is refused as ambiguous")
        }
        Standing::Unnamed => (false, "loses: a route that names the host has as specific a path"),
        Standing::BroaderPath => (false, "loses: the path of another route is more specific"),
        Standing::BroaderHost => (false, "loses: another route names the host more specifically"),
    }
}
