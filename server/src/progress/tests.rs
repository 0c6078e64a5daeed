use super::*;

/// Both files of a client, and somebody who watches.
fn watched() -> (Watcher, UploadProgress, [FileProgress; 2]) {
    let hub = Hub::new(&Clocks::default(), Tally::default());
    let client = ClientId::parse("a-program").unwrap();
    let upload = hub.begin(Some(&client), Arc::default());
    let files = [FileType::DocsFile, FileType::MsaImgs].map(|file_type| upload.file(file_type, None));
    (hub.watch(&client, Greeting::Newest), upload, files)
}

fn receive(file: &FileProgress) {
    file.publish(|state| state.receive(1));
}

#[tokio::test]
async fn both_files_are_told_at_one_beat() {
    let (mut watcher, _upload, files) = watched();
    for file in &files {
        receive(file);
        drop(watcher.next().await);
        // However far apart they changed before.
        tokio::time::sleep(INTERVAL / 2).await;
    }
    for _ in 0..3 {
        files.iter().for_each(receive);
        let first = watcher.next().await;
        let second = watcher.due_now().expect("in the same beat");
        assert_ne!(first.file_type, second.file_type);
        files.iter().for_each(receive);
    }
}

#[tokio::test]
async fn the_end_waits_for_no_beat() {
    let (mut watcher, _upload, [document, image]) = watched();
    receive(&document);
    drop(watcher.next().await);
    document.publish(|state| state.complete("a-key".to_owned()));
    image.publish(|state| state.fail(Failure::Cancelled));
    assert!(watcher.due_now().is_some_and(|message| message.status.is_terminal()));
    assert!(watcher.due_now().is_some_and(|message| message.status.is_terminal()));
    assert!(watcher.is_over());
}
