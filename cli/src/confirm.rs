//! `brevet confirm`: prints the confirmation that a table is in service, for the deploying role to write.

use std::path::Path;

use brevet_domain::confirmation::{Confirmation, table_identity};
use brevet_domain::time::Timestamp;
use chrono::DateTime;
use serde_json::{Value, json};

use crate::input::read;

/// Returns the item to put, in DynamoDB JSON, from the output of `aws dynamodb describe-table`.
pub(crate) fn confirm(file: &Path, by: &str, is_first: bool) -> Result<String, String> {
    let text = read(file)?;
    item(&text, by, is_first, now()).map_err(|message| format!("{}: {message}", file.display()))
}

#[expect(
    clippy::disallowed_methods,
    reason = "the confirmation carries the time at which the deploying role runs this"
)]
fn now() -> Timestamp {
    Timestamp::from_millis(chrono::Utc::now().timestamp_millis())
}

fn item(text: &str, by: &str, is_first: bool, now: Timestamp) -> Result<String, String> {
    let description: Value = serde_json::from_str(text).map_err(|error| format!("this is not JSON: {error}"))?;
    let hint = "pass the output of `aws dynamodb describe-table`";
    let table = description.get("Table").ok_or_else(|| format!("there is no `Table`; {hint}"))?;
    let arn = table.get("TableArn").and_then(Value::as_str).ok_or_else(|| format!("there is no `TableArn`; {hint}"))?;
    let created = table.get("CreationDateTime").and_then(seconds);
    let created_s = created.ok_or_else(|| format!("there is no `CreationDateTime` that can be read; {hint}"))?;
    if by.is_empty() || by.len() > 200 || by.chars().any(char::is_control) {
        return Err("`--by` must say who confirms it, in 1 to 200 bytes without control characters".to_owned());
    }
    let confirmation = Confirmation { table: table_identity(arn, created_s), at: now, by: by.to_owned(), is_first };
    let body = serde_json::to_string(&confirmation).map_err(|error| error.to_string())?;
    let text = |value: &str| json!({ "S": value });
    let item = json!({ "pk": text("TABLE#confirmed"), "sk": text("-"), "v": { "N": "1" }, "body": text(&body) });
    Ok(item.to_string())
}

/// Whole seconds since 1970. The AWS CLI prints a date; the API returns a number with a fraction.
fn seconds(at: &Value) -> Option<i64> {
    if let Some(text) = at.as_str() {
        return DateTime::parse_from_rfc3339(text).ok().map(|at| at.timestamp());
    }
    at.to_string().split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(created: &Value) -> Result<String, String> {
        let arn = "arn:aws:dynamodb:eu-central-1:000000000000:table/brevet-dev";
        let text = json!({ "Table": { "TableArn": arn, "CreationDateTime": created } }).to_string();
        item(&text, "ana", true, Timestamp::from_seconds(1_795_348_800))
    }

    #[test]
    fn table_identity_is_the_same_for_every_date_format() {
        for created in [
            json!("2026-11-22T12:00:00.987000+00:00"),
            json!("2026-11-22T13:00:00.987000+01:00"),
            json!("2026-11-22T12:00:00Z"),
            json!(1_795_348_800.987),
            json!(1_795_348_800),
        ] {
            let item: Value = serde_json::from_str(&of(&created).unwrap()).unwrap();
            let confirmation: Confirmation = serde_json::from_str(item["body"]["S"].as_str().unwrap()).unwrap();
            let table = &confirmation.table;
            assert!(table.ends_with("table/brevet-dev@1795348800"), "{created}: {table}");
            assert_eq!((confirmation.by.as_str(), item["pk"]["S"].as_str()), ("ana", Some("TABLE#confirmed")));
        }
    }

    #[test]
    fn confirm_refuses_input_that_does_not_describe_a_table() {
        let now = Timestamp::from_seconds(0);
        for (text, missing) in [
            ("[]", "there is no `Table`"),
            (r#"{"Table":{}}"#, "there is no `TableArn`"),
            (r#"{"Table":{"TableArn":"a"}}"#, "there is no `CreationDateTime`"),
            (r#"{"Table":{"TableArn":"a","CreationDateTime":"soon"}}"#, "there is no `CreationDateTime`"),
        ] {
            let error = item(text, "ana", false, now).unwrap_err();
            assert!(error.starts_with(missing) && error.contains("describe-table"), "{error}");
        }
        assert!(item("{", "ana", false, now).unwrap_err().starts_with("this is not JSON"));
        assert!(of(&json!(0)).is_ok());
        let error = item(r#"{"Table":{"TableArn":"a","CreationDateTime":0}}"#, "", false, now).unwrap_err();
        assert!(error.contains("`--by`"), "{error}");
    }
}
