//! JSON from the server into wire types.

use serde::de::DeserializeOwned;

/// `None` for anything that is not what the contract says.
#[must_use]
pub fn read<T: DeserializeOwned>(text: &str) -> Option<T> {
    serde_json::from_str(text).ok()
}
