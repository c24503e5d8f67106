//! One installation over fakes: a pipeline that is allowed at once, an agent that needs approval, people, entitlements.

#![expect(clippy::unwrap_used, reason = "only tests use it")]

use std::sync::Arc;

use async_trait::async_trait;
use brevet_domain::bundle::Schedules;
use brevet_domain::canonical::Digest;
use brevet_domain::decision::{Decision, Outcome, Step, Traits, Verdict};
use brevet_domain::duties::Duties;
use brevet_domain::entitlement::Entitlement;
use brevet_domain::id::{EntitlementId, GrantId, IdentityId};
use brevet_domain::identity::{Audience, AuthContext, Caller, Identity, IdentityClass, ProofSummary};
use brevet_domain::plan::PlanTemplate;
use brevet_domain::reaper_health::{IssuancePolicy, Late, LateGrant, ReaperHealth};
use brevet_domain::request::Request;
use brevet_domain::review::BreakGlassUse;
use brevet_domain::revocation::{Right, WideScope};
use brevet_domain::settings::{Bounds, Deployment};
use brevet_domain::time::Timestamp;
use brevet_engine::catalogue::Catalogue;
use brevet_engine::evaluate::acknowledge::Acknowledging;
use brevet_engine::evaluate::decide::Decider;
use brevet_engine::evaluate::revoke::KillSwitch;
use brevet_engine::fake::{
    Direct, Faults, ManualClock, MemoryPrincipals, MemoryRoles, MemorySecrets, MemoryStore, MemorySts, RecordedUses,
    SeqIds, Watched, bundle_of, run,
};
use brevet_engine::port::{
    Clock, Evaluator, EvaluatorError, IdSource, ProofRefused, ProofVerifier, RawProof, ReaperHealthStore,
    RevocationPolicy,
};
use serde_json::json;

/// Accepts unsigned text as proof: the audience (`ask`, `approvals`, `credentials`), a dot, and the identity.
#[derive(Clone, Debug, Default)]
pub struct NamedProofs {
    /// The registered identities.
    pub registered: Vec<Identity>,
}

#[async_trait]
impl ProofVerifier for NamedProofs {
    async fn verify(&self, proof: &RawProof, audience: Audience, now: Timestamp) -> Result<Caller, ProofRefused> {
        let refused = |code: &'static str, unregistered| ProofRefused {
            code,
            message: format!("the test's token is refused: {code}"),
            unavailable: false,
            unregistered,
        };
        let expected = match audience {
            Audience::Ask => "ask",
            Audience::Approvals => "approvals",
            Audience::Credentials => "credentials",
        };
        let (found, name) = proof.expose().split_once('.').ok_or_else(|| refused("token_malformed", false))?;
        if found != expected {
            return Err(refused("token_audience", false));
        }
        let identity = self.registered.iter().find(|identity| identity.id.as_str() == name);
        let identity = identity.ok_or_else(|| refused("identity_unregistered", true))?.clone();
        let issuer = "test".parse().map_err(|_| refused("issuer_unknown", false))?;
        let proof = ProofSummary::Token {
            issuer,
            subject: name.to_owned(),
            token_digest: Digest::of_bytes(proof.expose().as_bytes()),
            issued_at: now,
            expires_at: now.plus(600),
            auth: AuthContext::default(),
        };
        Ok(Caller { identity, task: None, proof })
    }
}

/// Allows pipelines at once and agents with omar's approval; denies all others.
#[derive(Clone, Debug)]
pub struct ClassPolicy {
    deployment: Deployment,
    entitlements: Vec<Entitlement>,
    registered: Vec<Identity>,
    schedules: Schedules,
    bundle: Digest,
}

