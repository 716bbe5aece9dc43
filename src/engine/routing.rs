//! Which route owns a request.

use super::{Engine, Outcome};
use crate::policy::RouteId;
use crate::policy::host;
use crate::policy::path::SafePath;
use crate::policy::recent::Line;
use crate::policy::route::Route;
use crate::policy::router::Match;
use crate::policy::table::Table;
use crate::request::{Request, split_query};
use crate::response::{Code, Refusal};
use std::borrow::Cow;

impl Engine {
    /// Finds the route that owns a request, under every reading of its path.
    pub(super) fn route<'e, 'r>(
        &self,
        table: &'e Table,
        request: &Request<'r>,
        host: &str,
        method: &str,
        found: &mut Option<RouteId>,
    ) -> Result<(&'e Route, SafePath<'r>), Refusal> {
        let ambiguous = |reason| Refusal::new(Code::PathAmbiguous, reason);
        let safe = SafePath::check(request.first(":path"), self.fold_case).map_err(ambiguous)?;
        for path in safe.readings() {
            let denied = table.denials.find_any(table, host, path, method);
            if let Some(id) = denied {
                *found = Some(id);
                return Err(Refusal::new(Code::RouteDenied, "a deny route matches"));
            }
        }
        let find = |path| table.open.find(table, host, path, method);
        let first = find(safe.plain());
        if safe.others().iter().any(|path| find(path) != first) {
            return Err(ambiguous("path whose readings take different routes"));
        }
        let id = match first {
            Match::Route(id) => id,
            Match::Ambiguous => {
                return Err(ambiguous("path that a more specific pattern all but matches"));
            }
            _ if safe.hazards() != Default::default() => {
                return Err(ambiguous("path with `%2f`, `;` or `//` that no route relaxes"));
            }
            Match::None => return Err(Refusal::new(Code::NoRoute, "no route matches")),
            Match::Method(allow) => {
                return Err(Refusal {
                    allow: Some(allow.join(", ")),
                    ..Refusal::new(Code::MethodNotAllowed, "the route does not take the method")
                });
            }
        };
        let lost =
            || Refusal::new(Code::InternalError, "the index names a route that is not there");
        let route = table.get(id.0).ok_or_else(lost)?;
        *found = Some(id);
        if !self.final_slash && has_final_slash(request) && !route.owns_beneath(safe.plain()) {
            return Err(ambiguous("path with a final slash that its pattern does not have"));
        }
        if !safe.hazards().within(route.relaxed) {
            return Err(ambiguous("path with `%2f`, `;` or `//` that its route does not relax"));
        }
        if !safe.others().is_empty() {
            let captures = route.path_captures(safe.plain());
            if safe.others().iter().any(|path| route.path_captures(path) != captures) {
                return Err(ambiguous("path whose readings capture different values"));
            }
        }
        Ok((route, safe))
    }
}

/// The safe host of a request.
pub(super) fn normal_host<'r>(request: &Request<'r>) -> Result<Cow<'r, str>, Refusal> {
    host::normalise(request.first(":authority"))
        .map_err(|reason| Refusal::new(Code::HostAmbiguous, reason))
}

/// The route of a request that was routed before.
pub(super) fn known_route<'a>(
    table: &'a Table,
    line: &Line<'a>,
    outcome: &mut Outcome<'a>,
) -> Option<&'a Route> {
    let (host, id) = table.recent.find(line)?;
    let route = table.get(id.0)?;
    outcome.host = Some(Cow::Borrowed(host));
    outcome.route = Some(id);
    Some(route)
}

/// Whether the path is longer than its root and ends with a slash.
fn has_final_slash(request: &Request<'_>) -> bool {
    let (path, _) = split_query(request.first(":path").unwrap_or_default());
    path.len() > 1 && path.ends_with(b"/")
}
