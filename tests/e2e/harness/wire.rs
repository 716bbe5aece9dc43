//! Reading HTTP/1.1 from a stream, for the client and the upstream.

use std::io::Read;
use std::net::TcpStream;

/// Every byte as the character of the same number, so that nothing is lost.
pub fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

/// Reads a stream piece by piece, keeping what came too early.
pub struct Reader<'s> {
    /// Where it reads.
    pub stream: &'s mut TcpStream,
    /// What was received and not yet taken.
    pub buffer: Vec<u8>,
}

impl Reader<'_> {
    fn fill(&mut self) -> Result<usize, String> {
        let mut chunk = [0; 16384];
        let count = self.stream.read(&mut chunk).map_err(|error| format!("read: {error}"))?;
        self.buffer.extend(&chunk[..count]);
        Ok(count)
    }

    /// Everything up to and with `end`.
    ///
    /// # Errors
    /// Where the stream ends before.
    pub fn through(&mut self, end: &[u8]) -> Result<Vec<u8>, String> {
        let mut searched = 0;
        loop {
            if let Some(at) =
                self.buffer[searched..].windows(end.len()).position(|window| window == end)
            {
                return Ok(self.buffer.drain(..searched + at + end.len()).collect());
            }
            searched = self.buffer.len().saturating_sub(end.len());
            if self.fill()? == 0 {
                return Err(format!("the connection closed after {:?}", latin1(&self.buffer)));
            }
        }
    }

    /// As many bytes.
    ///
    /// # Errors
    /// Where the stream ends before.
    pub fn exactly(&mut self, count: usize) -> Result<Vec<u8>, String> {
        while self.buffer.len() < count {
            if self.fill()? == 0 {
                return Err("the connection closed within the body".to_owned());
            }
        }
        Ok(self.buffer.drain(..count).collect())
    }

    /// A chunked body; its trailers are left in the buffer's place and read with the last line.
    ///
    /// # Errors
    /// Where the coding is broken.
    pub fn chunks(&mut self) -> Result<Vec<u8>, String> {
        let mut body = Vec::new();
        loop {
            let line = latin1(&self.through(b"\r\n")?);
            let size = usize::from_str_radix(line.trim(), 16)
                .map_err(|error| format!("chunk size {line:?}: {error}"))?;
            if size == 0 {
                return Ok(body);
            }
            body.extend(self.exactly(size)?);
            self.exactly(2)?;
        }
    }

    /// Everything up to the end.
    ///
    /// # Errors
    /// Where reading fails.
    pub fn rest(&mut self) -> Result<Vec<u8>, String> {
        while self.fill()? > 0 {}
        Ok(std::mem::take(&mut self.buffer))
    }
}
