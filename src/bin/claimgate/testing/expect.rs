//! What is expected of a decision, and how it differs from what came.

use super::read::{Read, list, object, text, unexpected, word};
use super::run::Decided;
use claimgate::audit::Verdict;
use claimgate::config::Place;
use claimgate::policy::route::Mode;
use claimgate::response::Code;
use serde::Serialize;
use serde_json::Value;

/// Headers by name in lower case; no value where it is not to be there.
type Headers = Vec<(String, Option<String>)>;

/// What is expected; what is not said is not looked at.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Expect {
    decision: Option<Verdict>,
    /// Outside `None`: nothing is said. Inside: that no code is looked at.
    code: Option<Option<Code>>,
    /// Inside `None`: that there is no route.
    route: Option<Option<String>>,
    status: Option<u16>,
    mode: Option<Mode>,
    headers: Headers,
    response: Headers,
}

/// Something that is not as expected.
#[derive(Debug, PartialEq, Serialize)]
pub struct Mismatch {
    /// `decision`, `code`, `headers.x-user-id`.
    pub what: String,
    pub expected: String,
    pub got: String,
}

const MEMBERS: [&str; 7] = ["decision", "code", "route", "status", "mode", "headers", "response"];

const DECISIONS: [(&str, Verdict); 3] = [
    ("allowed", Verdict::Allowed),
    ("denied", Verdict::Denied),
    ("shadow_denied", Verdict::ShadowDenied),
];

const MODES: [(&str, Mode); 2] = [("enforce", Mode::Enforce), ("shadow", Mode::Shadow)];

/// What stands for what is not there.
const NONE: &str = "none";

impl Expect {
    /// A word, or the long form.
    pub fn read(value: &Value, place: &Place) -> Read<Self> {
        if let Value::String(word) = value {
            return Self::word(word, place);
        }
        let expected = "`allowed`, `shadow_denied`, a code, or an object";
        let members = object(value, place, &MEMBERS, expected)?;
        let named = |name: &str| members.get(name).map(|value| (value, place.key(name)));
        let decision = named("decision").map(|(value, place)| word(value, &place, &DECISIONS));
        let code = named("code").map(|(value, place)| code(&text(value, &place)?, &place));
        let route = named("route").map(|(value, place)| match value {
            Value::Null => Ok(None),
            _ => text(value, &place).map(Some),
        });
        let status = named("status").map(|(value, place)| {
            let status = value.as_u64().and_then(|status| u16::try_from(status).ok());
            let status = status.filter(|status| (100..600).contains(status));
            status.ok_or_else(|| unexpected(value, &place, "a status such as 403"))
        });
        let mode = named("mode").map(|(value, place)| word(value, &place, &MODES));
        let headers = |name| {
            let headers = named(name).map(|(value, place)| headers(value, &place));
            headers.transpose().map(Option::unwrap_or_default)
        };
        let expect = Self {
            decision: decision.transpose()?,
            code: code.transpose()?.map(Some),
            route: route.transpose()?,
            status: status.transpose()?,
            mode: mode.transpose()?,
            headers: headers("headers")?,
            response: headers("response")?,
        };
        if expect == Self::default() {
            return Err(place.error("expects nothing, so that it tests nothing"));
        }
        Ok(expect)
    }

    /// `allowed` and `shadow_denied` say nothing of the code, and a code says that it refuses.
    fn word(word: &str, place: &Place) -> Read<Self> {
        let (decision, code) = match word {
            "allowed" => (Verdict::Allowed, None),
            "shadow_denied" => (Verdict::ShadowDenied, None),
            "denied" => return Err(place.error("say why: a code, such as `claims_insufficient`")),
            other => (Verdict::Denied, Some(code(other, place)?)),
        };
        Ok(Self { decision: Some(decision), code: Some(code), ..Self::default() })
    }

