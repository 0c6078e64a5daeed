//! The few things that the page does to its document. Each is compiled once: a closure type of its own for every use
//! would cost the page more than all that they do.

use leptos::prelude::document;
use wasm_bindgen::{JsCast, closure::Closure};
use web_sys::{Element, Event, EventTarget, HtmlElement};

#[must_use]
pub fn by_id(id: &str) -> Option<HtmlElement> {
    document().get_element_by_id(id)?.dyn_into().ok()
}

/// The first in the whole page that fits.
#[must_use]
pub fn find_in_page(selector: &str) -> Option<Element> {
    document().query_selector(selector).ok().flatten()
}

#[must_use]
pub fn find(inside: &Element, selector: &str) -> Option<Element> {
    inside.query_selector(selector).ok().flatten()
}

/// Sets an attribute, or takes it away.
pub fn write(element: &Element, name: &str, value: Option<&str>) {
    drop(match value {
        Some(value) => element.set_attribute(name, value),
        None => element.remove_attribute(name),
    });
}

/// An attribute that is there or not.
pub fn mark(element: &Element, name: &str, is_set: bool) {
    write(element, name, is_set.then_some(""));
}

/// Writes a text where another one stands: the same again would be read aloud again, and lose what is marked in it.
pub fn say(inside: &Element, selector: &str, text: &str) {
    if let Some(element) = find(inside, selector)
        && element.text_content().as_deref() != Some(text)
    {
        element.set_text_content(Some(text));
    }
}

/// By the object model and not by an attribute, which the page's policy forbids.
pub fn style(element: &Element, name: &str, value: &str) {
    if let Some(element) = element.dyn_ref::<HtmlElement>() {
        drop(element.style().set_property(name, value));
    }
}

pub fn focus(id: &str) {
    if let Some(element) = by_id(id) {
        drop(element.focus());
    }
}

/// Hears an event for as long as the page lives, and on its way down: `toggle` does not bubble.
pub fn listen(target: &EventTarget, name: &str, on_event: Box<dyn FnMut(Event)>) {
    let listener = Closure::wrap(on_event);
    drop(target.add_event_listener_with_callback_and_bool(name, listener.as_ref().unchecked_ref(), true));
    listener.forget();
}
