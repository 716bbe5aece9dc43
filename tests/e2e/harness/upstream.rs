//! The service behind the proxy: it answers with what it received.

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};

use super::wire::{Reader, latin1};

/// A header of every answer, so that a test can tell the upstream's from the proxy's.
pub const MARK: &str = "x-echo-upstream";

/// Starts the service; it lives as long as the process.
pub fn start() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || serve(stream));
        }
    });
    address
}

/// Serves one connection until it closes or sends what cannot be understood.
fn serve(mut stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let _ = stream.set_read_timeout(Some(Duration::from_secs(600)));
    let mut unread = Vec::new();
    while let Ok((received, upgraded, rest)) = receive(&mut stream, std::mem::take(&mut unread)) {
        unread = rest;
        let body = received.to_string();
        let head_only = received["method"] == "HEAD";
        let head = if upgraded {
            format!(
                "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n{MARK}: yes\r\n\r\n"
            )
        } else {
            format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n{MARK}: yes\r\n\r\n",
                body.len()
            )
        };
        let answer = if head_only { head } else { head + &body };
        if stream.write_all(answer.as_bytes()).is_err() || upgraded {
            return;
        }
    }
}

/// One request as JSON, bytes as the characters of the same number; whether it asked for an upgrade; what came after it.
fn receive(stream: &mut TcpStream, unread: Vec<u8>) -> Result<(Value, bool, Vec<u8>), String> {
    let mut reader = Reader { stream, buffer: unread };
    let head = latin1(&reader.through(b"\r\n\r\n")?);
    let mut lines = head.trim_end_matches("\r\n").split("\r\n");
    let mut start = lines.next().unwrap_or_default().splitn(3, ' ');
    let (method, path) = (start.next().unwrap_or_default(), start.next().unwrap_or_default());
    let headers = parse_lines(lines);
    let value_of = |name: &str| {
        headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    };
    let upgraded = value_of("upgrade").is_some();
    let mut trailers = Vec::new();
    let body = match (value_of("transfer-encoding"), value_of("content-length")) {
        _ if upgraded => Vec::new(),
        (Some(_), _) => {
            let body = reader.chunks()?;
            let mut block = latin1(&reader.through(b"\r\n")?);
            while !block.ends_with("\r\n\r\n") && block != "\r\n" {
                block += &latin1(&reader.through(b"\r\n")?);
            }
            trailers = parse_lines(block.trim_end().split("\r\n"));
            body
        }
        (None, Some(length)) => reader.exactly(length.parse().map_err(|_| "odd length")?)?,
        (None, None) => Vec::new(),
    };
    let received = json!({
        "method": method, "path": path, "headers": headers, "body": latin1(&body), "trailers": trailers,
    });
    Ok((received, upgraded, std::mem::take(&mut reader.buffer)))
}

fn parse_lines<'l>(lines: impl Iterator<Item = &'l str>) -> Vec<(String, String)> {
    let pairs = lines.filter_map(|line| line.split_once(':'));
    pairs
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim_matches(' ').to_owned()))
        .collect()
}
