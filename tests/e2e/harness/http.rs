//! A raw HTTP/1.1 client: it sends whatever bytes a test wants sent.

use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use super::wire::{Reader, latin1};

/// How long an answer may take; nothing in these tests should need a tenth of it.
const PATIENCE: Duration = Duration::from_secs(20);

/// A request to be sent byte by byte as it is.
#[derive(Clone)]
pub struct Request {
    method: Vec<u8>,
    target: Vec<u8>,
    host: Option<Vec<u8>>,
    headers: Vec<(Vec<u8>, Vec<u8>)>,
    body: Body,
}

#[derive(Clone)]
enum Body {
    Absent,
    Sized(Vec<u8>),
    Chunked { data: Vec<u8>, trailers: Vec<(String, String)> },
}

impl Request {
    /// A request without a body for the host `app.test`.
    pub fn new(method: &str, target: impl AsRef<[u8]>) -> Self {
        Request {
            method: method.into(),
            target: target.as_ref().to_vec(),
            host: Some(b"app.test".to_vec()),
            headers: Vec::new(),
            body: Body::Absent,
        }
    }

    /// A GET request.
    pub fn get(target: impl AsRef<[u8]>) -> Self {
        Request::new("GET", target)
    }

    /// With this `Host`.
    pub fn host(mut self, host: impl AsRef<[u8]>) -> Self {
        self.host = Some(host.as_ref().to_vec());
        self
    }

    /// Without a `Host`.
    pub fn without_host(mut self) -> Self {
        self.host = None;
        self
    }

    /// With one more header, after those that are there.
    pub fn header(mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.as_ref().to_vec(), value.as_ref().to_vec()));
        self
    }

    /// With several more headers.
    pub fn headers(self, headers: &[(&str, &str)]) -> Self {
        headers.iter().fold(self, |request, (name, value)| request.header(name, value))
    }

    /// With a bearer token.
    pub fn bearer(self, token: impl AsRef<str>) -> Self {
        self.header("authorization", format!("Bearer {}", token.as_ref()))
    }

    /// With a body and its `Content-Length`.
    pub fn body(mut self, data: impl AsRef<[u8]>) -> Self {
        self.body = Body::Sized(data.as_ref().to_vec());
        self
    }

    /// With a body in chunks, and trailers after it.
    pub fn chunked(mut self, data: impl AsRef<[u8]>, trailers: &[(&str, &str)]) -> Self {
        let trailers =
            trailers.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        self.body = Body::Chunked { data: data.as_ref().to_vec(), trailers };
        self
    }

    /// Asks for a WebSocket.
    pub fn websocket(self) -> Self {
        self.headers(&[
            ("connection", "Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ])
    }

    fn has(&self, name: &str) -> bool {
        self.headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name.as_bytes()))
    }

    /// What HTTP/2 carries of it: no body.
    pub fn fields(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let pseudo = [(":method", &self.method), (":path", &self.target)];
        let pseudo = pseudo.map(|(name, value)| (name.into(), value.clone()));
        let authority = self.host.clone().map(|host| (b":authority".to_vec(), host));
        let hop = |name: &[u8]| name.eq_ignore_ascii_case(b"connection");
        let others = self.headers.iter().filter(|(name, _)| !hop(name)).cloned();
        let scheme = (b":scheme".to_vec(), b"http".to_vec());
        pseudo.into_iter().chain([scheme]).chain(authority).chain(others).collect()
    }

    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = [&self.method, &b" "[..], &self.target, b" HTTP/1.1\r\n"].concat();
        let mut line =
            |name: &[u8], value: &[u8]| bytes.extend([name, b": ", value, b"\r\n"].concat());
        if let Some(host) = &self.host {
            line(b"host", host);
        }
        if !self.has("connection") {
            line(b"connection", b"close");
        }
        for (name, value) in &self.headers {
            line(name, value);
        }
        match &self.body {
            Body::Absent => bytes.extend(b"\r\n"),
            Body::Sized(data) => {
                line(b"content-length", data.len().to_string().as_bytes());
                bytes.extend(b"\r\n");
                bytes.extend(data);
            }
            Body::Chunked { data, trailers } => {
                line(b"transfer-encoding", b"chunked");
                bytes.extend(format!("\r\n{:x}\r\n", data.len()).bytes());
                bytes.extend([data, &b"\r\n0\r\n"[..]].concat());
                for (name, value) in trailers {
                    bytes.extend(format!("{name}: {value}\r\n").bytes());
                }
                bytes.extend(b"\r\n");
            }
        }
        bytes
    }

    /// Sends the request on a connection of its own and reads the answer.
    ///
    /// # Errors
    /// What went wrong on the way, in words.
    pub fn send(&self, address: SocketAddr) -> Result<Response, String> {
        let mut responses = Request::send_in_turn(std::slice::from_ref(self), address)?;
        responses.pop().ok_or_else(|| "no answer".to_owned())
    }

    /// Sends the request on a connection of its own and closes it without waiting for an answer.
    ///
    /// # Errors
    /// Where sending fails.
    pub fn send_and_leave(&self, address: SocketAddr) -> std::io::Result<()> {
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.write_all(&self.encode())
    }

    /// Sends requests one after the other on one connection and reads their answers.
    ///
    /// # Errors
    /// What went wrong on the way, in words.
    pub fn send_in_turn(requests: &[Self], address: SocketAddr) -> Result<Vec<Response>, String> {
        let failed = |what: &str, error: std::io::Error| format!("{what}: {error}");
        let mut stream =
            TcpStream::connect_timeout(&address, PATIENCE).map_err(|e| failed("connect", e))?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(|e| failed("read timeout", e))?;
        stream.set_write_timeout(Some(PATIENCE)).map_err(|e| failed("write timeout", e))?;
        let mut reader = Reader { stream: &mut stream, buffer: Vec::new() };
        let mut responses = Vec::new();
        for request in requests {
            // The server may answer and close before it has read all: its answer counts then, not the broken pipe.
            let written = reader.stream.write_all(&request.encode());
            match (Response::read(&mut reader, request.method == b"HEAD"), written) {
                (Ok(response), _) => responses.push(response),
                (Err(error), Ok(())) => return Err(error),
                (Err(error), Err(cause)) => return Err(format!("{error}, {cause} when writing")),
            }
        }
        let _ = stream.shutdown(Shutdown::Both);
        Ok(responses)
    }
}

