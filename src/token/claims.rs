//! Claims: paths to them, and the registered ones (RFC 7519 section 4.1) with their checks.

use super::{Error, Issuer};
use serde_json::{Map, Value};
use std::fmt;

/// The claims of a token.
pub type Claims = Map<String, Value>;

/// Where a claim is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimPath {
    /// A top-level claim by its exact name, dots and slashes included.
    Name(Box<str>),
    /// A JSON Pointer (RFC 6901); `None` stands for `*`, every element of an array.
    Pointer(Vec<Option<Box<str>>>),
}

impl ClaimPath {
    /// Reads a claim's name, or a JSON Pointer where it begins with a slash.
    ///
    /// # Errors
    /// Says what is wrong with the pointer.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if text.is_empty() {
            return Err("the name of a claim is empty");
        }
        let Some(pointer) = text.strip_prefix('/') else {
            return Ok(Self::Name(text.into()));
        };
        let steps: Vec<_> = pointer.split('/').map(step).collect::<Result<_, _>>()?;
        if matches!(steps.first(), Some(None)) {
            return Err("the claims are an object: `*` stands for the elements of an array");
        }
        Ok(Self::Pointer(steps))
    }

    /// The values at this path: a scalar or an object is a set of one, an array the set of its
    /// elements. `None` where there is nothing, or null.
    pub fn find<'a>(&self, claims: &'a Claims) -> Option<Values<'a>> {
        match self {
            Self::Name(name) => Values::of(claims.get(&**name)?),
            Self::Pointer(steps) => {
                let (first, rest) = steps.split_first()?;
                let value = claims.get(first.as_deref()?)?;
                if rest.iter().all(Option::is_some) {
                    return Values::of(
                        rest.iter().flatten().try_fold(value, |value, step| member(value, step))?,
                    );
                }
                let mut gathered = Gathered::default();
                gather(value, rest, &mut gathered)?;
                let Gathered { mut values, empty, unreadable } = gathered;
                if unreadable && (empty || !values.is_empty()) {
                    // Beside others, what cannot be read is null: no list is judged by a part of it.
                    values.push(&Value::Null);
                }
                (empty || !values.is_empty()).then_some(Values::Gathered(values))
            }
        }
    }

    /// Whether it may name several values.
    pub fn has_star(&self) -> bool {
        matches!(self, Self::Pointer(steps) if steps.iter().any(Option::is_none))
    }

    /// The one value at this path, whatever it is; a pointer with `*` gives none.
    pub fn value<'a>(&self, claims: &'a Claims) -> Option<&'a Value> {
        match self {
            Self::Name(name) => claims.get(&**name),
            Self::Pointer(steps) => {
                let (first, rest) = steps.split_first()?;
                let value = claims.get(first.as_deref()?)?;
                rest.iter().try_fold(value, |value, step| member(value, step.as_deref()?))
            }
        }
    }
}

impl fmt::Display for ClaimPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Pointer(steps) => steps.iter().try_for_each(|step| match step {
                Some(step) => write!(f, "/{}", step.replace('~', "~0").replace('/', "~1")),
                None => f.write_str("/*"),
            }),
        }
    }
}

fn step(text: &str) -> Result<Option<Box<str>>, &'static str> {
    if text == "*" {
        return Ok(None);
    }
    let rest = text.replace("~0", "").replace("~1", "");
    if rest.contains('~') {
        return Err("`~` in a JSON Pointer is written `~0`, and `/` is written `~1`");
    }
    // RFC 6901 section 4: first ~1, then ~0, so that ~01 becomes ~1.
    Ok(Some(text.replace("~1", "/").replace("~0", "~").into()))
}

fn member<'a>(value: &'a Value, step: &str) -> Option<&'a Value> {
    match value {
        Value::Object(map) => map.get(step),
        // RFC 6901 section 4: an index has no leading zero.
        Value::Array(items)
            if (step.len() == 1 || !step.starts_with('0'))
                && step.bytes().all(|byte| byte.is_ascii_digit()) =>
        {
            items.get(step.parse::<usize>().ok()?)
        }
        _ => None,
    }
}

/// What a pointer with stars leads to.
#[derive(Default)]
struct Gathered<'a> {
    values: Vec<&'a Value>,
    /// Whether an empty array was met, which explains that nothing was found.
    empty: bool,
    /// Whether an element has nothing there, or null.
    unreadable: bool,
}

/// Follows a pointer with stars; `None` where it leads nowhere.
fn gather<'a>(
    value: &'a Value,
    steps: &[Option<Box<str>>],
    gathered: &mut Gathered<'a>,
) -> Option<()> {
    match steps.split_first() {
        None => match value {
            Value::Null => gathered.unreadable = true,
            Value::Array(items) => {
                gathered.empty |= items.is_empty();
                gathered.values.extend(items);
            }
            other => gathered.values.push(other),
        },
        Some((Some(step), rest)) => gather(member(value, step)?, rest, gathered)?,
        Some((None, rest)) => {
            let items = value.as_array()?;
            gathered.empty |= items.is_empty();
            for item in items {
                gathered.unreadable |= gather(item, rest, gathered).is_none();
            }
        }
    }
    Some(())
}

