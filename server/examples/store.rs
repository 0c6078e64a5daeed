//! The embedded store alone, for clients that were not written here: `store <directory> <port>`.
//!
//! Keys `brigade` / `brigade-secret`, bucket `uploads`. Prints its address, then serves until it is killed.

use std::path::Path;

use server::embedded::{Store, Switches};
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(dir), Some(port)) = (arguments.next(), arguments.next()) else {
        return Err("usage: store <directory> <port>".into());
    };
    let store = Store::open(Path::new(&dir))?;
    store.ensure_bucket("uploads").await?;
    let address = format!("127.0.0.1:{port}");
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("http://{}", listener.local_addr()?);
    let forever = CancellationToken::new();
    store.serve(listener, "brigade", "brigade-secret", Switches::default(), forever).await;
    Ok(())
}
