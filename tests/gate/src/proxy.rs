//! The way of one call through the gate: authenticate, map, decide, forward, answer, log.

use std::net::SocketAddr;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use chrono::SubsecRound;
use http::Response;
use http_body_util::Full;
use serde_json::{Value, json};

use crate::caller::{Caller, Session, Sessions};
use crate::clock;
use crate::config::Config;
use crate::decide::{Decider, Outcome, Question, Verdict};
use crate::effect::{self, Ended};
use crate::fault::{Faults, Kind, Rule};
use crate::identify::{self, Issuer};
use crate::inbound::Inbound;
use crate::live::Live;
use crate::map::{self, Call, CallLocation, Context, Service};
use crate::record::{Asked, Decision, Entry, Happened, Record};
use crate::refuse::Refusal;
use crate::sigv4::{self, UnverifiedSignature};
use crate::simulate;
use crate::upstream::Upstream;
use crate::vend;
use crate::xml;

/// The gate's parts.
#[derive(Debug)]
pub(crate) struct Gate {
    pub(crate) config: Config,
    pub(crate) decider: Decider,
    pub(crate) live: Live,
    pub(crate) upstream: Upstream,
    pub(crate) sessions: Sessions,
    pub(crate) faults: Faults,
    pub(crate) record: Record,
    /// The address of the token issuer, if one runs.
    pub(crate) issuer: Issuer,
    /// The number of correct verdicts in the battery.
    pub(crate) n_verdicts: usize,
}

/// The gate closes the connection without an answer.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[error("closed without an answer")]
pub(crate) struct Dropped;

/// Held while the caller's connection waits for its answer.
#[derive(Debug)]
pub(crate) struct Connected;

/// How a call ends.
enum End {
    Answer(Response<Bytes>),
    Refuse(Refusal),
    Drop,
}

/// An authenticated and mapped call, ready for the decision.
struct Known {
    claimed: UnverifiedSignature,
    service: Option<Service>,
    caller: Caller,
    call: Call,
}

impl Gate {
    /// Handles `inbound` to its end and logs it, even if its caller hung up. `caller` shows whether the caller is
    /// still connected.
    ///
    /// # Errors
    ///
    /// [`Dropped`] if the gate must close the connection without an answer.
    pub(crate) async fn handle(
        &self,
        inbound: Inbound,
        caller: Weak<Connected>,
    ) -> Result<Response<Full<Bytes>>, Dropped> {
        let n = self.record.arrival();
        let mut entry = Entry::arrived(n, clock::millis(clock::now()));
        let mut service = None;
        let end = self.pass(&inbound, &mut entry, &mut service).await;
        let answer = match end {
            End::Answer(answer) => Ok(answer.map(Full::new)),
            End::Refuse(refusal) => {
                let id = format!("gate-{n:08}");
                entry.error_code = Some(refusal.code(service));
                entry.request_id = Some(id.clone());
                Ok(refusal.answer(service, &id))
            }
            End::Drop => Err(Dropped),
        };
        // A fault that loses the answer also loses a refusal.
        let answer = match entry.fault.as_ref().map(|fault| fault.kind) {
            Some(Kind::DropAfter | Kind::KillAfter) => Err(Dropped),
            Some(_) | None => answer,
        };
        entry.answered = answer.is_ok() && caller.strong_count() > 0;
        entry.done_at = clock::millis(clock::now());
        if let Err(error) = self.record.write(entry) {
            tracing::error!("the call log cannot be written: {error}");
            return Err(Dropped);
        }
        answer
    }

