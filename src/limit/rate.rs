//! A rate: a bucket that is refilled evenly, counted by GCRA.

use governor::clock::Clock;
use governor::middleware::StateInformationMiddleware;
use governor::nanos::Nanos;
use governor::state::{NotKeyed, StateStore};
use governor::{Quota, RateLimiter};
use std::cell::Cell;
use std::num::NonZeroU32;
use std::time::Duration;

/// The longest that a bucket may take to be full again: a debt of an identity is no longer than this.
const MAX_REFILL: Duration = Duration::from_secs(366 * 86_400);

/// How many requests pass: `burst` at once, and then one each time that one more is refilled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    quota: Quota,
    /// Until one more passes, in nanoseconds.
    period: u64,
}

/// What is left of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// How many more pass at once; `None` where this one did not.
    pub left: Option<u32>,
    /// How long until one more passes, in nanoseconds; 0 where one does now.
    pub wait: u64,
    /// How long until the bucket is full, in nanoseconds.
    pub refill: u64,
}

impl Room {
    /// Whether the request passes.
    pub fn passes(&self) -> bool {
        self.left.is_some()
    }
}

impl Rate {
    /// So many `requests` in a time, `burst` of them at once.
    ///
    /// # Errors
    /// What is wrong with these numbers.
    pub fn new(requests: u32, per: Duration, burst: u32) -> Result<Self, &'static str> {
        const NONE: &str = "found 0, expected at least 1";
        let (requests, burst) =
            NonZeroU32::new(requests).zip(NonZeroU32::new(burst)).ok_or(NONE)?;
        // Rounded up, so that never more pass than is said.
        let nanos = per.as_nanos().div_ceil(u128::from(requests.get()));
        let period = u64::try_from(nanos).map_err(|_| "longer than any clock counts")?;
        if Duration::from_nanos(period).saturating_mul(burst.get()) > MAX_REFILL {
            return Err("a full bucket takes more than a year to be refilled");
        }
        let quota = Quota::with_period(Duration::from_nanos(period)).ok_or("`per` is 0")?;
        Ok(Self { quota: quota.allow_burst(burst), period })
    }

    /// How many pass at once.
    pub fn burst(&self) -> u32 {
        self.quota.burst_size().get()
    }

    /// How long an empty bucket takes to be full, in nanoseconds.
    pub fn refill(&self) -> u64 {
        self.period.saturating_mul(self.burst().into())
    }

    /// How long it takes until one more passes, in nanoseconds.
    pub fn period(&self) -> u64 {
        self.period
    }

    /// How a bucket stands that the last request took nothing of after all.
    pub fn untaken(&self, room: Room) -> Room {
        let Some(left) = room.left else { return room };
        let left = left.saturating_add(1).min(self.burst());
        Room { left: Some(left), wait: 0, refill: room.refill.saturating_sub(self.period) }
    }

    /// Takes one out of a bucket that lacks `debt`, in nanoseconds of its refilling. What it lacks after that.
    pub fn take(&self, debt: u64) -> (Room, u64) {
        // A debt beyond the bucket's own is of a clock that was set back, or of another rate.
        let refill = self.refill();
        let debt = debt.min(refill);
        let state = Debt(Cell::new(debt));
        match Limiter::new(self.quota, &state, Still).check() {
            Ok(snapshot) => {
                let left = snapshot.remaining_burst_capacity();
                let debt = state.0.get();
                let wait = if left > 0 { 0 } else { debt.saturating_sub(refill - self.period) };
                (Room { left: Some(left), wait, refill: debt }, debt)
            }
            Err(not_until) => {
                let wait = not_until.wait_time_from(Duration::ZERO).as_nanos() as u64;
                (Room { left: None, wait, refill: debt }, debt)
            }
        }
    }
}

type Limiter<'d> = RateLimiter<NotKeyed, &'d Debt, Still, StateInformationMiddleware>;

/// The moment of a request: debts are counted from it.
struct Still;

impl Clock for Still {
    type Instant = Duration;

    fn now(&self) -> Duration {
        Duration::ZERO
    }
}

struct Debt(Cell<u64>);

impl StateStore for &Debt {
    type Key = NotKeyed;

    fn measure_and_replace<T, F, E>(&self, _: &NotKeyed, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let (result, next) = measure(Some(Nanos::from(self.0.get())))?;
        self.0.set(next.as_u64());
        Ok(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn rate(requests: u32, secs: u64, burst: u32) -> Rate {
        Rate::new(requests, Duration::from_secs(secs), burst).unwrap()
    }

    #[test]
    fn a_bucket_is_emptied_at_once_and_refilled_evenly() {
        let rate = rate(60, 60, 3);
        let mut debt = 0;
        for (left, wait) in [(2, 0), (1, 0), (0, 1)] {
            let (room, after) = rate.take(debt);
            assert_eq!((room.left, room.wait), (Some(left), wait * SECOND));
            debt = after;
        }
        let (room, after) = rate.take(debt);
        assert_eq!(room, Room { left: None, wait: SECOND, refill: 3 * SECOND });
        assert_eq!(after, debt, "who is refused takes nothing");
        // One nanosecond too early, and in time.
        assert!(!rate.take(debt - SECOND + 1).0.passes());
        assert_eq!(rate.take(debt - SECOND).0.left, Some(0));
    }

    #[test]
    fn a_debt_is_never_more_than_the_bucket() {
        let rate = rate(60, 60, 3);
        for debt in [3 * SECOND, 4 * SECOND, u64::MAX] {
            assert_eq!(rate.take(debt).1, 3 * SECOND, "{debt}");
        }
    }

    #[test]
    fn the_time_of_one_is_rounded_up() {
        assert_eq!(rate(7, 60, 1).period(), 8_571_428_572);
        assert_eq!(rate(u32::MAX, 1, 1).period(), 1);
    }

    #[test]
    fn refuses_what_no_bucket_is() {
        let cases = [
            (0, 1, 1, false),
            (1, 1, 0, false),
            (1, 0, 1, false),
            (1, 86_400, 366, true),
            (1, 86_400, 367, false),
            (1, u64::MAX, 1, false),
            (u32::MAX, 1, u32::MAX, true),
        ];
        for (requests, secs, burst, fine) in cases {
            let rate = Rate::new(requests, Duration::from_secs(secs), burst);
            assert_eq!(rate.is_ok(), fine, "{requests} in {secs} s, {burst}: {rate:?}");
        }
    }
}
