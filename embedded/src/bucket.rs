//! One bucket: what is in it, and every change to that, each a step that happens whole or not at all.
//!
//! The index (keys, records, parts of open uploads) is in memory and rebuilt from the records at start; a
//! change is made on disk and in the index under one lock, which is held for a rename, never for a sync.
//! Everything here blocks.

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use s3s::dto::ETagCondition;
use s3s::{S3Result, s3_error};

use super::Lock;
use super::blocks::{Sealed, Writer, sync_dir};
use super::faults;
use super::multipart::{self, Declared, NamedPart, Upload};
use super::paths::{BucketDir, UploadDir, object_name, random_name};
use super::records::{ObjectRecord, PartRecord, Pieces, UploadRecord, now_ms};

pub struct Bucket {
    pub name: String,
    pub created: SystemTime,
    dir: BucketDir,
    /// Where files are written before they get their name.
    temporary: PathBuf,
    state: Mutex<State>,
    /// Work under way keeps the directory locked, also when the store itself is gone.
    _lock: Arc<Lock>,
}

#[derive(Default)]
pub struct State {
    /// Deleted: whoever still holds the bucket must not write.
    pub closed: bool,
    pub objects: BTreeMap<String, Arc<Object>>,
    /// By key and upload id.
    pub uploads: BTreeMap<(String, String), Upload>,
    /// File names of objects whose record cannot be read: their keys are known by hash only.
    pub damaged: HashSet<String>,
}

/// An object as it is in the index. Its pieces are removed with the last reader, once it has been replaced.
pub struct Object {
    pub record: ObjectRecord,
    pieces: Option<UploadDir>,
    replaced: AtomicBool,
}

/// What a request demands of the object that it replaces.
#[derive(Debug, Default)]
pub struct Conditions {
    pub if_match: Option<ETagCondition>,
    pub if_none_match: Option<ETagCondition>,
}

impl Bucket {
    pub fn new(
        name: String,
        dir: BucketDir,
        temporary: PathBuf,
        state: State,
        lock: Arc<Lock>,
    ) -> io::Result<Self> {
        Ok(Self {
            name,
            created: fs::metadata(dir.path())?.modified()?,
            dir,
            temporary,
            state: Mutex::new(state),
            _lock: lock,
        })
    }

    pub fn temporary(&self) -> PathBuf {
        self.temporary.join(random_name())
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// # Errors
    /// `NoSuchKey`; `Corrupt` when the key is that of a damaged object.
    pub fn object(&self, key: &str) -> S3Result<Arc<Object>> {
        self.state().object(key).cloned()
    }

    /// The object and its own file, from the same moment.
    pub fn open_object(&self, key: &str) -> S3Result<(Arc<Object>, File)> {
        let state = self.state();
        let object = state.object(key)?;
        let file = File::open(self.dir.object(key)).map_err(faults::storage)?;
        Ok((Arc::clone(object), file))
    }

    /// The bytes of a PutObject or a copy become an object.
    pub fn put(&self, writer: Writer, record: ObjectRecord, conditions: &Conditions) -> S3Result<()> {
        let sealed = writer.seal(&record).map_err(faults::storage)?;
        self.publish(sealed, record, conditions, |_| ())
    }

    /// All of them, or an error for each that stayed.
    pub fn delete(&self, keys: &[String]) -> S3Result<Vec<(String, io::Error)>> {
        let mut stayed = Vec::new();
        let mut deleted = Vec::new();
        for key in keys {
            let mut state = self.state();
            let name = object_name(key);
            if !state.objects.contains_key(key) && !state.damaged.contains(&name) {
                continue;
            }
            match fs::remove_file(self.dir.object(key)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    stayed.push((key.clone(), error));
                }
                _ => {
                    state.damaged.remove(&name);
                    deleted.extend(state.objects.remove(key));
                }
            }
        }
        sync_dir(&self.dir.objects()).map_err(faults::storage)?;
        deleted.iter().for_each(|object| object.retire());
        Ok(stayed)
    }

    pub fn create_upload(&self, record: UploadRecord) -> S3Result<String> {
        let upload_id = random_name();
        let dir = self.dir.upload(&upload_id);
        let written = self.write_upload(&dir, &record);
        let mut state = self.state();
        if let Err(error) = written.and_then(|()| state.open()) {
            drop(state);
            remove_dir(&dir);
            return Err(error);
        }
        let upload = Upload { record, parts: BTreeMap::new(), completing: false };
        let key = upload.record.key.clone();
        state.uploads.insert((key, upload_id.clone()), upload);
        Ok(upload_id)
    }

