//! The DynamoDB calls. Each call is watched, and retried after a transaction conflict.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::transact_get_items::TransactGetItemsError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    AttributeValue, CancellationReason, ConditionCheck, Delete, Get, Put, TransactGetItem, TransactWriteItem,
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use brevet_engine::port::{PortError, PortResult};

use super::DynamoStore;
use super::item::Item;
use super::key::Key;
use crate::error::{Watch, unreadable};

/// The pauses before each retry after a transaction conflict, in milliseconds.
///
/// Such a conflict is not a lost race: the other transaction may concern another item of the same request.
const CONFLICT_PAUSES_MS: [u64; 3] = [20, 60, 140];

/// An expression with its values. Attribute names in it are written `#name`.
#[derive(Clone, Debug)]
pub(super) struct Expression {
    pub(super) text: &'static str,
    pub(super) values: Vec<(&'static str, AttributeValue)>,
}

impl Expression {
    pub(super) fn new(text: &'static str) -> Self {
        Self { text, values: Vec::new() }
    }

    pub(super) fn with(mut self, name: &'static str, value: AttributeValue) -> Self {
        self.values.push((name, value));
        self
    }

    /// Maps `#name` to `name` for each name in the text. Some names are reserved words, so all have the `#`.
    pub(super) fn names(&self) -> BTreeMap<String, String> {
        let parts = self.text.split('#').skip(1);
        let names = parts.map(|part| {
            let end = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
            part.split(end).next().unwrap_or_default()
        });
        names.map(|name| (format!("#{name}"), name.to_owned())).collect()
    }

    pub(super) fn values(self) -> Option<Vec<(String, AttributeValue)>> {
        let values = self.values.into_iter();
        let values: Vec<_> = values.map(|(name, value)| (name.to_owned(), value)).collect();
        (!values.is_empty()).then_some(values)
    }
}

/// The item must not exist.
pub(super) fn if_absent() -> Expression {
    Expression::new("attribute_not_exists(#pk)")
}

/// A put with an optional condition, alone or in a transaction.
#[derive(Clone, Debug)]
pub(super) struct PutIf {
    pub(super) item: Item,
    pub(super) condition: Option<Expression>,
}

/// One write of a transaction.
#[derive(Clone, Debug)]
pub(super) enum Write {
    Put(PutIf),
    /// Deletes the item if it exists.
    Delete(Key),
    /// Writes nothing; the condition must hold.
    Check(Key, Expression),
}

/// A page of items, and the key after which the next begins.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) items: Vec<Item>,
    pub(super) last: Option<Item>,
}

#[derive(Clone, Debug)]
pub(super) struct Query {
    pub(super) index: Option<&'static str>,
    pub(super) keys: Expression,
    pub(super) is_descending: bool,
    pub(super) limit: Option<u32>,
    pub(super) after: Option<Item>,
}

impl DynamoStore {
    /// Reads one item consistently.
    pub(super) async fn get(&self, key: Key) -> PortResult<Option<Item>> {
        let watch = Watch::new();
        let answer = self
            .client
            .get_item()
            .table_name(&self.table)
            .set_key(Some(key.attributes().into_iter().collect()))
            .consistent_read(true)
            .customize()
            .interceptor(watch.clone())
            .send()
            .await
            .map_err(|error| watch.classify("dynamodb:GetItem", error))?;
        Ok(answer.item.map(|item| item.into_iter().collect()))
    }

    /// Reads the items of `keys` that exist, all at one instant. Each key may occur only once.
    pub(super) async fn get_all(&self, keys: &[Key]) -> PortResult<Vec<Item>> {
        const OPERATION: &str = "dynamodb:TransactGetItems";
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let gets = keys.iter().map(|key| {
            let attributes = key.clone().attributes().into_iter().collect();
            let get = Get::builder().table_name(&self.table).set_key(Some(attributes)).build()?;
            Ok(TransactGetItem::builder().get(get).build())
        });
        let gets: Vec<_> = gets
            .collect::<Result<_, aws_sdk_dynamodb::error::BuildError>>()
            .map_err(|error| refused(OPERATION, error))?;
        let read = || async {
            let watch = Watch::new();
            let call = self.client.transact_get_items();
            call.set_transact_items(Some(gets.clone()))
                .customize()
                .interceptor(watch.clone())
                .send()
                .await
                .map_err(|error| classify_transact_get(OPERATION, &watch, error))
        };
        let answer = retry_conflicts(read).await?;
        let found = answer.responses.unwrap_or_default().into_iter();
        Ok(found.filter_map(|response| response.item).map(|item| item.into_iter().collect()).collect())
    }

