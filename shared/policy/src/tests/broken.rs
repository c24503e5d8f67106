//! Catalogues with one thing wrong: each is refused, at its place, with what would be right.

use std::fmt::Write;

use super::*;

/// Name; file; text there; what stands in its place.
type Slip = (&'static str, &'static str, &'static str, &'static str);

const DEPLOY: &str = "entitlements/deploy-release.yaml";
const ORDERS: &str = "entitlements/read-orders-table.yaml";
const SYNC: &str = "entitlements/third-party-sync.yaml";
const BATCH: &str = "entitlements/legacy-batch.yaml";
const PIPELINE: &str = "identities/release-pipeline.yaml";
const AGENT: &str = "identities/remediation-agent.yaml";
const ANA: &str = "identities/ana.yaml";
const ISSUERS: &str = "issuers.yaml";
const GENERAL: &str = "policies/general.cedar";
const SECRETS: &str = "policies/read-secret.cedar";

const SLIPS: &[Slip] = &[
    ("not YAML", DEPLOY, "statements:", "statements: ]"),
    ("unknown key in an entitlement", DEPLOY, "max_term_s: 600", "max_term_s: 600\nmax_terms: 1"),
    ("unknown key in a statement", DEPLOY, "  - actions:", "  - effect: Allow\n    actions:"),
    ("NotAction", DEPLOY, "  - actions:", "  - not_actions:"),
    ("unknown key in an identity", AGENT, "class: agent", "class: agent\nmail: a@b.example"),
    ("unknown key in an issuer", ISSUERS, "algorithms: [ES256]", "algorithms: [ES256]\n    audience: x"),
    ("key given twice", DEPLOY, "max_term_s: 600", "max_term_s: 600\nmax_term_s: 700"),
    ("missing key", DEPLOY, "target: release-deploy\n", ""),
    ("two documents", DEPLOY, "${version}/*\n", "${version}/*\n---\nid: other\n"),
    ("a flag that is none", ORDERS, "ticket_required: true", "ticket_required: maybe"),
    ("wrong type", DEPLOY, "max_term_s: 600", "max_term_s: ten minutes"),
    ("not an id", PIPELINE, "owner: dana", "owner: Dana"),
    ("unknown class", AGENT, "class: agent", "class: robot"),
    ("file and id differ", DEPLOY, "id: deploy-release", "id: deploy-releases"),
    ("two issuers of one name", ISSUERS, "id: agents", "id: github"),
    ("two issuers of one `iss`", ISSUERS, "https://agents.acme.example\n", "https://acme.okta.example\n"),
    ("keys over http", ISSUERS, "jwks_uri: https://agents", "jwks_uri: http://agents"),
    ("no keys", ISSUERS, "    jwks_uri: https://acme.okta.example/oauth2/v1/keys\n", ""),
    ("no algorithm", ISSUERS, "[ES256]", "[]"),
    ("HMAC", ISSUERS, "[ES256]", "[HS256]"),
    (
        "private key",
        ISSUERS,
        "jwks_uri: https://agents.acme.example/.well-known/jwks.json",
        "jwks: {keys: [{kty: EC, d: secret}]}",
    ),
    (
        "shared key",
        ISSUERS,
        "jwks_uri: https://agents.acme.example/.well-known/jwks.json",
        "jwks: {keys: [{kty: oct, k: secret}]}",
    ),
    ("empty key set", ISSUERS, "jwks_uri: https://agents.acme.example/.well-known/jwks.json", "jwks: {keys: []}"),
    ("no owner", PIPELINE, "owner: dana\n", ""),
    ("owner not registered", PIPELINE, "owner: dana", "owner: daniel"),
    ("owner is a machine", PIPELINE, "owner: dana", "owner: remediation-agent"),
    ("human with another owner", ANA, "class: human", "class: human\nowner: lea"),
    ("no proofs", ANA, "proofs:\n  - issuer: okta\n    claims:\n      sub: 00u-ana", "proofs: []"),
    ("no claims", ANA, "    claims:\n      sub: 00u-ana", "    claims: {}"),
    ("wildcard in a claim", ANA, "00u-ana", "00u-*"),
    ("issuer unknown", ANA, "okta", "oktar"),
    ("one token, two identities", ANA, "sub: 00u-ana", "sub: 00u-dana"),
    ("one token, two identities, by other claims", ANA, "sub: 00u-ana", "uid: ana"),
    ("entitlement owned by a machine", DEPLOY, "owner: dana", "owner: release-pipeline"),
    ("empty target", DEPLOY, "target: release-deploy", "target: \"\""),
    ("term too long", DEPLOY, "max_term_s: 600", "max_term_s: 43201"),
    ("term too short", DEPLOY, "max_term_s: 600", "max_term_s: 59"),
    ("credential too short", DEPLOY, "credential_s: 900", "credential_s: 600"),
    ("credential too long", DEPLOY, "credential_s: 900", "credential_s: 3601"),
    ("approval by nobody", ORDERS, "count: 1", "count: 0"),
    ("parameter without a pattern", DEPLOY, "    pattern: v[0-9]+\\.[0-9]+\\.[0-9]+\n", ""),
    ("pattern does not compile", DEPLOY, "v[0-9]+\\.", "v([0-9]+\\."),
    ("pattern that is not anchored", DEPLOY, "v[0-9]+\\.[0-9]+\\.[0-9]+", "a)|(b"),
    ("pattern that admits a wildcard", DEPLOY, "v[0-9]+\\.[0-9]+\\.[0-9]+", "v.*"),
    ("parameter too long", DEPLOY, "max_length: 32", "max_length: 257"),
    ("parameter of no length", DEPLOY, "max_length: 32", "max_length: 0"),
    ("parameter never used", DEPLOY, "${version}", "v1"),
    ("parameter that the deployment gives", DEPLOY, "  version:", "  region:"),
    ("unknown variable", DEPLOY, "${version}", "${version}/${tier}"),
    ("IAM's own variable", DEPLOY, "${version}", "${version}/${aws:username}"),
    ("unclosed variable", DEPLOY, "${version}/*", "${version}/${x"),
    ("variable in an action", DEPLOY, "s3:PutObject", "s3:${version}"),
    ("no actions", DEPLOY, "  - actions:\n      - s3:GetObject\n      - s3:PutObject\n", "  - actions: []\n"),
    (
        "no statements",
        ORDERS,
        "statements:\n  - actions:\n      - dynamodb:BatchGetItem\n      - dynamodb:GetItem\n      - dynamodb:Query\n    resources:\n      - arn:${partition}:dynamodb:${region}:${account}:table/orders\n",
        "statements: []\n",
    ),
    ("everything", DEPLOY, "- s3:PutObject", "- \"*\""),
    ("an action of IAM", DEPLOY, "s3:PutObject", "iam:PassRole"),
    ("an action of IAM in capitals", DEPLOY, "s3:PutObject", "IAM:PassRole"),
    ("an action of STS", DEPLOY, "s3:PutObject", "sts:AssumeRole"),
    (
        "no ARN",
        DEPLOY,
        "arn:${partition}:s3:::acme-release-artifacts/${version}/*",
        "acme-release-artifacts/${version}/*",
    ),
    ("session policy that cannot fit", DEPLOY, "    max_length: 32", "    max_length: 256"),
    ("unknown delivery", SYNC, "delivery: managed", "delivery: group"),
    ("delivery forgotten", BATCH, "delivery: inline\n", ""),
    (
        "session's keys on an attachment",
        BATCH,
        "delivery: inline",
        "delivery: inline\ntarget: batch\niam_allowed: true",
    ),
    (
        "attachment's keys on a session",
        DEPLOY,
        "target: release-deploy",
        "target: release-deploy\nprincipal: vendor-sync",
    ),
    (
        "managed policy's name on an inline attachment",
        BATCH,
        "delivery: inline",
        "delivery: inline\npolicy: legacy-batch",
    ),
    ("attachment without a principal", BATCH, "principal: legacy-batch\n", ""),
    ("attachment without a holder", BATCH, "holder: nightly-batch\n", ""),
    ("managed attachment without its policy", SYNC, "policy: vendor-sync\n", ""),
    (
        "principal with a fixed account",
        BATCH,
        "principal: legacy-batch",
        "principal: arn:aws:iam::000000000000:role/batch",
    ),
    (
        "principal that is a user",
        BATCH,
        "principal: legacy-batch",
        "principal: arn:${partition}:iam::${account}:user/batch",
    ),
    (
        "principal that a parameter chooses",
        BATCH,
        "principal: legacy-batch",
        "principal: arn:${partition}:iam::${account}:role/${run}",
    ),
    (
        "principal of an installation by its ARN",
        BATCH,
        "principal: legacy-batch",
        "principal: arn:${partition}:iam::${account}:role/brevet/dev/session/brevet-dev-release-deploy",
    ),
    ("holder not registered", BATCH, "holder: nightly-batch", "holder: weekly-batch"),
    ("holder who can never ask", BATCH, "holder: nightly-batch", "holder: acme-sync"),
    ("two holders of one principal", SYNC, "principal: vendor-sync", "principal: legacy-batch"),
    (
        "one principal, single and shared",
        SYNC,
        "principal: vendor-sync\nholder: acme-sync",
        "principal: legacy-batch\nholder: shared",
    ),
    (
        "managed with parameters",
        SYNC,
        "[partner/*]\n",
        "[\"${partner}/*\"]\nparameters: {partner: {pattern: \"[a-z]+\", max_length: 9}}\n",
    ),
    ("managed for too long", SYNC, "max_term_s: 900", "max_term_s: 3601"),
    ("attachment of IAM", BATCH, "s3:PutObject", "iam:CreateAccessKey"),
    ("attachment of STS", SYNC, "s3:ListBucket", "sts:AssumeRole"),
    ("attachment of everything", BATCH, "- s3:PutObject", "- \"*\""),
    (
        "attachment with a time limit of its own",
        BATCH,
        "${run}/*\n",
        "${run}/*\n    conditions:\n      DateLessThan:\n        aws:CurrentTime: [\"2030-01-01T00:00:00Z\"]\n",
    ),
    (
        "attachment with the limit's operator in other letters",
        BATCH,
        "${run}/*\n",
        "${run}/*\n    conditions:\n      datelessthan:\n        aws:TokenIssueTime: [\"2030-01-01T00:00:00Z\"]\n",
    ),
    (
        "attachment with nothing to try",
        BATCH,
        "      - s3:GetObject\n      - s3:PutObject",
        "      - s3:Get*\n      - s3:Put*",
    ),
    ("inline policy that cannot fit", BATCH, "max_length: 40", "max_length: 256"),
    ("not Cedar", GENERAL, "forbid (", "forbids ("),
    ("no @id", SECRETS, "@id(\"security-approves-secrets\")\n", ""),
    ("an @id that is no name", SECRETS, "security-approves-secrets", "Security approves secrets"),
    ("two @ids in one file", SECRETS, "security-approves-secrets", "remediation-reads-secrets"),
    ("two @ids in two files", SECRETS, "security-approves-secrets", "agents-work-on-a-task"),
    ("template", SECRETS, "principal in Brevet::Team::\"security\"", "principal in ?principal"),
    ("optional attribute not guarded", SECRETS, "context has task && context.hasTicket", "context.task == \"x\""),
    ("unknown attribute", GENERAL, "principal.class == \"human\"", "principal.klass == \"human\""),
    ("unknown action", SECRETS, "action == Brevet::Action::\"approve\"", "action == Brevet::Action::\"approves\""),
    ("policy that never applies", GENERAL, "principal.class == \"human\"", "false"),
    ("unknown team", SECRETS, "Team::\"security\"", "Team::\"sekurity\""),
    (
        "unknown entitlement",
        SECRETS,
        "resource.entitlement == Brevet::Entitlement::\"read-secret\"",
        "resource.entitlement == Brevet::Entitlement::\"read-secrets\"",
    ),
    (
        "unknown identity",
        "policies/deploy-release.cedar",
        "Identity::\"release-pipeline\"",
        "Identity::\"release-pipelines\"",
    ),
    (
        "a grant by name",
        SECRETS,
        "resource.entitlement == Brevet::Entitlement::\"read-secret\"",
        "resource == Brevet::Grant::\"grt_x\"",
    ),
    ("too few may approve", ORDERS, "count: 1", "count: 3"),
    ("nobody may approve", SECRETS, "Team::\"security\"", "Team::\"remediation\""),
];

