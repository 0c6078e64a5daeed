//! The configuration: flags and their environment twins, checked once into types.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

use app::wire::FileType;
use bytesize::ByteSize;
use clap::builder::BoolishValueParser;
use clap::{Args, Command, FromArgMatches, ValueEnum};
use embedded::{FailPart, Switches};
use ipnet::IpNet;

use crate::parts::{MAX_PART_SIZE, MAX_PARTS, MIN_PART_SIZE};

/// Of `--listen`, which `health` has too.
pub const LISTEN_VARIABLE: &str = "BRIGADE_LISTEN";
pub const LISTEN_DEFAULT: &str = "127.0.0.1:3000";
/// S3 signs a link for no longer.
const LONGEST_LINK: Duration = Duration::from_secs(7 * 24 * 3600);

/// What the server is told.
#[derive(Args, Clone, Debug)]
pub struct Config {
    /// Address of the page and the API
    #[arg(
        long,
        env = LISTEN_VARIABLE,
        default_value = LISTEN_DEFAULT,
        help_heading = "Listening",
        value_name = "ADDRESS"
    )]
    pub listen: SocketAddr,
    /// How long running uploads may go on after the first stop signal
    #[arg(long, env = "BRIGADE_SHUTDOWN_GRACE", default_value = "30s", value_parser = parse_duration, help_heading = "Listening", value_name = "TIME")]
    pub shutdown_grace: Duration,
    #[command(flatten)]
    pub storage: StorageConfig,
    #[command(flatten)]
    pub limits: Limits,
    #[command(flatten)]
    pub quota: Quota,
    /// Key that signs the ids of pages [default: made at first start, kept in the data directory]
    #[arg(long, env = "BRIGADE_SECRET", help_heading = "Web page", value_name = "TEXT")]
    pub secret: Option<Secret>,
    /// Another origin whose pages may upload and listen (repeatable) [default: the page's own]
    #[arg(
        long = "allowed-origin",
        env = "BRIGADE_ALLOWED_ORIGINS",
        value_delimiter = ',',
        help_heading = "Web page",
        value_name = "ORIGIN"
    )]
    pub allowed_origins: Vec<String>,
    /// Proxy whose X-Forwarded-For, -Proto and -Host are believed: an address or a network (repeatable)
    #[arg(long = "trusted-proxy",
        env = "BRIGADE_TRUSTED_PROXIES",
        value_delimiter = ',',
        value_parser = parse_network,
        help_heading = "Web page", value_name = "NETWORK")]
    pub trusted_proxies: Vec<IpNet>,
    /// How long a link to a stored file works; 0s gives none
    #[arg(long, env = "BRIGADE_DOWNLOAD_LINKS", default_value = "5m", value_parser = parse_duration, help_heading = "Web page", value_name = "TIME")]
    pub download_links: Duration,
    /// Address of /metrics, which the main listener then does not answer [default: the main listener]
    #[arg(long, env = "BRIGADE_METRICS_LISTEN", help_heading = "Observability", value_name = "ADDRESS")]
    pub metrics_listen: Option<SocketAddr>,
    /// How the log is written [default: text on a terminal, JSON elsewhere]
    #[arg(long, env = "BRIGADE_LOG_FORMAT", help_heading = "Observability", value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
    /// Clocks that only tests change.
    #[arg(skip)]
    pub clocks: Clocks,
    /// Put around all routes; only tests do that.
    #[arg(skip)]
    pub around: Option<fn(axum::Router) -> axum::Router>,
}

