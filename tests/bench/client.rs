//! One keep-alive connection of HTTP/1.1, and the upstream that answers.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use crate::wire::{Reader, latin1};

/// A connection that asks one request after the other.
pub struct Connection {
    stream: TcpStream,
}

impl Connection {
    /// Connects; every answer has to come within two minutes, which is long even under callgrind.
    pub fn open(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(120)))?;
        Ok(Connection { stream })
    }

    /// The status and the body of the answer to a GET, with a further header.
    pub fn get(&mut self, path: &str, header: Option<&str>) -> Result<(u16, String), String> {
        let header = header.map(|header| format!("{header}\r\n"));
        // In one write, so that Envoy wakes up once for it.
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: api.example.com\r\nuser-agent: bench\r\naccept: */*\r\n{}\r\n",
            header.unwrap_or_default(),
        );
        self.stream.write_all(request.as_bytes()).map_err(|error| format!("write: {error}"))?;
        let mut reader = Reader { stream: &mut self.stream, buffer: Vec::new() };
        let head = latin1(&reader.through(b"\r\n\r\n")?);
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let mut lines = head.lines().filter_map(|line| line.split_once(": "));
        let length = lines.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        let length = length.and_then(|(_, length)| length.trim().parse().ok());
        let body = match length {
            Some(length) => reader.exactly(length)?,
            None if head.contains("transfer-encoding: chunked") => {
                let body = reader.chunks()?;
                reader.through(b"\r\n")?;
                body
            }
            None => Vec::new(),
        };
        Ok((status.ok_or_else(|| format!("no status in {head:?}"))?, latin1(&body)))
    }
}

/// Serves the same short answer to every request, outside of what is measured.
pub fn upstream() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || answer(stream));
        }
    });
    address
}

/// Answers until the connection ends. No request has a body, so that an empty line ends each.
fn answer(mut stream: TcpStream) {
    const ANSWER: &[u8] =
        b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 3\r\n\r\nok\n";
    let _ = stream.set_nodelay(true);
    let (mut chunk, mut end) = ([0; 16384], Vec::new());
    while let Ok(count @ 1..) = stream.read(&mut chunk) {
        end.extend_from_slice(&chunk[..count]);
        if end.ends_with(b"\r\n\r\n") {
            end.clear();
            if stream.write_all(ANSWER).is_err() {
                return;
            }
        }
    }
}