    /// This, and what it leaves open as it is above.
    pub fn over(self, above: &Self) -> Self {
        Self {
            decision: self.decision.or(above.decision),
            code: self.code.or(above.code),
            route: self.route.or_else(|| above.route.clone()),
            status: self.status.or(above.status),
            mode: self.mode.or(above.mode),
            headers: merge(self.headers, &above.headers),
            response: merge(self.response, &above.response),
        }
    }

    /// A code alone is that of a refusal.
    pub fn finish(mut self) -> Self {
        if let (None, Some(Some(_))) = (self.decision, self.code) {
            self.decision = Some(Verdict::Denied);
        }
        self
    }

    /// What is not as expected.
    pub fn differences(&self, decided: &Decided) -> Vec<Mismatch> {
        let mut found = Vec::new();
        let mut compare = |what: &str, expected: Option<&str>, got: Option<&str>| {
            if expected != got {
                let (what, none) = (what.to_owned(), || NONE.to_owned());
                let expected = expected.map_or_else(none, str::to_owned);
                let got = got.map_or_else(none, str::to_owned);
                found.push(Mismatch { what, expected, got });
            }
        };
        if let Some(decision) = self.decision {
            compare("decision", Some(decision.name()), Some(decided.decision.name()));
        }
        if let Some(Some(code)) = self.code {
            compare("code", Some(code.name()), decided.code.map(Code::name));
        }
        if let Some(route) = &self.route {
            compare("route", route.as_deref(), decided.route.as_deref());
        }
        if let Some(status) = self.status {
            let got = decided.response.as_ref().map(|response| response.status.to_string());
            compare("status", Some(&status.to_string()), got.as_deref());
        }
        if let Some(mode) = self.mode {
            compare("mode", Some(mode_name(mode)), Some(mode_name(decided.mode)));
        }
        // What is refused reaches no upstream, and what passes is not answered: where headers are
        // expected there, even their absence is not had.
        let passes = decided.response.is_none();
        for (name, expected) in &self.headers {
            let got = value_of(&decided.upstream, name);
            let got = if passes { got } else { Some(ANSWERED.to_owned()) };
            compare(&format!("headers.{name}"), expected.as_deref(), got.as_deref());
        }
        for (name, expected) in &self.response {
            let got = match &decided.response {
                Some(response) => value_of(&response.headers, name),
                None => Some(PASSED.to_owned()),
            };
            compare(&format!("response.{name}"), expected.as_deref(), got.as_deref());
        }
        found
    }
}

const ANSWERED: &str = "no request: the filter answers it";
const PASSED: &str = "no response: the request passes";

/// The word for a mode.
pub fn mode_name(mode: Mode) -> &'static str {
    MODES.iter().find(|(_, one)| *one == mode).map_or(NONE, |(name, _)| name)
}

/// All values of a header; several are joined as Envoy joins them.
pub fn value_of(headers: &[(String, String)], name: &str) -> Option<String> {
    let values: Vec<&str> =
        headers.iter().filter(|(own, _)| own == name).map(|(_, value)| &**value).collect();
    let separator = if name == "cookie" { "; " } else { "," };
    (!values.is_empty()).then(|| values.join(separator))
}

fn code(name: &str, place: &Place) -> Read<Code> {
    Code::ALL.into_iter().find(|code| code.name() == name).ok_or_else(|| {
        let known = list(Code::ALL.into_iter().map(Code::name));
        place.error(format!("unknown code `{name}`, there are: {known}"))
    })
}

fn headers(value: &Value, place: &Place) -> Read<Headers> {
    let members =
        value.as_object().ok_or_else(|| unexpected(value, place, "an object of headers"))?;
    let header = |(name, value): (&String, &Value)| {
        let value = match value {
            Value::Null => None,
            value => Some(text(value, &place.key(name))?),
        };
        Ok((name.to_ascii_lowercase(), value))
    };
    members.iter().map(header).collect()
}

