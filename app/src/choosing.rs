//! From a button, a drop, the clipboard or a camera into the form's inputs: they alone keep the files.

use wasm_bindgen::JsCast;
use wasm_bindgen_futures::JsFuture;
use web_sys::{DataTransfer, File, FileList, HtmlInputElement, Url};

use crate::dom;
use crate::send::bytes_of;
use crate::sentences::{Kind, Refusal, shown, size};
use crate::state::Preview;
use crate::wire::FileType;
use crate::words::Words;

/// Files for one place, from wherever they come.
#[derive(Default)]
pub struct Handed {
    pub files: Vec<File>,
    pub has_folder: bool,
}

/// The file to send.
#[must_use]
pub fn file(kind: Kind) -> Option<File> {
    input(kind.file_type.field())?.files()?.get(0)
}

#[must_use]
pub fn input(id: &str) -> Option<HtmlInputElement> {
    dom::by_id(id)?.dyn_into().ok()
}

pub fn empty(id: &str) {
    if let Some(input) = input(id) {
        input.set_value("");
    }
}

/// Puts a file where the form sends it from.
pub fn put(kind: Kind, file: &File) {
    let Ok(transfer) = DataTransfer::new() else { return };
    drop(transfer.items().add_with_file(file));
    if let Some(input) = input(kind.file_type.field()) {
        input.set_files(transfer.files().as_ref());
    }
}

/// Looks at what an input holds now, and refuses what the server would.
///
/// # Errors
/// Why the file is refused; the input is empty then.
pub fn look(words: Words, kind: Kind) -> Result<Option<Preview>, Refusal> {
    let Some(file) = file(kind) else { return Ok(None) };
    let (name, bytes) = (file.name(), bytes_of(&file));
    if let Some(refusal) = kind.refuse(words, &name, bytes) {
        empty(kind.file_type.field());
        return Err(refusal);
    }
    let is_image = file.type_().starts_with("image/");
    let thumbnail = is_image.then(|| Url::create_object_url_with_blob(&file).ok()).flatten();
    Ok(Some(Preview { name: shown(&name), size: size(words, bytes), thumbnail, is_here: true }))
}

/// Whether the browser can still read a file: not once it was changed or moved since it was chosen.
pub async fn is_readable(file: &File) -> bool {
    let Ok(first) = file.slice_with_i32_and_i32(0, 1) else { return false };
    JsFuture::from(first.array_buffer()).await.is_ok()
}

/// What was dropped or pasted, by the place each file belongs to; `here` is for those whose type does not say.
#[must_use]
pub fn hand_out(transfer: &DataTransfer, kinds: &[Kind; 2], here: FileType) -> [Handed; 2] {
    let mut handed = [Handed::default(), Handed::default()];
    let items = transfer.items();
    // A folder looks like an empty file without a type.
    let folders =
        (0..items.length()).filter_map(|place| items.get(place)?.webkit_get_as_entry().ok().flatten());
    let folders: Vec<String> =
        folders.filter(|entry| entry.is_directory()).map(|entry| entry.name()).collect();
    for file in each(transfer.files()) {
        let name = file.name();
        let kind = kinds.iter().find(|kind| kind.is_meant(&name, &file.type_()));
        let place = &mut handed[kind.map_or(here, |kind| kind.file_type).index()];
        if folders.contains(&name) {
            place.has_folder = true;
        } else {
            place.files.push(file);
        }
    }
    handed
}

/// The places that what is dragged over the page could be dropped at; all where a browser does not tell what it is.
#[must_use]
pub fn takers(transfer: &DataTransfer, kinds: &[Kind; 2]) -> [bool; 2] {
    let items = transfer.items();
    let types: Vec<String> = (0..items.length())
        .filter_map(|place| items.get(place).filter(|item| item.kind() == "file").map(|item| item.type_()))
        .collect();
    let fitting = kinds.map(|kind| types.iter().any(|mime| kind.is_meant("", mime)));
    let is_known = types.iter().all(|mime| kinds.iter().any(|kind| kind.is_meant("", mime)));
    if is_known && !types.is_empty() { fitting } else { [true; 2] }
}

/// Whether files are dragged, and not a text or a link.
#[must_use]
pub fn has_files(transfer: &DataTransfer) -> bool {
    transfer.types().includes(&"Files".into(), 0)
}

fn each(files: Option<FileList>) -> impl Iterator<Item = File> {
    let count = files.as_ref().map_or(0, FileList::length);
    (0..count).filter_map(move |place| files.as_ref().and_then(|files| files.get(place)))
}
