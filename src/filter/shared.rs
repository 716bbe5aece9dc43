//! The host's shared data as the shelf of all workers of the process.

use super::host::{self, Denied};
use crate::limit::{BUCKET, Limits};
use crate::shelf::{Shelf, Unavailable};
use crate::token::signature::short_digest;
use std::fmt::Write;

/// A version that writes where nothing is yet, and nowhere else: the host's own begin at 1 and count on.
const INSERT: u32 = u32::MAX;

/// See the module.
#[derive(Debug)]
pub struct Shared {
    prefix: String,
}

impl Shared {
    /// The shelf of this `owner`, which other plugins of the process have no name for.
    pub fn new(owner: &str) -> Self {
        Self { prefix: format!("{}.", short_digest(owner.as_bytes())) }
    }

    /// A name that holds nothing.
    pub fn probe(&self) -> String {
        self.name(u32::MAX)
    }

    fn name(&self, place: u32) -> String {
        let mut name = String::with_capacity(self.prefix.len() + 8);
        name.push_str(&self.prefix);
        // Writing to a string cannot fail.
        let _ = write!(name, "{place}");
        name
    }
}

impl Shelf for Shared {
    fn read(&self, place: u32) -> Result<(Vec<u8>, u32), Unavailable> {
        let (bytes, version) = host::shared(&self.name(place)).map_err(unavailable)?;
        Ok((bytes, if version == 0 { INSERT } else { version }))
    }

    fn write(&self, place: u32, bytes: &[u8], version: u32) -> Result<bool, Unavailable> {
        host::share(&self.name(place), bytes, version).map_err(unavailable)
    }
}

fn unavailable(denied: Denied) -> Unavailable {
    Unavailable(denied.function)
}

/// Has these limits counted in shared data, of which all is taken that they will ever need. Others of the same `filter` and size
/// count there too: a configuration that replaces another one goes on where that stood.
///
/// # Errors
/// What the host denies of that.
pub fn open(limits: &mut Limits, filter: &str) -> Result<(), Denied> {
    if limits.is_empty() {
        return Ok(());
    }
    let places = limits.buckets();
    let shelf = Shared::new(&format!("limits {filter} {places}"));
    for place in 0..places {
        host::share(&shelf.name(place), &[0; BUCKET], INSERT)?;
    }
    let mut drawn = [0; size_of::<u64>()];
    host::random(&mut drawn)?;
    let name = shelf.name(places);
    host::share(&name, &drawn, INSERT)?;
    // Whoever came first has drawn it for all.
    let (seed, _) = host::shared(&name)?;
    let seed = seed.first_chunk().map_or(0, |seed| u64::from_le_bytes(*seed));
    limits.open(seed, Box::new(shelf));
    Ok(())
}
