//! What all workers of a process share, each of which may write at the same time.

use hashbrown::HashMap;
use std::cell::RefCell;
use std::fmt::Debug;
use std::rc::Rc;

/// The shelf does not answer, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unavailable(pub &'static str);

/// Numbered places that hold bytes.
pub trait Shelf: Debug {
    /// What is at a place, and its version. Nothing where nobody wrote yet.
    ///
    /// # Errors
    /// Why it cannot be read.
    fn read(&self, place: u32) -> Result<(Vec<u8>, u32), Unavailable>;

    /// Replaces what is at a place. False where somebody did so since that version.
    ///
    /// # Errors
    /// Why it cannot be written.
    fn write(&self, place: u32, bytes: &[u8], version: u32) -> Result<bool, Unavailable>;
}

/// A shelf of one's own.
#[derive(Debug, Default)]
pub struct Memory(RefCell<HashMap<u32, (Vec<u8>, u32)>>);

impl Memory {
    /// Starts anew, as if nobody had written.
    pub fn clear(&self) {
        if let Ok(mut places) = self.0.try_borrow_mut() {
            places.clear();
        }
    }
}

const IN_USE: Unavailable = Unavailable("the shelf is in use");

impl Shelf for Memory {
    fn read(&self, place: u32) -> Result<(Vec<u8>, u32), Unavailable> {
        let places = self.0.try_borrow().map_err(|_| IN_USE)?;
        Ok(places.get(&place).cloned().unwrap_or_default())
    }

    fn write(&self, place: u32, bytes: &[u8], version: u32) -> Result<bool, Unavailable> {
        let mut places = self.0.try_borrow_mut().map_err(|_| IN_USE)?;
        let (held, current) = places.entry(place).or_default();
        if *current != version {
            return Ok(false);
        }
        bytes.clone_into(held);
        *current = version.wrapping_add(1);
        Ok(true)
    }
}

/// One that several have.
impl<S: Shelf + ?Sized> Shelf for Rc<S> {
    fn read(&self, place: u32) -> Result<(Vec<u8>, u32), Unavailable> {
        (**self).read(place)
    }

    fn write(&self, place: u32, bytes: &[u8], version: u32) -> Result<bool, Unavailable> {
        (**self).write(place, bytes, version)
    }
}
