//! What was decided: the refusal or the way on, and what is changed and told of it.

use super::Renewing;
use crate::audit::Verdict;
use crate::limit::Standings;
use crate::policy::RouteId;
use crate::policy::route::Mode;
use crate::response::{Code, Preflight, Refusal};
use crate::time::Timestamp;
use crate::token::kids::KidTag;
use crate::token::trust::Recall;
use crate::token::{IssuerId, VerifiedToken};
use std::borrow::Cow;
use std::rc::Rc;

/// A change of the request's headers.
#[derive(Clone, PartialEq, Eq)]
pub enum Edit<'a> {
    /// Remove every value of this name.
    Remove(&'a [u8]),
    /// Replace all values of this name by one.
    Replace(&'a str, Vec<u8>),
}

/// Changes in the order in which they are made.
pub type Edits<'a> = Vec<Edit<'a>>;

/// Shows names only: a value may hold what is left of a cookie.
impl std::fmt::Debug for Edit<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Remove(name) => write!(f, "Remove({})", String::from_utf8_lossy(name)),
            Self::Replace(name, _) => write!(f, "Replace({name})"),
        }
    }
}

/// What was decided, and what a record says of it.
#[derive(Debug)]
pub struct Outcome<'a> {
    /// The refusal, where the request is to be answered with one.
    pub refusal: Option<Refusal>,
    /// The refusal that shadow mode let pass.
    pub shadowed: Option<Refusal>,
    /// Why a token that `lenient` counts as absent did not verify.
    pub lenient: Option<Refusal>,
    /// Changes to the request, also where it is refused.
    pub edits: Edits<'a>,
    /// The route.
    pub route: Option<RouteId>,
    /// Whether refusals refused.
    pub mode: Mode,
    /// Whether the request carried a token where the route looks for one.
    pub token_sent: bool,
    /// The places of the route's where it did, as bits, if the token there verified.
    pub(super) places: u64,
    /// The verified token.
    pub token: Option<Rc<VerifiedToken>>,
    /// What is counted of the token, where one was sent.
    pub seen: Option<Seen>,
    /// Whether something is being fetched that may change the decision: it may wait for that.
    pub awaits_fetch: bool,
    /// What is renewed of its session.
    pub renewing: Option<Box<Renewing>>,
    /// What a token that did not verify says of itself: its issuer and the id of its key.
    pub unverified: Option<(IssuerId, Option<String>)>,
    /// The safe host.
    pub host: Option<Cow<'a, str>>,
    /// The answer to a preflight, which is not forwarded.
    pub preflight: Option<Preflight<'a>>,
    /// What the candidate would decide, where that is something else.
    pub difference: Option<Difference>,
    /// How the limits stand that were asked.
    pub standings: Standings,
    /// Whether the request may wait.
    pub(super) patient: bool,
    /// Since when the request has waited.
    pub(super) since: Option<Timestamp>,
    /// Whether this is what a candidate decides, so that nothing is counted.
    pub(super) on_trial: bool,
}

/// What is counted of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Whose it is, or claims to be.
    pub issuer: Option<IssuerId>,
    /// The key that it names, or that verified it.
    pub kid: KidTag,
    /// Why it is refused, if it is.
    pub code: Option<Code>,
    /// How it was judged; `None` where there was not one token to judge.
    pub recall: Option<Recall>,
}

/// What a candidate would decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The candidate's route.
    pub route: Option<RouteId>,
    /// Why it would refuse, if it would.
    pub code: Option<Code>,
}

impl Outcome<'_> {
    /// What was decided, in a word.
    pub fn verdict(&self) -> Verdict {
        match (&self.refusal, &self.shadowed) {
            (Some(_), _) => Verdict::Denied,
            (None, Some(_)) => Verdict::ShadowDenied,
            (None, None) => Verdict::Allowed,
        }
    }

    pub(super) fn new(mode: Mode, edits: Edits<'_>, patient: bool) -> Outcome<'_> {
        Outcome {
            refusal: None,
            shadowed: None,
            lenient: None,
            edits,
            route: None,
            mode,
            token_sent: false,
            places: 0,
            token: None,
            seen: None,
            awaits_fetch: false,
            unverified: None,
            host: None,
            preflight: None,
            difference: None,
            standings: Standings::new(),
            renewing: None,
            patient,
            since: None,
            on_trial: false,
        }
    }

    /// Whether it is to be decided on again.
    pub(super) fn awaits(&self) -> bool {
        self.patient && self.awaits_fetch && self.mode == Mode::Enforce
    }

    /// The refusal, enforced or not.
    pub(super) fn enforced(&self) -> Option<&Refusal> {
        self.refusal.as_ref().or(self.shadowed.as_ref())
    }

    /// The refusal, enforced or not, or else the one of the token that `lenient` passed over.
    pub fn refused(&self) -> Option<&Refusal> {
        self.enforced().or(self.lenient.as_ref())
    }
}
