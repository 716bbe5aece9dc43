//! When to fetch a document, again and again, and for how long the last one counts.
//!
//! It is a state machine that time and answers are handed into; who fetches is the host's side.

use crate::time::Timestamp;

/// The least time between two fetches that tokens ask for, in milliseconds: who invents key ids does
/// not choose how often the identity provider is asked.
const WANT_FLOOR: i64 = 10_000;
/// The shortest life that `Cache-Control` may give a document, in milliseconds.
const MIN_LIFE: i64 = 30_000;
/// The first wait after a fetch that failed, in milliseconds; it doubles with each further one.
const RETRY: i64 = 1_000;
/// The longest such wait, in milliseconds.
const MAX_RETRY: i64 = 60_000;
/// An answer that is this much later than its limit never comes, in milliseconds.
pub const LOST_AFTER: i64 = 10_000;

/// What is asked through one of Envoy's clusters.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Envoy's cluster.
    pub cluster: Box<str>,
    /// `http` or `https`; the cluster's TLS context decides, this is what the request says.
    pub scheme: Box<str>,
    /// Host and port.
    pub authority: Box<str>,
    /// Path and query.
    pub path: Box<str>,
    /// How long an answer may take, in milliseconds.
    pub timeout: i64,
}

/// Where a document is fetched from, and how.
#[derive(Clone, Debug)]
pub struct Source {
    /// Where from.
    pub endpoint: Endpoint,
    /// The longest time between two fetches, in milliseconds.
    pub refresh: i64,
    /// How long a document counts after the last fetch that confirmed it, in milliseconds.
    pub max_stale: i64,
}

/// The answer of a fetch.
#[derive(Clone, Copy, Debug)]
pub struct Fetched<'a> {
    /// The status.
    pub status: &'a [u8],
    /// The value of `Cache-Control`.
    pub cache_control: Option<&'a [u8]>,
    /// The value of `ETag`.
    pub etag: Option<&'a [u8]>,
    /// The body.
    pub body: &'a [u8],
}

/// See the module.
#[derive(Debug)]
pub struct Schedule {
    source: Source,
    /// When the document was last confirmed, in milliseconds.
    confirmed: Option<i64>,
    /// When to fetch next, in milliseconds.
    next: i64,
    /// When the fetch that is under way began, in milliseconds.
    under_way: Option<i64>,
    /// How many fetches failed since the last good one.
    failures: u32,
    /// Whether a token asks for more than the last document has.
    wanted: bool,
    /// When that last led to a fetch, in milliseconds.
    last_wanted: i64,
}

impl Schedule {
    /// Nothing is fetched yet.
    pub fn new(source: Source) -> Self {
        Self {
            source,
            confirmed: None,
            next: i64::MIN,
            under_way: None,
            failures: 0,
            wanted: false,
            last_wanted: i64::MIN,
        }
    }

    /// Where from.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// When the document was last confirmed, in milliseconds; `None` before the first time.
    pub fn confirmed(&self) -> Option<i64> {
        self.confirmed
    }

    /// Whether the last fetch failed.
    pub fn fails(&self) -> bool {
        self.failures > 0
    }

    /// Whether a token asks for more than the last document has.
    pub fn is_wanted(&self) -> bool {
        self.wanted
    }

    /// Asks for a fetch on behalf of a token; whether one is due or under way.
    pub fn want(&mut self, now: Timestamp) -> bool {
        let now = now.as_millis();
        // A clock that was set back is no reason to wait.
        let rested = now.saturating_sub(self.last_wanted).saturating_abs() >= WANT_FLOOR;
        if !self.wanted && rested && self.failures == 0 {
            self.wanted = true;
            self.last_wanted = now;
        }
        self.wanted
    }

    /// Whether to fetch now.
    pub fn is_due(&self, now: Timestamp) -> bool {
        let now = now.as_millis();
        match self.under_way {
            Some(begun) => {
                now.saturating_sub(begun).saturating_abs()
                    >= self.source.endpoint.timeout + LOST_AFTER
            }
            None => {
                let set_back = self.next.saturating_sub(now) > self.source.refresh.max(MAX_RETRY);
                self.wanted || now >= self.next || set_back
            }
        }
    }

    /// A fetch has begun.
    pub fn sent(&mut self, now: Timestamp) {
        self.under_way = Some(now.as_millis());
    }

