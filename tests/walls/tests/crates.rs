//! The dependencies between crates, as cargo resolves them.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that unwraps nothing fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use brevet_walls::{root, sources};
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package, PackageId};

/// The workspace as cargo resolves it for this machine.
fn metadata() -> Metadata {
    let rustc = Command::new("rustc").arg("-vV").output().expect("rustc runs").stdout;
    let rustc = String::from_utf8(rustc).unwrap();
    let host = rustc.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .other_options(["--locked".to_owned(), "--filter-platform".to_owned(), host.to_owned()])
        .exec()
        .expect("cargo metadata answers")
}

/// The members under `folder` (`shared`, `functions`, `cli`, `tests`), by name.
fn members<'a>(metadata: &'a Metadata, folder: &str) -> BTreeMap<&'a str, &'a Package> {
    let folder = root().join(folder);
    let found: BTreeMap<_, _> = metadata
        .workspace_packages()
        .into_iter()
        .filter(|package| package.manifest_path.as_std_path().starts_with(&folder))
        .map(|package| (package.name.as_str(), package))
        .collect();
    assert!(!found.is_empty(), "no crate under {folder:?}");
    found
}

/// The shipped crates: all except the test crates.
fn shipped(metadata: &Metadata) -> BTreeMap<&str, &Package> {
    ["shared", "functions", "cli"].into_iter().flat_map(|folder| members(metadata, folder)).collect()
}

/// The direct dependencies of `package`, including optional ones and those of its build script.
fn direct(package: &Package) -> BTreeSet<&str> {
    let linked = package.dependencies.iter().filter(|d| d.kind != DependencyKind::Development);
    linked.map(|dependency| dependency.name.as_str()).collect()
}

/// Like [`direct`], including the dependencies of tests.
fn direct_with_tests(package: &Package) -> BTreeSet<&str> {
    package.dependencies.iter().map(|dependency| dependency.name.as_str()).collect()
}

/// The names of all packages that `package` links, without itself.
fn linked(metadata: &Metadata, package: &Package) -> BTreeSet<String> {
    let nodes = &metadata.resolve.as_ref().unwrap().nodes;
    let next: BTreeMap<&PackageId, Vec<&PackageId>> = nodes
        .iter()
        .map(|node| {
            let linked =
                |d: &&cargo_metadata::NodeDep| d.dep_kinds.iter().any(|k| k.kind != DependencyKind::Development);
            (&node.id, node.deps.iter().filter(linked).map(|d| &d.pkg).collect())
        })
        .collect();
    let (mut seen, mut open) = (BTreeSet::new(), vec![&package.id]);
    while let Some(id) = open.pop() {
        for id in next.get(id).into_iter().flatten() {
            if seen.insert(*id) {
                open.push(id);
            }
        }
    }
    seen.into_iter().map(|id| metadata[id].name.to_string()).collect()
}

/// The list in `allowed.txt`: crate, dependency and reason, one a line.
fn allowed() -> BTreeMap<String, BTreeSet<String>> {
    let mut allowed = BTreeMap::<String, BTreeSet<String>>::new();
    for line in include_str!("../allowed.txt").lines().filter(|l| !l.is_empty() && !l.starts_with('#')) {
        let mut words = line.split_whitespace().map(str::to_owned);
        let (crate_, dependency) = (words.next().unwrap(), words.next().expect("a dependency"));
        assert!(words.next().is_some(), "`{line}` gives no reason");
        assert!(allowed.entry(crate_).or_default().insert(dependency), "`{line}` occurs twice");
    }
    allowed
}

