//! PROMISES.md names, for each promise, a test that there is; so does each fault that a client, its network, the store
//! or the machine may have.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

/// The catalogue of faults: HTTP framing, sizes, forms and types (there is no C12), the store, what a client does, the
/// socket, process and machine. A test's name begins with the rows that it is for.
const ROWS: [(char, RangeInclusive<u32>); 8] = [
    ('a', 1..=22),
    ('b', 1..=12),
    ('c', 1..=11),
    ('c', 13..=17),
    ('d', 1..=27),
    ('e', 1..=8),
    ('f', 1..=20),
    ('g', 1..=15),
];
/// No form has an idempotency key.
const NOT_YET: [&str; 1] = ["c17"];

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The names of every test of the server and of what it shares with the page.
fn all_tests() -> BTreeSet<String> {
    let crates = ["server/src", "server/tests", "app/src", "ingress/src", "embedded/src"];
    let folders = crates.map(|folder| workspace().join(folder));
    let files = folders.iter().flat_map(|folder| sources(folder));
    files.flat_map(|file| test_names(&std::fs::read_to_string(file).unwrap())).collect()
}

#[test]
fn every_fault_has_its_test() {
    let proven: BTreeSet<String> = all_tests().iter().flat_map(|name| rows_of(name)).collect();
    let rows =
        ROWS.into_iter().flat_map(|(section, numbers)| numbers.map(move |n| format!("{section}{n:02}")));
    let missing: Vec<String> = rows.filter(|row| !proven.contains(row)).collect();
    assert_eq!(missing, NOT_YET);
}

/// The rows that a test's name begins with.
fn rows_of(name: &str) -> Vec<String> {
    let is_row = |word: &&str| {
        let (section, number) = word.split_at(1);
        number.len() == 2 && section.chars().all(|c| c.is_ascii_lowercase()) && number.parse::<u32>().is_ok()
    };
    name.split('_').take_while(|word| !word.is_empty() && is_row(word)).map(str::to_owned).collect()
}

#[test]
fn every_promise_names_its_test() {
    let text = std::fs::read_to_string(workspace().join("PROMISES.md")).unwrap();
    let tests = all_tests();
    let unproven: Vec<String> = promises(&text).filter_map(|promise| complaint(promise, &tests)).collect();
    assert_eq!(unproven, Vec::<String>::new());
    assert!(promises(&text).count() >= 30, "they are all read");
}

/// SECURITY.md has every line of the catalogue's checklist, with a test that there is, or with its reason.
#[test]
fn every_line_of_the_checklist_has_its_test_or_its_reason() {
    let text = std::fs::read_to_string(workspace().join("SECURITY.md")).unwrap();
    let tests = all_tests();
    let lines: Vec<Vec<&str>> = text.lines().filter(|line| line.starts_with("| S")).map(cells).collect();
    let numbers: Vec<&str> = lines.iter().map(|line| line[0]).collect();
    assert_eq!(numbers, (1..=43).map(|n| format!("S{n}")).collect::<Vec<_>>());
    for line in lines {
        let proof = line[2];
        assert!(!proof.is_empty(), "{}: neither test nor reason", line[0]);
        // A name in the proof that looks like a test's is one.
        let names = proof.split('`').skip(1).step_by(2).filter(|name| name.matches('_').count() >= 2);
        let missing: Vec<&str> = names.filter(|name| !tests.contains(*name)).collect();
        assert_eq!(missing, Vec::<&str>::new(), "{}", line[0]);
    }
}

/// The cells of a table's line.
fn cells(line: &str) -> Vec<&str> {
    line.trim_matches('|').split('|').map(str::trim).collect()
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

/// The functions of a source that every run of the tests calls.
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
        let is_attribute = line.starts_with("#[") && !line.starts_with("#[ignore");
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
    let source = "#[test]\nfn one() {}\n#[tokio::test(flavor = \"multi_thread\")]\n#[should_panic]\nasync fn two() {}\nfn three() {}\n#[test]\n#[ignore]\nfn four() {}";
    let tests = BTreeSet::from_iter(test_names(source));
    assert_eq!(tests, BTreeSet::from(["one".to_owned(), "two".to_owned()]));
    assert_eq!(complaint("Kept. `one` `two`", &tests), None);
    assert_eq!(complaint("Kept.", &tests).unwrap(), "no test: Kept.");
    assert_eq!(
        complaint("Kept. `one` `three`", &tests).unwrap(),
        "there is no test three: Kept. `one` `three`"
    );
}

#[test]
fn the_rows_of_a_test_are_those_that_it_is_named_after() {
    assert_eq!(rows_of("a06_b12_a_name_f20"), ["a06", "b12"]);
    assert_eq!(rows_of("the_a06"), Vec::<String>::new());
}
