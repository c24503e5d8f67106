//! DynamoDB: items, queries, batches and transactions.
//!
//! Sources: <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/specifying-conditions.html>,
//! <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis-iam.html>

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::expression::{attributes, equals};
use super::{Asker, Call, Check, Context, Facts, Needs, Unmapped, put};
use crate::live::TableKeys;

/// The parts of a `TransactWriteItems` entry, with the action of each.
const PARTS: [(&str, &str); 4] = [
    ("Put", "dynamodb:PutItem"),
    ("Update", "dynamodb:UpdateItem"),
    ("Delete", "dynamodb:DeleteItem"),
    ("ConditionCheck", "dynamodb:ConditionCheckItem"),
];
/// Parameters that predate expressions. Not modelled.
const LEGACY: [&str; 7] = [
    "AttributesToGet",
    "AttributeUpdates",
    "ConditionalOperator",
    "Expected",
    "KeyConditions",
    "QueryFilter",
    "ScanFilter",
];

pub(super) fn needs(operation: &str, body: &Value) -> Needs {
    let mut tables = BTreeSet::new();
    let mut want = |request: &Value| {
        if let Some(name) = request.get("TableName").and_then(Value::as_str) {
            tables.insert(table_name(name).to_owned());
        }
    };
    match operation {
        "TransactWriteItems" | "TransactGetItems" => {
            for (_, request) in transaction_parts(body) {
                want(request);
            }
        }
        "BatchGetItem" | "BatchWriteItem" => {
            if let Some(requests) = body.get("RequestItems").and_then(Value::as_object) {
                for name in requests.keys() {
                    want(&json!({ "TableName": name }));
                }
            }
        }
        "GetItem" | "PutItem" | "UpdateItem" | "DeleteItem" | "Query" | "Scan" => want(body),
        _ => {}
    }
    Needs { tables, ..Needs::default() }
}

pub(super) fn map(asker: &Asker<'_>, body: &Value, facts: &Facts) -> Result<Call, Unmapped> {
    match asker.operation {
        "ListTables" => Ok(Call {
            checks: vec![asker.check("dynamodb:ListTables", "*", "*".to_owned(), Context::new())?],
            ..Call::default()
        }),
        "Query" | "Scan" => search(asker, body, facts),
        "BatchGetItem" | "BatchWriteItem" => batch(asker, body, facts),
        "TransactWriteItems" | "TransactGetItems" => transaction(asker, body, facts),
        "GetItem" | "PutItem" | "UpdateItem" | "DeleteItem" => {
            let action = format!("dynamodb:{}", asker.operation);
            let item = Item::of(asker, &action, body, facts)?;
            Ok(Call {
                wrote: item.written(asker, body),
                keys: vec![item.pk],
                checks: vec![item.check],
                n_items: 1,
                ..Call::default()
            })
        }
        // The remaining operations in the table are about tables.
        operation => {
            let table = required(body, "TableName")?;
            let check =
                asker.check(&format!("dynamodb:{operation}"), "table", table_arn(asker, table), Context::new())?;
            Ok(Call { checks: vec![check], ..Call::default() })
        }
    }
}

/// An item that is read or written.
struct Item {
    check: Check,
    pk: String,
    sk: Option<String>,
}

impl Item {
    fn of(asker: &Asker<'_>, action: &str, request: &Value, facts: &Facts) -> Result<Self, Unmapped> {
        modern(request)?;
        let table = required(request, "TableName")?;
        let schema = schema(facts, table)?;
        let whole = request.get("Item").and_then(Value::as_object);
        let item = whole
            .or_else(|| request.get("Key").and_then(Value::as_object))
            .ok_or_else(|| Unmapped::because("it has neither `Item` nor `Key`"))?;
        let pk = item
            .get(&schema.hash)
            .and_then(scalar)
            .ok_or_else(|| Unmapped::because(format!("its item has no `{}`", schema.hash)))?;
        let sk = schema.range.as_ref().and_then(|name| scalar(item.get(name)?));

        let mut context = requested(request);
        put(&mut context, "dynamodb:LeadingKeys", [pk.as_str()]);
        // A read without a projection reads the whole item: AWS then has no attributes to name.
        if action != "dynamodb:GetItem" || request.get("ProjectionExpression").is_some() {
            let mut names: BTreeSet<String> = item.keys().cloned().collect();
            names.extend(expressed(request));
            put(&mut context, "dynamodb:Attributes", names);
        }
        let check = asker.check(action, "table", table_arn(asker, table), context)?;
        Ok(Self { check, pk, sk })
    }

