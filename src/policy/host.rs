//! Host safety, and the patterns of hosts.

use crate::ascii::AsciiSet;
use std::borrow::Cow;
use std::fmt;

/// The safe form of `:authority`: ASCII lower case, without port and one final dot.
///
/// # Errors
/// Says what makes it ambiguous: empty, user info, an illegal character, an empty label.
pub fn normalise(authority: Option<&[u8]>) -> Result<Cow<'_, str>, &'static str> {
    let authority = authority.ok_or("no host")?;
    if let Some(host) = usual(authority) {
        return Ok(Cow::Borrowed(host));
    }
    let authority = std::str::from_utf8(authority).map_err(|_| "host is not ASCII")?;
    // RFC 1035 section 2.3.4 has 253 characters, then a final dot and a port.
    if authority.len() > 260 {
        return Err("host longer than a name can be");
    }
    if authority.contains('@') {
        return Err("host with user info");
    }
    let host = if let Some(rest) = authority.strip_prefix('[') {
        // An IPv6 address (RFC 3986 section 3.2.2).
        let (address, port) = rest.split_once(']').ok_or("host with an unclosed bracket")?;
        let parsed: std::net::Ipv6Addr =
            address.parse().map_err(|_| "host is not an IPv6 address")?;
        if !(port.is_empty() || port.strip_prefix(':').is_some_and(is_port)) {
            return Err("host with a malformed port");
        }
        // One address has many spellings (RFC 5952).
        return Ok(Cow::Owned(format!("[{parsed}]")));
    } else {
        let host = match authority.split_once(':') {
            None => authority,
            Some((host, port)) if is_port(port) => host,
            Some(_) => return Err("host with a malformed port"),
        };
        let host = host.strip_suffix('.').unwrap_or(host);
        if !host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_')) {
            return Err("host with an illegal character");
        }
        if host.split('.').any(str::is_empty) {
            return Err("host is empty or has an empty label");
        }
        host
    };
    if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Ok(Cow::Owned(host.to_ascii_lowercase()));
    }
    Ok(Cow::Borrowed(host))
}

/// A host that is already in its safe form, but for a port; `None` where a closer look is needed.
fn usual(authority: &[u8]) -> Option<&str> {
    static PLAIN: AsciiSet = AsciiSet::of(b"abcdefghijklmnopqrstuvwxyz0123456789-_.");
    let mut last = b'.';
    let mut end = authority.len();
    for (at, byte) in authority.iter().enumerate() {
        if !PLAIN.contains(*byte) {
            end = at;
            break;
        }
        if *byte == b'.' && last == b'.' {
            return None;
        }
        last = *byte;
    }
    let (host, port) = authority.split_at_checked(end)?;
    let port = match port {
        [] => true,
        [b':', digits @ ..] => std::str::from_utf8(digits).is_ok_and(is_port),
        _ => false,
    };
    let usual = port && authority.len() <= 260 && last != b'.';
    std::str::from_utf8(host).ok().filter(|_| usual)
}

fn is_port(text: &str) -> bool {
    !text.is_empty() && text.len() <= 5 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// A host, or a family of hosts, that a route names. All texts are in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// Exactly this host.
    Exact(Box<str>),
    /// One label, captured, before this: `{tenant}.app.example.com`.
    Capture {
        /// The capture's name.
        name: Box<str>,
        /// What follows the label and its dot.
        parent: Box<str>,
    },
    /// Any number of labels before this: `*.example.com`.
    Under(Box<str>),
    /// Every host.
    Every,
}

