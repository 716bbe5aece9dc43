//! The compact serialisation (RFC 7515 section 7.1) and the protected header.

use super::Error;
use crate::json;
use serde_json::{Map, Value};
use std::cell::RefCell;
use std::rc::Rc;

/// A token taken apart; nothing in it is believed yet.
pub struct Compact<'a> {
    /// What was signed: header and payload as they stand in the token.
    pub signing_input: &'a [u8],
    /// The protected header as it stands in the token.
    pub header_segment: &'a [u8],
    /// The protected header.
    pub header: Rc<Header>,
    /// Whether it was read before.
    header_is_known: bool,
    /// The payload's members.
    pub payload: Map<String, Value>,
    /// The signature.
    pub signature: Vec<u8>,
}

/// What the protected header says.
///
/// `jwk`, `jku`, `x5u` and `x5c` are ignored: a token never brings its own key (RFC 8725 section
/// 3.10).
#[derive(Debug)]
pub struct Header {
    /// The algorithm's name, not believed: the key decides.
    pub alg: String,
    /// The key's id.
    pub kid: Option<String>,
    /// The token's type.
    pub typ: Option<String>,
}

/// Headers of tokens that verified: most tokens of a key have one and the same.
#[derive(Debug, Default)]
pub struct Headers(RefCell<Vec<Known>>);

/// A header as it stands in tokens, and what it says.
type Known = (Box<[u8]>, Rc<Header>);

impl Headers {
    /// How many are kept.
    const MAX: usize = 8;
    /// The longest that is kept, in bytes.
    const MAX_LENGTH: usize = 1024;

    fn get(&self, segment: &[u8]) -> Option<Rc<Header>> {
        let known = self.0.try_borrow().ok()?;
        known.iter().find(|(known, _)| **known == *segment).map(|(_, header)| Rc::clone(header))
    }

    /// Keeps the header of a token that verified.
    pub fn keep(&self, compact: &Compact<'_>) {
        let segment = compact.header_segment;
        if compact.header_is_known || segment.len() > Self::MAX_LENGTH {
            return;
        }
        if let Ok(mut known) = self.0.try_borrow_mut() {
            if known.len() >= Self::MAX {
                known.remove(0);
            }
            known.push((segment.into(), Rc::clone(&compact.header)));
        }
    }
}

/// Takes a token apart.
///
/// # Errors
/// [`Error::TooLarge`] past `limit` bytes, [`Error::CriticalHeader`], else [`Error::Malformed`].
pub fn parse<'a>(token: &'a [u8], limit: usize, headers: &Headers) -> Result<Compact<'a>, Error> {
    if token.len() > limit {
        return Err(Error::TooLarge { length: token.len(), limit });
    }
    let mut dots = memchr::memchr_iter(b'.', token);
    let (Some(first), Some(second), None) = (dots.next(), dots.next(), dots.next()) else {
        return Err(Error::Malformed("token is not three segments"));
    };
    let segment = |start, end| token.get(start..end).unwrap_or_default();
    let (header, payload) = (segment(0, first), segment(first + 1, second));
    let signature = segment(second + 1, token.len());
    let known = headers.get(header);
    Ok(Compact {
        header_is_known: known.is_some(),
        signing_input: segment(0, second),
        header_segment: header,
        header: match known {
            Some(known) => known,
            None => Rc::new(parse_header(header)?),
        },
        payload: json::parse_object(&decode(payload)?)
            .map_err(|_| Error::Malformed("payload is not a JSON object without duplicates"))?,
        signature: decode(signature)?,
    })
}

/// Base64url without padding, white space or stray bits (RFC 7515 section 2, RFC 4648 section 3.5).
fn decode(segment: &[u8]) -> Result<Vec<u8>, Error> {
    base64_simd::URL_SAFE_NO_PAD
        .decode_to_vec(segment)
        .map_err(|_| Error::Malformed("segment is not base64url"))
}

