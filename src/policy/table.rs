//! A list of routes with its indexes: a policy, live or on trial.

use super::RouteId;
use super::reach::{self, Shadow};
use super::recent::Recent;
use super::route::Route;
use super::router::Router;
use std::fmt;

/// See the module. It is the list of its routes, and the place of each there is its id.
pub struct Table {
    routes: Vec<Route>,
    /// The index of the routes that are not `deny`.
    pub open: Router,
    /// The index of the routes that are `deny`.
    pub denials: Router,
    /// The requests that were routed before.
    pub recent: Recent,
    /// What tells its routes from those of another table in what is kept with a token.
    offset: usize,
}

impl Table {
    /// Builds the indexes; `offset` is how many routes other tables of the same policy have.
    pub fn new(routes: Vec<Route>, offset: usize) -> Self {
        Self {
            open: Router::new(&routes, false),
            denials: Router::new(&routes, true),
            recent: Recent::default(),
            routes,
            offset,
        }
    }

    /// The number under which a token keeps what a route's condition says of it.
    pub fn note(&self, id: RouteId) -> usize {
        self.offset + id.0
    }

    /// The routes that no request ever takes.
    pub fn unreachable(&self) -> Vec<(RouteId, Shadow)> {
        reach::unreachable(&self.routes, &self.open, &self.denials)
    }
}

impl std::ops::Deref for Table {
    type Target = [Route];

    fn deref(&self) -> &[Route] {
        &self.routes
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.routes.fmt(f)
    }
}
