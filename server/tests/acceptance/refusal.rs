//! One refused upload: its answer, its last message, an empty store, and a server that goes on.

use std::sync::atomic::{AtomicU32, Ordering};

use app::wire::{FileType, Outcome, Problem, Status};

use crate::support::client::{Answer, Form};
use crate::support::fixture::Fixture;
use crate::support::socket::Watcher;

/// What must come of an upload that is refused.
pub struct Refusal<'a> {
    fixture: &'a Fixture,
    name: String,
    status: u16,
    code: &'static str,
    /// The file whose bar ends, if the server can know which it is.
    ends: Option<FileType>,
}

impl<'a> Refusal<'a> {
    pub fn of(fixture: &'a Fixture, name: impl Into<String>, status: u16, code: &'static str) -> Self {
        Self { fixture, name: name.into(), status, code, ends: None }
    }

    #[must_use]
    pub fn ends(mut self, file: FileType) -> Self {
        self.ends = Some(file);
        self
    }

    /// Posts the form whole.
    pub async fn post(self, form: Form) -> Problem {
        let body = form.body();
        self.post_body(form, &body).await
    }

    /// Posts the form's head with another body.
    pub async fn post_body(self, form: Form, body: &[u8]) -> Problem {
        self.send(form, async |form, server| form.post_body(server, body).await).await
    }

    /// Lets `send` send the form, which now has a client id of its own.
    pub async fn send(
        self,
        form: Form,
        send: impl AsyncFnOnce(Form, std::net::SocketAddr) -> Answer,
    ) -> Problem {
        println!("{}", self.name);
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let id = format!("refused-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let mut watcher = Watcher::new(self.fixture.server, &id).await;
        let answer = send(form.client_id(&id), self.fixture.server).await;
        let problem = answer.problem(self.status, self.code);
        if let Some(file) = self.ends {
            let end = watcher.terminal(file).await;
            assert_eq!(end.status, Status::Error, "{}", self.name);
            assert_eq!(end.code.as_deref(), Some(self.code), "{}: answer and socket agree", self.name);
            assert_eq!(problem.upload_id.as_ref(), Some(&end.upload_id), "{}", self.name);
            assert!(end.progress <= 99);
        }
        for file in &problem.files {
            assert_ne!(file.outcome, Outcome::Unknown, "{}", self.name);
            assert_eq!(file.outcome == Outcome::Stored, file.key.is_some(), "{}: {file:?}", self.name);
        }
        drop(watcher);
        problem
    }

    /// Posts the form, and sees that nothing is stored and that a normal upload passes.
    pub async fn leaves_nothing(self, form: Form) -> Problem {
        let body = form.body();
        self.leaves_nothing_of(form, &body).await
    }

    /// The same with another body.
    pub async fn leaves_nothing_of(self, form: Form, body: &[u8]) -> Problem {
        let fixture = self.fixture;
        let problem = self.post_body(form, body).await;
        assert!(problem.files.iter().all(|file| file.outcome != Outcome::Stored), "{problem:?}");
        fixture.nothing_stored().await;
        fixture.normal_upload_passes().await;
        problem
    }
}
