//! Very many requests: several at once, on connections that are kept.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::http::{Request, Response};
use super::wire::Reader;

/// How many requests are sent before their answers are read.
const DEPTH: usize = 24;
/// How many connections there are.
const CONNECTIONS: usize = 4;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Which protocol carries the requests.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1, pipelined.
    Http1,
    /// HTTP/2, a stream each.
    Http2,
}

/// Sends all of them; the number of those that were answered. One without an answer had the connection closed on it
/// when it was alone there.
pub fn send(address: SocketAddr, requests: &[Request], protocol: Protocol) -> usize {
    let next = AtomicUsize::new(0);
    let answered = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..CONNECTIONS {
            scope.spawn(|| {
                let mut connection = Connection::new(address, protocol);
                loop {
                    let start = next.fetch_add(DEPTH, Ordering::Relaxed);
                    let Some(rest) = requests.get(start..) else { return };
                    let batch = &rest[..rest.len().min(DEPTH)];
                    if batch.is_empty() {
                        return;
                    }
                    let count = connection.send_batch(batch);
                    answered.fetch_add(count, Ordering::Relaxed);
                }
            });
        }
    });
    answered.into_inner()
}

struct Connection {
    address: SocketAddr,
    protocol: Protocol,
    stream: Option<TcpStream>,
    /// What was received and not yet read.
    unread: Vec<u8>,
    /// The next stream of HTTP/2.
    stream_id: u32,
}

impl Connection {
    fn new(address: SocketAddr, protocol: Protocol) -> Self {
        Connection { address, protocol, stream: None, unread: Vec::new(), stream_id: 1 }
    }

    /// Sends the requests together; those that this leaves without an answer, each alone.
    fn send_batch(&mut self, batch: &[Request]) -> usize {
        let answered = self.exchange(batch);
        let mut count = answered.iter().filter(|answered| **answered).count();
        for (request, answered) in batch.iter().zip(answered) {
            if !answered {
                self.stream = None;
                count += usize::from(self.exchange(std::slice::from_ref(request))[0]);
            }
        }
        count
    }

    fn exchange(&mut self, batch: &[Request]) -> Vec<bool> {
        let mut answered = vec![false; batch.len()];
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => self.connect(),
        };
        let mut reader = Reader { stream: &mut stream, buffer: std::mem::take(&mut self.unread) };
        let whole = match self.protocol {
            Protocol::Http1 => http1(&mut reader, batch, &mut answered),
            Protocol::Http2 => {
                http2::exchange(&mut reader, &mut self.stream_id, batch, &mut answered)
            }
        };
        if whole.is_ok() {
            self.unread = reader.buffer;
            self.stream = Some(stream);
        }
        answered
    }

    fn connect(&mut self) -> TcpStream {
        let mut stream = TcpStream::connect_timeout(&self.address, PATIENCE).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        self.unread.clear();
        self.stream_id = 1;
        if self.protocol == Protocol::Http2 {
            stream.write_all(&http2::preface()).unwrap();
        }
        stream
    }
}

fn http1(reader: &mut Reader, batch: &[Request], answered: &mut [bool]) -> Result<(), String> {
    let bytes: Vec<u8> = batch.iter().flat_map(Request::encode).collect();
    // Envoy may close before it has read all.
    let written = reader.stream.write_all(&bytes);
    for answered in answered {
        let response = Response::read(reader, false)?;
        *answered = true;
        if response.header("connection").is_some_and(|value| value == "close") {
            return Err("closed".to_owned());
        }
    }
    written.map_err(|error| error.to_string())
}

/// As much of HTTP/2 (RFC 9113) as it takes to send any bytes in `:path` and to see that a stream has ended.
mod http2 {
    use super::*;

    const DATA: u8 = 0;
    const HEADERS: u8 = 1;
    const RST_STREAM: u8 = 3;
    const SETTINGS: u8 = 4;
    const PING: u8 = 6;
    const GOAWAY: u8 = 7;
    const WINDOW_UPDATE: u8 = 8;
    /// `END_STREAM` of a frame of data or headers, `ACK` of the others.
    const END_OR_ACK: u8 = 1;
    const END_HEADERS: u8 = 4;

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
    }

    /// What a client says first; the window of the connection as large as can be.
    pub fn preface() -> Vec<u8> {
        let window = frame(WINDOW_UPDATE, 0, 0, &(0x7fff_ffff_u32 - 65_535).to_be_bytes());
        [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(SETTINGS, 0, 0, &[]), &window].concat()
    }

    /// A literal that no table remembers, not compressed (RFC 7541 section 6.2.3).
    fn field(name: &[u8], value: &[u8]) -> Vec<u8> {
        let text = |text: &[u8]| {
            let mut length = text.len();
            let mut bytes = Vec::new();
            if length < 127 {
                bytes.push(length as u8);
            } else {
                bytes.push(127);
                length -= 127;
                while length >= 128 {
                    bytes.push((length % 128) as u8 | 128);
                    length /= 128;
                }
                bytes.push(length as u8);
            }
            [bytes, text.to_vec()].concat()
        };
        [vec![0x10], text(name), text(value)].concat()
    }

    pub fn exchange(
        reader: &mut Reader,
        next: &mut u32,
        batch: &[Request],
        answered: &mut [bool],
    ) -> Result<(), String> {
        let first = *next;
        let mut bytes = Vec::new();
        for request in batch {
            let fields: Vec<u8> =
                request.fields().iter().flat_map(|(name, value)| field(name, value)).collect();
            bytes.extend(frame(HEADERS, END_OR_ACK | END_HEADERS, *next, &fields));
            *next += 2;
        }
        let written = reader.stream.write_all(&bytes);
        let mut open = batch.len();
        while open > 0 {
            let head = reader.exactly(9)?;
            let number =
                |bytes: &[u8]| bytes.iter().fold(0, |all, byte| all << 8 | u32::from(*byte));
            let payload = reader.exactly(number(&head[..3]) as usize)?;
            let (kind, flags, id) = (head[3], head[4], number(&head[5..]) & 0x7fff_ffff);
            let reply = match kind {
                SETTINGS | PING if flags & END_OR_ACK == 0 => {
                    let payload = if kind == PING { &payload[..] } else { &[] };
                    frame(kind, END_OR_ACK, 0, payload)
                }
                GOAWAY => return Err("the connection is going away".to_owned()),
                DATA | HEADERS if flags & END_OR_ACK != 0 => {
                    end(id, first, answered, &mut open);
                    continue;
                }
                RST_STREAM => {
                    end(id, first, answered, &mut open);
                    continue;
                }
                _ => continue,
            };
            reader.stream.write_all(&reply).map_err(|error| error.to_string())?;
        }
        written.map_err(|error| error.to_string())
    }

    fn end(id: u32, first: u32, answered: &mut [bool], open: &mut usize) {
        let index = id.checked_sub(first).map(|distance| distance as usize / 2);
        if let Some(answered) = index.and_then(|index| answered.get_mut(index))
            && !std::mem::replace(answered, true)
        {
            *open -= 1;
        }
    }
}
