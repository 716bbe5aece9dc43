//! What of a policy the cases have tried: which routes, both ways, and which leaves of their conditions, both ways.

use super::policy::Policy;
use super::run::Decided;
use super::tree::{self, Node};
use claimgate::audit::Verdict;
use claimgate::policy::route::{Route, TokenMode};
use serde::Serialize;
use std::fmt::Write as _;

/// What the cases of one configuration have tried so far.
pub struct Tried<'p> {
    policy: &'p Policy,
    routes: Vec<OfRoute>,
}

#[derive(Default)]
struct OfRoute {
    touched: bool,
    allowed: bool,
    refused: bool,
    /// In the order in which they are written.
    leaves: Vec<OfLeaf>,
}

struct OfLeaf {
    place: String,
    says: String,
    held: bool,
    /// It failed, or could not be told.
    did_not_hold: bool,
}

/// The document.
#[derive(Serialize)]
pub struct Coverage {
    pub configuration: String,
    pub covered: usize,
    pub points: usize,
    /// Whole, rounded down.
    pub percent: usize,
    pub gaps: Vec<Gap>,
}

/// Something that no case has tried.
#[derive(Debug, PartialEq, Serialize)]
pub struct Gap {
    /// Of the route, or of the leaf.
    pub place: String,
    pub route: String,
    /// The leaf as it is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leaf: Option<String>,
    /// What never happened.
    pub missing: &'static str,
}

impl<'p> Tried<'p> {
    /// Nothing yet.
    pub fn new(policy: &'p Policy) -> Self {
        let leaves = |index| {
            let mut leaves = Vec::new();
            let tree = tree::of_route(&policy.made_up, &policy.raw, index, None);
            visit(tree.as_ref(), &mut |leaf| {
                let (place, says) = (leaf.place.clone(), leaf.says.clone());
                leaves.push(OfLeaf { place, says, held: false, did_not_hold: false });
            });
            leaves
        };
        let routes = 0..policy.made_up.routes.len();
        let routes = routes.map(|index| OfRoute { leaves: leaves(index), ..OfRoute::default() });
        Self { policy, routes: routes.collect() }
    }

    /// Counts a decision.
    pub fn count(&mut self, decided: &Decided) {
        let Some(route) = decided.route_index.and_then(|index| self.routes.get_mut(index)) else {
            return;
        };
        route.touched = true;
        match decided.decision {
            // A preflight asks for nothing yet.
            Verdict::Allowed if decided.response.is_some() => {}
            Verdict::Allowed => route.allowed = true,
            Verdict::Denied | Verdict::ShadowDenied => route.refused = true,
        }
        let mut leaves = route.leaves.iter_mut();
        visit(decided.condition.as_ref(), &mut |leaf| {
            let known = leaves.next();
            if let (Some(known), Some(truth)) = (known, leaf.truth) {
                known.held |= truth == tree::HOLDS;
                known.did_not_hold |= truth != tree::HOLDS;
            }
        });
    }

    /// What was tried, and what was not.
    pub fn sum(&self) -> Coverage {
        let (mut covered, mut points, mut gaps) = (0, 0, Vec::new());
        for (index, (route, tried)) in
            self.policy.made_up.routes.iter().zip(&self.routes).enumerate()
        {
            let mut point = |is_covered: bool| {
                points += 1;
                covered += usize::from(is_covered);
            };
            let mut gap = |place: &str, leaf: Option<&str>, missing| {
                let (place, route) = (place.to_owned(), route.name.to_string());
                gaps.push(Gap { place, route, leaf: leaf.map(str::to_owned), missing });
            };
            let place = format!("routes[{index}]");
            if decides(route) {
                point(tried.allowed);
                point(tried.refused);
            } else {
                point(tried.touched);
            }
            if !tried.touched {
                gap(&place, None, "never asked for");
            } else if decides(route) {
                for (tried, missing) in
                    [(tried.allowed, "never allowed"), (tried.refused, "never refused")]
                {
                    if !tried {
                        gap(&place, None, missing);
                    }
                }
            }
            for leaf in &tried.leaves {
                point(leaf.held);
                point(leaf.did_not_hold);
                let missing = match (leaf.held, leaf.did_not_hold) {
                    (true, true) => continue,
                    // The route's own gap says so.
                    (false, false) if !tried.touched => continue,
                    (false, false) => "never looked at",
                    (true, false) => "always holds",
                    (false, true) => "never holds",
                };
                gap(&leaf.place, Some(&leaf.says), missing);
            }
        }
        let percent = (covered * 100).checked_div(points).unwrap_or(100);
        Coverage { configuration: self.policy.title(), covered, points, percent, gaps }
    }
}

/// Whether a route both allows and refuses: a deny route never allows, and one that asks for nothing never
/// refuses.
fn decides(route: &Route) -> bool {
    let asks = match route.token {
        TokenMode::Required | TokenMode::Optional => true,
        TokenMode::Lenient | TokenMode::None => route.require.is_some(),
    };
    asks && !route.deny
}

fn visit<'n>(tree: Option<&'n Node>, visitor: &mut dyn FnMut(&'n Node)) {
    if let Some(tree) = tree {
        tree.leaves(visitor);
    }
}

impl Coverage {
    /// For people.
    pub fn text(&self) -> String {
        let Self { configuration, covered, points, percent, gaps } = self;
        let mut text =
            format!("coverage of {configuration}: {percent} % ({covered} of {points} points)\n");
        for Gap { place, route, leaf, missing } in gaps {
            let _ = match leaf {
                None => writeln!(text, "  {place} {route}: {missing}"),
                Some(leaf) => writeln!(text, "  {place} of {route}: {missing}: {leaf}"),
            };
        }
        text
    }

    /// Whether so many percent are covered.
    pub fn reaches(&self, percent: u8) -> bool {
        self.covered * 100 >= usize::from(percent) * self.points
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_not_rounded_up() {
        let of = |covered, points| Coverage {
            configuration: String::new(),
            covered,
            points,
            percent: 0,
            gaps: Vec::new(),
        };
        let cases = [
            (2, 3, 66, true),
            (2, 3, 67, false),
            (199, 200, 100, false),
            (3, 3, 100, true),
            (0, 0, 100, true),
        ];
        for (covered, points, percent, want) in cases {
            assert_eq!(of(covered, points).reaches(percent), want, "{covered} {points} {percent}");
        }
    }
}
