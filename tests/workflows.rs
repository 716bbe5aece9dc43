//! The workflows in .github run on machines that are not here: this holds what can be told without them. Each parses, runs
//! targets of the Makefile that are there, names files that are there, pins what it uses and asks for no right it does not need.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;

/// The workflows: names and contents.
fn workflows() -> Vec<(String, Value)> {
    let folder = Path::new(".github/workflows");
    let mut found: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let text = std::fs::read_to_string(folder.join(&name)).unwrap();
            let parsed = serde_saphyr::from_str(&text);
            (name.clone(), parsed.unwrap_or_else(|error| panic!("{name}: {error}")))
        })
        .collect();
    found.sort_by(|one, other| one.0.cmp(&other.0));
    found
}

/// Each job of each workflow: `FILE: JOB`, and the job.
fn jobs(workflows: &[(String, Value)]) -> Vec<(String, &Value)> {
    let jobs = workflows.iter().flat_map(|(file, workflow)| {
        let jobs = workflow["jobs"].as_object().unwrap();
        jobs.iter().map(move |(name, job)| (format!("{file}: {name}"), job))
    });
    jobs.collect()
}

/// Each step of each job.
fn steps(workflows: &[(String, Value)]) -> Vec<(String, &Value)> {
    let steps = jobs(workflows).into_iter().flat_map(|(place, job)| {
        let steps = job["steps"].as_array().unwrap();
        steps.iter().map(move |step| (format!("{place}: {step}"), step))
    });
    steps.collect()
}

#[test]
fn there_are_two_and_each_says_when_it_runs() {
    let found = workflows();
    let names: Vec<_> = found.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["release.yml", "test.yml"]);
    assert_eq!(found[0].1["on"]["push"]["tags"], serde_json::json!(["v*"]));
    assert!(found[1].1["on"].get("pull_request").is_some() && found[1].1["on"]["push"].is_object());
}

#[test]
fn every_job_has_a_machine_an_end_and_steps_that_do_one_thing() {
    let found = workflows();
    for (place, job) in jobs(&found) {
        assert!(job["runs-on"].is_string(), "{place}");
        assert!(job["timeout-minutes"].is_u64(), "{place}");
        if let Some(need) = job.get("needs").and_then(Value::as_str) {
            assert!(
                jobs(&found).iter().any(|(other, _)| other.ends_with(&format!(": {need}"))),
                "{place}"
            );
        }
    }
    for (place, step) in steps(&found) {
        assert!(step["run"].is_string() != step["uses"].is_string(), "{place}");
    }
}

/// By a commit, so that nobody changes it later; the version stands behind it for people.
#[test]
fn what_is_used_is_pinned() {
    for (place, step) in steps(&workflows()) {
        if let Some(uses) = step["uses"].as_str() {
            let (action, commit) = uses.split_once('@').unwrap();
            assert!(action.starts_with("actions/"), "{place}");
            assert!(
                commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit()),
                "{place}"
            );
        }
    }
}

#[test]
fn only_the_job_that_publishes_writes_and_it_builds_nothing() {
    let found = workflows();
    for (file, workflow) in &found {
        let whole = workflow["permissions"].as_object().unwrap();
        assert!(whole.iter().all(|(name, right)| name == "contents" && right == "read"), "{file}");
    }
    for (place, job) in jobs(&found) {
        let rights = job.get("permissions").and_then(Value::as_object);
        let writes = rights.is_some_and(|rights| rights.values().any(|right| right == "write"));
        assert_eq!(writes, place == "release.yml: publish", "{place}");
        let text = job.to_string();
        assert!(!writes || !(text.contains("cargo") || text.contains("make ")), "{place}");
        assert!(!text.contains("secrets."), "{place}: the job's own token is enough");
    }
    for (place, step) in steps(&found) {
        if step["uses"].as_str().is_some_and(|uses| uses.starts_with("actions/checkout@")) {
            assert_eq!(step["with"]["persist-credentials"], false, "{place}");
        }
    }
}

/// What somebody else's text can stand in (a branch's name, a title) must not be pasted into a script.
#[test]
fn no_script_has_expressions_in_it() {
    for (place, step) in steps(&workflows()) {
        assert!(!step["run"].as_str().unwrap_or_default().contains("${{"), "{place}");
    }
}

#[test]
fn make_targets_and_files_that_are_named_are_there() {
    let makefile = std::fs::read_to_string("Makefile").unwrap();
    let targets: BTreeSet<_> =
        makefile.lines().filter_map(|line| Some(line.split_once(':')?.0)).collect();
    let found = workflows();
    let (mut made, mut named) = (BTreeSet::new(), 0);
    for (place, step) in steps(&found) {
        let script = step["run"].as_str().unwrap_or_default();
        for line in script.lines().filter_map(|line| line.strip_prefix("make ")) {
            let target = line.split(' ').next().unwrap();
            assert!(targets.contains(target), "{place}: `make {target}`");
            made.insert(target.to_owned());
        }
        let files = [
            "Cargo.toml",
            "CHANGELOG.md",
            "examples/oci/Dockerfile",
            "rust-toolchain.toml",
            "envoy/requirements.txt",
        ];
        for file in files.iter().filter(|file| step.to_string().contains(**file)) {
            assert!(Path::new(file).is_file(), "{place}: `{file}`");
            named += 1;
        }
    }
    assert!(named > 3);
    let expected = ["dist", "fuzz", "lint", "reproduce", "test"];
    assert_eq!(made.iter().map(String::as_str).collect::<Vec<_>>(), expected);
    // What CI runs here is what it runs there.
    let here = std::fs::read_to_string(".ci/run").unwrap();
    let there = found[1].1.to_string();
    for line in here.lines().filter(|line| line.starts_with("make ")) {
        assert!(there.contains(&format!("\"run\":\"{line}\"")), "test.yml does not run `{line}`");
    }
}