#[test]
fn shared_crates_depend_on_exactly_what_the_list_allows() {
    let metadata = metadata();
    let found: BTreeMap<_, BTreeSet<_>> = members(&metadata, "shared")
        .into_iter()
        .map(|(name, package)| (name.to_owned(), direct(package).into_iter().map(str::to_owned).collect()))
        .collect();
    let allowed = allowed();
    for (name, found) in &found {
        let allowed = allowed.get(name).cloned().unwrap_or_default();
        let news: Vec<_> = found.difference(&allowed).collect();
        let gone: Vec<_> = allowed.difference(found).collect();
        assert!(
            news.is_empty(),
            "`{name}` now depends on {news:?}: add it with a reason to tests/walls/allowed.txt, or do without it"
        );
        assert!(gone.is_empty(), "`{name}` no longer depends on {gone:?}: remove it from tests/walls/allowed.txt");
    }
    assert_eq!(allowed.keys().collect::<Vec<_>>(), found.keys().collect::<Vec<_>>());
}

#[test]
fn shared_crates_depend_in_one_direction() {
    let metadata = metadata();
    for (name, below) in [
        ("brevet-domain", &[][..]),
        ("brevet-policy", &["brevet-domain"]),
        ("brevet-identity", &["brevet-domain"]),
        ("brevet-api", &["brevet-domain"]),
        ("brevet-engine", &["brevet-domain"]),
        ("brevet-aws", &["brevet-domain", "brevet-engine"]),
        ("brevet-lambda", &["brevet-api", "brevet-domain", "brevet-engine", "brevet-identity"]),
    ] {
        let shared = members(&metadata, "shared");
        let found = direct(shared.get(name).unwrap());
        let ours: Vec<_> = found.into_iter().filter(|d| d.starts_with("brevet-")).collect();
        assert!(ours.iter().all(|d| below.contains(d)), "`{name}` depends on {ours:?}; allowed are {below:?}");
    }
}

#[test]
fn only_brevet_aws_names_aws_sdks_and_only_functions_link_them() {
    let metadata = metadata();
    let sdk = |name: &str| name.starts_with("aws-sdk-") || name.starts_with("aws-smithy-") || name == "aws-config";
    assert!(direct(members(&metadata, "shared")["brevet-aws"]).into_iter().any(sdk), "the test must find SDKs at all");
    for (name, package) in shipped(&metadata) {
        let named: Vec<_> = direct_with_tests(package).into_iter().filter(|d| sdk(d)).collect();
        assert!(named.is_empty() || name == "brevet-aws", "`{name}` names {named:?}");
    }
    for folder in ["shared", "cli"] {
        for (name, package) in members(&metadata, folder) {
            let found: Vec<_> = linked(&metadata, package).into_iter().filter(|d| sdk(d)).collect();
            assert!(found.is_empty() || name == "brevet-aws", "`{name}` links {found:?}");
        }
    }
}

#[test]
fn only_brevet_policy_names_cedar_and_only_evaluate_and_cli_link_it() {
    let metadata = metadata();
    for (name, package) in shipped(&metadata) {
        let named = direct_with_tests(package).contains("cedar-policy");
        assert_eq!(named, name == "brevet-policy", "`{name}`");
        let links = linked(&metadata, package).contains("cedar-policy");
        let may = ["brevet-policy", "brevet-cli", "brevet-evaluate"].contains(&name);
        assert!(!links || may, "`{name}` links Cedar: only the evaluator decides");
    }
}

#[test]
fn domain_links_no_async_or_network_crate() {
    let metadata = metadata();
    let found = linked(&metadata, members(&metadata, "shared")["brevet-domain"]);
    assert!(found.contains("chrono") && found.contains("sha2"), "the test must find linked crates at all");
    for never in ["tokio", "futures", "async-trait", "mio", "hyper", "reqwest", "tracing", "aws-config"] {
        assert!(!found.contains(never), "the domain links `{never}`");
    }
    assert!(!found.iter().any(|name| name.starts_with("futures-") || name.starts_with("async-")));
}

