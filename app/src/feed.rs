//! The browser's end of the progress socket: it reconnects for as long as the page lives.

use std::pin::Pin;
use std::time::Duration;

use futures_channel::{mpsc, oneshot};
use futures_util::{SinkExt, StreamExt, future, sink::Sink, stream};
use gloo_net::websocket::futures::WebSocket;
use gloo_net::websocket::{Message, State};
use leptos::prelude::*;
use leptos::task::spawn_local;

use crate::json;
use crate::wire::FileMessage;

/// The page's handle on the socket.
#[derive(Clone, Copy)]
pub struct Feed {
    connected: RwSignal<bool>,
    orders: StoredValue<Option<mpsc::Sender<String>>>,
}

/// First pause before a new attempt, in ms; doubled with each failure, plus up to as much again
/// by chance so that the pages of a restarted server do not come back all at once.
const FIRST_PAUSE_MS: u32 = 250;
/// The pause doubles so many times: 8 s, and 1 s without a network.
const LONGEST: u32 = 5;
const LONGEST_OFFLINE: u32 = 2;

enum Event {
    Frame(String),
    Cancel(String),
    Closed,
}

impl Feed {
    #[must_use]
    pub fn new() -> Self {
        Self { connected: RwSignal::new(false), orders: StoredValue::new(None) }
    }

    /// Whether the socket is open.
    #[must_use]
    pub fn is_connected(self) -> bool {
        self.connected.get()
    }

    /// Opens the socket and hands every message on; in the browser only.
    pub fn watch(self, client_id: &str, on_message: impl Fn(FileMessage) + 'static) {
        let (sender, mut orders) = mpsc::channel(4);
        self.orders.set_value(Some(sender));
        let url = socket_url(client_id);
        spawn_local(async move {
            let mut failures = 0;
            loop {
                if let Ok(socket) = WebSocket::open(&url)
                    && self.follow(socket, &mut orders, &on_message).await
                {
                    failures = 0;
                }
                self.connected.set(false);
                pause(failures).await;
                // Without a network the failures say nothing of the server, and it may be back any moment.
                let most = if window().navigator().on_line() { LONGEST } else { LONGEST_OFFLINE };
                failures = (failures + 1).min(most);
            }
        });
    }

    /// Asks the server to end an upload; false when the socket cannot carry it now.
    #[must_use]
    pub fn cancel(self, upload_id: &str) -> bool {
        let order = format!(r#"{{"cancel":"{upload_id}"}}"#);
        self.connected.get_untracked()
            && self
                .orders
                .try_update_value(|orders| {
                    orders.as_mut().is_some_and(|orders| orders.try_send(order).is_ok())
                })
                .unwrap_or(false)
    }

    /// One connection to its end; true when it had been open.
    async fn follow(
        self,
        mut socket: WebSocket,
        orders: &mut mpsc::Receiver<String>,
        on_message: &impl Fn(FileMessage),
    ) -> bool {
        // Ready to send means no longer connecting: open, or already failed.
        let ready = future::poll_fn(|context| Pin::new(&mut socket).poll_ready(context)).await;
        if ready.is_err() || !matches!(socket.state(), State::Open) {
            return false;
        }
        self.connected.set(true);
        let (mut sink, frames) = socket.split();
        let frames = frames
            .map(|frame| match frame {
                Ok(Message::Text(text)) => Event::Frame(text),
                Ok(Message::Bytes(_)) => Event::Frame(String::new()),
                Err(_) => Event::Closed,
            })
            .chain(stream::iter([Event::Closed]));
        let mut events = stream::select(frames, orders.map(Event::Cancel));
        while let Some(event) = events.next().await {
            match event {
                Event::Frame(text) => {
                    if let Some(message) = json::file_message(&text) {
                        on_message(message);
                    }
                }
                Event::Cancel(order) => {
                    if sink.send(Message::Text(order)).await.is_err() {
                        break;
                    }
                }
                Event::Closed => break,
            }
        }
        true
    }
}

impl Default for Feed {
    fn default() -> Self {
        Self::new()
    }
}

fn socket_url(client_id: &str) -> String {
    let location = window().location();
    let secure = location.protocol().is_ok_and(|protocol| protocol == "https:");
    let scheme = if secure { "wss" } else { "ws" };
    let host = location.host().unwrap_or_default();
    format!("{scheme}://{host}/ws?client_id={client_id}")
}

async fn pause(failures: u32) {
    let base = FIRST_PAUSE_MS << failures;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below 2 * base")]
    let jitter = (js_sys::Math::random() * f64::from(base)) as u32;
    sleep(Duration::from_millis(u64::from(base + jitter))).await;
}

async fn sleep(time: Duration) {
    let (done, over) = oneshot::channel::<()>();
    set_timeout(move || drop(done), time);
    // Cancelled is how the timer says that it has rung.
    let _ = over.await;
}
