//! What the sweep found: a chain, each link put where none is.

use async_trait::async_trait;
use brevet_domain::count::Count;
use brevet_domain::finding::Finding;
use brevet_engine::port::{Findings, PortResult};

use super::DynamoStore;
use super::grants::next;
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

    async fn add_finding(&self, finding: &Finding, count: Option<&Count>) -> PortResult<()> {
        let mut writes = vec![Write::Put(PutIf { item: finding.item(WRITE)?, condition: Some(if_absent()) })];
        if let Some(count) = count {
            writes.push(next(count, count.version)?);
        }
        let answer = self.write_all(writes).await;
        self.unless_own(answer, Key::finding(finding.seq), finding).await
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
