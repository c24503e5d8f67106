//! The contract suite of the store ports, run on DynamoDB Local.
#![expect(clippy::unwrap_used, reason = "this is test code")]

mod local;

use std::sync::Arc;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection,
    ProjectionType, ScalarAttributeType,
};
use brevet_aws::DynamoStore;
use brevet_engine::contract::store;
use brevet_engine::fake::SeqIds;

/// Creates a table with the keys and indexes of the template's table.
async fn create_table(client: &Client, name: &str) {
    let text = |name: &str| {
        let attribute = AttributeDefinition::builder().attribute_name(name);
        attribute.attribute_type(ScalarAttributeType::S).build().unwrap()
    };
    let keys = |hash: &str, range: &str| {
        [(hash, KeyType::Hash), (range, KeyType::Range)].map(|(name, key_type)| {
            KeySchemaElement::builder().attribute_name(name).key_type(key_type).build().unwrap()
        })
    };
    let index = |name: &str, hash: &str, range: &str, projection: Projection| {
        let index = GlobalSecondaryIndex::builder().index_name(name).projection(projection);
        index.set_key_schema(Some(keys(hash, range).into())).build().unwrap()
    };
    let keys_only = Projection::builder().projection_type(ProjectionType::KeysOnly).build();
    let with_state = Projection::builder().projection_type(ProjectionType::Include).non_key_attributes("state").build();
    client
        .create_table()
        .table_name(name)
        .billing_mode(BillingMode::PayPerRequest)
        .set_attribute_definitions(Some(
            ["pk", "sk", "due_pk", "next_at", "identity_id", "created_at"].map(text).into(),
        ))
        .set_key_schema(Some(keys("pk", "sk").into()))
        .global_secondary_indexes(index("due", "due_pk", "next_at", keys_only))
        .global_secondary_indexes(index("by_identity", "identity_id", "created_at", with_state))
        .send()
        .await
        .unwrap();
}

async fn put(client: Client, table: String, attributes: Vec<(&'static str, String)>) {
    let attributes = attributes.into_iter().map(|(name, value)| (name.to_owned(), AttributeValue::S(value)));
    client.put_item().table_name(table).set_item(Some(attributes.collect())).send().await.unwrap();
}

/// Publishes a bundle as the deploying role does.
fn publisher(client: Client, table: String) -> store::Publish {
    Arc::new(move |bundle| {
        let (client, table) = (client.clone(), table.clone());
        Box::pin(async move {
            let digest = bundle.digest.to_string();
            for (part, body) in bundle.parts {
                let item = vec![("pk", format!("BUNDLE#{digest}")), ("sk", part), ("body", body)];
                put(client.clone(), table.clone(), item).await;
            }
            let item = vec![("pk", "BUNDLE#current".to_owned()), ("sk", "-".to_owned()), ("digest", digest)];
            put(client, table, item).await;
        })
    })
}

/// Confirms a table as the deploying role does.
fn confirmer(client: Client, table: String) -> store::Confirm {
    Arc::new(move |confirmation| {
        let (client, table) = (client.clone(), table.clone());
        Box::pin(async move {
            let text = |value: &str| AttributeValue::S(value.to_owned());
            let body = serde_json::to_string(&confirmation).unwrap();
            let put = client.put_item().table_name(table).item("pk", text("TABLE#confirmed")).item("sk", text("-"));
            put.item("v", AttributeValue::N("1".to_owned())).item("body", text(&body)).send().await.unwrap();
        })
    })
}

async fn ports() -> Option<store::Ports> {
    let url = local::url("BREVET_TEST_DYNAMODB_URL")?;
    let client = Client::new(&local::config(&url).await);
    let table = local::fresh_name("contract");
    create_table(&client, &table).await;
    let publish = publisher(client.clone(), table.clone());
    let confirm = confirmer(client.clone(), table.clone());
    Some(store::Ports::of(Arc::new(DynamoStore::new(client, table)), (publish, confirm), Arc::new(SeqIds::new())))
}

brevet_engine::store_contract!(ports());
