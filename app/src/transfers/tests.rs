//! Folding: any order, repeats, losses; which upload is ours; how a POST ends.

use super::*;
use crate::captions::{self, Caption, Look, Spoken, look};
use crate::state::State;
use crate::wire::{ActivePart, Waiting};
use crate::words::{Language, Words};

const TOTAL: u64 = 24_100_000;
const DOCUMENT: FileType = FileType::DocsFile;

/// State `seq` of a document of 24.1 MB: a little more than the one before.
pub fn message(seq: u64) -> FileMessage {
    let sent = (seq * 400_000).min(TOTAL);
    let progress = u8::try_from(sent * 100 / TOTAL).unwrap().min(99);
    FileMessage {
        file_type: DOCUMENT,
        status: Status::Buffering,
        progress,
        message: "Buffering data".to_owned(),
        upload_id: "now".to_owned(),
        seq,
        received: (sent + 300_000).min(TOTAL),
        sent,
        stored: sent / (5 << 20) * (5 << 20),
        total: Some(TOTAL),
        part_size: Some(5 << 20),
        parts: Some(5),
        parts_stored: u32::try_from(sent / (5 << 20)).unwrap(),
        part_states: Some("10000".to_owned()),
        active: vec![ActivePart { part: 1, sent: 1, attempt: 1 }],
        waiting: None,
        retries: 0,
        at_ms: seq * 100,
        code: None,
        key: None,
        link: None,
    }
}

fn english() -> Words {
    Words::of(Language::English)
}

fn caption(row: &Row) -> Caption {
    captions::caption(english(), row)
}

fn announcement(before: Option<&Row>, after: Option<&Row>) -> Option<Spoken> {
    captions::announcement(english(), DOCUMENT, before, after)
}

fn begun() -> Transfers {
    let mut transfers = Transfers::default();
    transfers.begin(&[(DOCUMENT, TOTAL)]);
    transfers
}

fn completed(seq: u64) -> FileMessage {
    let status = Status::Completed;
    FileMessage { status, progress: 100, sent: TOTAL, stored: TOTAL, ..message(seq) }
}

fn failed(seq: u64, code: &str) -> FileMessage {
    let code = Some(code.to_owned());
    let message_text = "Storage did not answer.".to_owned();
    FileMessage { status: Status::Error, code, message: message_text, ..message(seq) }
}

fn outcome(outcome: Outcome, code: Option<&str>) -> FileOutcome {
    FileOutcome {
        field: DOCUMENT.field().to_owned(),
        outcome,
        code: code.map(str::to_owned),
        key: code.is_none().then(|| "supporting_documents/x.pdf".to_owned()),
        link: None,
        size: Some(TOTAL),
        content_type: None,
        etag: None,
        checksum_crc64nvme: None,
    }
}

fn problem(code: &str, files: Vec<FileOutcome>) -> PostEnd {
    PostEnd::Refused(Problem {
        problem_type: "about:blank".to_owned(),
        title: String::new(),
        status: 503,
        detail: "Storage did not answer.".to_owned(),
        code: code.to_owned(),
        retryable: true,
        file: None,
        upload_id: Some("now".to_owned()),
        files,
    })
}

/// A generator of our own keeps the test free of a dependency; seeded, so a failure repeats.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }
}

#[test]
fn any_order_with_repeats_and_losses_ends_the_same_and_never_goes_back() {
    for seed in 0..500 {
        let mut dice = Dice(seed);
        let mut deck: Vec<FileMessage> = (1..60).map(message).collect();
        deck.push(completed(60));
        for _ in 0..20 {
            let repeat = deck[dice.below(deck.len())].clone();
            deck.push(repeat);
        }
        for place in (1..deck.len()).rev() {
            deck.swap(place, dice.below(place + 1));
        }
        deck.truncate(deck.len() - dice.below(40));
        let best = deck.iter().map(|state| state.seq).max().unwrap();

        let mut transfers = begun();
        let mut last = (0, 0, 0, 0);
        for state in deck {
            transfers.fold(state);
            let row = transfers.row(DOCUMENT).unwrap().message.clone().unwrap();
            let now = (row.progress, row.received, row.sent, row.stored);
            assert!(
                now.0 >= last.0 && now.1 >= last.1 && now.2 >= last.2 && now.3 >= last.3,
                "seed {seed}: {last:?} then {now:?}"
            );
            last = now;
        }
        assert_eq!(transfers.row(DOCUMENT).unwrap().seq(), Some(best), "seed {seed}");
    }
}

