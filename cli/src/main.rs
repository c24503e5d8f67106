//! The `brevet` command: checks, compiles and explains a catalogue, and verifies evidence, without AWS.

mod catalogue;
mod confirm;
mod dev;
mod evidence;
mod explain;
mod input;
mod plan;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use catalogue::{Format, Text};
use clap::{Parser, Subcommand};

/// Temporary AWS permissions, with proof that each one ended.
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
    /// Check a catalogue and its cases; print a summary, or each mistake with its correction.
    Check {
        /// The catalogue's folder.
        dir: PathBuf,
        /// The output format of mistakes and warnings.
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// Print how a change of the catalogue changes decisions: who may have what, before and after.
    Plan {
        /// The folder of the catalogue as it was.
        old: PathBuf,
        /// The folder of the catalogue as it will be.
        new: PathBuf,
    },
    Explain(Box<explain::Explain>),
    /// Confirm that a table is in service, at first and after a restore: print the item that the deploying role puts.
    ///
    /// Decisions made on the table before the confirmation end. Without a confirmation, nothing is issued.
    Confirm {
        /// The file with the output of `aws dynamodb describe-table`; `-` for standard input.
        file: PathBuf,
        /// Who confirms it, in free text.
        #[arg(long)]
        by: String,
        /// The installation is new: nothing was ever issued. Never use it after a restore: restored decisions must be
        /// voided.
        #[arg(long)]
        first: bool,
    },
    /// Work on the evidence of a grant.
    #[command(subcommand)]
    Evidence(EvidenceCommand),
    /// Work with the local stack.
    #[command(subcommand)]
    Dev(DevCommand),
}

#[derive(Debug, Subcommand)]
enum DevCommand {
    Token(dev::Token),
}

#[derive(Debug, Subcommand)]
enum EvidenceCommand {
    /// Check the chain in a response of `GET /v1/grants/{id}/evidence`.
    Verify {
        /// The file with the response; `-` for standard input.
        file: PathBuf,
    },
}

fn main() -> ExitCode {
    let output = match Arguments::parse().command {
        Command::Bundle { dir } => catalogue::bundle(&dir),
        Command::Check { dir, format } => catalogue::check(&dir, format),
        Command::Plan { old, new } => plan::plan(&old, &new),
        Command::Explain(arguments) => explain::explain(*arguments),
        Command::Confirm { file, by, first } => confirm::confirm(&file, &by, first).map(Text::out).map_err(Text::err),
        Command::Dev(DevCommand::Token(asked)) => dev::token(&asked).map(Text::out).map_err(Text::err),
        Command::Evidence(EvidenceCommand::Verify { file }) => {
            evidence::verify(&file).map(Text::out).map_err(Text::err)
        }
    };
    let (text, code) = match output {
        Ok(text) => (text, ExitCode::SUCCESS),
        Err(text) => (text, ExitCode::FAILURE),
    };
    // If the pipe is closed, nobody reads the output, so the command fails.
    print(&text).map_or(ExitCode::FAILURE, |()| code)
}

fn print(text: &Text) -> std::io::Result<()> {
    if !text.err.is_empty() {
        writeln!(std::io::stderr(), "{}", text.err)?;
    }
    if !text.out.is_empty() {
        writeln!(std::io::stdout(), "{}", text.out)?;
    }
    Ok(())
}
