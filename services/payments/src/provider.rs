//! What is said to a payment provider. One is built in: the simulator.
//!
//! A provider is asked with an idempotency key, and asking again with the same key is how one finds out what became of the
//! first time: it answers what it did then, or does it now if it never heard of it. That one question serves the request,
//! the repeated request and the poller alike.

pub(crate) mod simulator;

use serde::Deserialize;
use utoipa::ToSchema;

use crate::money::Money;
use crate::payment::Operation;

/// One operation, named by a key that never names another.
#[derive(Debug)]
pub(crate) struct Instruction {
    /// `<payment>:<operation>:<sequence>`.
    pub(crate) key: String,
    pub(crate) operation: Operation,
    pub(crate) amount: Money,
    /// The means of payment; an authorisation has one.
    pub(crate) token: Option<Token>,
}

/// No clear answer: time-out, outage, or "still working on it". Never means that nothing happened.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Unclear(pub(crate) String);

/// The provider's name for a means of payment. Whoever has it may charge it, so it is never printed.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = String, example = "tok_approved")]
pub(crate) struct Token(String);

impl Token {
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Token {
    fn from(token: String) -> Self {
        Self(token)
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_not_printed() {
        let printed = format!("{:?}", Token::from("tok_approved".to_owned()));
        assert!(!printed.contains("approved"), "{printed}");
    }
}
