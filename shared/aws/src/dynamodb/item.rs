//! The stored form of each record.
//!
//! Each item has `v`, its format version, and `body`, the record as JSON. Its other top-level attributes serve
//! conditions, indexes and expiry, and repeat values of the body.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::AttributeValue;
use brevet_domain::block::Block;
use brevet_domain::decision::Decision;
use brevet_domain::delegation::Delegation;
use brevet_domain::deny::DenyEntry;
use brevet_domain::drill::Drill;
use brevet_domain::duties::Holdings;
use brevet_domain::evidence::Entry;
use brevet_domain::finding::Finding;
use brevet_domain::grant::{DueRole, Grant, RETENTION_S};
use brevet_domain::holders::AttachmentHolders;
use brevet_domain::request::Request;
use brevet_domain::review::AwaitedReview;
use brevet_domain::revocation::{Progress, Revocation};
use brevet_domain::time::Timestamp;
use brevet_engine::port::{Activation, KeyClaim, Mark, PortResult, TtlBackstop, shard_of};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::key::Key;
use crate::error::unreadable;

/// The format version of every item.
const VERSION: &str = "1";

/// The life of an idempotency key, in seconds: 24 h.
const KEY_LIFE_S: u32 = 86_400;

/// The life of a mark, in seconds: 30 days, far longer than any grant can live.
const MARK_LIFE_S: u32 = 30 * 86_400;

/// The partition of the index `due` that lists deny entries.
pub(super) const DENY_LIST: &str = "deny";

/// The partition of the index `due` that lists break-glass uses that await their review.
pub(super) const REVIEW_LIST: &str = "review";

pub(super) fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

pub(super) fn number(value: impl ToString) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

/// The partition of the index `due` that lists the grants of `role`. The reaper's partition also lists marks.
pub(super) fn list_of(role: DueRole, shard: u8) -> String {
    match role {
        DueRole::Issue => format!("issue#{shard}"),
        DueRole::Reap => format!("reap#{shard}"),
        DueRole::Rotate => format!("rotate#{shard}"),
    }
}

#[derive(Clone, Debug)]
pub(super) struct Item(BTreeMap<String, AttributeValue>);

impl FromIterator<(String, AttributeValue)> for Item {
    fn from_iter<I: IntoIterator<Item = (String, AttributeValue)>>(attributes: I) -> Self {
        Self(attributes.into_iter().collect())
    }
}

impl Item {
    /// An item at `key` with the body `record`.
    pub(super) fn of<T: Serialize>(operation: &'static str, key: Key, record: &T) -> PortResult<Self> {
        let body = serde_json::to_string(record).map_err(|e| unreadable(operation, e))?;
        let item: Self = key.attributes().into_iter().collect();
        Ok(item.with("v", AttributeValue::N(VERSION.to_owned())).with("body", text(body)))
    }

    pub(super) fn with(mut self, name: &str, value: AttributeValue) -> Self {
        self.0.insert(name.to_owned(), value);
        self
    }

    /// Puts the item on a to-do list of the index `due`.
    fn due(self, list: String, next_at: Timestamp) -> Self {
        self.with("due_pk", text(list)).with("next_at", text(next_at.to_string()))
    }

    /// Lets DynamoDB delete the item some time after `at`.
    fn expiring(self, at: Timestamp) -> Self {
        self.with("ttl", number(at.plus(1).as_seconds()))
    }

    pub(super) fn attributes(self) -> impl Iterator<Item = (String, AttributeValue)> {
        self.0.into_iter()
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        let value = self.0.get(name)?;
        value.as_s().ok().map(String::as_str)
    }

    fn number(&self, name: &str) -> Option<&str> {
        let value = self.0.get(name)?;
        value.as_n().ok().map(String::as_str)
    }

    pub(super) fn instant(&self, name: &str) -> Option<Timestamp> {
        self.text(name)?.parse().ok()
    }

    /// Reads the record in the body.
    pub(super) fn body<T: DeserializeOwned>(&self, operation: &'static str) -> PortResult<T> {
        let name = self.text("pk").unwrap_or_default();
        if self.number("v") != Some(VERSION) {
            let found = self.number("v").unwrap_or("none");
            let problem = format!("item `{name}` has format {found}; this release reads format {VERSION}");
            return Err(unreadable(operation, problem));
        }
        let body = self.text("body").ok_or_else(|| unreadable(operation, format!("item `{name}` has no body")))?;
        serde_json::from_str(body).map_err(|error| {
            // The position only: bodies do not belong in logs.
            let position = format!("line {}, column {}", error.line(), error.column());
            unreadable(operation, format!("the body of item `{name}` is wrong at {position}"))
        })
    }