    /// A fetch has ended, with this that was read from it. `spread` in [0, 1) is drawn by the caller,
    /// so that many workers do not fetch at once. Whether the fetch before this one failed.
    ///
    /// # Errors
    /// The one that is handed in.
    pub fn received<T>(
        &mut self,
        read: Result<T, String>,
        cache_control: Option<&[u8]>,
        now: Timestamp,
        spread: f64,
    ) -> Result<(T, bool), String> {
        self.under_way = None;
        self.wanted = false;
        let now = now.as_millis();
        match read {
            Ok(read) => {
                let recovered = std::mem::take(&mut self.failures) > 0;
                self.confirmed = Some(now);
                let told = cache_control.and_then(max_age);
                let life = told.map_or(self.source.refresh, |told| told.max(MIN_LIFE));
                self.next = now.saturating_add(early(life.min(self.source.refresh), spread));
                Ok((read, recovered))
            }
            Err(reason) => {
                self.failures = self.failures.saturating_add(1);
                let wait = RETRY.saturating_mul(1 << (self.failures - 1).min(16));
                let wait = wait.min(MAX_RETRY).min(self.source.refresh.max(RETRY));
                self.next = now.saturating_add(early(wait, spread));
                Err(reason)
            }
        }
    }

    /// Whether the document was last confirmed longer ago than `max_stale`, or never.
    pub fn is_stale(&self, now: Timestamp) -> bool {
        let age = |confirmed| now.as_millis().saturating_sub(confirmed);
        self.confirmed.is_none_or(|confirmed| age(confirmed) > self.source.max_stale)
    }
}

/// Between three quarters and all of a time, so that documents are fetched before they are too old and
/// workers do not fetch at once.
fn early(time: i64, spread: f64) -> i64 {
    (time as f64 * (1.0 - spread.clamp(0.0, 1.0) / 4.0)) as i64
}

/// What is said of a body past its limit, both in bytes.
pub fn too_large(length: usize, limit: usize) -> String {
    format!("{length} bytes, the limit is {limit}")
}