fn parse_header(segment: &[u8]) -> Result<Header, Error> {
    let mut members = json::parse_object(&decode(segment)?)
        .map_err(|_| Error::Malformed("header is not a JSON object without duplicates"))?;
    if let Some(crit) = members.get("crit") {
        // RFC 7515 section 4.1.11: "Producers MUST NOT use the empty list".
        return match crit {
            Value::Array(names)
                if !names.is_empty() && names.iter().all(|name| name.is_string()) =>
            {
                Err(Error::CriticalHeader)
            }
            _ => Err(Error::Malformed("`crit` is not a list of names")),
        };
    }
    // RFC 7797 section 6: `b64` must be critical, so a lone `false` is an extension all the same.
    if members.get("b64").is_some_and(|b64| b64 != &Value::Bool(true)) {
        return Err(Error::CriticalHeader);
    }
    let mut text = |name, error| match members.remove(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Error::Malformed(error)),
    };
    Ok(Header {
        alg: text("alg", "`alg` is not a string")?
            .ok_or(Error::Malformed("header has no `alg`"))?,
        kid: text("kid", "`kid` is not a string")?,
        typ: text("typ", "`typ` is not a string")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::response::Code;
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    fn code(header: &str, payload: &str, signature: &str) -> &'static str {
        let token = format!(
            "{}.{}.{signature}",
            URL_SAFE_NO_PAD.encode(header),
            URL_SAFE_NO_PAD.encode(payload)
        );
        parse(token.as_bytes(), 1000, &Headers::default())
            .map_or_else(|error| Code::of(&error).name(), |_| "ok")
    }

    #[test]
    fn judges_headers_and_payloads() {
        let cases = [
            (r#"{"alg":"RS256"}"#, "{}", "AA", "ok"),
            (r#"{"alg":"none"}"#, "{}", "", "ok"),
            (r#"{"alg":"RS256","kid":"k","typ":"JWT","jku":"https://evil"}"#, "{}", "AA", "ok"),
            (r#"{"alg":"RS256","b64":true}"#, "{}", "AA", "ok"),
            (r#"{"alg":"RS256","b64":false}"#, "{}", "AA", "critical_header_unsupported"),
            (
                r#"{"alg":"RS256","crit":["b64"],"b64":false}"#,
                "{}",
                "AA",
                "critical_header_unsupported",
            ),
            (r#"{"alg":"RS256","crit":[]}"#, "{}", "AA", "token_malformed"),
            (r#"{"alg":"RS256","crit":"exp"}"#, "{}", "AA", "token_malformed"),
            (r#"{"alg":"RS256","crit":null}"#, "{}", "AA", "token_malformed"),
            (r#"{"alg":256}"#, "{}", "AA", "token_malformed"),
            (r#"{"kid":"k"}"#, "{}", "AA", "token_malformed"),
            (r#"{"alg":"RS256","kid":7}"#, "{}", "AA", "token_malformed"),
            (r#"{"alg":"RS256","typ":null}"#, "{}", "AA", "token_malformed"),
            (r#"{"alg":"RS256","alg":"none"}"#, "{}", "AA", "token_malformed"),
            (r#"["alg"]"#, "{}", "AA", "token_malformed"),
            (r#"{"alg":"RS256"}"#, "[]", "AA", "token_malformed"),
            (r#"{"alg":"RS256"}"#, "null", "AA", "token_malformed"),
            (r#"{"alg":"RS256"}"#, "", "AA", "token_malformed"),
            (r#"{"alg":"RS256"}"#, r#"{"a":1,"a":1}"#, "AA", "token_malformed"),
            (r#"{"alg":"RS256"}"#, "{}", "AB", "token_malformed"),
            (r#"{"alg":"RS256"}"#, "{}", "AA=", "token_malformed"),
            (r#"{"alg":"RS256"}"#, "{}", "AA==", "token_malformed"),
            (r#"{"alg":"RS256"}"#, "{}", "A+==", "token_malformed"),
            (r#"{"alg":"RS256"}"#, "{}", "A A", "token_malformed"),
            (r#"{"alg":"RS256"}"#, "{}", "AA.AA", "token_malformed"),
        ];
        for (header, payload, signature, want) in cases {
            assert_eq!(code(header, payload, signature), want, "{header} {payload} {signature}");
        }
    }

    #[test]
    fn judges_shapes() {
        let long = [b'a'; 1001];
        let cases: [(&[u8], &str); 7] = [
            (b"", "token_malformed"),
            (b".", "token_malformed"),
            (b"..", "token_malformed"),
            (b"....", "token_malformed"),
            (b"e30.e30", "token_malformed"),
            (b"\xff.\xff.\xff", "token_malformed"),
            (&long, "token_too_large"),
        ];
        for (token, want) in cases {
            let got = parse(token, 1000, &Headers::default())
                .map_or_else(|error| Code::of(&error).name(), |_| "ok");
            assert_eq!(got, want, "{}", String::from_utf8_lossy(token));
        }
    }
}