    fn write_upload(&self, dir: &UploadDir, record: &UploadRecord) -> S3Result<()> {
        let write = || {
            fs::create_dir(dir.path())?;
            Writer::create(self.temporary())?.seal(record)?.publish(&dir.record())?;
            sync_dir(dir.path())?;
            sync_dir(&self.dir.uploads())
        };
        write().map_err(|error| self.gone_or(error))
    }

    /// A part, in place of the one that had its number.
    pub fn put_part(&self, key: &str, upload_id: &str, writer: Writer, part: PartRecord) -> S3Result<()> {
        let sealed = writer.seal(&part).map_err(faults::storage)?;
        let dir = self.dir.upload(upload_id);
        {
            let mut state = self.state();
            let upload = state.idle_upload(key, upload_id)?;
            sealed.publish(&dir.part(part.number)).map_err(faults::storage)?;
            upload.parts.insert(part.number, part);
        }
        sync_dir(dir.path()).map_err(|error| match error.kind() {
            // Aborted while the disk was at work.
            io::ErrorKind::NotFound => s3_error!(NoSuchUpload),
            _ => faults::storage(error),
        })
    }

    pub fn abort(&self, key: &str, upload_id: &str) -> S3Result<()> {
        let dir = self.dir.upload(upload_id);
        {
            let mut state = self.state();
            state.idle_upload(key, upload_id)?;
            fs::remove_file(dir.record()).map_err(faults::storage)?;
            state.uploads.remove(&(key.to_owned(), upload_id.to_owned()));
        }
        sync_dir(dir.path()).map_err(faults::storage)?;
        remove_dir(&dir);
        Ok(())
    }

    /// The parts become the object; they stay where they are and are not read.
    ///
    /// A refusal leaves the upload as it was.
    pub fn complete(
        &self,
        key: &str,
        upload_id: &str,
        named: &[NamedPart],
        declared: &Declared,
        conditions: &Conditions,
    ) -> S3Result<ObjectRecord> {
        let (plan, headers) = {
            let mut state = self.state();
            let upload = state.idle_upload(key, upload_id)?;
            let plan = multipart::plan(&upload.parts, named, declared)?;
            upload.completing = true;
            (plan, upload.record.headers.clone())
        };
        let record = ObjectRecord {
            key: key.to_owned(),
            size: plan.size,
            etag: plan.etag,
            crc64nvme: plan.crc64nvme,
            modified_ms: now_ms(),
            headers,
            pieces: Some(Pieces { upload_id: upload_id.to_owned(), parts: plan.pieces }),
        };
        let id = (key.to_owned(), upload_id.to_owned());
        let done = self.join(&id, &record, conditions);
        if done.is_err()
            && let Some(upload) = self.state().uploads.get_mut(&id)
        {
            upload.completing = false;
        }
        done.map(|()| record)
    }

    fn join(&self, id: &(String, String), record: &ObjectRecord, conditions: &Conditions) -> S3Result<()> {
        let dir = self.dir.upload(&id.1);
        let seal = || {
            sync_dir(dir.path())?;
            Writer::create(self.temporary())?.seal(record)
        };
        let sealed = seal().map_err(faults::storage)?;
        self.publish(sealed, record.clone(), conditions, |state| {
            state.uploads.remove(id);
        })?;
        // The object stands; what is left over would be swept at the next start.
        if let Err(error) = tidy(&dir, record) {
            tracing::warn!(%error, "a completed upload was not tidied up");
        }
        Ok(())
    }

    fn publish(
        &self,
        sealed: Sealed,
        record: ObjectRecord,
        conditions: &Conditions,
        then: impl FnOnce(&mut State),
    ) -> S3Result<()> {
        let key = record.key.clone();
        let object = Arc::new(Object::new(record, &self.dir));
        let replaced = {
            let mut state = self.state();
            state.open()?;
            conditions.check(state.objects.get(&key).map(|o| o.record.etag.as_str()))?;
            sealed.publish(&self.dir.object(&key)).map_err(faults::storage)?;
            state.damaged.remove(&object_name(&key));
            then(&mut state);
            state.objects.insert(key, object)
        };
        sync_dir(&self.dir.objects()).map_err(faults::storage)?;
        if let Some(replaced) = replaced {
            replaced.retire();
        }
        Ok(())
    }

