//! A short name for content.

use sha2::{Digest, Sha256};
use std::fmt::Write;

/// The first 12 hexadecimal digits of SHA-256: enough for a person to tell contents apart, and no
/// proof of anything.
pub fn short_digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().take(6).fold(String::with_capacity(12), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_the_start_of_sha_256() {
        assert_eq!(short_digest(b""), "e3b0c44298fc");
        assert_eq!(short_digest(b"abc"), "ba7816bf8f01");
    }
}
