//! Verifies a token and identifies its caller. There is no other way from a token to a caller.

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

/// The `aud` values of this installation. They must differ: a token for a duplicate value is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audiences {
    /// For requesting, reading and releasing.
    pub ask: String,
    /// For voting on requests of others.
    pub approvals: String,
    /// For fetching credentials.
    pub credentials: String,
}

/// Verifies tokens and caches the issuers' keys. Build it once.
pub struct Verifier {
    audiences: Audiences,
    leeway_s: u32,
    keys: KeyCache,
}

impl Verifier {
    /// Builds a verifier for these audiences. Its clock and the issuers' clocks may differ by `leeway_s` seconds.
    #[must_use]
    pub fn new(audiences: Audiences, leeway_s: u32, keys: Arc<dyn KeySource>) -> Self {
        Self { audiences, leeway_s, keys: KeyCache::new(keys) }
    }

    /// Verifies `token` for `audience` at `now`. Returns the caller, by the issuers and identities of `index`.
    ///
    /// # Errors
    ///
    /// [`ProofError`] names the defect of the token. It is [unavailable](ProofError::is_unavailable) if the issuer's
    /// keys could not be read.
    pub async fn verify(
        &self,
        token: &str,
        audience: Audience,
        index: &Index,
        now: Timestamp,
    ) -> Result<Caller, ProofError> {
        // 1. Parse the token without trusting it.
        let unverified = UnverifiedToken::parse(token)?;
        // 2. Find the configured issuer's key for an algorithm that the issuer uses.
        let issuer = unverified.issuer(&index.issuers)?;
        let algorithm = unverified.algorithm(issuer)?;
        let key = self.keys.key(issuer, unverified.kid(), algorithm, now).await?;
        // 3. Verify the signature. From here on the issuer vouches for the claims.
        let claims = unverified.verified_by(&key, issuer)?;
        // 4. Check that the token is for this use and valid now.
        let Audiences { ask, approvals, credentials } = &self.audiences;
        let expected = match audience {
            Audience::Ask => ask,
            Audience::Approvals => approvals,
            Audience::Credentials => credentials,
        };
        claims.check_audience(expected, &[ask, approvals, credentials])?;
        let validity = claims.check_times(now, self.leeway_s)?;
        let subject = claims.subject()?;
        // 5. Find the registered identity.
        let (identity, task) = identify(&claims, &issuer.id, index)?;
        Ok(Caller {
            identity,
            task,
            proof: ProofSummary::Token {
                issuer: issuer.id.clone(),
                subject,
                token_digest: Digest::of_bytes(token.as_bytes()),
                issued_at: validity.issued_at,
                expires_at: validity.expires_at,
                auth: claims.auth(&issuer.mfa, validity.issued_at),
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
