//! The hash that links the records of a chain.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// What stands for a record in the one after it: BLAKE3-256 of its JSON text, without a key.
pub type Head = [u8; 32];

/// The head of a record, from its JSON text, `{` to `}`.
pub fn head(record: &str) -> Head {
    *blake3::hash(record.as_bytes()).as_bytes()
}

/// A head as records and checkpoints write it: 43 characters of base64url without padding.
pub fn text(head: &Head) -> String {
    URL_SAFE_NO_PAD.encode(head)
}

/// A head from its text; `None` where it is not 43 characters of base64url.
pub fn parse(text: &str) -> Option<Head> {
    let mut head = Head::default();
    // The decoder refuses a slice that is longer than what it may need, not one that is shorter.
    let length = URL_SAFE_NO_PAD.decode_slice(text, &mut head).ok()?;
    (length == head.len()).then_some(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_as_blake3_does() {
        // The empty input of BLAKE3's own test vectors.
        let empty = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";
        let hex: String = head("").iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, empty);
    }

    #[test]
    fn reads_what_it_writes() {
        let head = head("{}");
        let written = text(&head);
        assert_eq!(written.len(), 43);
        assert_eq!(parse(&written), Some(head));
        let cut = written.get(..42).unwrap();
        for wrong in ["", "AAAA", cut, &format!("{written}A"), &format!("{written}=")] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
