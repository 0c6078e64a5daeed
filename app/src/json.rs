//! JSON from the server into wire types, by the browser's own parser: `serde_json` would be a
//! seventh of the whole page. Reads what the page uses and trusts nothing else.

use js_sys::{Array, JSON, Reflect};
use wasm_bindgen::JsValue;

use crate::wire::{
    ActivePart, FileMessage, FileOutcome, FileType, Outcome, Problem, Status, UploadAnswer, Waiting,
};

/// A value of a parsed text; what is missing reads as `None`.
struct Json(JsValue);

impl Json {
    fn parse(text: &str) -> Option<Self> {
        JSON::parse(text).ok().map(Self)
    }

    fn member(&self, name: &str) -> Self {
        Self(Reflect::get(&self.0, &JsValue::from_str(name)).unwrap_or(JsValue::UNDEFINED))
    }

    fn text(&self, name: &str) -> Option<String> {
        self.member(name).0.as_string()
    }

    fn number(&self, name: &str) -> Option<u64> {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole, >= 0")]
        self.member(name).0.as_f64().map(|number| number as u64)
    }

    fn small(&self, name: &str) -> Option<u32> {
        self.number(name).and_then(|number| number.try_into().ok())
    }

    fn items(&self, name: &str) -> impl Iterator<Item = Self> {
        let list = self.member(name).0;
        let list = if Array::is_array(&list) { Array::from(&list) } else { Array::new() };
        (0..list.length()).map(move |place| Self(list.get(place)))
    }
}

/// `None` for anything that is not what the contract says.
#[must_use]
pub fn file_message(text: &str) -> Option<FileMessage> {
    message(&Json::parse(text)?)
}

/// The states of an upload's files, each with its key and link once it is stored.
#[must_use]
pub fn snapshot(text: &str) -> Option<Vec<FileMessage>> {
    let json = Json::parse(text)?;
    json.text("upload_id")?;
    Some(json.items("files").filter_map(|file| message(&file)).collect())
}

fn message(json: &Json) -> Option<FileMessage> {
    Some(FileMessage {
        file_type: match json.text("file_type")?.as_str() {
            "docs_file" => FileType::DocsFile,
            "msa_imgs" => FileType::MsaImgs,
            _ => return None,
        },
        status: match json.text("status")?.as_str() {
            "buffering" => Status::Buffering,
            "processing" => Status::Processing,
            "completed" => Status::Completed,
            "error" => Status::Error,
            _ => return None,
        },
        progress: json.number("progress")?.try_into().ok()?,
        message: json.text("message")?,
        upload_id: json.text("upload_id")?,
        seq: json.number("seq")?,
        received: json.number("received")?,
        sent: json.number("sent")?,
        stored: json.number("stored")?,
        total: json.number("total"),
        part_size: json.number("part_size"),
        parts: json.small("parts"),
        parts_stored: json.small("parts_stored")?,
        part_states: json.text("part_states"),
        active: json.items("active").filter_map(|part| active_part(&part)).collect(),
        waiting: json.text("waiting").and_then(|waiting| match waiting.as_str() {
            "client" => Some(Waiting::Client),
            "storage" => Some(Waiting::Storage),
            "retry" => Some(Waiting::Retry),
            _ => None,
        }),
        retries: json.small("retries")?,
        at_ms: json.number("at_ms")?,
        code: json.text("code"),
        key: json.text("key"),
        link: json.text("link"),
    })
}

fn active_part(json: &Json) -> Option<ActivePart> {
    Some(ActivePart {
        part: json.small("part")?,
        sent: json.number("sent")?,
        attempt: json.small("attempt")?,
    })
}

/// The answer of an upload that was stored.
#[must_use]
pub fn upload_answer(text: &str) -> Option<UploadAnswer> {
    let json = Json::parse(text)?;
    Some(UploadAnswer { upload_id: json.text("upload_id")?, files: outcomes(&json) })
}

/// The answer of anything that failed.
#[must_use]
pub fn problem(text: &str) -> Option<Problem> {
    let json = Json::parse(text)?;
    Some(Problem {
        problem_type: String::new(),
        title: String::new(),
        status: 0,
        detail: json.text("detail")?,
        code: json.text("code")?,
        retryable: json.member("retryable").0.is_truthy(),
        file: json.text("file"),
        upload_id: json.text("upload_id"),
        files: outcomes(&json),
    })
}

fn outcomes(json: &Json) -> Vec<FileOutcome> {
    json.items("files").filter_map(|file| outcome(&file)).collect()
}

fn outcome(json: &Json) -> Option<FileOutcome> {
    Some(FileOutcome {
        field: json.text("field")?,
        outcome: match json.text("outcome")?.as_str() {
            "stored" => Outcome::Stored,
            "not_received" => Outcome::NotReceived,
            "unknown" => Outcome::Unknown,
            _ => Outcome::Failed,
        },
        code: json.text("code"),
        key: json.text("key"),
        link: json.text("link"),
        size: json.number("size"),
        content_type: None,
        etag: None,
        checksum_crc64nvme: None,
    })
}
