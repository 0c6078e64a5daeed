//! The WASM entry point.

use app::{App, Session};
use leptos::prelude::*;

/// Brings the server's page to life.
#[wasm_bindgen::prelude::wasm_bindgen]
pub fn hydrate() {
    leptos::mount::hydrate_body(|| view! { <App session=Session::from_document() /> });
}
