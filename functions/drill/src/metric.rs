//! The drill's metrics.

use brevet_domain::id::DeploymentId;
use brevet_domain::time::Timestamp;
use brevet_engine::drill::DrillReport;
use brevet_lambda::metric::{Figure, Unit, write};

/// Writes the results of one tick.
pub(crate) fn drilled(deployment: &DeploymentId, report: &DrillReport, now: Timestamp) {
    write(deployment, &figures(report), now);
}

fn figures(report: &DrillReport) -> [Figure; 3] {
    [("DrillPassed", report.n_passed), ("DrillFailed", report.n_failed), ("DrillUnproved", report.n_unproved)]
        .map(|(name, n)| (name, Unit::Count, n.into()))
}

#[cfg(test)]
mod tests {
    use brevet_lambda::metric::document;
    use serde_json::json;

    use super::*;

    #[test]
    fn drill_metrics_match_the_alarm_of_the_template() {
        let report = DrillReport { n_passed: 1, n_failed: 2, n_unproved: 3, ..DrillReport::default() };
        let document = document(&"dev".parse().unwrap(), &figures(&report), Timestamp::from_seconds(1_795_348_800));
        let directive = &document["_aws"]["CloudWatchMetrics"][0];
        assert_eq!(document["_aws"]["Timestamp"], 1_795_348_800_000_u64);
        let value = |name: &str| document[name].as_u64();
        let names: Vec<_> =
            directive["Metrics"].as_array().unwrap().iter().map(|metric| metric["Name"].as_str()).collect();
        assert_eq!(names, [Some("DrillPassed"), Some("DrillFailed"), Some("DrillUnproved")]);
        assert_eq!((value("DrillPassed"), value("DrillFailed"), value("DrillUnproved")), (Some(1), Some(2), Some(3)));
        assert_eq!((document["Deployment"].as_str(), directive["Namespace"].as_str()), (Some("dev"), Some("Brevet")));
        assert_eq!(directive["Dimensions"], json!([["Deployment"]]));
        let template = include_str!("../../../infra/template.yaml");
        let alarm = template.split("  DrillFailed:").nth(1).unwrap().split("\n\n").next().unwrap();
        for line in ["Namespace: Brevet", "MetricName: DrillFailed", "{Name: Deployment, Value: !Ref DeploymentId}"] {
            assert!(alarm.contains(line), "{line}");
        }
    }
}