#[test]
fn a_repeat_changes_nothing() {
    let mut transfers = begun();
    assert!(transfers.fold(message(3)));
    assert!(!transfers.fold(message(3)));
    assert!(!transfers.fold(message(2)));
}

#[test]
fn only_the_upload_of_this_press_is_shown() {
    let mut transfers = Transfers::default();
    let old = |seq| FileMessage { upload_id: "before".to_owned(), ..message(seq) };
    assert!(!transfers.fold(old(7)), "nothing was pressed");
    transfers.begin(&[(DOCUMENT, TOTAL)]);
    assert!(!transfers.fold(old(8)), "a snapshot after a reconnect");
    assert!(transfers.fold(message(1)));
    assert!(!transfers.fold(FileMessage { upload_id: "other".to_owned(), ..message(9) }));
    assert!(transfers.fold(completed(2)));

    transfers.begin(&[(DOCUMENT, TOTAL)]);
    assert!(!transfers.fold(completed(3)), "the first upload is the past now");
    assert!(transfers.fold(FileMessage { upload_id: "second".to_owned(), ..message(1) }));
    assert_eq!(transfers.upload_id(), Some("second"));
}

#[test]
fn the_other_files_row_is_left_alone() {
    let mut transfers = begun();
    assert!(!transfers.fold(FileMessage { file_type: FileType::MsaImgs, ..message(1) }));
    assert_eq!(transfers.row(FileType::MsaImgs), None);
}

#[test]
fn nothing_follows_the_end() {
    let mut transfers = begun();
    transfers.fold(failed(5, "storage_timeout"));
    assert!(!transfers.fold(completed(6)));
    transfers.settle(PostEnd::Lost);
    assert_eq!(transfers.row(DOCUMENT).unwrap().code(), Some("storage_timeout"));
    assert!(!transfers.is_running());
}

#[test]
fn an_answer_ends_what_the_socket_did_not() {
    let mut transfers = begun();
    transfers.fold(message(10));
    assert_eq!(transfers.percent(), 16);
    transfers.settle(PostEnd::Stored(UploadAnswer {
        upload_id: "now".to_owned(),
        files: vec![outcome(Outcome::Stored, None)],
    }));
    let row = transfers.row(DOCUMENT).unwrap();
    let state = row.message.as_ref().unwrap();
    assert_eq!((state.received, state.sent, state.stored), (TOTAL, TOTAL, TOTAL));
    assert_eq!(row.key(), Some("supporting_documents/x.pdf"));
    assert_eq!(caption(row).headline, "Stored \u{2013} 24.1 MB", "the time of an old message is not said");
    assert_eq!(transfers.percent(), 100);
    assert!(transfers.fold(completed(99)), "the terminal message may come last");
    let row = transfers.row(DOCUMENT).unwrap();
    assert_eq!(caption(row).headline, "Stored \u{2013} 24.1 MB in 10 s", "only it knows the time");
    assert_eq!(row.key(), Some("supporting_documents/x.pdf"));
}

#[test]
fn an_answer_corrects_a_wrong_guess_of_the_upload() {
    let mut transfers = begun();
    transfers.fold(FileMessage { upload_id: "stranger".to_owned(), ..completed(4) });
    transfers.settle(problem("busy", Vec::new()));
    assert_eq!(transfers.row(DOCUMENT).unwrap().code(), Some("busy"));
    assert_eq!(transfers.upload_id(), Some("now"));
}

#[test]
fn a_problem_without_files_fails_every_file() {
    let mut transfers = begun();
    transfers.begin(&[(FileType::MsaImgs, 10)]);
    transfers.settle(problem("busy", Vec::new()));
    for file_type in FileType::ALL {
        assert_eq!(transfers.row(file_type).unwrap().code(), Some("busy"));
    }
}

