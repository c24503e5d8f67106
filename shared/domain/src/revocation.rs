//! The kill switch: what people stop at once, and how far its end has come.
//!
//! Placing and lifting are acts of people. Each is a new version for its scope, put where none is and never written
//! again, so the versions are their own history; each names the one before by its digest. A block stands exactly while the
//! latest version placed it. Lifting brings nothing back: what was ended stays ended, and is asked for anew.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::block::{Block, BlockScope};
use crate::canonical::{CanonicalError, Digest};
use crate::grant::{EndCause, Grant};
use crate::id::IdentityId;
use crate::identity::{Caller, IdentityClass, ProofSummary};
use crate::time::Timestamp;

/// For how long after the reaper first saw a block a decision that was under way may still come in, in seconds: the
/// time-out of the evaluator, which reads blocks before it decides, and as long again for the index to show it.
pub const IN_FLIGHT_S: u32 = 30;

/// What the kill switch can cover: any block but that on one grant. Its text is the kind and the name, `identity:dana`,
/// `class:agent`, or `all`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WideScope(BlockScope);

/// The text names nothing that the kill switch can cover.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is no scope: one is `identity:`, `sponsor:`, `class:`, `entitlement:` or `account:` and a name, or `all`"
)]
pub struct ScopeError {
    text: String,
}

impl WideScope {
    /// Covers everything.
    pub const ALL: Self = Self(BlockScope::All);

    /// The scopes that cover `grant`, but for the grant itself.
    pub fn covering(grant: &Grant) -> impl Iterator<Item = Self> {
        BlockScope::covering(grant).into_iter().filter_map(|scope| Self::try_from(scope).ok())
    }

    /// As a block has it.
    #[must_use]
    pub fn as_block(&self) -> &BlockScope {
        &self.0
    }

    /// `identity`, `sponsor`, `class`, `entitlement`, `account` or `all`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self.0 {
            // Never made; it would cover nothing else.
            BlockScope::Grant(_) => "grant",
            BlockScope::Identity(_) => "identity",
            BlockScope::Sponsor(_) => "sponsor",
            BlockScope::Class(_) => "class",
            BlockScope::Entitlement(_) => "entitlement",
            BlockScope::Account(_) => "account",
            BlockScope::All => "all",
        }
    }

    /// Which one of its kind; empty for all.
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

/// Why it is stopped, or goes on: 1 to 500 characters without control characters. Its `Debug` form hides the text.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reason(String);

/// The text is no reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a reason must be 1 to {} characters without control characters other than line ends", Reason::MAX)]
pub struct ReasonError;

impl Reason {
    /// The longest, in characters.
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

/// What somebody may do with the kill switch; policy is asked about each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// Placing a block.
    Place,
    /// Lifting one.
    Lift,
    /// Reading what stands and how far it has come.
    Read,
}

/// What a version did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// The block stands from now on.
    Placed,
    /// It stands no more.
    Lifted,
}

/// One version of the block on a scope: who placed or lifted it, and by which right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revocation {
    /// What it covers.
    pub scope: WideScope,
    /// Its number, from 1 on.
    pub version: u64,
    /// The digest of the version before; zero for the first.
    pub prev: Digest,
    /// Whether it was placed or lifted.
    pub act: Act,
    /// Why.
    pub reason: Reason,
    /// The human who did it.
    pub by: IdentityId,
    /// What that human showed.
    pub proof: ProofSummary,
    /// The policies that allowed it.
    pub determining: Vec<String>,
    /// When.
    pub at: Timestamp,
}

/// The act that a person wants to do.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    /// On what.
    pub scope: &'a WideScope,
    /// Placing or lifting.
    pub act: Act,
    /// Why.
    pub reason: &'a Reason,
    /// Who.
    pub caller: &'a Caller,
    /// The policies that allow it.
    pub determining: Vec<String>,
}

/// There is no block to lift.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no block on `{0}` was ever placed")]
pub struct NothingToLift(pub WideScope);

impl Revocation {
    /// Whether the block stands.
    #[must_use]
    pub fn stands(&self) -> bool {
        self.act == Act::Placed
    }

    /// The version after `before` that `wanted` makes; nothing if it stands so already.
    ///
    /// # Errors
    ///
    /// [`NothingToLift`] if there is nothing to lift; [`CanonicalError`] inside if `before` has no JSON form.
    pub fn next(
        before: Option<&Self>,
        wanted: Wanted<'_>,
        now: Timestamp,
    ) -> Result<Result<Option<Self>, NothingToLift>, CanonicalError> {
        let Wanted { scope, act, reason, caller, determining } = wanted;
        match before {
            Some(before) if before.act == act => return Ok(Ok(None)),
            None if act == Act::Lifted => return Ok(Err(NothingToLift(scope.clone()))),
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
            // A clock that went back must not have the history run backwards.
            at: before.map_or(now, |before| now.max(before.at)),
        })))
    }

    /// The block that stands while this version is the latest.
    #[must_use]
    pub fn block(&self) -> Option<Block> {
        let block = || Block { scope: self.scope.0.clone(), cause: EndCause::Killed, by: self.by.clone(), at: self.at };
        self.stands().then(block)
    }
}

/// One whole walk of the reaper over every live grant, as far as it is about one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Walked {
    /// When the reaper first saw the block, by its own clock.
    pub seen_at: Timestamp,
    /// When the walk began.
    pub began_at: Timestamp,
    /// When it ended.
    pub ended_at: Timestamp,
    /// How many grants that the block covers it found alive, or left so.
    pub n_alive: u64,
}

/// How far the end of what a block covers has come; written by the reaper alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Progress {
    /// Of which block.
    pub scope: WideScope,
    /// Which version placed it.
    pub version: u64,
    /// When the reaper first saw it.
    pub seen_at: Timestamp,
    /// When the last whole walk over every live grant began.
    pub began_at: Timestamp,
    /// When that walk ended.
    pub walked_at: Timestamp,
    /// How many grants that the block covers were alive then: not over, or over without a proof.
    pub n_alive: u64,
    /// When it was proved that nothing that the block covers lives any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zero_at: Option<Timestamp>,
    /// How long that took from the placing on, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zero_after_s: Option<u64>,
}

impl Progress {
    /// What `walked` shows of the block that `placed` says, after `before`.
    ///
    /// Zero is proved by a walk that found every covered grant over, with its proof, and began when no decision could be
    /// under way any more that had not seen the block. A later walk that finds one takes it back.
    #[must_use]
    pub fn after(placed: &Revocation, walked: Walked, before: Option<&Self>) -> Self {
        let Walked { seen_at, began_at, ended_at, n_alive } = walked;
        let is_zero = n_alive == 0 && began_at >= seen_at.plus(IN_FLIGHT_S);
        let known = before.filter(|before| before.version == placed.version).and_then(|before| before.zero_at);
        let zero_at = is_zero.then(|| known.unwrap_or(ended_at));
        Self {
            scope: placed.scope.clone(),
            version: placed.version,
            seen_at,
            began_at,
            walked_at: ended_at,
            n_alive,
            zero_at,
            zero_after_s: zero_at.map(|at| at.seconds_since(placed.at)),
        }
    }
}

#[cfg(test)]
mod tests;