#[async_trait]
impl Evaluator for ClassPolicy {
    async fn decide(&self, caller: &Caller, request: &Request, now: Timestamp) -> Result<Verdict, EvaluatorError> {
        let approvers = ["omar".parse().unwrap()].into();
        let outcome = match caller.identity.class {
            IdentityClass::Pipeline => Outcome::Allow,
            IdentityClass::Agent => {
                Outcome::NeedsApproval { steps: vec![Step::single(1, approvers)], deadline: now.plus(600) }
            }
            IdentityClass::Human | IdentityClass::Workload => {
                Outcome::Deny { reason: "no policy allows it".to_owned() }
            }
        };
        let (requester, ask) = (&caller.identity.id, &request.ask);
        let entitlement = self.entitlements.iter().find(|entitlement| entitlement.id == ask.entitlement).unwrap();
        let template =
            PlanTemplate::for_grant(&self.deployment, entitlement, &ask.parameters, requester, None, request.id);
        Ok(Verdict {
            bundle_digest: self.bundle,
            outcome,
            determining: vec!["by-class".to_owned()],
            nearest: None,
            template: Some(template.unwrap()),
            term: ask.term_s,
            start_within_s: entitlement.start_within_s,
            max_renewals: 1,
            traits: Traits::default(),
            duties: Duties::default(),
        })
    }

    async fn registered(&self, id: &IdentityId, _: Timestamp) -> Result<Option<Identity>, EvaluatorError> {
        Ok(self.registered.iter().find(|identity| identity.id == *id).cloned())
    }

    async fn schedules(&self, _: Timestamp) -> Result<Schedules, EvaluatorError> {
        Ok(self.schedules.clone())
    }

    async fn reviewer(
        &self,
        entitlement: &EntitlementId,
        _: Timestamp,
    ) -> Result<Option<BreakGlassUse>, EvaluatorError> {
        let found = self.entitlements.iter().find(|registered| registered.id == *entitlement);
        Ok(found.and_then(Entitlement::break_glass_use))
    }

    async fn may_approve(&self, _: &Caller, _: &Decision, _: Timestamp) -> Result<Vec<String>, EvaluatorError> {
        Ok(vec!["anybody-apart".to_owned()])
    }
}

/// Omar may place blocks, ana may lift them, and both may read them.
#[async_trait]
impl RevocationPolicy for ClassPolicy {
    async fn may(
        &self,
        caller: &Caller,
        right: Right,
        _: &WideScope,
        _: Option<&IdentityId>,
        _: Timestamp,
    ) -> Result<Vec<String>, EvaluatorError> {
        match (caller.identity.id.as_str(), right) {
            ("omar", Right::Place | Right::Read) | ("ana", Right::Lift | Right::Read) => Ok(vec!["by-name".to_owned()]),
            _ => Err(EvaluatorError::Refused("no policy allows it".to_owned())),
        }
    }
}

/// The installation. It starts with a fresh heartbeat of the reaper.
#[derive(Clone, Debug)]
pub struct World {
    /// Records port calls and injects faults.
    pub faults: Arc<Faults>,
    pub clock: Arc<ManualClock>,
    pub store: Arc<MemoryStore>,
    pub sts: Arc<MemorySts>,
    /// Session roles in IAM.
    pub roles: Arc<MemoryRoles>,
    /// Attachment principals in IAM, including [`World::PRINCIPAL`].
    pub principals: Arc<MemoryPrincipals>,
    /// Secrets Manager, without secrets.
    pub secrets: Arc<MemorySecrets>,
    /// Grant and evidence ids.
    pub ids: Arc<SeqIds>,
    /// Registered identities: `bot`, `agent`, their sponsor `dana`, `omar` and `ana`.
    pub proofs: Arc<NamedProofs>,
    /// The bundle in force; the previous one is used for [`World::BUNDLE_MAX_AGE_S`].
    pub catalogue: Arc<Catalogue>,
    /// The reports of an unusable bundle in force.
    pub watched: Arc<Watched>,
    pub deployment: Deployment,
    pub bounds: Bounds,
    policy: ClassPolicy,
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

impl World {
    /// The role that `batch` is attached to.
    pub const PRINCIPAL: &str = "arn:aws:iam::000000000000:role/legacy/batch";

    /// How long the previous bundle is used if the bundle in force cannot be, in seconds.
    pub const BUNDLE_MAX_AGE_S: u32 = 900;

