//! Sets of ASCII characters, asked in constant time.

/// A set of ASCII characters.
#[derive(Clone, Copy, Debug)]
pub struct AsciiSet([bool; 256]);

impl AsciiSet {
    /// The set of these.
    pub const fn of(bytes: &[u8]) -> Self {
        let mut set = [false; 256];
        let mut rest = bytes;
        while let [byte, tail @ ..] = rest {
            #[allow(clippy::indexing_slicing, reason = "a byte is less than 256")]
            {
                set[*byte as usize] = true;
            }
            rest = tail;
        }
        Self(set)
    }

    /// Whether it holds this byte.
    pub fn contains(&self, byte: u8) -> bool {
        self.0.get(usize::from(byte)).copied().unwrap_or_default()
    }
}
