//! Which route a request takes, and whether its conditions hold.

pub mod condition;
pub mod host;
pub mod operator;
pub mod path;
pub mod pattern;
pub mod reading;
pub mod recent;
pub mod route;
pub mod router;
pub mod template;

/// The place of a route in the configuration's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteId(pub usize);
