//! An upstream that remembers every request that it was sent.

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use super::upstream::MARK;
use super::wire::{Reader, latin1};

/// A request as it arrived: bytes as the characters of the same number.
#[derive(Clone)]
pub struct Seen {
    /// The method.
    pub method: String,
    /// The target.
    pub target: Vec<u8>,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
}

impl Seen {
    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// The upstream; it lives as long as the process.
pub struct Recorder {
    /// Where it serves.
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Recorder {
    /// Starts it.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let writer = seen.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let writer = writer.clone();
                std::thread::spawn(move || serve(stream, &writer));
            }
        });
        Recorder { address, seen }
    }

    /// What it was sent since it was last asked.
    pub fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }
}

/// Serves one connection: requests without a body.
fn serve(mut stream: TcpStream, seen: &Mutex<Vec<Seen>>) {
    let _ = stream.set_nodelay(true);
    let mut unread = Vec::new();
    loop {
        let mut reader = Reader { stream: &mut stream, buffer: std::mem::take(&mut unread) };
        let Ok(head) = reader.through(b"\r\n\r\n") else { return };
        unread = reader.buffer;
        seen.lock().unwrap().push(parse(&head));
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n{MARK}: yes\r\n\r\n");
        if stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

fn parse(head: &[u8]) -> Seen {
    let mut lines = head.split(|byte| *byte == b'\n').map(|line| line.trim_ascii_end());
    let line = lines.next().unwrap_or_default();
    let (method, rest) = line.split_at(line.iter().position(|b| *b == b' ').unwrap_or(0));
    // A target may hold spaces: it ends with the last one.
    let end = rest.iter().rposition(|byte| *byte == b' ').unwrap_or(rest.len());
    let headers = lines.filter_map(|line| {
        let text = latin1(line);
        let (name, value) = text.split_once(':')?;
        Some((name.to_ascii_lowercase(), value.trim().to_owned()))
    });
    Seen {
        method: latin1(method),
        target: rest.get(1..end).unwrap_or_default().to_vec(),
        headers: headers.collect(),
    }
}