/// Where objects go.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Storage")]
pub struct StorageConfig {
    /// Bucket to store into [default: the server brings its own S3]
    #[arg(long, env = "BRIGADE_BUCKET", value_name = "NAME")]
    pub bucket: Option<String>,
    /// Address buckets by path instead of host name [default: on for custom endpoints]
    #[arg(long, env = "BRIGADE_S3_PATH_STYLE", num_args = 0..=1, default_missing_value = "true", value_parser = BoolishValueParser::new(), hide_possible_values = true, value_name = "BOOL")]
    pub s3_path_style: Option<bool>,
    /// Checksums on the wire; auto: on over https, off over http
    #[arg(long, env = "BRIGADE_S3_CHECKSUMS", default_value = "auto", value_name = "WHEN")]
    pub s3_checksums: Checksums,
    /// Server-side encryption that is asked for with each object [default: what the bucket does by itself]
    ///
    /// Only with --bucket: the embedded store encrypts nothing. A store that does not know the header may ignore it.
    #[arg(long, env = "BRIGADE_S3_ENCRYPTION", value_name = "KIND")]
    pub s3_encryption: Option<Encryption>,
    /// Key for aws:kms, its ARN or id [default: the account's aws/s3 key]
    #[arg(long, env = "BRIGADE_S3_KMS_KEY", value_name = "KEY")]
    pub s3_kms_key: Option<String>,
    /// Age at which a multipart upload of ours that was left open is aborted
    ///
    /// Longer than another server on the same bucket may need for one.
    #[arg(long, env = "BRIGADE_SWEEP_AFTER", default_value = "24h", value_parser = parse_duration, value_name = "AGE")]
    pub sweep_after: Duration,
    /// Directory of the embedded store and the secret
    #[arg(long, env = "BRIGADE_DATA_DIR", default_value = "./data", value_name = "DIRECTORY")]
    pub data_dir: PathBuf,
    /// Address of the embedded store's S3 endpoint; its bucket is `uploads`
    #[arg(long, env = "BRIGADE_STORE_LISTEN", default_value = "127.0.0.1:3900", value_name = "ADDRESS")]
    pub store_listen: SocketAddr,
    /// Access key of the embedded store [default: made at first start]
    #[arg(long, env = "BRIGADE_STORE_ACCESS_KEY", requires = "store_secret_key", value_name = "KEY")]
    pub store_access_key: Option<String>,
    /// Secret key of the embedded store [default: made at first start]
    #[arg(long, env = "BRIGADE_STORE_SECRET_KEY", requires = "store_access_key", value_name = "KEY")]
    pub store_secret_key: Option<Secret>,
    #[command(flatten)]
    pub faults: StoreFaults,
    /// Endpoint of the bucket, where it is not AWS's own configuration that says so (tests).
    #[arg(skip)]
    pub endpoint: Option<Endpoint>,
}

impl StorageConfig {
    fn check(&self) -> Result<(), ConfigError> {
        if self.s3_kms_key.is_some() && self.s3_encryption != Some(Encryption::Kms) {
            return Err(ConfigError::KmsKey);
        }
        if self.s3_encryption.is_some() && self.bucket.is_none() {
            return Err(ConfigError::EncryptionEmbedded);
        }
        match (&self.bucket, self.faults.first()) {
            (Some(_), Some(flag)) => Err(ConfigError::FaultsElsewhere(flag)),
            _ => Ok(()),
        }
    }
}

/// What the embedded store does worse than it can, so that one sees what becomes of an upload then.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Faults of the embedded store, to see for yourself")]
pub struct StoreFaults {
    /// How long the store waits before each answer about an object [default: not at all]
    ///
    /// Not before those about the bucket, nor when something is deleted or aborted: the server starts, is ready and
    /// sweeps as ever.
    #[arg(long, env = "BRIGADE_STORE_DELAY", value_parser = parse_duration, value_name = "TIME")]
    pub store_delay: Option<Duration>,
    /// Bytes a second at which the store reads what it is sent, over all connections together [default: no limit]
    #[arg(long, env = "BRIGADE_STORE_RATE", value_parser = parse_rate, value_name = "SIZE")]
    pub store_rate: Option<NonZeroU64>,
    /// Part of each upload whose first attempt the store refuses, or each with N:always [default: none]
    ///
    /// With 503 SlowDown, once it has read the part. An object under 5 MiB is one part.
    #[arg(long, env = "BRIGADE_STORE_FAIL_PART", value_parser = parse_fail_part, value_name = "N[:always]")]
    pub store_fail_part: Option<FailPart>,
}