#[test]
fn an_unknown_outcome_is_not_called_nothing() {
    let mut transfers = begun();
    transfers.fold(failed(5, "storage_unreachable"));
    let words = |transfers: &Transfers| caption(transfers.row(DOCUMENT).unwrap()).detail;
    assert_eq!(words(&transfers), "Try again in a minute.");
    let files = vec![outcome(Outcome::Unknown, Some("storage_unreachable"))];
    transfers.settle(problem("storage_unreachable", files));
    assert!(words(&transfers).starts_with("It is not known whether it was stored."));
}

#[test]
fn a_broken_post_fails_what_was_still_coming_and_waits_for_the_rest() {
    let mut transfers = begun();
    transfers.fold(message(5));
    transfers.settle(PostEnd::Lost);
    assert_eq!(transfers.row(DOCUMENT).unwrap().code(), Some(CONNECTION_LOST));

    let mut transfers = begun();
    transfers.fold(FileMessage { status: Status::Processing, received: TOTAL, ..message(5) });
    transfers.settle(PostEnd::Lost);
    assert!(transfers.is_running());
    assert!(transfers.fold(completed(6)));
}

#[test]
fn the_server_has_the_last_word_on_what_broke() {
    let mut transfers = begun();
    transfers.fold(message(5));
    transfers.break_off();
    assert!(transfers.is_broken(), "the socket may still tell");
    transfers.settle(PostEnd::Lost);
    assert!(!transfers.is_broken());
    assert!(!transfers.fold(message(6)), "not stored yet is no news");
    assert!(transfers.fold(failed(7, "client_gone")));
    let row = transfers.row(DOCUMENT).unwrap();
    assert!(row.is_lost());
    assert_eq!(caption(row).headline, "The connection broke before everything was sent.");
    assert_eq!(caption(row).detail, "Nothing was stored. Check your connection and try again.");
    assert!(!transfers.fold(completed(8)), "that was the last word");

    let mut transfers = begun();
    transfers.settle(PostEnd::Lost);
    assert!(transfers.fold(completed(9)), "the first that is heard of this upload");
    assert_eq!(look(transfers.row(DOCUMENT).unwrap()), Look::Stored);
}

#[test]
fn without_a_network_a_break_is_the_end_and_is_called_so() {
    let words = |transfers: &Transfers| caption(transfers.row(DOCUMENT).unwrap()).headline;
    let mut transfers = begun();
    transfers.fold(message(5));
    transfers.set_offline(true);
    assert!(transfers.is_running(), "a browser without a network may reach a server all the same");
    let before = transfers.row(DOCUMENT).cloned();
    transfers.break_off();
    assert!(!transfers.is_running());
    let said = announcement(before.as_ref(), transfers.row(DOCUMENT));
    let alert = "You are offline. Check your connection and try again.";
    assert_eq!(said, Some(Spoken::Alert(alert.to_owned())));
    transfers.set_offline(false);
    assert_eq!(words(&transfers), "The connection broke before the server confirmed the upload.");

    let mut transfers = begun();
    transfers.break_off();
    assert!(transfers.is_running());
    transfers.set_offline(true);
    assert_eq!(words(&transfers), "You are offline.");

    let mut transfers = begun();
    transfers.set_offline(true);
    transfers.fold(failed(5, "client_gone"));
    assert_eq!(words(&transfers), "You are offline.");
}

