//! The mapping as data: the IAM actions of an API operation, the resource type of each action, and its condition keys.
//!
//! Source: AWS's Service Authorization Reference,
//! <https://docs.aws.amazon.com/service-authorization/latest/reference/>. A test compares every row with the copy in
//! `decider/facts.json`. DynamoDB's transactions have no action of their own:
//! <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis-iam.html>.

use super::Service;
use super::Service::{DynamoDb, Iam, Lambda, S3, SecretsManager, Sts};

/// One permission of an operation. Some are needed only if the call asks for them, e.g. `sts:TagSession`.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) service: Service,
    /// Spelled as in the API reference.
    pub(crate) operation: &'static str,
    /// Spelled as in the Service Authorization Reference.
    pub(crate) action: &'static str,
    /// The resource type of the Service Authorization Reference; `*` if the action has none.
    pub(crate) resource: &'static str,
    /// The condition keys that the mapping fills as AWS does. A key ending in `/*` stands for all keys with that
    /// prefix.
    pub(crate) keys: &'static [&'static str],
}

impl Row {
    /// Whether the row models `key`.
    pub(crate) fn models(&self, key: &str) -> bool {
        self.keys.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(prefix) => key.starts_with(prefix),
            None => key == *pattern,
        })
    }
}

/// The keys that every call has, or that no role session ever has. The proxy fills them.
pub(crate) const GLOBAL: &[&str] = &[
    "aws:CurrentTime",
    "aws:EpochTime",
    "aws:FederatedProvider",
    "aws:PrincipalAccount",
    "aws:PrincipalArn",
    "aws:PrincipalIsAWSService",
    "aws:PrincipalTag/*",
    "aws:PrincipalType",
    "aws:RequestedRegion",
    "aws:ResourceAccount",
    "aws:SecureTransport",
    "aws:SourceIdentity",
    "aws:SourceIp",
    "aws:TokenIssueTime",
    "aws:UserAgent",
    "aws:ViaAWSService",
    "aws:userid",
    "aws:username",
];

/// Operations that need no permission.
pub(crate) const FREE: &[(Service, &str)] = &[(Sts, "GetCallerIdentity")];

/// The rows of `operation`.
pub(crate) fn rows(service: Service, operation: &str) -> impl Iterator<Item = &'static Row> {
    TABLE.iter().filter(move |row| row.service == service && row.operation == operation)
}

const fn row(
    service: Service,
    operation: &'static str,
    action: &'static str,
    resource: &'static str,
    keys: &'static [&'static str],
) -> Row {
    Row { service, operation, action, resource, keys }
}

const READ: &[&str] = &[
    "dynamodb:Attributes",
    "dynamodb:EnclosingOperation",
    "dynamodb:LeadingKeys",
    "dynamodb:ReturnConsumedCapacity",
    "dynamodb:Select",
];
const WRITE: &[&str] = &[
    "dynamodb:Attributes",
    "dynamodb:EnclosingOperation",
    "dynamodb:LeadingKeys",
    "dynamodb:ReturnConsumedCapacity",
    "dynamodb:ReturnValues",
];
const CONDITION_CHECK: &[&str] =
    &["dynamodb:Attributes", "dynamodb:LeadingKeys", "dynamodb:ReturnConsumedCapacity", "dynamodb:ReturnValues"];
const QUERY: &[&str] = &[
    "dynamodb:Attributes",
    "dynamodb:LeadingKeys",
    "dynamodb:ReturnConsumedCapacity",
    "dynamodb:ReturnValues",
    "dynamodb:Select",
];
const SCAN: &[&str] =
    &["dynamodb:Attributes", "dynamodb:ReturnConsumedCapacity", "dynamodb:ReturnValues", "dynamodb:Select"];
const BATCH_READ: &[&str] =
    &["dynamodb:Attributes", "dynamodb:LeadingKeys", "dynamodb:ReturnConsumedCapacity", "dynamodb:Select"];
