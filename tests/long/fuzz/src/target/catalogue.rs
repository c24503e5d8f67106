//! Catalogues: any text as any file of a catalogue compiles, or is refused with its location, in bounded time.
//!
//! The compiler gets only UTF-8: other files are refused before. So the mutations are of text.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use brevet_chance::Chance;
use brevet_domain::entitlement::{Delivery, Entitlement};
use brevet_policy::Bundle;
use brevet_policy::catalogue::{CatalogueError, Compiled, Sources, compile};

use super::{error_text, must, oracle};
use crate::harness::{Target, Verdict, Worker};
use crate::mutate;

/// One file alone: many runs of the YAML and Cedar parsers.
pub(crate) const FILES: Target = Target {
    name: "files",
    holds: "any text as one file of a catalogue is read, or refused with its location; never a panic, in bounded time",
    full: 600_000,
    short: 1_000,
    reaches: &["refused"],
    start: || Ok(Box::new(Catalogue { alone: true, ..Catalogue::new()? })),
};

/// The example catalogue with one or two changed files: also everything after the parsers.
pub(crate) const CATALOGUES: Target = Target {
    name: "catalogues",
    holds: "the changed example compiles to a bundle that loads, or is refused with its location; no lint is bypassed",
    full: 40_000,
    short: 24,
    reaches: &["refused", "compiled"],
    start: || Ok(Box::new(Catalogue::new()?)),
};

/// Actions that allow escalation: an entitlement with one of them must be break-glass.
const ESCALATIONS: [&str; 6] = [
    "iam:CreateAccessKey",
    "iam:PutRolePolicy",
    "iam:AttachUserPolicy",
    "iam:CreatePolicyVersion",
    "iam:UpdateAssumeRolePolicy",
    "iam:PutUserPolicy",
];

const WORDS: [&str; 84] = [
    "id",
    "owner",
    "class",
    "teams",
    "proofs",
    "issuer",
    "issuers",
    "claims",
    "task",
    "algorithms",
    "jwks_uri",
    "jwks",
    "delivery",
    "target",
    "credential_s",
    "principal",
    "holder",
    "policy",
    "max_term_s",
    "start_within_s",
    "parameters",
    "pattern",
    "max_length",
    "statements",
    "actions",
    "resources",
    "conditions",
    "approval",
    "count",
    "within_s",
    "ticket_required",
    "conflicts",
    "break_glass",
    "cases",
    "expect",
    "approvers",
    "says",
    "human",
    "pipeline",
    "workload",
    "agent",
    "inline",
    "managed",
    "session",
    "iam:PassRole",
    "iam:*",
    "i?m:Put*",
    "*",
    "s3:*",
    "NotAction",
    "sts:AssumeRole",
    "${account}",
    "${version}",
    "${",
    "(a+)+$",
    "((((((((((a{9}){9}){9}){9}){9}){9}){9}){9}){9})",
    "\\p{L}",
    "[a-",
    "&a ",
    "*a",
    "<<: *a",
    "!!binary ",
    "!!str ",
    "|\n",
    ">-\n",
    "---\n",
    "...\n",
    "%YAML 1.2\n",
    "'",
    "\"",
    "# ",
    "~",
    ".nan",
    "0x10",
    "permit(principal, action, resource);",
    "forbid",
    " when { ",
    " unless { ",
    "principal",
    "context",
    " has ",
    " like \"*\"",
    "@id(\"x\")",
    "if true then false else ",
];

/// YAML whose aliases would expand without end.
const BOMB: &str = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n\
d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\n\
g: &g [*f,*f,*f,*f,*f,*f,*f,*f,*f]\nh: &h [*g,*g,*g,*g,*g,*g,*g,*g,*g]\n";

struct Catalogue {
    example: BTreeMap<String, String>,
    names: Vec<String>,
    alone: bool,
}

/// The folder of the example catalogue. It is read at run time, because checkouts may share a target folder.
fn folder() -> Result<PathBuf, String> {
    let package =
        std::env::var_os("CARGO_MANIFEST_DIR").ok_or("CARGO_MANIFEST_DIR is not set; start this with `cargo run`")?;
    Ok(Path::new(&package).join("../../../infra/catalogue"))
}

/// The files of the example catalogue.
fn example() -> Result<BTreeMap<String, String>, String> {
    Sources::read(&folder()?).map(|sources| sources.0).map_err(error_text)
}

/// The entitlements of the example catalogue.
pub(crate) fn example_entitlements() -> Result<Vec<Entitlement>, String> {
    let bundle = Bundle::load(&compile(&Sources(example()?)).map_err(error_text)?.bundle).map_err(error_text)?;
    Ok(bundle.entitlements().cloned().collect())
}