#[test]
fn what_left_the_browser_is_never_called_stored() {
    let mut transfers = Transfers::default();
    transfers.begin(&[(DOCUMENT, TOTAL), (FileType::MsaImgs, 1_000)]);
    assert!(transfers.is_unheard());
    transfers.fold(message(3));
    assert!(!transfers.is_unheard());
    let left = |transfers: &Transfers| FileType::ALL.map(|one| transfers.row(one).unwrap().left);
    // 300 bytes of the form are no file.
    let whole = TOTAL + 1_300;
    transfers.leave(200, whole);
    assert_eq!(left(&transfers), [Some(0), Some(0)]);
    transfers.leave(12_050_300, whole);
    assert!(transfers.is_sending());
    assert_eq!(left(&transfers), [Some(12_050_000), Some(0)]);
    let row = transfers.row(DOCUMENT).unwrap();
    assert_eq!(caption(row).headline, "50 % sent from this browser");
    assert_eq!(caption(row).detail, "12.0 of 24.1 MB, not yet confirmed by the server");
    assert_eq!(captions::value_text(english(), row), "50 percent sent from this browser");
    assert_eq!(captions::title(english(), &transfers), "Sending \u{2013} Upload");
    transfers.leave(whole, whole);
    assert_eq!(left(&transfers), [Some(TOTAL), Some(1_000)]);
    assert!(!transfers.is_sending());
    let row = transfers.row(DOCUMENT).unwrap();
    assert_eq!(caption(row).headline, "Everything is sent from this browser");
    assert!(!transfers.is_received(), "nobody said so");
    assert!(note(&transfers, false).starts_with("Live progress is not available."));
    assert!(note(&transfers, true).starts_with("Live progress"), "a socket that tells nothing is none");

    transfers.fold(message(60));
    assert_eq!(left(&transfers), [None, Some(1_000)], "what the server says is better");
    transfers.leave(whole, whole);
    transfers.fold(completed(61));
    transfers.leave(whole, whole);
    assert_eq!(left(&transfers), [None, Some(1_000)], "what is over does not move");
    transfers.fold(FileMessage { file_type: FileType::MsaImgs, ..message(1) });
    assert_eq!(note(&transfers, true), "");
}

fn note(transfers: &Transfers, connected: bool) -> String {
    let state = State { transfers: transfers.clone(), connected, ..State::default() };
    captions::note(english(), &state)
}

#[test]
fn what_something_holds_back_is_said() {
    let mut transfers = Transfers::default();
    transfers.begin(&[(DOCUMENT, TOTAL)]);
    transfers.fold(message(4));
    let state = State { transfers, connected: true, held_back: Some((24_000_000, 500)), ..State::default() };
    let said = captions::note(english(), &state);
    assert!(said.contains("has sent 24.0 MB") && said.contains("received 500 bytes"), "{said}");
}

#[test]
fn speed_and_time_left_stand_beside_what_moves() {
    let mut transfers = Transfers::default();
    transfers.begin(&[(DOCUMENT, TOTAL)]);
    let at = |seq: u64, waiting| {
        let mut state = message(seq);
        (state.at_ms, state.received, state.sent) = (seq * 1_000, seq * 2_000_000, seq * 1_000_000);
        state.waiting = waiting;
        state
    };
    (1..=6).for_each(|seq| assert!(transfers.fold(at(seq, None))));
    let detail = caption(transfers.row(DOCUMENT).unwrap()).detail;
    assert_eq!(detail, "6.0 of 24.1 MB sent to storage \u{2013} 1.0 MB/s \u{2013} about 20 s left");
    transfers.fold(at(7, Some(Waiting::Storage)));
    let detail = caption(transfers.row(DOCUMENT).unwrap()).detail;
    assert_eq!(detail, "7.0 of 24.1 MB sent to storage");
}

#[test]
fn an_upload_of_the_page_before_goes_on() {
    let mut transfers = Transfers::default();
    let sent = message(4);
    transfers.restore(&sent.upload_id, &[(DOCUMENT, TOTAL)]);
    transfers.fold(FileMessage { upload_id: "another".to_owned(), ..message(9) });
    transfers.fold(sent);
    assert!(transfers.is_running() && !transfers.is_broken());
    let mut gone = message(5);
    (gone.status, gone.code) = (Status::Error, Some("client_gone".to_owned()));
    transfers.fold(gone);
    let words = caption(transfers.row(DOCUMENT).unwrap());
    assert_eq!(
        words.headline,
        "The document was interrupted when the page was reloaded. Nothing of it was stored."
    );
    assert_eq!(words.detail, "Choose it again.");
}

