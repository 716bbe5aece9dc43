//! The root context: loads the configuration, ticks, and makes a context for each stream.

use super::counters::Counters;
use super::host::{self, Denied, Metric};
use super::http::Http;
use crate::config;
use crate::engine::Engine;
use crate::metrics;
use crate::token::signature::Portable;
use log::{error, info, warn};
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::ContextType;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// How often counters are flushed, in milliseconds.
const TICK: u32 = 1000;

/// What the streams of one configuration share in one worker.
pub struct Gate {
    /// The policy; none refuses every request.
    pub engine: Option<Engine>,
    /// Envoy's node id.
    pub node: String,
    /// The level of audit lines: info where the host prints it, else warn.
    pub audit_level: Cell<log::Level>,
    /// Counters.
    pub counters: RefCell<Counters>,
    /// Whether a refusal of the host was told; the log need not repeat it for every request.
    pub told: Cell<bool>,
    /// Whether it was told that counters are refused.
    uncounted: Cell<bool>,
}

impl Gate {
    fn new(engine: Option<Engine>) -> Self {
        Self {
            engine,
            node: String::new(),
            audit_level: Cell::new(log::Level::Warn),
            counters: RefCell::default(),
            told: Cell::new(false),
            uncounted: Cell::new(false),
        }
    }

    /// The filter's name.
    pub fn name(&self) -> &str {
        self.engine.as_ref().map_or("claimgate", |engine| &engine.name)
    }

    /// Tells once that the host refuses what a decision needs.
    pub fn tell(&self, why: &dyn std::fmt::Display) {
        if !self.told.replace(true) {
            error!("claimgate: {why}: requests are refused with 503 internal_error");
        }
    }

    fn tick(&self) {
        let info = host::logs_info();
        self.audit_level.set(if info { log::Level::Info } else { log::Level::Warn });
        if let Ok(mut counters) = self.counters.try_borrow_mut()
            && let Err(denied) = counters.flush(self.name(), self.engine.as_ref())
            && !self.uncounted.replace(true)
        {
            warn!("claimgate: {denied}: requests are decided, and not counted");
        }
    }
}

/// See the module.
pub struct Root {
    gate: Rc<Gate>,
}

impl Default for Root {
    fn default() -> Self {
        Self { gate: Rc::new(Gate::new(None)) }
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        self.gate.tick();
    }
}

impl Context for Root {}

impl RootContext for Root {
    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Http::new(Rc::clone(&self.gate))))
    }

    /// Loads the configuration. False refuses it, and depends on its bytes and the environment
    /// alone: a worker that answered false, after the main thread answered true, would serve
    /// without the filter. Whatever the host denies leaves a gate that is closed instead.
    fn on_configure(&mut self, size: usize) -> bool {
        let bytes = match host::plugin_configuration(size) {
            Ok(bytes) => bytes,
            Err(denied) => {
                self.close(&denied);
                return true;
            }
        };
        let plugin = host::property("plugin_name").unwrap_or_default();
        let plugin = String::from_utf8_lossy(&plugin);
        let loaded = match config::load(&bytes, &plugin, &environment, &Portable) {
            Ok(loaded) => loaded,
            Err(wrong) => {
                error!("claimgate: configuration refused: {wrong}");
                return false;
            }
        };
        for warning in &loaded.warnings {
            warn!("claimgate: {warning}");
        }
        let mut gate = Gate::new(Some(loaded.engine));
        gate.node = host::property("xds\0node\0id")
            .map(|id| String::from_utf8_lossy(&id).into_owned())
            .unwrap_or_default();
        match probe() {
            Ok(()) => {
                gate.tick();
                if let Some(engine) = &gate.engine {
                    info!(
                        "claimgate {}: `{}` loaded, routes: {}, issuers: {}",
                        env!("CARGO_PKG_VERSION"),
                        engine.name,
                        engine.routes.len(),
                        engine.issuers.len()
                    );
                }
                self.gate = Rc::new(gate);
            }
            Err(denied) => self.close(&denied),
        }
        true
    }

    fn on_tick(&mut self) {
        self.gate.tick();
    }
}

impl Root {
    fn close(&mut self, why: &Denied) {
        self.gate = Rc::new(Gate::new(None));
        self.gate.tell(why);
    }
}

/// Asks the host for what every decision needs.
fn probe() -> Result<(), Denied> {
    host::now()?;
    host::set_tick_period(TICK)?;
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    let info = host::define_metric(Metric::Gauge, &metrics::name(metrics::INFO, &version))?;
    host::record_metric(info, 1)?;
    host::increment_metric(info, 0)?;
    host::try_property("plugin_name")?;
    // Audit lines go to the log: without it nothing would be told of who was let in.
    host::log(log::Level::Debug, "claimgate: the host grants what is needed")
}

#[allow(clippy::disallowed_methods, reason = "this is the host's side")]
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