impl StoreFaults {
    /// The first that was asked for.
    fn first(&self) -> Option<&'static str> {
        let flags = [
            ("--store-delay", self.store_delay.is_some()),
            ("--store-rate", self.store_rate.is_some()),
            ("--store-fail-part", self.store_fail_part.is_some()),
        ];
        flags.into_iter().find_map(|(flag, is_given)| is_given.then_some(flag))
    }

    /// For the store.
    #[must_use]
    pub fn switches(&self) -> Switches {
        Switches {
            delay: self.store_delay.unwrap_or_default(),
            rate: self.store_rate,
            fail_part: self.store_fail_part,
        }
    }
}

/// An S3 endpoint with fixed credentials: the embedded store, or a test's.
#[derive(Clone, Debug)]
pub struct Endpoint {
    pub url: String,
    /// What the store calls itself in signatures.
    pub region: String,
    pub access_key: String,
    pub secret_key: String,
}

/// A setting that is never shown.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// For whoever signs with it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("(not shown)")
    }
}

/// What is accepted, and how much of it at once.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Limits")]
pub struct Limits {
    /// Largest document
    #[arg(long, env = "BRIGADE_MAX_DOCUMENT_SIZE", default_value = "25MiB", value_name = "SIZE")]
    pub max_document_size: ByteSize,
    /// Largest image
    #[arg(long, env = "BRIGADE_MAX_IMAGE_SIZE", default_value = "10MiB", value_name = "SIZE")]
    pub max_image_size: ByteSize,
    /// Most pixels of an image, width times height as its headers say
    ///
    /// By default more than an A0 sheet at 300 dpi or an A4 one at 1200 (139 million), and less than what decoders like
    /// Pillow refuse (179 million).
    #[arg(long, env = "BRIGADE_MAX_IMAGE_PIXELS", default_value_t = 150_000_000, value_name = "N")]
    pub max_image_pixels: u64,
    /// Smallest part of a multipart upload; larger files get larger parts, 10,000 at most
    #[arg(long, env = "BRIGADE_PART_SIZE", default_value = "5MiB", value_name = "SIZE")]
    pub part_size: ByteSize,
    /// Bytes of file content held at any moment, for the whole process
    #[arg(long, env = "BRIGADE_BUFFER_MEMORY", default_value = "256MiB", value_name = "SIZE")]
    pub buffer_memory: ByteSize,
    /// Uploads at once; more are answered 503
    #[arg(long, env = "BRIGADE_MAX_UPLOADS", default_value_t = 1024, value_name = "N")]
    pub max_uploads: usize,
    /// Store SVG images, as attachments
    #[arg(long, env = "BRIGADE_ALLOW_SVG", value_parser = BoolishValueParser::new())]
    pub allow_svg: bool,
}

impl Limits {
    /// The largest file of that type, in bytes.
    #[must_use]
    pub const fn largest(&self, file_type: FileType) -> u64 {
        match file_type {
            FileType::DocsFile => self.max_document_size.as_u64(),
            FileType::MsaImgs => self.max_image_size.as_u64(),
        }
    }
}

/// How much one session, or one address, may do. A session is a browser that has opened the page.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Limits")]
pub struct Quota {
    /// Uploads of one browser session at once; more are answered 429
    #[arg(long, env = "BRIGADE_MAX_UPLOADS_PER_SESSION", default_value_t = 4, value_name = "N")]
    pub max_uploads_per_session: usize,
    /// Progress sockets of one browser session at once
    #[arg(long, env = "BRIGADE_MAX_SOCKETS_PER_SESSION", default_value_t = 8, value_name = "N")]
    pub max_sockets_per_session: usize,
    /// Uploads from one address at once, of IPv6 from one /64 [default: no limit]
    #[arg(long, env = "BRIGADE_MAX_UPLOADS_PER_ADDRESS", value_name = "N")]
    pub max_uploads_per_address: Option<usize>,
    /// Progress sockets from one address at once [default: no limit]
    #[arg(long, env = "BRIGADE_MAX_SOCKETS_PER_ADDRESS", value_name = "N")]
    pub max_sockets_per_address: Option<usize>,
    /// Files of one browser session in an hour [default: no limit]
    #[arg(long, env = "BRIGADE_FILES_PER_HOUR", value_name = "N")]
    pub files_per_hour: Option<u32>,
    /// Bytes of one browser session in an hour [default: no limit]
    #[arg(long, env = "BRIGADE_BYTES_PER_HOUR", value_name = "SIZE")]
    pub bytes_per_hour: Option<ByteSize>,
}

