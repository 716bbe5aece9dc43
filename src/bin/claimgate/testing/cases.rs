//! A file of policy tests as it is written, and its tables laid out: each row is a case.

use super::ask::{Ask, Draft};
use super::expect::Expect;
use super::read::{Read, member, object, unexpected};
use claimgate::config::Place;
use claimgate::time::Timestamp;
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::time::UNIX_EPOCH;

/// The host of requests that name none.
pub const DEFAULT_HOST: &str = "example.com";

/// How often a request may be asked in a case.
pub const MAX_TIMES: u32 = 1_000_000;

/// A file of cases.
pub struct File {
    /// The configuration's file, relative to this one.
    pub configuration: String,
    /// Which configuration of that file, where it holds several.
    pub at: Option<String>,
    /// When requests are decided, if not now.
    pub now: Option<Timestamp>,
    pub cases: Vec<Case>,
}

/// A request, and what is expected of it.
pub struct Case {
    pub name: String,
    pub place: Place,
    pub ask: Ask,
    /// How often it is asked; the last one is judged.
    pub times: u32,
    pub credential: Credential,
    /// The operator's name for the issuer whose token it is.
    pub issuer: Option<String>,
    pub expect: Expect,
}

/// What the request brings.
#[derive(Clone, Default, PartialEq)]
pub enum Credential {
    /// Nothing but its headers.
    #[default]
    None,
    /// A token that verifies, with these claims.
    Claims(Map<String, Value>),
    /// A token as it is.
    Token(String),
}

/// Shows no token.
impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Claims(claims) => f.debug_tuple("Claims").field(claims).finish(),
            Self::Token(_) => f.write_str("Token"),
        }
    }
}

/// What a case says, or a row of its table; a row says less, and wins.
#[derive(Clone, Default)]
struct Saying {
    name: Option<String>,
    request: Draft,
    times: Option<u32>,
    credential: Option<Credential>,
    issuer: Option<String>,
    expect: Expect,
}

/// Reads a file.
///
/// # Errors
/// The first thing that is wrong, with its place.
pub fn read(text: &str) -> Read<File> {
    let top = Place::default();
    let documents: Vec<Value> = serde_saphyr::from_multiple(text).map_err(|error| {
        let error = error.to_string();
        top.error(format!("not YAML: {}", error.lines().next().unwrap_or_default()))
    })?;
    let [document] = documents.as_slice() else {
        return Err(top.error(format!("found {} documents, expected one", documents.len())));
    };
    let accepted = ["configuration", "at", "now", "issuer", "host", "cases"];
    let members = object(document, &top, &accepted, "an object with `configuration` and `cases`")?;
    let configuration = member(members, "configuration", &top)?.ok_or_else(|| {
        top.error("`configuration` is missing: the file with the policy, relative to this one")
    })?;
    let now = member(members, "now", &top)?;
    let now = now.map(|text| time(&text).ok_or(text)).transpose().map_err(|text| {
        top.key("now").error(format!("`{text}` is no time: write `2026-11-25T12:00:00Z`"))
    })?;
    let host = member(members, "host", &top)?;
    let above = Saying {
        request: Draft::of_host(host.unwrap_or_else(|| DEFAULT_HOST.to_owned())),
        issuer: member(members, "issuer", &top)?,
        ..Saying::default()
    };
    let place = top.key("cases");
    let Some(listed) = members.get("cases") else {
        return Err(top.error("`cases` is missing: a list of requests and what is expected"));
    };
    let Value::Array(listed) = listed else {
        return Err(unexpected(listed, &place, "a list"));
    };
    let mut cases = Vec::new();
    for (index, value) in listed.iter().enumerate() {
        lay_out(value, &place.index(index), &above, &mut cases)?;
    }
    if cases.is_empty() {
        return Err(place.error("no case in it, so that it tests nothing"));
    }
    let mut places: HashMap<&str, &Place> = HashMap::new();
    for case in &cases {
        if let Some(other) = places.insert(&case.name, &case.place) {
            let reason = format!("`{}` is the name of `{other}` too: names are unique", case.name);
            return Err(case.place.key("name").error(reason));
        }
    }
    let at = member(members, "at", &top)?;
    Ok(File { configuration, at, now, cases })
}

