//! The caller of a request: the bootstrap key, or a session that was vended through the gate.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::config::{BOOTSTRAP_KEY, BOOTSTRAP_SECRET};
use crate::inbound::Inbound;
use crate::refuse::Refusal;
use crate::sigv4::{self, UnverifiedSignature};

/// A role session, as `AssumeRole` answered it and as its request limited it.
#[derive(Clone)]
pub(crate) struct Session {
    pub(crate) access_key: String,
    pub(crate) secret: String,
    pub(crate) token: String,
    /// ARN with the role's path.
    pub(crate) role_arn: String,
    /// `arn:…:sts::…:assumed-role/<role>/<session name>`.
    pub(crate) arn: String,
    pub(crate) role_name: String,
    /// `AROA…:<session name>`: the `aws:userid` of each call.
    pub(crate) user_id: String,
    /// The inline session policy that is enforced.
    pub(crate) policy: Option<Value>,
    /// The role's tags, overlaid by the session's.
    pub(crate) tags: BTreeMap<String, String>,
    /// Keys of the tags that a chained session inherits.
    pub(crate) transitive: BTreeSet<String>,
    pub(crate) source_identity: Option<String>,
    /// Whole seconds, as AWS gives `aws:TokenIssueTime`.
    pub(crate) issued_at: DateTime<Utc>,
    pub(crate) expires_at: DateTime<Utc>,
}

impl fmt::Debug for Session {
    /// Omits the secret and the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("arn", &self.arn).field("access_key", &self.access_key).finish_non_exhaustive()
    }
}

/// A caller whose signature was verified.
#[derive(Clone, Debug)]
pub(crate) enum Caller {
    /// The deploying administrator. The gate does not enforce IAM for it.
    Bootstrap,
    /// A session. The gate enforces IAM for it.
    Session(Arc<Session>),
}

impl Caller {
    /// How the call log names the caller: `bootstrap` or the session's ARN.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Bootstrap => "bootstrap",
            Self::Session(session) => &session.arn,
        }
    }
}

/// Every session vended through the gate since it started.
#[derive(Debug, Default)]
pub(crate) struct Sessions(RwLock<BTreeMap<String, Arc<Session>>>);

impl Sessions {
    pub(crate) fn add(&self, session: Session) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(session.access_key.clone(), Arc::new(session));
    }

    /// Verifies who made `call`.
    ///
    /// # Errors
    ///
    /// The refusal to send: unknown key, wrong token, expired session, or wrong signature.
    pub(crate) fn verify(
        &self,
        claimed: &UnverifiedSignature,
        call: &Inbound,
        now: DateTime<Utc>,
    ) -> Result<Caller, Refusal> {
        if claimed.access_key == BOOTSTRAP_KEY {
            sigv4::verify(claimed, call, BOOTSTRAP_SECRET, now)
                .map_err(|error| Refusal::BadSignature(error.to_string()))?;
            return Ok(Caller::Bootstrap);
        }
        let session = self
            .0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&claimed.access_key)
            .cloned()
            .ok_or(Refusal::UnknownKey)?;
        if claimed.session_token.as_deref() != Some(session.token.as_str()) {
            return Err(Refusal::UnknownKey);
        }
        sigv4::verify(claimed, call, &session.secret, now).map_err(|error| Refusal::BadSignature(error.to_string()))?;
        if now >= session.expires_at {
            return Err(Refusal::Expired);
        }
        Ok(Caller::Session(session))
    }
}

/// A session for tests: role `worker` in path `/brevet/dev/session/`, session `dev.one`, key `ASIAONE`, secret `secret`,
/// token `token`.
#[cfg(test)]
pub(crate) fn session(issued_at: DateTime<Utc>) -> Session {
    Session {
        access_key: "ASIAONE".to_owned(),
        secret: "secret".to_owned(),
        token: "token".to_owned(),
        role_arn: "arn:aws:iam::000000000000:role/brevet/dev/session/worker".to_owned(),
        arn: "arn:aws:sts::000000000000:assumed-role/worker/dev.one".to_owned(),
        role_name: "worker".to_owned(),
        user_id: "AROAWORKER:dev.one".to_owned(),
        policy: None,
        tags: BTreeMap::from([("brevet:grant".to_owned(), "grt_1".to_owned())]),
        transitive: BTreeSet::new(),
        source_identity: Some("pipeline".to_owned()),
        issued_at,
        expires_at: issued_at.checked_add_signed(chrono::TimeDelta::minutes(15)).unwrap(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;
    use http::{HeaderMap, Method};

    fn now() -> DateTime<Utc> {
        "2026-11-22T12:00:00Z".parse().unwrap()
    }

    fn call(key: &str, secret: &str, token: Option<&str>, at: DateTime<Utc>) -> Inbound {
        let mut headers = HeaderMap::new();
        headers.insert("host", "127.0.0.1:4600".parse().unwrap());
        if let Some(token) = token {
            headers.insert("x-amz-security-token", token.parse().unwrap());
        }
        let call = Inbound { method: Method::POST, uri: "/".parse().unwrap(), headers, body: "{}".into() };
        sigv4::sign(call, key, secret, "dynamodb", at)
    }

    fn verify(call: &Inbound, at: DateTime<Utc>) -> Result<Caller, Refusal> {
        let sessions = Sessions::default();
        sessions.add(session(now()));
        sessions.verify(&sigv4::parse(call).unwrap(), call, at)
    }

    #[test]
    fn vended_session_and_bootstrap_key_are_verified() {
        let caller = verify(&call("ASIAONE", "secret", Some("token"), now()), now()).unwrap();
        assert!(caller.name().ends_with("assumed-role/worker/dev.one"));
        let caller = verify(&call(BOOTSTRAP_KEY, BOOTSTRAP_SECRET, None, now()), now()).unwrap();
        assert_eq!(caller.name(), "bootstrap");
    }

    #[test]
    fn unknown_key_is_refused() {
        let refused = verify(&call("ASIATWO", "secret", Some("token"), now()), now());
        assert!(matches!(refused, Err(Refusal::UnknownKey)));
    }

    #[test]
    fn session_without_its_own_token_is_refused() {
        for token in [None, Some("other")] {
            let refused = verify(&call("ASIAONE", "secret", token, now()), now());
            assert!(matches!(refused, Err(Refusal::UnknownKey)), "{token:?}");
        }
    }

    #[test]
    fn bootstrap_key_with_a_wrong_secret_is_refused() {
        let refused = verify(&call(BOOTSTRAP_KEY, "guess", None, now()), now());
        assert!(matches!(refused, Err(Refusal::BadSignature(_))));
    }

    #[test]
    fn session_is_refused_from_its_expiry_on() {
        let end = now() + TimeDelta::minutes(15);
        let just_before = end - TimeDelta::seconds(1);
        let early = verify(&call("ASIAONE", "secret", Some("token"), just_before), just_before);
        assert!(early.is_ok());
        let late = verify(&call("ASIAONE", "secret", Some("token"), end), end);
        assert!(matches!(late, Err(Refusal::Expired)));
    }

    #[test]
    fn printing_a_session_shows_no_secret() {
        let printed = format!("{:?}", session(now()));
        assert!(!printed.contains("secret") && !printed.contains("token"), "{printed}");
    }
}
