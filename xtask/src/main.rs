//! The project's commands, above all `cargo xtask serve` and `cargo xtask test`: they set up, build and run.

mod bench;
mod fuzz;
mod places;
mod program;
mod server;
mod site;
mod store_check;
mod test;
mod tools;
mod torture;

use std::env;
use std::process::ExitCode;

use places::Places;
use program::Failure;

const USAGE: &str = "\
cargo xtask serve [OPTIONS OF THE SERVER]   build page and server, serve on http://127.0.0.1:3000
cargo xtask build                           build page and server, into target/release/bucket-brigade
cargo xtask test [FILTER]                   build both, run every test, browser included
cargo xtask bench [SCENARIO...] [OPTIONS]   measure the server and its peers in turn, write server/benches/RESULTS.md
cargo xtask torture [OPTIONS]               kill the server or soak it in faults while clients upload
cargo xtask fuzz [OPTIONS] [TARGET]         run libFuzzer on what takes the words of clients apart
cargo xtask store-check [OPTIONS] [CASE]    upload into the store that the environment names, and report
cargo xtask site                            build the page alone, print its weight";

fn main() -> ExitCode {
    let mut arguments = env::args().skip(1);
    let command = arguments.next().unwrap_or_default();
    let rest: Vec<String> = arguments.skip_while(|argument| argument == "--").collect();
    match run(&command, &rest) {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("xtask: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: &str, rest: &[String]) -> Result<ExitCode, Failure> {
    match command {
        "serve" => Err(build()?.run_in_our_place(rest)),
        "build" => {
            println!("{}", build()?.path().display());
            Ok(ExitCode::SUCCESS)
        }
        "test" => test::run(&Places::find()?, rest),
        "bench" => bench::run(&Places::find()?, rest),
        bench::PIPE => bench::pipe::run(rest).map(|()| ExitCode::SUCCESS),
        "torture" => torture::run(&Places::find()?, rest),
        "fuzz" => fuzz::run(&Places::find()?, rest),
        "store-check" => store_check::run(&Places::find()?, rest),
        "site" => site::build(&Places::find()?).map(|()| ExitCode::SUCCESS),
        "help" | "--help" | "-h" => {
            println!("{USAGE}");
            Ok(ExitCode::SUCCESS)
        }
        _ => Err(Failure::new(format!("there are these commands:\n{USAGE}"))),
    }
}

/// The release binary with the page inside.
fn build() -> Result<server::Server, Failure> {
    let places = Places::find()?;
    site::build(&places)?;
    server::build(&places)
}