#[test]
fn the_example_compiles_and_always_to_the_same_bundle() {
    assert_eq!(compile(&example()).unwrap(), example_text());
    // Neither where a policy stands nor in what order changes what it means.
    let mut moved = example();
    let secrets = moved.0.remove(SECRETS).unwrap();
    let general = moved.0.get_mut(GENERAL).unwrap();
    *general = format!("{secrets}\n{general}");
    assert_eq!(compile(&moved).unwrap().digest, example_text().digest);
}

#[test]
fn each_slip_is_refused_at_its_place_with_what_would_be_right() {
    let mut told = String::new();
    for (name, file, find, replace) in SLIPS {
        let mut sources = example();
        let text = sources.0.get_mut(*file).unwrap();
        assert!(text.contains(find), "{name}: `{find}` is not in {file}");
        *text = text.replacen(find, replace, 1);
        if *name == "inline policy that cannot fit" {
            let line = "      - arn:${partition}:s3:::acme-batch-out/${run}/*\n";
            let many: String = (0..40).map(|n| line.replace("acme", &format!("acme-{n}"))).collect();
            *text = text.replacen(line, &many, 1);
        }
        if *name == "session policy that cannot fit" {
            let line = "      - arn:${partition}:s3:::acme-release-artifacts/${version}/*\n";
            let many: String = (0..8).map(|n| line.replace("acme", &format!("acme-{n}"))).collect();
            *text = text.replacen(line, &many, 1);
        }
        let error = compile(&sources).expect_err(name);
        writeln!(told, "# {name}\n{error}\n").unwrap();
    }
    assert_golden(&told, include_str!("broken.golden"), "broken.golden");
}

