//! Writes audit logs as the filter does.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jwt_simple::algorithms::{Ed25519KeyPair, EdDSAKeyPairLike as _};
use jwt_simple::common::HeaderOptions;
use serde_json::{Value, json};

pub const TYPE: &str = "claimgate-checkpoint+jwt";

pub fn head(record: &str) -> String {
    URL_SAFE_NO_PAD.encode(blake3::hash(record.as_bytes()).as_bytes())
}

/// 10:00 and so many seconds.
pub fn time(second: u64) -> String {
    format!("2026-11-25T{:02}:{:02}:{:02}.000Z", 10 + second / 3600, second / 60 % 60, second % 60)
}

/// One chain.
pub struct Chain {
    pub id: String,
    pub seq: u64,
    pub prev: String,
    pub second: u64,
}

/// 2026-11-25T10:00:00Z.
const EPOCH: u64 = 1_795_600_800;

impl Chain {
    /// A chain, and its opening record.
    pub fn open(letter: &str, second: u64, before: Option<&Self>) -> (Self, String) {
        let id = letter.repeat(22);
        let before = before.map(|chain| format!(",\"claimgate.before\":\"{}\"", chain.named()));
        let mut chain = Self { id, seq: 0, prev: String::new(), second };
        let members = format!("\"claimgate.key_id\":\"k\"{}", before.unwrap_or_default());
        let record = chain.write(second, "audit-opened", &members);
        (chain, record)
    }

    /// Its last record, as others name it.
    pub fn named(&self) -> String {
        format!("{}:{}:{}:{}", self.id, self.seq - 1, self.prev, EPOCH + self.second)
    }

    fn write(&mut self, second: u64, action: &str, members: &str) -> String {
        let prev = match self.prev.as_str() {
            "" => String::new(),
            prev => format!(",\"claimgate.prev\":\"{prev}\""),
        };
        let record = format!(
            "{{\"@timestamp\":\"{}\",\"event.action\":\"{action}\",{members},\"claimgate.chain\":\"{}\",\
             \"claimgate.seq\":{}{prev}}}",
            time(second),
            self.id,
            self.seq
        );
        self.prev = head(&record);
        self.seq += 1;
        self.second = second;
        record
    }

    pub fn access(&mut self, second: u64, user: &str) -> String {
        let members = format!("\"user.id\":\"{user}\",\"user_agent.original\":\"a \\\"b\\\"\"");
        self.write(second, "access-allowed", &members)
    }

    /// The record of a stream that began then and was open for so long.
    pub fn long(&mut self, second: u64, seconds: u64) -> String {
        let nanos = seconds * 1_000_000_000;
        let record = self.write(second, "access-allowed", &format!("\"event.duration\":{nanos}"));
        self.second = second + seconds;
        record
    }

    pub fn sign(
        &mut self,
        second: u64,
        key: &Ed25519KeyPair,
        closed: bool,
        heads: &[String],
    ) -> String {
        self.sign_as(second, key, closed, heads, TYPE)
    }

    pub fn sign_as(
        &mut self,
        second: u64,
        key: &Ed25519KeyPair,
        closed: bool,
        heads: &[String],
        typ: &str,
    ) -> String {
        let action = if closed { "audit-closed" } else { "audit-checkpoint" };
        let said = format!("{{\"@timestamp\":\"{}\",\"event.action\":\"{action}\"", time(second));
        let payload = json!({"chain": self.id, "seq": self.seq - 1, "head": self.prev, "closed": closed,
            "said": head(&said), "heads": heads});
        let jws = jws(key, payload, typ, second);
        self.write(second, action, &format!("\"claimgate.checkpoint\":\"{jws}\""))
    }
}

fn jws(key: &Ed25519KeyPair, payload: Value, typ: &str, second: u64) -> String {
    let mut claims = jwt_simple::claims::Claims::with_custom_claims(
        payload,
        jwt_simple::prelude::Duration::from_mins(1),
    );
    let signed = jwt_simple::prelude::Duration::from_secs(EPOCH + second);
    (claims.issued_at, claims.expires_at, claims.invalid_before) = (Some(signed), None, None);
    let options =
        HeaderOptions { signature_type: Some(typ.to_owned()), ..HeaderOptions::default() };
    key.sign_with_options(claims, &options).unwrap()
}

/// A line of Envoy's text log.
pub fn line(record: &str) -> String {
    format!(
        "[2026-11-25 10:00:00.000][123][info][wasm] [source/common.cc:1148] wasm log claimgate claimgate: \
         claimgate_audit {record}"
    )
}

/// A line of Envoy's JSON log.
pub fn json_line(record: &str) -> String {
    let message = format!("wasm log claimgate claimgate: claimgate_audit {record}");
    json!({"level": "info", "message": message, "thread": 1}).to_string()
}
