//! The exchange with the provider's token endpoint (RFC 6749 section 6).

use super::{Auth, Client, Secret};
use crate::token::cookie;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value};

/// The largest answer that is read, in bytes.
pub const MAX_BYTES: usize = 256 << 10;

/// The longest refresh token that is taken, in bytes: three times that in a cookie, with all of it escaped.
const MAX_REFRESH: usize = cookie::LONGEST / 3;

/// What a provider's answer says.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// It may be renewed by the first of these tokens that verifies.
    Tokens(Candidate),
    /// The refresh token is of no use any more (RFC 6749 section 5.2, `invalid_grant`).
    Refused,
}

/// The tokens of an answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The access token, and the ID token, where there are such; whichever is the session's.
    pub tokens: Vec<Secret>,
    /// The new refresh token.
    pub refresh: Option<Secret>,
}

/// The headers and the body that ask for it.
pub(super) fn request(client: &Client, refresh: &Secret) -> (Vec<(&'static str, String)>, String) {
    let mut headers = vec![
        (":method", "POST".to_owned()),
        ("content-type", "application/x-www-form-urlencoded".to_owned()),
        ("accept", "application/json".to_owned()),
    ];
    let refresh = escape(refresh.expose());
    let mut body = format!("grant_type=refresh_token&refresh_token={refresh}");
    let id = escape(&client.id);
    match &client.auth {
        Auth::Basic(secret) => {
            let credentials = STANDARD.encode(format!("{id}:{}", escape(secret.expose())));
            headers.push(("authorization", format!("Basic {credentials}")));
        }
        Auth::Post(secret) => {
            body.push_str(&format!("&client_id={id}&client_secret={}", escape(secret.expose())));
        }
        Auth::None => body.push_str(&format!("&client_id={id}")),
    }
    (headers, body)
}

fn escape(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

impl Answer {
    /// Reads an answer.
    ///
    /// # Errors
    /// Why it is of no use. Nothing of a token is in it.
    pub fn read(status: &[u8], body: &[u8]) -> Result<Self, String> {
        let json = serde_json::from_slice::<Map<String, Value>>(body);
        let said = String::from_utf8_lossy(status);
        let Ok(mut json) = json else {
            return Err(format!("status {said}, and the body is no JSON object"));
        };
        if status != b"200" {
            return match json.get("error").and_then(Value::as_str) {
                Some("invalid_grant") if matches!(status, b"400" | b"401") => Ok(Self::Refused),
                // A word of RFC 6749 section 5.2, if it is one.
                Some(error) if is_word(error) => Err(format!("status {said}, error `{error}`")),
                _ => Err(format!("status {said}")),
            };
        }
        let mut text = |name: &str| match json.remove(name) {
            Some(Value::String(text)) if !text.is_empty() => Some(Secret(text)),
            _ => None,
        };
        let tokens: Vec<Secret> =
            ["access_token", "id_token"].into_iter().filter_map(&mut text).collect();
        let refresh = text("refresh_token");
        if refresh.as_ref().is_some_and(|refresh| refresh.expose().len() > MAX_REFRESH) {
            return Err("a refresh token that is longer than cookies hold".to_owned());
        }
        if tokens.is_empty() {
            return Err("no `access_token` in it".to_owned());
        }
        Ok(Self::Tokens(Candidate { tokens, refresh }))
    }
}

fn is_word(error: &str) -> bool {
    error.len() <= 64 && error.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}
