//! How many records are written: a share that is drawn, and caps that count what they drop.

use super::Verdict;
use crate::time::Timestamp;
use foldhash::quality::FixedState;
use std::hash::BuildHasher as _;

/// Which part of the decisions of a kind is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// Every one.
    All,
    /// None.
    None,
    /// Those whose draw of 64 bits is below this.
    Below(u64),
}

impl Share {
    /// The share of a rate in (0, 1]; `None` for any other number.
    pub fn of_rate(rate: f64) -> Option<Self> {
        if rate == 1.0 {
            return Some(Self::All);
        }
        // 2^64: the product stays below it.
        (rate > 0.0 && rate < 1.0)
            .then_some(Self::Below((rate * 18_446_744_073_709_551_616.0) as u64))
    }
}

/// Shares by what was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shares {
    /// Of decisions that let the request pass.
    pub allowed: Share,
    /// Of those that refuse it, or would but for shadow mode.
    pub denied: Share,
}

impl Shares {
    /// The share of a decision.
    pub fn of(&self, verdict: Verdict) -> Share {
        match verdict {
            Verdict::Allowed => self.allowed,
            Verdict::Denied | Verdict::ShadowDenied => self.denied,
        }
    }
}

/// How many records a worker writes in a second; `None` is no cap. Apart, so that neither kind crowds out the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// Of decisions that let the request pass, be it by shadow mode.
    pub allowed: Option<u32>,
    /// Of those that refuse it.
    pub denied: Option<u32>,
}

/// Refused requests are capped, since anyone can cause them.
impl Default for Caps {
    fn default() -> Self {
        Self { allowed: None, denied: Some(1000) }
    }
}

/// What of one worker's records is left out.
#[derive(Debug, Default)]
pub struct Volume {
    random: Option<FixedState>,
    drawn: u64,
    second: u64,
    written: Written,
    dropped: u64,
}

#[derive(Debug, Default)]
struct Written {
    allowed: u32,
    denied: u32,
}

impl Volume {
    /// Draws from this seed, which no client knows. Without one nothing is left out by drawing.
    pub fn seed(&mut self, seed: u64) {
        self.random = Some(FixedState::with_seed(seed));
    }

    /// Whether this one is of the share.
    pub fn draws(&mut self, share: Share) -> bool {
        match (share, &self.random) {
            (Share::All, _) | (Share::Below(_), None) => true,
            (Share::None, _) => false,
            (Share::Below(limit), Some(random)) => {
                self.drawn = self.drawn.wrapping_add(1);
                random.hash_one(self.drawn) < limit
            }
        }
    }

    /// Whether a cap leaves room for a record; one that it leaves none is counted as dropped.
    pub fn admits(&mut self, caps: &Caps, verdict: Verdict, now: Timestamp) -> bool {
        let second = now.as_nanos() / 1_000_000_000;
        if second != self.second {
            self.second = second;
            self.written = Written::default();
        }
        // What shadow mode lets pass is an access: no flood of refusals is to hide it.
        let (cap, written) = match verdict {
            Verdict::Allowed | Verdict::ShadowDenied => (caps.allowed, &mut self.written.allowed),
            Verdict::Denied => (caps.denied, &mut self.written.denied),
        };
        if cap.is_some_and(|cap| *written >= cap) {
            self.dropped += 1;
            return false;
        }
        *written = written.saturating_add(1);
        true
    }

    /// Counts records as dropped that were to be written.
    pub fn drop(&mut self, records: u64) {
        self.dropped += records;
    }

    /// How many were dropped since this was asked last.
    pub fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_about_its_share() {
        let cases = [
            (Share::All, 10_000..=10_000),
            (Share::None, 0..=0),
            (Share::of_rate(1.0).unwrap(), 10_000..=10_000),
            (Share::of_rate(0.5).unwrap(), 4_700..=5_300),
            (Share::of_rate(0.01).unwrap(), 60..=150),
        ];
        for (share, want) in cases {
            let mut volume = Volume::default();
            volume.seed(7);
            let drawn = (0..10_000).filter(|_| volume.draws(share)).count();
            assert!(want.contains(&drawn), "{share:?}: {drawn}");
        }
        for rate in [0.0, -0.1, 1.1, f64::NAN, f64::INFINITY] {
            assert_eq!(Share::of_rate(rate), None, "{rate}");
        }
    }

    #[test]
    fn leaves_nothing_out_without_randomness() {
        let mut volume = Volume::default();
        assert!((0..100).all(|_| volume.draws(Share::Below(1))));
    }

    #[test]
    fn caps_are_apart_and_count_what_they_drop() {
        let caps = Caps { allowed: Some(2), denied: Some(1) };
        let mut volume = Volume::default();
        let now = Timestamp::from_secs(1_000);
        let mut admitted = |verdict, now| volume.admits(&caps, verdict, now);
        let got = [
            admitted(Verdict::Denied, now),
            admitted(Verdict::ShadowDenied, now),
            admitted(Verdict::Allowed, now),
            admitted(Verdict::Allowed, now),
            admitted(Verdict::Allowed, now),
            admitted(Verdict::Denied, Timestamp::from_secs(1_001)),
            admitted(Verdict::Allowed, Timestamp::from_secs(999)),
        ];
        assert_eq!(got, [true, true, true, false, false, true, true]);
        assert_eq!(volume.take_dropped(), 2);
        assert_eq!(volume.take_dropped(), 0);
        let none = Caps { allowed: None, denied: None };
        assert!((0..5_000).all(|_| volume.admits(&none, Verdict::Denied, now)));
        assert_eq!(volume.take_dropped(), 0);
        volume.drop(3);
        assert_eq!(volume.take_dropped(), 3);
    }
}
