//! From a call to what AWS would ask IAM about it: a list of (action, resource, context).
//!
//! Mapping is pure. A call first says what must be looked up ([`Needs`]); with those [`Facts`] it becomes a [`Call`].
//! Which actions an operation needs, on which type of resource, with which condition keys, is data: [`table`].
//! A call that is not in the table, or that carries something the table does not model, is [`Unmapped`].

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

/// Where the call is, for the ARNs of its resources.
#[derive(Clone, Debug)]
pub(crate) struct Place {
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
    /// An ARN, or `*` for actions that have no resource.
    pub(crate) resource: String,
    /// Account of the resource.
    pub(crate) account: String,
    /// The keys that this call has; the keys that every call has are added by the proxy.
    pub(crate) context: Context,
    /// The keys that the mapping knows of: one that is not in `context` is absent in AWS too.
    pub(crate) modelled: Vec<&'static str>,
    /// The policy on the resource that takes part: a role's trust policy.
    pub(crate) resource_policy: Option<Value>,
}

/// A call, understood.
#[derive(Clone, Debug, Default)]
pub(crate) struct Call {
    /// All must be allowed. Empty: the operation needs no permission.
    pub(crate) checks: Vec<Check>,
    /// Partition keys of the items that are touched.
    pub(crate) keys: Vec<String>,
    /// In IAM: the name of the inline policy, or the ARN of the managed one.
    pub(crate) policy: Option<String>,
    /// For `PutRolePolicy`: the document. Never logged.
    pub(crate) document: Option<String>,
    /// For a write: what to reconcile with. Never a credential or a document.
    pub(crate) wrote: Option<Value>,
    /// For `AssumeRole`: what the new session will be.
    pub(crate) assume: Option<Assume>,
    /// AWS would reject this call although the emulator would not: error code and sentence.
    pub(crate) invalid: Option<(&'static str, String)>,
    /// How many items a transaction has.
    pub(crate) n_items: usize,
}

/// What has to be looked up before a call can be mapped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Needs {
    /// Role names.
    pub(crate) roles: BTreeSet<String>,
    /// Table names.
    pub(crate) tables: BTreeSet<String>,
    /// Names or ARNs.
    pub(crate) secrets: BTreeSet<String>,
}

/// What was looked up; `None` for what does not exist.
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

/// Why a call is not mapped; it is refused.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("the gate does not map this call: {0}")]
pub(crate) struct Unmapped(pub(crate) String);

impl Unmapped {
    fn because(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

/// The operation that `call` names, as AWS's API reference spells it.
///
/// # Errors
///
/// [`Unmapped`] if the call names none.
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

/// What must be looked up to map `operation`.
pub(crate) fn needs(service: Service, operation: &str, call: &Inbound) -> Needs {
    match service {
        Service::DynamoDb => dynamodb::needs(operation, &call.json()),
        Service::Iam => iam::needs(&call.form()),
        Service::Sts => sts::needs(&call.form()),
        Service::SecretsManager => secretsmanager::needs(&call.json()),
        Service::S3 | Service::Lambda => Needs::default(),
    }
}

/// Maps `call`, which is `operation` of `service`.
///
/// # Errors
///
/// [`Unmapped`] if the operation is not in the table, or the call holds something that the mapping does not model.
pub(crate) fn map(
    service: Service,
    operation: &str,
    call: &Inbound,
    facts: &Facts,
    place: &Place,
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
    place: &'a Place,
}

impl Asker<'_> {
    /// The question whether `action` is allowed on `resource` of type `kind`.
    ///
    /// # Errors
    ///
    /// [`Unmapped`] if the table has no such row, or `context` has a key that the row does not.
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
        let Place { partition, region, account } = self.place;
        format!("arn:{partition}:{service}:{region}:{account}:{rest}")
    }

    /// As [`Self::arn`], for services without regions.
    fn global_arn(&self, service: &str, rest: &str) -> String {
        let Place { partition, account, .. } = self.place;
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
