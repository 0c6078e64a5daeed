//! The upload of the page before this one: a reload does not end it.

use leptos::prelude::WithUntracked;

use super::{Live, address_of};
use crate::memory::{self, Memory};
use crate::sentences::{shown, size};
use crate::state::Preview;
use crate::transfers::PostEnd;
use crate::{choosing, json};

impl Live {
    /// For the next page in this tab.
    pub(super) fn remember(&self) {
        let files = self.session.kinds.into_iter().filter_map(|kind| {
            let bytes = self.state.with_untracked(|state| Some(state.transfers.row(kind.file_type)?.size))?;
            Some((kind.file_type, bytes, shown(&choosing::file(kind)?.name())))
        });
        memory::keep(&Memory {
            client_id: self.client_id.borrow().clone(),
            upload_id: self.upload_id().unwrap_or_default(),
            files: files.collect(),
        });
    }

    /// Goes on with the upload of the page before this one.
    pub(super) fn recall(&'static self) {
        let Some(memory) = memory::recall() else { return };
        let fresh = self.client_id.replace(memory.client_id.clone());
        if memory.upload_id.is_empty() {
            // That page went before the server had said a word: nobody can tell any more.
            self.restore(&memory);
            self.change(|state| state.transfers.settle(PostEnd::Lost));
            memory::forget();
            return;
        }
        self.ask("GET", &address_of(&memory.upload_id), move |status, body| {
            let is_idle = self.pressed_at.get() == 0.0;
            let files = json::snapshot(body).filter(|_| status == 200 && is_idle);
            if files.is_none() {
                memory::forget();
            }
            if status == 403 {
                self.client_id.replace(fresh.clone());
            }
            if let Some(files) = files {
                self.restore(&memory);
                self.heard.replace(files);
                self.fold();
                self.end_links();
            }
        });
    }

    fn restore(&'static self, memory: &Memory) {
        let words = self.session.words;
        let sizes: Vec<_> = memory.files.iter().map(|(file_type, bytes, _)| (*file_type, *bytes)).collect();
        self.change(|state| {
            state.transfers.restore(&memory.upload_id, &sizes);
            for (file_type, bytes, name) in &memory.files {
                let size = size(words, *bytes);
                let preview = Preview { name: name.clone(), size, thumbnail: None, is_here: false };
                state.places[file_type.index()].chosen = Some(preview);
            }
        });
    }
}
