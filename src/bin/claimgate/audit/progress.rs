//! How far the reading of a log is, on standard error where that is a terminal.

use std::io::{IsTerminal as _, Write as _};

/// How many bytes are read between two signs of progress: some tenths of a second's.
const STEP: u64 = 16 << 20;

/// See the module.
pub struct Progress {
    size: Option<u64>,
    terminal: bool,
    /// How many bytes are read when it is shown next.
    next: u64,
}

impl Progress {
    /// Of so many bytes, where that is known.
    pub fn new(size: Option<u64>) -> Self {
        Self { size, terminal: std::io::stderr().is_terminal(), next: STEP }
    }

    /// So many bytes are read.
    pub fn at(&mut self, read: u64) {
        if !self.terminal || read < self.next {
            return;
        }
        self.next = read.saturating_add(STEP);
        let megabytes = |bytes: u64| bytes / 1_000_000;
        let shown = match self.size.filter(|size| *size > 0) {
            Some(size) => {
                let tenth = usize::try_from((read.saturating_mul(20) / size).min(20)).unwrap_or(0);
                let (done, left) = ("#".repeat(tenth), "-".repeat(20 - tenth));
                let percent = (read.saturating_mul(100) / size).min(100);
                format!("[{done}{left}] {percent:>3} % of {} MB", megabytes(size))
            }
            None => format!("{} MB", megabytes(read)),
        };
        let _ = write!(std::io::stderr().lock(), "\r{shown}");
    }

    /// Takes it from the terminal.
    pub fn end(&self) {
        if self.next > STEP {
            let _ = write!(std::io::stderr().lock(), "\r\x1b[K");
        }
    }
}
