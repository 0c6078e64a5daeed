//! Keeps the screen on while an upload runs: a phone that sleeps would end it.

use std::cell::{Cell, RefCell};

use leptos::prelude::{document, window};
use leptos::task::spawn_local;
use wasm_bindgen::prelude::*;
use web_sys::Navigator;

// Screen Wake Lock (W3C); `web-sys` has it among what may still change.
#[wasm_bindgen]
extern "C" {
    type Lockable;
    #[wasm_bindgen(method, getter, js_name = wakeLock)]
    fn wake_lock(this: &Lockable) -> Option<WakeLock>;

    type WakeLock;
    #[wasm_bindgen(method, catch)]
    async fn request(this: &WakeLock, kind: &str) -> Result<JsValue, JsValue>;

    type Sentinel;
    #[wasm_bindgen(method, catch)]
    async fn release(this: &Sentinel) -> Result<JsValue, JsValue>;
}

thread_local! {
    static WANTED: Cell<bool> = const { Cell::new(false) };
    static HELD: RefCell<Option<Sentinel>> = const { RefCell::new(None) };
}

/// Whether the screen is to stay on. Browsers let it go whenever the page is hidden: say so again then.
pub fn keep(wanted: bool) {
    let wanted = wanted && !document().hidden();
    if WANTED.replace(wanted) != wanted {
        spawn_local(follow());
    }
}

async fn follow() {
    if let Some(sentinel) = HELD.take() {
        drop(sentinel.release().await);
    }
    let navigator: Navigator = window().navigator();
    if WANTED.get()
        && let Some(lock) = navigator.unchecked_into::<Lockable>().wake_lock()
        // Refused when the battery is low, for one.
        && let Ok(sentinel) = lock.request("screen").await
    {
        // Another request may have been quicker.
        if let Some(other) = HELD.replace(Some(sentinel.unchecked_into())) {
            drop(other.release().await);
        }
        if !WANTED.get() {
            Box::pin(follow()).await;
        }
    }
}