/// A time as RFC 3339 writes it, in UTC.
pub fn time(text: &str) -> Option<Timestamp> {
    let time = humantime::parse_rfc3339(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(Timestamp::from_nanos(time.as_nanos().try_into().ok()?))
}

/// A case, or each row of its table.
fn lay_out(value: &Value, place: &Place, above: &Saying, cases: &mut Vec<Case>) -> Read<()> {
    let accepted = ["name", "request", "times", "claims", "issuer", "token", "expect", "table"];
    let members = object(value, place, &accepted, "an object with `name`, `request`, `expect`")?;
    let case = saying(members, place)?.over(above);
    let Some(name) = case.name.clone() else {
        return Err(place.error("`name` is missing: it tells the case from others"));
    };
    let Some(table) = members.get("table") else {
        cases.push(case.finish(name, place)?);
        return Ok(());
    };
    let place = place.key("table");
    let Value::Array(rows) = table else {
        return Err(unexpected(table, &place, "a list"));
    };
    if rows.is_empty() {
        return Err(place.error("no row in it, so that it tests nothing"));
    }
    for (index, row) in rows.iter().enumerate() {
        let place = place.index(index);
        let accepted = &accepted[..7];
        let members = object(row, &place, accepted, "an object with what the row says")?;
        let row = saying(members, &place)?;
        let name = row.name.clone().unwrap_or_else(|| format!("{name}[{index}]"));
        cases.push(row.over(&case).finish(name, &place)?);
    }
    Ok(())
}

fn saying(members: &Map<String, Value>, place: &Place) -> Read<Saying> {
    let named = |name: &str| members.get(name).map(|value| (value, place.key(name)));
    let claims = named("claims").map(|(value, place)| match value {
        Value::Null => Ok(Credential::None),
        Value::Object(claims) => Ok(Credential::Claims(claims.clone())),
        other => Err(unexpected(other, &place, "an object, or null for no token at all")),
    });
    let token = named("token").map(|(value, place)| match value {
        Value::Null => Ok(Credential::None),
        Value::String(token) => Ok(Credential::Token(token.clone())),
        other => Err(unexpected(other, &place, "a string, or null for no token at all")),
    });
    let times = named("times").map(|(value, place)| {
        let times = value.as_u64().and_then(|times| u32::try_from(times).ok());
        let times = times.filter(|times| (1..=MAX_TIMES).contains(times));
        let expected = format!("how often it is asked, between 1 and {MAX_TIMES}");
        times.ok_or_else(|| unexpected(value, &place, &expected))
    });
    let request = named("request").map(|(value, place)| Draft::read(value, &place));
    let expect = named("expect").map(|(value, place)| Expect::read(value, &place));
    Ok(Saying {
        name: member(members, "name", place)?,
        request: request.transpose()?.unwrap_or_default(),
        times: times.transpose()?,
        credential: match (claims.transpose()?, token.transpose()?) {
            (Some(_), Some(_)) => {
                return Err(place.key("token").error("contradicts `claims`: keep one"));
            }
            (claims, token) => claims.or(token),
        },
        issuer: member(members, "issuer", place)?,
        expect: expect.transpose()?.unwrap_or_default(),
    })
}

impl Saying {
    /// This, and what it leaves open as it is above. Claims are merged claim by claim.
    fn over(self, above: &Self) -> Self {
        let credential = match (self.credential, &above.credential) {
            (Some(Credential::Claims(own)), Some(Credential::Claims(above))) => {
                let mut claims = above.clone();
                claims.extend(own);
                Some(Credential::Claims(claims))
            }
            (own, above) => own.or_else(|| above.clone()),
        };
        Self {
            name: self.name.or_else(|| above.name.clone()),
            request: self.request.over(&above.request),
            times: self.times.or(above.times),
            credential,
            issuer: self.issuer.or_else(|| above.issuer.clone()),
            expect: self.expect.over(&above.expect),
        }
    }

    fn finish(self, name: String, place: &Place) -> Read<Case> {
        if self.expect == Expect::default() {
            return Err(place.error(
                "`expect` is missing: `allowed`, `shadow_denied`, a code, or an object of what is \
                 expected",
            ));
        }
        Ok(Case {
            ask: self.request.finish(&place.key("request"))?,
            times: self.times.unwrap_or(1),
            expect: self.expect.finish(),
            name,
            place: place.clone(),
            credential: self.credential.unwrap_or_default(),
            issuer: self.issuer,
        })
    }
}

/// The cases whose names hold this text; all where there is none.
pub fn filtered<'f>(
    cases: &'f [Case],
    filter: Option<&'f str>,
) -> impl Iterator<Item = &'f Case> + use<'f> {
    cases.iter().filter(move |case| filter.is_none_or(|text| case.name.contains(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOP: &str = "configuration: c.yaml\ncases:\n";

    fn wrong(text: &str) -> String {
        read(text).err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn lays_tables_out() {
        let text = format!(
            "issuer: corp\nhost: h.test\n{TOP}
  - name: a
    request: GET /a
    claims: {{ sub: alice, roles: [x] }}
    expect: {{ route: r }}
    table:
      - {{ expect: allowed }}
      - {{ claims: {{ roles: null, n: 1 }}, issuer: other }}
      - {{ claims: null }}
      - {{ token: t.t.t, name: as it is }}
  - {{ name: b, request: POST https://o.test/b, expect: allowed }}\n"
        );
        let file = read(&text).unwrap();
        let lines: Vec<String> = file
            .cases
            .iter()
            .map(|case| {
                let claims = match &case.credential {
                    Credential::None => "none".to_owned(),
                    Credential::Token(_) => "a token".to_owned(),
                    Credential::Claims(claims) => Value::Object(claims.clone()).to_string(),
                };
                let (Case { name, place, ask, .. }, issuer) = (case, case.issuer.as_deref());
                format!("{name} | {place} | {} {} | {claims} | {issuer:?}", ask.host, ask.path)
            })
            .collect();
        let want = [
            r#"a[0] | cases[0].table[0] | h.test /a | {"roles":["x"],"sub":"alice"} | Some("corp")"#,
            r#"a[1] | cases[0].table[1] | h.test /a | {"n":1,"roles":null,"sub":"alice"} | Some("other")"#,
            r#"a[2] | cases[0].table[2] | h.test /a | none | Some("corp")"#,
            r#"as it is | cases[0].table[3] | h.test /a | a token | Some("corp")"#,
            r#"b | cases[1] | o.test /b | none | Some("corp")"#,
        ];
        assert_eq!(lines, want);
    }

    #[test]
    fn names_what_is_wrong() {
        let cases = [
            ("cases: []", "configuration: `configuration` is missing"),
            ("configuration: c.yaml", "configuration: `cases` is missing"),
            ("configuration: c.yaml\ncases: {}", "cases: found an object, expected a list"),
            ("configuration: c.yaml\ncases: []", "cases: no case in it"),
            ("configuration: 5\ncases: []", "configuration: found a number, expected a string"),
            ("a: [", "configuration: not YAML: "),
            ("a: 1\n---\nb: 1", "configuration: found 2 documents, expected one"),
            ("a: 1\na: 2", "configuration: not YAML: "),
            ("configuration: c.yaml\nnow: noon", "now: `noon` is no time: write"),
            (
                "configuration: c.yaml\ncase: []",
                "case: unknown key `case`, accepted: `configuration`",
            ),
            (&format!("{TOP}  - GET /"), "cases[0]: found a string, expected an object with"),
            (
                &format!("{TOP}  - {{ request: GET /, expect: allowed }}"),
                "cases[0]: `name` is missing",
            ),
            (
                &format!("{TOP}  - {{ name: a, expect: allowed }}"),
                "cases[0].request: `method` is missing",
            ),
            (&format!("{TOP}  - {{ name: a, request: GET / }}"), "cases[0]: `expect` is missing"),
            (
                &format!("{TOP}  - {{ name: a, request: GET /, expected: allowed }}"),
                "cases[0].expected: unknown key `expected`, accepted: `name`",
            ),
            (
                &format!(
                    "{TOP}  - {{ name: a, request: GET /, claims: {{}}, token: t, expect: allowed }}"
                ),
                "cases[0].token: contradicts `claims`: keep one",
            ),
            (
                &format!("{TOP}  - {{ name: a, request: GET /, claims: [], expect: allowed }}"),
                "cases[0].claims: found an array, expected an object, or null",
            ),
            (
                &format!("{TOP}  - {{ name: a, request: GET /, expect: allowed, table: [] }}"),
                "cases[0].table: no row in it",
            ),
            (
                &format!("{TOP}  - {{ name: a, request: GET /, table: [{{ table: [] }}] }}"),
                "cases[0].table[0].table: unknown key `table`",
            ),
            (
                &format!(
                    "{TOP}  - {{ name: a, request: GET /, expect: allowed }}\n  - {{ name: a, request: GET /, expect: allowed }}"
                ),
                "cases[1].name: `a` is the name of `cases[0]` too: names are unique",
            ),
        ];
        for (text, want) in cases {
            let error = wrong(text);
            assert!(error.starts_with(want), "{error}\n{text}");
        }
    }
}
