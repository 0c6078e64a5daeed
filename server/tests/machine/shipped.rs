//! What is shipped beside the binary says what the binary does: the unit, the policy, the pages for operators.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Command as CommandLine;
use serde_json::Value;
use server::cli;
use server::error::Failure;
use server::kind::ObjectKey;

use crate::support::fixture::{Dir, RIGHTS};
use crate::support::store::Op;

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(name: &str) -> String {
    let path = workspace().join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn json(name: &str) -> Value {
    serde_json::from_str(&read(name)).unwrap()
}

/// What systemd finds in the unit, with the binary where it says.
fn analyze(arguments: &[&str]) {
    let dir = Dir::new();
    let unit = dir.path.join("bucket-brigade.service");
    let text = read("docs/deploy/bucket-brigade.service");
    let there = text.replace("/usr/local/bin/bucket-brigade", env!("CARGO_BIN_EXE_bucket-brigade"));
    assert_ne!(text, there, "it names the binary");
    fs::write(&unit, there).unwrap();
    let output = Command::new("systemd-analyze").args(arguments).arg(&unit).output().unwrap();
    let (said, warned) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && warned.is_empty(), "{}: {said}{warned}", output.status);
}

#[test]
fn systemd_reads_the_unit() {
    analyze(&["verify"]);
    // In tenths, of 10 that a service without any of this has; 1.1 with systemd 252.
    analyze(&["security", "--offline=true", "--threshold=15"]);
}

/// What a setting of the unit is.
fn setting(unit: &str, name: &str) -> u64 {
    let value = unit.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    let digits: String = value.unwrap().chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap()
}

fn default_of(command: &CommandLine, flag: &str) -> u64 {
    let arg = command.get_arguments().find(|arg| arg.get_long() == Some(flag)).unwrap();
    let value = arg.get_default_values()[0].to_str().unwrap();
    value.trim_end_matches(|c: char| !c.is_ascii_digit()).parse().unwrap()
}

#[test]
fn the_unit_leaves_room_for_the_defaults() {
    let (unit, command) = (read("docs/deploy/bucket-brigade.service"), cli::command());
    assert_eq!(setting(&unit, "TimeoutStopSec"), default_of(&command, "shutdown-grace") + 15);
    assert!(setting(&unit, "MemoryMax") >= 2 * default_of(&command, "buffer-memory"));
}

/// Whatever else a document says, each variable of ours that it names is one.
#[test]
fn documents_name_variables_that_there_are() {
    let command = cli::command();
    let known: BTreeSet<&str> = command.get_arguments().filter_map(|arg| arg.get_env()?.to_str()).collect();
    let builders = ["BRIGADE_COMMIT", "BRIGADE_WRITE_README"];
    let mut named = 0;
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        for variable in text.split(|c: char| !c.is_ascii_uppercase() && c != '_' && !c.is_ascii_digit()) {
            if variable.starts_with("BRIGADE_") && !builders.contains(&variable) {
                assert!(known.contains(variable), "{variable} in {}", document.display());
                named += 1;
            }
        }
    }
    assert!(named >= 10, "they are read: {named}");
}

fn documents() -> Vec<PathBuf> {
    let mut found = vec![workspace().join("Dockerfile"), workspace().join("compose.yaml")];
    let mut folders = vec![workspace().join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path()) {
            match entry.extension().and_then(|extension| extension.to_str()) {
                None if entry.is_dir() => folders.push(entry),
                None | Some("md" | "service" | "env" | "conf" | "cfg") => found.push(entry),
                Some(_) => {}
            }
        }
    }
    found
}