#[test]
fn functions_link_no_other_function_and_only_their_own_services() {
    let metadata = metadata();
    let functions = members(&metadata, "functions");
    assert_eq!(functions.len(), 5);
    for (name, package) in &functions {
        let others: Vec<_> = direct_with_tests(package).into_iter().filter(|d| functions.contains_key(d)).collect();
        assert!(others.is_empty(), "`{name}` depends on {others:?}");
        let services: BTreeSet<_> = package
            .dependencies
            .iter()
            .filter(|d| d.name == "brevet-aws")
            .flat_map(|d| d.features.iter().map(String::as_str))
            .collect();
        let allowed: &[&str] = match name.rsplit('-').next().unwrap() {
            "intake" => &["dynamodb", "invoke"],
            "evaluate" => &["dynamodb"],
            "issue" => &["dynamodb", "iam", "sts"],
            "reap" => &["dynamodb", "iam", "secretsmanager"],
            "drill" => &["dynamodb", "sts"],
            _ => &[],
        };
        assert_eq!(services, allowed.iter().copied().collect(), "`{name}`");
    }
}

#[test]
fn shipped_crates_do_not_link_the_fakes() {
    let metadata = metadata();
    for (name, package) in shipped(&metadata) {
        let fakes = package
            .dependencies
            .iter()
            .filter(|d| d.kind != DependencyKind::Development)
            .any(|d| d.features.iter().any(|feature| feature == "test-util"));
        assert!(!fakes, "`{name}` links the fakes of `test-util`");
    }
}

#[test]
fn every_written_test_is_run() {
    let metadata = metadata();
    let in_src = |package: &Package| sources(package.manifest_path.parent().unwrap().join("src").as_std_path());
    let mut unrun = Vec::new();
    for package in metadata.workspace_packages() {
        // Only `cargo test` runs a doc example.
        let documented = in_src(package).into_iter().map(|file| (file, &["/// ```", "//! ```"][..]));
        // `test = false` avoids a second build of a target. If no target is tested, no file under `src` may contain a
        // test.
        let is_code = |target: &&cargo_metadata::Target| target.is_lib() || target.is_bin();
        let code: Vec<_> = package.targets.iter().filter(is_code).collect();
        let untested = if code.iter().any(|target| target.test) {
            code.iter().filter(|target| !target.test).map(|target| target.src_path.clone().into()).collect()
        } else {
            in_src(package)
        };
        let tested = untested.into_iter().map(|file| (file, &["#[test]", "proptest! {"][..]));
        for (file, words) in documented.chain(tested) {
            let text = fs::read_to_string(&file).unwrap();
            let holds = |line: &str| words.iter().any(|word| line.trim_start().starts_with(word));
            unrun.extend(text.lines().filter(|line| holds(line)).map(|line| format!("{}: {line}", file.display())));
        }
    }
    assert!(unrun.is_empty(), "these would never run: move them into `tests`, or remove `test = false`: {unrun:#?}");
}

/// Checkouts may share a target folder, so cargo may run a binary of another checkout, with that one's compiled-in
/// path.
#[test]
fn tests_do_not_compile_in_the_path_of_their_checkout() {
    let word = concat!("env!(\"CARGO_", "MANIFEST_DIR\")");
    let files = ["shared", "functions", "cli", "tests"].iter().flat_map(|folder| sources(&root().join(folder)));
    let found: Vec<_> = files.filter(|path| fs::read_to_string(path).unwrap().contains(word)).collect();
    assert!(found.is_empty(), "read the variable CARGO_MANIFEST_DIR as the test runs instead: {found:?}");
}

/// A folder of the engine is what one function does. What two functions share lies outside the folders.
#[test]
fn engine_folder_of_a_function_imports_from_no_other_functions_folder() {
    let engine = root().join("shared/engine/src");
    let functions = ["intake", "evaluate", "issue", "reap", "drill"];
    let mut found = Vec::new();
    for function in functions {
        let files = sources(&engine.join(function));
        assert!(!files.is_empty(), "{function} has no files");
        for path in files {
            let text = fs::read_to_string(&path).unwrap();
            let others = functions.into_iter().filter(|other| *other != function);
            found.extend(
                others.filter(|other| text.contains(&format!("crate::{other}::"))).map(|other| (path.clone(), other)),
            );
        }
    }
    assert!(found.is_empty(), "a folder is a function, which is an IAM role: move what both need out of it: {found:?}");
}