/// A set of claim values.
#[derive(Debug)]
pub enum Values<'a> {
    /// One value, or the elements of one array.
    Slice {
        /// The values.
        items: &'a [Value],
        /// Whether they are one value that is no array.
        scalar: bool,
    },
    /// Values from several places.
    Gathered(Vec<&'a Value>),
}

impl<'a> Values<'a> {
    fn of(value: &'a Value) -> Option<Self> {
        match value {
            Value::Null => None,
            Value::Array(items) => Some(Self::Slice { items, scalar: false }),
            other => Some(Self::Slice { items: std::slice::from_ref(other), scalar: true }),
        }
    }

    /// The one value, where the claim is not an array.
    pub fn scalar(&self) -> Option<&'a Value> {
        match self {
            Self::Slice { items, scalar: true } => items.first(),
            _ => None,
        }
    }

    /// All values.
    pub fn iter(&self) -> impl Iterator<Item = &'a Value> + Clone + '_ {
        let (slice, gathered): (&'a [Value], &[&'a Value]) = match self {
            Self::Slice { items, .. } => (items, &[]),
            Self::Gathered(items) => (&[], items),
        };
        slice.iter().chain(gathered.iter().copied())
    }
}

/// The registered claims of a payload, absent or well-formed.
#[derive(Debug, PartialEq)]
pub struct Registered {
    /// `exp`, in milliseconds.
    pub exp: Option<i64>,
    /// `nbf`, in milliseconds.
    pub nbf: Option<i64>,
    /// `iat`, in milliseconds.
    pub iat: Option<i64>,
}

impl Registered {
    /// Reads the registered claims; a present one of a wrong type is never skipped.
    ///
    /// # Errors
    /// [`Error::Malformed`].
    pub fn read(claims: &Claims) -> Result<Self, Error> {
        let mut registered = Self { exp: None, nbf: None, iat: None };
        for (name, value) in claims {
            match name.as_str() {
                "exp" => registered.exp = Some(date(value)?),
                "nbf" => registered.nbf = Some(date(value)?),
                "iat" => registered.iat = Some(date(value)?),
                "sub" | "jti" if !value.is_string() => {
                    return Err(Error::Malformed("`sub` or `jti` is not a string"));
                }
                _ => {}
            }
        }
        Ok(registered)
    }

    /// Checks the time claims against the clock.
    ///
    /// # Errors
    /// The first time claim that does not hold.
    pub fn check(&self, issuer: &Issuer, now: i64) -> Result<(), Error> {
        let skew = issuer.clock_skew_ms;
        match self.exp {
            // RFC 7519 section 4.1.4: "on or after which the JWT MUST NOT be accepted".
            Some(exp) if now >= exp.saturating_add(skew) => {
                return Err(Error::Expired { exp, now, skew });
            }
            None if !issuer.allow_no_expiry => return Err(Error::ClaimMissing("exp".into())),
            _ => {}
        }
        for (claim, date) in [("nbf", self.nbf), ("iat", self.iat)] {
            if let Some(from) = date.filter(|from| now < from.saturating_sub(skew)) {
                return Err(Error::NotYetValid { claim, from, now, skew });
            }
        }
        if let Some(limit) = issuer.max_lifetime_ms {
            let exp = self.exp.ok_or_else(|| Error::ClaimMissing("exp".into()))?;
            let iat = self.iat.ok_or_else(|| Error::ClaimMissing("iat".into()))?;
            let lifetime = exp.saturating_sub(iat);
            if lifetime > limit {
                return Err(Error::LifetimeTooLong { lifetime, limit });
            }
        }
        Ok(())
    }
}

/// A NumericDate (RFC 7519 section 2), "non-integer values can be represented", in milliseconds.
fn date(value: &Value) -> Result<i64, Error> {
    let Value::Number(number) = value else {
        return Err(Error::Malformed("`exp`, `nbf` or `iat` is not a number"));
    };
    Ok(if let Some(secs) = number.as_i64() {
        secs.saturating_mul(1000)
    } else if number.is_u64() {
        i64::MAX
    } else {
        // `as` saturates, and JSON has no NaN.
        number.as_f64().map_or(i64::MIN, |secs| (secs * 1000.0).floor() as i64)
    })
}

