//! The decider: AWS's evaluation logic in a separate process.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::oneshot;

use crate::live::Policy;
use crate::map::Check;
use crate::simulate::Simulated;

/// The program that node runs. It is part of this binary, so that the two cannot differ.
const PROGRAM: &str = include_str!("../decider/decide.mjs");

/// How long an answer may take. A normal answer takes a few milliseconds.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// All inputs of the decision on one call.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Question {
    /// ARN of the session.
    pub(crate) principal: String,
    /// The role's inline and attached policies.
    pub(crate) identity: Vec<Policy>,
    /// The inline session policy.
    pub(crate) session: Option<Value>,
    /// The permissions boundary.
    pub(crate) boundary: Option<Vec<Policy>>,
    /// Every check must be allowed.
    pub(crate) checks: Vec<Check>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Whether every check was allowed.
    pub(crate) result: Outcome,
    /// The checks in the order of the question.
    pub(crate) checks: Vec<Checked>,
    /// Set if the decider could not read the question. The result is then `Denied`.
    #[serde(default)]
    pub(crate) error: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Outcome {
    Allowed,
    Denied,
}

/// The decision on one check.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub(crate) struct Checked {
    pub(crate) action: String,
    pub(crate) resource: String,
    pub(crate) result: Outcome,
    /// The kind of policy that denied; `gate` if the question could not be answered.
    pub(crate) by: Option<String>,
    /// The end of AWS's sentence, e.g. "because no session policy allows it".
    pub(crate) reason: Option<String>,
}

/// The decider gave no verdict. The gate refuses the call.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DeciderError {
    #[error("node could not be started; is it installed and on `PATH`?")]
    Start(#[source] std::io::Error),
    /// The process ended, or closed its pipes.
    #[error("the decider process ended or did not answer in time")]
    Ended,
    #[error("the decider's answer cannot be read: {0}")]
    Unreadable(String),
}

type Waiting = Arc<Mutex<BTreeMap<u64, oneshot::Sender<Value>>>>;

/// A running decider.
#[derive(Debug)]
pub(crate) struct Decider {
    next: AtomicU64,
    to: tokio::sync::Mutex<ChildStdin>,
    waiting: Waiting,
    /// Killed when dropped.
    _child: Child,
}

impl Decider {
    /// Starts node with the evaluator in `modules`.
    ///
    /// # Errors
    ///
    /// [`DeciderError::Start`] if node is not installed.
    pub(crate) fn start(modules: &Path) -> Result<Self, DeciderError> {
        Self::start_program(PROGRAM, modules)
    }

