//! Metrics that any function may write: one line in the embedded metric format, which `CloudWatch` reads out of the log.

use std::io::Write as _;

use brevet_domain::id::DeploymentId;
use brevet_domain::time::Timestamp;
use brevet_engine::port::{BundleLapse, BundleWatch};
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
        // Not through the logger: the format wants its fields at the top.
        let line = document(&self.deployment, lapse.at).to_string();
        if let Err(error) = writeln!(std::io::stdout(), "{line}") {
            tracing::error!(problem = %error, "the metric of a stale bundle could not be written");
        }
    }
}

/// Source: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>
fn document(deployment: &DeploymentId, at: Timestamp) -> Value {
    json!({
        "_aws": {
            "Timestamp": at.as_millis(),
            "CloudWatchMetrics": [{
                "Namespace": "Brevet",
                "Dimensions": [["Deployment"]],
                "Metrics": [{"Name": "BundleStale", "Unit": "Count"}],
            }],
        },
        "Deployment": deployment,
        "BundleStale": 1,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alarm_of_the_template_finds_its_metric() {
        let document = document(&"dev".parse().unwrap(), Timestamp::from_seconds(1_795_348_800));
        let directive = &document["_aws"]["CloudWatchMetrics"][0];
        assert_eq!(document["_aws"]["Timestamp"], 1_795_348_800_000_u64);
        assert_eq!((document["Deployment"].as_str(), document["BundleStale"].as_u64()), (Some("dev"), Some(1)));
        assert_eq!(directive["Metrics"][0]["Name"], "BundleStale");
        let template = include_str!("../../../infra/template.yaml");
        let alarm = template.split("  BundleStale:").nth(1).unwrap().split("\n\n").next().unwrap();
        for line in ["Namespace: Brevet", "MetricName: BundleStale", "{Name: Deployment, Value: !Ref DeploymentId}"] {
            assert!(alarm.contains(line), "{line}");
        }
        assert_eq!(directive["Namespace"], "Brevet");
        assert_eq!(directive["Dimensions"], json!([["Deployment"]]));
    }
}
