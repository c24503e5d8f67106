//! The kill switch: blocks that people place and lift, and the progress of the revocations that follow.
//!
//! Only people place and lift blocks. Each act is a new version for its scope, put only if absent and never changed. So
//! the versions are their own history; each names the previous one by its digest. A block is in force exactly while the
//! latest version placed it. Lifting a block restores nothing: ended grants stay ended and must be requested again.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::block::{Block, BlockScope};
use crate::canonical::{CanonicalError, Digest};
use crate::grant::{EndCause, Grant};
use crate::id::IdentityId;
use crate::identity::{Caller, IdentityClass, ProofSummary};
use crate::time::Timestamp;

/// The time after the reaper first saw a block in which a decision in progress may still arrive, in seconds. It is the
/// time-out of the evaluator, which reads blocks before it decides, and the same again for the index to show the grant.
pub const IN_FLIGHT_S: u32 = 30;

/// A scope of the kill switch: any scope of a block but a single grant. Its text is the kind and the name, such as
/// `identity:dana` or `class:agent`, or `all`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WideScope(BlockScope);

/// The text is not a scope of the kill switch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a scope: send `identity:`, `sponsor:`, `class:`, `entitlement:` or `account:` with a name, or `all`"
)]
pub struct ScopeError {
    text: String,
}

impl WideScope {
    /// The scope that covers everything.
    pub const ALL: Self = Self(BlockScope::All);

    /// The scopes that cover `grant`, without the scope of the grant itself.
    pub fn covering(grant: &Grant) -> impl Iterator<Item = Self> {
        BlockScope::covering(grant).into_iter().filter_map(|scope| Self::try_from(scope).ok())
    }

    /// The scope, as a block holds it.
    #[must_use]
    pub fn as_block(&self) -> &BlockScope {
        &self.0
    }

    /// `identity`, `sponsor`, `class`, `entitlement`, `account` or `all`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self.0 {
            // A `WideScope` never holds a single grant.
            BlockScope::Grant(_) => "grant",
            BlockScope::Identity(_) => "identity",
            BlockScope::Sponsor(_) => "sponsor",
            BlockScope::Class(_) => "class",
            BlockScope::Entitlement(_) => "entitlement",
            BlockScope::Account(_) => "account",
            BlockScope::All => "all",
        }
    }

    /// The name within the kind; empty for `all`.
    #[must_use]
    pub fn name(&self) -> String {
        match &self.0 {
            BlockScope::Grant(id) => id.to_string(),
            BlockScope::Identity(id) | BlockScope::Sponsor(id) => id.to_string(),
            BlockScope::Class(class) => class.as_str().to_owned(),
            BlockScope::Entitlement(id) => id.to_string(),
            BlockScope::Account(id) => id.to_string(),
            BlockScope::All => String::new(),
        }
    }
}

impl TryFrom<BlockScope> for WideScope {
    type Error = ScopeError;

    fn try_from(scope: BlockScope) -> Result<Self, ScopeError> {
        match scope {
            BlockScope::Grant(id) => Err(ScopeError { text: id.to_string() }),
            wide @ (BlockScope::Identity(_)
            | BlockScope::Sponsor(_)
            | BlockScope::Class(_)
            | BlockScope::Entitlement(_)
            | BlockScope::Account(_)
            | BlockScope::All) => Ok(Self(wide)),
        }
    }
}

impl fmt::Display for WideScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            BlockScope::All => f.write_str("all"),
            BlockScope::Grant(_)
            | BlockScope::Identity(_)
            | BlockScope::Sponsor(_)
            | BlockScope::Class(_)
            | BlockScope::Entitlement(_)
            | BlockScope::Account(_) => write!(f, "{}:{}", self.kind(), self.name()),
        }
    }
}

impl FromStr for WideScope {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, ScopeError> {
        let class = |name: &str| {
            let all = [IdentityClass::Human, IdentityClass::Pipeline, IdentityClass::Workload, IdentityClass::Agent];
            all.into_iter().find(|class| class.as_str() == name)
        };
        let scope = match text.split_once(':') {
            None => (text == "all").then_some(BlockScope::All),
            Some(("identity", name)) => name.parse().ok().map(BlockScope::Identity),
            Some(("sponsor", name)) => name.parse().ok().map(BlockScope::Sponsor),
            Some(("class", name)) => class(name).map(BlockScope::Class),
            Some(("entitlement", name)) => name.parse().ok().map(BlockScope::Entitlement),
            Some(("account", name)) => name.parse().ok().map(BlockScope::Account),
            Some(_) => None,
        };
        scope.map(Self).ok_or_else(|| ScopeError { text: text.chars().take(80).collect() })
    }
}

impl TryFrom<String> for WideScope {
    type Error = ScopeError;

    fn try_from(text: String) -> Result<Self, ScopeError> {
        text.parse()
    }
}

impl From<WideScope> for String {
    fn from(scope: WideScope) -> Self {
        scope.to_string()
    }
}

/// The reason for placing or lifting: 1 to 500 characters without control characters. Its `Debug` form hides the text.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reason(String);

/// The text is not a valid reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a reason must be 1 to {} characters without control characters other than line ends", Reason::MAX)]
pub struct ReasonError;

impl Reason {
    /// The maximum length, in characters.
    pub const MAX: usize = 500;

    /// The reason as text, for people; not for logs.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reason({} characters)", self.0.chars().count())
    }
}

impl TryFrom<String> for Reason {
    type Error = ReasonError;

