//! The contract of every vendor.

use std::sync::Arc;

use brevet_domain::id::GrantId;
use brevet_domain::time::Timestamp;

use super::samples::plan;
use crate::port::Vendor;

/// A vendor and the input to test it with.
#[derive(Clone)]
pub struct Fixture {
    pub vendor: Arc<dyn Vendor>,
    /// A session role that may be assumed.
    pub role_arn: String,
    pub grant: GrantId,
    /// AWS's current time, to within five seconds.
    pub now: Timestamp,
}

impl std::fmt::Debug for Fixture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fixture").field("role_arn", &self.role_arn).finish_non_exhaustive()
    }
}

/// Writes every check of this module as a test.
#[macro_export]
macro_rules! vendor_contract {
    ($made:expr) => {
        $crate::contract_tests! { vendor, $made, vend_returns_a_credential_that_expires_as_planned every_vend_returns_another_credential credentials_do_not_appear_in_debug }
    };
}

/// A vend returns a complete credential that expires after the planned time.
pub async fn vend_returns_a_credential_that_expires_as_planned(fixture: &Fixture) {
    let planned = plan(fixture.grant, &fixture.role_arn, fixture.now.plus(60), fixture.now);
    let vended = fixture.vendor.vend(&planned).await.unwrap();
    let credentials = &vended.credentials;
    assert!(credentials.access_key_id.len() >= 16, "{credentials:?}");
    assert!(!credentials.secret_access_key.is_empty() && !credentials.session_token.is_empty());
    // The planned duration is 900 s although the grant ends after 60 s, because STS vends no less.
    let (early, late) = (fixture.now.plus(890), fixture.now.plus(910));
    assert!((early..=late).contains(&vended.expires_at), "{} is not 900 s after {}", vended.expires_at, fixture.now);
}

/// Two vends of the same plan return two credentials with one session name.
pub async fn every_vend_returns_another_credential(fixture: &Fixture) {
    let planned = plan(fixture.grant, &fixture.role_arn, fixture.now.plus(60), fixture.now);
    let first = fixture.vendor.vend(&planned).await.unwrap();
    let second = fixture.vendor.vend(&planned).await.unwrap();
    assert_ne!(first.credentials.access_key_id, second.credentials.access_key_id);
    assert_ne!(first.credentials.session_token, second.credentials.session_token);
}

/// Vended credentials do not appear in `Debug`.
pub async fn credentials_do_not_appear_in_debug(fixture: &Fixture) {
    let planned = plan(fixture.grant, &fixture.role_arn, fixture.now.plus(60), fixture.now);
    let vended = fixture.vendor.vend(&planned).await.unwrap();
    let shown = format!("{vended:?}");
    assert!(!shown.contains(&vended.credentials.secret_access_key), "the secret key shows");
    assert!(!shown.contains(&vended.credentials.session_token), "the session token shows");
}
