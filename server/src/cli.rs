//! The command line: the server by itself, or one of the commands beside it.

use clap::builder::styling::Styles;
use clap::{ArgMatches, Command, CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::Shell;

use crate::check::Check;
use crate::config::Config;
use crate::health::Health;

/// Of the program, with the commit that it was built from where that was named.
pub const VERSION: &str = env!("BRIGADE_VERSION");

const EXAMPLES: &str = "\
Examples:
  Try it, with a store of its own in ./data:
    bucket-brigade
  Store into a bucket of AWS, with the keys of AWS_PROFILE or this machine's role:
    AWS_REGION=eu-north-1 bucket-brigade --bucket my-uploads
  See what is missing for another store, then serve behind a proxy on this machine:
    export AWS_ENDPOINT_URL=https://s3.example.org AWS_ACCESS_KEY_ID=... AWS_SECRET_ACCESS_KEY=...
    bucket-brigade check --bucket my-uploads
    bucket-brigade --bucket my-uploads --trusted-proxy 127.0.0.1";

/// What `-h` shows; `--help` has the rest.
const USUAL: [&str; 12] = [
    "listen",
    "bucket",
    "data_dir",
    "max_document_size",
    "max_image_size",
    "buffer_memory",
    "max_uploads",
    "allowed_origins",
    "trusted_proxies",
    "metrics_listen",
    "log_format",
    "print_config",
];

/// All that the program is told by its arguments and its environment.
#[derive(Debug, Parser)]
#[command(
    name = "bucket-brigade",
    version = VERSION,
    about = "Streams a document and an image from a browser into S3, with progress that tells the truth.",
    long_about = "Streams a document and an image from a browser into S3, with progress that tells the truth.\n\n\
        Each option can be given by a flag or by its variable; the flag wins. AWS settings are AWS's own (AWS_REGION, \
        AWS_ENDPOINT_URL, AWS_PROFILE, AWS_ACCESS_KEY_ID, roles). Without --bucket they are ignored, and the server \
        brings its own S3.",
    after_help = EXAMPLES,
    args_conflicts_with_subcommands = true,
    styles = Styles::plain()
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Beside>,
    #[command(flatten)]
    pub config: Config,
    /// Print the configuration as it is, secrets hidden, and end
    #[arg(long, help_heading = "Observability")]
    pub print_config: bool,
}

/// What the program does instead of serving.
#[derive(Debug, Subcommand)]
pub enum Beside {
    Check(Box<Check>),
    Health(Health),
    /// Print the completions for a shell
    Completions {
        shell: Shell,
    },
}

/// The command line's definition: what is parsed, helped with, completed and listed in the README.
#[must_use]
pub fn command() -> Command {
    // What a variable holds now is for --print-config.
    let without_values = |command: Command| command.mut_args(|arg| arg.hide_env_values(true));
    without_values(Cli::command()).mut_subcommands(without_values).mut_args(|arg| {
        let is_rare = !USUAL.contains(&arg.get_id().as_str());
        arg.hide_short_help(is_rare)
    })
}

/// Prints the completions for a shell.
pub fn complete(shell: Shell) {
    clap_complete::generate(shell, &mut command(), "bucket-brigade", &mut std::io::stdout());
}

/// Reads arguments and environment. Of what cannot be read it says so, and ends the process.
#[must_use]
pub fn read() -> (Cli, ArgMatches) {
    let matches = command().get_matches();
    match Cli::from_arg_matches(&matches) {
        Ok(cli) => (cli, matches),
        Err(error) => error.exit(),
    }
}
