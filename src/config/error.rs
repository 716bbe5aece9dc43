//! What is wrong with a configuration: the place, what was found, what would be accepted.

use std::fmt;

/// Where in a configuration, as `routes[2].require.any[0].claim`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place(String);

impl Place {
    /// The member of this name.
    pub fn key(&self, name: &str) -> Self {
        let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
        Self(match (self.0.is_empty(), plain) {
            (_, false) => format!("{}[{name:?}]", self.0),
            (true, true) => name.to_owned(),
            (false, true) => format!("{}.{name}", self.0),
        })
    }

    /// The element of this index.
    pub fn index(&self, index: usize) -> Self {
        Self(format!("{}[{index}]", self.0))
    }

    /// Whether it is the whole configuration.
    pub fn is_top(&self) -> bool {
        self.0.is_empty()
    }

    /// An error here.
    pub fn error(&self, reason: impl Into<String>) -> ConfigError {
        ConfigError { place: self.clone(), reason: reason.into() }
    }

    /// A warning here.
    pub fn warning(&self, reason: impl Into<String>) -> Warning {
        Warning { place: self.clone(), reason: reason.into() }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "configuration" } else { &self.0 })
    }
}

/// A configuration that is refused. Shows no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// Where.
    pub place: Place,
    /// What was found, and what would be accepted.
    pub reason: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.reason)
    }
}

impl std::error::Error for ConfigError {}

/// Something that loads, but is likely not meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Where.
    pub place: Place,
    /// What.
    pub reason: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.reason)
    }
}
