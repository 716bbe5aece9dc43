//! Leaves out patterns whose requests would be asked the same without them.

use super::host::Host;
use super::pattern::Pattern;
use super::routes::{ByMethod, Cells};
use std::collections::BTreeSet;

/// Takes such patterns of a host away. `slash` tells what the forms with a final slash would be
/// asked, which a pattern without `**` refuses and a broader one may take.
pub fn merge<'p>(
    host: &'p Host,
    patterns: &'p BTreeSet<Pattern>,
    cells: &mut Cells<'p>,
    slash: &dyn Fn(&Pattern) -> ByMethod,
) {
    let mut order: Vec<&Pattern> = patterns.iter().collect();
    order.sort_by_cached_key(|pattern| std::cmp::Reverse(pattern.rank()));
    for pattern in order {
        if is_spare(host, pattern, patterns, cells, slash) {
            cells.remove(&(host, pattern));
        }
    }
}

/// Whether every request of a pattern would be asked the same by those that remain.
fn is_spare(
    host: &Host,
    pattern: &Pattern,
    patterns: &BTreeSet<Pattern>,
    cells: &Cells<'_>,
    slash: &dyn Fn(&Pattern) -> ByMethod,
) -> bool {
    let Some(own) = asked(cells, host, pattern) else { return false };
    let asked = |other| asked(cells, host, other);
    let others = || patterns.iter().filter(|other| *other != pattern && asked(*other).is_some());
    let holders = others().filter(|other| other.contains(pattern));
    let Some(next) = holders.max_by_key(|other| other.rank()) else { return false };
    if asked(next) != Some(own) || (!pattern.rest && slash(pattern) != *own) {
        return false;
    }
    // Those that share a part of it, and come before the next.
    let rank = next.rank();
    let mut between = others().filter(|other| {
        !pattern.contains(other) && pattern.intersect(other).is_some() && other.rank() > rank
    });
    between.all(|other| asked(other) == Some(own))
}

fn asked<'c>(cells: &'c Cells<'c>, host: &'c Host, pattern: &'c Pattern) -> Option<&'c ByMethod> {
    cells.get(&(host, pattern))
}
