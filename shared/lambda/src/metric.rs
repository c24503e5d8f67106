//! Metrics that any function may write, in the embedded metric format that `CloudWatch` extracts from log lines.

use std::io::Write as _;

use brevet_domain::id::{DeploymentId, EntitlementId, GrantId, IdentityId};
use brevet_domain::time::Timestamp;
use brevet_engine::port::{BundleLapse, BundleWatch, UseWatch};
use serde_json::{Map, Value, json};

/// Writes the metric `BundleStale` for each call that finds the bundle in force unusable. An alarm reads it.
#[derive(Clone, Debug)]
pub struct BundleStale {
    deployment: DeploymentId,
}

impl BundleStale {
    /// Writes metrics for the installation `deployment`.
    #[must_use]
    pub fn new(deployment: DeploymentId) -> Self {
        Self { deployment }
    }
}

impl BundleWatch for BundleStale {
    fn lapsed(&self, lapse: &BundleLapse<'_>) {
        let problem = lapse.problem.chain();
        match lapse.using {
            Some(digest) => {
                tracing::error!(problem, "cannot use the bundle in force; using `{digest}` for a bounded time");
            }
            None => tracing::error!(problem, "cannot use the bundle in force: no request is decided"),
        }
        write(&self.deployment, &[("BundleStale", Unit::Count, 1)], lapse.at);
    }
}

/// Writes the metric `BreakGlassUsed` for each decided break-glass grant. An alarm reads it.
#[derive(Clone, Debug)]
pub struct BreakGlassUsed {
    deployment: DeploymentId,
}

impl BreakGlassUsed {
    /// Writes metrics for the installation `deployment`.
    #[must_use]
    pub fn new(deployment: DeploymentId) -> Self {
        Self { deployment }
    }
}

impl UseWatch for BreakGlassUsed {
    fn used(&self, grant: GrantId, identity: &IdentityId, entitlement: &EntitlementId, at: Timestamp) {
        tracing::error!(
            grant.id = %grant, identity.id = %identity, entitlement.id = %entitlement,
            "break-glass grant `{grant}` may be used; review its use afterwards"
        );
        write(&self.deployment, &[("BreakGlassUsed", Unit::Count, 1)], at);
    }
}

/// The unit of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Count,
    Seconds,
}

impl Unit {
    /// The unit's name in `CloudWatch`.
    fn name(self) -> &'static str {
        match self {
            Self::Count => "Count",
            Self::Seconds => "Seconds",
        }
    }
}

/// A metric of the namespace `Brevet`: name, unit and value.
pub type Figure = (&'static str, Unit, u64);

/// Writes `figures` of `deployment` as one log line.
///
/// The line bypasses the logger, because the format requires its fields at the top level.
pub fn write(deployment: &DeploymentId, figures: &[Figure], at: Timestamp) {
    let line = document(deployment, figures, at);
    if let Err(error) = writeln!(std::io::stdout(), "{line}") {
        tracing::error!(problem = %error, "cannot write a metric to standard output");
    }
}

/// The log line of [`write`].
///
/// Source: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>
#[must_use]
pub fn document(deployment: &DeploymentId, figures: &[Figure], at: Timestamp) -> Value {
    let metrics: Vec<_> = figures.iter().map(|(name, unit, _)| json!({"Name": name, "Unit": unit.name()})).collect();
    let mut document = Map::from_iter(figures.iter().map(|(name, _, n)| ((*name).to_owned(), json!(n))));
    let directive = json!({ "Namespace": "Brevet", "Dimensions": [["Deployment"]], "Metrics": metrics });
    document.insert("_aws".to_owned(), json!({ "Timestamp": at.as_millis(), "CloudWatchMetrics": [directive] }));
    document.insert("Deployment".to_owned(), json!(deployment));
    Value::Object(document)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_match_the_alarms_of_the_template() {
        let template = include_str!("../../../infra/template.yaml");
        for metric in ["BundleStale", "BreakGlassUsed"] {
            let figures = [(metric, Unit::Count, 1)];
            let document = document(&"dev".parse().unwrap(), &figures, Timestamp::from_seconds(1_795_348_800));
            let directive = &document["_aws"]["CloudWatchMetrics"][0];
            assert_eq!(document["_aws"]["Timestamp"], 1_795_348_800_000_u64);
            assert_eq!((document["Deployment"].as_str(), document[metric].as_u64()), (Some("dev"), Some(1)));
            assert_eq!(directive["Metrics"][0]["Name"], metric);
            let alarm = template.split(&format!("  {metric}:")).nth(1).unwrap().split("\n\n").next().unwrap();
            let name = format!("MetricName: {metric}");
            for line in ["Namespace: Brevet", name.as_str(), "{Name: Deployment, Value: !Ref DeploymentId}"] {
                assert!(alarm.contains(line), "{line}");
            }
            assert_eq!(directive["Namespace"], "Brevet");
            assert_eq!(directive["Dimensions"], json!([["Deployment"]]));
        }
    }
}
