//! The gate: IAM enforcement, faults and a call log in front of the local stack. Test equipment, never shipped.
//!
//! A reverse proxy on loopback. It knows the sessions that were vended through it, maps each call to the actions,
//! resources and context that AWS would ask IAM about, lets AWS's evaluation logic decide on the live documents, and
//! forwards what is allowed. A call it does not map is refused. It does not listen before a battery of known denials was
//! denied.

mod battery;
mod caller;
mod clock;
mod config;
mod control;
mod decide;
mod effect;
mod fault;
mod identify;
mod inbound;
mod live;
mod map;
mod proxy;
mod record;
mod refuse;
mod serve;
mod sigv4;
mod simulate;
mod strip;
mod upstream;
mod vend;
mod xml;

use std::process::ExitCode;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::caller::Sessions;
use crate::config::Config;
use crate::decide::Decider;
use crate::fault::Faults;
use crate::identify::Issuer;
use crate::live::Live;
use crate::map::Place;
use crate::proxy::Gate;
use crate::record::Record;
use crate::upstream::Upstream;

type AnyError = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env()
                .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info")),
        )
        .init();
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut text = error.to_string();
            let mut cause = error.source();
            while let Some(error) = cause {
                text.push_str(": ");
                text.push_str(&error.to_string());
                cause = error.source();
            }
            tracing::error!("the gate does not start: {text}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), AnyError> {
    let config = Config::from_env(|name| std::env::var(name).ok())?;
    // Before anything listens: is the decider to be trusted?
    let decider = Decider::start(&config.modules)?;
    let n_verdicts = battery::run(&decider).await?;
    tracing::info!("battery: {n_verdicts} verdicts as they must be");

    let place =
        Place { partition: config.partition.clone(), region: "us-east-1".to_owned(), account: config.account.clone() };
    let upstream = Upstream::new();
    let listener = TcpListener::bind(config.listen)
        .await
        .map_err(|error| format!("`{}` cannot be listened on: {error}", config.listen))?;
    tracing::info!("listening on {}", config.listen);
    let gate = Arc::new(Gate {
        decider,
        live: Live::new(upstream.clone(), config.localstack, config.dynamodb, &place),
        upstream,
        sessions: Sessions::default(),
        faults: Faults::default(),
        record: Record::open(&config.log)?,
        issuer: Issuer::default(),
        n_verdicts,
        config,
    });
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        () = serve::serve(gate, listener) => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