    /// The limits beyond which issuing stops.
    pub const ISSUANCE_POLICY: IssuancePolicy =
        IssuancePolicy { max_age_s: 180, overdue_s: 180, max_overdue: 2, while_overdue: false, is_canary: false };

    #[must_use]
    pub fn new() -> Self {
        let faults = Arc::new(Faults::none());
        let clock = Arc::new(ManualClock::at(Timestamp::from_seconds(1_795_348_800)));
        let store = Arc::new(MemoryStore::new(Arc::clone(&faults)));
        let deployment = Deployment {
            id: "dev".parse().unwrap(),
            account: "000000000000".parse().unwrap(),
            partition: "aws".to_owned(),
            region: "us-east-1".to_owned(),
        };
        let registered = [
            ("bot", IdentityClass::Pipeline, "dana"),
            ("agent", IdentityClass::Agent, "dana"),
            ("dana", IdentityClass::Human, "dana"),
            ("omar", IdentityClass::Human, "omar"),
            ("ana", IdentityClass::Human, "ana"),
        ];
        let registered: Vec<_> = registered.into_iter().map(identity).collect();
        let entitlements = vec![entitlement("deploy"), entitlement("batch")];
        let bundle = bundle_of(&registered, &entitlements);
        let policy = ClassPolicy {
            deployment: deployment.clone(),
            entitlements,
            registered: registered.clone(),
            schedules: Schedules::new(),
            bundle: bundle.digest,
        };
        let principals = Arc::new(MemoryPrincipals::new(Arc::clone(&clock), Arc::clone(&faults)));
        principals.add(Self::PRINCIPAL, Some(&deployment.boundary_arn()));
        let secrets = Arc::new(MemorySecrets::new(Arc::clone(&clock), Arc::clone(&faults)));
        store.publish(bundle);
        let watched = Arc::new(Watched::default());
        run(store.record_heartbeat(&ReaperHealth::first(clock.now()), Some(0))).unwrap().unwrap();
        Self {
            sts: Arc::new(MemorySts::new(Arc::clone(&clock), Arc::clone(&faults))),
            roles: Arc::new(MemoryRoles::new(Arc::clone(&clock), Arc::clone(&faults))),
            principals,
            secrets,
            ids: Arc::new(SeqIds::new()),
            proofs: Arc::new(NamedProofs { registered }),
            catalogue: Arc::new(Catalogue::new(
                Arc::clone(&store) as _,
                Self::BUNDLE_MAX_AGE_S,
                Arc::clone(&watched) as _,
            )),
            watched,
            bounds: Bounds { skew_s: 2, quiet_s: 10, call_s: 8 },
            faults,
            clock,
            store,
            deployment,
            policy,
        }
    }

    /// Builds the evaluator.
    #[must_use]
    pub fn decider(&self) -> Decider {
        Decider::new(
            Arc::clone(&self.proofs) as _,
            Arc::new(self.policy.clone()),
            (
                Arc::clone(&self.store) as _,
                Arc::clone(&self.store) as _,
                Arc::clone(&self.store) as _,
                Arc::clone(&self.store) as _,
            ),
            Arc::new(RecordedUses::default()),
            (Arc::clone(&self.store) as _, Arc::clone(&self.ids) as _),
            self.deployment.clone(),
            self.bounds,
        )
    }

    /// Builds the kill switch.
    #[must_use]
    pub fn kill_switch(&self) -> KillSwitch {
        KillSwitch::new(
            Arc::clone(&self.proofs) as _,
            Arc::new(self.policy.clone()),
            (Arc::clone(&self.store) as _, Arc::clone(&self.store) as _),
        )
    }

    /// Builds the use case that acknowledges overdue grants.
    #[must_use]
    pub fn acknowledging(&self) -> Acknowledging {
        Acknowledging::new(
            Arc::clone(&self.proofs) as _,
            Arc::new(self.policy.clone()),
            Arc::clone(&self.store) as _,
            (Arc::clone(&self.store) as _, Arc::clone(&self.ids) as _),
            Self::ISSUANCE_POLICY.overdue_s,
        )
    }