    async fn pass(&self, inbound: &Inbound, entry: &mut Entry, service: &mut Option<Service>) -> End {
        // 1. Authenticate the caller and map the call.
        let mut known = match self.understand(inbound, entry, service).await {
            Ok(known) => known,
            Err(refusal) => return End::Refuse(refusal),
        };

        // 2. Apply faults on the way to the service.
        let fault = self.faults.due(known.service, &entry.operation, known.caller.name(), &known.call);
        entry.fault = fault.as_ref().map(|rule| Happened { id: rule.id.clone(), kind: rule.kind });
        let transaction = entry.operation.starts_with("Transact");
        if let Some(ended) = effect::before(fault.as_ref(), known.call.n_items, transaction).await {
            entry.decision = Decision::Fault;
            return match ended {
                Ended::Refused(refusal) => End::Refuse(refusal),
                Ended::Dropped => End::Drop,
            };
        }

        // A delayed call is decided by the state at its arrival.
        if fault.as_ref().is_some_and(|rule| rule.kind == Kind::Delay)
            && let Err(refusal) = self.map_again(&mut known, inbound, entry).await
        {
            return End::Refuse(refusal);
        }

        // 3. Decide.
        if let Err(refusal) = self.decide(&known, inbound, entry).await {
            effect::after(fault.as_ref()).await;
            return End::Refuse(refusal);
        }

        // 4. Forward, or answer here.
        let answer = if simulate::is_ours(known.service, &entry.operation) {
            self.simulate(inbound, entry).await
        } else if identify::is_ours(known.service, &entry.operation) {
            self.identify(&known.caller, inbound, entry).await
        } else {
            let inbound = self.strip(known.service, inbound, entry, fault.as_ref());
            self.forward(&known, &inbound, entry, fault.as_ref()).await
        };

        // 5. Apply faults on the way back.
        effect::after(fault.as_ref()).await;
        match answer {
            Ok(answer) => End::Answer(answer),
            Err(refusal) => End::Refuse(refusal),
        }
    }

    /// Authenticates the caller and maps the call.
    async fn understand(
        &self,
        inbound: &Inbound,
        entry: &mut Entry,
        service: &mut Option<Service>,
    ) -> Result<Known, Refusal> {
        let claimed = sigv4::parse(inbound).map_err(|error| noted(entry, Refusal::Unsigned(error.to_string())))?;
        *service = Service::of_scope(&claimed.service);
        entry.of_service(&claimed.service, *service);
        let operation = service.map(|service| map::operation(service, inbound));
        if let Some(Ok(operation)) = &operation {
            entry.operation.clone_from(operation);
        }
        let caller = self.sessions.verify(&claimed, inbound, clock::now()).map_err(|refusal| noted(entry, refusal))?;
        caller.name().clone_into(&mut entry.principal);
        let bypasses = match &caller {
            Caller::Bootstrap => true,
            Caller::Session(session) => {
                entry.access_key_id = Some(session.access_key.clone());
                false
            }
        };
        let mapped = match (*service, operation) {
            (Some(service), Some(Ok(operation))) => self.map(service, &operation, inbound, &claimed.region).await,
            (_, Some(Err(unmapped))) => Err((Decision::Unmapped, unmapped.to_string())),
            (_, None) | (None, Some(Ok(_))) => {
                Err((Decision::Unmapped, format!("the gate does not map the service `{}`", claimed.service)))
            }
        };
        let call = match mapped {
            Ok(call) => call,
            // The deploying administrator may make calls that no session makes.
            Err((_, why)) if bypasses => {
                entry.reason = Some(why);
                Call::default()
            }
            Err((decision, why)) => {
                entry.decision = decision;
                entry.reason = Some(why.clone());
                return Err(Refusal::Denied(why));
            }
        };
        entry.actions = call
            .checks
            .iter()
            .map(|check| Asked { action: check.action.to_owned(), resource: check.resource.clone() })
            .collect();
        entry.wrote.clone_from(&call.wrote);
        Ok(Known { claimed, service: *service, caller, call })
    }

    /// Maps `known` once more if it was mapped.
    async fn map_again(&self, known: &mut Known, inbound: &Inbound, entry: &mut Entry) -> Result<(), Refusal> {
        if let Some(service) = known.service.filter(|_| !known.call.checks.is_empty()) {
            let mapped = self.map(service, &entry.operation, inbound, &known.claimed.region).await;
            known.call = mapped.map_err(|(decision, why)| {
                entry.decision = decision;
                entry.reason = Some(why.clone());
                Refusal::Denied(why)
            })?;
        }
        Ok(())
    }

