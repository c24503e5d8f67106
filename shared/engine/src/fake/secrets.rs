//! The fake of Secrets Manager: secrets, their versions, and rotations that take time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use brevet_domain::canonical::Digest;
use brevet_domain::time::Timestamp;

use super::faults::{CallKind, CallMode, Faults};
use super::locked;
use super::time::ManualClock;
use crate::port::{Clock, PortError, PortResult, Rotator, VersionReading, VersionStage};

/// Seconds that a rotation takes.
const TAKES_S: u32 = 3;

/// A completed rotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotated {
    pub secret: String,
    /// The version that the rotation made.
    pub token: Digest,
    /// The start of the rotation. A value that was read earlier is not the new version.
    pub began_at: Timestamp,
}

#[derive(Debug, Default)]
struct Secret {
    /// Whether a rotation that has begun completes.
    works: bool,
    is_set_up: bool,
    current: Option<Digest>,
    previous: Option<Digest>,
    pending: Option<(Digest, Timestamp)>,
}

#[derive(Debug, Default)]
struct Held {
    secrets: BTreeMap<String, Secret>,
    /// Calls that land later: instant, secret, version.
    underway: Vec<(Timestamp, String, Digest)>,
    done: Vec<Rotated>,
    n_reads: u64,
}

impl Held {
    fn settle(&mut self, now: Timestamp) {
        let (due, later): (Vec<_>, Vec<_>) = self.underway.drain(..).partition(|(at, ..)| *at <= now);
        self.underway = later;
        for (at, secret, token) in due {
            // The answer is lost, whatever it is.
            let _: Result<(), &str> = self.begin(&secret, token, at);
        }
        for (name, secret) in self.secrets.iter_mut().filter(|(_, secret)| secret.works) {
            let Some((token, began_at)) = secret.pending.filter(|(_, at)| at.plus(TAKES_S) <= now) else { continue };
            (secret.pending, secret.previous) = (None, secret.current.replace(token));
            self.done.push(Rotated { secret: name.clone(), token, began_at });
        }
    }

    fn begin(&mut self, secret: &str, token: Digest, at: Timestamp) -> Result<(), &'static str> {
        let secret = self.secrets.get_mut(secret).ok_or("there is no such secret")?;
        if !secret.is_set_up {
            return Err("no rotation function is associated with it");
        }
        if secret.current == Some(token) || secret.previous == Some(token) {
            // A repeated call: its version exists already.
            return Ok(());
        }
        if secret.pending.is_some() {
            return Err("a previous rotation is not complete");
        }
        secret.pending = Some((token, at));
        Ok(())
    }
}

/// Secrets in memory. A secret exists only if it was added.
#[derive(Debug)]
pub struct MemorySecrets {
    held: Mutex<Held>,
    clock: Arc<ManualClock>,
    faults: Arc<Faults>,
}

impl MemorySecrets {
    /// Starts without secrets. AWS's clock is `clock`.
    #[must_use]
    pub fn new(clock: Arc<ManualClock>, faults: Arc<Faults>) -> Self {
        Self { held: Mutex::default(), clock, faults }
    }

    /// Adds a secret whose rotation is set up and works. No port call.
    pub fn add(&self, secret: &str) {
        let added = Secret { works: true, is_set_up: true, ..Secret::default() };
        locked(&self.held).secrets.insert(secret.to_owned(), added);
    }

    /// Removes a secret. No port call.
    pub fn remove(&self, secret: &str) {
        locked(&self.held).secrets.remove(secret);
    }

    /// Sets whether the secret has a rotation function. No port call.
    pub fn set_up(&self, secret: &str, is_set_up: bool) {
        if let Some(secret) = locked(&self.held).secrets.get_mut(secret) {
            secret.is_set_up = is_set_up;
        }
    }

    /// Sets whether rotations of the secret complete. Those that do not stay pending. No port call.
    pub fn works(&self, secret: &str, works: bool) {
        if let Some(secret) = locked(&self.held).secrets.get_mut(secret) {
            secret.works = works;
        }
    }

    /// Rotates the secret outside Brevet and ignores a refusal. No port call.
    pub fn rotate_elsewhere(&self, secret: &str, token: Digest) {
        let now = self.clock.now();
        let mut held = locked(&self.held);
        held.settle(now);
        let _: Result<(), &str> = held.begin(secret, token, now);
    }

    /// Every completed rotation, in order. No port call.
    #[must_use]
    pub fn done(&self) -> Vec<Rotated> {
        let mut held = locked(&self.held);
        held.settle(self.clock.now());
        held.done.clone()
    }
}

#[async_trait]
impl Rotator for MemorySecrets {
    async fn read_version(&self, secret: &str, token: Digest) -> PortResult<VersionReading> {
        let act = |_: CallMode| {
            let mut held = locked(&self.held);
            held.settle(self.clock.now());
            held.n_reads = held.n_reads.saturating_add(1);
            let request_id = format!("secret-read-{}", held.n_reads);
            let source = || "there is no such secret".into();
            let secret = held
                .secrets
                .get(secret)
                .ok_or_else(|| PortError::Refused { operation: "read_version", source: source() })?;
            let stage = if secret.current == Some(token) || secret.previous == Some(token) {
                VersionStage::Current
            } else if secret.pending.is_some_and(|(pending, _)| pending == token) {
                VersionStage::Pending
            } else {
                VersionStage::Absent
            };
            Ok(VersionReading { stage, request_id })
        };
        self.faults.call("read_version", CallKind::Read, act).await
    }

    async fn rotate(&self, secret: &str, token: Digest) -> PortResult<()> {
        let act = |mode: CallMode| {
            let now = self.clock.now();
            let mut held = locked(&self.held);
            held.settle(now);
            match mode {
                CallMode::Late(seconds) => {
                    held.underway.push((now.plus(seconds), secret.to_owned(), token));
                    Ok(())
                }
                CallMode::Now | CallMode::Stale => held
                    .begin(secret, token, now)
                    .map_err(|reason| PortError::Refused { operation: "rotate", source: reason.into() }),
            }
        };
        self.faults.call("rotate", CallKind::RoleWrite, act).await
    }
}
