//! What ties a record to its chain: its last members, and the checkpoint that some records carry.

use super::digest::{self, Head};
use crate::time::Timestamp;
use serde_json::Value;
use std::time::{Duration, UNIX_EPOCH};

/// The last members of a chained record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link<'a> {
    /// `claimgate.chain`, 22 characters of base64url.
    pub chain: &'a str,
    /// `claimgate.seq`, from 0.
    pub seq: u64,
    /// `claimgate.prev`, the head of the record before; the opening record has none.
    pub prev: Option<Head>,
}

impl<'a> Link<'a> {
    /// The link of a record's JSON text; `None` where it does not end in one. Client input cannot fake it: no string
    /// holds an unescaped quotation mark, and nothing but the outermost object ends the record.
    pub fn of(record: &'a str) -> Option<Self> {
        let (rest, prev) = match tail(record, "\"}", 43, ",\"claimgate.prev\":\"") {
            Some((rest, prev)) => (rest, Some(digest::parse(prev)?)),
            None => (record.strip_suffix('}')?, None),
        };
        let (rest, seq) = rest.rsplit_once(':')?;
        if seq.is_empty() || !seq.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let (_, chain) = tail(rest, "\",\"claimgate.seq\"", ID, "\"claimgate.chain\":\"")?;
        is_id(chain).then_some(())?;
        Some(Self { chain, seq: seq.parse().ok()?, prev })
    }
}

/// The length of a chain's id, in characters of base64url.
const ID: usize = 22;

fn is_id(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    text.len() == ID && text.bytes().all(plain)
}

/// What comes before `name`, and the `length` bytes between it and `end`.
fn tail<'a>(text: &'a str, end: &str, length: usize, name: &str) -> Option<(&'a str, &'a str)> {
    let text = text.strip_suffix(end)?;
    let (rest, value) = text.split_at_checked(text.len().checked_sub(length)?)?;
    Some((rest.strip_suffix(name)?, value))
}

/// A moment as records write it, RFC 3339 in UTC with milliseconds: 24 bytes, in the order of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp([u8; 24]);

impl Stamp {
    /// The stamp of this text; `None` where it has another form: it would not compare as these do, and might hold what a
    /// terminal takes for an order.
    pub fn parse(text: &str) -> Option<Self> {
        const FORM: &[u8; 24] = b"0000-00-00T00:00:00.000Z";
        let stamp: [u8; 24] = text.as_bytes().try_into().ok()?;
        let fits = |(got, form): (&u8, &u8)| match form {
            b'0' => got.is_ascii_digit(),
            form => got == form,
        };
        stamp.iter().zip(FORM).all(fits).then_some(Self(stamp))
    }

    /// `@timestamp` of a record, if it has one.
    pub fn of(record: &str) -> Option<Self> {
        const NAME: &str = "\"@timestamp\":\"";
        let value = match record.strip_prefix('{').and_then(|rest| rest.strip_prefix(NAME)) {
            Some(value) => value,
            None => record.split_once(NAME)?.1,
        };
        Self::parse(value.split_at_checked(24)?.0)
    }

    /// When a record was written, if it says so: it has the time when its stream began, and is written when that ends.
    pub fn written(record: &str) -> Option<Self> {
        let began = Self::of(record)?;
        let seconds = lasted(record);
        if seconds == 0 {
            return Some(began);
        }
        let began = humantime::parse_rfc3339(began.as_str()).ok()?;
        let ended = began.checked_add(Duration::from_secs(seconds))?;
        let nanos = ended.duration_since(UNIX_EPOCH).ok()?.as_nanos();
        Self::at(Timestamp::from_nanos(u64::try_from(nanos).ok()?))
    }

    /// The stamp of a moment; `None` in years that have another form.
    pub fn at(time: Timestamp) -> Option<Self> {
        Self::parse(&time.to_string())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// Seconds that this is later than the other; 0 where it is not, or one is no moment.
    pub fn since(&self, other: &Self) -> u64 {
        let time = |stamp: &Self| humantime::parse_rfc3339(stamp.as_str()).ok();
        let apart =
            time(self).zip(time(other)).and_then(|(one, other)| one.duration_since(other).ok());
        apart.unwrap_or_default().as_secs()
    }
}

/// How many seconds the stream of a record was open: the last `event.duration`, after which no text of a client stands.
fn lasted(record: &str) -> u64 {
    const NAME: &str = ",\"event.duration\":";
    let nanos = record.rsplit_once(NAME).map_or("", |(_, rest)| rest);
    let end = nanos.find(|c: char| !c.is_ascii_digit()).unwrap_or(nanos.len());
    nanos.get(..end).and_then(|digits| digits.parse::<u64>().ok()).unwrap_or(0) / 1_000_000_000
}

/// A record of the chain itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The first of its chain, and the record of the chain before it that it names.
    Opened(Option<Named>),
    /// A checkpoint, or the closing record, and its compact JWS.
    Signed {
        /// Whether it closes the chain.
        closes: bool,
        /// `claimgate.checkpoint`, empty where there is none.
        jws: String,
        /// The digest of what stands before that.
        said: Head,
    },
}

impl Event {
    /// The event of a record; `None` for one of a decision. Only those that may be one are parsed.
    pub fn of(record: &str) -> Option<Self> {
        memchr::memmem::find(record.as_bytes(), b"\"event.action\":\"audit-")?;
        let value = crate::json::parse(record.as_bytes()).ok()?;
        let text = |name| value.get(name).and_then(Value::as_str);
        let signed = |closes| {
            let (said, _) = record.split_once(",\"claimgate.checkpoint\":").unwrap_or((record, ""));
            let jws = text("claimgate.checkpoint").unwrap_or_default().to_owned();
            Self::Signed { closes, jws, said: digest::head(said) }
        };
        match text("event.action")? {
            "audit-opened" => Some(Self::Opened(text("claimgate.before").and_then(Named::parse))),
            "audit-checkpoint" => Some(signed(false)),
            "audit-closed" => Some(signed(true)),
            _ => None,
        }
    }
}

