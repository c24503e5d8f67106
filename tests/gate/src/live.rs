//! The state in force now: roles with their documents, the keys of tables, the ARNs of secrets.
//!
//! The gate reads documents from the emulator with the bootstrap key, and keeps them until an IAM write passes. So
//! every IAM write must go through the gate.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use serde_json::{Value, json};

use crate::clock;
use crate::inbound::{decode, encode};
use crate::map::{CallLocation, Facts, Needs};
use crate::strip::without_time_limit;
use crate::upstream::{Ask, NoAnswer, Upstream};
use crate::xml::{self, Element};

/// A policy by name: the own name of an inline policy, the ARN of a managed one.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub(crate) struct Policy {
    pub(crate) name: String,
    pub(crate) policy: Value,
}

/// A role and every document that decides about its permissions.
#[derive(Clone, Debug)]
pub(crate) struct Role {
    /// ARN with the role's path.
    pub(crate) arn: String,
    pub(crate) name: String,
    pub(crate) trust: Value,
    pub(crate) inline: Vec<Policy>,
    pub(crate) attached: Vec<Policy>,
    pub(crate) boundary: Option<Policy>,
    pub(crate) tags: BTreeMap<String, String>,
    /// In seconds.
    pub(crate) max_session_s: u32,
}

/// Names of a table's key attributes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TableKeys {
    pub(crate) hash: String,
    pub(crate) range: Option<String>,
    /// Index name → name of its partition key.
    pub(crate) indexes: BTreeMap<String, String>,
}

/// The attributes of a secret that decisions use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Secret {
    pub(crate) arn: String,
    pub(crate) tags: BTreeMap<String, String>,
}

/// State in force that could not be read. The gate refuses the call that needs it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LiveError {
    #[error(transparent)]
    NoAnswer(#[from] NoAnswer),
    /// The emulator's answer does not fit the request.
    #[error("the emulator's answer to `{call}` cannot be read: {answer}")]
    Unreadable {
        call: String,
        /// The start of the answer.
        answer: String,
    },
}

/// A role, or `None` if it does not exist, with the generation it was read at.
type Kept = (u64, Option<Arc<Role>>);

/// Reads and caches the state in force.
#[derive(Debug)]
pub(crate) struct Live {
    upstream: Upstream,
    localstack: SocketAddr,
    dynamodb: SocketAddr,
    region: String,
    /// Raised before and after each IAM write. A document read at an older generation is not used.
    generation: AtomicU64,
    roles: Mutex<BTreeMap<String, Kept>>,
    /// Role and name of the inline policies that a control run enforces without their time limit, with the document
    /// that was put.
    unlimited: Mutex<BTreeMap<(String, String), Value>>,
    tables: Mutex<BTreeMap<String, TableKeys>>,
}

impl Live {
    pub(crate) fn new(upstream: Upstream, localstack: SocketAddr, dynamodb: SocketAddr, place: &CallLocation) -> Self {
        Self {
            upstream,
            localstack,
            dynamodb,
            region: place.region.clone(),
            generation: AtomicU64::new(0),
            roles: Mutex::default(),
            unlimited: Mutex::default(),
            tables: Mutex::default(),
        }
    }

    /// Drops every cached document: IAM is about to change, or has changed.
    pub(crate) fn iam_changes(&self) {
        self.generation.fetch_add(1, Ordering::SeqCst);
    }

    /// Enforces inline policy `name` of `role` without its time limit as long as it equals `document`. `None` enforces
    /// it as it is.
    pub(crate) fn enforce_unlimited(&self, role: &str, name: &str, document: Option<Value>) {
        let mut unlimited = self.unlimited.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (role.to_owned(), name.to_owned());
        match document {
            Some(document) => drop(unlimited.insert(key, document)),
            None => drop(unlimited.remove(&key)),
        }
    }

    fn in_force(&self, role: &str, name: &str, document: Value) -> Value {
        let unlimited = self.unlimited.lock().unwrap_or_else(PoisonError::into_inner);
        match unlimited.get(&(role.to_owned(), name.to_owned())) {
            Some(put) if *put == document => without_time_limit(&document),
            Some(_) | None => document,
        }
    }

