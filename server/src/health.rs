//! `bucket-brigade health`: asks the server on this machine how it is, for containers that have no curl.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use clap::Args;

use crate::config::{LISTEN_DEFAULT, LISTEN_VARIABLE};

/// For each step of the exchange: a live server answers in milliseconds, and Docker waits 30 s at most.
const PATIENCE: Duration = Duration::from_secs(5);
/// Both answers are a line of JSON and their headers.
const MOST_ANSWER: u64 = 16 * 1024;

/// Ask the server on this machine whether it lives
#[derive(Args, Debug)]
pub struct Health {
    /// Address that the server listens on
    #[arg(long, env = LISTEN_VARIABLE, default_value = LISTEN_DEFAULT, value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Whether it is ready for uploads, too
    #[arg(long)]
    ready: bool,
}

impl Health {
    /// The body of the server's answer, where that is 200.
    ///
    /// # Errors
    /// It does not answer, or not so.
    pub fn ask(&self) -> io::Result<String> {
        let address = SocketAddr::new(reachable(self.listen.ip()), self.listen.port());
        let path = if self.ready { "/readyz" } else { "/healthz" };
        let answer = get(address, path).map_err(|error| {
            io::Error::new(error.kind(), format!("the server at {address} does not answer: {error}"))
        })?;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        if head.split(' ').nth(1) == Some("200") {
            return Ok(body.to_owned());
        }
        Err(io::Error::other(format!("the server at {address} says of {path}: {body}")))
    }
}

/// A server that listens on every address does so on loopback.
fn reachable(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        address => address,
    }
}

fn get(address: SocketAddr, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(MOST_ANSWER).read_to_string(&mut answer)?;
    Ok(answer)
}