    /// The write, for the call log.
    fn written(&self, asker: &Asker<'_>, body: &Value) -> Option<Value> {
        (asker.operation != "GetItem")
            .then(|| json!({ "items": [self.as_written()], "token": body.get("ClientRequestToken") }))
    }

    fn as_written(&self) -> Value {
        let action = self.check.action.trim_start_matches("dynamodb:");
        json!({ "action": action, "pk": self.pk, "sk": self.sk })
    }
}

fn transaction(asker: &Asker<'_>, body: &Value, facts: &Facts) -> Result<Call, Unmapped> {
    let mut call = Call::default();
    let mut written = Vec::new();
    for (action, request) in transaction_parts(body) {
        let mut item = Item::of(asker, action, request, facts)?;
        if action != "dynamodb:ConditionCheckItem" {
            put(&mut item.check.context, "dynamodb:EnclosingOperation", [asker.operation]);
        }
        if let Some(capacity) = text(body, "ReturnConsumedCapacity") {
            put(&mut item.check.context, "dynamodb:ReturnConsumedCapacity", [capacity]);
        }
        written.push(item.as_written());
        call.keys.push(item.pk);
        call.checks.push(item.check);
    }
    let n_sent = body.get("TransactItems").and_then(Value::as_array).map_or(0, Vec::len);
    call.n_items = call.checks.len();
    if call.n_items == 0 || call.n_items != n_sent {
        return Err(Unmapped::because("one of its items is of no known kind"));
    }
    if asker.operation == "TransactWriteItems" {
        call.wrote = Some(json!({ "items": written, "token": body.get("ClientRequestToken") }));
    }
    Ok(call)
}

fn transaction_parts(body: &Value) -> Vec<(&'static str, &Value)> {
    body.get("TransactItems")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .flat_map(|entry| {
            let read = entry.get("Get").map(|get| ("dynamodb:GetItem", get));
            PARTS.into_iter().filter_map(|(part, action)| Some((action, entry.get(part)?))).chain(read)
        })
        .collect()
}

/// AWS makes one check a table for a batch, with all leading keys of the table.
fn batch(asker: &Asker<'_>, body: &Value, facts: &Facts) -> Result<Call, Unmapped> {
    let tables = body
        .get("RequestItems")
        .and_then(Value::as_object)
        .filter(|tables| !tables.is_empty())
        .ok_or_else(|| Unmapped::because("it has no `RequestItems`"))?;
    let action = format!("dynamodb:{}", asker.operation);
    let mut call = Call::default();
    let mut written = Vec::new();
    for (table, requests) in tables {
        let schema = schema(facts, table)?;
        let mut keys = BTreeSet::new();
        let mut names: BTreeSet<String> = BTreeSet::new();
        for (kind, item) in batch_items(requests)? {
            let pk = item
                .get(&schema.hash)
                .and_then(scalar)
                .ok_or_else(|| Unmapped::because(format!("an item has no `{}`", schema.hash)))?;
            let sk = schema.range.as_ref().and_then(|name| scalar(item.get(name)?));
            written.push(json!({ "action": kind, "pk": pk, "sk": sk }));
            names.extend(item.keys().cloned());
            keys.insert(pk);
        }
        let mut context = requested(body);
        put(&mut context, "dynamodb:LeadingKeys", keys.clone());
        if asker.operation == "BatchWriteItem" || requests.get("ProjectionExpression").is_some() {
            names.extend(expressed(requests));
            put(&mut context, "dynamodb:Attributes", names);
        }
        call.keys.extend(keys);
        call.checks.push(asker.check(&action, "table", table_arn(asker, table), context)?);
    }
    if asker.operation == "BatchWriteItem" {
        call.wrote = Some(json!({ "items": written }));
    }
    Ok(call)
}

/// The items of a batch, each with the equivalent single call.
type Items<'a> = Vec<(&'static str, &'a Map<String, Value>)>;

fn batch_items(requests: &Value) -> Result<Items<'_>, Unmapped> {
    let unknown_kind = || Unmapped::because("an item of its batch is of no known kind");
    if let Some(writes) = requests.as_array() {
        return writes
            .iter()
            .map(|write| {
                let put = write.pointer("/PutRequest/Item").map(|item| ("PutItem", item));
                let delete = || Some(("DeleteItem", write.pointer("/DeleteRequest/Key")?));
                let (kind, item) = put.or_else(delete).ok_or_else(unknown_kind)?;
                Ok((kind, item.as_object().ok_or_else(unknown_kind)?))
            })
            .collect();
    }
    modern(requests)?;
    requests
        .get("Keys")
        .and_then(Value::as_array)
        .ok_or_else(unknown_kind)?
        .iter()
        .map(|key| Ok(("GetItem", key.as_object().ok_or_else(unknown_kind)?)))
        .collect()
}

