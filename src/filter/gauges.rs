//! Gauges, and what is told of the configuration. A gauge is one for the whole process: what every
//! worker has a part of is added up, and taken back by each one when it goes.

use super::host::{self, Denied, Metric};
use crate::engine::Engine;
use crate::metrics::{self, LoadOutcome};
use crate::token::IssuerId;
use crate::token::fetching::Schedule;

/// The gauges of one worker.
#[derive(Default)]
pub struct Gauges {
    info: Share,
    /// The name of `info` until it is told.
    untold: Option<String>,
    waiting: Share,
    /// By [`IssuerId`].
    issuers: Vec<OfIssuer>,
}

/// What is told of one issuer.
#[derive(Default)]
struct OfIssuer {
    keys: Gauge,
    success: Gauge,
    revocations: Gauge,
    revocation_success: Gauge,
}

/// A gauge that is the last worker's to say.
#[derive(Default)]
struct Gauge {
    id: Option<u32>,
    told: Option<u64>,
}

/// This worker's part of a gauge that is the sum of all.
#[derive(Default)]
struct Share {
    id: Option<u32>,
    told: i64,
}

impl Gauges {
    /// Tells that a configuration of this digest was loaded, and asks the host for all that counting
    /// needs.
    ///
    /// # Errors
    /// What the host denies of that.
    pub fn open(&mut self, digest: &str) -> Result<(), Denied> {
        let seconds = host::now()?.as_nanos() / 1_000_000_000;
        let mut loaded = Gauge::default();
        loaded.set(seconds, || metrics::CONFIG_LOADED.to_owned())?;
        // Defined at zero, so that the first one is an increase.
        for outcome in [LoadOutcome::Refused, LoadOutcome::Closed] {
            define_load(outcome)?;
        }
        let waiting =
            *self.waiting.id.insert(host::define_metric(Metric::Gauge, metrics::WAITING)?);
        host::increment_metric(waiting, 0)?;
        let labels = [("version", env!("CARGO_PKG_VERSION")), ("config", digest)];
        self.untold = Some(metrics::name(metrics::INFO, &labels));
        Ok(())
    }

    /// Tells, once, that this worker has the configuration. Not when it loads: Envoy loads each
    /// once more to try it out, in a VM that never ticks and is gone without a word.
    ///
    /// # Errors
    /// What the host denies of that.
    pub fn serve(&mut self) -> Result<(), Denied> {
        let Some(name) = self.untold.clone() else { return Ok(()) };
        self.info.set(1, || name)?;
        count_load(LoadOutcome::Accepted)?;
        self.untold = None;
        Ok(())
    }

    /// Tells what has changed.
    ///
    /// # Errors
    /// What the host denies of that; it is told again the next time.
    pub fn flush(&mut self, engine: &Engine, waiting: usize) -> Result<(), Denied> {
        self.waiting.set(waiting as i64, || metrics::WAITING.to_owned())?;
        let Ok(trust) = engine.trust.try_borrow() else { return Ok(()) };
        self.issuers.resize_with(engine.issuers.len(), OfIssuer::default);
        for (place, (issuer, gauges)) in engine.issuers.iter().zip(&mut self.issuers).enumerate() {
            let labels = [("issuer", &*issuer.name)];
            let (id, keyring) = (IssuerId(place), trust.keyring());
            let keys = keyring.set(id).map_or(0, |set| set.iter().count());
            gauges.keys.set(keys as u64, || metrics::name(metrics::KEYS, &labels))?;
            if let Some(millis) = keyring.confirmed(id) {
                let name = || metrics::name(metrics::KEY_SET_SUCCESS, &labels);
                gauges.success.set(millis.unsigned_abs() / 1000, name)?;
            }
            let Some(lists) = trust.revocations(id) else { continue };
            let name = || metrics::name(metrics::REVOCATIONS, &labels);
            gauges.revocations.set(lists.len() as u64, name)?;
            if let Some(millis) = lists.schedule().and_then(Schedule::confirmed) {
                let name = || metrics::name(metrics::REVOCATION_SUCCESS, &labels);
                gauges.revocation_success.set(millis.unsigned_abs() / 1000, name)?;
            }
        }
        Ok(())
    }
}

impl Drop for Gauges {
    fn drop(&mut self) {
        for share in [&mut self.info, &mut self.waiting] {
            // A host that denies it was told of already.
            let _ = share.withdraw();
        }
    }
}

impl Gauge {
    fn set(&mut self, value: u64, name: impl FnOnce() -> String) -> Result<(), Denied> {
        if self.told == Some(value) {
            return Ok(());
        }
        let id = match self.id {
            Some(id) => id,
            None => *self.id.insert(host::define_metric(Metric::Gauge, &name())?),
        };
        host::record_metric(id, value)?;
        self.told = Some(value);
        Ok(())
    }
}

impl Share {
    fn set(&mut self, value: i64, name: impl FnOnce() -> String) -> Result<(), Denied> {
        let more = value.saturating_sub(self.told);
        if more == 0 {
            return Ok(());
        }
        let id = match self.id {
            Some(id) => id,
            None => *self.id.insert(host::define_metric(Metric::Gauge, &name())?),
        };
        host::increment_metric(id, more)?;
        self.told = value;
        Ok(())
    }

    fn withdraw(&mut self) -> Result<(), Denied> {
        // Without a name the host was told of no part.
        if self.id.is_some() { self.set(0, String::new) } else { Ok(()) }
    }
}

/// Counts a configuration that was loaded, or not.
///
/// # Errors
/// What the host denies of that.
pub fn count_load(outcome: LoadOutcome) -> Result<(), Denied> {
    host::increment_metric(define_load(outcome)?, 1)
}

fn define_load(outcome: LoadOutcome) -> Result<u32, Denied> {
    let name = metrics::name(metrics::CONFIG_LOADS, &[("outcome", outcome.name())]);
    host::define_metric(Metric::Counter, &name)
}
