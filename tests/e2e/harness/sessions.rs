//! A provider's token endpoint (RFC 6749 section 6): it rotates refresh tokens, and takes each of them once.

use std::collections::HashMap;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use super::idp::Answer;
use super::keys::{P256, base64url, random};
use super::token::claims;
use super::wire::Reader;
use super::{eventually, secrets};

/// A running endpoint; it lives as long as the process.
#[derive(Clone)]
pub struct TokenEndpoint {
    /// Where it serves.
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
}

struct State {
    /// The subjects of the refresh tokens that may be used.
    sessions: HashMap<String, String>,
    used: Vec<String>,
    /// What was asked, head and body.
    asked: Vec<String>,
    /// What is answered instead.
    instead: Option<Answer>,
    /// How long an answer takes.
    takes: Duration,
    /// Claims that new tokens have.
    claims: Value,
    /// Members that answers have.
    members: Value,
    rotates: bool,
}

impl TokenEndpoint {
    /// An endpoint that answers at once with tokens of ten minutes.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let state = State {
            sessions: HashMap::new(),
            used: Vec::new(),
            asked: Vec::new(),
            instead: None,
            takes: Duration::ZERO,
            claims: json!({}),
            members: json!({}),
            rotates: true,
        };
        let endpoint =
            Self { address: listener.local_addr().unwrap(), state: Arc::new(Mutex::new(state)) };
        let serving = endpoint.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let serving = serving.clone();
                std::thread::spawn(move || serving.serve(stream));
            }
        });
        endpoint
    }

    /// Logs somebody in: a refresh token.
    pub fn log_in(&self, subject: &str) -> String {
        let refresh = format!("refresh-{}", base64url(random(24)));
        self.accept(&refresh, subject);
        refresh
    }

    /// Accepts this refresh token, once.
    pub fn accept(&self, refresh: &str, subject: &str) {
        secrets::keep_out_of_logs(refresh);
        self.state.lock().unwrap().sessions.insert(refresh.to_owned(), subject.to_owned());
    }

    /// Answers so from now on; `None` with tokens.
    pub fn instead(&self, answer: Option<Answer>) {
        self.state.lock().unwrap().instead = answer;
    }

    /// Takes so long for each answer from now on.
    pub fn takes(&self, time: Duration) {
        self.state.lock().unwrap().takes = time;
    }

    /// Puts these claims into new tokens.
    pub fn claims(&self, claims: Value) {
        self.state.lock().unwrap().claims = claims;
    }

    /// Puts these members into answers; null leaves one out.
    pub fn members(&self, members: Value) {
        self.state.lock().unwrap().members = members;
    }

    /// Keeps refresh tokens from now on.
    pub fn keeps(&self) {
        self.state.lock().unwrap().rotates = false;
    }

    /// What it was asked, head and body.
    pub fn asked(&self) -> Vec<String> {
        self.state.lock().unwrap().asked.clone()
    }

    fn serve(&self, mut stream: TcpStream) {
        let _ = stream.set_read_timeout(Some(Duration::from_secs(60)));
        let mut reader = Reader { stream: &mut stream, buffer: Vec::new() };
        let Ok(head) = reader.through(b"\r\n\r\n") else { return };
        let head = String::from_utf8_lossy(&head).into_owned();
        let length = head.lines().find_map(|line| {
            line.to_ascii_lowercase().strip_prefix("content-length: ")?.trim().parse().ok()
        });
        let Ok(body) = reader.exactly(length.unwrap_or(0)) else { return };
        let body = String::from_utf8_lossy(&body).into_owned();
        let takes = {
            let mut state = self.state.lock().unwrap();
            state.asked.push(format!("{head}{body}"));
            state.takes
        };
        std::thread::sleep(takes);
        let current = || self.state.lock().unwrap().instead.clone();
        let instead = eventually(Duration::from_secs(60), || {
            Some(current()).filter(|instead| !matches!(instead, Some(Answer::Stall)))
        });
        let (status, lines, body) = match instead {
            Some(Some(Answer::Http(status, lines, body))) => (status, lines, body),
            Some(None) => self.exchange(&body),
            Some(Some(Answer::Close | Answer::Stall)) | None => return,
        };
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status} X\r\n{lines}content-length: {length}\r\nconnection: close\r\n\r\n"
        );
        let _ = stream.write_all((head + &body).as_bytes());
    }

    fn exchange(&self, body: &str) -> (u16, String, String) {
        let refresh = body.split('&').find_map(|pair| pair.strip_prefix("refresh_token="));
        let refresh = percent_encoding::percent_decode_str(refresh.unwrap_or_default());
        let refresh = refresh.decode_utf8_lossy().into_owned();
        let mut state = self.state.lock().unwrap();
        let Some(subject) = state.sessions.get(&refresh).cloned() else {
            return (400, String::new(), json!({"error": "invalid_grant"}).to_string());
        };
        let token = claims().with("sub", subject.clone()).patched(&state.claims).sign(&P256);
        let mut answer = json!({"access_token": token, "token_type": "Bearer"});
        if state.rotates {
            state.sessions.remove(&refresh);
            state.used.push(refresh);
            let next = format!("refresh-{}", base64url(random(24)));
            secrets::keep_out_of_logs(&next);
            state.sessions.insert(next.clone(), subject);
            answer["refresh_token"] = json!(next);
        }
        let answer = super::changed(answer, state.members.clone());
        (200, "content-type: application/json\r\n".to_owned(), answer.to_string())
    }
}
