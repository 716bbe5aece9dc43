//! What answers get besides what the upstream, or a refusal, says.

use super::host::{self, Denied, Map};
use crate::engine::Added;
use crate::token::cookie;
use hashbrown::HashMap;
use std::cell::RefCell;

/// By the contexts of streams that have not been answered.
#[derive(Default)]
pub struct Additions(RefCell<HashMap<u32, Added>>);

impl Additions {
    /// Takes in what the answer of a stream gets.
    pub fn enter(&self, context: u32, added: Added) {
        if let Ok(mut all) = self.0.try_borrow_mut() {
            all.insert(context, added);
        }
    }

    /// Takes out what the answer of a stream gets.
    pub fn leave(&self, context: u32) -> Option<Added> {
        let mut all = self.0.try_borrow_mut().ok()?;
        // The usual case.
        if all.is_empty() { None } else { all.remove(&context) }
    }
}

/// Adds it to the answer that the host is about to send.
///
/// # Errors
/// What the host denies of that.
pub fn apply(added: Added) -> Result<(), Denied> {
    for (name, value) in &added.headers {
        host::remove_header(Map::ResponseHeaders, name.as_bytes())?;
        if let Some(value) = value {
            host::add_header(Map::ResponseHeaders, name, value.as_bytes())?;
        }
    }
    if added.cookies.is_empty() {
        return Ok(());
    }
    host::remove_header(Map::ResponseHeaders, b"cache-control")?;
    host::add_header(Map::ResponseHeaders, "cache-control", b"no-store")?;
    let map = host::header_map(Map::ResponseHeaders)?;
    let pairs = host::pairs(&map).unwrap_or_default();
    let set = || pairs.iter().filter(|(name, _)| *name == b"set-cookie").map(|(_, value)| *value);
    for own in &added.cookies {
        let own = own.expose().as_bytes();
        // What the upstream says of a cookie wins, as where it logs somebody out.
        if !set().any(|theirs| cookie::set_name(theirs) == cookie::set_name(own)) {
            host::add_header(Map::ResponseHeaders, "set-cookie", own)?;
        }
    }
    Ok(())
}