fn search(asker: &Asker<'_>, body: &Value, facts: &Facts) -> Result<Call, Unmapped> {
    modern(body)?;
    let table = required(body, "TableName")?;
    let schema = schema(facts, table)?;
    let index = text(body, "IndexName");
    let hash = match index {
        None => &schema.hash,
        Some(name) => schema
            .indexes
            .get(name)
            .ok_or_else(|| Unmapped::because(format!("table `{table}` has no index `{name}`")))?,
    };
    let (kind, resource) = match index {
        None => ("table", table_arn(asker, table)),
        Some(name) => ("index", format!("{}/index/{name}", table_arn(asker, table))),
    };
    let mut context = requested(body);
    let mut names = expressed(body);
    let mut keys = Vec::new();
    if asker.operation == "Query" {
        let condition = required(body, "KeyConditionExpression")?;
        let aliases = body.get("ExpressionAttributeNames").unwrap_or(&Value::Null);
        let key = equals(condition, aliases, hash)
            .and_then(|value| scalar(body.get("ExpressionAttributeValues")?.get(&value)?))
            .ok_or_else(|| Unmapped::because(format!("its key condition does not fix `{hash}`")))?;
        names.extend(attributes(condition, aliases));
        put(&mut context, "dynamodb:LeadingKeys", [key.as_str()]);
        keys.push(key);
    }
    if body.get("ProjectionExpression").is_some() {
        put(&mut context, "dynamodb:Attributes", names);
    }
    let action = format!("dynamodb:{}", asker.operation);
    Ok(Call { checks: vec![asker.check(&action, kind, resource, context)?], keys, ..Call::default() })
}

/// The condition keys that the request's own parameters fill.
fn requested(request: &Value) -> Context {
    let mut context = Context::new();
    for (parameter, key) in [
        ("ReturnConsumedCapacity", "dynamodb:ReturnConsumedCapacity"),
        ("ReturnValues", "dynamodb:ReturnValues"),
        ("Select", "dynamodb:Select"),
    ] {
        put(&mut context, key, text(request, parameter));
    }
    context
}

/// The attributes that a request's expressions name.
fn expressed(request: &Value) -> BTreeSet<String> {
    let names = request.get("ExpressionAttributeNames").unwrap_or(&Value::Null);
    ["ConditionExpression", "FilterExpression", "ProjectionExpression", "UpdateExpression"]
        .into_iter()
        .filter_map(|parameter| text(request, parameter))
        .flat_map(|expression| attributes(expression, names))
        .collect()
}

fn modern(request: &Value) -> Result<(), Unmapped> {
    match LEGACY.iter().find(|name| request.get(**name).is_some()) {
        Some(name) => Err(Unmapped::because(format!("`{name}` is not modelled"))),
        None => Ok(()),
    }
}

fn schema<'a>(facts: &'a Facts, table: &str) -> Result<&'a TableKeys, Unmapped> {
    facts
        .tables
        .get(table_name(table))
        .and_then(Option::as_ref)
        .ok_or_else(|| Unmapped::because(format!("there is no table `{table}` whose keys it could name")))
}

/// `TableName` may be an ARN.
fn table_name(name: &str) -> &str {
    name.split_once(":table/").map_or(name, |(_, name)| name)
}

fn table_arn(asker: &Asker<'_>, name: &str) -> String {
    asker.arn("dynamodb", &format!("table/{}", table_name(name)))
}

/// A key's value: `{"S": "…"}`, `{"N": "…"}` or `{"B": "…"}`.
fn scalar(value: &Value) -> Option<String> {
    ["S", "N", "B"].into_iter().find_map(|kind| value.get(kind)?.as_str().map(str::to_owned))
}

fn text<'a>(request: &'a Value, name: &str) -> Option<&'a str> {
    request.get(name).and_then(Value::as_str)
}

fn required<'a>(request: &'a Value, name: &str) -> Result<&'a str, Unmapped> {
    text(request, name).ok_or_else(|| Unmapped::because(format!("it has no `{name}`")))
}