    async fn map(
        &self,
        service: Service,
        operation: &str,
        inbound: &Inbound,
        region: &str,
    ) -> Result<Call, (Decision, String)> {
        let needs = map::needs(service, operation, inbound);
        let facts = self.live.facts(&needs).await.map_err(|error| (Decision::Denied, error.to_string()))?;
        let place = CallLocation {
            partition: self.config.partition.clone(),
            region: region.to_owned(),
            account: self.config.account.clone(),
        };
        map::map(service, operation, inbound, &facts, &place)
            .map_err(|unmapped| (Decision::Unmapped, unmapped.to_string()))
    }

    /// Returns if `known` is allowed; otherwise the refusal.
    async fn decide(&self, known: &Known, inbound: &Inbound, entry: &mut Entry) -> Result<(), Refusal> {
        let session = match &known.caller {
            Caller::Bootstrap => {
                entry.decision = Decision::Bypassed;
                return Ok(());
            }
            Caller::Session(session) => session,
        };
        let verdict = match self.verdict(session, known, inbound).await {
            Ok(verdict) => verdict,
            Err(why) => {
                entry.decision = Decision::Denied;
                entry.denied_by = Some("gate".to_owned());
                entry.reason = Some(why.clone());
                return Err(Refusal::Denied(why));
            }
        };
        if let Some(verdict) = verdict.filter(|verdict| verdict.result != Outcome::Allowed) {
            let refused = verdict.checks.iter().find(|check| check.result != Outcome::Allowed);
            let sentence = match (refused, verdict.error) {
                (Some(check), _) => format!(
                    "User: {} is not authorized to perform: {} on resource: {} {}",
                    session.arn,
                    check.action,
                    check.resource,
                    check.reason.as_deref().unwrap_or_default()
                ),
                (None, error) => error.unwrap_or_default(),
            };
            entry.decision = Decision::Denied;
            entry.denied_by = refused.map_or_else(|| Some("gate".to_owned()), |check| check.by.clone());
            entry.reason = Some(sentence.clone());
            return Err(Refusal::Denied(sentence));
        }
        let invalid = known.call.invalid.clone().or_else(|| vend::too_long(&known.call));
        if let Some((code, message)) = invalid {
            entry.decision = Decision::Invalid;
            entry.reason = Some(message.clone());
            return Err(Refusal::Invalid { code, message });
        }
        entry.decision = Decision::Allowed;
        Ok(())
    }

    /// The decider's verdict. `None` if the call needs no permission.
    async fn verdict(&self, session: &Session, known: &Known, inbound: &Inbound) -> Result<Option<Verdict>, String> {
        let role = self
            .live
            .role(&session.role_name)
            .await
            .map_err(|error| error.to_string())?
            .filter(|role| role.arn == session.role_arn)
            .ok_or_else(|| format!("the role of {} does not exist", session.arn))?;
        if known.call.checks.is_empty() {
            return Ok(None);
        }
        let global = self.global(session, known, inbound);
        let mut checks = known.call.checks.clone();
        for check in &mut checks {
            check.context.extend(global.clone());
        }
        let question = Question {
            principal: session.arn.clone(),
            identity: role.inline.iter().chain(&role.attached).cloned().collect(),
            session: session.policy.clone(),
            boundary: role.boundary.clone().map(|policy| vec![policy]),
            checks,
        };
        self.decider.decide(&question).await.map(Some).map_err(|error| error.to_string())
    }

    /// The condition keys that every call has.
    ///
    /// `aws:SecureTransport` is true: the gate stands for AWS's HTTPS endpoints.
    fn global(&self, session: &Session, known: &Known, inbound: &Inbound) -> Context {
        let now = clock::now();
        let mut context = Context::new();
        let mut set = |key: &str, value: &str| {
            context.insert(key.to_owned(), vec![value.to_owned()]);
        };
        set("aws:CurrentTime", &clock::millis(now));
        set("aws:EpochTime", &now.timestamp().to_string());
        set("aws:PrincipalAccount", &self.config.account);
        set("aws:PrincipalArn", &session.role_arn);
        set("aws:PrincipalIsAWSService", "false");
        set("aws:PrincipalType", "AssumedRole");
        set("aws:RequestedRegion", &known.claimed.region);
        set("aws:ResourceAccount", &self.config.account);
        set("aws:SecureTransport", "true");
        set("aws:SourceIp", "127.0.0.1");
        set("aws:TokenIssueTime", &clock::seconds(session.issued_at));
        set("aws:UserAgent", inbound.header("user-agent").unwrap_or_default());
        set("aws:ViaAWSService", "false");
        set("aws:userid", &session.user_id);
        if let Some(identity) = &session.source_identity {
            set("aws:SourceIdentity", identity);
        }
        for (key, value) in &session.tags {
            set(&format!("aws:PrincipalTag/{key}"), value);
        }
        context
    }

