//! Envoy as a process, alone or under callgrind.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::client::Connection;

/// How long a start may take: under valgrind it takes long.
const START: Duration = Duration::from_secs(300);

/// A running Envoy, ended with this value.
pub struct Envoy {
    process: Child,
    /// The folder of its files.
    pub folder: PathBuf,
    /// Its administration address.
    pub admin: SocketAddr,
    /// When it was started.
    pub begun: Instant,
}

/// The binary of Envoy: of `ENVOY`, or the one that was fetched.
pub fn binary() -> PathBuf {
    let fetched = || Path::new(env!("CARGO_MANIFEST_DIR")).join(".envoy/bin/envoy");
    std::env::var_os("ENVOY").map_or_else(fetched, PathBuf::from)
}

impl Envoy {
    /// Starts it with one worker, behind the words of `wrapper` (valgrind and its options), and waits until it is ready.
    pub fn start(name: &str, bootstrap: &Value, wrapper: &[String]) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench").join(name);
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let (config, admin_file) = (folder.join("envoy.json"), folder.join("admin"));
        std::fs::write(&config, bootstrap.to_string()).unwrap();
        // Envoy ends with the benchmark, however that ends. All of these words become one process, one after the other.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).args(wrapper).arg(binary());
        command.arg("--config-path").arg(config);
        command.arg("--admin-address-path").arg(&admin_file);
        command.args(["--concurrency", "1", "--disable-hot-restart"]);
        // Audit lines are written at `info`: they are to be measured, in a file as in production.
        command.args(["--log-level", "warning", "--component-log-level", "wasm:info"]);
        let log = folder.join("envoy.log");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&log).unwrap());
        let begun = Instant::now();
        let process = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let mut envoy =
            Envoy { process, folder, admin: SocketAddr::from(([127, 0, 0, 1], 0)), begun };
        while begun.elapsed() < START {
            if let Ok(Some(status)) = envoy.process.try_wait() {
                let text = std::fs::read_to_string(&log).unwrap_or_default();
                let lines: Vec<&str> = text.lines().collect();
                // What it says of a wrong bootstrap is long, and the reason is at its end.
                let end = lines[lines.len().saturating_sub(20)..].join("\n");
                panic!("Envoy ended with {status}; the end of {}:\n{end}", log.display());
            }
            let admin = std::fs::read_to_string(&admin_file).ok();
            if let Some(admin) = admin.and_then(|text| text.trim().parse().ok()) {
                envoy.admin = admin;
                if envoy.ask("/ready").is_ok_and(|(status, _)| status == 200) {
                    return envoy;
                }
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        panic!("Envoy was not ready after {START:?}: {}", log.display());
    }

    /// The identifier of the process, the same under valgrind.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Where the listener of this name serves.
    pub fn address(&self, listener: &str) -> SocketAddr {
        let (_, text) = self.ask("/listeners").unwrap();
        // A line each: `name::address`.
        let mut lines = text.lines().filter_map(|line| line.split_once("::"));
        let found = lines.find(|(name, _)| *name == listener);
        found.unwrap_or_else(|| panic!("no listener {listener}")).1.parse().unwrap()
    }

    /// The memory that it occupies.
    pub fn resident_mebibytes(&self) -> f64 {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let mut values = text.lines().filter_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes = values.next().unwrap().trim().trim_end_matches(" kB");
        kibibytes.parse::<f64>().unwrap() / 1024.0
    }

    /// The CPU time that it has used, in steps of ten milliseconds.
    pub fn cpu_time(&self) -> Duration {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        // After the name in parentheses: the 14th and the 15th field of all, `utime` and `stime`.
        let (_, fields) = text.rsplit_once(") ").unwrap();
        let ticks = fields.split(' ').skip(11).take(2);
        Duration::from_millis(10 * ticks.map(|ticks| ticks.parse::<u64>().unwrap()).sum::<u64>())
    }

    fn ask(&self, path: &str) -> Result<(u16, String), String> {
        let mut connection = Connection::open(self.admin).map_err(|error| error.to_string())?;
        connection.get(path, None)
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
