//! The WASM entry point.

/// Brings the server's page to life.
#[wasm_bindgen::prelude::wasm_bindgen]
pub fn hydrate() {
    app::start();
}