    /// Drops the cached keys of every table.
    pub(crate) fn tables_change(&self) {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Looks up everything in `needs`.
    ///
    /// # Errors
    ///
    /// [`LiveError`] if one of them could not be read. A missing role, table or secret is not an error.
    pub(crate) async fn facts(&self, needs: &Needs) -> Result<Facts, LiveError> {
        let mut facts = Facts::default();
        for name in &needs.roles {
            facts.roles.insert(name.clone(), self.role(name).await?);
        }
        for name in &needs.tables {
            facts.tables.insert(name.clone(), self.table(name).await?);
        }
        for id in &needs.secrets {
            facts.secrets.insert(id.clone(), self.secret(id).await?);
        }
        Ok(facts)
    }

    /// The role `name` with its documents in force.
    ///
    /// # Errors
    ///
    /// [`LiveError`] if not all of them could be read.
    pub(crate) async fn role(&self, name: &str) -> Result<Option<Arc<Role>>, LiveError> {
        let generation = self.generation.load(Ordering::SeqCst);
        let kept = self
            .roles
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(name)
            .filter(|(then, _)| *then == generation)
            .map(|(_, role)| role.clone());
        if let Some(role) = kept {
            return Ok(role);
        }
        let role = self.read_role(name).await?.map(Arc::new);
        self.roles.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), (generation, role.clone()));
        Ok(role)
    }

    async fn read_role(&self, name: &str) -> Result<Option<Role>, LiveError> {
        let by_name = [("RoleName", name)];
        let Some(answer) = self.iam("GetRole", &by_name).await? else {
            return Ok(None);
        };
        let text = |path: &str| answer.text_at(&format!("GetRoleResult/Role/{path}"));
        let unreadable =
            |what: &str| LiveError::Unreadable { call: format!("GetRole {name}"), answer: format!("no {what}") };
        let boundary = match text("PermissionsBoundary/PermissionsBoundaryArn") {
            Some(arn) => Some(self.managed(arn).await?),
            None => None,
        };
        let mut inline = Vec::new();
        for policy in self.members("ListRolePolicies", &by_name, "PolicyNames").await? {
            let of_policy = [("RoleName", name), ("PolicyName", policy.text.as_str())];
            // A policy deleted since the listing is not in force.
            if let Some(answer) = self.iam("GetRolePolicy", &of_policy).await? {
                let document = answer.text_at("GetRolePolicyResult/PolicyDocument").and_then(json_of);
                let document = document.ok_or_else(|| unreadable("inline policy"))?;
                let policy_name = policy.text.clone();
                inline.push(Policy { policy: self.in_force(name, &policy_name, document), name: policy_name });
            }
        }
        let mut attached = Vec::new();
        for policy in self.members("ListAttachedRolePolicies", &by_name, "AttachedPolicies").await? {
            let arn = policy.text_at("PolicyArn").ok_or_else(|| unreadable("policy ARN"))?;
            attached.push(self.managed(arn).await?);
        }
        Ok(Some(Role {
            arn: text("Arn").ok_or_else(|| unreadable("ARN"))?.to_owned(),
            name: name.to_owned(),
            trust: text("AssumeRolePolicyDocument").and_then(json_of).ok_or_else(|| unreadable("trust policy"))?,
            inline,
            attached,
            boundary,
            tags: tags_of(answer.list_at("GetRoleResult/Role/Tags")),
            max_session_s: text("MaxSessionDuration").and_then(|text| text.parse().ok()).unwrap_or(3_600),
        }))
    }

    async fn managed(&self, arn: &str) -> Result<Policy, LiveError> {
        let unreadable = || LiveError::Unreadable { call: format!("policy {arn}"), answer: "no document".to_owned() };
        let policy = self.iam("GetPolicy", &[("PolicyArn", arn)]).await?.ok_or_else(unreadable)?;
        let version = policy.text_at("GetPolicyResult/Policy/DefaultVersionId").ok_or_else(unreadable)?;
        let of_version = [("PolicyArn", arn), ("VersionId", version)];
        let document = self.iam("GetPolicyVersion", &of_version).await?.ok_or_else(unreadable)?;
        Ok(Policy {
            name: arn.to_owned(),
            policy: document
                .text_at("GetPolicyVersionResult/PolicyVersion/Document")
                .and_then(json_of)
                .ok_or_else(unreadable)?,
        })
    }

    async fn members(
        &self,
        operation: &str,
        parameters: &[(&str, &str)],
        list: &str,
    ) -> Result<Vec<Element>, LiveError> {
        let mut all = Vec::new();
        let mut marker: Option<String> = None;
        loop {
            let mut parameters = parameters.to_vec();
            if let Some(marker) = &marker {
                parameters.push(("Marker", marker));
            }
            let Some(answer) = self.iam(operation, &parameters).await? else {
                return Ok(all);
            };
            let at = |path: &str| format!("{operation}Result/{path}");
            all.extend_from_slice(answer.list_at(&at(list)));
            marker = answer.text_at(&at("Marker")).map(str::to_owned);
            let more = answer.text_at(&at("IsTruncated")) == Some("true");
            if !more || marker.is_none() {
                return Ok(all);
            }
        }
    }

    /// An IAM read. `None` if the entity does not exist.
    async fn iam(&self, operation: &str, parameters: &[(&str, &str)]) -> Result<Option<Element>, LiveError> {
        let mut body = format!("Action={operation}&Version=2010-05-08");
        for (name, value) in parameters {
            body.push_str(&format!("&{name}={}", encode(value, b"")));
        }
        let scope = format!("{}/iam", self.region);
        let answer = self.upstream.ask(self.localstack, &scope, Ask::Form(body), clock::now()).await?;
        let text = String::from_utf8_lossy(answer.body());
        if text.contains("<Code>NoSuchEntity</Code>") {
            return Ok(None);
        }
        xml::parse(&text).filter(|_| answer.status().is_success()).map(Some).ok_or_else(|| unreadable(operation, &text))
    }

    async fn table(&self, name: &str) -> Result<Option<TableKeys>, LiveError> {
        let kept = self.tables.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        if kept.is_some() {
            return Ok(kept);
        }
        let answer = self
            .json(self.dynamodb, "dynamodb", "DynamoDB_20120810.DescribeTable", &json!({ "TableName": name }))
            .await?;
        let Some(answer) = answer else {
            return Ok(None);
        };
        let keys = keys_of(&answer).ok_or_else(|| unreadable("DescribeTable", &answer.to_string()))?;
        self.tables.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), keys.clone());
        Ok(Some(keys))
    }

    async fn secret(&self, id: &str) -> Result<Option<Secret>, LiveError> {
        let answer = self
            .json(self.localstack, "secretsmanager", "secretsmanager.DescribeSecret", &json!({ "SecretId": id }))
            .await?;
        let Some(answer) = answer else {
            return Ok(None);
        };
        let arn = answer
            .get("ARN")
            .and_then(Value::as_str)
            .ok_or_else(|| unreadable("DescribeSecret", &answer.to_string()))?;
        let tags = answer
            .get("Tags")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(|tag| {
                let of = |name| tag.get(name).and_then(Value::as_str).map(str::to_owned);
                Some((of("Key")?, of("Value")?))
            })
            .collect();
        Ok(Some(Secret { arn: arn.to_owned(), tags }))
    }

    async fn json(
        &self,
        to: SocketAddr,
        service: &str,
        target: &str,
        body: &Value,
    ) -> Result<Option<Value>, LiveError> {
        let scope = format!("{}/{service}", self.region);
        let ask = Ask::Json { target, body: body.to_string() };
        let answer = self.upstream.ask(to, &scope, ask, clock::now()).await?;
        let text = String::from_utf8_lossy(answer.body());
        if text.contains("ResourceNotFoundException") {
            return Ok(None);
        }
        serde_json::from_str(&text)
            .ok()
            .filter(|_| answer.status().is_success())
            .map(Some)
            .ok_or_else(|| unreadable(target, &text))
    }
}

