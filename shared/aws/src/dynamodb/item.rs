//! Items: how things are written into them.
//!
//! Each carries `v`, the version of its form, and `body`, the thing itself as JSON. Whatever else stands at the top is
//! there for conditions, indexes and expiry, and repeats what the body says.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::AttributeValue;
use brevet_domain::block::Block;
use brevet_domain::count::Count;
use brevet_domain::decision::Decision;
use brevet_domain::delegation::Delegation;
use brevet_domain::deny::DenyEntry;
use brevet_domain::drill::Drill;
use brevet_domain::duties::Holdings;
use brevet_domain::evidence::Entry;
use brevet_domain::finding::Finding;
use brevet_domain::grant::{DueRole, Grant, RETENTION_S};
use brevet_domain::request::Request;
use brevet_domain::review::AwaitedReview;
use brevet_domain::revocation::{Progress, Revocation};
use brevet_domain::time::Timestamp;
use brevet_engine::port::{Activation, Fuse, KeyClaim, Mark, PortResult, shard_of};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::key::Key;
use crate::error::unreadable;

/// The version of every item's form.
const VERSION: &str = "1";

/// How long an idempotency key is remembered, in seconds: 24 h.
const KEY_LIFE_S: u32 = 86_400;

/// How long a mark is kept, in seconds: 30 days, far longer than any grant can live.
const MARK_LIFE_S: u32 = 30 * 86_400;

/// The partition of the index `due` that lists early ends.
pub(super) const DENY_LIST: &str = "deny";

/// The partition of the index `due` that lists uses of break-glass that await their review.
pub(super) const REVIEW_LIST: &str = "review";

pub(super) fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

pub(super) fn number(value: impl ToString) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

/// The partition of the index `due` in which `role` finds a grant; marks are in the reaper's.
pub(super) fn list_of(role: DueRole, shard: u8) -> String {
    match role {
        DueRole::Issue => format!("issue#{shard}"),
        DueRole::Reap => format!("reap#{shard}"),
        DueRole::Rotate => format!("rotate#{shard}"),
    }
}

/// One item.
#[derive(Clone, Debug)]
pub(super) struct Item(BTreeMap<String, AttributeValue>);

impl FromIterator<(String, AttributeValue)> for Item {
    fn from_iter<I: IntoIterator<Item = (String, AttributeValue)>>(attributes: I) -> Self {
        Self(attributes.into_iter().collect())
    }
}

impl Item {
    /// An item at `key` whose body is `thing`.
    pub(super) fn of<T: Serialize>(operation: &'static str, key: Key, thing: &T) -> PortResult<Self> {
        let body = serde_json::to_string(thing).map_err(|e| unreadable(operation, e))?;
        let item: Self = key.attributes().into_iter().collect();
        Ok(item.with("v", AttributeValue::N(VERSION.to_owned())).with("body", text(body)))
    }

    pub(super) fn with(mut self, name: &str, value: AttributeValue) -> Self {
        self.0.insert(name.to_owned(), value);
        self
    }

    /// On a to-do list of the index `due`.
    fn due(self, list: String, next_at: Timestamp) -> Self {
        self.with("due_pk", text(list)).with("next_at", text(next_at.to_string()))
    }

    /// To be dropped by DynamoDB some time after `at`.
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

    /// The thing that it holds.
    pub(super) fn body<T: DeserializeOwned>(&self, operation: &'static str) -> PortResult<T> {
        let name = self.text("pk").unwrap_or_default();
        if self.number("v") != Some(VERSION) {
            let found = self.number("v").unwrap_or("none");
            let what = format!("item `{name}` has form {found}; this version reads form {VERSION}");
            return Err(unreadable(operation, what));
        }
        let body = self.text("body").ok_or_else(|| unreadable(operation, format!("item `{name}` has no body")))?;
        serde_json::from_str(body).map_err(|error| {
            // Where, but not what: bodies are not for logs.
            let place = format!("line {}, column {}", error.line(), error.column());
            unreadable(operation, format!("the body of item `{name}`, {place}"))
        })
    }

    /// The grant that it holds; what stands at the top must agree with it.
    pub(super) fn grant(&self, operation: &'static str) -> PortResult<Grant> {
        let grant: Grant = self.body(operation)?;
        if self.number("version") == Some(grant.version.to_string().as_str())
            && self.text("state") == Some(grant.state.name())
        {
            Ok(grant)
        } else {
            let what = format!("the item of `{}` contradicts its own body", grant.id);
            Err(unreadable(operation, what))
        }
    }
}

