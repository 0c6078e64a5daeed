//! An upload of which half has been sent and read, and that goes on when the test says so.

use std::net::SocketAddr;

use app::wire::FileMessage;
use app::wire::FileType::DocsFile;

use crate::support::client::{Answer, Form, RawConnection};
use crate::support::sample::{self, KIB, MIB};
use crate::support::socket::Watcher;

/// One that is put whole, and one in parts, in bytes.
pub const SIZES: [usize; 2] = [3 * MIB, 12 * MIB];

/// A document on its way, watched.
pub struct Half {
    pub content: Vec<u8>,
    pub watcher: Watcher,
    client: RawConnection,
    rest: Vec<u8>,
}

impl Half {
    /// Sends the first half, and waits until the server has read it; of a multipart upload a part is stored by then.
    pub async fn begin(server: SocketAddr, size: usize, id: &str) -> Self {
        let content = sample::pdf(size);
        let mut watcher = Watcher::new(server, id).await;
        let form = Form::document(&content).client_id(id);
        let body = form.body();
        let mut client = RawConnection::connect(server).await;
        client.write(&form.head(body.len())).await;
        client.write(&body[..form.offset(0, size / 2)]).await;
        let read = |m: &FileMessage| {
            m.received + 64 * KIB as u64 >= size as u64 / 2 && (size < 5 * MIB || m.parts_stored > 0)
        };
        let half = "half of it";
        watcher.until(half, |heard| heard.iter().any(|heard| read(&heard.message)).then_some(())).await;
        Self { rest: body[form.offset(0, size / 2)..].to_vec(), content, watcher, client }
    }

    /// Sends all that is left; the server need not read it yet.
    pub async fn send_rest(&mut self) {
        self.client.write(&std::mem::take(&mut self.rest)).await;
    }

    pub async fn answer(&mut self) -> Answer {
        self.client.answer().await
    }

    /// Sends the rest; gives the key under which it is stored then, as the socket says too.
    pub async fn finish(&mut self) -> String {
        self.send_rest().await;
        self.stored().await
    }

    /// The key of what is stored, when everything was sent.
    pub async fn stored(&mut self) -> String {
        let file = self.answer().await.stored_one();
        let end = self.end().await;
        assert_eq!((end.code, end.stored), (None, self.content.len() as u64));
        file.key.expect("a stored file has its key")
    }

    /// The server's last word on the socket.
    pub async fn end(&mut self) -> FileMessage {
        self.watcher.terminal(DocsFile).await
    }

    /// How often it was told that it had ended.
    pub fn ends(&self) -> usize {
        ends(&self.watcher)
    }

    /// The connection breaks, as the client sees it: no answer comes.
    pub async fn breaks(mut self) {
        assert!(self.client.answer_or_close().await.is_none(), "nobody answers");
        assert_eq!(self.watcher.closed().await, 1006, "without a word");
    }

    /// Throws the connection away; the watcher stays.
    pub fn leave(self) -> Watcher {
        self.client.reset();
        self.watcher
    }
}

/// How often a watcher of one upload was told that it had ended.
pub fn ends(watcher: &Watcher) -> usize {
    watcher.of(DocsFile).iter().filter(|message| message.status.is_terminal()).count()
}
