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
const ROUNDS: usize = 5;
/// How often a start is measured, which is over soon.
const STARTS: usize = 7;
/// Requests before the memory is read.
const REQUESTS: usize = 5000;
/// Distinct tokens of a cold load: those that warm up, then those that are measured. In one Envoy none of the latter comes
/// again, as a cache that defends itself against scans would know a part of them, however many they are.
const DISTINCT: usize = 20_000;
const WARM_UP: usize = 4000;
/// How long wrk runs with one token, and how long with many: so long that they suffice.
const SECONDS: u32 = 3;
const COLD_SECONDS: u32 = 1;

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
    let many = Policy { routes: Some(10_000), ..policy.clone() };
    let token = mint("RS256", 0..1).remove(0);
    let chains = [
        ("no filter", &policy, Vec::new()),
        ("jwt_authn and rbac", &policy, policy.native()),
        ("Claimgate", &policy, policy.claimgate(claimgate)),
        ("Claimgate, 10,000 routes", &many, many.claimgate(claimgate)),
    ];
    let measure = |(name, policy, filters): (&'static str, &Policy, Vec<Value>)| {
        let mut bootstrap = Bootstrap::default();
        let listener = bootstrap.listener(filters, false);
        let config = bootstrap.to_json(Some(client::upstream()));
        let (mut times, mut memory) = (Vec::new(), Vec::new());
        for _ in 0..STARTS {
            let envoy = Envoy::start("start", &config, &[]);
            let mut connection = Connection::open(envoy.address(&listener)).unwrap();
            let mut ask = || {
                let (status, body) =
                    connection.get(&policy.path(), Some(&policy.header(&token))).unwrap();
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

/// Drives the chains of one Envoy with wrk, one after the other, and that with several Envoys.
pub fn loads(claimgate: &Path) -> Vec<Load> {
    let warm = Policy::new("RS256");
    let cold = Policy { cache: false, ..warm.clone() };
    let distinct = mint("RS256", 0..DISTINCT);
    let mut bootstrap = Bootstrap::default();
    let guarded = bootstrap.listener(warm.claimgate(claimgate), false);
    let chains = [
        ("no filter, the same token", bootstrap.listener(Vec::new(), false), false),
        ("jwt_authn and rbac, the same token", bootstrap.listener(warm.native(), false), false),
        ("Claimgate, the same token", guarded.clone(), false),
        ("jwt_authn and rbac, every token new", bootstrap.listener(cold.native(), false), true),
        ("Claimgate, every token new", guarded, true),
    ];
    let mut seen = vec![(Vec::new(), Vec::new()); chains.len()];
    for _ in 0..ROUNDS {
        let envoy = Envoy::start("load", &bootstrap.to_json(Some(client::upstream())), &[]);
        for ((name, listener, each_new), (throughput, time)) in chains.iter().zip(&mut seen) {
            let (first, then, seconds) = if *each_new {
                (&distinct[..WARM_UP], &distinct[WARM_UP..], COLD_SECONDS)
            } else {
                (&distinct[..1], &distinct[..1], SECONDS)
            };
            drive(&envoy, listener, &warm.path(), first, 1);
            let before = envoy.cpu_time();
            let served = drive(&envoy, listener, &warm.path(), then, seconds);
            let spent = envoy.cpu_time() - before;
            if *each_new && served > then.len() as f64 {
                eprintln!("{name}: this machine is so fast that tokens were sent twice");
            }
            throughput.push(served / f64::from(seconds));
            time.push(spent.as_secs_f64() * 1e6 / served);
        }
    }
    let load = |((name, ..), (throughput, time)): ((&'static str, _, _), (Vec<f64>, Vec<f64>))| {
        Load { name, throughput: middle(throughput), microseconds: middle(time) }
    };
    chains.into_iter().zip(seen).map(load).collect()
}

/// Has wrk send these tokens in turn for as long, and returns how many requests were served.
fn drive(envoy: &Envoy, listener: &str, path: &str, tokens: &[String], seconds: u32) -> f64 {
    let (script, file) = (envoy.folder.join("tokens.lua"), envoy.folder.join("tokens"));
    std::fs::write(&script, SCRIPT).unwrap();
    std::fs::write(&file, tokens.join("\n")).unwrap();
    let mut wrk = Command::new("wrk");
    wrk.args(["--threads", "1", "--connections", "16", "--script"]).arg(&script);
    wrk.args(["--duration", &format!("{seconds}s")]);
    wrk.arg(format!("http://{}/", envoy.address(listener))).arg("--").arg(file).arg(path);
    let output = wrk.output().expect("wrk: apt-get install wrk");
    let text = String::from_utf8_lossy(&output.stdout);
    requests(&text).unwrap_or_else(|| panic!("wrk at {listener} said {output:?}"))
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