fn unreadable(call: &str, answer: &str) -> LiveError {
    LiveError::Unreadable { call: call.to_owned(), answer: answer.chars().take(300).collect() }
}

/// A document in IAM's answers: JSON, percent-encoded.
fn json_of(text: &str) -> Option<Value> {
    serde_json::from_str(text).or_else(|_| serde_json::from_str(&decode(text, false))).ok()
}

fn tags_of(list: &[Element]) -> BTreeMap<String, String> {
    list.iter().filter_map(|tag| Some((tag.text_at("Key")?.to_owned(), tag.text_at("Value")?.to_owned()))).collect()
}

fn keys_of(answer: &Value) -> Option<TableKeys> {
    let table = answer.get("Table")?;
    let key = |of: &Value, kind: &str| {
        of.get("KeySchema")?
            .as_array()?
            .iter()
            .find(|key| key.get("KeyType").and_then(Value::as_str) == Some(kind))?
            .get("AttributeName")?
            .as_str()
            .map(str::to_owned)
    };
    let indexes = ["GlobalSecondaryIndexes", "LocalSecondaryIndexes"]
        .iter()
        .filter_map(|name| table.get(*name)?.as_array())
        .flatten()
        .filter_map(|index| {
            let name = index.get("IndexName")?.as_str()?.to_owned();
            Some((name, key(index, "HASH")?))
        })
        .collect();
    Some(TableKeys { hash: key(table, "HASH")?, range: key(table, "RANGE"), indexes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_names_are_read_from_the_schema_of_table_and_index() {
        let answer = json!({ "Table": {
            "KeySchema": [{ "AttributeName": "sk", "KeyType": "RANGE" }, { "AttributeName": "pk", "KeyType": "HASH" }],
            "GlobalSecondaryIndexes": [{ "IndexName": "due", "KeySchema": [
                { "AttributeName": "due_pk", "KeyType": "HASH" }, { "AttributeName": "next_at", "KeyType": "RANGE" }] }],
        } });
        let keys = keys_of(&answer).unwrap();
        assert_eq!((keys.hash.as_str(), keys.range.as_deref()), ("pk", Some("sk")));
        assert_eq!(keys.indexes["due"], "due_pk");
    }

    #[test]
    fn document_is_read_plain_or_percent_encoded() {
        assert_eq!(json_of("%7B%22a%22%3A%20%22b%2Bc%22%7D"), Some(json!({ "a": "b+c" })));
        assert_eq!(json_of("{\"a\": \"100%25\"}"), Some(json!({ "a": "100%25" })));
    }
}
