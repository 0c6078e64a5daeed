//! PROMISES.md names, for each promise, a test that there is.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[test]
fn every_promise_names_its_test() {
    let text = std::fs::read_to_string(workspace().join("PROMISES.md")).unwrap();
    let tests: BTreeSet<String> = ["server/src", "server/tests", "app/src"]
        .iter()
        .flat_map(|folder| sources(&workspace().join(folder)))
        .flat_map(|file| test_names(&std::fs::read_to_string(file).unwrap()))
        .collect();
    let unproven: Vec<String> = promises(&text).filter_map(|promise| complaint(promise, &tests)).collect();
    assert_eq!(unproven, Vec::<String>::new());
    assert!(promises(&text).count() >= 30, "they are all read");
}

fn promises(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| line.strip_prefix("- "))
}

/// What is wrong with a promise: no test, or one that there is not.
fn complaint(promise: &str, tests: &BTreeSet<String>) -> Option<String> {
    let mut names = promise.split('`').skip(1).step_by(2).peekable();
    if names.peek().is_none() {
        return Some(format!("no test: {promise}"));
    }
    names.find(|name| !tests.contains(*name)).map(|name| format!("there is no test {name}: {promise}"))
}

/// The functions of a source that cargo runs as tests.
fn test_names(source: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut is_test = false;
    for line in source.lines().map(str::trim) {
        let name =
            line.trim_start_matches("async ").strip_prefix("fn ").and_then(|rest| rest.split('(').next());
        match name {
            Some(name) if is_test => names.push(name.to_owned()),
            _ => {}
        }
        let is_attribute = line.starts_with("#[");
        is_test =
            (is_test && is_attribute) || line.starts_with("#[test]") || line.starts_with("#[tokio::test");
    }
    names
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|end| end == "rs") {
            files.push(path);
        }
    }
    files
}

#[test]
fn a_promise_without_a_test_is_found() {
    let source = "#[test]\nfn one() {}\n#[tokio::test(flavor = \"multi_thread\")]\n#[ignore]\nasync fn two() {}\nfn three() {}";
    let tests = BTreeSet::from_iter(test_names(source));
    assert_eq!(tests, BTreeSet::from(["one".to_owned(), "two".to_owned()]));
    assert_eq!(complaint("Kept. `one` `two`", &tests), None);
    assert_eq!(complaint("Kept.", &tests).unwrap(), "no test: Kept.");
    assert_eq!(
        complaint("Kept. `one` `three`", &tests).unwrap(),
        "there is no test three: Kept. `one` `three`"
    );
}
