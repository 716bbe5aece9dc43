//! A request's answer and every trace that it left.

use std::time::Duration;

use serde_json::Value;

use super::bootstrap::ACCESS_LOG;
use super::http::Response;
use super::proxy::Proxy;
use super::{eventually, upstream};

/// What came back for one request.
pub struct Exchange<'p> {
    /// The Envoy that answered.
    pub proxy: &'p Proxy,
    /// The request's identifier.
    pub id: String,
    /// The answer.
    pub response: Response,
}

/// The status that section 2 of the interface gives a code.
pub fn status_of(code: &str) -> u16 {
    match code {
        "host_ambiguous" | "path_ambiguous" | "token_ambiguous" => 400,
        "no_route"
        | "route_denied"
        | "claims_insufficient"
        | "scope_insufficient"
        | "origin_refused" => 403,
        "method_not_allowed" => 405,
        "rate_limited" => 429,
        "keys_unavailable" | "revocation_unavailable" | "internal_error" => 503,
        _ => 401,
    }
}

impl Exchange<'_> {
    /// `allowed` where the upstream answered, the code of a refusal, or else the bare status.
    pub fn outcome(&self) -> String {
        if self.response.header(upstream::MARK).is_some() {
            return "allowed".to_owned();
        }
        let status = self.response.status;
        match self.problem().as_ref().and_then(|problem| problem["code"].as_str()) {
            Some(code) if status_of(code) == status => code.to_owned(),
            Some(code) => format!("{code} with the wrong status {status}"),
            None => format!("HTTP {status}"),
        }
    }

    /// The problem document of a refusal.
    pub fn problem(&self) -> Option<Value> {
        serde_json::from_slice(&self.response.body).ok()
    }

    /// A header of the answer.
    pub fn header(&self, name: &str) -> Option<String> {
        self.response.header(name)
    }

    /// Fails the test unless the filter refused with this code.
    pub fn refused(&self, code: &str) {
        assert_eq!(self.outcome(), code, "{}", self.shown());
    }

    /// What the upstream received; fails the test unless it was asked.
    pub fn allowed(&self) -> Echo {
        assert_eq!(self.outcome(), "allowed", "{}", self.shown());
        Echo(serde_json::from_slice(&self.response.body).unwrap())
    }

    fn shown(&self) -> String {
        let body: String = String::from_utf8_lossy(&self.response.body).chars().take(300).collect();
        format!("{} was answered {} {body}", self.id, self.response.status)
    }

    /// The audit record of this request.
    pub fn audit(&self) -> Value {
        let log = &self.proxy.envoy.log;
        log.audit(|record| record["http.request.id"] == *self.id)
            .unwrap_or_else(|| panic!("no audit record of {}", self.id))
    }

    /// The entry of this request in Envoy's access log, with the filter state already parsed.
    pub fn access(&self) -> Value {
        let file = self.proxy.envoy.folder.join(ACCESS_LOG);
        let entry = eventually(Duration::from_secs(5), || {
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            let mut entries =
                text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            entries.find(|entry| entry["id"] == *self.id)
        });
        let mut entry = entry.unwrap_or_else(|| panic!("{} is not in the access log", self.id));
        let state = entry["state"].as_str().and_then(|state| serde_json::from_str(state).ok());
        entry["state"] = state.unwrap_or(Value::Null);
        entry
    }
}

/// What the upstream received. Every byte is the character of the same number.
#[derive(Debug)]
pub struct Echo(pub Value);

impl Echo {
    /// The values of a header.
    pub fn headers(&self, name: &str) -> Vec<&str> {
        self.pairs("headers").filter(|(known, _)| *known == name).map(|(_, value)| value).collect()
    }

    /// The value of a header that is there once.
    pub fn header(&self, name: &str) -> Option<&str> {
        let values = self.headers(name);
        assert!(values.len() < 2, "several {name}: {values:?}");
        values.first().copied()
    }

    /// The names of all headers.
    pub fn header_names(&self) -> Vec<&str> {
        self.pairs("headers").map(|(name, _)| name).collect()
    }

    /// The names of all trailers.
    pub fn trailer_names(&self) -> Vec<&str> {
        self.pairs("trailers").map(|(name, _)| name).collect()
    }

    /// The request target.
    pub fn path(&self) -> &str {
        self.0["path"].as_str().unwrap()
    }

    /// The body.
    pub fn body(&self) -> &str {
        self.0["body"].as_str().unwrap()
    }

    fn pairs(&self, list: &str) -> impl Iterator<Item = (&str, &str)> {
        let pairs = self.0[list].as_array().unwrap().iter();
        pairs.map(|pair| (pair[0].as_str().unwrap(), pair[1].as_str().unwrap()))
    }
}
