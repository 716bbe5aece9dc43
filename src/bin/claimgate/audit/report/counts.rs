//! Counts by keys of anyone's choosing, in bounded memory.

use hashbrown::HashMap;

/// How many keys are kept when too many were seen.
const KEPT: usize = 65_536;

/// The longest key that is kept, in bytes.
const MAX_KEY: usize = 512;

/// How often a key was seen.
#[derive(Clone, Copy, Default)]
pub struct Count {
    pub requests: u64,
    pub denied: u64,
}

/// Counts by key. Past twice [`KEPT`] keys those that were seen least are let go: a count is then at most [`Counts::error`]
/// too low, and a key that was seen more often than that is never lost.
pub struct Counts {
    counts: HashMap<String, Count>,
    error: u64,
    kept: usize,
}

impl Default for Counts {
    fn default() -> Self {
        Self::keeping(KEPT)
    }
}

impl Counts {
    fn keeping(kept: usize) -> Self {
        Self { counts: HashMap::new(), error: 0, kept }
    }

    /// Counts a request.
    pub fn add(&mut self, key: &str, denied: bool) {
        let end = (0..=MAX_KEY.min(key.len())).rev().find(|end| key.is_char_boundary(*end));
        let key = key.get(..end.unwrap_or(0)).unwrap_or_default();
        let count = self.counts.entry_ref(key).or_default();
        count.requests += 1;
        count.denied += u64::from(denied);
        if self.counts.len() > 2 * self.kept {
            self.let_go();
        }
    }

    fn let_go(&mut self) {
        let mut seen: Vec<u64> = self.counts.values().map(|count| count.requests).collect();
        let (_, least, _) = seen.select_nth_unstable(self.kept);
        let least = *least;
        self.counts.retain(|_, count| count.requests > least);
        self.error += least;
    }

    /// The most by how much a count may be too low.
    pub fn error(&self) -> u64 {
        self.error
    }

    /// The keys that were seen most.
    pub fn top(&self, most: usize) -> Vec<(&str, Count)> {
        let mut all: Vec<(&str, Count)> =
            self.counts.iter().map(|(key, count)| (key.as_str(), *count)).collect();
        all.sort_unstable_by(|(a, one), (b, other)| {
            (other.requests, other.denied, a).cmp(&(one.requests, one.denied, b))
        });
        all.truncate(most);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_stay_bounded_and_say_how_far_they_may_be_off() {
        let mut counts = Counts::keeping(100);
        for round in 0..1_000 {
            counts.add("often", round % 2 == 0);
            for key in 0..50 {
                counts.add(&format!("once-{round}-{key}"), false);
            }
        }
        assert!(counts.counts.len() <= 200);
        let (key, count) = counts.top(1)[0];
        assert_eq!(key, "often");
        assert!(count.requests <= 1_000 && count.requests + counts.error() >= 1_000);
        counts.add(&"\u{e4}".repeat(1_000), true);
        assert!(counts.counts.keys().all(|key| key.len() <= MAX_KEY));
    }
}