fn merge(own: Headers, above: &Headers) -> Headers {
    let mut merged = own;
    for (name, value) in above {
        if !merged.iter().any(|(own, _)| own == name) {
            merged.push((name.clone(), value.clone()));
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Expect, String> {
        let value: Value = serde_json::from_str(text).unwrap();
        Expect::read(&value, &Place::default().key("expect")).map_err(|error| error.to_string())
    }

    #[test]
    fn reads_words_and_objects() {
        let denied = Expect { decision: Some(Verdict::Denied), ..Expect::default() };
        let missing = Some(Some(Code::TokenMissing));
        let cases = [
            (
                r#""allowed""#,
                Expect { decision: Some(Verdict::Allowed), code: Some(None), ..Expect::default() },
            ),
            (r#""token_missing""#, Expect { code: missing, ..denied.clone() }),
            (r#"{"decision": "denied"}"#, denied.clone()),
            (r#"{"code": "token_missing"}"#, Expect { code: missing, ..denied.clone() }),
            (
                r#"{"decision": "allowed", "code": "token_missing"}"#,
                Expect { decision: Some(Verdict::Allowed), code: missing, ..Expect::default() },
            ),
            (r#"{"route": null}"#, Expect { route: Some(None), ..Expect::default() }),
            (
                r#"{"headers": {"X-A": null, "x-b": "1"}}"#,
                Expect {
                    headers: vec![("x-a".into(), None), ("x-b".into(), Some("1".into()))],
                    ..Expect::default()
                },
            ),
        ];
        for (text, want) in cases {
            assert_eq!(read(text).unwrap().finish(), want, "{text}");
        }
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        let cases = [
            (r#""denied""#, "expect: say why"),
            (r#""forbidden""#, "expect: unknown code `forbidden`, there are: `host_ambiguous`"),
            ("true", "expect: found a boolean, expected `allowed`"),
            ("{}", "expect: expects nothing"),
            (r#"{"rout": "x"}"#, "expect.rout: unknown key `rout`, accepted: `decision`"),
            (
                r#"{"decision": "open"}"#,
                "expect.decision: unknown word `open`, accepted: `allowed`",
            ),
            (r#"{"status": 99}"#, "expect.status: found a number, expected a status"),
            (
                r#"{"headers": {"x": 1}}"#,
                "expect.headers.x: found a number, expected a string: quote",
            ),
        ];
        for (text, want) in cases {
            let error = read(text).unwrap_err();
            assert!(error.starts_with(want), "{error}");
        }
    }

    #[test]
    fn a_row_wins_over_what_is_above() {
        let over = |own: &str, above: &str| read(own).unwrap().over(&read(above).unwrap()).finish();
        let cases = [
            (r#""allowed""#, r#""token_missing""#, r#""allowed""#),
            (r#""token_missing""#, r#""allowed""#, r#""token_missing""#),
            (
                r#"{"route": "a"}"#,
                r#"{"decision": "denied", "code": "no_route"}"#,
                r#"{"decision": "denied", "code": "no_route", "route": "a"}"#,
            ),
            (
                r#"{"headers": {"x-a": "1"}}"#,
                r#"{"headers": {"x-b": "2", "x-a": "3"}}"#,
                r#"{"headers": {"x-a": "1", "x-b": "2"}}"#,
            ),
        ];
        for (own, above, want) in cases {
            assert_eq!(over(own, above), read(want).unwrap().finish(), "{own} {above}");
        }
    }

    #[test]
    fn joins_values() {
        let headers: Vec<(String, String)> =
            [("a", "1"), ("cookie", "x=1"), ("a", "2"), ("cookie", "y=2")]
                .map(|(name, value)| (name.into(), value.into()))
                .into();
        assert_eq!(value_of(&headers, "a").as_deref(), Some("1,2"));
        assert_eq!(value_of(&headers, "cookie").as_deref(), Some("x=1; y=2"));
        assert_eq!(value_of(&headers, "b"), None);
    }
}
