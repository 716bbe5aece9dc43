//! One Envoy process, from its start to its certain end.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use serde_json::Value;

use super::eventually;
use super::http::Request;
use super::log::{self, Log};

const REMEDY: &str = "run `make test`, which builds and fetches them";

/// How long a start may take on a busy machine.
const START: Duration = Duration::from_secs(60);

/// Everything that Envoy lets a plugin be denied and that a filter could need: functions of the host, of WASI, and the
/// plugin's own callbacks.
pub const CAPABILITIES: &[&str] = &[
    "proxy_log",
    "proxy_get_log_level",
    "proxy_get_current_time_nanoseconds",
    "proxy_get_property",
    "proxy_set_property",
    "proxy_continue_request",
    "proxy_continue_response",
    "proxy_continue_stream",
    "proxy_close_stream",
    "proxy_send_local_response",
    "proxy_clear_route_cache",
    "proxy_get_shared_data",
    "proxy_set_shared_data",
    "proxy_register_shared_queue",
    "proxy_resolve_shared_queue",
    "proxy_enqueue_shared_queue",
    "proxy_dequeue_shared_queue",
    "proxy_get_header_map_value",
    "proxy_add_header_map_value",
    "proxy_replace_header_map_value",
    "proxy_remove_header_map_value",
    "proxy_get_header_map_pairs",
    "proxy_set_header_map_pairs",
    "proxy_get_header_map_size",
    "proxy_get_buffer_status",
    "proxy_get_buffer_bytes",
    "proxy_set_buffer_bytes",
    "proxy_http_call",
    "proxy_grpc_call",
    "proxy_grpc_stream",
    "proxy_grpc_close",
    "proxy_grpc_cancel",
    "proxy_grpc_send",
    "proxy_set_tick_period_milliseconds",
    "proxy_set_effective_context",
    "proxy_done",
    "proxy_call_foreign_function",
    "proxy_define_metric",
    "proxy_increment_metric",
    "proxy_record_metric",
    "proxy_get_metric",
    "proxy_get_status",
    "fd_write",
    "fd_read",
    "fd_seek",
    "fd_close",
    "fd_fdstat_get",
    "fd_fdstat_set_flags",
    "fd_prestat_get",
    "fd_prestat_dir_name",
    "path_open",
    "path_filestat_get",
    "environ_get",
    "environ_sizes_get",
    "args_get",
    "args_sizes_get",
    "proc_exit",
    "clock_time_get",
    "random_get",
    "sched_yield",
    "poll_oneoff",
    "proxy_on_vm_start",
    "proxy_validate_configuration",
    "proxy_on_configure",
    "proxy_on_tick",
    "proxy_on_context_create",
    "proxy_on_new_connection",
    "proxy_on_downstream_data",
    "proxy_on_upstream_data",
    "proxy_on_downstream_connection_close",
    "proxy_on_upstream_connection_close",
    "proxy_on_request_headers",
    "proxy_on_request_body",
    "proxy_on_request_trailers",
    "proxy_on_request_metadata",
    "proxy_on_response_headers",
    "proxy_on_response_body",
    "proxy_on_response_trailers",
    "proxy_on_response_metadata",
    "proxy_on_http_call_response",
    "proxy_on_grpc_receive",
    "proxy_on_grpc_close",
    "proxy_on_grpc_receive_initial_metadata",
    "proxy_on_grpc_receive_trailing_metadata",
    "proxy_on_queue_ready",
    "proxy_on_foreign_function",
    "proxy_on_done",
    "proxy_on_log",
    "proxy_on_delete",
];

/// Ends Envoy when the tests end, however they end: then its standard input closes.
const GUARD: &str = r#"
exec 3<&0
"$@" 3<&- </dev/null &
envoy=$!
(read -r _ <&3; kill "$envoy" 2>/dev/null) >/dev/null 2>&1 &
guard=$!
wait "$envoy"
status=$?
kill "$guard" 2>/dev/null
exit "$status"
"#;

/// A running Envoy.
pub struct Envoy {
    process: Child,
    /// What it logs.
    pub log: Arc<Log>,
    /// Where its files are.
    pub folder: PathBuf,
    /// Its administration address.
    pub admin: SocketAddr,
    /// Where it serves.
    pub address: SocketAddr,
}