const BATCH_WRITE: &[&str] = &["dynamodb:Attributes", "dynamodb:LeadingKeys", "dynamodb:ReturnConsumedCapacity"];
const ROLE: &[&str] = &["aws:ResourceTag/*", "iam:ResourceTag/*"];
const BOUNDED_ROLE: &[&str] = &["aws:ResourceTag/*", "iam:PermissionsBoundary", "iam:ResourceTag/*"];
const ATTACH: &[&str] = &["aws:ResourceTag/*", "iam:PermissionsBoundary", "iam:PolicyARN", "iam:ResourceTag/*"];
const ASSUME: &[&str] = &[
    "aws:RequestTag/*",
    "aws:ResourceTag/*",
    "aws:TagKeys",
    "iam:ResourceTag/*",
    "sts:ExternalId",
    "sts:RoleSessionName",
    "sts:SourceIdentity",
    "sts:TransitiveTagKeys",
];
const TAG_SESSION: &[&str] =
    &["aws:RequestTag/*", "aws:ResourceTag/*", "aws:TagKeys", "iam:ResourceTag/*", "sts:TransitiveTagKeys"];
const SET_SOURCE: &[&str] = &["aws:ResourceTag/*", "iam:ResourceTag/*", "sts:SourceIdentity"];
const IDENTIFY: &[&str] =
    &["aws:RequestTag/*", "aws:TagKeys", "sts:DurationSeconds", "sts:IdentityTokenAudience", "sts:SigningAlgorithm"];
const SECRET: &[&str] = &["aws:ResourceTag/*", "secretsmanager:ResourceTag/*", "secretsmanager:SecretId"];
const SECRET_VALUE: &[&str] = &[
    "aws:ResourceTag/*",
    "secretsmanager:ResourceTag/*",
    "secretsmanager:SecretId",
    "secretsmanager:VersionId",
    "secretsmanager:VersionStage",
];
const ROTATE_SECRET: &[&str] = &[
    "aws:ResourceTag/*",
    "secretsmanager:ModifyRotationRules",
    "secretsmanager:ResourceTag/*",
    "secretsmanager:RotateImmediately",
    "secretsmanager:RotationLambdaARN",
    "secretsmanager:SecretId",
];
const LIST_BUCKET: &[&str] = &["s3:delimiter", "s3:max-keys", "s3:prefix"];
const IF_MATCH: &[&str] = &["s3:if-match"];
const IF_EITHER: &[&str] = &["s3:if-match", "s3:if-none-match"];

