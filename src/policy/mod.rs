//! Which route a request takes, and whether its conditions hold.

pub mod condition;
pub mod contest;
pub mod host;
pub mod operator;
pub mod path;
pub mod pattern;
pub mod reach;
pub mod reading;
pub mod recent;
pub mod route;
pub mod router;
#[cfg(test)]
mod samples;
pub mod table;
pub mod template;
pub mod tie;
pub mod trace;
pub mod tree;

/// The place of a route in the configuration's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteId(pub usize);
