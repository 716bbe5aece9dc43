//! Hosts: what a source says of them, and the families that a configuration has for it.

use super::text::Text;
use claimgate::policy::host::HostPattern;
use std::collections::BTreeSet;
use std::fmt;

/// The hosts of a route, the most specific kind first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Host {
    /// Exactly this one.
    Exact(String),
    /// Any number of labels before this.
    Under(String),
    /// Every one that no other family takes.
    Every,
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(host) => f.write_str(host),
            Self::Under(parent) => write!(f, "*.{parent}"),
            Self::Every => f.write_str("*"),
        }
    }
}

/// The families that tell a text from others, if there are any.
pub fn families(text: &Text) -> Vec<Host> {
    let exact = |host: &str| match HostPattern::parse(host) {
        Ok(HostPattern::Exact(host)) => vec![Host::Exact(host.into())],
        _ => Vec::new(),
    };
    match text {
        Text::Exact(host) => exact(without_port(host)),
        Text::Suffix(suffix) => match suffix.strip_prefix('.') {
            Some(parent) => match HostPattern::parse(&format!("*.{parent}")) {
                Ok(HostPattern::Under(parent)) => vec![Host::Under(parent.into())],
                _ => Vec::new(),
            },
            None => exact(suffix),
        },
        _ => Vec::new(),
    }
}

/// Whether the hosts that a family owns, beside those others, are so; `None` where that differs.
///
/// Hosts are compared in lower case and without a port, which the filter never sees.
pub fn owned(text: &Text, family: &Host, all: &BTreeSet<Host>) -> Option<bool> {
    if *text == Text::Something {
        return Some(true);
    }
    let has_port = match text {
        Text::Exact(own) | Text::Prefix(own) | Text::Suffix(own) | Text::Contains(own) => {
            own.contains(':')
        }
        Text::Regex(_) => true,
        Text::Something => false,
    };
    if let Host::Exact(host) = family {
        return match (text, text.is(host), has_port) {
            (_, true, _) => Some(true),
            (Text::Exact(own), false, true) if without_port(own) != host => Some(false),
            (_, false, true) => None,
            (_, false, false) => Some(false),
        };
    }
    if has_port {
        return match text {
            // It has a family of its own.
            Text::Exact(own) if all.contains(&Host::Exact(without_port(own).to_owned())) => {
                Some(false)
            }
            _ => None,
        };
    }
    match (text, family) {
        (Text::Exact(own), _) if all.contains(&Host::Exact(own.clone())) => Some(false),
        (Text::Suffix(own), Host::Under(parent)) => {
            let dotted = format!(".{parent}");
            if dotted.ends_with(own) {
                return Some(true);
            }
            if !own.ends_with(&dotted) && !dotted.ends_with(own) {
                return Some(false);
            }
            all.contains(&Host::Under(own.strip_prefix('.')?.to_owned())).then_some(false)
        }
        (Text::Suffix(own), Host::Every) => {
            all.contains(&Host::Under(own.strip_prefix('.')?.to_owned())).then_some(false)
        }
        _ => None,
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_what_a_family_owns() {
        let all: BTreeSet<Host> = [
            Host::Exact("a.x.com".into()),
            Host::Exact("p.x.com".into()),
            Host::Under("x.com".into()),
            Host::Under("y.x.com".into()),
            Host::Every,
        ]
        .into();
        let exact = |host: &str| Host::Exact(host.to_owned());
        let under = |parent: &str| Host::Under(parent.to_owned());
        let cases = [
            ("a.x.com", exact("a.x.com"), Some(true)),
            ("a.x.com", exact("p.x.com"), Some(false)),
            ("a.x.com", under("x.com"), Some(false)),
            ("b.x.com", under("x.com"), None),
            ("a.x.com:80", exact("a.x.com"), None),
            ("a.x.com:80", exact("p.x.com"), Some(false)),
            ("a.x.com:80", under("x.com"), Some(false)),
            ("*.x.com", exact("a.x.com"), Some(true)),
            ("*.x.com", under("x.com"), Some(true)),
            ("*.x.com", under("y.x.com"), Some(true)),
            ("*.x.com", Host::Every, Some(false)),
            ("*.y.x.com", under("x.com"), Some(false)),
            ("*.z.x.com", under("x.com"), None),
            ("*.other.com", under("x.com"), Some(false)),
            ("*.other.com", Host::Every, None),
            ("*x.com", exact("a.x.com"), Some(true)),
            ("*x.com", under("y.x.com"), Some(true)),
            ("*x.com", Host::Every, None),
            ("a.*", exact("a.x.com"), Some(true)),
            ("a.*", exact("p.x.com"), Some(false)),
            ("a.*", under("x.com"), None),
            ("*", Host::Every, Some(true)),
        ];
        for (text, family, want) in cases {
            assert_eq!(owned(&Text::istio(text), &family, &all), want, "{text} {family}");
        }
    }
}
