//! How a source compares texts.

use regex_lite::Regex;

/// What a text must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Text {
    /// Exactly this.
    Exact(String),
    /// This, and anything behind it.
    Prefix(String),
    /// This, and anything before it.
    Suffix(String),
    /// This somewhere.
    Contains(String),
    /// This regular expression, whole.
    Regex(String),
    /// Anything that is not empty.
    Something,
}

impl Text {
    /// Istio's way of writing them: `a`, `a*`, `*a`, `*`.
    pub fn istio(text: &str) -> Self {
        if text == "*" {
            return Self::Something;
        }
        if let Some(suffix) = text.strip_prefix('*') {
            return Self::Suffix(suffix.to_owned());
        }
        match text.strip_suffix('*') {
            Some(prefix) => Self::Prefix(prefix.to_owned()),
            None => Self::Exact(text.to_owned()),
        }
    }

    /// A regular expression, if the filter reads it too.
    pub fn regex(pattern: &str) -> Option<Self> {
        whole(pattern).map(|_| Self::Regex(pattern.to_owned()))
    }

    /// Without the case of ASCII letters.
    pub fn folded(self) -> Self {
        match self {
            Self::Something => Self::Something,
            other => Self::Regex(format!("(?i:{})", other.pattern())),
        }
    }

    /// Whether a text is so.
    pub fn is(&self, text: &str) -> bool {
        match self {
            Self::Exact(own) => text == own,
            Self::Prefix(own) => text.starts_with(own.as_str()),
            Self::Suffix(own) => text.ends_with(own.as_str()),
            Self::Contains(own) => text.contains(own.as_str()),
            Self::Regex(own) => whole(own).is_some_and(|regex| regex.is_match(text)),
            Self::Something => !text.is_empty() && !text.contains('\n'),
        }
    }

    /// The regular expression that is whole where this is so.
    pub fn pattern(&self) -> String {
        let any = "(?s:.*)";
        match self {
            Self::Exact(own) => regex_lite::escape(own),
            Self::Prefix(own) => format!("{}{any}", regex_lite::escape(own)),
            Self::Suffix(own) => format!("{any}{}", regex_lite::escape(own)),
            Self::Contains(own) => format!("{any}{}{any}", regex_lite::escape(own)),
            Self::Regex(own) => own.clone(),
            // As Istio has it: a line break is nothing.
            Self::Something => ".+".to_owned(),
        }
    }

    /// The regular expression for one word of a text that is split at spaces.
    pub fn word_pattern(&self) -> String {
        let any = "[^ ]*";
        match self {
            Self::Exact(own) => regex_lite::escape(own),
            Self::Prefix(own) => format!("{}{any}", regex_lite::escape(own)),
            Self::Suffix(own) => format!("{any}{}", regex_lite::escape(own)),
            Self::Contains(own) => format!("{any}{}{any}", regex_lite::escape(own)),
            Self::Regex(own) => own.clone(),
            Self::Something => "[^ ]+".to_owned(),
        }
    }
}

/// One regular expression for several.
pub fn alternatives(patterns: impl Iterator<Item = String>) -> String {
    let patterns: Vec<String> = patterns.collect();
    match patterns.as_slice() {
        [one] => one.clone(),
        several => several.iter().map(|one| format!("(?:{one})")).collect::<Vec<_>>().join("|"),
    }
}

fn whole(pattern: &str) -> Option<Regex> {
    // By itself first, so that no bracket of it can close the anchors' own.
    Regex::new(pattern).ok()?;
    Regex::new(&format!("^(?:{pattern})$")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_says_what_the_text_says() {
        let texts = ["", "a", "ab", "ba", "xax", "a\nb", "a.b", "axb", "A"];
        for written in ["a", "a*", "*a", "*", "a.b", "*b"] {
            let text = Text::istio(written);
            let pattern = Text::regex(&text.pattern()).unwrap();
            let folded = text.clone().folded();
            for other in texts {
                assert_eq!(text.is(other), pattern.is(other), "{written} {other:?}");
                assert!(!text.is(other) || folded.is(other), "{written} {other:?}");
            }
        }
        assert!(Text::istio("a").folded().is("A"));
        assert!(Text::Contains("x".into()).is("axa"));
        for bad in ["(", "a)|(b", r"\pL"] {
            assert_eq!(Text::regex(bad), None, "{bad}");
        }
    }
}
