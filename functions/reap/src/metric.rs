//! The reaper's metrics.

use brevet_domain::id::DeploymentId;
use brevet_domain::time::Timestamp;
use brevet_engine::reap::PassReport;
use brevet_lambda::metric::{Figure, Unit, write};

/// Writes the metrics of a good pass. The alarm `HeartbeatMissing` fires when they stop.
pub(crate) fn good_pass(deployment: &DeploymentId, report: &PassReport, now: Timestamp) {
    write(deployment, &figures(report), now);
}

/// Writes that a standby tick arrived, and whether it started a pass.
pub(crate) fn standby_tick(deployment: &DeploymentId, started_pass: bool, now: Timestamp) {
    write(deployment, &standby_figures(started_pass), now);
}

fn standby_figures(started_pass: bool) -> Vec<Figure> {
    vec![("StandbyTickReceived", Unit::Count, 1), ("PassByStandbyTick", Unit::Count, started_pass.into())]
}

fn figures(report: &PassReport) -> Vec<Figure> {
    use Unit::{Count, Seconds};
    let mut figures = vec![
        ("ReaperGoodPass", Count, 1),
        ("OverdueSeconds", Seconds, report.oldest_overdue_s),
        ("BlocksStanding", Count, report.n_blocks.into()),
        ("SecretsRotated", Count, report.n_rotated.into()),
        ("RotationsTroubled", Count, report.n_unrotated.into()),
        ("GrantsOverdue", Count, report.n_overdue.into()),
        ("IssuingStopped", Count, report.is_stopped.into()),
        ("SweepFound", Count, report.n_swept.into()),
        ("SweepWhole", Count, report.swept.into()),
        // No alarm reads it: all of these sessions have ended, and other holders of the role fetch credentials again.
        // A high value shows that the role is crowded.
        ("EarlyEndsByTime", Count, report.n_denied_by_time.into()),
    ];
    // Written only if known: after a complete walk, at the first proof of zero, after secrets were checked, or when
    // uses could be counted. A missing value is not zero.
    let known = [
        ("BlockedAlive", Count, report.n_blocked_alive),
        ("BlockedZeroSeconds", Seconds, report.zero_after_s),
        ("RotationSeconds", Seconds, report.oldest_rotation_s),
        ("BreakGlassUnreviewed", Count, report.n_unreviewed.map(u64::from)),
    ];
    figures.extend(known.into_iter().filter_map(|(name, unit, n)| Some((name, unit, n?))));
    figures
}

#[cfg(test)]
mod tests {
    use brevet_lambda::metric::document;
    use serde_json::json;

    use super::*;

    #[test]
    fn standby_metrics_match_the_alarms_of_the_template() {
        let template = include_str!("../../../infra/template.yaml");
        for (alarm, (name, _, n)) in ["StandbyTickMissing", "ScheduleMissing"].into_iter().zip(standby_figures(true)) {
            let alarm = template.split(&format!("  {alarm}:")).nth(1).unwrap().split("\n\n").next().unwrap();
            assert!(alarm.contains(&format!("MetricName: {name}\n")), "{alarm}");
            assert_eq!(n, 1);
        }
        assert_eq!(standby_figures(false).last().unwrap().2, 0);
    }

    #[test]
    fn good_pass_metrics_match_the_alarms_of_the_template() {
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
        let document = document(&"dev".parse().unwrap(), &figures(&report), Timestamp::from_seconds(1_795_348_800));
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
        let alarm = template.split("  HeartbeatMissing:").nth(1).unwrap().split("\n\n").next().unwrap();
        for line in ["Namespace: Brevet", "MetricName: ReaperGoodPass", "{Name: Deployment, Value: !Ref DeploymentId}"]
        {
            assert!(alarm.contains(line), "{line}");
        }
        assert_eq!(directive["Namespace"], "Brevet");
        assert_eq!(directive["Dimensions"], json!([["Deployment"]]));
    }
}