/// Every operation that a session may be allowed to call.
pub(crate) const TABLE: &[Row] = &[
    row(DynamoDb, "GetItem", "dynamodb:GetItem", "table", READ),
    row(DynamoDb, "PutItem", "dynamodb:PutItem", "table", WRITE),
    row(DynamoDb, "UpdateItem", "dynamodb:UpdateItem", "table", WRITE),
    row(DynamoDb, "DeleteItem", "dynamodb:DeleteItem", "table", WRITE),
    row(DynamoDb, "Query", "dynamodb:Query", "table", QUERY),
    row(DynamoDb, "Query", "dynamodb:Query", "index", QUERY),
    row(DynamoDb, "Scan", "dynamodb:Scan", "table", SCAN),
    row(DynamoDb, "Scan", "dynamodb:Scan", "index", SCAN),
    row(DynamoDb, "BatchGetItem", "dynamodb:BatchGetItem", "table", BATCH_READ),
    row(DynamoDb, "BatchWriteItem", "dynamodb:BatchWriteItem", "table", BATCH_WRITE),
    row(DynamoDb, "TransactGetItems", "dynamodb:GetItem", "table", READ),
    row(DynamoDb, "TransactWriteItems", "dynamodb:PutItem", "table", WRITE),
    row(DynamoDb, "TransactWriteItems", "dynamodb:UpdateItem", "table", WRITE),
    row(DynamoDb, "TransactWriteItems", "dynamodb:DeleteItem", "table", WRITE),
    row(DynamoDb, "TransactWriteItems", "dynamodb:ConditionCheckItem", "table", CONDITION_CHECK),
    row(DynamoDb, "DescribeTable", "dynamodb:DescribeTable", "table", &[]),
    row(DynamoDb, "DescribeTimeToLive", "dynamodb:DescribeTimeToLive", "table", &[]),
    row(DynamoDb, "DeleteTable", "dynamodb:DeleteTable", "table", &[]),
    row(DynamoDb, "ListTables", "dynamodb:ListTables", "*", &[]),
    row(Iam, "GetRole", "iam:GetRole", "role", BOUNDED_ROLE),
    row(Iam, "GetRolePolicy", "iam:GetRolePolicy", "role", ROLE),
    row(Iam, "ListRolePolicies", "iam:ListRolePolicies", "role", ROLE),
    row(Iam, "ListAttachedRolePolicies", "iam:ListAttachedRolePolicies", "role", ROLE),
    row(Iam, "ListRoleTags", "iam:ListRoleTags", "role", ROLE),
    row(Iam, "ListRoles", "iam:ListRoles", "*", &[]),
    row(Iam, "PutRolePolicy", "iam:PutRolePolicy", "role", BOUNDED_ROLE),
    row(Iam, "DeleteRolePolicy", "iam:DeleteRolePolicy", "role", BOUNDED_ROLE),
    row(Iam, "AttachRolePolicy", "iam:AttachRolePolicy", "role", ATTACH),
    row(Iam, "DetachRolePolicy", "iam:DetachRolePolicy", "role", ATTACH),
    row(Iam, "PutRolePermissionsBoundary", "iam:PutRolePermissionsBoundary", "role", BOUNDED_ROLE),
    row(Iam, "DeleteRolePermissionsBoundary", "iam:DeleteRolePermissionsBoundary", "role", BOUNDED_ROLE),
    row(Iam, "UpdateAssumeRolePolicy", "iam:UpdateAssumeRolePolicy", "role", BOUNDED_ROLE),
    row(Iam, "DeleteRole", "iam:DeleteRole", "role", BOUNDED_ROLE),
    row(Iam, "SimulatePrincipalPolicy", "iam:SimulatePrincipalPolicy", "role", ROLE),
    row(Iam, "GetAccountSummary", "iam:GetAccountSummary", "*", &[]),
    row(Iam, "GetPolicy", "iam:GetPolicy", "policy", &[]),
    row(Iam, "GetPolicyVersion", "iam:GetPolicyVersion", "policy", &[]),
    row(Iam, "ListPolicyVersions", "iam:ListPolicyVersions", "policy", &[]),
    row(Iam, "CreatePolicyVersion", "iam:CreatePolicyVersion", "policy", &[]),
    row(
        Lambda,
        "Invoke",
        "lambda:InvokeFunction",
        "function",
        &["lambda:EventSourceToken", "lambda:InvokedViaFunctionUrl"],
    ),
    row(S3, "GetObject", "s3:GetObject", "object", &[]),
    row(S3, "HeadObject", "s3:GetObject", "object", &[]),
    row(S3, "PutObject", "s3:PutObject", "object", IF_EITHER),
    row(S3, "DeleteObject", "s3:DeleteObject", "object", IF_MATCH),
    row(S3, "ListObjectsV2", "s3:ListBucket", "bucket", LIST_BUCKET),
    row(S3, "ListObjects", "s3:ListBucket", "bucket", LIST_BUCKET),
    row(S3, "HeadBucket", "s3:ListBucket", "bucket", LIST_BUCKET),
    row(S3, "CreateBucket", "s3:CreateBucket", "bucket", &[]),
    row(S3, "DeleteBucket", "s3:DeleteBucket", "bucket", &[]),
    row(S3, "ListBuckets", "s3:ListAllMyBuckets", "*", &[]),
    row(SecretsManager, "GetSecretValue", "secretsmanager:GetSecretValue", "Secret", SECRET_VALUE),
    row(SecretsManager, "DescribeSecret", "secretsmanager:DescribeSecret", "Secret", SECRET),
    row(SecretsManager, "ListSecretVersionIds", "secretsmanager:ListSecretVersionIds", "Secret", SECRET),
    row(SecretsManager, "PutSecretValue", "secretsmanager:PutSecretValue", "Secret", SECRET),
    row(SecretsManager, "UpdateSecret", "secretsmanager:UpdateSecret", "Secret", SECRET),
    row(SecretsManager, "DeleteSecret", "secretsmanager:DeleteSecret", "Secret", SECRET),
    row(SecretsManager, "RotateSecret", "secretsmanager:RotateSecret", "Secret", ROTATE_SECRET),
    row(SecretsManager, "ListSecrets", "secretsmanager:ListSecrets", "*", &[]),
    row(Sts, "AssumeRole", "sts:AssumeRole", "role", ASSUME),
    row(Sts, "AssumeRole", "sts:TagSession", "role", TAG_SESSION),
    row(Sts, "AssumeRole", "sts:SetSourceIdentity", "role", SET_SOURCE),
    row(Sts, "GetWebIdentityToken", "sts:GetWebIdentityToken", "*", IDENTIFY),
];