#[test]
fn no_identity_bears_the_word_for_several_holders() {
    let mut sources = example();
    let text = sources.0.remove("identities/acme-sync.yaml").unwrap();
    sources.0.insert("identities/shared.yaml".to_owned(), text.replace("id: acme-sync", "id: shared"));
    let error = compile(&sources).unwrap_err().to_string();
    assert!(
        error.contains(
            "identities/shared.yaml:2:5: no identity can be called `shared`: as a holder the word means several"
        ),
        "{error}"
    );
}

#[test]
fn a_folder_with_something_that_does_not_belong_is_refused() {
    let dir = std::env::temp_dir().join(format!("brevet-catalogue-{}", std::process::id()));
    std::fs::create_dir_all(dir.join("identities")).unwrap();
    std::fs::write(dir.join("identities/ana.yml"), "").unwrap();
    std::fs::write(dir.join("policy.cedar"), "").unwrap();
    let error = Sources::read(&dir).unwrap_err().to_string();
    std::fs::remove_dir_all(&dir).unwrap();
    assert_eq!(
        error,
        "identities/ana.yml: files in `identities` must end in `.yaml`\n\
         policy.cedar: this is no part of a catalogue; it has `issuers.yaml`, `identities`, `entitlements`, `policies`, `cases` and `README.md`"
    );
    assert!(Sources::read(&dir).unwrap_err().to_string().starts_with(".: the folder cannot be read"));
}
