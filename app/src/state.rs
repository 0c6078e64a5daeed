//! All that the page shows, as one value: whatever happens changes it, and it is painted. Pure.

use crate::captions::{Spoken, announcement, look, quarter};
use crate::sentences::{Kind, Refusal};
use crate::transfers::{Row, Transfers};
use crate::words::{Words, joined};

/// The whole page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    pub transfers: Transfers,
    /// In the order of [`FileType::ALL`](crate::wire::FileType::ALL).
    pub places: [Place; 2],
    /// Rises whenever there is something new to read.
    pub reading: u32,
    /// The progress socket is open.
    pub connected: bool,
    /// Bytes that have left the browser and those the server has of them, where something in between keeps the rest.
    pub held_back: Option<(u64, u64)>,
    /// Asking whether to throw away what is stored of a running upload.
    pub asks_to_cancel: bool,
    /// Said aloud when there is time.
    pub status: String,
    /// Said aloud at once.
    pub alert: String,
}

/// One of the two places for a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    pub chosen: Option<Preview>,
    pub refusal: Option<Refusal>,
    /// What is dragged over the page would be dropped here.
    pub hovered: bool,
    /// The key is in the clipboard.
    pub copied: bool,
    /// A link that no longer works.
    pub ended_link: String,
}

/// What is shown of a chosen file; the file itself stays in the form's input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preview {
    pub name: String,
    pub size: String,
    /// Object URL of an image.
    pub thumbnail: Option<String>,
    /// The input still has the file: after a reload only its name is left.
    pub is_here: bool,
}

impl State {
    /// One card's `data-state`.
    #[must_use]
    pub fn of_card(&self, kind: Kind) -> &'static str {
        let place = &self.places[kind.file_type.index()];
        match self.transfers.row(kind.file_type).map(look) {
            _ if place.refusal.is_some() => "refused",
            Some(look) => look.name(),
            None if place.chosen.is_some() => "chosen",
            None => "empty",
        }
    }

    /// Whether a press of the button would send something.
    #[must_use]
    pub fn has_pending(&self, kinds: &[Kind; 2]) -> bool {
        kinds.iter().any(|kind| {
            let is_stored = self.transfers.row(kind.file_type).is_some_and(Row::is_stored);
            let chosen = self.places[kind.file_type.index()].chosen.as_ref();
            !is_stored && chosen.is_some_and(|preview| preview.is_here)
        })
    }

    /// Says what is worth it of a change; the file whose connection broke by it.
    pub fn speak(&mut self, words: Words, before: &Transfers, kinds: &[Kind; 2]) -> Option<Kind> {
        let mut lost = None;
        let mut said = quarter(words, before, &self.transfers).unwrap_or_default();
        let mut warned = String::new();
        for kind in kinds {
            let (was, row) = (before.row(kind.file_type), self.transfers.row(kind.file_type));
            match announcement(words, kind.file_type, was, row) {
                Some(Spoken::Status(text)) => said = joined(&said, &text),
                Some(Spoken::Alert(text)) => {
                    warned = joined(&warned, &text);
                    lost = lost.or(row.is_some_and(Row::is_lost).then_some(*kind));
                }
                None => {}
            }
        }
        if !said.is_empty() {
            self.status = said;
        }
        if !warned.is_empty() {
            self.alert = warned;
        }
        lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::kinds;
    use crate::wire::FileType;
    use crate::words::Language;

    fn chosen(is_here: bool) -> Place {
        let preview = Preview { name: "a.pdf".to_owned(), size: String::new(), thumbnail: None, is_here };
        Place { chosen: Some(preview), ..Place::default() }
    }

    #[test]
    fn a_card_goes_from_empty_to_chosen_to_running() {
        let [document, image] = kinds(10, 10, false);
        let mut state = State::default();
        assert_eq!(state.of_card(document), "empty");
        state.places[0] = chosen(true);
        assert_eq!((state.of_card(document), state.of_card(image)), ("chosen", "empty"));
        state.transfers.begin(&[(FileType::DocsFile, 10)]);
        assert_eq!(state.of_card(document), "running");
        state.places[0].refusal = Some(crate::sentences::folder(Words::of(Language::English)));
        assert_eq!(state.of_card(document), "refused");
    }

    #[test]
    fn only_a_file_that_is_here_can_be_sent() {
        let kinds = kinds(10, 10, false);
        let mut state = State::default();
        assert!(!state.has_pending(&kinds));
        state.places[1] = chosen(false);
        assert!(!state.has_pending(&kinds), "after a reload only its name is left");
        state.places[1] = chosen(true);
        assert!(state.has_pending(&kinds));
    }
}