#[test]
fn a_key_is_found_without_the_answer_of_the_post() {
    let mut transfers = Transfers::default();
    transfers.begin(&[(DOCUMENT, TOTAL)]);
    transfers.fold(message(4));
    assert!(!transfers.lacks_key(), "it is not stored");
    transfers.fold(completed(5));
    assert!(transfers.lacks_key());
    let mut told = completed(5);
    (told.key, told.link) = (Some("a/b.pdf".to_owned()), Some("http://s3/a/b.pdf".to_owned()));
    transfers.find(FileMessage { upload_id: "another".to_owned(), ..told.clone() });
    assert!(transfers.lacks_key());
    transfers.find(told);
    let row = transfers.row(DOCUMENT).unwrap();
    assert_eq!((row.key(), row.link()), (Some("a/b.pdf"), Some("http://s3/a/b.pdf")));
}

#[test]
fn a_report_has_every_part() {
    let mut transfers = Transfers::default();
    transfers.begin(&[(DOCUMENT, TOTAL)]);
    let mut state = message(4);
    (state.part_size, state.parts, state.parts_stored) = (Some(5 << 20), Some(5), 1);
    state.part_states = Some("31000".to_owned());
    state.active = vec![ActivePart { part: 2, sent: 10, attempt: 3 }];
    transfers.fold(state);
    let report = captions::report(english(), &transfers);
    let lines: Vec<&str> = report.lines().collect();
    assert!(lines[0].starts_with("Reference "), "{report}");
    assert!(lines[1].starts_with("document: "), "{report}");
    assert_eq!(lines[2], "  Part 1: 5.2 MB, stored");
    assert_eq!(lines[3], "  Part 2: 5.2 MB, sending, attempt 3");
    assert_eq!(lines.len(), 7);
}

#[test]
fn a_post_is_in_vain_when_every_file_has_ended_and_one_not_well() {
    let file_type = FileType::MsaImgs;
    let mut transfers = Transfers::default();
    transfers.begin(&[(DOCUMENT, TOTAL), (file_type, 10)]);
    transfers.fold(message(4));
    transfers.fold(failed(5, "type_mismatch"));
    assert!(!transfers.is_in_vain(), "the image is still to be told of");
    transfers.fold(FileMessage { file_type, ..failed(5, "type_mismatch") });
    assert!(transfers.is_in_vain());

    let mut transfers = begun();
    transfers.fold(failed(5, "type_mismatch"));
    assert!(!transfers.is_in_vain(), "it may be the end of an upload that this page never heard of");

    let mut transfers = Transfers::default();
    transfers.begin(&[(DOCUMENT, TOTAL)]);
    transfers.fold(message(4));
    transfers.fold(failed(5, "type_mismatch"));
    transfers.begin(&[(file_type, 10)]);
    transfers.fold(FileMessage { upload_id: "second".to_owned(), file_type, ..completed(5) });
    assert!(!transfers.is_in_vain(), "the answer has the key; the other file is of another upload");
}

#[test]
fn a_file_that_did_not_come_is_not_to_blame() {
    let mut transfers = begun();
    let text = "Another file failed before this one came. Nothing of it was stored. Try again.";
    let missed = FileMessage { received: 0, message: text.to_owned(), ..failed(5, "type_mismatch") };
    transfers.fold(missed);
    let words = caption(transfers.row(DOCUMENT).unwrap());
    assert_eq!(words.headline, "Another file failed before this one came.");
    assert_eq!(words.detail, "Nothing was stored. Try again.");

    let mut transfers = begun();
    let files = vec![outcome(Outcome::NotReceived, Some("type_mismatch"))];
    transfers.settle(problem("type_mismatch", files));
    assert_eq!(caption(transfers.row(DOCUMENT).unwrap()), words, "the answer says the same");

    let mut transfers = begun();
    let text = "The document contains macros. Save it without them.";
    transfers.fold(FileMessage { message: text.to_owned(), ..failed(5, "macros") });
    let words = caption(transfers.row(DOCUMENT).unwrap());
    assert_eq!(
        (words.headline.as_str(), words.detail.as_str()),
        (text, "Nothing was stored. Choose another file.")
    );
}

