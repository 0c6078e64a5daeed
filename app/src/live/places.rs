//! Files into the two places: by a dialog, a drop, the clipboard or a camera.

use leptos::prelude::WithUntracked;
use wasm_bindgen::JsCast;
use web_sys::{ClipboardEvent, DataTransfer, DragEvent, Element, Event, Url};

use super::Live;
use crate::choosing::{self, Handed};
use crate::sentences::{Kind, Refusal, folder, nothing_chosen, noun, too_many};
use crate::state::Preview;
use crate::transfers::Transfers;
use crate::wire::FileType;
use crate::words::{Word, joined};
use crate::{dom, memory};

impl Live {
    pub(super) fn choose(&'static self, event: &Event) {
        let Some(kind) = self.kind_at(event) else { return };
        let input = event.target().and_then(|target| target.dyn_into::<Element>().ok());
        if input.is_some_and(|input| input.id() == "camera") {
            let photo = choosing::input("camera").and_then(|input| input.files()?.get(0));
            choosing::empty("camera");
            if let Some(photo) = photo {
                choosing::put(kind, &photo);
            }
        }
        self.look_again(kind);
    }

    pub(super) fn drag(&'static self, event: &Event, is_over: bool) {
        let Some(transfer) = transfer(event).filter(choosing::has_files) else { return };
        event.prevent_default();
        let leaves = || event.unchecked_ref::<DragEvent>().related_target().is_none();
        if !is_over && !leaves() {
            return;
        }
        let takers = if is_over && !self.asks(Transfers::is_running) {
            choosing::takers(&transfer, &self.session.kinds)
        } else {
            [false; 2]
        };
        self.hover(takers);
    }

    fn hover(&'static self, takers: [bool; 2]) {
        if self.state.with_untracked(|state| state.places.each_ref().map(|place| place.hovered)) != takers {
            self.change(|state| {
                for (place, hovered) in state.places.iter_mut().zip(takers) {
                    place.hovered = hovered;
                }
            });
        }
    }

    pub(super) fn take_drop(&'static self, event: &Event) {
        let Some(transfer) = transfer(event).filter(choosing::has_files) else { return };
        // A file that misses the cards must not replace the page.
        event.prevent_default();
        self.hover([false; 2]);
        let here = self.kind_at(event).map_or(FileType::DocsFile, |kind| kind.file_type);
        self.take(&transfer, here);
    }

    pub(super) fn take_paste(&'static self, event: &Event) {
        let pasted = event.unchecked_ref::<ClipboardEvent>().clipboard_data();
        if let Some(transfer) = pasted.filter(choosing::has_files) {
            event.prevent_default();
            self.take(&transfer, FileType::MsaImgs);
        }
    }

    fn take(&'static self, transfer: &DataTransfer, here: FileType) {
        if self.asks(Transfers::is_running) {
            return;
        }
        let words = self.session.words;
        let handed = choosing::hand_out(transfer, &self.session.kinds, here);
        for (kind, Handed { files, has_folder }) in self.session.kinds.into_iter().zip(handed) {
            match &*files {
                _ if has_folder => self.refuse(kind, folder(words)),
                [] => {}
                [file] => {
                    choosing::put(kind, file);
                    self.look_again(kind);
                }
                many => {
                    self.refuse(kind, too_many(words, kind, u32::try_from(many.len()).unwrap_or(u32::MAX)))
                }
            }
        }
    }

    /// Takes in what an input holds now; the last result of this file makes room for it.
    pub(super) fn look_again(&'static self, kind: Kind) {
        self.forget(kind);
        match choosing::look(self.session.words, kind) {
            Ok(chosen) => self.show(kind, chosen),
            Err(refusal) => self.refuse(kind, refusal),
        }
    }

    fn show(&'static self, kind: Kind, chosen: Option<Preview>) {
        let words = self.session.words;
        self.change(move |state| {
            let place = &mut state.places[kind.file_type.index()];
            if let Some(url) = place.chosen.take().and_then(|before| before.thumbnail) {
                drop(Url::revoke_object_url(&url));
            }
            if let Some(preview) = &chosen {
                let noun = noun(words, kind.file_type);
                state.status = words.fill(Word::SayChosen, &[&preview.name, &preview.size, noun]);
            }
            place.chosen = chosen;
            place.refusal = None;
            place.copied = false;
        });
    }

    pub(super) fn refuse(&'static self, kind: Kind, refusal: Refusal) {
        self.forget(kind);
        choosing::empty(kind.file_type.field());
        self.show(kind, None);
        self.change(move |state| {
            state.alert = joined(&refusal.sentence, &refusal.advice);
            state.places[kind.file_type.index()].refusal = Some(refusal);
        });
    }

    pub(super) fn refuse_empty(&'static self) {
        let refusal = nothing_chosen(self.session.words);
        let [document, _] = self.session.kinds;
        self.change(|state| {
            state.alert = refusal.sentence.clone();
            // What is refused already says why.
            if state.places.iter().all(|place| place.refusal.is_none()) {
                state.places[document.file_type.index()].refusal = Some(refusal);
            }
        });
        dom::focus(document.file_type.field());
    }

    /// Room for another file.
    pub(super) fn clear(&'static self, kind: Kind) {
        self.forget(kind);
        choosing::empty(kind.file_type.field());
        self.show(kind, None);
    }

    fn forget(&'static self, kind: Kind) {
        self.change(|state| state.transfers.forget(kind.file_type));
        if self.state.with_untracked(|state| {
            self.session.kinds.iter().all(|kind| state.transfers.row(kind.file_type).is_none())
        }) {
            memory::forget();
        }
    }
}

fn transfer(event: &Event) -> Option<DataTransfer> {
    event.dyn_ref::<DragEvent>()?.data_transfer()
}
