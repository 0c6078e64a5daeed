//! The browser's half of an upload: chosen files become one POST.
//!
//! `XMLHttpRequest` and not `fetch`: a form with files streams from disk with its exact length,
//! `abort` ends it, and it counts what left the browser, for when nobody else counts.

use futures_channel::oneshot;
use futures_util::future::{Either, select};
use leptos::prelude::document;
use wasm_bindgen::{JsCast, JsValue, closure::Closure};
use web_sys::{File, FormData, ProgressEvent, XmlHttpRequest};

use crate::json;
use crate::transfers::PostEnd;
use crate::wire::{CLIENT_ID_HEADER, FileType};

/// A file and the place in the form that it was chosen for.
pub struct Chosen {
    pub file_type: FileType,
    pub file: File,
}

/// Why we end a POST ourselves.
#[derive(Clone, Copy, Debug)]
pub enum Abort {
    /// Nothing more is wanted of it.
    Unwanted,
    /// There is no network to carry it.
    Offline,
}

impl From<Abort> for PostEnd {
    fn from(abort: Abort) -> Self {
        match abort {
            Abort::Unwanted => Self::Dropped,
            Abort::Offline => Self::Lost,
        }
    }
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

/// Sends the files and waits for the answer, or until `abort` says why not, whichever is first.
///
/// `on_sent` hears how many bytes of how many have left the browser.
///
/// # Cancellation
/// Dropping the future leaves the request running; use `abort`.
pub async fn post(
    files: &[Chosen],
    client_id: &str,
    abort: oneshot::Receiver<Abort>,
    on_sent: impl FnMut(u64, u64) + 'static,
) -> PostEnd {
    let Ok((request, ended, _listener)) = start(files, client_id, on_sent) else {
        return PostEnd::Lost;
    };
    if let Either::Right((Ok(why), _)) = select(ended, abort).await {
        // The listener is still here to hear of it; nobody waits for it any more.
        drop(request.abort());
        return why.into();
    }
    read_answer(&request)
}

/// The way to cancel when the socket is down.
pub fn delete(upload_id: &str) {
    if let Ok(request) = XmlHttpRequest::new()
        && request.open("DELETE", &format!("/uploads/{upload_id}")).is_ok()
    {
        drop(request.send());
    }
}

type Started = (XmlHttpRequest, oneshot::Receiver<()>, Closure<dyn FnMut(ProgressEvent)>);

fn start(
    files: &[Chosen],
    client_id: &str,
    mut on_sent: impl FnMut(u64, u64) + 'static,
) -> Result<Started, JsValue> {
    let request = XmlHttpRequest::new()?;
    request.open("POST", &upload_url())?;
    request.set_request_header("Accept", "application/json")?;
    request.set_request_header(CLIENT_ID_HEADER, client_id)?;
    let form = FormData::new()?;
    for Chosen { file_type, file } in files {
        request.set_request_header(file_type.size_header(), &bytes_of(file).to_string())?;
        form.append_with_blob_and_filename(file_type.field(), file, &file.name())?;
    }
    let (done, ended) = oneshot::channel();
    let mut done = Some(done);
    // One closure for both events: a second one would cost the page more than the question.
    let listener = Closure::<dyn FnMut(ProgressEvent)>::new(move |event: ProgressEvent| {
        if event.type_() == "progress" {
            on_sent(whole(event.loaded()), whole(event.total()));
        } else {
            let _ = done.take().map(|done| done.send(()));
        }
    });
    request.set_onloadend(Some(listener.as_ref().unchecked_ref()));
    request.upload()?.set_onprogress(Some(listener.as_ref().unchecked_ref()));
    request.send_with_opt_form_data(Some(&form))?;
    Ok((request, ended, listener))
}

/// The form's own action, so that the page without JavaScript and this one agree.
#[must_use]
pub fn upload_url() -> String {
    let form = document().query_selector("form").ok().flatten();
    form.and_then(|form| form.get_attribute("action")).unwrap_or_else(|| "/upload".to_owned())
}

fn read_answer(request: &XmlHttpRequest) -> PostEnd {
    let status = request.status().unwrap_or(0);
    let body = request.response_text().ok().flatten().unwrap_or_default();
    if status == 200
        && let Some(answer) = json::upload_answer(&body)
    {
        return PostEnd::Stored(answer);
    }
    json::problem(&body).map_or(PostEnd::Lost, PostEnd::Refused)
}