    fn try_from(text: String) -> Result<Self, ReasonError> {
        let n = text.chars().count();
        let is_clean = !text.chars().any(|c| c.is_control() && c != '\n');
        if (1..=Self::MAX).contains(&n) && is_clean { Ok(Self(text)) } else { Err(ReasonError) }
    }
}

impl From<Reason> for String {
    fn from(reason: Reason) -> Self {
        reason.0
    }
}

/// An act on the kill switch. Policy decides who may do each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// Place a block.
    Place,
    /// Lift a block.
    Lift,
    /// Read the blocks and their progress.
    Read,
}

/// The act of one version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RevocationAction {
    /// The block is in force from now on.
    Placed,
    /// The block is no longer in force.
    Lifted,
}

/// One version of the block on a scope: who placed or lifted it, with which proof and which policies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revocation {
    pub scope: WideScope,
    /// The number of the version, from 1.
    pub version: u64,
    /// The digest of the previous version; zero for the first.
    pub prev: Digest,
    /// Whether the version places or lifts the block.
    pub act: RevocationAction,
    pub reason: Reason,
    /// The human who acted.
    pub by: IdentityId,
    /// That human's proof of identity.
    pub proof: ProofSummary,
    /// The policies that allowed the act.
    pub determining: Vec<String>,
    pub at: Timestamp,
}

/// The act that a person requests.
#[derive(Clone, Debug)]
pub struct RevocationRequest<'a> {
    pub scope: &'a WideScope,
    pub act: RevocationAction,
    pub reason: &'a Reason,
    pub caller: &'a Caller,
    /// The policies that allow the act.
    pub determining: Vec<String>,
}

/// The scope has no block to lift.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no block on `{0}` was ever placed")]
pub struct NothingToLift(pub WideScope);

impl Revocation {
    /// Whether the block is in force.
    #[must_use]
    pub fn stands(&self) -> bool {
        self.act == RevocationAction::Placed
    }

    /// The version after `before` for `request`; `None` if the block already is in the requested state.
    ///
    /// # Errors
    ///
    /// [`NothingToLift`] if there is nothing to lift; [`CanonicalError`] inside if `before` has no JSON form.
    pub fn next(
        before: Option<&Self>,
        request: RevocationRequest<'_>,
        now: Timestamp,
    ) -> Result<Result<Option<Self>, NothingToLift>, CanonicalError> {
        let RevocationRequest { scope, act, reason, caller, determining } = request;
        match before {
            Some(before) if before.act == act => return Ok(Ok(None)),
            None if act == RevocationAction::Lifted => return Ok(Err(NothingToLift(scope.clone()))),
            Some(_) | None => {}
        }
        Ok(Ok(Some(Self {
            scope: scope.clone(),
            version: before.map_or(0, |before| before.version).saturating_add(1),
            prev: before.map_or(Ok(Digest::ZERO), Digest::of)?,
            act,
            reason: reason.clone(),
            by: caller.identity.id.clone(),
            proof: caller.proof.clone(),
            determining,
            // A clock that was set back must not reverse the history.
            at: before.map_or(now, |before| now.max(before.at)),
        })))
    }

    /// The block that is in force while this version is the latest.
    #[must_use]
    pub fn block(&self) -> Option<Block> {
        let block = || Block { scope: self.scope.0.clone(), cause: EndCause::Killed, by: self.by.clone(), at: self.at };
        self.stands().then(block)
    }
}

/// One complete pass of the reaper over every live grant, with its result for one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockPass {
    /// The instant at which the reaper first saw the block, by its own clock.
    pub seen_at: Timestamp,
    /// The start of the pass.
    pub began_at: Timestamp,
    /// The end of the pass.
    pub ended_at: Timestamp,
    /// The number of covered grants that were live or that the pass left live.
    pub n_alive: u64,
}

/// The progress of the revocations under a block. Only the reaper writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Progress {
    /// The scope of the block.
    pub scope: WideScope,
    /// The version that placed the block.
    pub version: u64,
    /// The instant at which the reaper first saw the block.
    pub seen_at: Timestamp,
    /// The start of the last complete pass over every live grant.
    pub began_at: Timestamp,
    /// The end of that pass.
    pub checked_at: Timestamp,
    /// The number of covered grants that were live then: not ended, or ended without a proof.
    pub n_alive: u64,
    /// The instant at which it was proved that no covered grant is live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zero_at: Option<Timestamp>,
    /// The time from the placing to that proof, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zero_after_s: Option<u64>,
}

impl Progress {
    /// The progress of the block `placed` after `pass`; `before` is the previous progress.
    ///
    /// A pass proves zero if it found every covered grant ended with its proof. It must also begin after every decision
    /// that had not seen the block must have arrived. A later pass that finds a live grant revokes the proof.
    #[must_use]
    pub fn after(placed: &Revocation, pass: BlockPass, before: Option<&Self>) -> Self {
        let BlockPass { seen_at, began_at, ended_at, n_alive } = pass;
        let is_zero = n_alive == 0 && began_at >= seen_at.plus(IN_FLIGHT_S);
        let known = before.filter(|before| before.version == placed.version).and_then(|before| before.zero_at);
        let zero_at = is_zero.then(|| known.unwrap_or(ended_at));
        Self {
            scope: placed.scope.clone(),
            version: placed.version,
            seen_at,
            began_at,
            checked_at: ended_at,
            n_alive,
            zero_at,
            zero_after_s: zero_at.map(|at| at.seconds_since(placed.at)),
        }
    }
}

#[cfg(test)]
mod tests;
