//! The reaper's pulse as a metric: one line in the embedded metric format, which `CloudWatch` reads out of the log.

use std::io::Write as _;

use brevet_domain::id::DeploymentId;
use brevet_domain::time::Timestamp;
use brevet_engine::reap::PassReport;
use serde_json::{Value, json};

/// Writes the metric of a good pass. Silence is what the alarm `HeartMissing` waits for.
pub(crate) fn good_pass(deployment: &DeploymentId, report: &PassReport, now: Timestamp) {
    let line = document(deployment, report, now).to_string();
    // Not through the logger: the format wants its fields at the top.
    if let Err(error) = writeln!(std::io::stdout(), "{line}") {
        tracing::error!(problem = %error, "the metric of a good pass could not be written");
    }
}

/// Source: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>
fn document(deployment: &DeploymentId, report: &PassReport, now: Timestamp) -> Value {
    let mut metrics = vec![
        json!({"Name": "ReaperGoodPass", "Unit": "Count"}),
        json!({"Name": "OverdueSeconds", "Unit": "Seconds"}),
        json!({"Name": "BlocksStanding", "Unit": "Count"}),
        json!({"Name": "SecretsRotated", "Unit": "Count"}),
        json!({"Name": "RotationsTroubled", "Unit": "Count"}),
        json!({"Name": "GrantsOverdue", "Unit": "Count"}),
        json!({"Name": "IssuingStopped", "Unit": "Count"}),
        json!({"Name": "SweepFound", "Unit": "Count"}),
        json!({"Name": "SweepWhole", "Unit": "Count"}),
        // No alarm: all of them have ended, and who else holds the role fetches again. It shows that a role is crowded.
        json!({"Name": "EarlyEndsByTime", "Unit": "Count"}),
    ];
    // Said only where a walk came through, zero was proved first, or uses could be counted: silence is no zero.
    let known = [
        ("BlockedAlive", "Count", report.n_blocked_alive),
        ("BlockedZeroSeconds", "Seconds", report.zero_after_s),
        ("RotationSeconds", "Seconds", report.oldest_rotation_s),
        ("BreakGlassUnreviewed", "Count", report.n_unreviewed.map(u64::from)),
    ];
    metrics
        .extend(known.iter().filter(|(.., n)| n.is_some()).map(|(name, unit, _)| json!({"Name": name, "Unit": unit})));
    let mut document = json!({
        "_aws": {
            "Timestamp": now.as_millis(),
            "CloudWatchMetrics": [{
                "Namespace": "Brevet",
                "Dimensions": [["Deployment"]],
                "Metrics": metrics,
            }],
        },
        "Deployment": deployment,
        "ReaperGoodPass": 1,
        "OverdueSeconds": report.oldest_overdue_s,
        "BlocksStanding": report.n_blocks,
        "SecretsRotated": report.n_rotated,
        "RotationsTroubled": report.n_unrotated,
        "EarlyEndsByTime": report.n_denied_by_time,
        "GrantsOverdue": report.n_overdue,
        "IssuingStopped": u32::from(report.is_stopped),
        "SweepFound": report.n_swept,
        "SweepWhole": u8::from(report.swept),
    });
    for (name, _, n) in known {
        if let (Some(n), Some(document)) = (n, document.as_object_mut()) {
            document.insert(name.to_owned(), json!(n));
        }
    }
    document
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alarm_of_the_template_finds_its_metric() {
        let report = PassReport {
            oldest_overdue_s: 7,
            n_denied_by_time: 5,
            n_unreviewed: Some(3),
            oldest_rotation_s: Some(4_000),
            n_blocks: 1,
            n_blocked_alive: Some(4),
            zero_after_s: Some(90),
            n_overdue: 5,
            is_stopped: true,
            good: true,
            ..PassReport::default()
        };
        let document = document(&"dev".parse().unwrap(), &report, Timestamp::from_seconds(1_795_348_800));
        let directive = &document["_aws"]["CloudWatchMetrics"][0];
        assert_eq!(document["_aws"]["Timestamp"], 1_795_348_800_000_u64);
        for metric in directive["Metrics"].as_array().unwrap() {
            assert!(document[metric["Name"].as_str().unwrap()].is_u64(), "{metric}");
        }
        assert_eq!(directive["Metrics"].as_array().unwrap().len(), 14);
        assert_eq!(document["EarlyEndsByTime"], 5);
        assert_eq!((document["Deployment"].as_str(), document["OverdueSeconds"].as_u64()), (Some("dev"), Some(7)));
        let template = include_str!("../../../infra/template.yaml");
        for name in ["SweepFound", "SweepWhole"] {
            assert!(template.contains(&format!("MetricName: {name}\n")), "{name}");
        }
        assert_eq!(document["BreakGlassUnreviewed"], 3);
        let unreviewed = template.split("  BreakGlassUnreviewed:").nth(1).unwrap().split("\n\n").next().unwrap();
        assert!(unreviewed.contains("MetricName: BreakGlassUnreviewed"), "{unreviewed}");
        assert_eq!(document["RotationSeconds"], 4_000);
        let pending = template.split("  RotationPending:").nth(1).unwrap().split("\n\n").next().unwrap();
        assert!(pending.contains("MetricName: RotationSeconds"), "{pending}");
        assert_eq!((document["GrantsOverdue"].as_u64(), document["IssuingStopped"].as_u64()), (Some(5), Some(1)));
        let stopped = template.split("  IssuingStopped:").nth(1).unwrap().split("\n\n").next().unwrap();
        assert!(stopped.contains("MetricName: IssuingStopped"), "{stopped}");
        let alarm = template.split("  HeartMissing:").nth(1).unwrap().split("\n\n").next().unwrap();
        for line in ["Namespace: Brevet", "MetricName: ReaperGoodPass", "{Name: Deployment, Value: !Ref DeploymentId}"]
        {
            assert!(alarm.contains(line), "{line}");
        }
        assert_eq!(directive["Namespace"], "Brevet");
        assert_eq!(directive["Dimensions"], json!([["Deployment"]]));
    }
}