    /// Forwards the call, and records its answer.
    async fn forward(
        &self,
        known: &Known,
        inbound: &Inbound,
        entry: &mut Entry,
        fault: Option<&Rule>,
    ) -> Result<Response<Bytes>, Refusal> {
        let to = self.behind(known.service);
        let reads = ["Get", "List", "Simulate"];
        let iam_write =
            known.service == Some(Service::Iam) && !reads.iter().any(|read| entry.operation.starts_with(read));
        // Another service may write IAM too (CloudFormation, for example). Only the bootstrap key reaches other
        // services.
        let iam_write = iam_write || known.service.is_none();
        let table_write = known.service == Some(Service::DynamoDb) && entry.operation.ends_with("Table");
        if iam_write {
            self.live.iam_changes();
        }
        entry.forwarded = true;
        let sent_at = clock::now();
        let answer = self.upstream.forward(to, inbound).await;
        if iam_write {
            self.live.iam_changes();
        }
        if table_write {
            self.live.tables_change();
        }
        let answer = answer.map_err(|error| {
            let why = error.to_string();
            entry.reason = Some(why.clone());
            Refusal::Upstream(why)
        })?;
        entry.upstream_status = Some(answer.status().as_u16());
        entry.landed_at = Some(clock::millis(clock::now()));
        entry.request_id = request_id(&answer);
        if let Some(assume) = known.call.assume.as_ref().filter(|_| answer.status().is_success()) {
            let stripped = fault.is_some_and(|rule| rule.kind == Kind::StripTimeDeny);
            let session = vend::vended(assume, &known.caller, &answer, sent_at.trunc_subsecs(0), stripped);
            let Some(session) = session else {
                let why = "the answer to `AssumeRole` cannot be read".to_owned();
                entry.reason = Some(why.clone());
                return Err(Refusal::Upstream(why));
            };
            if let Some(write) = entry.wrote.as_mut().and_then(Value::as_object_mut) {
                write.insert("access_key_id".to_owned(), json!(session.access_key));
                write.insert("expires_at".to_owned(), json!(clock::seconds(session.expires_at)));
                let text = session.policy.as_ref().map(Value::to_string);
                let digest = text.map(|text| sigv4::sha256(text.as_bytes()));
                if stripped {
                    write.insert("enforced_session_policy_sha256".to_owned(), json!(digest));
                }
            }
            self.sessions.add(session);
        }
        Ok(answer)
    }

    fn behind(&self, service: Option<Service>) -> SocketAddr {
        match service {
            Some(Service::DynamoDb) => self.config.dynamodb,
            Some(Service::Lambda) => self.config.lambda,
            Some(Service::Iam | Service::Sts | Service::S3 | Service::SecretsManager) | None => self.config.localstack,
        }
    }
}

fn noted(entry: &mut Entry, refusal: Refusal) -> Refusal {
    entry.decision = Decision::Unauthenticated;
    entry.reason = Some(if let Refusal::Unsigned(why) | Refusal::BadSignature(why) = &refusal {
        why.clone()
    } else if refusal == Refusal::Expired {
        "the session has expired".to_owned()
    } else {
        "the access key or its token was not vended here".to_owned()
    });
    refusal
}

fn request_id(answer: &Response<Bytes>) -> Option<String> {
    ["x-amzn-requestid", "x-amz-request-id"]
        .iter()
        .find_map(|name| answer.headers().get(*name)?.to_str().ok().map(str::to_owned))
        .or_else(|| {
            let root = xml::parse(std::str::from_utf8(answer.body()).ok()?)?;
            root.text_at("ResponseMetadata/RequestId").or_else(|| root.text_at("RequestId")).map(str::to_owned)
        })
}

/// The gate, shared by its connections.
pub(crate) type SharedGate = Arc<Gate>;

#[cfg(test)]
mod tests;
