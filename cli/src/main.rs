//! The `brevet` command: checks, compiles and explains a catalogue, and verifies evidence, without AWS.

mod catalogue;
mod confirm;
mod evidence;
mod explain;
mod input;
mod plan;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use catalogue::{Format, Text};
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
    /// Check a catalogue, its cases too, and print a summary; or what is wrong, and what would be right.
    Check {
        /// The catalogue's folder.
        dir: PathBuf,
        /// How to tell what is wrong.
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// Print what a change of the catalogue does to decisions: who may have what, before and after.
    Plan {
        /// The folder of the catalogue as it was.
        old: PathBuf,
        /// The folder of the catalogue as it will be.
        new: PathBuf,
    },
    Explain(Box<explain::Explain>),
    /// Say that a table is in service, at first and after a restore, and print the item that the deploying role puts.
    ///
    /// What was decided over a table before this ends, and nothing is issued over a table without it.
    Confirm {
        /// The file with what `aws dynamodb describe-table` prints of the table; `-` for standard input.
        file: PathBuf,
        /// Who says so, for people.
        #[arg(long)]
        by: String,
        /// The installation is new: nothing was ever issued. Never after a restore, which must void what it brought back.
        #[arg(long)]
        first: bool,
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
    let said = match Arguments::parse().command {
        Command::Bundle { dir } => catalogue::bundle(&dir),
        Command::Check { dir, format } => catalogue::check(&dir, format),
        Command::Plan { old, new } => plan::plan(&old, &new),
        Command::Explain(asked) => explain::explain(*asked),
        Command::Confirm { file, by, first } => confirm::confirm(&file, &by, first).map(Text::out).map_err(Text::err),
        Command::Evidence(EvidenceCommand::Verify { file }) => {
            evidence::verify(&file).map(Text::out).map_err(Text::err)
        }
    };
    let (text, code) = match said {
        Ok(text) => (text, ExitCode::SUCCESS),
        Err(text) => (text, ExitCode::FAILURE),
    };
    // A closed pipe: nobody reads the answer, so it was not given.
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
