//! What drills showed as a metric: one line in the embedded metric format, which `CloudWatch` reads out of the log.

use std::io::Write as _;

use brevet_domain::id::DeploymentId;
use brevet_domain::time::Timestamp;
use brevet_engine::drill::DrillReport;
use serde_json::{Value, json};

/// Writes the metrics of a tick.
pub(crate) fn drilled(deployment: &DeploymentId, report: &DrillReport, now: Timestamp) {
    let line = document(deployment, report, now).to_string();
    // Not through the logger: the format wants its fields at the top.
    if let Err(error) = writeln!(std::io::stdout(), "{line}") {
        tracing::error!(problem = %error, "the metric of a drill could not be written");
    }
}

/// Source: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>
fn document(deployment: &DeploymentId, report: &DrillReport, now: Timestamp) -> Value {
    let metrics = ["DrillPassed", "DrillFailed", "DrillUnproved"].map(|name| json!({"Name": name, "Unit": "Count"}));
    json!({
        "_aws": {
            "Timestamp": now.as_millis(),
            "CloudWatchMetrics": [{
                "Namespace": "Brevet",
                "Dimensions": [["Deployment"]],
                "Metrics": metrics,
            }],
        },
        "Deployment": deployment,
        "DrillPassed": report.n_passed,
        "DrillFailed": report.n_failed,
        "DrillUnproved": report.n_unproved,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alarm_of_the_template_finds_its_metric() {
        let report = DrillReport { n_passed: 1, n_failed: 2, n_unproved: 3, ..DrillReport::default() };
        let document = document(&"dev".parse().unwrap(), &report, Timestamp::from_seconds(1_795_348_800));
        let directive = &document["_aws"]["CloudWatchMetrics"][0];
        assert_eq!(document["_aws"]["Timestamp"], 1_795_348_800_000_u64);
        let told = |name: &str| document[name].as_u64();
        let names: Vec<_> = directive["Metrics"].as_array().unwrap().iter().map(|one| one["Name"].as_str()).collect();
        assert_eq!(names, [Some("DrillPassed"), Some("DrillFailed"), Some("DrillUnproved")]);
        assert_eq!((told("DrillPassed"), told("DrillFailed"), told("DrillUnproved")), (Some(1), Some(2), Some(3)));
        assert_eq!((document["Deployment"].as_str(), directive["Namespace"].as_str()), (Some("dev"), Some("Brevet")));
        assert_eq!(directive["Dimensions"], json!([["Deployment"]]));
        let template = include_str!("../../../infra/template.yaml");
        let alarm = template.split("  DrillFailed:").nth(1).unwrap().split("\n\n").next().unwrap();
        for line in ["Namespace: Brevet", "MetricName: DrillFailed", "{Name: Deployment, Value: !Ref DeploymentId}"] {
            assert!(alarm.contains(line), "{line}");
        }
    }
}
