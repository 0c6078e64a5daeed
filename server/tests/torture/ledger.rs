//! What was sent, what the answers promise of it, and whether the store agrees.

use std::collections::{BTreeMap, HashMap};

use app::wire::{Outcome, Status};

use crate::client::Ended;
use crate::layout::Shape;
use crate::report::caught;
use crate::sample::{Sample, checksum};
use crate::support::bucket::{Bucket, Object};
use crate::support::store::file_of;

/// What must be true of a file in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Under this key, where it is known.
    Stored(Option<String>),
    Absent,
    Either,
}

struct Expected {
    sample: Sample,
    fate: Fate,
    /// Why, for whoever reads the violation.
    because: String,
}

/// The files of a run that may be in the store.
#[derive(Default)]
pub struct Ledger {
    by_content: HashMap<(u64, usize), Sample>,
    expected: Vec<Expected>,
}

/// What a look into the store found.
#[derive(Default)]
pub struct Found {
    pub violations: Vec<String>,
    /// Every object, with the file that it is.
    pub objects: Vec<(Shape, Option<Sample>)>,
    /// Whole ones whose client had read no answer.
    pub unanswered: usize,
}

impl Ledger {
    /// Enters what a client sent, and what it may count on.
    pub fn enter(&mut self, ended: &Ended) -> Vec<String> {
        let mut violations = Vec::new();
        for (file, closed_at) in ended.plan.files.iter().zip(&ended.closed_at) {
            let outcome =
                ended.outcomes().into_iter().find(|outcome| outcome.field == file.sample.file.field());
            if let Some(defect) = file.defect {
                if outcome.is_some_and(|outcome| outcome.outcome == Outcome::Stored) {
                    violations.push(format!("stored though {defect:?}: {:?}", ended.plan));
                }
                continue;
            }
            let content = file.content();
            self.by_content.insert((checksum(&content), content.len()), file.sample);
            let fate = match (&ended.answer, outcome) {
                (Some(_), Some(outcome)) => match outcome.outcome {
                    Outcome::Stored => Fate::Stored(outcome.key),
                    Outcome::Failed | Outcome::NotReceived => Fate::Absent,
                    Outcome::Unknown => Fate::Either,
                },
                (Some(_), None) => Fate::Absent,
                (None, _) if ended.written < *closed_at => Fate::Absent,
                (None, _) => told(ended, &file.sample),
            };
            let because = format!("{} to {:?}", ended.word(), ended.plan);
            self.expected.push(Expected { sample: file.sample, fate, because });
        }
        violations
    }

    /// Looks at every object, and at every file's fate.
    pub async fn check(&mut self, bucket: &Bucket) -> Found {
        let mut found = Found::default();
        let listing = bucket.clone();
        let keys = match caught(async move { listing.keys().await }).await {
            Ok(keys) => keys,
            Err(words) => {
                found.violations.push(format!("the bucket does not list: {words}"));
                return found;
            }
        };
        let mut places: BTreeMap<u64, Vec<String>> = BTreeMap::new();
        for key in keys {
            let reading = (bucket.clone(), key.clone());
            let read = caught(async move { reading.0.get(&reading.1).await }).await;
            let object = match read {
                Ok(object) => object,
                Err(words) => {
                    found.violations.push(format!("{key} cannot be read: {words}"));
                    continue;
                }
            };
            let judged = self.judge(&object);
            if let Ok(sample) = &judged {
                places.entry(sample.number).or_default().push(key);
            }
            found.objects.push((Shape::of(&object), judged.as_ref().ok().copied()));
            found.violations.extend(judged.err());
        }
        self.compare(&places, &mut found);
        found
    }

    /// Which file an object is.
    fn judge(&self, object: &Object) -> Result<Sample, String> {
        let (key, size) = (&object.key, object.content.len());
        let sent = self.by_content.get(&(checksum(&object.content), size));
        let sample = *sent.ok_or_else(|| format!("{key} of {size} bytes is no file that was sent"))?;
        if object.content != sample.content() {
            return Err(format!("{key} differs from {sample:?}"));
        }
        if file_of(key) != Some(sample.file) || object.content_type.as_deref() != Some(sample.media_type()) {
            return Err(format!("{key} is called {:?} and is {sample:?}", object.content_type));
        }
        Ok(sample)
    }

    fn compare(&mut self, places: &BTreeMap<u64, Vec<String>>, found: &mut Found) {
        for Expected { sample, fate, because } in &self.expected {
            let there = places.get(&sample.number).map_or(&[][..], Vec::as_slice);
            let fits = match fate {
                Fate::Stored(Some(key)) => there == [key.clone()],
                Fate::Stored(None) => there.len() == 1,
                Fate::Absent => there.is_empty(),
                Fate::Either => there.len() <= 1,
            };
            if !fits {
                let wanted = format!("{sample:?} should be {fate:?}");
                found.violations.push(format!("{wanted}, and is at {there:?}; {because}"));
            }
            found.unanswered += usize::from(*fate == Fate::Either && !there.is_empty());
        }
    }

    /// From now on only these are known, and each must stay.
    pub fn keep(&mut self, kept: &[(String, Sample)]) {
        let numbers: Vec<u64> = kept.iter().map(|(_, sample)| sample.number).collect();
        self.by_content.retain(|_, sample| numbers.contains(&sample.number));
        let expected = kept.iter().map(|(key, sample)| Expected {
            sample: *sample,
            fate: Fate::Stored(Some(key.clone())),
            because: "kept from an earlier round".to_owned(),
        });
        self.expected = expected.collect();
    }
}

/// What the socket told of a file whose client read no answer.
fn told(ended: &Ended, sample: &Sample) -> Fate {
    match ended.told.iter().find(|end| end.file_type == sample.file) {
        Some(end) if end.status == Status::Completed => Fate::Stored(None),
        // It may be there: the store vanished before it could be asked.
        Some(end) if end.code.as_deref() == Some("storage_unreachable") => Fate::Either,
        Some(_) => Fate::Absent,
        None => Fate::Either,
    }
}
