//! What each part of a condition says of a request, for who asks why: every part is evaluated, also those
//! that the decision itself did not need.

use super::condition::{Condition, Context, Scopes};
use super::operator::Truth;
use crate::token::IssuerId;
use serde_json::Value;

/// A part of a condition, and what it says.
#[derive(Clone, Debug)]
pub struct Trace {
    /// Where it stands in the part above.
    pub step: Step,
    /// What it says.
    pub truth: Truth,
    /// The values that a leaf saw, each as JSON; none where its subject is absent. `None` for a
    /// combination.
    pub seen: Option<Vec<String>>,
    /// Its parts.
    pub parts: Vec<Trace>,
}

/// Where a part of a condition stands in the one above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It is the whole condition.
    Whole,
    /// In a list of `all`.
    All(usize),
    /// In a list of `any`.
    Any(usize),
    /// Under `not`.
    Not,
    /// Under `by_issuer`, for this issuer.
    ByIssuer(IssuerId),
}

impl Condition {
    /// What each part says.
    pub fn trace(&self, context: &Context<'_>) -> Trace {
        self.trace_from(Step::Whole, context)
    }

    fn trace_from(&self, step: Step, context: &Context<'_>) -> Trace {
        let each = |parts: &[Self], step: fn(usize) -> Step| {
            let parts = parts.iter().enumerate();
            parts.map(|(index, part)| part.trace_from(step(index), context)).collect()
        };
        let (seen, parts) = match self {
            Self::All(parts) => (None, each(parts, Step::All)),
            Self::Any(parts) => (None, each(parts, Step::Any)),
            Self::Not(part) => (None, vec![part.trace_from(Step::Not, context)]),
            Self::ByIssuer(parts) => {
                // Parts of other issuers have no say.
                let issuer = context.token.map(|token| token.issuer());
                let part = issuer.and_then(|id| Some((id, parts.get(id.0)?.as_ref()?)));
                let part = part.map(|(id, part)| part.trace_from(Step::ByIssuer(id), context));
                (None, part.into_iter().collect())
            }
            Self::Leaf(leaf) => (Some(leaf.seen(context)), Vec::new()),
            Self::Scopes { .. } => {
                let granted = context.token.and_then(Scopes::of).map(|scopes| match scopes {
                    Scopes::Text(text) => vec![Value::from(text).to_string()],
                    Scopes::List(items) => items.iter().map(Value::to_string).collect(),
                });
                (Some(granted.unwrap_or_default()), Vec::new())
            }
            Self::ClientAddress(_) => {
                let address = context.bindings.request.peer().client_address();
                (Some(address.iter().map(ToString::to_string).collect()), Vec::new())
            }
        };
        Trace { step, truth: self.evaluate(context), seen, parts }
    }
}
