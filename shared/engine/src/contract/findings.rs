//! What the sweep found: a chain that is never written over, and the count that moves with it.

use brevet_domain::count::Count;
use brevet_domain::finding::{Act, Finding, Told, Why};
use brevet_domain::grant::Sighting;
use brevet_domain::place::Place;

use super::samples::at;
use super::store::{Ports, is_conflict};

fn next(last: Option<&Finding>, ports: &Ports) -> Finding {
    let place = Place::Managed { principal_arn: "role".to_owned(), policy_arn: "policy".to_owned() };
    let seen = Sighting { at: at(1), request_id: "r-1".to_owned() };
    let told = Told { place, why: Why::NoHolder, seen, act: Act::RemovalRecorded };
    Finding::next(last, ports.ids.evidence_id(at(1)), told, at(1)).unwrap()
}

/// Each is put where none is; the last one is read, and the latest are listed, newest first.
pub async fn findings_are_a_chain_that_is_never_written_over(ports: &Ports) {
    assert_eq!(ports.findings.last_finding().await.unwrap(), None);
    let mut chain: Vec<Finding> = Vec::new();
    for _ in 0..11 {
        let finding = next(chain.last(), ports);
        ports.findings.add_finding(&finding, None).await.unwrap();
        ports.findings.add_finding(&finding, None).await.unwrap(); // its own earlier attempt
        assert_eq!(ports.findings.last_finding().await.unwrap().as_ref(), Some(&finding));
        chain.push(finding);
    }
    is_conflict(ports.findings.add_finding(&next(chain.get(9), ports), None).await); // somebody was first
    chain.reverse();
    assert_eq!(ports.findings.findings(3).await.unwrap(), chain[..3]);
}

/// Who detaches what nobody holds says so and keeps others from joining in one write, or in none.
pub async fn a_finding_and_its_count_are_written_together_or_not_at_all(ports: &Ports) {
    let principal = format!("arn:aws:iam::000000000000:role/vendor/{}", ports.ids.grant_id(at(0)).ulid());
    let nobody = Count::nobody(&principal, "policy");
    let last = ports.findings.last_finding().await.unwrap();
    let (finding, swept) = (next(last.as_ref(), ports), nobody.swept(at(30)));
    ports.findings.add_finding(&finding, Some(&swept)).await.unwrap();
    assert_eq!(ports.counts.count(&principal, "policy").await.unwrap(), swept);
    // It read the count before the other one wrote it.
    let late = next(Some(&finding), ports);
    is_conflict(ports.findings.add_finding(&late, Some(&nobody.swept(at(60)))).await);
    assert_eq!(ports.findings.last_finding().await.unwrap(), Some(finding));
    assert_eq!(ports.counts.count(&principal, "policy").await.unwrap(), swept);
}