    fn start_program(program: &str, modules: &Path) -> Result<Self, DeciderError> {
        let mut child = Command::new("node")
            .args(["--input-type=module", "--eval", program])
            .env("BREVET_DECIDER_MODULES", modules)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(DeciderError::Start)?;
        let to = child.stdin.take().ok_or(DeciderError::Ended)?;
        let from = child.stdout.take().ok_or(DeciderError::Ended)?;
        let waiting = Waiting::default();
        let answers = Arc::clone(&waiting);
        tokio::spawn(async move {
            let mut lines = BufReader::new(from).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                let answer: Value = serde_json::from_str(&line).unwrap_or_default();
                let id = answer.get("id").and_then(Value::as_u64).unwrap_or_default();
                let asker = answers.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
                if let Some(asker) = asker {
                    // The asker may have gone.
                    asker.send(answer).ok();
                }
            }
            // No more answers will come. Dropping the senders ends every wait.
            answers.lock().unwrap_or_else(PoisonError::into_inner).clear();
        });
        Ok(Self { next: AtomicU64::new(1), to: tokio::sync::Mutex::new(to), waiting, _child: child })
    }

    /// Decides `question`.
    ///
    /// # Errors
    ///
    /// [`DeciderError`] if the decider gives no verdict.
    pub(crate) async fn decide(&self, question: &Question) -> Result<Verdict, DeciderError> {
        let unreadable = |error: serde_json::Error| DeciderError::Unreadable(error.to_string());
        let mut line = serde_json::to_value(question).map_err(unreadable)?;
        for check in line.get_mut("checks").and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(modelled) = check.get_mut("modelled").and_then(Value::as_array_mut) {
                modelled.extend(crate::map::table::GLOBAL.iter().map(|key| json!(key)));
            }
        }
        let verdict: Verdict = serde_json::from_value(self.ask(line).await?).map_err(unreadable)?;
        if verdict.error.is_none() && verdict.checks.len() != question.checks.len() {
            return Err(DeciderError::Unreadable("it does not answer every check".to_owned()));
        }
        Ok(verdict)
    }

    /// Asks the evaluator for the answer of AWS's policy simulator to `question`.
    ///
    /// # Errors
    ///
    /// [`DeciderError`] if there is no answer, or if [`Simulated`] cannot be read from it.
    pub(crate) async fn simulate(&self, question: Value) -> Result<Simulated, DeciderError> {
        let mut answer = self.ask(question).await?;
        let unreadable = || DeciderError::Unreadable("it has none of `error`, `invalid` and `results`".to_owned());
        let fields = answer.as_object_mut().ok_or_else(unreadable)?;
        // An error answer also has the fields of a decision, so `error` is looked up first.
        let outcome = ["error", "invalid", "results"]
            .iter()
            .find_map(|name| Some(json!({ *name: fields.remove(*name)? })))
            .ok_or_else(unreadable)?;
        serde_json::from_value(outcome).map_err(|error| DeciderError::Unreadable(error.to_string()))
    }

    /// The entries of AWS's service authorization reference for `actions`.
    #[cfg(test)]
    pub(crate) async fn facts(&self, actions: &[&str]) -> Result<Value, DeciderError> {
        let answer = self.ask(json!({ "facts": actions })).await?;
        Ok(answer.get("facts").cloned().unwrap_or_default())
    }

    async fn ask(&self, mut line: Value) -> Result<Value, DeciderError> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        if let Some(fields) = line.as_object_mut() {
            fields.insert("id".to_owned(), json!(id));
        }
        let (sender, receiver) = oneshot::channel();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(id, sender);
        let mut to = self.to.lock().await;
        let sent = to.write_all(format!("{line}\n").as_bytes()).await;
        let sent = match sent {
            Ok(()) => to.flush().await,
            Err(error) => Err(error),
        };
        drop(to);
        sent.map_err(|_| DeciderError::Ended)?;
        match tokio::time::timeout(ANSWER_TIMEOUT, receiver).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) | Err(_) => Err(DeciderError::Ended),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The folder with the evaluator. `None` if this run has no evaluator; the function then prints that the test is
    /// skipped. `BREVET_TEST_REQUIRE_LOCAL=1` makes that a failure.
    pub(crate) fn modules(test: &str) -> Option<std::path::PathBuf> {
        use std::io::Write;

        let modules = std::env::var_os("BREVET_DECIDER_MODULES");
        if modules.is_none() {
            let required = std::env::var("BREVET_TEST_REQUIRE_LOCAL").is_ok_and(|text| text == "1");
            assert!(!required, "`{test}`: `BREVET_DECIDER_MODULES` must name the folder with the evaluator");
            // `println!` would be captured while the test passes.
            let written = writeln!(std::io::stderr(), "SKIPPED `{test}`: `BREVET_DECIDER_MODULES` names no folder");
            drop(written);
        }
        modules.map(Into::into)
    }

    /// A decider whose program has `good` replaced by `bad`.
    pub(crate) fn sabotaged(modules: &Path, good: &str, bad: &str) -> Decider {
        assert!(PROGRAM.contains(good), "`{good}` is not in the program");
        Decider::start_program(&PROGRAM.replace(good, bad), modules).unwrap()
    }

    #[tokio::test]
    async fn decider_that_exits_gives_no_verdict() {
        let decider = Decider::start_program("process.exit(3)", Path::new("/nowhere"));
        let question = Question {
            principal: String::new(),
            identity: Vec::new(),
            session: None,
            boundary: None,
            checks: Vec::new(),
        };
        let ended = decider.unwrap().decide(&question).await;
        assert!(matches!(ended, Err(DeciderError::Ended)), "{ended:?}");
    }
}
