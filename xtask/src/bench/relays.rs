//! Who is measured: ours, its peers, and the pipes that only pass bytes on.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::client::Speech;
use super::process::{Running, free_port, tied};
use crate::program::Failure;
use crate::tools;

/// Debian's programs, each with where it lies; `/usr/sbin` is not on everyone's PATH.
pub const NGINX: &str = tools::NGINX.1;
pub const HAPROXY: &str = tools::HAPROXY.1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relay {
    /// Reads and writes, and nothing else: the floor.
    Bare,
    HaproxyHttp,
    HaproxyTcp,
    Nginx,
    LibStorage,
    MulterS3,
    Ours,
}

/// Where everything lies that a relay needs.
pub struct Setup {
    /// The release binary.
    pub server: PathBuf,
    /// What it was built from.
    pub origin: String,
    /// How busy the machine was before.
    pub load: String,
    /// The npm peers, installed.
    pub peers: PathBuf,
    /// For configurations, logs and data directories; ours alone.
    pub work: PathBuf,
    /// This program, which is also the bare relay.
    pub xtask: PathBuf,
}

impl Relay {
    pub const ALL: [Self; 7] = [
        Self::Bare,
        Self::HaproxyTcp,
        Self::HaproxyHttp,
        Self::Nginx,
        Self::LibStorage,
        Self::MulterS3,
        Self::Ours,
    ];

    /// In tables and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare-relay",
            Self::HaproxyHttp => "haproxy-http",
            Self::HaproxyTcp => "haproxy-tcp",
            Self::Nginx => "nginx",
            Self::LibStorage => "lib-storage",
            Self::MulterS3 => "multer-s3",
            Self::Ours => "ours",
        }
    }

    pub fn speech(self) -> Speech {
        match self {
            Self::Bare | Self::HaproxyHttp | Self::HaproxyTcp | Self::Nginx => Speech::Put,
            Self::LibStorage | Self::MulterS3 | Self::Ours => Speech::Form,
        }
    }

    /// A fresh process in front of `store`; `options` are for ours only.
    ///
    /// # Errors
    /// It cannot be started, or does not listen in time.
    pub fn start(self, setup: &Setup, store: SocketAddr, options: &[&str]) -> Result<Running, Failure> {
        let port = free_port()?;
        let command = match self {
            Self::Bare => bare(setup, port, store),
            Self::HaproxyHttp => haproxy(setup, port, store, "http")?,
            Self::HaproxyTcp => haproxy(setup, port, store, "tcp")?,
            Self::Nginx => nginx(setup, port, store)?,
            Self::LibStorage => node(setup, port, store, "lib_storage.mjs"),
            Self::MulterS3 => node(setup, port, store, "multer_s3.mjs"),
            Self::Ours => ours(setup, port, store, options),
        };
        let log = setup.work.join(format!("{}-{port}.log", self.name()));
        Running::start(command, port, log)
            .map_err(|reason| Failure::new(format!("{}: {reason}", self.name())))
    }
}

fn bare(setup: &Setup, port: u16, store: SocketAddr) -> Command {
    let mut command = tied(&setup.xtask);
    command.arg(super::PIPE).args([port, store.port()].map(|port| port.to_string()));
    command
}

fn haproxy(setup: &Setup, port: u16, store: SocketAddr, mode: &str) -> Result<Command, Failure> {
    let config = format!(
        "global\n  nbthread 1\n  nosplice\n\
         defaults\n  mode {mode}\n  timeout connect 5s\n  timeout client 120s\n  timeout server 120s\n\
         listen bench\n  bind 127.0.0.1:{port}\n  server store {store}\n"
    );
    let mut command = tied(Path::new(HAPROXY));
    command.args(["-db", "-f"]).arg(write(setup, "haproxy.cfg", &config)?);
    Ok(command)
}

fn nginx(setup: &Setup, port: u16, store: SocketAddr) -> Result<Command, Failure> {
    let config = format!(
        "daemon off; worker_processes 1; pid nginx.pid;\n\
         events {{ worker_connections 1024; }}\n\
         http {{\n  access_log off; client_max_body_size 0; send_timeout 120s;\n  \
         client_body_temp_path temp; proxy_temp_path temp; fastcgi_temp_path temp; uwsgi_temp_path temp; \
         scgi_temp_path temp;\n  \
         server {{ listen 127.0.0.1:{port}; location / {{\n    proxy_pass http://{store}; \
         proxy_http_version 1.1; proxy_request_buffering off; proxy_buffering off;\n  }} }}\n}}\n"
    );
    let mut command = tied(Path::new(NGINX));
    command.args(["-e", "stderr", "-p"]).arg(&setup.work).arg("-c").arg(write(setup, "nginx.conf", &config)?);
    Ok(command)
}

fn node(setup: &Setup, port: u16, store: SocketAddr, script: &str) -> Command {
    let mut command = tied(Path::new("node"));
    command.arg(setup.peers.join(script)).env("PORT", port.to_string());
    with_aws(&mut command, store).env("STORE", format!("http://{store}"));
    command
}

fn ours(setup: &Setup, port: u16, store: SocketAddr, options: &[&str]) -> Command {
    let mut command = tied(&setup.server);
    command.arg("--listen").arg(format!("127.0.0.1:{port}")).arg("--data-dir").arg(setup.work.join("data"));
    command.args(["--bucket", "uploads", "--max-document-size", "11GiB"]).args(options);
    with_aws(&mut command, store);
    command
}

/// No variable of whoever calls us: the relay is to be as it comes.
fn with_aws(command: &mut Command, store: SocketAddr) -> &mut Command {
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if ["AWS_", "BRIGADE_", "NODE_"].iter().any(|prefix| name.starts_with(prefix)) || name == "RUST_LOG" {
            command.env_remove(&*name);
        }
    }
    command
        .env("AWS_ENDPOINT_URL", format!("http://{store}"))
        .env("AWS_REGION", "us-east-1")
        .env("AWS_ACCESS_KEY_ID", "bench")
        .env("AWS_SECRET_ACCESS_KEY", "bench-secret")
        .env("AWS_EC2_METADATA_DISABLED", "true")
}

fn write(setup: &Setup, name: &str, text: &str) -> Result<PathBuf, Failure> {
    let file = setup.work.join(name);
    fs::write(&file, text).map_err(Failure::at(&file))?;
    Ok(file)
}
