//! A bucket's index from its files, and the end of what a killed process left behind.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::blocks::read_record;
use super::bucket::{Object, State, tidy};
use super::multipart::Upload;
use super::paths::{BucketDir, UploadDir, object_name, part_number};
use super::records::{ObjectRecord, PartRecord, UploadRecord};

/// Reads every record of the bucket, and none of the objects' bytes. Blocks.
pub fn recover(dir: &BucketDir) -> io::Result<State> {
    let mut state = State::default();
    let mut owners: HashMap<String, Arc<Object>> = HashMap::new();
    for name in names(&dir.objects())? {
        let path = dir.objects().join(&name);
        match read_record::<ObjectRecord>(&path) {
            Ok(record) if object_name(&record.key) == name => {
                let object = Arc::new(Object::new(record, dir));
                if let Some(pieces) = &object.record.pieces {
                    owners.insert(pieces.upload_id.clone(), Arc::clone(&object));
                }
                state.objects.insert(object.record.key.clone(), object);
            }
            Ok(_) => drop(state.damaged.insert(name)),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                tracing::error!(file = %path.display(), %error, "an object of the store is damaged");
                state.damaged.insert(name);
            }
            Err(error) => return Err(error),
        }
    }
    for upload_id in names(&dir.uploads())? {
        let upload_dir = dir.upload(&upload_id);
        match owners.get(&upload_id) {
            Some(object) => tidy(&upload_dir, &object.record)?,
            None => match open_upload(&upload_dir)? {
                Some(upload) => {
                    let key = upload.record.key.clone();
                    state.uploads.insert((key, upload_id), upload);
                }
                // They may belong to an object whose record cannot be read.
                None if !state.damaged.is_empty() => {}
                None => remove(upload_dir.path())?,
            },
        }
    }
    Ok(state)
}

fn open_upload(dir: &UploadDir) -> io::Result<Option<Upload>> {
    let Some(record) = readable::<UploadRecord>(&dir.record())? else {
        return Ok(None);
    };
    let mut parts = BTreeMap::new();
    for name in names(dir.path())? {
        let Some(number) = part_number(&name) else {
            continue;
        };
        // A damaged part counts as not sent: Complete answers InvalidPart.
        if let Some(part) = readable::<PartRecord>(&dir.part(number))?
            && part.number == number
        {
            parts.insert(number, part);
        }
    }
    Ok(Some(Upload { record, parts, completing: false }))
}

fn readable<R: serde::de::DeserializeOwned>(path: &Path) -> io::Result<Option<R>> {
    match read_record(path) {
        Ok(record) => Ok(Some(record)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            tracing::error!(file = %path.display(), %error, "a file of the store is damaged");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn remove(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        // A reader of the store before this one may just have removed it.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// Names that are not UTF-8 are none of ours.
pub fn names(dir: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir)? {
        if let Ok(name) = entry?.file_name().into_string() {
            names.push(name);
        }
    }
    Ok(names)
}
