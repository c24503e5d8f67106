//! The gate: IAM enforcement, faults and a call log in front of the local stack. Test equipment, never shipped.
//!
//! A reverse proxy on loopback. It knows the sessions that were vended through it. It maps each call to the actions,
//! resources and context of AWS's IAM check, and lets AWS's evaluation logic decide on the live documents. It forwards
//! allowed calls and refuses calls that it does not map. It listens only after a battery of known denials was denied.

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
use crate::map::CallLocation;
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
    // The decider must pass the battery before the gate listens.
    let decider = Decider::start(&config.modules)?;
    let n_verdicts = battery::run(&decider).await?;
    tracing::info!("battery: all {n_verdicts} verdicts are correct");

    let place = CallLocation {
        partition: config.partition.clone(),
        region: "us-east-1".to_owned(),
        account: config.account.clone(),
    };
    let upstream = Upstream::new();
    let listener = TcpListener::bind(config.listen).await.map_err(|error| {
        format!("the gate cannot listen on `{}`: {error}; set `BREVET_PORT_GATE` to a free port", config.listen)
    })?;
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
