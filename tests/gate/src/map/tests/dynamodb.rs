//! DynamoDB: the leading keys and attributes in the checks of items, queries, batches and transactions.

use super::*;

const TABLE_ARN: &str = "arn:aws:dynamodb:us-east-1:000000000000:table/brevet-dev";

#[test]
fn put_is_checked_with_its_leading_key_and_attributes() {
    let call = dynamodb(
        "PutItem",
        &json!({ "TableName": "brevet-dev",
        "Item": { "pk": { "S": "GRANT#1" }, "sk": { "S": "META" }, "body": { "S": "{}" } },
        "ConditionExpression": "attribute_not_exists(#p) OR version = :v", "ExpressionAttributeNames": { "#p": "pk" },
        "ReturnValues": "NONE" }),
    )
    .unwrap();
    assert_eq!(asked(&call), [("dynamodb:PutItem", TABLE_ARN)]);
    let context = &call.checks[0].context;
    assert_eq!(context["dynamodb:LeadingKeys"], ["GRANT#1"]);
    assert_eq!(context["dynamodb:Attributes"], ["body", "pk", "sk", "version"]);
    assert_eq!(context["dynamodb:ReturnValues"], ["NONE"]);
    assert_eq!(call.wrote.unwrap()["items"], json!([{ "action": "PutItem", "pk": "GRANT#1", "sk": "META" }]));
}

#[test]
fn transaction_is_checked_for_each_of_its_items() {
    let key = |pk: &str| json!({ "pk": { "S": pk }, "sk": { "S": "-" } });
    let call = dynamodb("TransactWriteItems", &json!({ "ClientRequestToken": "t", "TransactItems": [
        { "Put": { "TableName": "brevet-dev", "Item": key("ACT#1") } },
        { "Update": { "TableName": "brevet-dev", "Key": key("GRANT#1"), "UpdateExpression": "SET #v = :v" } },
        { "Delete": { "TableName": "brevet-dev", "Key": key("BACKSTOP#1") } },
        { "ConditionCheck": { "TableName": "brevet-dev", "Key": key("BLOCK#all"), "ConditionExpression": "attribute_not_exists(pk)" } },
    ] })).unwrap();
    assert_eq!(
        asked(&call),
        [
            ("dynamodb:PutItem", TABLE_ARN),
            ("dynamodb:UpdateItem", TABLE_ARN),
            ("dynamodb:DeleteItem", TABLE_ARN),
            ("dynamodb:ConditionCheckItem", TABLE_ARN)
        ]
    );
    assert_eq!(call.keys, ["ACT#1", "GRANT#1", "BACKSTOP#1", "BLOCK#all"]);
    assert_eq!(call.checks[0].context["dynamodb:EnclosingOperation"], ["TransactWriteItems"]);
    assert_eq!(call.n_items, 4);
    assert_eq!(call.wrote.unwrap()["items"].as_array().unwrap().len(), 4);
}

#[test]
fn transaction_with_an_unknown_part_is_unmapped() {
    let refused = dynamodb(
        "TransactWriteItems",
        &json!({ "TransactItems": [
        { "Put": { "TableName": "brevet-dev", "Item": { "pk": { "S": "a" } } } }, { "Explode": {} } ] }),
    );
    assert!(refused.unwrap_err().to_string().contains("no known kind"));
}

#[test]
fn query_is_checked_with_the_key_it_fixes_on_the_table_or_its_index() {
    let query = |index: Option<&str>, condition: &str| {
        let mut body = json!({ "TableName": "brevet-dev", "KeyConditionExpression": condition,
            "ExpressionAttributeNames": { "#k": "due_pk" }, "ExpressionAttributeValues": { ":k": { "S": "reap#0" }, ":t": { "S": "x" } } });
        if let Some(index) = index {
            body["IndexName"] = json!(index);
        }
        dynamodb("Query", &body)
    };
    let on_index = query(Some("due"), "#k = :k AND next_at <= :t").unwrap();
    assert_eq!(asked(&on_index), [("dynamodb:Query", &*format!("{TABLE_ARN}/index/due"))]);
    assert_eq!(on_index.checks[0].context["dynamodb:LeadingKeys"], ["reap#0"]);
    let on_table = query(None, "pk = :k AND begins_with(sk, :t)").unwrap();
    assert_eq!(asked(&on_table), [("dynamodb:Query", TABLE_ARN)]);
    assert!(query(None, "#k = :k").is_err(), "the table's own key is not fixed");
    assert!(query(Some("other"), "pk = :k").is_err(), "no such index");
}

#[test]
fn batch_is_checked_once_with_all_its_leading_keys() {
    let call = dynamodb(
        "BatchGetItem",
        &json!({ "RequestItems": { "brevet-dev": { "Keys": [
        { "pk": { "S": "BLOCK#a" }, "sk": { "S": "-" } }, { "pk": { "S": "HEARTBEAT#reap" }, "sk": { "S": "-" } } ] } } }),
    )
    .unwrap();
    assert_eq!(asked(&call), [("dynamodb:BatchGetItem", TABLE_ARN)]);
    assert_eq!(call.checks[0].context["dynamodb:LeadingKeys"], ["BLOCK#a", "HEARTBEAT#reap"]);
}
