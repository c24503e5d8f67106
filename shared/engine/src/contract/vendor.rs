//! What every vendor keeps.

use std::sync::Arc;

use brevet_domain::id::GrantId;
use brevet_domain::time::Timestamp;

use super::samples::plan;
use crate::port::Vendor;

/// A vendor, and what it is tried with.
#[derive(Clone)]
pub struct Tried {
    /// The vendor.
    pub vendor: Arc<dyn Vendor>,
    /// A session role that may be assumed.
    pub role_arn: String,
    /// A grant to vend for.
    pub grant: GrantId,
    /// AWS's present time, to within five seconds.
    pub now: Timestamp,
}

impl std::fmt::Debug for Tried {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tried").field("role_arn", &self.role_arn).finish_non_exhaustive()
    }
}

/// Writes every check of this module as a test.
#[macro_export]
macro_rules! vendor_contract {
    ($made:expr) => {
        $crate::contract_tests! { vendor, $made, a_vend_yields_a_credential_that_expires_as_planned every_vend_is_another_credential credentials_do_not_show_in_debug }
    };
}

/// A vend yields a whole credential, which expires after the planned time.
pub async fn a_vend_yields_a_credential_that_expires_as_planned(tried: &Tried) {
    let planned = plan(tried.grant, &tried.role_arn, tried.now.plus(60), tried.now);
    let vended = tried.vendor.vend(&planned).await.unwrap();
    let credentials = &vended.credentials;
    assert!(credentials.access_key_id.len() >= 16, "{credentials:?}");
    assert!(!credentials.secret_access_key.is_empty() && !credentials.session_token.is_empty());
    // The planned duration is 900 s although the grant ends after 60 s: STS vends no less.
    let (early, late) = (tried.now.plus(890), tried.now.plus(910));
    assert!((early..=late).contains(&vended.expires_at), "{} is not 900 s after {}", vended.expires_at, tried.now);
}

/// The same plan twice is two credentials of one session name.
pub async fn every_vend_is_another_credential(tried: &Tried) {
    let planned = plan(tried.grant, &tried.role_arn, tried.now.plus(60), tried.now);
    let first = tried.vendor.vend(&planned).await.unwrap();
    let second = tried.vendor.vend(&planned).await.unwrap();
    assert_ne!(first.credentials.access_key_id, second.credentials.access_key_id);
    assert_ne!(first.credentials.session_token, second.credentials.session_token);
}

/// What is vended does not show in `Debug`.
pub async fn credentials_do_not_show_in_debug(tried: &Tried) {
    let planned = plan(tried.grant, &tried.role_arn, tried.now.plus(60), tried.now);
    let vended = tried.vendor.vend(&planned).await.unwrap();
    let shown = format!("{vended:?}");
    assert!(!shown.contains(&vended.credentials.secret_access_key), "the secret key shows");
    assert!(!shown.contains(&vended.credentials.session_token), "the session token shows");
}