    /// # Errors
    /// `BucketNotEmpty`. Open uploads go with the bucket.
    ///
    /// `then` runs when it is gone for new requests.
    pub fn remove(&self, then: impl FnOnce()) -> S3Result<()> {
        let grave = self.temporary();
        {
            let mut state = self.state();
            state.open()?;
            if !state.objects.is_empty() || !state.damaged.is_empty() {
                return Err(s3_error!(BucketNotEmpty));
            }
            fs::rename(self.dir.path(), &grave).map_err(faults::storage)?;
            state.closed = true;
            state.uploads.clear();
            then();
        }
        if let Some(buckets) = self.dir.path().parent() {
            sync_dir(buckets).map_err(faults::storage)?;
        }
        fs::remove_dir_all(&grave).map_err(faults::storage)
    }

    fn gone_or(&self, error: io::Error) -> s3s::S3Error {
        if self.state().closed {
            return s3_error!(NoSuchBucket);
        }
        faults::storage(error)
    }
}

impl State {
    pub fn open(&self) -> S3Result<()> {
        if self.closed {
            return Err(s3_error!(NoSuchBucket));
        }
        Ok(())
    }

    fn object(&self, key: &str) -> S3Result<&Arc<Object>> {
        if let Some(object) = self.objects.get(key) {
            return Ok(object);
        }
        if self.damaged.contains(&object_name(key)) {
            return Err(faults::storage(io::ErrorKind::InvalidData.into()));
        }
        Err(s3_error!(NoSuchKey, "There is no such object."))
    }

    pub fn upload(&mut self, key: &str, upload_id: &str) -> S3Result<&mut Upload> {
        self.uploads
            .get_mut(&(key.to_owned(), upload_id.to_owned()))
            .ok_or_else(|| s3_error!(NoSuchUpload, "The upload was never begun, or has ended."))
    }

    fn idle_upload(&mut self, key: &str, upload_id: &str) -> S3Result<&mut Upload> {
        let upload = self.upload(key, upload_id)?;
        if upload.completing {
            return Err(s3_error!(OperationAborted, "The upload is just being completed."));
        }
        Ok(upload)
    }
}

impl Object {
    pub fn new(record: ObjectRecord, dir: &BucketDir) -> Self {
        let pieces = record.pieces.as_ref().map(|p| dir.upload(&p.upload_id));
        Self { record, pieces, replaced: AtomicBool::new(false) }
    }

    pub fn piece(&self, number: u16) -> Option<PathBuf> {
        self.pieces.as_ref().map(|dir| dir.part(number))
    }

    fn retire(&self) {
        self.replaced.store(true, Ordering::Release);
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        let Some(dir) = self.pieces.take() else {
            return;
        };
        if !self.replaced.load(Ordering::Acquire) {
            return;
        }
        // The last reader may be a task that must not block.
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(move || remove_dir(&dir))),
            Err(_) => remove_dir(&dir),
        }
    }
}

impl Conditions {
    fn check(&self, etag: Option<&str>) -> S3Result<()> {
        let meets = |condition: &ETagCondition| match condition {
            ETagCondition::Any => etag.is_some(),
            ETagCondition::ETag(tag) => etag == Some(tag.value()),
        };
        if self.if_match.as_ref().is_some_and(|c| !meets(c)) || self.if_none_match.as_ref().is_some_and(meets)
        {
            return Err(s3_error!(PreconditionFailed, "The object there is not the one expected."));
        }
        Ok(())
    }
}

/// Removes what a completed upload does not need: its own record and the parts left out.
pub fn tidy(dir: &UploadDir, object: &ObjectRecord) -> io::Result<()> {
    let used: HashSet<PathBuf> =
        object.pieces.iter().flat_map(|p| &p.parts).map(|p| dir.part(p.number)).collect();
    for entry in fs::read_dir(dir.path())? {
        let path = entry?.path();
        if !used.contains(&path) {
            fs::remove_file(path)?;
        }
    }
    // Or the upload could be open again after a power cut.
    sync_dir(dir.path())
}

fn remove_dir(dir: &UploadDir) {
    if let Err(error) = fs::remove_dir_all(dir.path())
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(%error, "files of the store stay until the next start");
    }
}
