//! An Envoy with the filter in front of the echo upstream.

use std::net::SocketAddr;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;

use super::bootstrap::{self, DISCOVERY_FILE};
use super::envoy::{self, Envoy};
use super::exchange::Exchange;
use super::http::Request;
use super::log;
use super::setup::Setup;
use super::{eventually, upstream};

static UPSTREAM: LazyLock<SocketAddr> = LazyLock::new(upstream::start);

/// A running Envoy with the filter, to send requests through.
pub struct Proxy {
    /// The process.
    pub envoy: Envoy,
    setup: Setup,
}

impl Proxy {
    /// Starts an Envoy that has to accept its configuration.
    pub fn start(setup: Setup) -> Self {
        match Self::try_start(&setup) {
            Ok(envoy) => Proxy { envoy, setup },
            Err(_) => panic!("Envoy refused to start"),
        }
    }

    /// Starts an Envoy that has to refuse its configuration; what the filter logged.
    pub fn refusal(setup: &Setup) -> String {
        match Self::try_start(setup) {
            Ok(_) => panic!("Envoy started with a configuration that is to be refused"),
            Err(log) => log.own_lines_from(0),
        }
    }

    /// An Envoy without the filter that takes HTTP/1 and speaks HTTP/2 to this one.
    pub fn behind_http2(&self, tls: Option<Value>) -> Envoy {
        let front = bootstrap::http2_front(self.envoy.address, tls);
        Envoy::start(envoy::new_folder(), &front, 1)
            .unwrap_or_else(|_| panic!("the front Envoy did not start"))
    }

    fn try_start(setup: &Setup) -> Result<Envoy, std::sync::Arc<log::Log>> {
        let folder = envoy::new_folder();
        std::fs::write(folder.join(DISCOVERY_FILE), setup.discovery_file()).unwrap();
        let bootstrap = setup.bootstrap(&folder, *UPSTREAM);
        Envoy::start(folder, &bootstrap, setup.workers)
    }

    /// Sends a request, under an identifier of its own that finds its traces in the logs.
    pub fn send(&self, request: Request) -> Exchange<'_> {
        self.send_by(self.envoy.address, request)
    }

    /// Sends a request by way of another address that leads here.
    pub fn send_by(&self, address: SocketAddr, request: Request) -> Exchange<'_> {
        log::show_on_failure(&self.envoy.log);
        let exchange =
            self.try_send(address, request).unwrap_or_else(|error| panic!("no answer: {error}"));
        self.envoy.log.assert_discreet();
        exchange
    }

    /// Sends requests one after the other on one connection, which every request but the last has to keep alive.
    pub fn send_in_turn(&self, requests: Vec<Request>) -> Vec<Exchange<'_>> {
        log::show_on_failure(&self.envoy.log);
        let ids: Vec<String> = requests.iter().map(|_| new_id()).collect();
        let identify = |(request, id): (Request, &String)| request.header("x-request-id", id);
        let requests: Vec<Request> = requests.into_iter().zip(&ids).map(identify).collect();
        let responses = Request::send_in_turn(&requests, self.envoy.address).unwrap();
        let exchange = |(id, response)| Exchange { proxy: self, id, response };
        ids.into_iter().zip(responses).map(exchange).collect()
    }

    /// Sends a request that may remain unanswered, as under load.
    ///
    /// # Errors
    /// Why there is no answer.
    pub fn try_send(&self, address: SocketAddr, request: Request) -> Result<Exchange<'_>, String> {
        let id = new_id();
        let response = request.header("x-request-id", &id).send(address)?;
        Ok(Exchange { proxy: self, id, response })
    }

    /// Replaces the filter's configuration under the running Envoy, as a deployment does: write beside, then rename.
    ///
    /// # Errors
    /// What the filter logged, if Envoy keeps the old one.
    pub fn push(&self, config: Value) -> Result<(), String> {
        self.push_setup(&self.setup.with_config(config))
    }

    /// Replaces the filter's configuration, delivery and capabilities.
    ///
    /// # Errors
    /// What the filter logged, if Envoy keeps the old one.
    pub fn push_setup(&self, setup: &Setup) -> Result<(), String> {
        self.push_file(&setup.discovery_file())
    }

    /// Replaces the whole file of the filter.
    ///
    /// # Errors
    /// What the filter logged, if Envoy keeps the old one.
    pub fn push_file(&self, content: &str) -> Result<(), String> {
        log::show_on_failure(&self.envoy.log);
        let start = self.envoy.log.len();
        let before = self.updates();
        let beside = self.envoy.folder.join("beside.json");
        std::fs::write(&beside, content).unwrap();
        std::fs::rename(&beside, self.envoy.folder.join(DISCOVERY_FILE)).unwrap();
        let after = eventually(Duration::from_secs(20), || {
            Some(self.updates()).filter(|after| *after != before)
        })
        .unwrap_or_else(|| panic!("Envoy took no notice of the new file"));
        if after.0 > before.0 {
            // The main thread has it; no statistic tells when each worker has.
            std::thread::sleep(Duration::from_millis(300));
            return Ok(());
        }
        let said = |line: &str| line.contains("Filesystem config update").then_some(());
        self.envoy.log.find_from(start, Duration::from_secs(5), said);
        Err(self.envoy.log.own_lines_from(start))
    }

    /// How many configurations of the filter were accepted, and how many refused.
    fn updates(&self) -> (u64, u64) {
        let count = |name: &str| {
            self.stat(&format!("extension_config_discovery.http_filter.claimgate.{name}"))
        };
        (count("update_success"), count("update_failure") + count("update_rejected"))
    }

    /// The sum of the counters and gauges whose name contains `part`.
    pub fn stat(&self, part: &str) -> u64 {
        let stats = self.envoy.admin("/stats");
        let matching = stats
            .lines()
            .filter_map(|line| line.split_once(": "))
            .filter(|(name, _)| name.contains(part));
        matching.filter_map(|(_, value)| value.parse::<u64>().ok()).sum()
    }

    /// Waits until the metric `name` with all these labels is positive.
    pub fn counted(&self, name: &str, labels: &[(&str, &str)]) -> bool {
        let labels: Vec<String> =
            labels.iter().map(|(label, value)| format!("{label}=.={value};.;")).collect();
        let positive =
            |line: &str| line.rsplit_once(": ").is_some_and(|(_, value)| value.trim() != "0");
        eventually(Duration::from_secs(5), || {
            let stats = self.envoy.admin("/stats");
            let mut lines = stats.lines();
            lines
                .any(|line| {
                    line.contains(name)
                        && labels.iter().all(|label| line.contains(label))
                        && positive(line)
                })
                .then_some(())
        })
        .is_some()
    }
}

/// The identifier of one request.
fn new_id() -> String {
    static SERIAL: AtomicU64 = AtomicU64::new(1);
    format!("e2e-{}", SERIAL.fetch_add(1, Ordering::Relaxed))
}