    /// Puts one item. [`PortError::Conflict`] if its condition did not hold, even if an earlier attempt broke it.
    pub(super) async fn put(&self, put: PutIf) -> PortResult<()> {
        retry_conflicts(|| async {
            let watch = Watch::new();
            let PutIf { item, condition } = put.clone();
            let mut call = self.client.put_item().table_name(&self.table).set_item(Some(item.attributes().collect()));
            if let Some(condition) = condition {
                call = call
                    .condition_expression(condition.text)
                    .set_expression_attribute_names(Some(condition.names().into_iter().collect()))
                    .set_expression_attribute_values(condition.values().map(|v| v.into_iter().collect()));
            }
            call.customize()
                .interceptor(watch.clone())
                .send()
                .await
                .map(drop)
                .map_err(|error| classify_single("dynamodb:PutItem", &watch, error))
        })
        .await
    }

    /// Makes all writes or none. [`PortError::Conflict`] if a condition did not hold.
    pub(super) async fn write_all(&self, writes: Vec<Write>) -> PortResult<()> {
        const OPERATION: &str = "dynamodb:TransactWriteItems";
        let items = writes.into_iter().map(|write| {
            let PutIf { item, condition } = match write {
                Write::Put(put) => put,
                Write::Delete(key) => {
                    let attributes = Some(key.attributes().into_iter().collect());
                    let delete = Delete::builder().table_name(&self.table).set_key(attributes).build()?;
                    return Ok(TransactWriteItem::builder().delete(delete).build());
                }
                Write::Check(key, condition) => {
                    let check = ConditionCheck::builder()
                        .table_name(&self.table)
                        .set_key(Some(key.attributes().into_iter().collect()))
                        .condition_expression(condition.text)
                        .set_expression_attribute_names(Some(condition.names().into_iter().collect()))
                        .set_expression_attribute_values(condition.values().map(|v| v.into_iter().collect()))
                        .build()?;
                    return Ok(TransactWriteItem::builder().condition_check(check).build());
                }
            };
            let mut put = Put::builder().table_name(&self.table).set_item(Some(item.attributes().collect()));
            if let Some(condition) = condition {
                put = put
                    .condition_expression(condition.text)
                    .set_expression_attribute_names(Some(condition.names().into_iter().collect()))
                    .set_expression_attribute_values(condition.values().map(|v| v.into_iter().collect()));
            }
            Ok(TransactWriteItem::builder().put(put.build()?).build())
        });
        let items: Vec<_> = items
            .collect::<Result<_, aws_sdk_dynamodb::error::BuildError>>()
            .map_err(|error| refused(OPERATION, error))?;
        retry_conflicts(|| async {
            let watch = Watch::new();
            let call = self.client.transact_write_items();
            call.set_transact_items(Some(items.clone()))
                .customize()
                .interceptor(watch.clone())
                .send()
                .await
                .map(drop)
                .map_err(|error| classify_transact_write(OPERATION, &watch, error))
        })
        .await
    }

    /// Deletes one item if `condition` holds. False if it does not hold.
    pub(super) async fn delete_if(&self, key: Key, condition: Expression) -> PortResult<bool> {
        let deleted = retry_conflicts(|| async {
            let watch = Watch::new();
            let condition = condition.clone();
            self.client
                .delete_item()
                .table_name(&self.table)
                .set_key(Some(key.clone().attributes().into_iter().collect()))
                .condition_expression(condition.text)
                .set_expression_attribute_names(Some(condition.names().into_iter().collect()))
                .set_expression_attribute_values(condition.values().map(|v| v.into_iter().collect()))
                .customize()
                .interceptor(watch.clone())
                .send()
                .await
                .map(drop)
                .map_err(|error| classify_single("dynamodb:DeleteItem", &watch, error))
        });
        condition_held(deleted.await)
    }

    /// Takes one item off its to-do list. False if the item does not exist.
    pub(super) async fn take_off_list(&self, key: Key) -> PortResult<bool> {
        let update = Expression::new("REMOVE #due_pk, #next_at");
        let condition = Expression::new("attribute_exists(#pk)");
        let mut names = update.names();
        names.extend(condition.names());
        let updated = retry_conflicts(|| async {
            let watch = Watch::new();
            self.client
                .update_item()
                .table_name(&self.table)
                .set_key(Some(key.clone().attributes().into_iter().collect()))
                .update_expression(update.text)
                .condition_expression(condition.text)
                .set_expression_attribute_names(Some(names.clone().into_iter().collect()))
                .customize()
                .interceptor(watch.clone())
                .send()
                .await
                .map(drop)
                .map_err(|error| classify_single("dynamodb:UpdateItem", &watch, error))
        });
        condition_held(updated.await)
    }