/// How long an answer may be kept (RFC 9111 section 5.2.2), in milliseconds; `None` where it does
/// not say.
fn max_age(cache_control: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(cache_control).ok()?.to_ascii_lowercase();
    let mut age = None;
    for directive in text.split(',').map(str::trim) {
        match directive.split_once('=') {
            Some(("max-age", secs)) => {
                let secs: i64 = secs.trim_matches('"').parse().ok()?;
                age = Some(secs.saturating_mul(1000));
            }
            None if directive == "no-store" || directive == "no-cache" => return Some(0),
            _ => {}
        }
    }
    age
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::samples::{NOW, at, source};

    const DAY: i64 = 86_400;

    /// A moment in milliseconds after [`NOW`].
    fn ms(after: i64) -> Timestamp {
        Timestamp::from_nanos(((NOW * 1000).cast_signed() + after).cast_unsigned() * 1_000_000)
    }

    /// Whether the fetch before failed.
    fn receive(schedule: &mut Schedule, now: Timestamp) -> bool {
        schedule.received(Ok(()), None, now, 0.0).unwrap().1
    }

    fn fail(schedule: &mut Schedule, now: Timestamp) {
        schedule.received::<()>(Err("reset".into()), None, now, 0.0).unwrap_err();
    }

    /// Fetched at [`NOW`].
    fn fetched_once() -> Schedule {
        let mut schedule = Schedule::new(source());
        receive(&mut schedule, at(0));
        schedule
    }

    /// Whether it is due exactly from this time on.
    fn is_due_from(schedule: &Schedule, after: i64) -> bool {
        !schedule.is_due(ms(after - 1)) && schedule.is_due(ms(after))
    }

    #[test]
    fn waits_longer_after_each_failure() {
        let minute = [1, 2, 4, 8, 16, 32, 60, 60, 60];
        let cases: [(i64, &[i64]); 4] = [
            (300_000, &minute),
            (DAY * 1000, &minute),
            (5_000, &[1, 2, 4, 5, 5, 5]),
            (1_000, &[1, 1, 1]),
        ];
        for (refresh, waits) in cases {
            let mut schedule = Schedule::new(Source { refresh, ..source() });
            for wait in waits {
                fail(&mut schedule, at(0));
                assert!(is_due_from(&schedule, wait * 1000), "{wait} s of {refresh} ms");
                assert!(schedule.fails());
            }
            (0..100).for_each(|_| fail(&mut schedule, at(0)));
            assert!(schedule.is_due(at(60)), "{refresh} ms");
            // The first one after a good one waits a second again.
            assert!(receive(&mut schedule, at(0)));
            assert!(is_due_from(&schedule, refresh));
            assert!(!receive(&mut schedule, at(0)));
            fail(&mut schedule, at(0));
            assert!(is_due_from(&schedule, 1000), "{refresh} ms");
        }
        let mut schedule = Schedule::new(source());
        schedule.failures = u32::MAX;
        fail(&mut schedule, at(0));
        assert!(is_due_from(&schedule, 60_000));
    }

    #[test]
    fn spreads_fetches_over_a_quarter_of_the_time() {
        let cases = [(0.0, 300), (0.5, 262), (1.0, 225), (7.0, 225), (-7.0, 300)];
        for (spread, want) in cases {
            let mut schedule = Schedule::new(source());
            schedule.received(Ok(()), None, at(0), spread).unwrap();
            assert_eq!((schedule.next - at(0).as_millis()) / 1000, want, "{spread}");
            schedule.received::<()>(Err("reset".into()), None, at(0), spread).unwrap_err();
            let wait = schedule.next - at(0).as_millis();
            assert!((750..=1000).contains(&wait), "{spread}: {wait} ms");
        }
    }

    #[test]
    fn cache_control_shortens_the_time_and_no_more() {
        // (the header, seconds to the next fetch)
        let cases: [(&[u8], i64); 22] = [
            (b"", 300),
            (b"max-age=60", 60),
            (b"Public, MAX-AGE=60", 60),
            (b"max-age=\"60\"", 60),
            (b"max-age=60,must-revalidate", 60),
            (b"max-age=300", 300),
            (b"max-age=86400", 300),
            (b"max-age=31", 31),
            (b"max-age=29", 30),
            (b"max-age=0", 30),
            (b"max-age=-1", 30),
            (b"no-store", 30),
            (b"No-Cache", 30),
            (b"no-store, max-age=60", 30),
            (b"max-age=60, no-store", 30),
            (b"no-cache=\"set-cookie\", max-age=60", 60),
            (b"s-maxage=60", 300),
            (b"max-age", 300),
            (b"max-age=soon", 300),
            (b"max-age=9223372036854775807", 300),
            (b"max-age=99999999999999999999999", 300),
            (b"max-age=60\xff", 300),
        ];
        for (header, want) in cases {
            let text = String::from_utf8_lossy(header);
            let mut schedule = Schedule::new(source());
            schedule.received(Ok(()), Some(header), at(0), 0.0).unwrap();
            assert!(is_due_from(&schedule, want * 1000), "{text}");
            // Never later than the operator wants it, nor so for the shortest life.
            let mut schedule = Schedule::new(Source { refresh: 10_000, ..source() });
            schedule.received(Ok(()), Some(header), at(0), 0.0).unwrap();
            assert!(is_due_from(&schedule, 10_000), "{text}");
        }
    }

    #[test]
    fn tokens_ask_for_a_fetch_every_ten_seconds_at_most() {
        let mut schedule = fetched_once();
        // (milliseconds, whether an answer comes before, whether one is awaited)
        let cases = [
            (1_000, false, true),
            (1_001, false, true),
            (2_000, true, false),
            (10_999, false, false),
            (11_000, false, true),
            (60_000, false, true),
            (60_001, true, true),
            (60_002, true, false),
            (70_000, false, false),
            (70_001, false, true),
        ];
        for (now, answered, want) in cases {
            if answered {
                receive(&mut schedule, ms(now));
            }
            assert_eq!(schedule.want(ms(now)), want, "after {now} ms");
            assert_eq!(schedule.is_wanted(), want, "after {now} ms");
            assert_eq!(schedule.is_due(ms(now)), want, "after {now} ms");
        }
        schedule.sent(ms(70_002));
        assert!(!schedule.is_due(ms(70_002)) && schedule.want(ms(70_002)), "it is under way");
        fail(&mut schedule, ms(71_000));
        for now in [71_000, 81_000, 1_000_000] {
            assert!(!schedule.want(ms(now)) && !schedule.is_wanted(), "it fails, after {now} ms");
        }
        receive(&mut schedule, ms(1_000_000));
        assert!(schedule.want(ms(1_000_000)));
    }

    #[test]
    fn a_clock_that_is_set_back_stops_nothing() {
        for refresh in [1, 300, DAY] {
            let schedule = || {
                let mut schedule = Schedule::new(Source { refresh: refresh * 1000, ..source() });
                receive(&mut schedule, at(0));
                schedule
            };
            let back = at(-DAY);
            assert!(schedule().is_due(back), "at rest, {refresh} s");
            let mut one = schedule();
            one.sent(at(refresh));
            assert!(one.is_due(back), "under way, {refresh} s");
            one.sent(back);
            assert!(!one.is_due(back), "sent again, {refresh} s");
            let mut one = schedule();
            (0..10).for_each(|_| fail(&mut one, at(0)));
            assert!(one.is_due(back), "failing, {refresh} s");
            let mut one = schedule();
            assert!(one.want(at(0)));
            receive(&mut one, at(0));
            assert!(one.want(back), "wanted, {refresh} s");
            assert!(!schedule().is_stale(back), "{refresh} s");
        }
    }
}