/// An answer.
#[derive(Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Names in lower case, and values, in the order received.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body, with any transfer coding undone.
    pub body: Vec<u8>,
}

impl Response {
    /// The value of a header, several joined by a comma and a space.
    pub fn header(&self, name: &str) -> Option<String> {
        let values: Vec<_> = self
            .headers
            .iter()
            .filter(|(known, _)| known == name)
            .map(|(_, value)| latin1(value))
            .collect();
        (!values.is_empty()).then(|| values.join(", "))
    }

    /// Reads one, without a body if the request was for the head alone.
    ///
    /// # Errors
    /// What went wrong on the way, in words.
    pub fn read(reader: &mut Reader, headless: bool) -> Result<Self, String> {
        loop {
            let head = reader.through(b"\r\n\r\n")?;
            let mut lines = head
                .split(|byte| *byte == b'\n')
                .map(|line| line.strip_suffix(b"\r").unwrap_or(line));
            let status = lines
                .next()
                .and_then(|line| std::str::from_utf8(line).ok()?.split(' ').nth(1)?.parse().ok())
                .ok_or("no status line")?;
            let headers: Vec<_> = lines.filter_map(parse_header).collect();
            if status != 101 && (100..200).contains(&status) {
                continue;
            }
            let mut response = Response { status, headers, body: Vec::new() };
            response.body =
                match (response.header("transfer-encoding"), response.header("content-length")) {
                    _ if headless || status == 204 || status == 304 => Vec::new(),
                    (Some(coding), _) if coding.contains("chunked") => reader.chunks()?,
                    (_, Some(length)) => {
                        reader.exactly(length.parse().map_err(|_| "odd content-length")?)?
                    }
                    _ => reader.rest()?,
                };
            return Ok(response);
        }
    }
}

fn parse_header(line: &[u8]) -> Option<(String, Vec<u8>)> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    Some((latin1(&line[..colon]).to_ascii_lowercase(), line[colon + 1..].trim_ascii().to_vec()))
}
