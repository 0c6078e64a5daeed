//! What the fuzzer has found, on the stable compiler: every file of every corpus.

use std::fs;
use std::path::{Path, PathBuf};

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus")
}

fn inputs(target: &str) -> Vec<PathBuf> {
    let folder = corpus().join(target);
    let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    files.map(|file| file.expect("a folder that can be read").path()).collect()
}

#[test]
fn no_input_that_was_ever_found_breaks_a_promise() {
    for (name, target) in hostile::TARGETS {
        let inputs = inputs(name);
        assert!(inputs.len() >= 10, "the corpus of {name} is missing");
        for input in inputs {
            println!("{}", input.display());
            target(&fs::read(&input).unwrap());
        }
    }
}

#[test]
fn every_target_is_fuzzed_and_has_a_corpus_of_its_own() {
    let names: Vec<String> = hostile::TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    for folder in ["fuzz_targets", "corpus"] {
        let folder = corpus().join("..").join(folder);
        let found = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let mut found: Vec<String> =
            found.map(|path| path.file_stem().unwrap().to_string_lossy().into_owned()).collect();
        found.sort();
        assert_eq!(found, names);
    }
}

#[test]
fn the_corpus_stays_small() {
    let files = hostile::TARGETS.iter().flat_map(|(name, _)| inputs(name));
    let sum: u64 = files.map(|file| file.metadata().unwrap().len()).sum();
    assert!(sum < 1 << 20, "{sum} bytes");
}
