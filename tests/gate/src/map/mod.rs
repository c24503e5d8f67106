//! Maps a call to AWS's IAM checks: a list of (action, resource, context).
//!
//! Mapping is pure. A call first names the state to look up ([`Needs`]); with those [`Facts`] it becomes a [`Call`].
//! The table ([`table`]) holds the actions of each operation, the resource type of each action, and its condition
//! keys. A call outside the table, or with content that the table does not model, is [`Unmapped`].

mod dynamodb;
mod expression;
mod iam;
mod lambda;
mod s3;
mod secretsmanager;
mod sts;
pub(crate) mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use crate::inbound::Inbound;
use crate::live::{Role, Secret, TableKeys};

pub(crate) use sts::Assume;

/// A service whose calls are mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Service {
    DynamoDb,
    Iam,
    Lambda,
    S3,
    SecretsManager,
    Sts,
}

impl Service {
    /// The service that a `SigV4` credential scope names.
    pub(crate) fn of_scope(name: &str) -> Option<Self> {
        match name {
            "dynamodb" => Some(Self::DynamoDb),
            "iam" => Some(Self::Iam),
            "lambda" => Some(Self::Lambda),
            "s3" => Some(Self::S3),
            "secretsmanager" => Some(Self::SecretsManager),
            "sts" => Some(Self::Sts),
            _ => None,
        }
    }
}

/// Partition, region and account of the call, for the ARNs of its resources.
#[derive(Clone, Debug)]
pub(crate) struct CallLocation {
    pub(crate) partition: String,
    pub(crate) region: String,
    pub(crate) account: String,
}

/// Condition keys and their values.
pub(crate) type Context = BTreeMap<String, Vec<String>>;

/// One question to IAM.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Check {
    /// `service:Action`.
    pub(crate) action: &'static str,
    /// An ARN, or `*` for an action without a resource.
    pub(crate) resource: String,
    /// Account of the resource.
    pub(crate) account: String,
    /// The keys of this call. The proxy adds the keys that every call has.
    pub(crate) context: Context,
    /// The keys that the mapping knows. One of them that is missing in `context` is absent in AWS too.
    pub(crate) modelled: Vec<&'static str>,
    /// The resource-based policy that takes part: a role's trust policy.
    pub(crate) resource_policy: Option<Value>,
}

/// A mapped call.
#[derive(Clone, Debug, Default)]
pub(crate) struct Call {
    /// Every check must be allowed. Empty if the operation needs no permission.
    pub(crate) checks: Vec<Check>,
    /// Partition keys of the items that the call touches.
    pub(crate) keys: Vec<String>,
    /// In IAM: the name of the inline policy, or the ARN of the managed one.
    pub(crate) policy: Option<String>,
    /// For `PutRolePolicy`: the document. Never logged.
    pub(crate) document: Option<String>,
    /// The content of a write, for the reconciliation with the evidence. Never a credential or a document.
    pub(crate) wrote: Option<Value>,
    /// For `AssumeRole`: the new session.
    pub(crate) assume: Option<Assume>,
    /// Set if AWS would reject this call although the emulator would not: error code and message.
    pub(crate) invalid: Option<(&'static str, String)>,
    /// The number of items in a transaction.
    pub(crate) n_items: usize,
}

/// The state to look up before a call can be mapped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Needs {
    /// Role names.
    pub(crate) roles: BTreeSet<String>,
    /// Table names.
    pub(crate) tables: BTreeSet<String>,
    /// Names or ARNs.
    pub(crate) secrets: BTreeSet<String>,
}

/// The state that was looked up. `None` if the role, table or secret does not exist.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    pub(crate) roles: BTreeMap<String, Option<Arc<Role>>>,
    pub(crate) tables: BTreeMap<String, Option<TableKeys>>,
    pub(crate) secrets: BTreeMap<String, Option<Secret>>,
}

impl Facts {
    fn role(&self, name: &str) -> Option<&Role> {
        self.roles.get(name)?.as_deref()
    }
}

/// The reason why a call is not mapped. The gate refuses it.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("the gate does not map this call: {0}")]
pub(crate) struct Unmapped(pub(crate) String);

