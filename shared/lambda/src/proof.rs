//! Verifies tokens against the issuers and identities of the bundle in force.

use std::sync::Arc;

use async_trait::async_trait;
use brevet_domain::identity::{Audience, Caller};
use brevet_domain::time::Timestamp;
use brevet_engine::catalogue::Catalogue;
use brevet_engine::port::{ProofRefused, ProofVerifier, RawProof};
use brevet_identity::{ProofError, Verifier};

/// Verifies OIDC tokens. Every function that acts for a caller verifies the token itself.
pub struct OidcProofs {
    verifier: Verifier,
    catalogue: Arc<Catalogue>,
}

impl OidcProofs {
    /// Verifies with `verifier` against the identities in `catalogue`.
    #[must_use]
    pub fn new(verifier: Verifier, catalogue: Arc<Catalogue>) -> Self {
        Self { verifier, catalogue }
    }
}

impl std::fmt::Debug for OidcProofs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OidcProofs").finish_non_exhaustive()
    }
}

#[async_trait]
impl ProofVerifier for OidcProofs {
    async fn verify(&self, proof: &RawProof, audience: Audience, now: Timestamp) -> Result<Caller, ProofRefused> {
        let bundle = self.catalogue.current(now).await.map_err(|error| {
            tracing::error!(problem = error.chain(), "the bundle in force cannot be read: every caller is refused");
            ProofRefused {
                code: "bundle_unavailable",
                message: "the policy bundle, which registers identities, cannot be read; try again later".to_owned(),
                unavailable: true,
                unregistered: false,
            }
        })?;
        self.verifier.verify(proof.expose(), audience, bundle.index(), now).await.map_err(|error| refused(&error))
    }
}

/// Converts an error of `brevet-identity` to the engine's form.
pub(crate) fn refused(error: &ProofError) -> ProofRefused {
    if error.is_unavailable() {
        let cause = std::error::Error::source(error).map(ToString::to_string);
        tracing::warn!(problem = %error, cause, "cannot verify a token");
    }
    ProofRefused {
        code: error.code(),
        message: error.to_string(),
        unavailable: error.is_unavailable(),
        unregistered: matches!(error, ProofError::Unregistered { .. } | ProofError::Ambiguous { .. }),
    }
}

#[cfg(test)]
mod tests {
    use brevet_engine::fake::{Fault, Faults, MemoryStore, Watched, bundle_of, run};
    use brevet_engine::refusal::{Refusal, RefusalKind};
    use brevet_identity::{Audiences, KeyError, KeySource};

    use super::*;

    struct NoKeys;

    #[async_trait]
    impl KeySource for NoKeys {
        async fn jwks(&self, _uri: &str) -> Result<serde_json::Value, KeyError> {
            Err(KeyError::Status { status: 500 })
        }
    }

    fn proofs(store: Arc<MemoryStore>) -> OidcProofs {
        let audiences = Audiences { ask: "a".to_owned(), approvals: "b".to_owned(), credentials: "c".to_owned() };
        let catalogue = Catalogue::new(store, 900, Arc::new(Watched::default()));
        OidcProofs::new(Verifier::new(audiences, 2, Arc::new(NoKeys)), Arc::new(catalogue))
    }

    fn refusal(proofs: &OidcProofs, token: &str) -> Refusal {
        run(proofs.verify(&RawProof::new(token), Audience::Ask, Timestamp::EPOCH)).unwrap().unwrap_err().into()
    }

    #[test]
    fn bad_token_is_unauthenticated_and_never_shown_in_the_message() {
        let store = Arc::new(MemoryStore::new(Arc::new(Faults::none())));
        store.publish(bundle_of([], &[]));
        let proofs = proofs(store);
        for token in ["", "garbage", "a.b.c", "eyJhbGciOiJub25lIn0.e30.", &"x".repeat(9000)] {
            let refusal = refusal(&proofs, token);
            assert_eq!(refusal.kind, RefusalKind::Unauthenticated, "{refusal:?}");
            assert!(token.is_empty() || !refusal.detail.contains(token), "{refusal:?}");
        }
    }

    #[test]
    fn every_caller_is_refused_when_no_bundle_is_readable() {
        let none = Arc::new(MemoryStore::new(Arc::new(Faults::none())));
        let found = refusal(&proofs(none), "a.b.c");
        assert_eq!((found.kind, found.code.as_ref()), (RefusalKind::Unavailable, "bundle_unavailable"));
        let faults = Arc::new(Faults::at(1, Fault::AnswerLost));
        let silent = Arc::new(MemoryStore::new(Arc::clone(&faults)));
        silent.publish(bundle_of([], &[]));
        assert_eq!(refusal(&proofs(silent), "a.b.c").kind, RefusalKind::Unavailable);
        assert_eq!(faults.fired().len(), 1);
    }
}
