//! The one place that calls the engine: a fixed policy, tokens for it, and what must hold of every decision.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use claimgate::audit::End;
use claimgate::audit::Verdict;
use claimgate::config::{self, Loaded};
use claimgate::engine::{Edit, Outcome};
use claimgate::policy::condition::Context;
use claimgate::policy::operator::Truth;
use claimgate::policy::route::{Mode, Route, TokenMode};
use claimgate::policy::template::{Bindings, Captured};
use claimgate::request::{Header, Request, UnknownPeer};
use claimgate::time::Timestamp;
use claimgate::token::VerifiedToken;
use claimgate::token::failure::Failure;
use claimgate::token::signature::Portable;
use claimgate::token::verify;
use serde_json::Value;

/// When every input is judged, in seconds.
pub const NOW: u64 = 1_800_000_000;

/// What the one environment variable, `SECRET`, holds.
pub const ENVIRONMENT: &str = "the secret of the environment, of more than 32 bytes";

/// What the policy asks of an issuer's tokens, for a second opinion.
pub struct Rules {
    pub iss: &'static str,
    pub secret: &'static str,
    /// None accepts every one.
    pub audiences: &'static [&'static str],
    pub required: &'static [&'static str],
    pub skew: i128,
    pub max_lifetime: Option<i128>,
    pub allow_no_expiry: bool,
}

/// The issuers of `policy.json` that sign by a secret.
pub const RULES: [Rules; 3] = [
    Rules {
        iss: "plain",
        secret: "the secret of the plain issuer, of more than 32 bytes",
        audiences: &[],
        required: &[],
        skew: 30_000,
        max_lifetime: None,
        allow_no_expiry: false,
    },
    Rules {
        iss: "strict",
        secret: "the secret of the strict issuer, of more than 32 bytes",
        audiences: &["api", "https://api.test"],
        required: &["/tenant", "/a/b"],
        skew: 10_000,
        max_lifetime: Some(3_600_000),
        allow_no_expiry: false,
    },
    Rules {
        iss: "loose",
        secret: "the secret of the loose issuer, of more than 32 bytes",
        audiences: &[],
        required: &[],
        skew: 0,
        max_lifetime: None,
        allow_no_expiry: true,
    },
];

/// A policy that loaded.
pub struct Policy(Loaded);

impl Policy {
    /// Loads a configuration.
    pub fn load(configuration: &[u8]) -> Result<Self, String> {
        let environment = |name: &str| (name == "SECRET").then(|| ENVIRONMENT.to_owned());
        config::load(configuration, "fuzz", &environment, &Portable)
            .map(Self)
            .map_err(|error| error.to_string())
    }

    /// Uses the policy of `policy.json`, which is loaded once for each thread and remembers no token
    /// of another input.
    pub fn fixed<T>(with: impl FnOnce(&Self) -> T) -> T {
        thread_local! {
            static FIXED: Policy = Policy::load(include_bytes!("policy.json")).unwrap();
        }
        FIXED.with(|policy| {
            policy.0.engine.trust.borrow_mut().remember(1);
            with(policy)
        })
    }

    /// Verifies a token that any issuer may have signed, wherever it was found, without what is
    /// remembered of it.
    pub fn verify(&self, token: &[u8]) -> Result<VerifiedToken, Failure> {
        self.verify_at(token, NOW)
    }

    fn verify_at(&self, token: &[u8], secs: u64) -> Result<VerifiedToken, Failure> {
        let engine = &self.0.engine;
        let (trust, now) = (engine.trust.borrow(), Timestamp::from_secs(secs));
        let limit = engine.max_token_bytes;
        verify::verify(token, &engine.issuers, trust.keyring(), |_| true, limit, now)
    }

    /// What is remembered of a token never says more than what would be found out anew.
    pub fn check_memory(&self, token: &[u8]) {
        let engine = &self.0.engine;
        for secs in [NOW, NOW, NOW + 50, NOW - 50, NOW + 86_400, NOW] {
            let (mut trust, now) = (engine.trust.borrow_mut(), Timestamp::from_secs(secs));
            let limit = engine.max_token_bytes;
            let remembered = trust.verify(token, &engine.issuers, |_| true, limit, now);
            let other = trust.verify(token, &engine.issuers, |_| false, limit, now);
            assert!(other.is_err(), "taken from a place that carries no token of this issuer");
            drop(trust);
            let fresh = self.verify_at(token, secs);
            assert_eq!(remembered.is_ok(), fresh.is_ok(), "{remembered:?} and {fresh:?}");
            let (Ok(remembered), Ok(fresh)) = (remembered, fresh) else { continue };
            assert_eq!(remembered.claims(), fresh.claims());
            assert_eq!((remembered.issuer(), remembered.kid()), (fresh.issuer(), fresh.kid()));
        }
    }

