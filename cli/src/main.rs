//! The `brevet` command: checks and compiles a catalogue, and verifies evidence, without AWS.

mod catalogue;
mod evidence;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Temporary AWS permissions that are proved to have ended.
#[derive(Debug, Parser)]
#[command(name = "brevet", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Compile a catalogue and print the bundle as one line of JSON.
    Bundle {
        /// The catalogue's folder.
        dir: PathBuf,
    },
    /// Check a catalogue and print a summary.
    Check {
        /// The catalogue's folder.
        dir: PathBuf,
    },
    /// Work on the evidence of a grant.
    #[command(subcommand)]
    Evidence(EvidenceCommand),
}

#[derive(Debug, Subcommand)]
enum EvidenceCommand {
    /// Check the chain in an answer of `GET /v1/grants/{id}/evidence`.
    Verify {
        /// The file with the answer; `-` for standard input.
        file: PathBuf,
    },
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Bundle { dir } => catalogue::bundle(&dir),
        Command::Check { dir } => catalogue::check(&dir),
        Command::Evidence(EvidenceCommand::Verify { file }) => evidence::verify(&file),
    };
    let (written, code) = match done {
        Ok(line) => (writeln!(std::io::stdout(), "{line}"), ExitCode::SUCCESS),
        Err(message) => (writeln!(std::io::stderr(), "{message}"), ExitCode::FAILURE),
    };
    // A closed pipe: nobody reads the answer, so it was not given.
    written.map_or(ExitCode::FAILURE, |()| code)
}