    /// Reads the grant in the body. The item's top-level attributes must agree with it.
    pub(super) fn grant(&self, operation: &'static str) -> PortResult<Grant> {
        let grant: Grant = self.body(operation)?;
        if self.number("version") == Some(grant.version.to_string().as_str())
            && self.text("state") == Some(grant.state.name())
        {
            Ok(grant)
        } else {
            let problem = format!("`version` or `state` of the item of `{}` contradicts its body", grant.id);
            Err(unreadable(operation, problem))
        }
    }
}

/// A record with a stored form.
pub(super) trait Stored {
    fn item(&self, operation: &'static str) -> PortResult<Item>;
}

impl Stored for Request {
    fn item(&self, operation: &'static str) -> PortResult<Item> {
        let item = Item::of(operation, Key::request(self.id), self)?;
        // The request is kept as long as the grant that it may become.
        Ok(item.expiring(self.decide_by.plus(RETENTION_S)))
    }
}

impl Stored for KeyClaim {
    fn item(&self, operation: &'static str) -> PortResult<Item> {
        let item = Item::of(operation, Key::claim(&self.caller, &self.key), self)?;
        Ok(item.with("forgotten_at", text(self.at.plus(KEY_LIFE_S).to_string())).expiring(self.at.plus(KEY_LIFE_S)))
    }
}

impl Stored for Mark {
    fn item(&self, operation: &'static str) -> PortResult<Item> {
        let item = Item::of(operation, Key::mark(self.id), &self.block)?;
        Ok(item.due(list_of(DueRole::Reap, shard_of(self.id)), self.block.at).expiring(self.block.at.plus(MARK_LIFE_S)))
    }
}

impl Stored for Decision {
    fn item(&self, operation: &'static str) -> PortResult<Item> {
        let item = Item::of(operation, Key::decision(self.id), self)?;
        Ok(item.with("n_votes", number(self.votes.len())))
    }
}

impl Stored for Grant {
    fn item(&self, operation: &'static str) -> PortResult<Item> {
        let mut item = Item::of(operation, Key::grant(self.id), self)?
            .with("version", number(self.version))
            .with("state", text(self.state.name()))
            .with("identity_id", text(self.identity.as_str()))
            .with("created_at", text(self.created_at.to_string()));
        if let Some(next_at) = self.due_at() {
            item = item.due(list_of(self.due_role(), shard_of(self.id)), next_at);
        }
        if let Some(drop_at) = self.drop_at() {
            item = item.expiring(drop_at);
        }
        Ok(item)
    }
}

impl Stored for Entry {
    fn item(&self, operation: &'static str) -> PortResult<Item> {
        let key = Key::evidence(self.body.grant, self.body.seq);
        Item::of(operation, key, self)
    }
}

impl Stored for Activation {
    fn item(&self, operation: &'static str) -> PortResult<Item> {
        Item::of(operation, Key::activation(self.id), self)
    }
}

impl Stored for DenyEntry {
    fn item(&self, operation: &'static str) -> PortResult<Item> {
        let key = Key::deny(&self.role_arn, self.grant.to_string());
        let item = Item::of(operation, key, self)?;
        Ok(item.due(DENY_LIST.to_owned(), self.stored_at))
    }
}

impl Stored for AttachmentHolders {
    fn item(&self, operation: &'static str) -> PortResult<Item> {
        let item = Item::of(operation, Key::holders(&self.principal_arn, &self.policy_arn), self)?;
        Ok(item.with("version", number(self.version)))
    }
}

impl Stored for Holdings {
    fn item(&self, operation: &'static str) -> PortResult<Item> {
        let item = Item::of(operation, Key::holdings(&self.sponsor), self)?;
        Ok(item.with("version", number(self.version)))
    }
}

/// Revocations are never deleted: there are few, and each version names the previous one.
impl Stored for Revocation {
    fn item(&self, operation: &'static str) -> PortResult<Item> {
        Item::of(operation, Key::revocation(&self.scope, self.version), self)
    }
}

/// The progress is kept as long as the history of its scope.
impl Stored for Progress {
    fn item(&self, operation: &'static str) -> PortResult<Item> {
        let item = Item::of(operation, Key::progress(&self.scope), self)?;
        Ok(item.with("began_at", text(self.began_at.to_string())))
    }
}

/// A wide block never expires, unlike a mark: it holds until people lift it.
impl Stored for Block {
    fn item(&self, operation: &'static str) -> PortResult<Item> {
        Item::of(operation, Key::block(&self.scope), self)
    }
}

/// A finding expires together with a grant that ended at the same time.
impl Stored for Finding {
    fn item(&self, operation: &'static str) -> PortResult<Item> {
        let item = Item::of(operation, Key::finding(self.seq), self)?;
        Ok(item.expiring(self.at.plus(RETENTION_S)))
    }
}

/// A drill record expires together with its grant. While drills run, the last record is far younger than that. After a
/// pause that long, the drill starts as one that never passed.
impl Stored for Drill {
    fn item(&self, operation: &'static str) -> PortResult<Item> {
        let item = Item::of(operation, Key::drill(self.drilled, self.seq), self)?;
        Ok(item.expiring(self.at.plus(RETENTION_S)))
    }
}

impl Stored for Delegation {
    fn item(&self, operation: &'static str) -> PortResult<Item> {
        let item = Item::of(operation, Key::delegation(&self.by, &self.to, self.version), self)?;
        Ok(item.expiring(self.drop_at()))
    }
}

impl Stored for AwaitedReview {
    /// A use has no expiry: the store keeps it until it is reviewed.
    fn item(&self, operation: &'static str) -> PortResult<Item> {
        let item = Item::of(operation, Key::review(&self.identity, self.grant.to_string()), self)?;
        Ok(item.due(REVIEW_LIST.to_owned(), self.since))
    }
}

impl Stored for TtlBackstop {
    fn item(&self, operation: &'static str) -> PortResult<Item> {
        Ok(Item::of(operation, Key::backstop(self.id), self)?.expiring(self.expires_at))
    }
}

#[cfg(test)]
mod tests {
    use brevet_domain::block::BlockScope;
    use brevet_domain::grant::EndCause;
    use brevet_domain::id::GrantId;
    use brevet_domain::revocation::WideScope;
    use brevet_domain::time::Term;

