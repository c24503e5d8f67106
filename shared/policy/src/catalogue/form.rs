//! The file formats of a catalogue, with the place of every value that a finding may point at.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use brevet_domain::entitlement::{ParameterValue, Requirement, Risk};
use brevet_domain::id::{
    EntitlementId, EnvironmentName, IdentityId, IssuerId, PolicyName, ScheduleId, StepName, TargetName, TeamId,
};
use brevet_domain::identity::{IdentityClass, TokenAlgorithm};
use brevet_domain::request::{Justification, Ticket};
use brevet_domain::schedule::Cron;
use brevet_domain::time::Term;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_saphyr::{Location, Spanned};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct IssuersForm {
    pub(super) issuers: Vec<IssuerForm>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct IssuerForm {
    pub(super) id: Spanned<IssuerId>,
    pub(super) issuer: Spanned<String>,
    pub(super) algorithms: Spanned<BTreeSet<TokenAlgorithm>>,
    pub(super) jwks_uri: Option<Spanned<String>>,
    pub(super) jwks: Option<Spanned<serde_json::Value>>,
    pub(super) mfa: Option<Spanned<MfaForm>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MfaForm {
    #[serde(default)]
    pub(super) amr: BTreeSet<String>,
    #[serde(default)]
    pub(super) acr: BTreeSet<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct IdentityForm {
    pub(super) id: Spanned<IdentityId>,
    pub(super) class: Spanned<IdentityClass>,
    pub(super) owner: Option<Spanned<IdentityId>>,
    #[serde(default)]
    pub(super) teams: BTreeSet<TeamId>,
    pub(super) proofs: Spanned<Vec<ProofForm>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProofForm {
    pub(super) issuer: Spanned<IssuerId>,
    pub(super) claims: Spanned<BTreeMap<String, String>>,
    pub(super) task: Option<Spanned<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EntitlementForm {
    pub(super) id: Spanned<EntitlementId>,
    pub(super) owner: Spanned<IdentityId>,
    pub(super) description: Spanned<String>,
    pub(super) delivery: Option<Spanned<DeliveryForm>>,
    pub(super) target: Option<Spanned<TargetName>>,
    pub(super) credential_s: Option<Spanned<u32>>,
    pub(super) iam_allowed: Option<Spanned<bool>>,
    pub(super) principal: Option<Spanned<String>>,
    pub(super) holder: Option<Spanned<IdentityId>>,
    pub(super) policy: Option<Spanned<PolicyName>>,
    pub(super) max_term_s: Spanned<MaxTermForm>,
    pub(super) risk: Option<Spanned<Risk>>,
    pub(super) environment: Option<Spanned<EnvironmentName>>,
    pub(super) start_within_s: Option<Spanned<u32>>,
    #[serde(default)]
    pub(super) parameters: BTreeMap<String, Spanned<ParameterForm>>,
    pub(super) statements: Spanned<Vec<StatementForm>>,
    pub(super) approval: Option<Spanned<ApprovalForm>>,
    pub(super) ticket: Option<Spanned<TicketForm>>,
    pub(super) justification: Option<Spanned<JustificationForm>>,
    #[serde(default)]
    pub(super) rotate: Vec<Spanned<RotationForm>>,
    #[serde(default)]
    pub(super) conflicts: Vec<Spanned<ConflictForm>>,
    #[serde(default, deserialize_with = "break_glass")]
    pub(super) break_glass: Option<BreakGlassForm>,
    pub(super) canary: Option<Spanned<bool>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ConflictForm {
    pub(super) with: Spanned<EntitlementId>,
    pub(super) after_s: Option<Spanned<u32>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ClassesForm {
    pub(super) classes: BTreeMap<IdentityClass, Spanned<ClassForm>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ClassForm {
    pub(super) max_term_s: Option<Spanned<u32>>,
    pub(super) max_live: Option<Spanned<u32>>,
    pub(super) max_renewals: Option<Spanned<u32>>,
    #[serde(default)]
    pub(super) people_always: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BreakGlassForm {
    pub(super) reviewer: Spanned<IdentityId>,
    pub(super) heartbeat_max_age_s: Option<Spanned<u32>>,
    #[serde(default)]
    pub(super) while_overdue: bool,
}

/// Reads `break_glass`. For `true`, the error asks for a reviewer.
fn break_glass<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<BreakGlassForm>, D::Error> {
    struct Keys;

    impl<'de> Visitor<'de> for Keys {
        type Value = BreakGlassForm;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a reviewer, as `break_glass: {reviewer: lea}`")
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<BreakGlassForm, A::Error> {
            BreakGlassForm::deserialize(de::value::MapAccessDeserializer::new(map))
        }
    }

    deserializer.deserialize_any(Keys).map(Some)
}

/// The maximum term: one for all classes, or one for each.
#[derive(Debug)]
pub(super) enum MaxTermForm {
    Same(u32),
    Each(Box<TermsForm>),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TermsForm {
    pub(super) default: Spanned<u32>,
    pub(super) human: Option<Spanned<u32>>,
    pub(super) pipeline: Option<Spanned<u32>>,
    pub(super) workload: Option<Spanned<u32>>,
    pub(super) agent: Option<Spanned<u32>>,
}

impl TermsForm {
    /// The maximum terms of single classes.
    pub(super) fn of_classes(&self) -> impl Iterator<Item = (IdentityClass, &Spanned<u32>)> {
        let all = [
            (IdentityClass::Human, &self.human),
            (IdentityClass::Pipeline, &self.pipeline),
            (IdentityClass::Workload, &self.workload),
            (IdentityClass::Agent, &self.agent),
        ];
        all.into_iter().filter_map(|(class, seconds)| Some((class, seconds.as_ref()?)))
    }
}

/// Deserialized by hand rather than as an untagged enum, so that an error inside keeps its place.
impl<'de> Deserialize<'de> for MaxTermForm {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = MaxTermForm;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number of seconds, or `default` and a number for each class that differs")
            }

            fn visit_u64<E: de::Error>(self, seconds: u64) -> Result<MaxTermForm, E> {
                let term = u32::try_from(seconds).map(MaxTermForm::Same);
                term.map_err(|_| E::custom(format!("`max_term_s` is {seconds}; it must be 60 to 43200 seconds")))
            }

            fn visit_i64<E: de::Error>(self, seconds: i64) -> Result<MaxTermForm, E> {
                let seconds = u64::try_from(seconds);
                self.visit_u64(seconds.map_err(|_| E::custom("this must be a whole number, not negative"))?)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<MaxTermForm, A::Error> {
                TermsForm::deserialize(de::value::MapAccessDeserializer::new(map)).map(Box::new).map(MaxTermForm::Each)
            }
        }

        deserializer.deserialize_any(Either)
    }
}

/// The delivery of an entitlement; each delivery has its own keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum DeliveryForm {
    Session,
    Inline,
    Managed,
}

impl EntitlementForm {
    /// The delivery; `session` by default.
    pub(super) fn delivery(&self) -> DeliveryForm {
        self.delivery.as_ref().map_or(DeliveryForm::Session, |delivery| delivery.value)
    }

    /// Every maximum term in the form, with its class and its place.
    pub(super) fn terms(&self) -> Vec<(Option<IdentityClass>, u32, Location)> {
        match &self.max_term_s.value {
            MaxTermForm::Same(seconds) => vec![(None, *seconds, self.max_term_s.referenced)],
            MaxTermForm::Each(terms) => {
                let of_classes =
                    terms.of_classes().map(|(class, seconds)| (Some(class), seconds.value, seconds.referenced));
                let default = (None, terms.default.value, terms.default.referenced);
                std::iter::once(default).chain(of_classes).collect()
            }
        }
    }

    /// Whether the entitlement may allow IAM actions.
    pub(super) fn iam_allowed(&self) -> bool {
        self.iam_allowed.as_ref().is_some_and(|allowed| allowed.value)
    }
}

/// A parameter; each type has its own keys.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ParameterForm {
    #[serde(rename = "type")]
    pub(super) kind: Option<Spanned<ParameterKind>>,
    pub(super) pattern: Option<Spanned<String>>,
    pub(super) max_length: Option<Spanned<u32>>,
    pub(super) min: Option<Spanned<String>>,
    pub(super) max: Option<Spanned<String>>,
    pub(super) values: Option<Spanned<Vec<Spanned<ParameterValue>>>>,
}

/// The type of a parameter; `text` by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ParameterKind {
    #[default]
    Text,
    Integer,
    Enum,
    Date,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TicketForm {
    #[serde(default)]
    pub(super) required: bool,
    pub(super) pattern: Option<Spanned<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct JustificationForm {
    pub(super) need: Spanned<Requirement>,
    pub(super) min_length: Option<Spanned<u32>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RotationForm {
    pub(super) secret: Spanned<String>,
    pub(super) times: Option<Spanned<u8>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ApprovalForm {
    pub(super) count: Option<Spanned<u8>>,
    pub(super) within_s: Option<Spanned<u32>>,
    pub(super) steps: Option<Spanned<Vec<Spanned<StepForm>>>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StepForm {
    pub(super) name: Spanned<StepName>,
    #[serde(default)]
    pub(super) when: WhenForm,
    pub(super) count: Option<Spanned<u8>>,
    #[serde(default)]
    pub(super) of: Vec<Spanned<TeamId>>,
    #[serde(default)]
    pub(super) mfa: bool,
    pub(super) auth_within_s: Option<Spanned<u32>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WhenForm {
    #[serde(default)]
    pub(super) classes: BTreeSet<IdentityClass>,
    #[serde(default)]
    pub(super) risks: BTreeSet<Risk>,
    #[serde(default)]
    pub(super) environments: BTreeSet<EnvironmentName>,
    pub(super) longer_than_s: Option<Spanned<u32>>,
}

impl WhenForm {
    /// Whether there is no condition.
    pub(super) fn is_empty(&self) -> bool {
        let Self { classes, risks, environments, longer_than_s } = self;
        classes.is_empty() && risks.is_empty() && environments.is_empty() && longer_than_s.is_none()
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ApprovalsForm {
    pub(super) steps: Vec<Spanned<StepForm>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StatementForm {
    pub(super) actions: Spanned<Vec<Spanned<String>>>,
    pub(super) resources: Spanned<Vec<Spanned<String>>>,
    #[serde(default)]
    pub(super) conditions: BTreeMap<String, BTreeMap<String, Spanned<Vec<String>>>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ScheduleForm {
    pub(super) id: Spanned<ScheduleId>,
    pub(super) owner: Spanned<IdentityId>,
    pub(super) description: Spanned<String>,
    pub(super) identity: Spanned<IdentityId>,
    pub(super) entitlement: Spanned<EntitlementId>,
    pub(super) parameters: Option<Spanned<BTreeMap<String, ParameterValue>>>,
    pub(super) term_s: Spanned<Term>,
    pub(super) ticket: Option<Spanned<Ticket>>,
    pub(super) justification: Option<Spanned<Justification>>,
    pub(super) cron: Spanned<Cron>,
    pub(super) window_s: Spanned<u32>,
}
