//! Counting instructions: Envoy under valgrind's callgrind.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::client::Connection;
use crate::process::Envoy;
use crate::rows::Row;

/// Requests before the count, so that V8 has compiled what is hot.
const WARM_UP: usize = 1500;
/// Requests that are counted.
const COUNTED: usize = 500;
/// What the most expensive rows may take instead: they are compiled, and even out, sooner.
const WARM_UP_TIME: Duration = Duration::from_secs(20);
const COUNTED_TIME: Duration = Duration::from_secs(15);

/// How many tokens a row with a new one each needs.
pub const TOKENS: usize = WARM_UP + COUNTED;

/// An Envoy whose instructions are counted.
pub struct Counter {
    envoy: Envoy,
    dumps: usize,
}

impl Counter {
    /// Starts Envoy; the start itself is not counted.
    pub fn start(bootstrap: &Value) -> Self {
        let out =
            concat!("--callgrind-out-file=", env!("CARGO_TARGET_TMPDIR"), "/bench/counted/counts");
        let valgrind =
            ["valgrind", "--tool=callgrind", "--smc-check=all-non-file", "--instr-atstart=no", out];
        let envoy = Envoy::start("counted", bootstrap, &valgrind.map(str::to_owned));
        control(&envoy, &["-i", "on"]);
        Counter { envoy, dumps: 0 }
    }

    /// The thousand instructions that a request of `row` takes at the listener of this name.
    pub fn count(&mut self, row: &Row, listener: &str) -> f64 {
        let mut connection = Connection::open(self.envoy.address(listener)).unwrap();
        if row.guarded {
            // A filter that does not run costs nothing.
            let (status, body) = connection.get(&row.path, None).unwrap();
            assert_eq!(status, 401, "row {} without a token: {body}", row.name);
        }
        let mut sent = 0;
        let mut send = |limit: usize, time: Duration| {
            let begun = Instant::now();
            let start = sent;
            while sent < start + limit && begun.elapsed() < time {
                let header = row.policy.header(row.tokens.of(sent));
                let (status, body) = connection.get(&row.path, Some(&header)).unwrap();
                assert_eq!(status, row.status, "row {}: {body}", row.name);
                sent += 1;
            }
            sent - start
        };
        send(WARM_UP, WARM_UP_TIME);
        control(&self.envoy, &["-z"]);
        let requests = send(COUNTED, COUNTED_TIME);
        control(&self.envoy, &["-d"]);
        self.dumps += 1;
        self.total() / requests as f64 / 1000.0
    }

    /// The number of instructions in the newest dump.
    fn total(&self) -> f64 {
        let file = self.envoy.folder.join(format!("counts.{}", self.dumps));
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::remove_file(file).unwrap();
        let mut lines = text.lines().rev().filter_map(|line| line.strip_prefix("totals: "));
        lines.next().unwrap().trim().parse().unwrap()
    }
}

/// Gives callgrind an order.
fn control(envoy: &Envoy, order: &[&str]) {
    let output =
        Command::new("callgrind_control").args(order).arg(envoy.pid().to_string()).output();
    let output = output.expect("callgrind_control comes with valgrind");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("OK"), "callgrind_control {order:?}: {text}");
}