    use super::*;

    #[test]
    fn an_item_of_another_format_is_unreadable() {
        let item = Item::of("test", Key::reaper_health(), &7).unwrap();
        assert_eq!(item.body::<u8>("test").unwrap(), 7);
        let newer = item.with("v", number(2));
        let error = newer.body::<u8>("test").unwrap_err();
        assert!(error.to_string().contains("format 2"), "{error}");
    }

    /// DynamoDB's TTL never deletes a record that the reaper still needs.
    #[test]
    fn ttl_never_deletes_a_record_that_the_reaper_still_needs() {
        let id: GrantId = "grt_01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap();
        let at = Timestamp::from_seconds(1_795_348_800);
        let ttl = |item: PortResult<Item>| item.unwrap().number("ttl").map(|text| text.parse::<i64>().unwrap());
        let since = |ttl: Option<i64>| ttl.map(|ttl| ttl - at.as_seconds());
        let activation = Activation { id, deadline: at };
        assert_eq!(ttl(activation.item("test")), None, "an activation never expires");
        assert_eq!(ttl(AttachmentHolders::nobody("role", "policy").item("test")), None);
        let (identity, entitlement) = ("ana".parse().unwrap(), "rescue".parse().unwrap());
        let review = AwaitedReview { identity, grant: id, entitlement, since: at };
        assert_eq!(ttl(review.item("test")), None, "a break-glass use does not expire before its review");
        let (role_arn, session_name) = ("role".to_owned(), "dev.x".to_owned());
        let deny = DenyEntry { role_arn, grant: id, session_name, stored_at: at, issued_by: at, leave_at: at };
        assert_eq!(ttl(deny.item("test")), None);
        // A grant lives longest with approval, start and term of half a day each, and the life of its credential.
        let longest_s = i64::from(3 * Term::MAX + 3_600);
        let block = Block { scope: BlockScope::Grant(id), cause: EndCause::Released, by: "olga".parse().unwrap(), at };
        assert!(since(ttl(Mark { id, block }.item("test"))).unwrap() > 2 * longest_s, "a mark outlives its grant");
        let backstop = since(ttl(TtlBackstop::of(id, at).item("test"))).unwrap();
        assert!((61..=3_600).contains(&backstop), "a backstop expires after the schedule could run: {backstop}");
    }

    /// The grants are those of the fuzzer's corpus, one of each state.
    #[test]
    fn a_grant_has_a_ttl_only_after_its_end() {
        let grants = include_str!("../../../../tests/long/fuzz/corpus/grants.json");
        let grants: Vec<Grant> = serde_json::from_str(grants).unwrap();
        let mut n_ended = 0;
        for grant in &grants {
            let item = grant.item("test").unwrap();
            let expected = grant.drop_at().map(|at| at.plus(1).as_seconds().to_string());
            assert_eq!(item.number("ttl").map(str::to_owned), expected, "{}", grant.state.name());
            assert!(expected.is_none() || grant.state.is_terminal(), "{}", grant.state.name());
            n_ended += usize::from(expected.is_some());
        }
        assert!(n_ended >= 4 && grants.len() > n_ended + 10, "{n_ended} of {}", grants.len());
        let scope = WideScope::ALL.as_block().clone();
        let block = Block { scope, cause: EndCause::Killed, by: "olga".parse().unwrap(), at: grants[0].created_at };
        assert_eq!(block.item("test").unwrap().number("ttl"), None, "a wide block never expires");
    }

    #[test]
    fn an_unreadable_body_is_reported_by_position_and_never_by_content() {
        let item = Item::of("test", Key::reaper_health(), &"secret").unwrap();
        let error = item.body::<u8>("test").unwrap_err().to_string();
        assert!(error.contains("HEARTBEAT#reap") && !error.contains("secret"), "{error}");
    }
}
