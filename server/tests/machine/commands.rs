//! What the binary does besides serving, and what it says of itself.

use std::fmt::Write;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use clap::ArgAction;
use server::cli;

use crate::after::has_only;
use crate::support::bucket::Bucket;
use crate::support::child::Child;
use crate::support::fixture::Dir;
use crate::support::log::keep_secret;
use crate::support::proxy::Proxy;
use crate::support::store::{ACCESS_KEY, BUCKET, Op, SECRET_KEY, ScriptedStore};

/// Runs the binary to its end, with this environment and no other.
async fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bucket-brigade"));
    command.args(arguments).env_clear().envs(environment.iter().copied()).stdin(Stdio::null());
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// What it printed, where it ended well.
fn printed(output: &Output) -> &str {
    assert!(output.status.success(), "{}: {}", output.status, text(&output.stderr));
    text(&output.stdout)
}

async fn check(store: SocketAddr) -> Output {
    let endpoint = format!("http://{store}");
    let keys = [("AWS_ACCESS_KEY_ID", ACCESS_KEY), ("AWS_SECRET_ACCESS_KEY", SECRET_KEY)];
    run(&["check", "--bucket", BUCKET], &[&keys[..], &[("AWS_ENDPOINT_URL", &endpoint)]].concat()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_tries_all_that_the_server_does() {
    keep_secret(SECRET_KEY);
    let stored = Dir::new();
    let store = ScriptedStore::start(&stored.path.join("store")).await;
    let bucket = Bucket::at(store.plain);
    let well = check(store.addr).await;
    assert_eq!(printed(&well).matches("  ok      ").count(), 7, "{}", printed(&well));
    assert!(printed(&well).starts_with(&format!("s3://{BUCKET} at http://{}", store.addr)));
    let all = [Op::HeadBucket, Op::Put, Op::Head, Op::Create, Op::UploadPart, Op::Complete];
    for op in all.into_iter().chain([Op::ListUploads, Op::Abort, Op::Delete]) {
        assert!(store.calls().iter().any(|call| call.op == op), "{op:?} is tried");
    }
    for (op, right) in [
        (Op::HeadBucket, "s3:ListBucket"),
        (Op::Put, "s3:PutObject"),
        (Op::Head, "s3:GetObject"),
        (Op::Create, "s3:PutObject"),
        (Op::UploadPart, "s3:PutObject"),
        (Op::ListUploads, "s3:ListBucketMultipartUploads"),
        (Op::Abort, "s3:AbortMultipartUpload"),
        (Op::Delete, "s3:DeleteObject"),
    ] {
        store.on(op).fails(403, "AccessDenied");
        let refused = check(store.addr).await;
        let told = text(&refused.stdout);
        assert_eq!(refused.status.code(), Some(1), "{op:?}: {told}");
        let failed = told.lines().filter(|line| line.contains("FAILED")).collect::<Vec<_>>();
        assert!(!failed.is_empty() && failed.iter().any(|line| line.contains(right)), "{op:?}: {told}");
        store.forget_rules();
        // What it was not allowed to take away is all that it leaves.
        for key in bucket.keys().await {
            assert_eq!(op, Op::Delete, "{key} is left");
            bucket.delete(&key).await;
        }
        for (key, id) in bucket.open_uploads().await {
            assert_eq!(op, Op::Abort, "{key} is open");
            bucket.abort(&key, &id).await;
        }
    }
    // A store without the list is good for all else.
    store.on(Op::ListUploads).fails(501, "NotImplemented");
    let without = check(store.addr).await;
    assert!(printed(&without).contains("  LACKS   list what is being written: "), "{}", printed(&without));
    assert_eq!(printed(&without).matches("  ok      ").count(), 6);
    store.forget_rules();
    let mut proxy = Proxy::start(store.addr).await;
    proxy.refuse().await;
    let down = check(proxy.addr).await;
    assert_eq!(down.status.code(), Some(1));
    assert!(text(&down.stdout).contains("FAILED  reach the bucket: "), "{}", text(&down.stdout));
}

/// The store that comes along is checked as any other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_without_a_bucket() {
    let dir = Dir::new();
    let data_dir = dir.path.join("server").display().to_string();
    let arguments = ["check", "--data-dir", &data_dir, "--store-listen", "127.0.0.1:0"];
    assert_eq!(printed(&run(&arguments, &[]).await).matches("  ok      ").count(), 7);
    has_only(&dir, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_asks_the_server() {
    let stored = Dir::new();
    let store = ScriptedStore::start(&stored.path.join("store")).await;
    let server = Child::setup().storing_at(store.addr).start().await;
    let address = server.address.to_string();
    let (live, ready) = (["health", "--listen", &address], ["health", "--ready", "--listen", &address]);
    assert_eq!(printed(&run(&live, &[]).await), "{\"status\":\"ok\"}\n");
    assert_eq!(printed(&run(&["health"], &[("BRIGADE_LISTEN", &address)]).await), "{\"status\":\"ok\"}\n");
    assert_eq!(printed(&run(&ready, &[]).await), "{\"status\":\"ready\"}\n");
    // A server that listens on every address is asked on loopback.
    let everywhere = format!("0.0.0.0:{}", server.address.port());
    printed(&run(&["health", "--listen", &everywhere], &[]).await);
    server.stop().await;
    let gone = run(&live, &[]).await;
    assert_eq!(gone.status.code(), Some(1));
    assert!(text(&gone.stderr).contains(&address), "{}", text(&gone.stderr));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_tells_why_it_is_not_ready() {
    let stored = Dir::new();
    let store = ScriptedStore::start(&stored.path.join("store")).await;
    store.on(Op::HeadBucket).fails(503, "SlowDown");
    let server = Child::setup().storing_at(store.addr).start().await;
    let address = server.address.to_string();
    printed(&run(&["health", "--listen", &address], &[]).await);
    let not_ready = run(&["health", "--ready", "--listen", &address], &[]).await;
    assert_eq!(not_ready.status.code(), Some(1));
    assert!(text(&not_ready.stderr).contains("storage_busy"), "{}", text(&not_ready.stderr));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_configuration_is_printed_without_secrets() {
    let secrets = [("BRIGADE_SECRET", "open-sesame"), ("AWS_SECRET_ACCESS_KEY", "open-barley")];
    let environment =
        [("BRIGADE_MAX_UPLOADS", "7"), ("BRIGADE_BUCKET", "other"), ("AWS_REGION", "eu-north-1")];
    let keys = ["--store-access-key", "a-name", "--store-secret-key", "open-rye"];
    let arguments = [&["--print-config", "--bucket", "mine", "--trusted-proxy", "10.0.0.0/8,::1"], &keys[..]];
    let output = run(&arguments.concat(), &[&secrets[..], &environment].concat()).await;
    let told = printed(&output);
    for line in [
        "BRIGADE_BUCKET=mine",
        "BRIGADE_MAX_UPLOADS=7",
        "BRIGADE_TRUSTED_PROXIES=10.0.0.0/8,::1",
        "#BRIGADE_PART_SIZE=5MiB",
        "BRIGADE_SECRET=(not shown)",
        "BRIGADE_STORE_ACCESS_KEY=a-name",
        "BRIGADE_STORE_SECRET_KEY=(not shown)",
        "AWS_REGION=eu-north-1",
        "AWS_SECRET_ACCESS_KEY=(not shown)",
    ] {
        assert!(told.lines().any(|other| other == line), "{line} in {told}");
    }
    assert!(!told.contains("open-"), "{told}");
}

/// As people write them into variables.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn switches_are_read_in_words() {
    for word in ["on", "off", "yes", "no", "true", "false", "1", "0"] {
        for variable in ["BRIGADE_ALLOW_SVG", "BRIGADE_S3_PATH_STYLE"] {
            let output = run(&["--print-config"], &[(variable, word)]).await;
            assert!(printed(&output).contains(&format!("\n{variable}={word}\n")), "{word}");
        }
    }
    let output = run(&["--print-config"], &[("BRIGADE_ALLOW_SVG", "perhaps")]).await;
    assert!(!output.status.success() && text(&output.stderr).contains("--allow-svg"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn help_names_every_option_and_its_variable() {
    let (long, short) = (run(&["--help"], &[]).await, run(&["-h"], &[("COLUMNS", "100")]).await);
    let long = printed(&long);
    for option in options() {
        assert!(long.contains(&option.flag) && long.contains(&option.variable), "{}", option.flag);
    }
    assert_eq!(long.matches("[env: ").count(), options().len());
    assert!(long.contains("Examples:"));
    assert!(printed(&short).lines().count() <= 60, "one screen:\n{}", printed(&short));
    assert_eq!(printed(&run(&["--version"], &[]).await), format!("bucket-brigade {}\n", cli::VERSION));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn completions_are_what_the_shell_reads() {
    for (shell, word) in
        [("bash", "--max-document-size"), ("zsh", "--max-document-size"), ("fish", "max-document-size")]
    {
        let output = run(&["completions", shell], &[]).await;
        assert!(printed(&output).contains(word), "{shell}");
        let dir = Dir::new();
        let script = dir.path.join("script");
        fs::write(&script, printed(&output)).unwrap();
        if shell == "bash" {
            assert!(Command::new("bash").arg("-n").arg(&script).status().unwrap().success());
        }
    }
}

/// An option as the README lists it.
struct Listed {
    heading: String,
    flag: String,
    variable: String,
    default: String,
    what: String,
}

fn options() -> Vec<Listed> {
    let command = cli::command();
    let options = command.get_arguments().filter_map(|arg| {
        let help = arg.get_help()?.to_string();
        // A default that is no value is told with the option.
        let (what, told) = help.split_once(" [default: ").unwrap_or((&help, ""));
        let values: Vec<_> = arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
        let is_switch = matches!(arg.get_action(), ArgAction::SetTrue);
        let default = match (values.as_slice(), told.trim_end_matches(']')) {
            _ if is_switch => "off".to_owned(),
            ([], "") => "none".to_owned(),
            ([], told) => told.to_owned(),
            (values, _) => format!("`{}`", values.join(",")),
        };
        let choices: Vec<_> =
            arg.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect();
        let choices = match choices.as_slice() {
            [] => String::new(),
            _ if is_switch || arg.is_hide_possible_values_set() => String::new(),
            choices => format!(" (`{}`)", choices.join("`, `")),
        };
        Some(Listed {
            heading: arg.get_help_heading()?.to_owned(),
            flag: format!("--{}", arg.get_long()?),
            variable: arg.get_env()?.to_str()?.to_owned(),
            default,
            what: format!("{}{choices}", what.replace(" (repeatable)", "; may be repeated")),
        })
    });
    options.collect()
}

/// What stands in the README between the lines that say that a test holds it.
const BEGIN: &str =
    "<!-- options: written by `BRIGADE_WRITE_README=1 cargo xtask test the_readme_lists` -->\n";
const END: &str = "<!-- end of options -->";

#[test]
fn the_readme_lists_every_option() {
    let mut table = String::from("| option | variable | default | what it is |\n| --- | --- | --- | --- |\n");
    let mut heading = String::new();
    for option in options() {
        if heading != option.heading {
            heading = option.heading;
            let _ = writeln!(table, "| **{heading}** | | | |");
        }
        let Listed { flag, variable, default, what, .. } = option;
        let _ = writeln!(table, "| `{flag}` | `{variable}` | {default} | {what} |");
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let readme = fs::read_to_string(&path).unwrap();
    let (before, rest) = readme.split_once(BEGIN).expect("the table's beginning is marked");
    let (listed, after) = rest.split_once(END).expect("and its end");
    if std::env::var_os("BRIGADE_WRITE_README").is_some() {
        fs::write(&path, [before, BEGIN, &table, END, after].concat()).unwrap();
        return;
    }
    assert!(listed == table, "the README's table is not that of the command line:\n{table}");
}
