//! A watcher's socket: the hub's messages as text frames, one JSON object each; SSE is its twin.

use std::convert::Infallible;
use std::time::Duration;

use app::wire::ClientMessage;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade, close_code};
use axum::http::HeaderName;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{SinkExt, StreamExt, stream};
use tokio::time::{Instant, MissedTickBehavior, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::peer::Pace;
use crate::progress::{Hub, Watcher};
use crate::quota::Place;
use crate::visitor::Visitor;

/// Clients say nothing longer than a cancel (FAULTS.md, limits).
const MAX_MESSAGE: usize = 4 * 1024;
/// What is kept for each watcher to read into, in bytes: one message of a client. The library's own is 128 KiB.
const READ_BUFFER: usize = MAX_MESSAGE;
/// What is kept of messages to a watcher that the connection has not taken, in bytes: each is sent before the next, and
/// is far shorter. The library has no limit.
const MAX_WRITE_BUFFER: usize = 64 * 1024;
/// Messages of a client, pings and pongs included: 60 at once, 20 a minute after that (FAULTS.md, S35).
const MESSAGE_BURST: u32 = 60;
const MESSAGE_EVERY: Duration = Duration::from_secs(3);

/// Has nginx pass each event on as it comes, also where its `proxy_buffering` is on.
const UNBUFFERED: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Why a socket ends.
enum End {
    /// The connection is broken, or the peer silent.
    Gone,
    /// The peer closes, and waits for our answer.
    Left,
    /// We close, and say why.
    Close(u16, &'static str),
}

/// What a socket needs from the server.
pub struct SocketContext {
    pub hub: Hub,
    pub visitor: Visitor,
    pub ping: Duration,
    /// Without a word from the peer until it counts as gone.
    pub gone_after: Duration,
    /// Ends every socket.
    pub closing: CancellationToken,
    /// Dropped when its last word is sent.
    #[expect(dead_code, reason = "it counts by being there")]
    pub counted: (TaskTrackerToken, Place),
}

/// Answers an upgrade and serves the socket until either side closes.
pub fn upgrade(upgrade: WebSocketUpgrade, watcher: Watcher, context: SocketContext) -> Response {
    upgrade
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_write_buffer_size(MAX_WRITE_BUFFER)
        .max_message_size(MAX_MESSAGE)
        .max_frame_size(MAX_MESSAGE)
        .on_upgrade(move |socket| serve(socket, watcher, context))
}

async fn serve(mut socket: WebSocket, mut watcher: Watcher, context: SocketContext) {
    // Whatever fails from here on, the peer may be gone and there is nobody else to tell.
    match run(&mut socket, &mut watcher, &context).await {
        End::Gone => {}
        End::Left => drop(socket.close().await),
        End::Close(code, reason) => {
            let frame = CloseFrame { code, reason: Utf8Bytes::from_static(reason) };
            let _ = socket.send(Message::Close(Some(frame))).await;
        }
    }
}

async fn run(socket: &mut WebSocket, watcher: &mut Watcher, context: &SocketContext) -> End {
    let mut ping = tokio::time::interval_at(Instant::now() + context.ping, context.ping);
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut pace = Pace::new(MESSAGE_EVERY, MESSAGE_BURST);
    let mut heard_at = Instant::now();
    loop {
        let frame = tokio::select! {
            () = context.closing.cancelled() => return last_words(socket, watcher).await,
            () = context.visitor.leaves() => return End::Close(close_code::POLICY, "the session has ended"),
            message = watcher.next() => Message::Text(json(&message).into()),
            _ = ping.tick() => Message::Ping(Vec::new().into()),
            () = sleep_until(heard_at + context.gone_after) => return End::Gone,
            incoming = socket.next() => {
                heard_at = Instant::now();
                match incoming {
                    None => return End::Gone,
                    Some(Ok(Message::Close(_))) => return End::Left,
                    Some(Err(error)) => return broken(error),
                    Some(Ok(_)) if pace.take(1, heard_at).is_some() => {
                        return End::Close(close_code::POLICY, "too many messages");
                    }
                    Some(Ok(message)) => match heard(context, &message) {
                        Ok(()) => continue,
                        Err(end) => return end,
                    },
                }
            }
        };
        // A reader that does not take it is cut by its connection's clock.
        if socket.send(frame).await.is_err() {
            return End::Gone;
        }
    }
}

/// The server stops, and uploads have ended by now: whoever watches one is told how, then why we close.
async fn last_words(socket: &mut WebSocket, watcher: &mut Watcher) -> End {
    while let Some(message) = watcher.due_now() {
        if socket.send(Message::Text(json(&message).into())).await.is_err() {
            return End::Gone;
        }
    }
    End::Close(close_code::AWAY, "the server stops")
}

/// What a peer that does not keep to RFC 6455, or to our limits, is told.
fn broken(error: axum::Error) -> End {
    use tungstenite::Error;
    match error.into_inner().downcast_ref::<Error>() {
        Some(Error::Capacity(_)) => End::Close(close_code::SIZE, "too long"),
        Some(Error::Utf8(_)) => End::Close(close_code::INVALID, "not UTF-8"),
        Some(Error::Protocol(_)) => End::Close(close_code::PROTOCOL, "not a WebSocket frame"),
        _ => End::Gone,
    }
}

/// Does what a client asks for; anything but a cancel is against the protocol.
fn heard(context: &SocketContext, message: &Message) -> Result<(), End> {
    match message {
        Message::Text(text) => {
            let asked = serde_json::from_str(text);
            let ClientMessage::Cancel(upload_id) =
                asked.map_err(|_| End::Close(close_code::POLICY, "unknown message"))?;
            let client = context.hub.client(&upload_id);
            // Whose upload it is not, learns nothing; and one that has just ended tells so by its own message.
            if client.is_ok_and(|client| client.is_none_or(|client| context.visitor.may_act(&client).is_ok()))
            {
                let _ = context.hub.cancel(&upload_id);
            }
            Ok(())
        }
        Message::Binary(_) => Err(End::Close(close_code::POLICY, "unknown message")),
        Message::Ping(_) | Message::Pong(_) | Message::Close(_) => Ok(()),
    }
}

/// The same messages as server-sent events, until the last terminal one.
pub fn events(watcher: Watcher, context: SocketContext) -> Response {
    let ping = context.ping;
    let messages = stream::unfold(Some((watcher, context)), |state| async {
        let (mut watcher, context) = state?;
        // Uploads have ended when the server closes: whoever watches one is told how.
        let message = tokio::select! {
            message = watcher.next() => message,
            () = context.closing.cancelled() => watcher.due_now()?,
            () = context.visitor.leaves() => return None,
        };
        let event = Ok::<_, Infallible>(Event::default().data(json(&message)));
        let over = watcher.is_over();
        Some((event, (!over).then_some((watcher, context))))
    });
    let events = Sse::new(messages).keep_alive(KeepAlive::new().interval(ping));
    ([(UNBUFFERED, "no")], events).into_response()
}

fn json(message: &app::wire::FileMessage) -> String {
    serde_json::to_string(message).expect("a message has only string keys")
}
