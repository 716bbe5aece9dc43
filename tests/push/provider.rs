//! An identity provider on this machine, by HTTP or HTTPS, whose answers the test chooses.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;

use crate::certificate;
use crate::keys::Key;

/// What is answered on a path.
#[derive(Clone)]
pub enum Answer {
    /// This status, these further header lines, this body.
    Http(u16, String, Vec<u8>),
    /// Nothing, for longer than anybody waits.
    Stall,
}

/// A provider; it lives as long as the process.
#[derive(Clone)]
pub struct Provider {
    pub address: SocketAddr,
    scheme: &'static str,
    answers: Arc<Mutex<BTreeMap<String, Answer>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

/// The set of these keys.
pub fn set(keys: &[&Value]) -> Value {
    serde_json::json!({ "keys": keys })
}

impl Provider {
    /// One that speaks HTTP.
    pub fn start() -> Self {
        Self::serve("http", |stream| Some(Box::new(stream)))
    }

    /// One that speaks HTTPS, as `localhost`, and the certificate of the authority that vouches for it.
    pub fn start_tls() -> (Self, String) {
        let (authority, key) = (Key::p256("authority"), Key::p256("leaf"));
        let root =
            certificate::self_signed(&authority, "authority", "urn:authority", "authority.test");
        let leaf = certificate::signed_by(&authority, "authority", &key, "urn:leaf", "localhost");
        let chain = vec![CertificateDer::from_pem_slice(leaf.pem.as_bytes()).unwrap()];
        let private = key.private_pem.unwrap();
        let private = PrivateKeyDer::from_pem_slice(private.as_bytes()).unwrap();
        let config = ServerConfig::builder().with_no_client_auth();
        let config = Arc::new(config.with_single_cert(chain, private).unwrap());
        let serving = Self::serve("https", move |stream| {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            Some(Box::new(StreamOwned::new(connection, stream)))
        });
        (serving, root.pem)
    }

    fn serve(
        scheme: &'static str,
        accept: impl Fn(TcpStream) -> Option<Box<dyn Stream>> + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (answers, asked) = Default::default();
        let provider = Self { address, scheme, answers, asked };
        let serving = provider.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let _ = stream.set_read_timeout(Some(Duration::from_secs(30)));
                let Some(mut stream) = accept(stream) else { continue };
                let serving = serving.clone();
                std::thread::spawn(move || {
                    // Who does not trust the certificate hangs up.
                    let _ = serving.answer(stream.as_mut());
                });
            }
        });
        provider
    }

    fn answer(&self, stream: &mut dyn Stream) -> std::io::Result<()> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            head.extend(byte);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        let answer = self.answers.lock().unwrap().get(&path).cloned();
        self.asked.lock().unwrap().push(head);
        match answer.unwrap_or(Answer::Http(404, String::new(), Vec::new())) {
            Answer::Stall => std::thread::sleep(Duration::from_secs(60)),
            Answer::Http(status, lines, body) => {
                let length = body.len();
                let head = format!(
                    "HTTP/1.1 {status} X\r\n{lines}content-length: {length}\r\nconnection: close\r\n\r\n"
                );
                stream.write_all(head.as_bytes())?;
                stream.write_all(&body)?;
                stream.flush()?;
            }
        }
        Ok(())
    }

    /// Answers so on a path from now on.
    pub fn answers(&self, path: &str, answer: Answer) {
        self.answers.lock().unwrap().insert(path.to_owned(), answer);
    }

    /// Answers 200 with this body on a path.
    pub fn says(&self, path: &str, body: impl Into<Vec<u8>>) {
        self.answers(path, Answer::Http(200, String::new(), body.into()));
    }

    /// Publishes these keys at [`Provider::jwks`].
    pub fn publishes(&self, keys: &[&Value]) {
        self.says("/jwks.json", set(keys).to_string());
    }

    /// Redirects a path.
    pub fn redirects(&self, path: &str, to: &str) {
        self.answers(path, Answer::Http(302, format!("location: {to}\r\n"), Vec::new()));
    }

    /// The address of a path.
    pub fn at(&self, path: &str) -> String {
        format!("{}://localhost:{}{path}", self.scheme, self.address.port())
    }

    /// Where its keys are.
    pub fn jwks(&self) -> String {
        self.at("/jwks.json")
    }

    /// The heads of the requests so far.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}
