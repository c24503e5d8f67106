//! The gate's settings, read from its environment.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

/// Access key id that bypasses enforcement: the deploying administrator of the local stack.
pub(crate) const BOOTSTRAP_KEY: &str = "AKIABREVETBOOTSTRAP0";
/// Secret of [`BOOTSTRAP_KEY`]. Worth nothing outside one machine's loopback.
pub(crate) const BOOTSTRAP_SECRET: &str = "bootstrap";

/// The gate's settings, parsed once.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// Where the gate listens; always loopback.
    pub(crate) listen: SocketAddr,
    /// `LocalStack`: IAM, STS, S3, Secrets Manager, and every other service that the bootstrap key calls.
    pub(crate) localstack: SocketAddr,
    /// DynamoDB Local: tables and streams.
    pub(crate) dynamodb: SocketAddr,
    /// cargo-lambda's Invoke API.
    pub(crate) lambda: SocketAddr,
    /// Twelve digits.
    pub(crate) account: String,
    /// `aws` by default.
    pub(crate) partition: String,
    /// Call log: one JSON object a line, appended.
    pub(crate) log: PathBuf,
    /// Folder that holds the `node_modules` with the evaluator.
    pub(crate) modules: PathBuf,
}

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("`{name}` is not set; set it to {expected}")]
    Missing {
        name: &'static str,
        /// The content that the variable should have.
        expected: &'static str,
    },
    #[error("`{name}` is `{value}`, which is not a port from 1 to 65535")]
    Port { name: &'static str, value: String },
}

impl Config {
    /// Reads the settings through `env`, which answers a variable's value.
    ///
    /// # Errors
    ///
    /// [`ConfigError`], naming the variable, if one is missing or is not a port.
    pub(crate) fn from_env(env: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let port = |name: &'static str, default: u16| match env(name) {
            None => Ok(loopback(default)),
            Some(value) => match value.parse::<u16>() {
                Ok(port) if port > 0 => Ok(loopback(port)),
                Ok(_) | Err(_) => Err(ConfigError::Port { name, value }),
            },
        };
        let path = |name: &'static str, expected: &'static str| {
            env(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
                .ok_or(ConfigError::Missing { name, expected })
        };
        Ok(Self {
            listen: port("BREVET_PORT_GATE", 4600)?,
            localstack: port("BREVET_PORT_LOCALSTACK", 4566)?,
            dynamodb: port("BREVET_PORT_DYNAMODB", 8000)?,
            lambda: port("BREVET_PORT_LAMBDA", 9000)?,
            account: env("BREVET_ACCOUNT").unwrap_or_else(|| "000000000000".to_owned()),
            partition: env("BREVET_PARTITION").unwrap_or_else(|| "aws".to_owned()),
            log: path("BREVET_GATE_LOG", "the path of the call log, which is appended to")?,
            modules: path(
                "BREVET_DECIDER_MODULES",
                "the folder whose `node_modules` holds `@cloud-copilot/iam-simulate`",
            )?,
        })
    }
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_log_is_named() {
        let error = Config::from_env(|_| None).unwrap_err();
        let expected = "`BREVET_GATE_LOG` is not set; set it to the path of the call log, which is appended to";
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn invalid_port_is_named() {
        let error = Config::from_env(|name| (name == "BREVET_PORT_GATE").then(|| "0".to_owned()));
        assert_eq!(error.unwrap_err().to_string(), "`BREVET_PORT_GATE` is `0`, which is not a port from 1 to 65535");
    }
}
