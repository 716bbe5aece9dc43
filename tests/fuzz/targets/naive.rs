//! Second opinions: each reads its standard in the plainest way, and shares no code with the engine.

use super::policy::{NOW, Rules};
use serde_json::{Map, Value};

/// What an object holds.
pub type Members = Map<String, Value>;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Base64url without padding, bit by bit; bits that are left over must be zero, and fewer than six.
pub fn base64url(text: &[u8]) -> Option<Vec<u8>> {
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0_u32, 0);
    for byte in text {
        bits = bits << 6 | ALPHABET.iter().position(|letter| letter == byte)? as u32;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    (count < 6 && bits == 0).then_some(bytes)
}

/// An object without duplicate members: there are as many members as colons outside strings.
pub fn object(bytes: &[u8]) -> Option<Members> {
    let value: Value = serde_json::from_slice(bytes).ok()?;
    (colons(bytes) == members(&value)).then_some(())?;
    match value {
        Value::Object(members) => Some(members),
        _ => None,
    }
}

fn colons(json: &[u8]) -> usize {
    let (mut count, mut inside, mut escaped) = (0, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if inside => escaped = true,
            b'"' => inside = !inside,
            b':' if !inside => count += 1,
            _ => {}
        }
    }
    count
}

fn members(value: &Value) -> usize {
    match value {
        Value::Object(map) => map.len() + map.values().map(members).sum::<usize>(),
        Value::Array(items) => items.iter().map(members).sum(),
        _ => 0,
    }
}

/// A token of three segments, the first two strict JSON objects: header, payload, signature.
pub fn token(bytes: &[u8]) -> Option<(Members, Members, Vec<u8>)> {
    let segments: Vec<&[u8]> = bytes.split(|byte| *byte == b'.').collect();
    let [header, payload, signature] = segments[..] else { return None };
    Some((object(&base64url(header)?)?, object(&base64url(payload)?)?, base64url(signature)?))
}

/// Whether a header may be read on: no extension, and what is named is text.
pub fn header(header: &Members) -> bool {
    let text = |name| header.get(name).is_none_or(Value::is_string);
    !header.contains_key("crit")
        && header.get("b64").is_none_or(|b64| b64 == &Value::Bool(true))
        && header.contains_key("alg")
        && text("alg")
        && text("kid")
        && text("typ")
}

/// Whether claims meet an issuer's rules at [`NOW`] (RFC 7519 section 4.1).
pub fn claims(claims: &Members, rules: &Rules) -> bool {
    let now = i128::from(NOW) * 1000;
    let text = |name| claims.get(name).is_none_or(Value::is_string);
    let Some(dates) = ["exp", "nbf", "iat"]
        .map(|name| claims.get(name).map(millis))
        .into_iter()
        .map(|date| if date == Some(None) { None } else { Some(date.flatten()) })
        .collect::<Option<Vec<Option<i128>>>>()
    else {
        return false;
    };
    let (exp, nbf, iat) = (dates[0], dates[1], dates[2]);
    let lifetime = match (rules.max_lifetime, exp, iat) {
        (None, ..) => true,
        (Some(limit), Some(exp), Some(iat)) => exp - iat <= limit,
        _ => false,
    };
    text("iss")
        && text("sub")
        && text("jti")
        && audience(claims.get("aud"), rules.audiences)
        && rules.required.iter().all(|path| at(claims, path).is_some_and(|value| !value.is_null()))
        && exp.map_or(rules.allow_no_expiry, |exp| now < exp + rules.skew)
        && [nbf, iat].into_iter().flatten().all(|from| from - rules.skew <= now)
        && lifetime
}

/// What a JSON Pointer names.
pub fn at<'a>(claims: &'a Members, pointer: &str) -> Option<&'a Value> {
    let mut steps = pointer[1..].split('/');
    let first = claims.get(steps.next()?)?;
    steps.try_fold(first, |value, step| value.get(step))
}

fn millis(date: &Value) -> Option<i128> {
    let number = date.as_number()?;
    let secs = number.as_i64().map(i128::from).or(number.as_u64().map(i128::from));
    // `as` saturates: a date beyond all others stays so.
    Some(secs.map_or_else(
        || number.as_f64().map_or(0, |secs| (secs * 1000.0).floor() as i64 as i128),
        |secs| secs * 1000,
    ))
}

fn audience(aud: Option<&Value>, accepted: &[&str]) -> bool {
    let audiences = match aud {
        None => Vec::new(),
        Some(Value::Array(items)) => items.iter().collect(),
        Some(one) => vec![one],
    };
    audiences.iter().all(|one| one.is_string())
        && (accepted.is_empty()
            || audiences.iter().filter_map(|one| one.as_str()).any(|one| accepted.contains(&one)))
}

/// Whether two values are the same one; numbers are compared by what they are worth.
pub fn alike(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(a), Value::Number(b)) if a.is_f64() && b.is_f64() => {
            a.as_f64() == b.as_f64()
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| alike(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| alike(a, b)))
        }
        (one, other) => one == other,
    }
}

/// Percent-decoding once, where two digits follow.
pub fn percent(text: &[u8]) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::new(), text);
    while let [first, after @ ..] = rest {
        rest = after;
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let digits = digits.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        match digits.map(|digits| u8::from_str_radix(digits, 16)) {
            Some(Ok(byte)) if *first == b'%' => {
                out.push(byte);
                rest = &after[2..];
            }
            _ => out.push(*first),
        }
    }
    out
}

/// How servers may read a path: decoded once or twice, parameters cut off or kept, slashes merged or
/// not, backslashes turned; dot segments resolved at last.
pub fn readings(path: &[u8]) -> Vec<String> {
    let mut readings = Vec::new();
    for choice in 0..16 {
        let [twice, cut_early, cut_late, merge] = [1, 2, 4, 8].map(|bit| choice & bit != 0);
        let mut path = path.to_vec();
        if cut_early {
            path = cut(&path);
        }
        path = percent(&path);
        if twice {
            path = percent(&path);
        }
        if cut_late {
            path = cut(&path);
        }
        let path = String::from_utf8_lossy(&path).replace('\\', "/");
        let mut kept: Vec<&str> = Vec::new();
        for segment in path.strip_prefix('/').unwrap_or(&path).split('/') {
            match segment {
                "." => {}
                ".." => drop(kept.pop()),
                "" if merge => {}
                segment => kept.push(segment),
            }
        }
        readings.push(format!("/{}", kept.join("/")));
    }
    readings
}

fn cut(path: &[u8]) -> Vec<u8> {
    let segments = path.split(|byte| *byte == b'/');
    let cut =
        segments.map(|segment| segment.split(|byte| *byte == b';').next().unwrap_or_default());
    cut.collect::<Vec<_>>().join(&b'/')
}