    /// Decides, and holds the outcome against what is promised of every decision.
    pub fn decide<'a>(&'a self, headers: &'a [Header<'a>]) -> Outcome<'a> {
        let request = Request::new(headers, &UnknownPeer);
        let outcome = self.0.engine.decide(&request, Timestamp::from_secs(NOW));
        self.check(&request, &outcome);
        outcome
    }

    /// The identity headers that an open request gets.
    pub fn added<'o>(&self, outcome: &'o Outcome<'_>) -> &'o [(Box<str>, String)] {
        self.0.engine.identity_headers(outcome)
    }

    pub fn route(&self, outcome: &Outcome<'_>) -> Option<&Route> {
        outcome.route.map(|id| &self.0.engine.routes[id.0])
    }

    /// What the condition of a route says of a token.
    pub fn truth(&self, route: &str, token: &VerifiedToken) -> Truth {
        let route = self.0.engine.routes.iter().find(|other| *other.name == *route).unwrap();
        let context = Context {
            bindings: Bindings {
                request: &Request::new(&[], &UnknownPeer),
                host: "app.test",
                method: "GET",
                captured: Captured::default(),
            },
            token: Some(token),
            issuers: &self.0.engine.issuers,
        };
        route.require.as_ref().unwrap().evaluate(&context)
    }

    /// Whether the filter takes a header of this name from the client.
    pub fn manages(&self, name: &[u8]) -> bool {
        self.0.engine.manages(name)
    }

    /// Whether the tokens of the issuer that signed this one stay on the request.
    pub fn forwards(&self, token: &VerifiedToken) -> bool {
        self.0.engine.issuers[token.issuer().0].forward_token
    }

    /// `iss` and an accepted audience of every issuer.
    pub fn issuers(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.0.engine.issuers.iter().map(|issuer| {
            let audience = issuer.audiences.as_ref().and_then(|list| list.first());
            (&*issuer.iss, audience.map(|audience| &**audience))
        })
    }

    /// Everything that an operator may come to see of a configuration.
    pub fn told(&self) -> String {
        let Loaded { engine, warnings, digest: _ } = &self.0;
        let warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
        let warnings = warnings.join("\n");
        format!("{warnings} {:?} {:?} {:?}", engine.issuers, engine.routes, engine.trust.borrow())
    }

    fn check(&self, request: &Request<'_>, outcome: &Outcome<'_>) {
        let harmful = |byte: &u8| matches!(byte, b'\r' | b'\n' | 0);
        for edit in &outcome.edits {
            let (name, value): (&[u8], &[u8]) = match edit {
                Edit::Remove(name) => (name, b""),
                Edit::Replace(name, value) => (name.as_bytes(), value),
            };
            assert!(!name.iter().chain(value).any(harmful), "{edit:?} would split a header");
        }
        for (name, value) in self.added(outcome) {
            assert!(self.manages(name.as_bytes()), "a client could set {name} as well");
            assert!(!name.bytes().any(|byte| harmful(&byte)));
            assert!(value.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{value:?}");
            assert_eq!(value.trim(), value);
            assert!(outcome.token.is_some(), "an identity without a token");
        }
        let route = self.route(outcome);
        match (outcome.verdict(), route) {
            (Verdict::Allowed, Some(route)) => {
                assert!(!route.deny, "a deny route opened");
                if route.token == TokenMode::Required {
                    assert!(outcome.token.is_some(), "{} opened without a token", route.name);
                }
                if let (TokenMode::None, Some(token)) = (route.token, &outcome.token) {
                    panic!("{} does not look for a token, found {:?}", route.name, token.claims());
                }
            }
            (Verdict::Allowed, None) => panic!("open without a route"),
            (Verdict::Denied, _) => assert!(outcome.refusal.is_some()),
            (Verdict::ShadowDenied, _) => assert_eq!(outcome.mode, Mode::Shadow),
        }
        self.check_told(request, outcome);
    }

    /// What is told of a decision holds no token, and cannot be taken for more than it is.
    fn check_told(&self, request: &Request<'_>, outcome: &Outcome<'_>) {
        let engine = &self.0.engine;
        let note = engine.note(outcome);
        let state: Value = serde_json::from_str(&note.state).unwrap();
        assert_eq!(state["decision"], outcome.verdict().name());
        let now = Timestamp::from_secs(NOW);
        let end = End { status: None, client: None, now };
        let line = engine.draft(request, outcome, &note, "node", None, now).finish(&end).close();
        assert!(!line.chars().any(|c| c.is_control()), "a record of more than one line: {line}");
        let (_, record) = line.split_once(' ').unwrap();
        serde_json::from_str::<Value>(record).unwrap();
        let Some(response) = engine.answer(request, outcome) else { return };
        assert!(response.status >= 400);
        for (name, value) in &response.headers {
            assert!(value.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{name}: {value}");
        }
        if response.grpc_status.is_none() {
            serde_json::from_slice::<Value>(&response.body).unwrap();
        }
        for token in tokens(request) {
            for told in [&line, &note.state, &format!("{outcome:?} {response:?}")] {
                assert!(!told.contains(token), "{told} shows {token}");
            }
        }
    }
}

/// What in a request has the form of a token that means something: its signature alone has 43 characters, if not more.
fn tokens<'r>(request: &Request<'r>) -> impl Iterator<Item = &'r str> {
    let texts = request.headers().iter().filter_map(|(_, value)| std::str::from_utf8(value).ok());
    let inside = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    texts
        .flat_map(move |text| text.split(move |c| !inside(c)))
        .filter(|word| word.len() > 43 && word.starts_with("eyJ") && word.split('.').count() == 3)
}

pub fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// HS256 of what is to be signed.
pub fn tag(input: &[u8], secret: &str) -> Vec<u8> {
    hmac_sha256::HMAC::mac(input, secret.as_bytes()).to_vec()
}

/// A token of this header and payload.
pub fn sign(header: &[u8], payload: &[u8], secret: &str) -> String {
    let input = format!("{}.{}", encode(header), encode(payload));
    let tag = encode(&tag(input.as_bytes(), secret));
    format!("{input}.{tag}")
}

/// A number that depends on all of the input, to choose by.
pub fn hash(data: &[u8]) -> usize {
    data.iter().fold(5381, |hash: usize, byte| hash.wrapping_mul(33) ^ usize::from(*byte))
}