/// `--s3-checksums`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Checksums {
    Auto,
    On,
    Off,
}

/// `--s3-encryption`, in S3's own words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Encryption {
    #[value(name = "AES256")]
    Aes256,
    #[value(name = "aws:kms")]
    Kms,
}

/// `--log-format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

/// Times of FAULTS.md's limits table; the source of each stands there.
#[derive(Clone, Debug)]
pub struct Clocks {
    /// Until a request's head is complete.
    pub request_head: Duration,
    /// Without a byte from the client while we wait for one.
    pub body_silence: Duration,
    /// Over which the client's least rate of 500 B/s is measured.
    pub body_rate_window: Duration,
    /// Without progress at the store while it has bytes to take.
    pub store_stall: Duration,
    /// For the store's answer to Complete, all attempts together.
    pub store_complete: Duration,
    /// First wait before a part is tried again; doubles each time.
    pub store_backoff: Duration,
    /// For a client to end its side of a connection when we have ended ours, so that it reads our last word.
    pub drain: Duration,
    /// Without a byte taken from an answer, or under 500 B/s for so long, while we wait for the client to read.
    pub answer_silence: Duration,
    /// How long a browser's session holds after its last page.
    pub session: Duration,
    /// Between two pings to a watcher.
    pub ping: Duration,
    /// Without a word from a watcher, pongs included, until it counts as gone.
    pub watcher_gone: Duration,
    /// Without movement until `waiting` says why.
    pub waiting_after: Duration,
    /// How long the end of an upload is remembered.
    pub remember: Duration,
    /// Between two tries to abort what was left open.
    pub sweep: Duration,
    /// How long the store's word that the bucket can be had is believed.
    pub ready: Duration,
    /// For an upload to get its window, and one of unknown size to get memory for a whole part.
    pub permit_wait: Duration,
}

impl Default for Clocks {
    fn default() -> Self {
        Self {
            request_head: Duration::from_secs(10),
            body_silence: Duration::from_secs(30),
            body_rate_window: Duration::from_secs(20),
            store_stall: Duration::from_secs(30),
            store_complete: Duration::from_secs(120),
            store_backoff: Duration::from_millis(200),
            drain: Duration::from_secs(5),
            answer_silence: Duration::from_secs(30),
            session: Duration::from_secs(24 * 3600),
            ping: Duration::from_secs(25),
            watcher_gone: Duration::from_secs(60),
            waiting_after: Duration::from_secs(2),
            remember: Duration::from_secs(600),
            sweep: Duration::from_secs(60),
            ready: Duration::from_secs(10),
            permit_wait: Duration::from_secs(30),
        }
    }
}

/// A setting that contradicts another, in one sentence with what to set.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("--part-size must be 5MiB to 5GiB: S3 takes no other parts")]
    PartSize,
    #[error("--buffer-memory must be at least four parts: set it to {0} or more")]
    BufferMemory(ByteSize),
    #[error(
        "--allowed-origin {0}: write it as a browser does, such as https://files.example or http://localhost:8080"
    )]
    AllowedOrigin(String),
    #[error("--download-links must be at most 7 days: S3 signs for no longer")]
    DownloadLinks,
    #[error("--s3-encryption needs --bucket: the embedded store encrypts nothing")]
    EncryptionEmbedded,
    #[error("{0} cannot be had with --bucket: only the embedded store has faults on a switch")]
    FaultsElsewhere(&'static str),
    #[error("--s3-kms-key needs --s3-encryption aws:kms: no other encryption takes a key")]
    KmsKey,
}

impl Config {
    /// What the server starts with when it is told nothing, not even by a variable.
    #[must_use]
    pub fn defaults() -> Self {
        let command = Self::augment_args(Command::new("bucket-brigade"));
        let command = command.mut_args(|arg| arg.env(None::<&str>));
        let defaults = command.try_get_matches_from(["bucket-brigade"]);
        defaults.and_then(|defaults| Self::from_arg_matches(&defaults)).expect("every flag has a default")
    }

