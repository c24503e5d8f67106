//! Identities. Each has a human owner, and proofs that no other identity could give.

use std::collections::BTreeMap;

use brevet_domain::id::IdentityId;
use brevet_domain::identity::{Identity, IdentityClass, ProofRule};

use super::delivery;
use super::finding::Findings;
use super::form::{IdentityForm, ProofForm};
use super::forms::{Forms, InFile};

/// GitHub's claims that carry a name, each with the claim that carries its number. A name can be reused after a rename.
///
/// Source: <https://docs.github.com/en/actions/reference/security/oidc>
const RENAMED: [(&str, &str); 3] =
    [("repository", "repository_id"), ("repository_owner", "repository_owner_id"), ("actor", "actor_id")];

/// The issuer of the tokens of GitHub's jobs.
const GITHUB: &str = "https://token.actions.githubusercontent.com";

pub(super) fn compile(
    forms: &Forms,
    findings: &mut Findings,
    warnings: &mut Findings,
) -> BTreeMap<IdentityId, Identity> {
    let mut identities = BTreeMap::new();
    for (n, InFile { file, form }) in forms.identities.iter().enumerate() {
        if form.id.value.as_str() == delivery::SHARED {
            findings.at(file, &form.id, "`shared` cannot be an identity: as a `holder` it means several identities");
        }
        check_owner(file, form, forms, findings);
        if form.proofs.value.is_empty() {
            let message = format!("`{}` has no proofs; add at least one", form.id.value);
            findings.at(file, &form.proofs, message);
        }
        for proof in &form.proofs.value {
            check_proof(file, form, proof, forms, findings);
            check_names(file, proof, forms, warnings);
        }
        for earlier in forms.identities.iter().take(n) {
            check_apart(file, form, earlier, findings);
        }
        identities.insert(form.id.value.clone(), identity(form));
    }
    identities
}

fn identity(form: &IdentityForm) -> Identity {
    let owner = form.owner.as_ref().unwrap_or(&form.id);
    let rule = |proof: &ProofForm| ProofRule {
        issuer: proof.issuer.value.clone(),
        claims: proof.claims.value.clone(),
        task: proof.task.as_ref().map(|task| task.value.clone()),
    };
    Identity {
        id: form.id.value.clone(),
        class: form.class.value,
        owner: owner.value.clone(),
        teams: form.teams.clone(),
        proofs: form.proofs.value.iter().map(rule).collect(),
    }
}

fn check_owner(file: &str, form: &IdentityForm, forms: &Forms, findings: &mut Findings) {
    let (id, class) = (&form.id.value, form.class.value);
    match (&form.owner, class) {
        (None, IdentityClass::Human) => {}
        (Some(owner), IdentityClass::Human) => {
            if owner.value != *id {
                let message =
                    format!("`{id}` is human and so their own owner, not `{}`'s; leave `owner` out", owner.value);
                findings.at(file, owner, message);
            }
        }
        (None, IdentityClass::Pipeline | IdentityClass::Workload | IdentityClass::Agent) => {
            let message = format!("`{id}` has no `owner`; name the human who answers for it");
            findings.at(file, &form.id, message);
        }
        (Some(owner), IdentityClass::Pipeline | IdentityClass::Workload | IdentityClass::Agent) => {
            if forms.identity(&owner.value).is_none() {
                let message =
                    format!("owner `{}` is not registered; the owner must be a human in `identities`", owner.value);
                findings.at(file, owner, message);
            } else if !forms.is_human(&owner.value) {
                let message = format!("owner `{}` is not human; name the person who answers for `{id}`", owner.value);
                findings.at(file, owner, message);
            }
        }
    }
}

fn check_proof(file: &str, form: &IdentityForm, proof: &ProofForm, forms: &Forms, findings: &mut Findings) {
    let issuer = &proof.issuer;
    if !forms.issuers.iter().any(|known| known.form.id.value == issuer.value) {
        let message = format!("issuer `{}` is not in `issuers.yaml`", issuer.value);
        findings.at(file, issuer, message);
    }
    if proof.claims.value.is_empty() {
        let message = format!(
            "a proof of `{}` names no claims, so every token of `{}` would match; name at least one",
            form.id.value, issuer.value
        );
        findings.at(file, &proof.claims, message);
    }
    for (claim, value) in &proof.claims.value {
        if claim.is_empty() || value.is_empty() || value.contains('*') {
            let message = format!("claim `{claim}` must have an exact value; wildcards match nothing but themselves");
            findings.at(file, &proof.claims, message);
        }
    }
    if let Some(task) = proof.task.as_ref().filter(|task| task.value.is_empty()) {
        findings.at(file, task, "`task` is empty; name the claim that holds the task, or leave it out");
    }
}

/// Warns of claims that carry a name if the proof does not also match its number.
fn check_names(file: &str, proof: &ProofForm, forms: &Forms, warnings: &mut Findings) {
    let is_github = forms
        .issuers
        .iter()
        .map(|in_file| &in_file.form)
        .any(|issuer| issuer.id.value == proof.issuer.value && issuer.issuer.value == GITHUB);
    let claims = &proof.claims.value;
    for (name, number) in RENAMED.into_iter().filter(|_| is_github) {
        if claims.contains_key(name) && !claims.contains_key(number) {
            let message =
                format!("claim `{name}` is a name that somebody else can reuse later; match `{number}` as well");
            warnings.at(file, &proof.claims, message);
        }
    }
}

/// Reports two identities that one token could prove.
fn check_apart(file: &str, form: &IdentityForm, earlier: &InFile<IdentityForm>, findings: &mut Findings) {
    for proof in &form.proofs.value {
        for other in &earlier.form.proofs.value {
            let differ = |(claim, value): (&String, &String)| {
                other.claims.value.get(claim).is_some_and(|theirs| theirs != value)
            };
            let apart = proof.claims.value.iter().any(differ);
            if proof.issuer.value == other.issuer.value && !apart {
                let message = format!(
                    "one token of `{}` could prove both `{}` and `{}`; give them a common claim with different values",
                    proof.issuer.value, form.id.value, earlier.form.id.value
                );
                findings.at(file, &proof.claims, message);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::catalogue::compile;
    use crate::tests::example;

    #[test]
    fn github_name_claim_without_its_number_gets_a_warning() {
        let warned = |claim: &str, issuer: &str| {
            let mut sources = example();
            let mut edit = |file: &str, find: &str, replace: &str| {
                let text = sources.0.get_mut(file).unwrap();
                assert!(text.contains(find), "{find}");
                *text = text.replacen(find, replace, 1);
            };
            edit("identities/release-pipeline.yaml", "repository_id: \"74012\"", claim);
            edit("issuers.yaml", "issuer: https://token.actions.githubusercontent.com", issuer);
            let warnings = compile(&sources).unwrap().warnings;
            let on_identities = warnings.iter().filter(|warning| warning.file.starts_with("identities/"));
            on_identities.map(|warning| warning.message.clone()).collect::<Vec<_>>()
        };
        let github = format!("issuer: {}", super::GITHUB);
        assert_eq!(warned("repository_id: \"74012\"", &github), [""; 0]);
        assert_eq!(
            warned("repository: acme/shop", &github),
            ["claim `repository` is a name that somebody else can reuse later; match `repository_id` as well"]
        );
        assert_eq!(warned("repository: acme/shop\n      repository_id: \"74012\"", &github), [""; 0]);
        assert_eq!(
            warned("repository: acme/shop", "issuer: https://jobs.acme.example"),
            [""; 0],
            "the claims of other issuers are unknown"
        );
    }
}