impl Catalogue {
    fn new() -> Result<Self, String> {
        let mut example = example()?;
        if let Ok(readme) = fs::read_to_string(folder()?.join("README.md")) {
            // Its code blocks contain every key.
            example.insert("README.md".to_owned(), readme);
        }
        let names = example.keys().filter(|name| *name != "README.md").cloned().collect();
        Ok(Self { example, names, alone: false })
    }

    fn changed(&self, chance: &mut Chance, name: &str) -> String {
        let others: Vec<&[u8]> = self.example.values().map(|text| text.as_bytes()).collect();
        let start = if chance.one_in(32) { chance.pick(&self.names) } else { name };
        let start = if chance.one_in(512) { BOMB } else { self.example[start].as_str() };
        mutate::text(chance, start, &others, &WORDS)
    }
}

impl Worker for Catalogue {
    fn run(&mut self, chance: &mut Chance) -> Verdict {
        let mut files = self.example.clone();
        files.remove("README.md");
        let mut touched = Vec::new();
        for _ in 0..if self.alone { 1 } else { 1 + chance.below(2) } {
            let name = chance.pick(&self.names).clone();
            let text = self.changed(chance, &name);
            match chance.below(64) {
                0 => drop(files.remove(&name)),
                1 => drop(files.insert(name.replace(['a', 'e'], "o"), text)),
                _ => drop(files.insert(name.clone(), text)),
            }
            touched.push(name);
        }
        if self.alone {
            files.retain(|name, _| touched.contains(name) || name == "issuers.yaml");
        }
        let sources = Sources(files);
        let read = match compile(&sources) {
            Err(error) => refused(&error, &sources).map(|()| "refused"),
            Ok(compiled) => {
                let again = if chance.one_in(8) { Some(compile(&sources)) } else { None };
                let same = again.is_none_or(|again| again.is_ok_and(|again| again.bundle == compiled.bundle));
                must(same, || "a second compilation gave another bundle".to_owned())
                    .and_then(|()| sound(&compiled))
                    .map(|()| "compiled")
            }
        };
        let shown = || {
            touched
                .iter()
                .map(|name| format!("\n--- {name}\n{}", sources.0.get(name).map_or("", |text| text)))
                .collect::<String>()
        };
        read.map_err(|why| format!("{why}{}", shown()))
    }
}

/// Checks a refusal: it has at least one finding, and each finding has a location that exists.
fn refused(error: &CatalogueError, sources: &Sources) -> Result<(), String> {
    must(!error.findings.is_empty(), || "refused without a reason".to_owned())?;
    for finding in &error.findings {
        let shown = || format!("finding {finding:?}");
        must(!finding.message.trim().is_empty() && !finding.file.is_empty(), shown)?;
        must((finding.line == 0) == (finding.column == 0), shown)?;
        if finding.line > 0 {
            let text = sources.0.get(&finding.file).ok_or_else(shown)?;
            // YAML also ends a line at a lone carriage return.
            let n_lines = text.matches(['\n', '\r']).count() as u64 + 1;
            must(finding.line <= n_lines + 1, shown)?;
        }
    }
    Ok(())
}

/// Checks a compiled bundle: it loads, and contains nothing that the compiler must refuse.
fn sound(compiled: &Compiled) -> Result<(), String> {
    let bundle = Bundle::load(&compiled.bundle).map_err(|error| format!("the bundle does not load: {error}"))?;
    let index = compiled.bundle.index().map_err(error_text)?;
    for entitlement in bundle.entitlements() {
        let shown = || format!("it compiled and should have been refused: {entitlement:?}");
        must(entitlement.approval.count >= 1 && !entitlement.statements.is_empty(), shown)?;
        must(index.identities.contains_key(&entitlement.owner), shown)?;
        if let Delivery::Session { credential_s, .. } = &entitlement.delivery {
            must((900..=3600).contains(credential_s), shown)?;
        }
        for statement in &entitlement.statements {
            must(!statement.actions.is_empty() && !statement.resources.is_empty(), shown)?;
            let escalates = |action: &String| ESCALATIONS.iter().any(|made| oracle::covers(action, made));
            must(entitlement.break_glass.is_some() || !statement.actions.iter().any(escalates), shown)?;
        }
    }
    for identity in index.identities.values() {
        must(!identity.proofs.iter().any(|rule| rule.claims.is_empty()), || format!("{identity:?}"))?;
    }
    Ok(())
}
