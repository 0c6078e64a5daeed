//! The browser's end of the progress socket: it reconnects for as long as the page lives.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use futures_channel::oneshot;
use futures_util::sink::Sink;
use futures_util::stream::StreamExt;
use gloo_net::websocket::futures::WebSocket;
use gloo_net::websocket::{Message, State, WebSocketError};
use leptos::prelude::{set_timeout, window};
use leptos::task::spawn_local;

use crate::json;
use crate::wire::FileMessage;

/// First pause before a new attempt, in ms; doubled with each failure, plus up to as much again
/// by chance so that the pages of a restarted server do not come back all at once.
const FIRST_PAUSE_MS: u32 = 250;
/// The pause doubles so many times: 8 s, and 1 s without a network.
const LONGEST: u32 = 5;
const LONGEST_OFFLINE: u32 = 2;

/// RFC 6455, 7.4.1: against the server's policy; the page's session has ended.
const POLICY_VIOLATION: u16 = 1008;

/// What the socket has to tell.
pub enum News {
    Connected,
    Message(Box<FileMessage>),
    Gone {
        /// The server no longer knows the page's session.
        is_foreign: bool,
    },
}

/// The page's handle on the socket.
#[derive(Default)]
pub struct Feed {
    /// While it is open.
    open: RefCell<Option<web_sys::WebSocket>>,
    /// Dropped, it ends the pause before the next attempt.
    pause: RefCell<Option<oneshot::Sender<()>>>,
}

impl Feed {
    /// Opens the socket of whatever client id is the page's at that moment, and hands its news on.
    pub fn watch(&'static self, client_id: Box<dyn Fn() -> String>, on_news: Box<dyn Fn(News)>) {
        spawn_local(async move {
            let mut failures = 0;
            loop {
                let opened = web_sys::WebSocket::new(&socket_url(&client_id()));
                let mut is_foreign = false;
                if let Ok(raw) = opened
                    && let Ok(mut socket) = WebSocket::try_from(raw.clone())
                    && is_open(&mut socket).await
                {
                    failures = 0;
                    self.open.replace(Some(raw));
                    on_news(News::Connected);
                    is_foreign = follow(&mut socket, &on_news).await == Some(POLICY_VIOLATION);
                }
                self.open.replace(None);
                on_news(News::Gone { is_foreign });
                self.pause(failures).await;
                // Without a network the failures say nothing of the server, and it may be back any moment.
                let most = if window().navigator().on_line() { LONGEST } else { LONGEST_OFFLINE };
                failures = (failures + 1).min(most);
            }
        });
    }

    /// Tries again at once: what failed before will not now.
    pub fn hurry(&self) {
        self.pause.take();
    }

    async fn pause(&'static self, failures: u32) {
        let base = FIRST_PAUSE_MS << failures;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below 2 * base")]
        let jitter = (js_sys::Math::random() * f64::from(base)) as u32;
        let (done, over) = oneshot::channel::<()>();
        self.pause.replace(Some(done));
        set_timeout(move || self.hurry(), Duration::from_millis(u64::from(base + jitter)));
        // Cancelled is how the timer says that it has rung.
        let _ = over.await;
    }

    /// Asks the server to end an upload; false when the socket cannot carry it now.
    #[must_use]
    pub fn cancel(&self, upload_id: &str) -> bool {
        let order = ["{\"cancel\":\"", upload_id, "\"}"].concat();
        self.open.borrow().as_ref().is_some_and(|socket| socket.send_with_str(&order).is_ok())
    }
}

/// Waits until it is no longer connecting: open, or already failed.
async fn is_open(socket: &mut WebSocket) -> bool {
    let ready = poll_fn(|context| Pin::new(&mut *socket).poll_ready(context)).await;
    ready.is_ok() && matches!(socket.state(), State::Open)
}

/// Hands the messages of one connection on; the code it is closed with.
async fn follow(socket: &mut WebSocket, on_news: &dyn Fn(News)) -> Option<u16> {
    loop {
        match socket.next().await? {
            Ok(Message::Text(text)) => {
                if let Some(message) = json::file_message(&text) {
                    on_news(News::Message(Box::new(message)));
                }
            }
            Ok(Message::Bytes(_)) => {}
            Err(WebSocketError::ConnectionClose(close)) => return Some(close.code),
            Err(_) => return None,
        }
    }
}

/// Beside the page. Browsers of before 2024 take no relative address here, and none of http.
fn socket_url(client_id: &str) -> String {
    let page = window().location().href().unwrap_or_default();
    let url = web_sys::Url::new_with_base(&["ws?client_id=", client_id].concat(), &page);
    let address = url.map(|url| url.href()).unwrap_or_default();
    ["ws", address.strip_prefix("http").unwrap_or_default()].concat()
}
