//! Requests that were routed before, so that the path of a busy endpoint is taken apart once.
//!
//! A request is known by all of its host, path and method as they were sent. What is kept is which
//! route owns it: that follows from these and the configuration alone. It is a table of fixed size, in
//! which a newcomer replaces whatever had its place.

use super::RouteId;
use std::cell::{Cell, RefCell};
use std::fmt;

/// How many requests are kept.
const SLOTS: usize = 256;
/// The longest host and path that are kept, in bytes together.
const MAX_LENGTH: usize = 512;
/// Of how many unknown requests one is kept: where all differ, keeping them is wasted.
const ONE_OF: u32 = 8;

/// What is asked for, each as it was sent; the path without its query.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Line<'r> {
    /// `:authority`.
    pub authority: &'r [u8],
    /// `:path` up to the question mark.
    pub path: &'r [u8],
    /// `:method`.
    pub method: &'r [u8],
}

struct Slot {
    authority: Box<[u8]>,
    path: Box<[u8]>,
    method: Box<[u8]>,
    /// How much of the authority is the host.
    host: usize,
    route: RouteId,
}

/// See the module.
pub struct Recent {
    slots: RefCell<Vec<Option<Slot>>>,
    unknown: Cell<u32>,
}

impl Default for Recent {
    fn default() -> Self {
        let slots = std::iter::repeat_with(|| None).take(SLOTS).collect();
        Self { slots: RefCell::new(slots), unknown: Cell::new(0) }
    }
}

impl Recent {
    /// The host and the route of a request that was routed before.
    pub fn find<'r>(&self, line: &Line<'r>) -> Option<(&'r str, RouteId)> {
        let slots = self.slots.try_borrow().ok()?;
        let slot = slots.get(place(line))?.as_ref()?;
        let known = is_same(&slot.path, line.path)
            && is_same(&slot.authority, line.authority)
            && is_same(&slot.method, line.method);
        if !known {
            return None;
        }
        let host = std::str::from_utf8(line.authority.get(..slot.host)?).ok()?;
        Some((host, slot.route))
    }

    /// Keeps the route of a request, now and then. Its host has to be what its authority begins with.
    pub fn keep(&self, line: &Line<'_>, host: &str, route: RouteId) {
        self.unknown.set(self.unknown.get().wrapping_add(1));
        let fits = line.authority.len() + line.path.len() <= MAX_LENGTH;
        if !self.unknown.get().is_multiple_of(ONE_OF)
            || !fits
            || !line.authority.starts_with(host.as_bytes())
        {
            return;
        }
        if let Ok(mut slots) = self.slots.try_borrow_mut()
            && let Some(slot) = slots.get_mut(place(line))
        {
            *slot = Some(Slot {
                authority: line.authority.into(),
                path: line.path.into(),
                method: line.method.into(),
                host: host.len(),
                route,
            });
        }
    }
}

/// Where a request has its place: by the end of its path, where paths differ. Requests that share one
/// drive each other out, which costs them no more than to be routed anew.
fn place(line: &Line<'_>) -> usize {
    let end = line.path.last_chunk::<8>().map_or(0, |end| u64::from_le_bytes(*end));
    let mixed = (end ^ line.path.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 32) as usize % SLOTS
}

fn is_same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}

impl fmt::Debug for Recent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Recent")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_a_request_by_all_of_it() {
        let recent = Recent::default();
        let line = Line { authority: b"a.test:80", path: b"/x", method: b"GET" };
        for _ in 0..ONE_OF {
            assert_eq!(recent.find(&line), None);
            recent.keep(&line, "a.test", RouteId(7));
        }
        assert_eq!(recent.find(&line), Some(("a.test", RouteId(7))));
        for other in [
            Line { authority: b"a.test", ..line },
            Line { authority: b"b.test:80", ..line },
            Line { path: b"/y", ..line },
            Line { path: b"/x/", ..line },
            Line { path: b"", ..line },
            Line { method: b"get", ..line },
            Line { method: b"GETS", ..line },
        ] {
            assert_eq!(recent.find(&other), None);
        }
        // A host that is not what was sent is taken apart anew each time.
        let upper = Line { authority: b"A.test", ..line };
        for _ in 0..ONE_OF {
            recent.keep(&upper, "a.test", RouteId(7));
        }
        assert_eq!(recent.find(&upper), None);
    }
}
