//! The contract of the sweep's findings: a chain that is never overwritten, and the holders record that changes with
//! it.

use brevet_domain::attachment_target::AttachmentTarget;
use brevet_domain::finding::{Finding, FindingAction, FindingReason, NewFinding};
use brevet_domain::grant::Reading;
use brevet_domain::holders::AttachmentHolders;

use super::samples::at;
use super::store::{Ports, is_conflict};

fn next(last: Option<&Finding>, ports: &Ports) -> Finding {
    let target = AttachmentTarget::Managed { principal_arn: "role".to_owned(), policy_arn: "policy".to_owned() };
    let seen = Reading { at: at(1), request_id: "r-1".to_owned() };
    let new =
        NewFinding { target, reason: FindingReason::NoHolder, reading: seen, action: FindingAction::RemovalRecorded };
    Finding::next(last, ports.ids.evidence_id(at(1)), new, at(1)).unwrap()
}

/// Each finding is stored once. The last one is read, and the latest are listed, newest first.
pub async fn finding_chain_is_never_overwritten(ports: &Ports) {
    assert_eq!(ports.findings.last_finding().await.unwrap(), None);
    let mut chain: Vec<Finding> = Vec::new();
    for _ in 0..11 {
        let finding = next(chain.last(), ports);
        ports.findings.add_finding(&finding, None).await.unwrap();
        ports.findings.add_finding(&finding, None).await.unwrap(); // a repeat of the same finding
        assert_eq!(ports.findings.last_finding().await.unwrap().as_ref(), Some(&finding));
        chain.push(finding);
    }
    is_conflict(ports.findings.add_finding(&next(chain.get(9), ports), None).await); // another writer was first
    chain.reverse();
    assert_eq!(ports.findings.findings(3).await.unwrap(), chain[..3]);
}

/// A finding and the holders record that keeps grants from joining are stored in one write or not at all.
pub async fn finding_and_holders_are_written_together_or_not_at_all(ports: &Ports) {
    let principal = format!("arn:aws:iam::000000000000:role/vendor/{}", ports.ids.grant_id(at(0)).ulid());
    let nobody = AttachmentHolders::nobody(&principal, "policy");
    let last = ports.findings.last_finding().await.unwrap();
    let (finding, swept) = (next(last.as_ref(), ports), nobody.swept(at(30)));
    ports.findings.add_finding(&finding, Some(&swept)).await.unwrap();
    assert_eq!(ports.holders.holders_of(&principal, "policy").await.unwrap(), swept);
    // The holders record was read before the other write.
    let late = next(Some(&finding), ports);
    is_conflict(ports.findings.add_finding(&late, Some(&nobody.swept(at(60)))).await);
    assert_eq!(ports.findings.last_finding().await.unwrap(), Some(finding));
    assert_eq!(ports.holders.holders_of(&principal, "policy").await.unwrap(), swept);
}
