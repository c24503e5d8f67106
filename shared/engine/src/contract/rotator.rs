//! What every implementation of the rotator keeps.

use std::sync::Arc;

use brevet_domain::canonical::Digest;

use crate::port::{PortError, Rotator, VersionStage};

/// The port, and the secrets that it is tried on.
#[derive(Clone)]
pub struct Tried {
    /// The port.
    pub rotator: Arc<dyn Rotator>,
    /// A secret without a rotation function.
    pub bare: String,
    /// A secret that does not exist.
    pub gone: String,
    /// A secret whose rotation is set up, where there can be one.
    pub set_up: Option<String>,
}

impl std::fmt::Debug for Tried {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tried").field("bare", &self.bare).field("set_up", &self.set_up).finish_non_exhaustive()
    }
}

/// Writes every check of this module as a test.
#[macro_export]
macro_rules! rotator_contract {
    ($made:expr) => {
        $crate::contract_tests! { rotator, $made, a_version_that_nobody_asked_for_is_absent every_reading_has_its_own_id a_secret_without_a_rotation_function_is_refused_and_stays_as_it_is a_secret_that_does_not_exist_is_refused_also_to_read what_was_asked_for_is_under_way_and_a_second_rotation_is_refused }
    };
}

fn token(name: &str) -> Digest {
    Digest::of_bytes(name.as_bytes())
}

/// Absence is an answer of AWS like any other.
pub async fn a_version_that_nobody_asked_for_is_absent(tried: &Tried) {
    let reading = tried.rotator.read_version(&tried.bare, token("nobody")).await.unwrap();
    assert_eq!(reading.stage, VersionStage::Absent);
}

/// Two readings are two answers.
pub async fn every_reading_has_its_own_id(tried: &Tried) {
    let first = tried.rotator.read_version(&tried.bare, token("nobody")).await.unwrap();
    let second = tried.rotator.read_version(&tried.bare, token("nobody")).await.unwrap();
    assert!(!first.request_id.is_empty());
    assert_ne!(first.request_id, second.request_id);
}

/// What nobody set up is said, and nothing of it begins.
pub async fn a_secret_without_a_rotation_function_is_refused_and_stays_as_it_is(tried: &Tried) {
    let answer = tried.rotator.rotate(&tried.bare, token("bare")).await;
    assert!(matches!(answer, Err(PortError::Refused { .. })), "{answer:?}");
    let reading = tried.rotator.read_version(&tried.bare, token("bare")).await.unwrap();
    assert_eq!(reading.stage, VersionStage::Absent);
}

/// A secret that is gone is no secret that was rotated.
pub async fn a_secret_that_does_not_exist_is_refused_also_to_read(tried: &Tried) {
    let answer = tried.rotator.rotate(&tried.gone, token("gone")).await;
    assert!(matches!(answer, Err(PortError::Refused { .. })), "{answer:?}");
    let answer = tried.rotator.read_version(&tried.gone, token("gone")).await;
    assert!(matches!(answer, Err(PortError::Refused { .. })), "{answer:?}");
}

/// An answer is no rotation: it is under way, and until it is done no other begins.
pub async fn what_was_asked_for_is_under_way_and_a_second_rotation_is_refused(tried: &Tried) {
    let Some(secret) = &tried.set_up else { return };
    tried.rotator.rotate(secret, token("first")).await.unwrap();
    assert_eq!(tried.rotator.read_version(secret, token("first")).await.unwrap().stage, VersionStage::Pending);
    let answer = tried.rotator.rotate(secret, token("second")).await;
    assert!(matches!(answer, Err(PortError::Refused { .. })), "{answer:?}");
    assert_eq!(tried.rotator.read_version(secret, token("second")).await.unwrap().stage, VersionStage::Absent);
}