    /// Reads one page of a query. Reads of the table are consistent; reads of an index are not.
    pub(super) async fn query(&self, query: Query) -> PortResult<Page> {
        const OPERATION: &str = "dynamodb:Query";
        let watch = Watch::new();
        let limit = query.limit.map(|n| i32::try_from(n.max(1)).unwrap_or(i32::MAX));
        let answer = self
            .client
            .query()
            .table_name(&self.table)
            .set_index_name(query.index.map(str::to_owned))
            .consistent_read(query.index.is_none())
            .scan_index_forward(!query.is_descending)
            .key_condition_expression(query.keys.text)
            .set_expression_attribute_names(Some(query.keys.names().into_iter().collect()))
            .set_expression_attribute_values(query.keys.values().map(|v| v.into_iter().collect()))
            .set_limit(limit)
            .set_exclusive_start_key(query.after.map(|item| item.attributes().collect()))
            .customize()
            .interceptor(watch.clone())
            .send()
            .await
            .map_err(|error| watch.classify(OPERATION, error))?;
        let items = answer.items.unwrap_or_default().into_iter();
        Ok(Page {
            items: items.map(|item| item.into_iter().collect()).collect(),
            last: answer.last_evaluated_key.filter(|key| !key.is_empty()).map(|key| key.into_iter().collect()),
        })
    }

    /// Reads every page of a query.
    pub(super) async fn query_all(&self, mut query: Query) -> PortResult<Vec<Item>> {
        let mut items = Vec::new();
        loop {
            let page = self.query(query.clone()).await?;
            items.extend(page.items);
            match page.last {
                Some(last) => query.after = Some(last),
                None => return Ok(items),
            }
        }
    }
}

/// Makes a call, and retries it a few times after transaction conflicts.
async fn retry_conflicts<T, F>(call: impl Fn() -> F) -> PortResult<T>
where
    F: Future<Output = PortResult<T>>,
{
    for pause_ms in CONFLICT_PAUSES_MS {
        match call().await {
            Err(PortError::NotDone { source, .. }) if is_contention(source.as_ref()) => {
                tokio::time::sleep(Duration::from_millis(pause_ms)).await;
            }
            answer => return answer,
        }
    }
    call().await
}

fn is_contention(source: &(dyn std::error::Error + Send + Sync + 'static)) -> bool {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(source);
    while let Some(error) = next {
        if error.is::<Contention>() {
            return true;
        }
        next = error.source();
    }
    false
}

/// Another transaction on the same items was in progress.
#[derive(Debug, thiserror::Error)]
#[error("another transaction on the same items was in progress: {0}")]
struct Contention(String);

/// A condition that does not hold is an answer, not a failure.
pub(super) fn condition_held(answer: PortResult<()>) -> PortResult<bool> {
    match answer {
        Ok(()) => Ok(true),
        Err(PortError::Conflict { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

fn refused(operation: &'static str, error: aws_sdk_dynamodb::error::BuildError) -> PortError {
    PortError::Refused { operation, source: error.into() }
}

/// A single write can also conflict with a transaction.
fn classify_single<E>(operation: &'static str, watch: &Watch, error: SdkError<E, HttpResponse>) -> PortError
where
    E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
{
    let code = error.as_service_error().and_then(ProvideErrorMetadata::code);
    if code == Some("TransactionConflictException") && !watch.is_doubtful() {
        let source = Contention(error.to_string()).into();
        return PortError::NotDone { operation, source };
    }
    watch.classify(operation, error)
}

fn classify_transact_write(
    operation: &'static str,
    watch: &Watch,
    error: SdkError<TransactWriteItemsError, HttpResponse>,
) -> PortError {
    let reasons = match error.as_service_error() {
        Some(TransactWriteItemsError::TransactionCanceledException(e)) => e.cancellation_reasons(),
        _ => return watch.classify(operation, error),
    };
    classify_cancellation(operation, watch, reasons)
}

fn classify_transact_get(
    operation: &'static str,
    watch: &Watch,
    error: SdkError<TransactGetItemsError, HttpResponse>,
) -> PortError {
    let reasons = match error.as_service_error() {
        Some(TransactGetItemsError::TransactionCanceledException(e)) => e.cancellation_reasons(),
        _ => return watch.classify(operation, error),
    };
    classify_cancellation(operation, watch, reasons)
}

/// Classifies a cancelled transaction by the worst of its reasons.
///
/// Source: <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html>
fn classify_cancellation(operation: &'static str, watch: &Watch, reasons: &[CancellationReason]) -> PortError {
    let codes: Vec<&str> = reasons.iter().filter_map(CancellationReason::code).filter(|code| *code != "None").collect();
    let has = |any_of: &[&str]| codes.iter().any(|code| any_of.contains(code));
    let all_codes = codes.join(", ");
    if has(&["ConditionalCheckFailed"]) {
        PortError::Conflict { operation }
    } else if watch.is_doubtful() {
        let source = format!("an earlier attempt got no answer; the last one: {all_codes}").into();
        PortError::Unknown { operation, source }
    } else if has(&["TransactionConflict"]) {
        PortError::NotDone { operation, source: Contention(all_codes).into() }
    } else if has(&["ProvisionedThroughputExceeded", "ThrottlingError"]) {
        PortError::NotDone { operation, source: all_codes.into() }
    } else if codes.is_empty() {
        unreadable(operation, "the transaction was cancelled without a reason")
    } else {
        PortError::Refused { operation, source: all_codes.into() }
    }
}
