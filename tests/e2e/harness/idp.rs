//! An identity provider that publishes a key set over HTTP, or fails to.

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use super::eventually;
use super::keys::Key;
use super::wire::Reader;

/// What the provider answers.
#[derive(Clone)]
pub enum Answer {
    /// This status, these further header lines, this body.
    Http(u16, String, String),
    /// It says nothing, for as long as this is its answer.
    Stall,
    /// It closes the connection.
    Close,
}

/// A running provider; it lives as long as the process.
#[derive(Clone)]
pub struct IdentityProvider {
    /// Where it serves.
    pub address: SocketAddr,
    answer: Arc<Mutex<Answer>>,
    asked: Arc<AtomicUsize>,
}

/// The key set of these keys.
pub fn key_set(keys: &[&Key]) -> Value {
    json!({"keys": keys.iter().map(|key| &key.jwk).collect::<Vec<_>>()})
}

impl IdentityProvider {
    /// A provider that publishes these keys.
    pub fn with_keys(keys: &[&Key]) -> Self {
        let provider = Self::start(Answer::Close);
        provider.publish(keys);
        provider
    }

    /// A provider that answers so.
    pub fn start(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let provider = Self {
            address: listener.local_addr().unwrap(),
            answer: Arc::new(Mutex::new(answer)),
            asked: Arc::default(),
        };
        let serving = provider.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let serving = serving.clone();
                std::thread::spawn(move || serving.serve(stream));
            }
        });
        provider
    }

    /// Answers so from now on.
    pub fn answer(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }

    /// Publishes these keys from now on.
    pub fn publish(&self, keys: &[&Key]) {
        self.answer(Answer::Http(200, String::new(), key_set(keys).to_string()));
    }

    /// How often it was asked.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// Waits until it was asked so often.
    pub fn wait_until_asked(&self, times: usize) {
        let asked = || (self.asked() >= times).then_some(());
        eventually(Duration::from_secs(15), asked)
            .unwrap_or_else(|| panic!("asked {} times, not {times}", self.asked()));
    }

    fn serve(&self, mut stream: TcpStream) {
        let _ = stream.set_read_timeout(Some(Duration::from_secs(60)));
        let mut reader = Reader { stream: &mut stream, buffer: Vec::new() };
        if reader.through(b"\r\n\r\n").is_err() {
            return;
        }
        self.asked.fetch_add(1, Ordering::SeqCst);
        let current = || self.answer.lock().unwrap().clone();
        let spoken = eventually(Duration::from_secs(60), || {
            Some(current()).filter(|answer| !matches!(answer, Answer::Stall))
        });
        if let Some(Answer::Http(status, lines, body)) = spoken {
            let head = format!(
                "HTTP/1.1 {status} X\r\n{lines}content-length: {}\r\nconnection: close\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all((head + &body).as_bytes());
        }
    }
}
