//! Metrics that any function may write: one line in the embedded metric format, which `CloudWatch` reads out of the log.

use std::io::Write as _;

use brevet_domain::id::{DeploymentId, EntitlementId, GrantId, IdentityId};
use brevet_domain::time::Timestamp;
use brevet_engine::port::{BundleLapse, BundleWatch, UseWatch};
use serde_json::{Value, json};

/// Says, for each call, that the bundle in force cannot be used: the alarm `BundleStale` hangs on it.
#[derive(Clone, Debug)]
pub struct BundleStale {
    deployment: DeploymentId,
}

impl BundleStale {
    /// For the installation `deployment`.
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
                tracing::error!(problem, "the bundle in force cannot be used; for a bounded time `{digest}` is");
            }
            None => tracing::error!(problem, "the bundle in force cannot be used: nothing is decided"),
        }
        write(&document(&self.deployment, "BundleStale", lapse.at));
    }
}

/// Says of each use of break-glass that it was decided: the alarm `BreakGlassUsed` hangs on it.
#[derive(Clone, Debug)]
pub struct BreakGlassUsed {
    deployment: DeploymentId,
}

impl BreakGlassUsed {
    /// For the installation `deployment`.
    #[must_use]
    pub fn new(deployment: DeploymentId) -> Self {
        Self { deployment }
    }
}

impl UseWatch for BreakGlassUsed {
    fn used(&self, grant: GrantId, identity: &IdentityId, entitlement: &EntitlementId, at: Timestamp) {
        tracing::error!(
            grant.id = %grant, identity.id = %identity, entitlement.id = %entitlement,
            "break-glass: grant `{grant}` may be used, and its use is to be reviewed"
        );
        write(&document(&self.deployment, "BreakGlassUsed", at));
    }
}

/// Not through the logger: the format wants its fields at the top.
fn write(document: &Value) {
    if let Err(error) = writeln!(std::io::stdout(), "{document}") {
        tracing::error!(problem = %error, "a metric could not be written");
    }
}

/// Source: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>
fn document(deployment: &DeploymentId, metric: &'static str, at: Timestamp) -> Value {
    json!({
        "_aws": {
            "Timestamp": at.as_millis(),
            "CloudWatchMetrics": [{
                "Namespace": "Brevet",
                "Dimensions": [["Deployment"]],
                "Metrics": [{"Name": metric, "Unit": "Count"}],
            }],
        },
        "Deployment": deployment,
        metric: 1,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alarms_of_the_template_find_their_metrics() {
        let template = include_str!("../../../infra/template.yaml");
        for metric in ["BundleStale", "BreakGlassUsed"] {
            let document = document(&"dev".parse().unwrap(), metric, Timestamp::from_seconds(1_795_348_800));
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
