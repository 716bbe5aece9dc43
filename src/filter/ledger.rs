//! The ledger of the limits in the host's shared data: one for all workers of the process.

use super::host::{self, Denied};
use crate::limit::Limits;
use crate::limit::ledger::{BUCKET, Ledger, Unavailable};
use crate::token::signature::short_digest;
use std::fmt::Write;

/// A version that writes where nothing is yet, and nowhere else: the host's own begin at 1 and count on.
const INSERT: u32 = u32::MAX;

#[derive(Debug)]
struct Shared {
    prefix: String,
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
    let buckets = limits.buckets();
    let owner = format!("limits {filter} {buckets}");
    let ledger = Shared { prefix: format!("{}.", short_digest(owner.as_bytes())) };
    for bucket in 0..buckets {
        host::share(&ledger.name(bucket), &[0; BUCKET], INSERT)?;
    }
    let name = format!("{}seed", ledger.prefix);
    let mut drawn = [0; size_of::<u64>()];
    host::random(&mut drawn)?;
    host::share(&name, &drawn, INSERT)?;
    // Whoever came first has drawn it for all.
    let (seed, _) = host::shared(&name)?;
    let seed = seed.first_chunk().map_or(0, |seed| u64::from_le_bytes(*seed));
    limits.open(seed, Box::new(ledger));
    Ok(())
}

impl Shared {
    fn name(&self, bucket: u32) -> String {
        let mut name = String::with_capacity(self.prefix.len() + 8);
        name.push_str(&self.prefix);
        // Writing to a string cannot fail.
        let _ = write!(name, "{bucket}");
        name
    }
}

impl Ledger for Shared {
    fn read(&self, bucket: u32) -> Result<([u8; BUCKET], u32), Unavailable> {
        let denied = |denied: Denied| Unavailable(denied.function);
        let (bytes, version) = host::shared(&self.name(bucket)).map_err(denied)?;
        match bytes.first_chunk() {
            Some(bytes) => Ok((*bytes, version)),
            // Another plugin of the process wrote over it.
            None => Ok(([0; BUCKET], if version == 0 { INSERT } else { version })),
        }
    }

    fn write(&self, bucket: u32, bytes: &[u8; BUCKET], version: u32) -> Result<bool, Unavailable> {
        let name = self.name(bucket);
        host::share(&name, bytes, version).map_err(|denied| Unavailable(denied.function))
    }
}
