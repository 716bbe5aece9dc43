//! What Envoy wrote to its log, watched for secrets as it is written.

use std::cell::RefCell;
use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex, Once};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::secrets;

/// How many lines a failed test shows.
const TAIL: usize = 60;

/// The lines of one Envoy's log so far.
#[derive(Default)]
pub struct Log {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    lines: Vec<String>,
    leak: Option<String>,
    closed: bool,
}

impl Log {
    /// Follows `source` in a thread of its own until it ends.
    pub fn follow(source: impl Read + Send + 'static) -> Arc<Self> {
        let log = Arc::new(Log::default());
        let writer = log.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(source).split(b'\n').map_while(Result::ok) {
                writer.push(String::from_utf8_lossy(&line).into_owned());
            }
            writer.state.lock().unwrap().closed = true;
            writer.changed.notify_all();
        });
        log
    }

    fn push(&self, line: String) {
        let leak = secrets::found_in(&line);
        let mut state = self.state.lock().unwrap();
        if let Some(secret) = leak {
            state.leak.get_or_insert(format!("`{secret}` is in the log line: {line}"));
        }
        state.lines.push(line);
        self.changed.notify_all();
    }

    /// The first thing that `pick` finds in a line at or after `start`, waiting for new lines.
    pub fn find_from<T>(
        &self,
        start: usize,
        wait: Duration,
        pick: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let deadline = Instant::now() + wait;
        let mut next = start;
        let mut state = self.state.lock().unwrap();
        loop {
            if let Some(found) =
                state.lines[next.min(state.lines.len())..].iter().find_map(|line| pick(line))
            {
                return Some(found);
            }
            next = next.max(state.lines.len());
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || state.closed {
                return None;
            }
            state = self.changed.wait_timeout(state, left).unwrap().0;
        }
    }

    /// The first audit record that `wanted` accepts, within five seconds.
    pub fn audit(&self, wanted: impl Fn(&Value) -> bool) -> Option<Value> {
        self.find_from(0, Duration::from_secs(5), |line| audit_record(line).filter(&wanted))
    }

    /// Every audit record so far that `wanted` accepts.
    pub fn audits(&self, wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
        self.state
            .lock()
            .unwrap()
            .lines
            .iter()
            .filter_map(|line| audit_record(line))
            .filter(wanted)
            .collect()
    }

    /// Every line so far.
    pub fn lines(&self) -> Vec<String> {
        self.state.lock().unwrap().lines.clone()
    }

    /// The texts of all audit records so far.
    pub fn records(&self) -> Vec<String> {
        let state = self.state.lock().unwrap();
        let parts = state.lines.iter().filter_map(|line| line.split_once("claimgate_audit "));
        parts.map(|(_, record)| record.to_owned()).collect()
    }

    /// The number of lines so far, to look only at later ones.
    pub fn len(&self) -> usize {
        self.state.lock().unwrap().lines.len()
    }

    /// What the filter itself wrote from line `start` on, but for audit records.
    pub fn own_lines_from(&self, start: usize) -> String {
        let state = self.state.lock().unwrap();
        let written = state.lines[start..].iter().filter_map(|line| line.split_once("wasm log "));
        let own = written.map(|(_, text)| text).filter(|text| !text.contains("claimgate_audit "));
        own.collect::<Vec<_>>().join("\n")
    }

    /// Waits until what writes the log has ended.
    pub fn wait_for_end(&self, wait: Duration) {
        self.find_from(usize::MAX, wait, |_| None::<()>);
    }

    /// Fails the test if a token or a secret was logged.
    pub fn assert_discreet(&self) {
        if let Some(leak) = &self.state.lock().unwrap().leak {
            panic!("a secret in Envoy's log: {leak}");
        }
    }
}

/// The record of an audit line.
pub fn audit_record(line: &str) -> Option<Value> {
    let (_, json) = line.split_once("claimgate_audit ")?;
    serde_json::from_str(json).ok()
}

thread_local! {
    static SHOWN_ON_FAILURE: RefCell<Vec<Arc<Log>>> = const { RefCell::new(Vec::new()) };
}

/// Has the end of this log printed if the current test fails.
pub fn show_on_failure(log: &Arc<Log>) {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let default = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            default(panic);
            SHOWN_ON_FAILURE.with_borrow(|logs| logs.iter().for_each(|log| print_tail(log)));
        }));
    });
    SHOWN_ON_FAILURE.with_borrow_mut(|logs| {
        if !logs.iter().any(|known| Arc::ptr_eq(known, log)) {
            logs.push(log.clone());
        }
    });
}

fn print_tail(log: &Log) {
    // The panic may have happened while the log was held.
    let Ok(state) = log.state.try_lock() else {
        return;
    };
    let start = state.lines.len().saturating_sub(TAIL);
    eprintln!("--- the end of Envoy's log ---\n{}\n---", state.lines[start..].join("\n"));
}
