//! A collector of OpenTelemetry logs: as much of HTTP/2 and gRPC as Envoy needs to hand its batches over.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

const PREFACE: usize = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".len();
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

/// Takes batches on a port of its own, and keeps their bytes.
pub struct Collector {
    /// Where it listens.
    pub address: SocketAddr,
    received: Arc<Mutex<Vec<u8>>>,
}

impl Collector {
    /// Starts one; it serves until the tests end.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let received = Arc::new(Mutex::new(Vec::new()));
        let kept = received.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let kept = kept.clone();
                std::thread::spawn(move || serve(stream, &kept));
            }
        });
        Collector { address, received }
    }

    /// Whether a batch held this text. Protobuf keeps strings as they are.
    pub fn has(&self, text: &str) -> bool {
        let received = self.received.lock().unwrap();
        received.windows(text.len()).any(|window| window == text.as_bytes())
    }
}

/// One connection, until the peer ends it.
fn serve(mut stream: TcpStream, kept: &Mutex<Vec<u8>>) -> Option<()> {
    stream.read_exact(&mut [0; PREFACE]).ok()?;
    write(&mut stream, SETTINGS, 0, 0, &[])?;
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).ok()?;
        let [a, b, c, kind, flags, id @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        stream.read_exact(&mut payload).ok()?;
        match kind {
            SETTINGS if flags & ACK == 0 => write(&mut stream, SETTINGS, ACK, 0, &[])?,
            PING if flags & ACK == 0 => write(&mut stream, PING, ACK, 0, &payload)?,
            DATA => {
                kept.lock().unwrap().extend(payload);
                if flags & END_STREAM != 0 {
                    answer(&mut stream, u32::from_be_bytes(id))?;
                }
            }
            _ => {}
        }
    }
}

/// An empty message and the status OK.
fn answer(stream: &mut TcpStream, id: u32) -> Option<()> {
    // HPACK (RFC 7541): index 8 is `:status: 200`; then literal fields without indexing.
    let head = [&[0x88][..], &literal("content-type", "application/grpc")].concat();
    write(stream, HEADERS, END_HEADERS, id, &head)?;
    write(stream, DATA, 0, id, &[0; 5])?;
    write(stream, HEADERS, END_HEADERS | END_STREAM, id, &literal("grpc-status", "0"))
}

fn literal(name: &str, value: &str) -> Vec<u8> {
    let length = |text: &str| u8::try_from(text.len()).unwrap();
    [&[0, length(name)], name.as_bytes(), &[length(value)], value.as_bytes()].concat()
}

fn write(stream: &mut TcpStream, kind: u8, flags: u8, id: u32, payload: &[u8]) -> Option<()> {
    let [_, a, b, c] = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let frame = [&[a, b, c, kind, flags], &id.to_be_bytes()[..], payload].concat();
    stream.write_all(&frame).ok()
}
