//! What cannot be counted: start, memory, throughput and CPU time of an Envoy without valgrind.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::bootstrap::Bootstrap;
use crate::client::{self, Connection};
use crate::filters::Policy;
use crate::process::Envoy;
use crate::tokens::mint;

/// How often what varies is measured; the middle one is shown.
const ROUNDS: usize = 3;
/// How often a start is measured, which is over soon.
const STARTS: usize = 7;
/// Requests before the memory is read.
const REQUESTS: usize = 5000;
/// Distinct tokens of a cold load, sent in turn: more than a cache holds.
const DISTINCT: usize = 20_000;
/// How long wrk runs.
const SECONDS: u32 = 5;

/// Sends the requests of a file of tokens in turn, with everything prepared beforehand.
const SCRIPT: &str = r#"
local requests, at = {}, 0
init = function(arguments)
  for token in io.lines(arguments[1]) do
    requests[#requests + 1] = wrk.format("GET", arguments[2], { authorization = "Bearer " .. token })
  end
end
request = function()
  at = at % #requests + 1
  return requests[at]
end
"#;

/// A filter chain and what it took to start.
pub struct Start {
    /// What stands before the router.
    pub name: &'static str,
    /// From the start of the process to its first answer, in milliseconds.
    pub milliseconds: f64,
    /// The resident memory after some load, in MiB.
    pub mebibytes: f64,
}

/// A filter chain under load.
pub struct Load {
    /// What stands before the router, and what is sent.
    pub name: &'static str,
    /// Requests a second.
    pub throughput: f64,
    /// Microseconds of Envoy's CPU time a request.
    pub microseconds: f64,
}

/// Starts an Envoy for each of no filter, Envoy's own and Claimgate, again and again.
pub fn starts(claimgate: &Path) -> Vec<Start> {
    let policy = Policy::new("RS256");
    let token = mint("RS256", 0..1).remove(0);
    let chains = [
        ("no filter", Vec::new()),
        ("jwt_authn and rbac", policy.native()),
        ("Claimgate", policy.claimgate(claimgate)),
    ];
    let measure = |(name, filters): (&'static str, Vec<Value>)| {
        let mut bootstrap = Bootstrap::default();
        let listener = bootstrap.listener(filters, false);
        let config = bootstrap.to_json(Some(client::upstream()));
        let (mut times, mut memory) = (Vec::new(), Vec::new());
        for _ in 0..STARTS {
            let envoy = Envoy::start("start", &config, &[]);
            let mut connection = Connection::open(envoy.address(&listener)).unwrap();
            let mut ask = || {
                let (status, body) = connection.get(&policy.path(), Some(&token)).unwrap();
                assert_eq!(status, 200, "{name}: {body}");
            };
            ask();
            times.push(envoy.begun.elapsed().as_secs_f64() * 1000.0);
            (0..REQUESTS).for_each(|_| ask());
            memory.push(envoy.resident_mebibytes());
        }
        Start { name, milliseconds: middle(times), mebibytes: middle(memory) }
    };
    chains.into_iter().map(measure).collect()
}

/// Drives the chains of one Envoy with wrk, one after the other and that several times.
pub fn loads(claimgate: &Path) -> Vec<Load> {
    let warm = Policy::new("RS256");
    let cold = Policy { cache: false, ..warm.clone() };
    let distinct = mint("RS256", 0..DISTINCT);
    let mut bootstrap = Bootstrap::default();
    let guarded = bootstrap.listener(warm.claimgate(claimgate), false);
    let chains = [
        ("no filter, the same token", bootstrap.listener(Vec::new(), false), 1),
        ("jwt_authn and rbac, the same token", bootstrap.listener(warm.native(), false), 1),
        ("Claimgate, the same token", guarded.clone(), 1),
        ("jwt_authn and rbac, many tokens", bootstrap.listener(cold.native(), false), DISTINCT),
        ("Claimgate, many tokens", guarded, DISTINCT),
    ];
    let envoy = Envoy::start("load", &bootstrap.to_json(Some(client::upstream())), &[]);
    let script = envoy.folder.join("tokens.lua");
    std::fs::write(&script, SCRIPT).unwrap();
    let mut seen = vec![(Vec::new(), Vec::new()); chains.len()];
    // The first round warms up.
    for round in 0..=ROUNDS {
        for ((name, listener, count), (throughput, time)) in chains.iter().zip(&mut seen) {
            let tokens = envoy.folder.join(format!("tokens-{count}"));
            std::fs::write(&tokens, distinct[..*count].join("\n")).unwrap();
            let mut wrk = Command::new("wrk");
            wrk.args(["--threads", "1", "--connections", "16", "--script"]).arg(&script);
            wrk.args(["--duration", &format!("{SECONDS}s")]);
            wrk.arg(format!("http://{}/", envoy.address(listener)));
            wrk.arg("--").arg(tokens).arg(warm.path());
            let before = envoy.cpu_time();
            let output = wrk.output().expect("wrk: apt-get install wrk");
            let spent = envoy.cpu_time() - before;
            let text = String::from_utf8_lossy(&output.stdout);
            let served = requests(&text).unwrap_or_else(|| panic!("{name}: wrk said {output:?}"));
            if round > 0 {
                throughput.push(served / f64::from(SECONDS));
                time.push(spent.as_secs_f64() * 1e6 / served);
            }
        }
    }
    let load = |((name, ..), (throughput, time)): ((&'static str, _, _), (Vec<f64>, Vec<f64>))| {
        Load { name, throughput: middle(throughput), microseconds: middle(time) }
    };
    chains.into_iter().zip(seen).map(load).collect()
}

/// The number of requests that wrk reports, if every one was answered with success.
fn requests(text: &str) -> Option<f64> {
    let failed = text.contains("Non-2xx") || text.contains("Socket errors");
    let line = text.lines().find(|line| line.contains(" requests in "))?;
    line.split_whitespace().next()?.parse().ok().filter(|_| !failed)
}

fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