/// How each thing is written down.
pub(super) trait Stored {
    fn item(&self, operation: &'static str) -> PortResult<Item>;
}

impl Stored for Request {
    fn item(&self, operation: &'static str) -> PortResult<Item> {
        let item = Item::of(operation, Key::request(self.id), self)?;
        // As long as the grant that it may become.
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

impl Stored for Count {
    fn item(&self, operation: &'static str) -> PortResult<Item> {
        let item = Item::of(operation, Key::count(&self.principal_arn, &self.policy_arn), self)?;
        Ok(item.with("version", number(self.version)))
    }
}

impl Stored for Holdings {
    fn item(&self, operation: &'static str) -> PortResult<Item> {
        let item = Item::of(operation, Key::holdings(&self.sponsor), self)?;
        Ok(item.with("version", number(self.version)))
    }
}

/// Kept for ever, as the latest is: what people stopped is little, and each version names the one before.
impl Stored for Revocation {
    fn item(&self, operation: &'static str) -> PortResult<Item> {
        Item::of(operation, Key::revocation(&self.scope, self.version), self)
    }
}

/// Kept with the history of its scope.
impl Stored for Progress {
    fn item(&self, operation: &'static str) -> PortResult<Item> {
        let item = Item::of(operation, Key::progress(&self.scope), self)?;
        Ok(item.with("began_at", text(self.began_at.to_string())))
    }
}

/// A wide block is no mark: it never expires, and stands until it is lifted.
impl Stored for Block {
    fn item(&self, operation: &'static str) -> PortResult<Item> {
        Item::of(operation, Key::block(&self.scope), self)
    }
}

/// Dropped with what is kept of a grant that ended at the same time.
impl Stored for Finding {
    fn item(&self, operation: &'static str) -> PortResult<Item> {
        let item = Item::of(operation, Key::finding(self.seq), self)?;
        Ok(item.expiring(self.at.plus(RETENTION_S)))
    }
}

/// Dropped with what is kept of its grant. The last one is far younger than that wherever anything is drilled; where nothing
/// was for so long, a drill begins as one that never passed.
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
    /// Without expiry: a use is never forgotten before it was reviewed.
    fn item(&self, operation: &'static str) -> PortResult<Item> {
        let item = Item::of(operation, Key::review(&self.identity, self.grant.to_string()), self)?;
        Ok(item.due(REVIEW_LIST.to_owned(), self.since))
    }
}

impl Stored for Fuse {
    fn item(&self, operation: &'static str) -> PortResult<Item> {
        Ok(Item::of(operation, Key::fuse(self.id), self)?.expiring(self.burns_at))
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
    fn an_item_of_another_form_is_unreadable() {
        let item = Item::of("test", Key::heart(), &7).unwrap();
        assert_eq!(item.body::<u8>("test").unwrap(), 7);
        let newer = item.with("v", number(2));
        let error = newer.body::<u8>("test").unwrap_err();
        assert!(error.to_string().contains("form 2"), "{error}");
    }

    /// What DynamoDB may delete, and from when: never a record that the reaper still needs.
    #[test]
    fn no_ttl_can_remove_what_the_reaper_still_needs() {
        let id: GrantId = "grt_01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap();
        let at = Timestamp::from_seconds(1_795_348_800);
        let ttl = |item: PortResult<Item>| item.unwrap().number("ttl").map(|text| text.parse::<i64>().unwrap());
        let since = |ttl: Option<i64>| ttl.map(|ttl| ttl - at.as_seconds());
        let activation = Activation { id, deadline: at };
        assert_eq!(ttl(activation.item("test")), None, "that a decision was used is never forgotten");
        assert_eq!(ttl(Count::nobody("role", "policy").item("test")), None);
        let (identity, entitlement) = ("ana".parse().unwrap(), "rescue".parse().unwrap());
        let review = AwaitedReview { identity, grant: id, entitlement, since: at };
        assert_eq!(ttl(review.item("test")), None, "a use is never forgotten before it was reviewed");
        let (role_arn, session_name) = ("role".to_owned(), "dev.x".to_owned());
        let deny = DenyEntry { role_arn, grant: id, session_name, stored_at: at, issued_by: at, leave_at: at };
        assert_eq!(ttl(deny.item("test")), None);
        // The longest life of a grant: approval, start and term, each of half a day at most, and its credential.
        let longest_s = i64::from(3 * Term::MAX + 3_600);
        let block = Block { scope: BlockScope::Grant(id), cause: EndCause::Released, by: "olga".parse().unwrap(), at };
        assert!(since(ttl(Mark { id, block }.item("test"))).unwrap() > 2 * longest_s, "a mark outlives its grant");
        let fuse = since(ttl(Fuse::of(id, at).item("test"))).unwrap();
        assert!((61..=3_600).contains(&fuse), "a fuse burns after the deadline, when the schedule has come by: {fuse}");
    }

    /// A grant of each state, as the fuzzer begins with.
    #[test]
    fn a_grant_has_a_ttl_from_its_end_on_and_no_earlier() {
        let grants = include_str!("../../../../tests/long/fuzz/corpus/grants.json");
        let grants: Vec<Grant> = serde_json::from_str(grants).unwrap();
        let mut n_over = 0;
        for grant in &grants {
            let item = grant.item("test").unwrap();
            let wanted = grant.drop_at().map(|at| at.plus(1).as_seconds().to_string());
            assert_eq!(item.number("ttl").map(str::to_owned), wanted, "{}", grant.state.name());
            assert!(wanted.is_none() || grant.state.is_terminal(), "{}", grant.state.name());
            n_over += usize::from(wanted.is_some());
        }
        assert!(n_over >= 4 && grants.len() > n_over + 10, "{n_over} of {}", grants.len());
        let scope = WideScope::ALL.as_block().clone();
        let block = Block { scope, cause: EndCause::Killed, by: "olga".parse().unwrap(), at: grants[0].created_at };
        assert_eq!(block.item("test").unwrap().number("ttl"), None, "what people stopped stays stopped");
    }

    #[test]
    fn a_broken_body_is_told_by_place_and_never_by_content() {
        let item = Item::of("test", Key::heart(), &"secret").unwrap();
        let error = item.body::<u8>("test").unwrap_err().to_string();
        assert!(error.contains("HEART#reap") && !error.contains("secret"), "{error}");
    }
}