#[test]
fn cancelling_lasts_until_every_file_has_ended() {
    let mut transfers = begun();
    transfers.fold(message(5));
    transfers.cancel();
    assert!(transfers.is_cancelling());
    transfers.fold(failed(6, "cancelled"));
    assert!(!transfers.is_cancelling());
    let row = transfers.row(DOCUMENT).unwrap();
    assert_eq!(look(row), Look::Cancelled);
    assert_eq!(caption(row).headline, "Cancelled \u{2013} nothing was stored");

    let mut transfers = begun();
    transfers.cancel();
    transfers.settle(PostEnd::Dropped);
    assert_eq!(transfers.row(DOCUMENT).unwrap().code(), Some(UNCONFIRMED));
    assert!(!transfers.is_cancelling());
}

#[test]
fn the_words_name_the_state() {
    let say = |change: fn(&mut FileMessage)| {
        let mut transfers = begun();
        let mut state = message(40);
        change(&mut state);
        transfers.fold(state);
        caption(transfers.row(DOCUMENT).unwrap())
    };
    let plain = say(|_| {});
    assert_eq!(plain.headline, "66 % \u{2013} 3 of 5 parts stored");
    assert_eq!(plain.detail, "16.0 of 24.1 MB sent to storage");
    assert_eq!(say(|state| state.parts = Some(1)).headline, "66 % sent to storage");
    let receiving = say(|state| (state.sent, state.progress) = (0, 0));
    assert_eq!(receiving.headline, "0 % \u{2013} receiving");
    assert_eq!(receiving.detail, "16.3 of 24.1 MB received");
    let sent = say(|state| (state.sent, state.progress) = (TOTAL, 99));
    assert_eq!(sent.headline, "99 % \u{2013} 3 of 5 parts stored", "it is not all there yet");
    let last = say(|state| (state.sent, state.progress, state.parts_stored) = (TOTAL, 99, 5));
    assert_eq!(last.headline, "99 % \u{2013} checking with storage");
    let only = say(|state| (state.sent, state.progress, state.parts) = (TOTAL, 99, Some(1)));
    assert_eq!(only.headline, last.headline);
    let slow = say(|state| state.waiting = Some(Waiting::Storage));
    assert_eq!(slow.headline, "66 % \u{2013} storage is slow");
    let again = say(|state| {
        state.active = vec![ActivePart { part: 4, sent: 0, attempt: 2 }];
        state.waiting = Some(Waiting::Retry);
    });
    assert_eq!(again.headline, "66 % \u{2013} part 4 did not arrive in storage, trying again (attempt 2)");
}

#[test]
fn whoever_has_sent_everything_may_leave() {
    let mut transfers = Transfers::default();
    transfers.begin(&[(DOCUMENT, TOTAL), (FileType::MsaImgs, 10)]);
    transfers.fold(FileMessage { status: Status::Processing, ..message(5) });
    assert!(!transfers.is_received() && transfers.is_sending(), "the image is still coming");
    let file_type = FileType::MsaImgs;
    transfers.fold(FileMessage { status: Status::Processing, file_type, ..message(5) });
    assert!(transfers.is_received() && !transfers.is_sending());
    transfers.fold(completed(6));
    assert!(transfers.is_received());
    transfers.fold(FileMessage { file_type, ..completed(6) });
    assert!(!transfers.is_received(), "it has ended: there is nothing left to say");
}

#[test]
fn a_percent_is_never_a_hundred_before_the_end() {
    let mut transfers = begun();
    let sent = FileMessage { sent: TOTAL, progress: 99, ..message(60) };
    transfers.fold(sent.clone());
    assert_eq!(transfers.percent(), 99);
    let said = |transfers: &Transfers| captions::value_text(english(), transfers.row(DOCUMENT).unwrap());
    assert_eq!(said(&transfers), "99 percent sent to storage, 4 of 5 parts stored");
    transfers.fold(FileMessage { parts_stored: 5, seq: 61, ..sent });
    assert_eq!(said(&transfers), "99 percent, finishing");
}