/// The right that a call needs, and whether it is one on the bucket instead of its objects.
fn right(op: Op) -> (&'static str, bool) {
    match op {
        Op::Put | Op::Create | Op::UploadPart | Op::Complete => ("PutObject", false),
        Op::Head | Op::Get => ("GetObject", false),
        Op::Delete => ("DeleteObject", false),
        Op::Abort => ("AbortMultipartUpload", false),
        Op::ListParts => ("ListMultipartUploadParts", false),
        Op::ListUploads => ("ListBucketMultipartUploads", true),
        Op::ListObjects | Op::HeadBucket => ("ListBucket", true),
        Op::Other => panic!("the server makes no other call"),
    }
}

/// The folder of each kind of object.
fn folders() -> [&'static str; 2] {
    ObjectKey::PREFIXES.map(|prefix| &prefix[..=prefix.find('/').unwrap()])
}

fn texts(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().unwrap().iter().map(|text| text.as_str().unwrap())
}

#[test]
fn the_policy_allows_what_the_server_does_and_no_more() {
    const BUCKET: &str = "arn:aws:s3:::my-uploads";
    let needed: BTreeSet<_> = RIGHTS
        .into_iter()
        .map(right)
        .flat_map(|(action, is_on_bucket)| {
            let objects = || folders().map(|folder| format!("{BUCKET}/{folder}*")).to_vec();
            let resources = if is_on_bucket { vec![BUCKET.to_owned()] } else { objects() };
            resources.into_iter().map(move |resource| (format!("s3:{action}"), resource))
        })
        .collect();
    let policy = json("docs/aws/policy.json");
    let mut allowed = BTreeSet::new();
    for statement in policy["Statement"].as_array().unwrap() {
        assert_eq!(statement["Effect"], "Allow");
        for action in texts(&statement["Action"]) {
            allowed.extend(
                texts(&statement["Resource"]).map(|resource| (action.to_owned(), resource.to_owned())),
            );
        }
    }
    assert_eq!(allowed, needed);

    let security = read("SECURITY.md");
    let (_, rest) = security.split_once("**The bucket's policy.**").unwrap();
    let (sentence, _) = rest.split_once(';').unwrap();
    let words = sentence.split('`').skip(1).step_by(2).map(|word| word.trim_start_matches("s3:").to_owned());
    let rights = RIGHTS.into_iter().map(|op| right(op).0.to_owned());
    let all = rights.chain(folders().map(|folder| format!("{folder}*")));
    assert_eq!(words.collect::<BTreeSet<_>>(), all.collect::<BTreeSet<_>>());
}

/// The store's own broom leaves alone what the sweeper has not even looked at yet.
#[test]
fn the_lifecycle_rule_comes_after_the_sweeper() {
    let rules = json("docs/aws/lifecycle.json");
    let rules = rules["Rules"].as_array().unwrap();
    let prefixes: Vec<_> = rules.iter().map(|rule| rule["Filter"]["Prefix"].as_str().unwrap()).collect();
    assert_eq!(prefixes, folders());
    for rule in rules {
        let days = rule["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"].as_u64().unwrap();
        assert!(24 * days > default_of(&cli::command(), "sweep-after"));
        assert_eq!(rule["Status"], "Enabled");
        assert!(rule.get("Expiration").is_none(), "what is stored stays");
    }
}

/// A section for each code, with what a person is told of it.
#[test]
fn troubleshooting_knows_every_code() {
    let page = read("docs/troubleshooting.md");
    let sections = page.split("\n#### `").skip(1).map(|section| section.split_once("`\n").unwrap());
    let codes: BTreeSet<&str> = Failure::ALL.iter().map(|failure| failure.code()).collect();
    assert_eq!(sections.clone().map(|(code, _)| code).collect::<BTreeSet<_>>(), codes);
    assert_eq!(sections.clone().count(), codes.len(), "each once");
    for failure in Failure::ALL {
        let (code, section) = sections.clone().find(|(code, _)| *code == failure.code()).unwrap();
        let words = section.split_whitespace().collect::<Vec<_>>().join(" ");
        let status = format!("{}: ", failure.status().as_u16());
        assert!(words.starts_with(&status) && words.contains(failure.sentence()), "{code}: {words}");
    }
}
