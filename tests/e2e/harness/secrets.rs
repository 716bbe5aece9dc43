//! What no log may ever hold: every token that the suite mints and every secret that it configures.

use std::sync::Mutex;

/// Shorter texts could stand in a log by chance.
const SHORTEST: usize = 20;

static SECRETS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Remembers a secret, or a token by its payload and its signature.
pub fn keep_out_of_logs(secret: &str) {
    let parts: Vec<&str> = secret.split('.').collect();
    let confidential = if parts.len() == 3 { &parts[1..] } else { &parts[..] };
    let mut secrets = SECRETS.lock().unwrap();
    for part in confidential.iter().filter(|part| part.len() >= SHORTEST) {
        // The beginning is enough, and a log may cut a line off.
        let beginning: String = part.chars().take(40).collect();
        if !secrets.contains(&beginning) {
            secrets.push(beginning);
        }
    }
}

/// The first secret that `text` holds.
pub fn found_in(text: &str) -> Option<String> {
    let secrets = SECRETS.lock().unwrap();
    secrets.iter().find(|secret| text.contains(secret.as_str())).cloned()
}