#[test]
fn quarters_are_announced_ten_seconds_apart_and_ends_at_once() {
    let mut transfers = begun();
    let mut said = Vec::new();
    let mut steps: Vec<FileMessage> = (1..61).map(message).collect();
    for state in &mut steps {
        state.at_ms = state.seq * 500;
    }
    steps.push(completed(61));
    for state in steps {
        let before = transfers.clone();
        transfers.fold(state);
        said.extend(captions::quarter(english(), &before, &transfers).map(Spoken::Status));
        said.extend(announcement(before.row(DOCUMENT), transfers.row(DOCUMENT)));
    }
    let text = |line: &str| Spoken::Status(line.to_owned());
    // 25 % comes at 8 s and 75 % at 23 s: too soon after the start, and after 50 % at 15 s.
    assert_eq!(said, [text("50 percent sent to storage."), text("The document is stored.")]);
}

#[test]
fn a_cancel_is_told_until_it_is_confirmed() {
    let mut transfers = begun();
    transfers.fold(message(2));
    transfers.cancel();
    assert_eq!(caption(transfers.row(DOCUMENT).unwrap()).headline, "Cancelling");
    assert_eq!(captions::value_text(english(), transfers.row(DOCUMENT).unwrap()), "Cancelling");
    transfers.fold(failed(3, "cancelled"));
    assert_eq!(caption(transfers.row(DOCUMENT).unwrap()).headline, "Cancelled \u{2013} nothing was stored");
}

#[test]
fn numbers_read_alike_and_states_do_not() {
    let mut transfers = begun();
    transfers.fold(message(2));
    let before = transfers.clone();
    transfers.fold(message(3));
    assert!(captions::read_alike(&before, &transfers), "more bytes");
    let mut part = message(4);
    part.parts_stored += 1;
    let mut waiting = message(5);
    waiting.waiting = Some(Waiting::Client);
    let mut again = message(6);
    again.active = vec![ActivePart { part: 2, sent: 0, attempt: 2 }];
    for state in [part, waiting, again, message(7), failed(8, "integrity")] {
        let before = transfers.clone();
        transfers.fold(state);
        assert!(!captions::read_alike(&before, &transfers), "{:?}", transfers.row(DOCUMENT));
    }
    assert!(!captions::read_alike(&transfers, &Transfers::default()));
}

#[test]
fn a_row_can_be_told_in_arabic() {
    let arabic = Words::of(Language::Arabic);
    let told = |transfers: &Transfers| captions::caption(arabic, transfers.row(DOCUMENT).unwrap());
    let mut transfers = begun();
    transfers.fold(message(40));
    let words = told(&transfers);
    assert_eq!(words.headline, "\u{2068}66%\u{2069} \u{2013} الأجزاء المخزَّنة: 3 من 5");
    assert_eq!(words.detail, "أُرسل إلى خدمة التخزين: 16.0 من 24.1 ميغابايت");
    assert_eq!(
        captions::value_text(arabic, transfers.row(DOCUMENT).unwrap()),
        "أُرسل 66 بالمئة إلى خدمة التخزين، الأجزاء المخزَّنة: 3 من 5"
    );
    transfers.fold(failed(41, "storage_timeout"));
    assert_eq!(told(&transfers).headline, "لم تستجب خدمة التخزين.", "the server speaks English");
    assert_eq!(captions::summary(arabic, &transfers), "المستند: لم يكتمل الرفع.");

    let mut transfers = begun();
    transfers.fold(FileMessage { received: 0, ..failed(5, "macros") });
    assert_eq!(told(&transfers).headline, "توقف الرفع قبل وصول هذا الملف.");
    let mut transfers = begun();
    transfers.settle(PostEnd::Dropped);
    let said = captions::announcement(arabic, DOCUMENT, Some(&Row::new(TOTAL)), transfers.row(DOCUMENT));
    let alert = "توقف الرفع. لم يذكر الخادم ما كان قد خزّنه حتى ذلك الحين. حاول مرة أخرى.";
    assert_eq!(said, Some(Spoken::Alert(alert.to_owned())));
}