impl Unmapped {
    fn because(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

/// The operation of `call`, spelled as in AWS's API reference.
///
/// # Errors
///
/// [`Unmapped`] if the call names no operation.
pub(crate) fn operation(service: Service, call: &Inbound) -> Result<String, Unmapped> {
    match service {
        Service::DynamoDb | Service::SecretsManager => call
            .header("x-amz-target")
            .and_then(|target| target.split_once('.'))
            .map(|(_, operation)| operation.to_owned())
            .ok_or_else(|| Unmapped::because("it has no `X-Amz-Target`")),
        Service::Iam | Service::Sts => {
            call.form().field("Action").map(str::to_owned).ok_or_else(|| Unmapped::because("its form has no `Action`"))
        }
        Service::S3 => s3::operation(call).map(str::to_owned),
        Service::Lambda => lambda::operation(call).map(str::to_owned),
    }
}

/// The state to look up before `operation` can be mapped.
pub(crate) fn needs(service: Service, operation: &str, call: &Inbound) -> Needs {
    match service {
        Service::DynamoDb => dynamodb::needs(operation, &call.json()),
        Service::Iam => iam::needs(&call.form()),
        Service::Sts => sts::needs(&call.form()),
        Service::SecretsManager => secretsmanager::needs(&call.json()),
        Service::S3 | Service::Lambda => Needs::default(),
    }
}

/// Maps `call` to the checks of `operation` of `service`.
///
/// # Errors
///
/// [`Unmapped`] if the operation is not in the table, or if the mapping does not model part of the call.
pub(crate) fn map(
    service: Service,
    operation: &str,
    call: &Inbound,
    facts: &Facts,
    place: &CallLocation,
) -> Result<Call, Unmapped> {
    if table::FREE.contains(&(service, operation)) {
        return Ok(Call::default());
    }
    if table::rows(service, operation).next().is_none() {
        return Err(Unmapped::because(format!("`{operation}` is not in the table")));
    }
    let asker = Asker { service, operation, place };
    match service {
        Service::DynamoDb => dynamodb::map(&asker, &call.json(), facts),
        Service::Iam => iam::map(&asker, &call.form(), facts),
        Service::Sts => sts::map(&asker, &call.form(), facts),
        Service::S3 => s3::map(&asker, call),
        Service::SecretsManager => secretsmanager::map(&asker, &call.json(), facts),
        Service::Lambda => lambda::map(&asker, call),
    }
}

/// Builds checks from the table's rows of one operation.
#[derive(Debug)]
struct Asker<'a> {
    service: Service,
    operation: &'a str,
    place: &'a CallLocation,
}

impl Asker<'_> {
    /// The check of `action` on `resource` of type `kind`.
    ///
    /// # Errors
    ///
    /// [`Unmapped`] if the table has no such row, or if `context` has a key that the row lacks.
    fn check(&self, action: &str, kind: &str, resource: String, context: Context) -> Result<Check, Unmapped> {
        let row = table::rows(self.service, self.operation)
            .find(|row| row.action == action && row.resource == kind)
            .ok_or_else(|| {
                Unmapped::because(format!("`{}` as `{action}` on a {kind} is not in the table", self.operation))
            })?;
        if let Some(key) = context.keys().find(|key| !row.models(key)) {
            return Err(Unmapped::because(format!("`{action}` is not mapped with `{key}`")));
        }
        Ok(Check {
            action: row.action,
            resource,
            account: self.place.account.clone(),
            context,
            modelled: row.keys.to_vec(),
            resource_policy: None,
        })
    }

    /// `arn:<partition>:<service>:<region>:<account>:<rest>`.
    fn arn(&self, service: &str, rest: &str) -> String {
        let CallLocation { partition, region, account } = self.place;
        format!("arn:{partition}:{service}:{region}:{account}:{rest}")
    }

    /// Like [`Self::arn`], for services without regions.
    fn global_arn(&self, service: &str, rest: &str) -> String {
        let CallLocation { partition, account, .. } = self.place;
        format!("arn:{partition}:{service}::{account}:{rest}")
    }
}

/// Adds `key` if it has a value.
fn put(context: &mut Context, key: &str, values: impl IntoIterator<Item = impl Into<String>>) {
    let values: Vec<String> = values.into_iter().map(Into::into).collect();
    if !values.is_empty() {
        context.insert(key.to_owned(), values);
    }
}

#[cfg(test)]
mod tests;