    /// # Errors
    /// The first setting that cannot work.
    pub fn check(&self) -> Result<(), ConfigError> {
        let part = self.limits.part_size.as_u64();
        if !(MIN_PART_SIZE..=MAX_PART_SIZE).contains(&part) {
            return Err(ConfigError::PartSize);
        }
        if self.limits.buffer_memory.as_u64() < 4 * part {
            return Err(ConfigError::BufferMemory(ByteSize(4 * part)));
        }
        if let Some(origin) = self.allowed_origins.iter().find(|origin| !is_origin(origin)) {
            return Err(ConfigError::AllowedOrigin(origin.clone()));
        }
        if self.download_links > LONGEST_LINK {
            return Err(ConfigError::DownloadLinks);
        }
        self.storage.check()
    }
}

/// Whether a browser would write an origin so: compared to the letter, no other would ever fit.
#[must_use]
pub fn is_origin(text: &str) -> bool {
    let uri = text.parse::<http::Uri>().ok();
    uri.and_then(|uri| {
        let origin = format!("{}://{}", uri.scheme_str()?, uri.authority()?);
        Some(origin == text && text == text.to_ascii_lowercase() && !text.contains('@'))
    })
    .unwrap_or(false)
}

/// Reads a network, or one address.
fn parse_network(text: &str) -> Result<IpNet, String> {
    let address = || text.parse::<IpAddr>().map(IpNet::from);
    text.parse().or_else(|_| address()).map_err(|_| "an address or a network, such as 10.0.0.0/8".to_owned())
}

/// Reads `30s`, `10m`, `24h`, `250ms`.
fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.parse().map_err(|_| "a number with ms, s, m or h, such as 30s".to_owned())?;
    let duration = match &text[digits.len()..] {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => number.checked_mul(60).map(Duration::from_secs),
        "h" => number.checked_mul(3600).map(Duration::from_secs),
        _ => return Err("the unit must be ms, s, m or h".to_owned()),
    };
    duration.ok_or_else(|| "this is too long".to_owned())
}

/// Reads `2MiB`.
fn parse_rate(text: &str) -> Result<NonZeroU64, String> {
    let size: ByteSize = text.parse()?;
    NonZeroU64::new(size.as_u64()).ok_or_else(|| "a store that reads nothing takes no upload".to_owned())
}

/// Reads `3`, `3:always`.
fn parse_fail_part(text: &str) -> Result<FailPart, String> {
    let (number, always) = match text.split_once(':') {
        None => (text, false),
        Some((number, "always")) => (number, true),
        Some(_) => return Err("what may follow the part is :always".to_owned()),
    };
    let number = number.parse().ok().filter(|number| (1..=MAX_PARTS).contains(&u64::from(*number)));
    let number = number.ok_or_else(|| format!("parts are 1 to {MAX_PARTS}"))?;
    Ok(FailPart { number, always })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_read() {
        assert_eq!(parse_rate("2MiB").map(NonZeroU64::get), Ok(2_097_152));
        assert!(parse_rate("0").is_err() && parse_rate("fast").is_err());
        assert_eq!(parse_fail_part("3"), Ok(FailPart { number: 3, always: false }));
        assert_eq!(parse_fail_part("10000:always"), Ok(FailPart { number: 10_000, always: true }));
        for text in ["0", "10001", "-1", "3:", "3:twice", ":always", "three"] {
            assert!(parse_fail_part(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_have_a_unit_and_do_not_wrap() {
        for (text, expected) in [
            ("250ms", Duration::from_millis(250)),
            ("30s", Duration::from_secs(30)),
            ("10m", Duration::from_secs(600)),
            ("24h", Duration::from_secs(86_400)),
            ("5124095576030431h", Duration::from_secs(u64::MAX - 15)),
        ] {
            assert_eq!(parse_duration(text), Ok(expected), "{text}");
        }
        // An hour and a minute more than fit: they would be 3584 s and 44 s.
        for text in ["5124095576030432h", "307445734561825861m", "30", "s", "1d", "-1s", "1.5h"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }
}
