//! Routes for the tests of this folder.

use super::host::HostPattern;
use super::path::Hazards;
use super::pattern::PathPattern;
use super::route::{Methods, Mode, Route, RouteShares, TokenMode};
use super::tree;

/// A route that asks for nothing; no method is every one.
pub fn route(name: &str, hosts: &[&str], paths: &[&str], methods: &[&str]) -> Route {
    let mut paths: Vec<PathPattern> =
        paths.iter().map(|path| PathPattern::parse(path, false).unwrap()).collect();
    paths.sort_by_cached_key(|path| std::cmp::Reverse(tree::rank(path)));
    Route {
        name: name.into(),
        hosts: hosts.iter().map(|host| HostPattern::parse(host).unwrap()).collect(),
        paths,
        methods: if methods.is_empty() {
            Methods::Every
        } else {
            Methods::Listed(methods.iter().map(|&method| method.into()).collect())
        },
        deny: false,
        token: TokenMode::None,
        carriers: Vec::new(),
        require: None,
        by_token_alone: false,
        upgrade: Vec::new(),
        relaxed: Hazards::default(),
        mode: Mode::Enforce,
        audit: RouteShares::default(),
    }
}
