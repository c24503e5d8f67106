//! The effects of faults on a call.

use std::time::Duration;

use crate::fault::{Kind, Rule};
use crate::refuse::Refusal;

/// How a fault ends a call before the decision.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The gate sends this answer.
    Refused(Refusal),
    /// The gate closes the connection.
    Dropped,
}

/// Applies the fault before the decision. Returns `Some` if the call ends there.
///
/// `n_items` is the number of items that the call writes, for the reasons of a cancelled transaction.
pub(crate) async fn before(fault: Option<&Rule>, n_items: usize, transaction: bool) -> Option<Ended> {
    let rule = fault?;
    match rule.kind {
        Kind::Refuse => Some(Ended::Refused(Refusal::Denied(format!("refused by fault `{}`", rule.id)))),
        Kind::Throttle => Some(Ended::Refused(Refusal::Throttled)),
        Kind::Conflict => Some(Ended::Refused(Refusal::Conflict { transaction, n_items })),
        Kind::DropBefore => Some(Ended::Dropped),
        Kind::KillBefore => {
            kill(rule).await;
            Some(Ended::Dropped)
        }
        Kind::Delay => {
            kill(rule).await;
            wait(rule).await;
            None
        }
        Kind::DropAfter
        | Kind::DelayAnswer
        | Kind::KillAfter
        | Kind::StripTimeDeny
        | Kind::StripTimeLimit
        | Kind::AlterDocument => None,
    }
}

/// Applies the fault after the answer has arrived. The proxy withholds the answer if the fault says so.
pub(crate) async fn after(fault: Option<&Rule>) {
    if let Some(rule) = fault {
        match rule.kind {
            Kind::DelayAnswer => wait(rule).await,
            Kind::KillAfter => kill(rule).await,
            Kind::Refuse
            | Kind::Throttle
            | Kind::Conflict
            | Kind::DropBefore
            | Kind::DropAfter
            | Kind::Delay
            | Kind::KillBefore
            | Kind::StripTimeDeny
            | Kind::StripTimeLimit
            | Kind::AlterDocument => {}
        }
    }
}

async fn wait(rule: &Rule) {
    tokio::time::sleep(Duration::from_millis(rule.ms.unwrap_or_default())).await;
}

async fn kill(rule: &Rule) {
    if let Some(pid) = rule.pid {
        let done = tokio::process::Command::new("kill").args(["-KILL", &pid.to_string()]).status().await;
        match done {
            Ok(status) if status.success() => {}
            Ok(_) | Err(_) => tracing::warn!("fault `{}` could not kill {pid}", rule.id),
        }
    }
}
