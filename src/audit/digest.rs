//! The digest of a record: what the record after it holds, and a checkpoint signs.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// BLAKE3 of a record's JSON text, in base64url: 43 characters.
pub fn head(record: &str) -> String {
    URL_SAFE_NO_PAD.encode(blake3::hash(record.as_bytes()).as_bytes())
}
