//! Where is kept what was counted.

use hashbrown::HashMap;
use std::cell::RefCell;
use std::fmt::Debug;
use std::rc::Rc;

/// How many identities a bucket has.
pub const WAYS: usize = 8;
/// What a bucket takes, in bytes.
pub const BUCKET: usize = WAYS * 2 * size_of::<u64>();

/// The ledger does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unavailable(pub &'static str);

/// A table of buckets that several workers write at the same time.
pub trait Ledger: Debug {
    /// A bucket, and its version. One that nobody wrote yet is all zeros.
    ///
    /// # Errors
    /// Why it cannot be read.
    fn read(&self, bucket: u32) -> Result<([u8; BUCKET], u32), Unavailable>;

    /// Replaces a bucket. False where another one did so since that version.
    ///
    /// # Errors
    /// Why it cannot be written.
    fn write(&self, bucket: u32, bytes: &[u8; BUCKET], version: u32) -> Result<bool, Unavailable>;
}

/// A ledger of one's own.
#[derive(Debug, Default)]
pub struct Memory(RefCell<HashMap<u32, ([u8; BUCKET], u32)>>);

impl Memory {
    /// Starts anew, as if nothing had been counted.
    pub fn clear(&self) {
        if let Ok(mut buckets) = self.0.try_borrow_mut() {
            buckets.clear();
        }
    }
}

const IN_USE: Unavailable = Unavailable("the ledger is in use");

impl Ledger for Memory {
    fn read(&self, bucket: u32) -> Result<([u8; BUCKET], u32), Unavailable> {
        let buckets = self.0.try_borrow().map_err(|_| IN_USE)?;
        Ok(buckets.get(&bucket).copied().unwrap_or(([0; BUCKET], 0)))
    }

    fn write(&self, bucket: u32, bytes: &[u8; BUCKET], version: u32) -> Result<bool, Unavailable> {
        let mut buckets = self.0.try_borrow_mut().map_err(|_| IN_USE)?;
        let (held, current) = buckets.entry(bucket).or_insert(([0; BUCKET], 0));
        if *current != version {
            return Ok(false);
        }
        (*held, *current) = (*bytes, version.wrapping_add(1));
        Ok(true)
    }
}

impl<L: Ledger + ?Sized> Ledger for Rc<L> {
    fn read(&self, bucket: u32) -> Result<([u8; BUCKET], u32), Unavailable> {
        (**self).read(bucket)
    }

    fn write(&self, bucket: u32, bytes: &[u8; BUCKET], version: u32) -> Result<bool, Unavailable> {
        (**self).write(bucket, bytes, version)
    }
}
