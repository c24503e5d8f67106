//! S3: objects and buckets, path style and virtual-host style.
//!
//! Only plain calls: an access control list, tags, a copy source, a version or a sub-resource needs further
//! permissions and is refused as unmapped.

use super::{Asker, Call, Context, Unmapped, put};
use crate::inbound::{Inbound, decode};

/// Query parameters that need no further permission.
const PLAIN: &[&str] = &[
    "continuation-token",
    "delimiter",
    "encoding-type",
    "fetch-owner",
    "list-type",
    "marker",
    "max-keys",
    "prefix",
    "start-after",
    "x-id",
];
/// Headers that need a further permission.
const NEEDS_MORE: &[&str] = &[
    "x-amz-acl",
    "x-amz-bypass-governance-retention",
    "x-amz-copy-source",
    "x-amz-grant-full-control",
    "x-amz-grant-read",
    "x-amz-grant-read-acp",
    "x-amz-grant-write",
    "x-amz-grant-write-acp",
    "x-amz-object-lock-legal-hold",
    "x-amz-object-lock-mode",
    "x-amz-object-lock-retain-until-date",
    "x-amz-server-side-encryption",
    "x-amz-server-side-encryption-aws-kms-key-id",
    "x-amz-tagging",
    "x-amz-website-redirect-location",
];

pub(super) fn operation(call: &Inbound) -> Result<&'static str, Unmapped> {
    let query = call.query();
    if let Some((name, _)) = query.iter().find(|(name, _)| !PLAIN.contains(&name.as_str())) {
        return Err(Unmapped::because(format!("`?{name}` is not modelled")));
    }
    if let Some(name) = NEEDS_MORE.iter().find(|name| call.headers.contains_key(**name)) {
        return Err(Unmapped::because(format!("`{name}` is not modelled")));
    }
    let is_v2 = query.iter().any(|(name, value)| name == "list-type" && value == "2");
    let (bucket, key) = target(call);
    let operation = match (call.method.as_str(), bucket.is_some(), key.is_some()) {
        ("GET", true, true) => "GetObject",
        ("HEAD", true, true) => "HeadObject",
        ("PUT", true, true) => "PutObject",
        ("DELETE", true, true) => "DeleteObject",
        ("GET", true, false) if is_v2 => "ListObjectsV2",
        ("GET", true, false) => "ListObjects",
        ("HEAD", true, false) => "HeadBucket",
        ("PUT", true, false) => "CreateBucket",
        ("DELETE", true, false) => "DeleteBucket",
        ("GET", false, false) => "ListBuckets",
        (method, _, _) => {
            return Err(Unmapped::because(format!("`{method}` on this path is not modelled")));
        }
    };
    Ok(operation)
}

pub(super) fn map(asker: &Asker<'_>, call: &Inbound) -> Result<Call, Unmapped> {
    let row = super::table::rows(asker.service, asker.operation)
        .next()
        .ok_or_else(|| Unmapped::because("it is not in the table"))?;
    let (bucket, key) = target(call);
    let partition = &asker.place.partition;
    let resource = match (row.resource, bucket, key) {
        ("object", Some(bucket), Some(key)) => format!("arn:{partition}:s3:::{bucket}/{key}"),
        ("bucket", Some(bucket), None) => format!("arn:{partition}:s3:::{bucket}"),
        ("*", None, None) => "*".to_owned(),
        _ => return Err(Unmapped::because("its path does not fit its operation")),
    };
    let mut context = Context::new();
    for (name, value) in call.query() {
        let key = format!("s3:{name}");
        if row.models(&key) {
            put(&mut context, &key, [value]);
        }
    }
    for name in ["if-match", "if-none-match"] {
        let key = format!("s3:{name}");
        if row.models(&key) {
            put(&mut context, &key, call.header(name));
        }
    }
    Ok(Call { checks: vec![asker.check(row.action, row.resource, resource, context)?], ..Call::default() })
}

/// Bucket and key, decoded.
fn target(call: &Inbound) -> (Option<String>, Option<String>) {
    let host = call.header("host").unwrap_or_default();
    let host = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let path = decode(call.path().trim_start_matches('/'), false);
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    match virtual_bucket(host) {
        Some(bucket) => (some(bucket), some(&path)),
        None => match path.split_once('/') {
            Some((bucket, key)) => (some(bucket), some(key)),
            None => (some(&path), None),
        },
    }
}

/// The bucket in a host name such as `<bucket>.s3.us-east-1.…` or `<bucket>.localhost`.
fn virtual_bucket(host: &str) -> Option<&str> {
    if host.parse::<std::net::IpAddr>().is_ok() {
        return None;
    }
    host.split_once(".s3.")
        .or_else(|| host.rsplit_once(".localhost"))
        .map(|(bucket, _)| bucket)
        .filter(|bucket| *bucket != "s3")
}
