//! What a watcher may say over its socket.

use serde_json::{Value, json};
use wire::ClientMessage;

/// A message is one object with the one member `cancel`, a text; what is taken for one is nothing else.
pub fn messages(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let message: Option<ClientMessage> = serde_json::from_str(text).ok();
    let value: Option<Value> = serde_json::from_str(text).ok();
    if let Some(ClientMessage::Cancel(cancel)) = &message {
        assert_eq!(value, Some(json!({ "cancel": cancel })));
        let again = json!({ "cancel": cancel }).to_string();
        assert_eq!(serde_json::from_str(&again).ok(), message);
    } else if let Some(Value::Object(members)) = value {
        // A member that comes twice is one in the value, and refused in the message.
        let is_one = members.len() == 1 && members.get("cancel").is_some_and(Value::is_string);
        assert!(!is_one || text.matches(':').count() > 1, "{text} is a cancel");
    }
}
