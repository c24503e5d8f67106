//! The contract of the rotator.

use std::sync::Arc;

use brevet_domain::canonical::Digest;

use crate::port::{PortError, Rotator, VersionStage};

/// The port and the secrets to test it on.
#[derive(Clone)]
pub struct Fixture {
    pub rotator: Arc<dyn Rotator>,
    /// A secret without a rotation function.
    pub bare: String,
    /// A secret that does not exist.
    pub gone: String,
    /// A secret with a rotation function, where there can be one.
    pub set_up: Option<String>,
}

impl std::fmt::Debug for Fixture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fixture").field("bare", &self.bare).field("set_up", &self.set_up).finish_non_exhaustive()
    }
}

/// Writes every check of this module as a test.
#[macro_export]
macro_rules! rotator_contract {
    ($made:expr) => {
        $crate::contract_tests! { rotator, $made, unrequested_version_is_absent every_reading_has_its_own_id rotation_is_refused_without_a_rotation_function missing_secret_is_refused_for_rotation_and_reading requested_version_is_pending_and_a_second_rotation_is_refused }
    };
}

fn token(name: &str) -> Digest {
    Digest::of_bytes(name.as_bytes())
}

/// Absence is an answer of AWS like any other.
pub async fn unrequested_version_is_absent(fixture: &Fixture) {
    let reading = fixture.rotator.read_version(&fixture.bare, token("nobody")).await.unwrap();
    assert_eq!(reading.stage, VersionStage::Absent);
}

/// Two reads have different request ids.
pub async fn every_reading_has_its_own_id(fixture: &Fixture) {
    let first = fixture.rotator.read_version(&fixture.bare, token("nobody")).await.unwrap();
    let second = fixture.rotator.read_version(&fixture.bare, token("nobody")).await.unwrap();
    assert!(!first.request_id.is_empty());
    assert_ne!(first.request_id, second.request_id);
}

/// The refusal is reported, and no rotation begins.
pub async fn rotation_is_refused_without_a_rotation_function(fixture: &Fixture) {
    let answer = fixture.rotator.rotate(&fixture.bare, token("bare")).await;
    assert!(matches!(answer, Err(PortError::Refused { .. })), "{answer:?}");
    let reading = fixture.rotator.read_version(&fixture.bare, token("bare")).await.unwrap();
    assert_eq!(reading.stage, VersionStage::Absent);
}

/// A missing secret does not count as rotated.
pub async fn missing_secret_is_refused_for_rotation_and_reading(fixture: &Fixture) {
    let answer = fixture.rotator.rotate(&fixture.gone, token("gone")).await;
    assert!(matches!(answer, Err(PortError::Refused { .. })), "{answer:?}");
    let answer = fixture.rotator.read_version(&fixture.gone, token("gone")).await;
    assert!(matches!(answer, Err(PortError::Refused { .. })), "{answer:?}");
}

/// An accepted call is not a completed rotation. While it is pending, no other rotation begins.
pub async fn requested_version_is_pending_and_a_second_rotation_is_refused(fixture: &Fixture) {
    let Some(secret) = &fixture.set_up else { return };
    fixture.rotator.rotate(secret, token("first")).await.unwrap();
    assert_eq!(fixture.rotator.read_version(secret, token("first")).await.unwrap().stage, VersionStage::Pending);
    let answer = fixture.rotator.rotate(secret, token("second")).await;
    assert!(matches!(answer, Err(PortError::Refused { .. })), "{answer:?}");
    assert_eq!(fixture.rotator.read_version(secret, token("second")).await.unwrap().stage, VersionStage::Absent);
}
