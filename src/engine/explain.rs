//! Why a request was decided as it was: the routes that could have taken it, and what each part of the
//! condition saw. For people; requests are decided without it.

use super::{Engine, Outcome};
use crate::policy::contest::{self, Contender};
use crate::policy::path::SafePath;
use crate::policy::trace::Trace;
use crate::request::Request;

/// See the module.
#[derive(Debug)]
pub struct Explanation<'a> {
    /// The routes whose host and path match, those that decide first; none where host or path are
    /// refused before any route is looked at.
    pub contenders: Vec<Contender<'a>>,
    /// What each part of the route's condition says; `None` where it has none, or there is no route.
    pub condition: Option<Trace>,
}

impl Engine {
    /// Explains an outcome of [`Engine::decide`] for this request.
    pub fn explain<'a>(&'a self, request: &Request<'a>, outcome: &Outcome<'a>) -> Explanation<'a> {
        let host = outcome.host.as_deref();
        let path = SafePath::check(request.first(":path"), self.fold_case).ok();
        let method = request.first(":method").unwrap_or_default();
        let method = std::str::from_utf8(method).unwrap_or_default();
        let method = outcome.preflight.as_ref().map_or(method, |preflight| preflight.method());
        let (Some(host), Some(path)) = (host, path) else {
            return Explanation { contenders: Vec::new(), condition: None };
        };
        let contenders = contest::contenders(&self.routes, host, path.plain(), method);
        let route = outcome.route.and_then(|id| self.routes.get(id.0));
        let condition = route.and_then(|route| {
            let context = self.context(request, route, host, method, path.plain(), outcome);
            route.require.as_ref().map(|condition| condition.trace(&context))
        });
        Explanation { contenders, condition }
    }
}
