//! The Proxy-Wasm filter: the only place that names the host.

mod additions;
mod counters;
mod fetch;
mod gauges;
mod host;
mod http;
mod journal;
mod renewal;
mod root;
mod shared;
mod waiting;

use std::panic;

/// The `log` crate's records go to Envoy's log.
struct HostLog;

impl log::Log for HostLog {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            // A refusal has nowhere to be told; what needs the log asks for it when it loads.
            let _ = host::log(record.level(), &record.args().to_string());
        }
    }

    fn flush(&self) {}
}

mod start {
    #![allow(unsafe_code, missing_docs, reason = "the SDK's macro exports the entry point")]

    proxy_wasm::main! {{
        super::start();
    }}
}

fn start() {
    // Set once a VM; a second time would only fail.
    if log::set_logger(&HostLog).is_ok() {
        log::set_max_level(log::LevelFilter::Info);
    }
    panic::set_hook(Box::new(|info| {
        // The place only: a message could quote a request.
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let _ =
            host::log(log::Level::Error, &format!("claimgate: panic at {place}: this is a defect"));
    }));
    proxy_wasm::set_root_context(|context| Box::new(root::Root::new(context)));
}
