//! The host's shared data as the shelf of all workers of the process.

use super::host::{self, Denied};
use crate::limit::{BUCKET, Limits};
use crate::shelf::{Shelf, Unavailable};
use crate::token::signature::short_digest;

/// A version that writes where nothing is yet, and nowhere else: the host's own begin at 1 and count on.
const INSERT: u32 = u32::MAX;

/// How many digits of a digest its names begin with.
const PREFIX: usize = 11;
/// The length of a name. The host allocates nothing for one of 15 bytes.
const NAME: usize = PREFIX + 4;

/// See the module.
#[derive(Debug)]
pub struct Shared {
    prefix: [u8; PREFIX],
}

impl Shared {
    /// A place that nobody uses, for a look whether the host lets anything be shared.
    pub const PROBE: u32 = (1 << 24) - 1;

    /// The shelf of this `owner`, which other plugins of the process have no name for. It has 2^24 places.
    pub fn new(owner: &str) -> Self {
        let digest = short_digest(owner.as_bytes());
        Self { prefix: digest.as_bytes().first_chunk().copied().unwrap_or([b'-'; PREFIX]) }
    }

    /// The name of a place.
    pub fn name(&self, place: u32) -> [u8; NAME] {
        let mut name = [b'0'; NAME];
        let (prefix, number) = name.split_at_mut(PREFIX);
        prefix.copy_from_slice(&self.prefix);
        for (at, character) in number.iter_mut().enumerate() {
            // Six bits each, as characters that follow one another.
            *character = b'0' + (place >> (6 * at) & 63) as u8;
        }
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

fn unavailable(_: Denied) -> Unavailable {
    Unavailable(
        "Envoy refuses shared data: allow `proxy_get_shared_data` and `proxy_set_shared_data`",
    )
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
    let name = shelf.name(places);
    if let (_, 0) = host::shared(&name)? {
        for place in 0..places {
            host::share(&shelf.name(place), &[0; BUCKET], INSERT)?;
        }
        // Last, so that where it is all of the shelf is. Whoever comes first draws it for all.
        let mut drawn = [0; size_of::<u64>()];
        host::random(&mut drawn)?;
        host::share(&name, &drawn, INSERT)?;
    }
    let (seed, _) = host::shared(&name)?;
    const CORRUPT: Denied = Denied { function: "proxy_get_shared_data", status: 10 };
    let seed = u64::from_le_bytes(*seed.first_chunk().ok_or(CORRUPT)?);
    limits.open(seed, Box::new(shelf));
    Ok(())
}
