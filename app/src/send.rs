//! The browser's half of an upload: chosen files become one POST.
//!
//! `XMLHttpRequest` and not `fetch`: a form with files streams from disk with its exact length,
//! `abort` ends it, and it counts what left the browser, for when nobody else counts.

use wasm_bindgen::{JsCast, JsValue, closure::Closure};
use web_sys::{File, FormData, ProgressEvent, XmlHttpRequest};

use crate::transfers::PostEnd;
use crate::wire::{CLIENT_ID_HEADER, FileType};
use crate::{dom, json};

/// A file and the place in the form that it was chosen for.
pub struct Chosen {
    pub file_type: FileType,
    pub file: File,
}

/// What a request tells of itself.
pub enum Step {
    /// So many bytes of so many have left the browser.
    Sent(u64, u64),
    /// Answered with this status and body; 0 where it broke or was aborted.
    Ended(u16, String),
}

/// The size of a file in bytes.
#[must_use]
pub fn bytes_of(file: &File) -> u64 {
    whole(file.size())
}

/// Browsers count bytes in floats.
fn whole(bytes: f64) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole and >= 0")]
    let bytes = bytes as u64;
    bytes
}

/// Sends the files.
///
/// # Errors
/// The browser cannot even begin.
pub fn post(
    files: &[Chosen],
    client_id: &str,
    on_step: Box<dyn FnMut(Step)>,
) -> Result<XmlHttpRequest, JsValue> {
    let request = open("POST", &upload_url())?;
    request.set_request_header(CLIENT_ID_HEADER, client_id)?;
    let form = FormData::new()?;
    for Chosen { file_type, file } in files {
        request.set_request_header(file_type.size_header(), &bytes_of(file).to_string())?;
        form.append_with_blob_and_filename(file_type.field(), file, &file.name())?;
    }
    follow(request, Some(&form), on_step)
}

/// Asks for something small, such as a snapshot, or for an end.
///
/// # Errors
/// The browser cannot even begin.
pub fn ask(method: &str, path: &str, on_step: Box<dyn FnMut(Step)>) -> Result<XmlHttpRequest, JsValue> {
    follow(open(method, path)?, None, on_step)
}

fn open(method: &str, path: &str) -> Result<XmlHttpRequest, JsValue> {
    let request = XmlHttpRequest::new()?;
    request.open(method, path)?;
    Ok(request)
}

fn follow(
    request: XmlHttpRequest,
    form: Option<&FormData>,
    mut on_step: Box<dyn FnMut(Step)>,
) -> Result<XmlHttpRequest, JsValue> {
    let asked = request.clone();
    // One closure for both events: a second one would cost the page more than the question.
    let listener = Closure::<dyn FnMut(ProgressEvent)>::new(move |event: ProgressEvent| {
        on_step(if event.type_() == "progress" {
            Step::Sent(whole(event.loaded()), whole(event.total()))
        } else {
            let body = asked.response_text().ok().flatten();
            Step::Ended(asked.status().unwrap_or(0), body.unwrap_or_default())
        });
    });
    // The request has it from now on.
    let listener = listener.into_js_value();
    let callback = Some(listener.unchecked_ref());
    request.set_onloadend(callback);
    if form.is_some() {
        request.set_request_header("Accept", "application/json")?;
        request.upload()?.set_onprogress(callback);
    }
    request.send_with_opt_form_data(form)?;
    Ok(request)
}

/// The form's own action, so that the page without JavaScript and this one agree.
fn upload_url() -> String {
    let form = dom::find_in_page("form");
    form.and_then(|form| form.get_attribute("action")).unwrap_or_else(|| "upload".to_owned())
}

/// How a POST ended, by its answer.
#[must_use]
pub fn read_answer(status: u16, body: &str) -> PostEnd {
    if status == 200
        && let Some(answer) = json::upload_answer(body)
    {
        return PostEnd::Stored(answer);
    }
    json::problem(body).map_or(PostEnd::Lost, PostEnd::Refused)
}