/// A record as others name it, `<chain>:<seq>:<head>:<time>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Its chain.
    pub chain: String,
    /// Its number.
    pub seq: u64,
    /// Its head.
    pub head: Head,
    /// When it was written, in seconds since the Unix epoch.
    pub time: u64,
}

/// `<chain>:<seq>:<head>:<time>`.
impl std::fmt::Display for Named {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}:{}", self.chain, self.seq, digest::text(&self.head), self.time)
    }
}

impl Named {
    /// Reads what it is printed as; `None` where it is something else.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(':');
        let (Some(chain), Some(seq), Some(head), Some(time), None) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return None;
        };
        let (seq, head, time) = (seq.parse().ok()?, digest::parse(head)?, time.parse().ok()?);
        is_id(chain).then(|| Self { chain: chain.to_owned(), seq, head, time })
    }
}

/// What a checkpoint signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The record right before it.
    pub last: Named,
    /// The digest of what its own record says before it.
    pub said: Head,
    /// When it was signed, `iat`: the time of the record around it is not signed yet.
    pub time: Stamp,
    /// Whether it closes the chain.
    pub closed: bool,
    /// The other chains of the process.
    pub heads: Vec<Named>,
}

impl Checkpoint {
    /// From the payload of a JWS; `None` where it is none of a checkpoint.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let value = crate::json::parse(payload).ok()?;
        let text = |name| value.get(name).and_then(Value::as_str);
        let heads = match value.get("heads") {
            None => Vec::new(),
            Some(heads) => {
                let heads = heads.as_array()?.iter();
                heads.map(|head| Named::parse(head.as_str()?)).collect::<Option<_>>()?
            }
        };
        let time = value.get("iat")?.as_u64()?;
        Some(Self {
            last: Named {
                chain: text("chain")?.to_owned(),
                seq: value.get("seq")?.as_u64()?,
                head: digest::parse(text("head")?)?,
                time,
            },
            said: digest::parse(text("said")?)?,
            time: Stamp::at(Timestamp::from_secs(time))?,
            closed: value.get("closed")?.as_bool()?,
            heads,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_moments_in_one_form_only() {
        assert!(Stamp::parse("2026-11-25T10:00:00.000Z").is_some());
        for wrong in [
            "",
            "2026-11-25T10:00:00Z",
            "2026-11-25T10:00:00.000+",
            "2026-11-25 10:00:00.000Z",
            "2026-11-25T10:00:\u{1b}[2J00Z",
            "2026-11-25T10:00:00.000Z\u{1b}",
        ] {
            assert_eq!(Stamp::parse(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn reads_the_link_at_the_end() {
        let (chain, head) = ("c".repeat(22), digest::text(&[7; 32]));
        let ends = |rest: &str| format!("{{\"a\":1,\"claimgate.chain\":\"{chain}\",{rest}");
        let linked = ends(&format!("\"claimgate.seq\":12,\"claimgate.prev\":\"{head}\"}}"));
        let link = Link { chain: &chain, seq: 12, prev: Some([7; 32]) };
        assert_eq!(Link::of(&linked), Some(link));
        let opening = ends("\"claimgate.seq\":0}");
        assert_eq!(Link::of(&opening), Some(Link { chain: &chain, seq: 0, prev: None }));
        let cases = [
            "{}".to_owned(),
            ends("\"claimgate.seq\":-1}"),
            ends("\"claimgate.seq\":}"),
            ends("\"claimgate.seq\":1}}"),
            ends(&format!("\"claimgate.seq\":\"1\",\"claimgate.prev\":\"{head}\"}}")),
            ends(&format!(
                "\"claimgate.seq\":1,\"claimgate.prev\":\"{}\"}}",
                head.replace('w', "!")
            )),
            "{\"a\":\"\\\"claimgate.chain\\\":\\\"x\\\"\"}".to_owned(),
            opening.replace('c', "\u{1b}").replace("\u{1b}laimgate.\u{1b}hain", "claimgate.chain"),
            "é}".to_owned(),
        ];
        for record in cases {
            assert_eq!(Link::of(&record), None, "{record}");
        }
    }

    #[test]
    fn reads_times() {
        let of = |text: &str| Stamp::of(text).map(|stamp| stamp.as_str().to_owned());
        let time = "2026-11-25T10:00:00.000Z";
        assert_eq!(of(&format!("{{\"@timestamp\":\"{time}\"}}")).as_deref(), Some(time));
        assert_eq!(of(&format!("{{\"a\":1,\"@timestamp\":\"{time}\"}}")).as_deref(), Some(time));
        assert_eq!(of("{\"@timestamp\":\"2026\"}"), None);
        let lasting = |nanos: &str| {
            let record = format!(
                "{{\"@timestamp\":\"{time}\",\"a\":{{\"event.duration\":9}},\"event.duration\":{nanos},\"claimgate.seq\":1}}"
            );
            Stamp::written(&record).map(|stamp| stamp.as_str().to_owned())
        };
        assert_eq!(lasting("999999999").as_deref(), Some(time));
        assert_eq!(lasting("3600000000000").as_deref(), Some("2026-11-25T11:00:00.000Z"));
        assert_eq!(lasting("99999999999999999999").as_deref(), Some(time));
        assert_eq!(of("{}"), None);
    }
}
