//! How long to wait between two pushes, and what ends them.

use crate::{Failure, put};
use std::time::Duration;

/// The first wait after a push that failed; it doubles with each further one.
const RETRY: Duration = Duration::from_secs(1);

/// The wait after so many failures in a row: the period or less, a quarter of it at random, so that many pushers do not
/// ask at once.
pub fn before_next(period: Duration, failures: u32) -> Duration {
    let wait = match failures.checked_sub(1) {
        None => period,
        Some(more) => RETRY.saturating_mul(1 << more.min(16)).min(period),
    };
    wait.mul_f64(1.0 - spread() / 4.0)
}

/// A number from 0 to 1 that another process does not have.
fn spread() -> f64 {
    use std::hash::{BuildHasher as _, RandomState};
    f64::from(RandomState::new().hash_one(()) as u32) / f64::from(u32::MAX)
}

/// Has SIGTERM and SIGINT end the process, with no file half written and none left beside.
pub fn end_on_signals() -> Result<(), Failure> {
    #[cfg(unix)]
    {
        use signal_hook::consts::{SIGINT, SIGTERM};
        let signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM]);
        let mut signals = signals.map_err(|error| format!("signals: {error}"))?;
        std::thread::spawn(move || {
            if signals.forever().next().is_some() {
                let _finished = put::finish();
                std::process::exit(0);
            }
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_longer_after_each_failure() {
        // (the period, failures, the longest wait)
        let cases = [
            (300, 0, 300),
            (300, 1, 1),
            (300, 2, 2),
            (300, 9, 256),
            (300, 10, 300),
            (300, u32::MAX, 300),
            (1, 5, 1),
        ];
        for (period, failures, most) in cases {
            let wait = before_next(Duration::from_secs(period), failures).as_secs_f64();
            let most = f64::from(most);
            assert!((most * 0.75..=most).contains(&wait), "{period} {failures}: {wait}");
        }
        let waits = [(); 20].map(|()| before_next(Duration::from_secs(300), 0));
        assert!(waits.iter().any(|wait| *wait != waits[0]), "{waits:?}");
    }
}
