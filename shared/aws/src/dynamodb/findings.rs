//! The findings of the sweep: a chain, each finding put if absent.

use async_trait::async_trait;
use brevet_domain::finding::Finding;
use brevet_domain::holders::AttachmentHolders;
use brevet_engine::port::{Findings, PortResult};

use super::DynamoStore;
use super::grants::put_version;
use super::item::{Stored, text};
use super::key::{FINDINGS, Key};
use super::table::{Expression, PutIf, Query, Write, if_absent};

const QUERY: &str = "dynamodb:Query";
const WRITE: &str = "dynamodb:TransactWriteItems";

#[async_trait]
impl Findings for DynamoStore {
    async fn last_finding(&self) -> PortResult<Option<Finding>> {
        Ok(self.findings(1).await?.into_iter().next())
    }

    async fn add_finding(&self, finding: &Finding, holders: Option<&AttachmentHolders>) -> PortResult<()> {
        let mut writes = vec![Write::Put(PutIf { item: finding.item(WRITE)?, condition: Some(if_absent()) })];
        if let Some(holders) = holders {
            writes.push(put_version(holders, holders.version)?);
        }
        let answer = self.write_all(writes).await;
        self.success_if_stored(answer, Key::finding(finding.seq), finding).await
    }

    async fn findings(&self, limit: u32) -> PortResult<Vec<Finding>> {
        let query = Query {
            index: None,
            keys: Expression::new("#pk = :pk").with(":pk", text(FINDINGS)),
            is_descending: true,
            limit: Some(limit),
            after: None,
        };
        let page = self.query(query).await?;
        page.items.iter().map(|item| item.body(QUERY)).collect()
    }
}
