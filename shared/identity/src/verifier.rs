//! The one way from a token to a caller.

use std::fmt;
use std::sync::Arc;

use brevet_domain::bundle::Index;
use brevet_domain::canonical::Digest;
use brevet_domain::identity::{Audience, Caller, ProofSummary};
use brevet_domain::time::Timestamp;

use crate::cache::KeyCache;
use crate::error::ProofError;
use crate::registered::identify;
use crate::source::KeySource;
use crate::token::UnverifiedToken;

/// The `aud` values of this installation. They must differ: a token of one that stands twice is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audiences {
    /// For asking, reading and releasing.
    pub ask: String,
    /// For voting on requests of others.
    pub approvals: String,
    /// For fetching credentials.
    pub credentials: String,
}

/// Verifies tokens and keeps the issuers' keys between calls. Build it once.
pub struct Verifier {
    audiences: Audiences,
    leeway_s: u32,
    keys: KeyCache,
}

impl Verifier {
    /// A verifier for these audiences, whose clock and the issuers' may differ by `leeway_s` seconds.
    #[must_use]
    pub fn new(audiences: Audiences, leeway_s: u32, keys: Arc<dyn KeySource>) -> Self {
        Self { audiences, leeway_s, keys: KeyCache::new(keys) }
    }

    /// The caller that `token`, made for `audience`, proves under the issuers and identities of `index` at `now`.
    ///
    /// # Errors
    ///
    /// [`ProofError`], which is [unavailable](ProofError::is_unavailable) if the issuer's keys could not be read,
    /// and otherwise says what is wrong with the token.
    pub async fn verify(
        &self,
        token: &str,
        audience: Audience,
        index: &Index,
        now: Timestamp,
    ) -> Result<Caller, ProofError> {
        // 1. Take it apart, believing nothing.
        let unverified = UnverifiedToken::parse(token)?;
        // 2. Find the key: the configured issuer's own, for an algorithm that it uses.
        let issuer = unverified.issuer(&index.issuers)?;
        let algorithm = unverified.algorithm(issuer)?;
        let key = self.keys.key(issuer, unverified.kid(), algorithm, now).await?;
        // 3. From here the issuer vouches for the claims.
        let claims = unverified.verified_by(&key, issuer)?;
        // 4. Are they meant for this use, now?
        let Audiences { ask, approvals, credentials } = &self.audiences;
        let wanted = match audience {
            Audience::Ask => ask,
            Audience::Approvals => approvals,
            Audience::Credentials => credentials,
        };
        claims.check_audience(wanted, &[ask, approvals, credentials])?;
        let life = claims.check_times(now, self.leeway_s)?;
        let subject = claims.subject()?;
        // 5. Whose are they?
        let (identity, task) = identify(&claims, &issuer.id, index)?;
        Ok(Caller {
            identity,
            task,
            proof: ProofSummary::Token {
                issuer: issuer.id.clone(),
                subject,
                token_digest: Digest::of_bytes(token.as_bytes()),
                issued_at: life.issued_at,
                expires_at: life.expires_at,
                auth: claims.auth(&issuer.mfa, life.issued_at),
            },
        })
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("audiences", &self.audiences)
            .field("leeway_s", &self.leeway_s)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