impl Envoy {
    /// Starts Envoy with a bootstrap and waits until it is ready.
    ///
    /// # Errors
    /// Its log, if it ends instead.
    pub fn start(folder: PathBuf, bootstrap: &Value, workers: u32) -> Result<Self, Arc<Log>> {
        let (mut process, log) = spawn(&folder, bootstrap, workers);
        log::show_on_failure(&log);
        let admin = eventually(START, || match process.try_wait() {
            Ok(Some(_)) => Some(None),
            _ => ready_admin(&folder).map(Some),
        });
        match admin {
            Some(Some(admin)) => {
                Ok(Envoy { address: listening_address(admin), process, log, folder, admin })
            }
            Some(None) => {
                log.wait_for_end(Duration::from_secs(5));
                log.assert_discreet();
                Err(log)
            }
            None => {
                stop(&mut process);
                panic!("Envoy was not ready after {START:?}");
            }
        }
    }

    /// Asks the administration interface.
    pub fn admin(&self, path: &str) -> String {
        ask(self.admin, path).unwrap()
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        stop(&mut self.process);
        if !std::thread::panicking() {
            self.log.wait_for_end(Duration::from_secs(5));
            self.log.assert_discreet();
        }
    }
}

fn spawn(folder: &Path, bootstrap: &Value, workers: u32) -> (Child, Arc<Log>) {
    let file = folder.join("envoy.json");
    std::fs::write(&file, bootstrap.to_string()).unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", GUARD, "guard"]).args(envoy_command());
    command.arg("--config-path").arg(&file);
    command.arg("--admin-address-path").arg(folder.join(ADMIN_ADDRESS));
    command.args([
        "--concurrency",
        &workers.to_string(),
        "--log-level",
        "info",
        "--disable-hot-restart",
    ]);
    // Without the long lists of what is linked into Envoy.
    command.args(["--component-log-level", "main:warning"]);
    command.args(["--file-flush-interval-msec", "20"]);
    let mut process = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start Envoy: {error}; {REMEDY}"));
    let log = Log::follow(process.stderr.take().unwrap());
    (process, log)
}

/// Closing standard input is the signal to end.
fn stop(process: &mut Child) {
    drop(process.stdin.take());
    if eventually(Duration::from_secs(10), || process.try_wait().ok().flatten()).is_none() {
        let _ = process.kill();
        let _ = process.wait();
    }
}

const ADMIN_ADDRESS: &str = "admin";

fn ready_admin(folder: &Path) -> Option<SocketAddr> {
    let admin = std::fs::read_to_string(folder.join(ADMIN_ADDRESS)).ok()?.trim().parse().ok()?;
    ask(admin, "/ready").filter(|text| text.trim() == "LIVE").map(|_| admin)
}

fn ask(admin: SocketAddr, path: &str) -> Option<String> {
    let response = Request::get(path).send(admin).ok()?;
    String::from_utf8(response.body).ok()
}

fn listening_address(admin: SocketAddr) -> SocketAddr {
    let listeners: Value =
        serde_json::from_str(&ask(admin, "/listeners?format=json").unwrap()).unwrap();
    let socket = &listeners["listener_statuses"][0]["local_address"]["socket_address"];
    let ip: IpAddr = socket["address"].as_str().unwrap().parse().unwrap();
    SocketAddr::new(ip, u16::try_from(socket["port_value"].as_u64().unwrap()).unwrap())
}

fn envoy_command() -> Vec<String> {
    if let Ok(command) = std::env::var("ENVOY") {
        return command.split_whitespace().map(str::to_owned).collect();
    }
    let binary = Path::new(env!("CARGO_MANIFEST_DIR")).join(".envoy/bin/envoy");
    assert!(
        binary.exists(),
        "no Envoy at {} and no ENVOY in the environment: {REMEDY}",
        binary.display()
    );
    vec![binary.to_str().unwrap().to_owned()]
}

/// A Wasm module: the one that a variable names, else the one that is built there.
pub fn module(variable: &str, default: &str) -> PathBuf {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join(default);
    let file = std::env::var_os(variable).map_or_else(default, PathBuf::from);
    assert!(file.exists(), "no module at {}: {REMEDY}", file.display());
    file.canonicalize().unwrap()
}

/// A new folder for one Envoy; those of earlier runs are removed.
pub fn new_folder() -> PathBuf {
    static SERIAL: AtomicU32 = AtomicU32::new(0);
    let all = Path::new(env!("CARGO_TARGET_TMPDIR")).join("e2e");
    let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
    if serial == 0 {
        remove_old(&all);
    }
    let folder = all.join(format!("{}-{serial}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn remove_old(all: &Path) {
    let Ok(entries) = std::fs::read_dir(all) else {
        return;
    };
    for entry in entries.flatten() {
        let age = entry
            .metadata()
            .and_then(|data| data.modified())
            .map(|time| SystemTime::now().duration_since(time));
        if let Ok(Ok(age)) = age
            && age > Duration::from_secs(600)
        {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}