/// Checks `aud` (RFC 7519 section 4.1.3), compared exactly.
///
/// # Errors
/// [`Error::AudienceMismatch`], or [`Error::Malformed`] where it is no string or list of strings.
pub fn check_audience(claims: &Claims, accepted: Option<&[Box<str>]>) -> Result<(), Error> {
    let malformed = Error::Malformed("`aud` is not a string or a list of strings");
    let audiences = match claims.get("aud") {
        None => &[],
        Some(Value::Array(items)) => items.as_slice(),
        Some(one) => std::slice::from_ref(one),
    };
    let mut found = accepted.is_none();
    for audience in audiences {
        let Value::String(audience) = audience else {
            return Err(malformed);
        };
        found |= accepted.is_some_and(|list| list.iter().any(|item| **item == **audience));
    }
    if found { Ok(()) } else { Err(Error::AudienceMismatch) }
}

/// `typ` without case and `application/` (RFC 7515 section 4.1.9).
pub fn normal_type(typ: &str) -> String {
    let typ = typ.to_ascii_lowercase();
    typ.strip_prefix("application/").map_or_else(|| typ.clone(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::response::Code;

    fn claims(text: &str) -> Claims {
        crate::json::parse_object(text.as_bytes()).unwrap()
    }

    #[test]
    fn follows_paths() {
        let claims = claims(
            r#"{"roles":["a","b"],"https://x/y":"u","n":null,"o":{"a/b":{"~":1}},
               "groups":[{"name":"x"},{"id":2},{"name":["y","z"]}],"empty":[],"deep":[[1],[2]],
               "part":[{"of":[]},{}],"odd":["a",null]}"#,
        );
        let cases = [
            ("roles", Some(r#"["a","b"]"#)),
            ("https://x/y", Some(r#"["u"]"#)),
            ("n", None),
            ("absent", None),
            ("/roles", Some(r#"["a","b"]"#)),
            ("/roles/1", Some(r#"["b"]"#)),
            ("/roles/01", None),
            ("/roles/+1", None),
            ("/roles/9", None),
            ("/o/a~1b/~0", Some("[1]")),
            ("/groups/*/name", Some(r#"["x","y","z",null]"#)),
            ("/groups/*/none", None),
            ("/empty/*", Some("[]")),
            ("/empty/*/name", Some("[]")),
            ("/roles/*", Some(r#"["a","b"]"#)),
            ("/o/*", None),
            ("/deep/*", Some("[1,2]")),
            ("/part/*/of", Some("[null]")),
            ("/odd/*", Some(r#"["a",null]"#)),
        ];
        for (path, want) in cases {
            let got = ClaimPath::parse(path)
                .unwrap()
                .find(&claims)
                .map(|values| serde_json::to_string(&values.iter().collect::<Vec<_>>()).unwrap());
            assert_eq!(got.as_deref(), want, "{path}");
        }
        assert!(ClaimPath::parse("/a~2").is_err());
        assert!(ClaimPath::parse("").is_err());
        assert!(ClaimPath::parse("/*/a").is_err());
        assert_eq!(ClaimPath::parse("/a~1b/*/~0").unwrap().to_string(), "/a~1b/*/~0");
    }

    #[test]
    fn reads_dates() {
        let cases = [
            ("1700000000", Some(1_700_000_000_000)),
            ("1700000000.5", Some(1_700_000_000_500)),
            ("1.7e9", Some(1_700_000_000_000)),
            ("18446744073709551615", Some(i64::MAX)),
            ("9223372036854775807", Some(i64::MAX)),
            ("-1", Some(-1000)),
            ("-1e300", Some(i64::MIN)),
            ("\"1700000000\"", None),
            ("null", None),
            ("true", None),
            ("[1]", None),
        ];
        for (text, want) in cases {
            let claims = claims(&format!("{{\"exp\":{text}}}"));
            assert_eq!(date(&claims["exp"]).ok(), want, "{text}");
        }
    }

    #[test]
    fn compares_audiences() {
        let cases = [
            (r#"{"aud":"a"}"#, "ok"),
            (r#"{"aud":["x","a"]}"#, "ok"),
            (r#"{"aud":"a/"}"#, "audience_mismatch"),
            (r#"{"aud":"A"}"#, "audience_mismatch"),
            (r#"{"aud":[]}"#, "audience_mismatch"),
            ("{}", "audience_mismatch"),
            (r#"{"aud":["a",1]}"#, "token_malformed"),
            (r#"{"aud":{"a":1}}"#, "token_malformed"),
            (r#"{"aud":null}"#, "token_malformed"),
        ];
        for (text, want) in cases {
            let got = check_audience(&claims(text), Some(&["a".into()]));
            assert_eq!(got.map_or_else(|error| Code::of(&error).name(), |()| "ok"), want, "{text}");
        }
        assert!(check_audience(&claims("{}"), None).is_ok());
        assert!(check_audience(&claims(r#"{"aud":5}"#), None).is_err());
    }
}