impl HostPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let plain = |host: &str| match normalise(Some(host.as_bytes())) {
            Ok(safe) if *safe == *host => Ok(host.into()),
            _ => Err("a host is written in lower case, without port, final dot or empty label"),
        };
        if text == "*" {
            return Ok(Self::Every);
        }
        if let Some(parent) = text.strip_prefix("*.") {
            return plain(parent).map(Self::Under);
        }
        if let Some(rest) = text.strip_prefix('{') {
            let (name, parent) = rest
                .split_once("}.")
                .ok_or("a capture stands for the whole first label: `{tenant}.example.com`")?;
            if !super::pattern::is_name(name) {
                return Err("the name of a capture is letters, digits, `-` and `_`");
            }
            return Ok(Self::Capture { name: name.into(), parent: plain(parent)? });
        }
        plain(text).map(Self::Exact)
    }

    /// The pattern without the name of its capture: alike for patterns that match the same hosts.
    pub fn shape(&self) -> String {
        match self {
            Self::Capture { parent, .. } => format!("{{}}.{parent}"),
            Self::Exact(_) | Self::Under(_) | Self::Every => self.to_string(),
        }
    }

    /// Whether it matches a safe host.
    pub fn matches(&self, host: &str) -> bool {
        match self {
            Self::Exact(exact) => **exact == *host,
            Self::Capture { .. } => self.capture(host).is_some(),
            Self::Under(parent) => {
                host.strip_suffix(&**parent).is_some_and(|labels| labels.ends_with('.'))
            }
            Self::Every => true,
        }
    }

    /// How specific it is, of those that match one host: more wins.
    pub fn specificity(&self) -> (u8, usize) {
        match self {
            Self::Exact(_) => (3, 0),
            Self::Capture { .. } => (2, 0),
            Self::Under(parent) => (1, parent.len()),
            Self::Every => (0, 0),
        }
    }

    /// The label that this pattern captures of a host that it matches.
    pub fn capture<'h>(&self, host: &'h str) -> Option<(&str, &'h str)> {
        match self {
            Self::Capture { name, parent } => {
                let (label, rest) = host.split_once('.')?;
                (*rest == **parent).then_some((&**name, label))
            }
            Self::Exact(_) | Self::Under(_) | Self::Every => None,
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(host) => f.write_str(host),
            Self::Capture { name, parent } => write!(f, "{{{name}}}.{parent}"),
            Self::Under(parent) => write!(f, "*.{parent}"),
            Self::Every => f.write_str("*"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normalises_hosts() {
        let cases: [(&[u8], Option<&str>); 20] = [
            (b"logs.example.com", Some("logs.example.com")),
            (b"LOGS.Example.com:8080", Some("logs.example.com")),
            (b"logs.example.com.", Some("logs.example.com")),
            (b"logs.example.com.:443", Some("logs.example.com")),
            (b"127.0.0.1:80", Some("127.0.0.1")),
            (b"[::1]:80", Some("[::1]")),
            (b"[2001:DB8::1]", Some("[2001:db8::1]")),
            (b"[0::1]", Some("[::1]")),
            (b"a_b", Some("a_b")),
            (b"", None),
            (b".", None),
            (b"a..b", None),
            (b"a..", None),
            (b"user@a", None),
            (b"a:b", None),
            (b"a:", None),
            (b"a:80:80", None),
            (b"a/b", None),
            (b"a%2e", None),
            (b"\xc3\xa4", None),
        ];
        for (authority, want) in cases {
            let got = normalise(Some(authority)).ok();
            assert_eq!(got.as_deref(), want, "{}", String::from_utf8_lossy(authority));
        }
        assert!(normalise(None).is_err());
    }

    #[test]
    fn reads_patterns() {
        for text in ["a.example.com", "*.example.com", "{t}.example.com", "*", "[::1]"] {
            assert_eq!(HostPattern::parse(text).unwrap().to_string(), text);
        }
        for text in ["", "A.com", "a.com:80", "a.com.", "a.*.com", "x{t}.a", "{t}", "{}.a", "*."] {
            assert!(HostPattern::parse(text).is_err(), "{text}");
        }
        let pattern = HostPattern::parse("{t}.a.b").unwrap();
        assert_eq!(pattern.capture("x.a.b"), Some(("t", "x")));
        assert_eq!(pattern.capture("x.y.a.b"), None);
    }
}