    /// Declares schedule `id` for `identity`: `batch`, in a window of ten minutes from each full hour.
    pub fn schedule(&mut self, id: &str, identity: &str) {
        let schedule = json!({
            "id": id, "owner": "dana", "description": "every hour", "identity": identity, "cron": "0 * * * *",
            "ask": {"entitlement": "batch", "parameters": {"version": "v1"}, "term_s": 90}, "window_s": 600,
        });
        self.policy.schedules.insert(id.parse().unwrap(), serde_json::from_value(schedule).unwrap());
    }

    /// Builds the evaluator call that intake uses.
    #[must_use]
    pub fn direct(&self) -> Direct<ManualClock> {
        Direct(Arc::new(self.decider()), Arc::clone(&self.clock))
    }

    /// Stores a request for `deploy`, as intake does.
    #[must_use]
    pub fn request(&self) -> Request {
        self.request_for("deploy")
    }

    /// Stores a request for `entitlement`.
    #[must_use]
    pub fn request_for(&self, entitlement: &str) -> Request {
        use brevet_engine::port::RequestStore;

        let now = self.clock.now();
        let ask = json!({"entitlement": entitlement, "parameters": {"version": "v1"}, "term_s": 90});
        let request = Request {
            id: self.ids.grant_id(now),
            ask: serde_json::from_value(ask).unwrap(),
            asked_at: now,
            decide_by: now.plus(60),
        };
        run(self.store.put_request(&request)).unwrap().unwrap()
    }

    /// Stores and decides a grant of `deploy` for the identity in `token`.
    #[must_use]
    pub fn decided(&self, token: &str) -> GrantId {
        self.decided_for(token, "deploy")
    }

    /// Stores and decides a grant of `entitlement` for the identity in `token`.
    #[must_use]
    pub fn decided_for(&self, token: &str, entitlement: &str) -> GrantId {
        let id = self.request_for(entitlement).id;
        run(self.decider().decide(id, &RawProof::new(token), self.clock.now())).unwrap().unwrap();
        id
    }

    /// Records a good pass that found `n` overdue grants on `principal` and no others.
    pub fn overdue_on(&self, principal: &str, n: u64) {
        let now = self.clock.now();
        let late = |_| LateGrant {
            grant: self.ids.grant_id(now),
            principal: Some(principal.to_owned()),
            since: now.minus(Self::ISSUANCE_POLICY.overdue_s.saturating_add(1)),
            acknowledged: false,
        };
        let late = Late { grants: (0..n).map(late).collect(), overflow: None };
        run(self.store.record_heartbeat(&ReaperHealth { late, ..ReaperHealth::first(now) }, None)).unwrap().unwrap();
    }

    /// Dumps the whole store, so that a test can compare two states.
    #[must_use]
    pub fn stored(&self) -> String {
        format!("{:?}", self.store.snapshot())
    }
}

fn identity((id, class, owner): (&str, IdentityClass, &str)) -> Identity {
    let (id, owner) = (id.parse().unwrap(), owner.parse().unwrap());
    Identity { id, class, owner, teams: [].into(), proofs: Vec::new() }
}

/// `deploy` is delivered as a session, `batch` as an inline policy on a principal.
fn entitlement(id: &str) -> Entitlement {
    let session = json!({"session": {"target": "deploy", "credential_s": 900, "iam_allowed": false}});
    let inline = json!({"inline": {"principal_arn": World::PRINCIPAL, "holder": "shared"}});
    let value = json!({
        "id": id, "owner": "dana", "description": "deploys one version",
        "delivery": if id == "batch" { inline } else { session }, "max_term": 3600, "start_within_s": 600,
        "parameters": {"version": {"type": "text", "pattern": "v[0-9]+", "max_length": 8}},
        "statements": [{"actions": ["s3:PutObject"], "resources": ["arn:${partition}:s3:::artifacts/${version}/*"]}],
        "approval": {"count": 1, "within_s": 600},
    });
    serde_json::from_value(value).unwrap()
}
