//! Other people's stores: the same uploads through the front door into each, one test a case and store.
//!
//! By itself against the embedded store and moto's server; with `BRIGADE_STORE_CHECK`, as `cargo xtask store-check` sets
//! it, against the one that the environment names instead, one case after the other, with a report at the end.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
#[expect(unused_imports, reason = "its own tests are run by the programs that have libtest")]
mod support;

mod ended;
mod lacks;
mod operators;
mod report;
mod scene;
mod store;
mod stored;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::process::ExitCode;
use std::time::Instant;

use libtest_mimic::{Arguments, Failed, Trial};
use tokio::runtime::{Builder, Runtime};

use report::Report;
use store::Store;

/// A case, for any store.
type Case = fn(Store) -> Pin<Box<dyn Future<Output = ()>>>;

macro_rules! cases {
    ($($module:ident::$name:ident,)*) => {
        [$((stringify!($name), (|store| Box::pin($module::$name(store))) as Case)),*]
    };
}

const CASES: [(&str, Case); 25] = cases![
    operators::what_it_lacks_is_documented,
    operators::check_says_that_all_is_well,
    stored::the_smallest_document,
    stored::just_under_5_mib,
    stored::exactly_5_mib,
    stored::one_byte_over_5_mib,
    stored::several_equal_parts,
    stored::exactly_25_mib,
    stored::both_files_in_one_form,
    stored::a_small_file_of_unknown_size,
    stored::a_large_file_of_unknown_size,
    stored::a_name_that_is_not_ascii,
    stored::a_download_link,
    stored::checksums_off,
    stored::checksums_on,
    stored::path_style,
    ended::cancelled_over_the_socket,
    ended::the_client_gone_at_60_percent,
    ended::a_wrong_type,
    ended::fewer_bytes_than_declared,
    ended::more_bytes_than_declared,
    operators::what_was_left_open_is_swept,
    operators::what_a_stranger_left_open_is_not,
    operators::keys_that_are_wrong,
    operators::a_bucket_that_does_not_exist,
];

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    let given = std::env::var_os("BRIGADE_STORE_CHECK").is_some();
    let stores = if given { vec![Store::given()] } else { vec![Store::embedded(), Store::moto()] };
    if given && !arguments.list {
        if let Err(used) = runtime().block_on(stores[0].is_free()) {
            eprintln!("{used}");
            return ExitCode::FAILURE;
        }
        // They look at one bucket: what another case stores or leaves open would be in the way.
        arguments.test_threads = Some(1);
    }
    let report = Report::default();
    let each_case = |store: &Store| {
        let (store, report) = (store.clone(), report.clone());
        CASES.map(|(name, case)| trial(name, case, store.clone(), report.clone()))
    };
    let ended = libtest_mimic::run(&arguments, stores.iter().flat_map(each_case).collect());
    if given && !arguments.list {
        report.show(&stores[0]);
    }
    ended.exit_code()
}

fn trial(name: &'static str, case: Case, store: Store, report: Report) -> Trial {
    Trial::test(format!("{}::{name}", store.name()), move || {
        let begun = Instant::now();
        let runtime = runtime();
        let ended = catch_unwind(AssertUnwindSafe(|| runtime.block_on(case(store.clone()))));
        let ended = ended.map_err(|panic| words(&*panic));
        runtime.block_on(store.tidy());
        report.add(name, begun.elapsed(), ended.clone());
        ended.map_err(Failed::from)
    })
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// What a panic says.
fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it panicked without a word").to_owned()
}
