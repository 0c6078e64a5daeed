//! The floor: a relay that only reads and writes, a thread for each direction.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::thread;

use crate::program::Failure;

/// Bytes of one read.
const BUFFER: usize = 256 * 1024;

/// Relays one connection after the other, until it is killed: `arguments` are the two ports.
///
/// # Errors
/// The ports are no ports, or cannot be listened on.
pub fn run(arguments: &[String]) -> Result<(), Failure> {
    let ports: Vec<u16> = arguments.iter().filter_map(|port| port.parse().ok()).collect();
    let [listen, store] = ports[..] else { return Err(Failure::new("needs two ports")) };
    let cannot = |error: io::Error| Failure::new(format!("the bare relay cannot listen: {error}"));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, listen)).map_err(cannot)?;
    for client in listener.incoming() {
        // Whoever lost the connection notices: the client has no answer.
        drop(client.and_then(|client| relay(&client, &TcpStream::connect((Ipv4Addr::LOCALHOST, store))?)));
    }
    Ok(())
}

/// The bytes go up in this thread, which lives on, so that its time on the CPU can be read afterwards.
fn relay(client: &TcpStream, store: &TcpStream) -> io::Result<()> {
    thread::scope(|scope| {
        scope.spawn(|| copy(store, client));
        copy(client, store)
    })
}

fn copy(mut from: &TcpStream, mut to: &TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let count = from.read(&mut buffer)?;
        if count == 0 {
            return to.shutdown(Shutdown::Write);
        }
        to.write_all(&buffer[..count])?;
    }
}
