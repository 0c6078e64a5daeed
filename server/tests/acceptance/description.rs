//! The API's description: it has every route, says what is answered, and has a page for people.

use std::collections::BTreeSet;

use app::wire::FileType::DocsFile;
use serde_json::{Map, Value};
use server::error::Failure;

use crate::support::client::{Answer, Form, exchange, get, head, request};
use crate::support::fixture::Fixture;
use crate::support::page::header;
use crate::support::sample::{self, KIB, MIB};

/// What README.md lists.
const PATHS: [&str; 10] = [
    "/",
    "/docs",
    "/events",
    "/healthz",
    "/metrics",
    "/openapi.json",
    "/readyz",
    "/upload",
    "/uploads/{upload_id}",
    "/ws",
];
/// Registered without a description: files of the pages.
const FILES: [&str; 6] = [
    "/docs.css",
    "/favicon.svg",
    "/favicon-running.svg",
    "/favicon-stored.svg",
    "/favicon-failed.svg",
    "/pkg/{*file}",
];

/// The document, as it is served.
struct Description(Value);

impl Description {
    async fn of(fixture: &Fixture) -> Self {
        let answer = get(fixture.server, "/openapi.json").await;
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
        Self(answer.json())
    }

    /// Path, method in upper case, operation.
    fn operations(&self) -> impl Iterator<Item = (&str, String, &Value)> {
        object(&self.0["paths"]).iter().flat_map(|(path, item)| {
            object(item).iter().map(|(method, operation)| (path.as_str(), method.to_uppercase(), operation))
        })
    }

    fn methods(&self, path: &str) -> BTreeSet<String> {
        let of_path = self.operations().filter(|operation| operation.0 == path);
        of_path.map(|(_, method, _)| method).collect()
    }

    /// Holds an answer to what is said of it: status, type and, of JSON, every member.
    #[track_caller]
    fn has(&self, method: &str, path: &str, answer: &Answer) {
        let of = format!("{method} {path}: {}", answer.status);
        let said = &self.0["paths"][path][method.to_lowercase()]["responses"][answer.status.to_string()];
        assert!(said.is_object(), "{of} is not described");
        let Some(media) = answer.header("content-type").and_then(|kind| kind.split(';').next()) else {
            assert!(said["content"].is_null(), "{of} has no body");
            return;
        };
        let schema = &said["content"][media]["schema"];
        assert!(schema.is_object(), "{of}, {media} is not described");
        if media.ends_with("json") {
            self.fits(&answer.json(), &[schema], &of);
        }
    }

    /// Fails unless the value is what all of these schemas together say, and has no member beside theirs.
    #[track_caller]
    fn fits(&self, value: &Value, schemas: &[&Value], at: &str) {
        let schemas: Vec<&Value> = schemas.iter().flat_map(|schema| self.resolved(schema)).collect();
        for schema in &schemas {
            if let Some(any) = schema["oneOf"].as_array() {
                let kind = any.iter().find(|kind| (kind["type"] == "null") == value.is_null());
                self.fits(value, &[kind.unwrap_or_else(|| panic!("{at} is none of {any:?}"))], at);
            }
            if let Some(values) = schema["enum"].as_array() {
                assert!(values.contains(value), "{at}: {value} is none of {values:?}");
            }
            let kinds = schema["type"].as_array().cloned().unwrap_or_else(|| vec![schema["type"].clone()]);
            let is_said = kinds.iter().any(|kind| kind.is_null() || *kind == kind_of(value));
            assert!(is_said, "{at}: {value} is not of {kinds:?}");
        }
        for (index, item) in value.as_array().into_iter().flatten().enumerate() {
            self.fits(item, &[&schemas[0]["items"]], &format!("{at}[{index}]"));
        }
        let Some(members) = value.as_object() else { return };
        if schemas.iter().all(|schema| schema["properties"].is_null()) {
            return;
        }
        for (name, member) in members {
            let of_member = schemas.iter().map(|schema| &schema["properties"][name]);
            let of_member: Vec<_> = of_member.filter(|schema| !schema.is_null()).collect();
            assert!(!of_member.is_empty(), "{at}.{name} is not described");
            self.fits(member, &of_member, &format!("{at}.{name}"));
        }
        for name in schemas.iter().flat_map(|schema| schema["required"].as_array()).flatten() {
            assert!(members.contains_key(name.as_str().unwrap()), "{at} has {name}");
        }
    }

    /// A schema without references, and without those that it is made of.
    fn resolved<'a>(&'a self, schema: &'a Value) -> Vec<&'a Value> {
        match (schema["$ref"].as_str(), schema["allOf"].as_array()) {
            (Some(reference), _) => self.resolved(self.referred(reference)),
            (None, Some(all)) => all.iter().flat_map(|schema| self.resolved(schema)).collect(),
            (None, None) => vec![schema],
        }
    }

    fn referred(&self, reference: &str) -> &Value {
        let found = reference.strip_prefix('#').and_then(|pointer| self.0.pointer(pointer));
        found.unwrap_or_else(|| panic!("{reference} leads nowhere"))
    }
}

fn object(value: &Value) -> &Map<String, Value> {
    value.as_object().unwrap_or_else(|| panic!("no object: {value}"))
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// What stands in a document under a name, anywhere.
fn named<'a>(value: &'a Value, name: &str) -> Vec<&'a Value> {
    match value {
        Value::Array(items) => items.iter().flat_map(|item| named(item, name)).collect(),
        Value::Object(members) => {
            let deeper = members.values().flat_map(|member| named(member, name));
            members.get(name).into_iter().chain(deeper).collect()
        }
        _ => Vec::new(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_description_has_every_route() {
    let fixture = Fixture::start().await;
    let description = Description::of(&fixture).await;
    let paths: BTreeSet<&str> = description.operations().map(|(path, ..)| path).collect();
    assert_eq!(paths, PATHS.into());
    // Whatever is registered in another way is a file.
    let source = include_str!("../../src/routes.rs");
    let router = source.split("pub fn router(").nth(1).and_then(|rest| rest.split("\n}\n").next()).unwrap();
    let bare: Vec<&str> =
        router.split(".route(\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert_eq!(bare, FILES);
    for path in PATHS {
        let described = description.methods(path);
        let target = path.replace("{upload_id}", "AAAAAAAAAAAAAAAAAAAAAA");
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY"] {
            let answer = request(fixture.server, method, &target).await;
            if described.contains(method) {
                description.has(method, path, &answer);
                assert_ne!(answer.status, 405, "{method} {path}");
            } else if path == "/ws" {
                answer.problem(426, "upgrade_required");
            } else {
                answer.problem(405, "method_not_allowed");
                let allowed = answer.header("allow").unwrap().split(',').filter(|method| *method != "HEAD");
                assert_eq!(allowed.map(str::to_owned).collect::<BTreeSet<_>>(), described, "{path}");
            }
        }
    }
    fixture.finish().await;
}

/// A validator of OpenAPI 3.1 reads it in `outside/schemathesis.sh`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_description_is_whole() {
    let fixture = Fixture::start().await;
    let description = Description::of(&fixture).await;
    assert_eq!(description.0["openapi"], "3.1.0");
    for reference in named(&description.0, "$ref") {
        description.referred(reference.as_str().unwrap());
    }
    let (mut ids, mut codes) = (BTreeSet::new(), BTreeSet::new());
    for (path, method, operation) in description.operations() {
        assert!(operation["summary"].as_str().is_some_and(|text| text.ends_with('.')), "{method} {path}");
        assert!(ids.insert(operation["operationId"].as_str().unwrap()), "{method} {path}");
        let problems = named(&operation["responses"], "enum").into_iter().flat_map(|codes| codes.as_array());
        codes.extend(problems.flatten().map(|code| code.as_str().unwrap()));
    }
    // These two are no operation's.
    codes.extend([Failure::NotFound.code(), Failure::MethodNotAllowed.code()]);
    assert_eq!(codes, Failure::ALL.iter().map(|failure| failure.code()).collect());
    fixture.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_answered_is_what_is_described() {
    let fixture = Fixture::start().await;
    let server = fixture.server;
    let description = Description::of(&fixture).await;
    let (document, image) = (sample::pdf(6 * MIB), sample::jpeg(100 * KIB));
    let answer = Form::both(&document, &image).client_id("described").post(server).await;
    description.has("POST", "/upload", &answer);
    let stored = answer.stored();
    fixture.take_stored(&stored.files[0], &document).await;
    fixture.take_stored(&stored.files[1], &image).await;

    let upload = format!("/uploads/{}", stored.upload_id);
    let snapshot = get(server, &upload).await;
    assert_eq!(snapshot.json::<Value>()["files"].as_array().map(Vec::len), Some(2));
    description.has("GET", "/uploads/{upload_id}", &snapshot);
    let ended = request(server, "DELETE", &upload).await;
    ended.problem(409, "upload_finished");
    description.has("DELETE", "/uploads/{upload_id}", &ended);
    let events = get(server, "/events?client_id=described").await;
    description.has("GET", "/events", &events);
    let stream =
        &description.0["paths"]["/events"]["get"]["responses"]["200"]["content"]["text/event-stream"];
    let event = description.resolved(&stream["schema"])[0];
    let message = &event["properties"]["data"]["contentSchema"];
    let text = events.text();
    let told: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
    assert_eq!(told.len(), 2, "{text}");
    for data in told {
        description.fits(&serde_json::from_str(data).unwrap(), &[message], "an event");
    }

    for (form, status) in [
        (Form::document(b"no document"), 415),
        (Form::document(b""), 422),
        (Form::new().text("comment", "no file"), 400),
        (Form::document(&document).without_sizes().size(DocsFile, 1_u64 << 60), 413),
        (Form::document(&document).header("Origin", "http://elsewhere.test"), 403),
        (Form::document(b"no document").header("Accept", "text/html"), 415),
    ] {
        let answer = form.post(server).await;
        assert_eq!(answer.status, status, "{}", answer.text());
        description.has("POST", "/upload", &answer);
    }
    for (path, target, status) in [
        ("/ws", "/ws?client_id=a", 426),
        ("/events", "/events", 400),
        ("/healthz", "/healthz", 200),
        ("/readyz", "/readyz", 200),
        ("/metrics", "/metrics", 200),
        ("/uploads/{upload_id}", "/uploads/x", 404),
    ] {
        let answer = get(server, target).await;
        assert_eq!(answer.status, status, "{target}");
        description.has("GET", path, &answer);
    }
    fixture.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_of_the_description_has_all_of_it() {
    let fixture = Fixture::start().await;
    let description = Description::of(&fixture).await;
    let answer = exchange(fixture.server, &head("GET", "/docs", &[header("Accept", "text/html")])).await;
    let policy = answer.header("content-security-policy").unwrap();
    assert!(policy.contains("style-src 'self'") && !policy.contains("script-src"), "{policy}");
    let page = answer.text();
    assert!(page.starts_with("<!DOCTYPE html>"));
    assert!(!page.contains("<script") && !page.contains("<style") && !page.contains(" style="), "{page}");
    let attribute = |name: &str| {
        let start = format!(" {name}=\"");
        let values = page.split(&start).skip(1).map(|rest| rest.split('"').next().unwrap().to_owned());
        values.collect::<BTreeSet<_>>()
    };
    assert_eq!(attribute("src"), BTreeSet::new());
    let ids = attribute("id");
    for address in attribute("href") {
        match address.strip_prefix('#') {
            Some(id) => assert!(ids.contains(id), "{address} leads nowhere"),
            None => {
                let target = format!("/{}", address.trim_start_matches("./"));
                assert_eq!(get(fixture.server, &target).await.status, 200, "{address}");
            }
        }
    }
    for (path, method, operation) in description.operations() {
        assert!(page.contains(&format!("<h2><code>{method} {path}</code></h2>")), "{method} {path}");
        assert!(ids.contains(operation["operationId"].as_str().unwrap()), "{method} {path}");
    }
    for name in object(&description.0["components"]["schemas"]).keys() {
        assert!(ids.contains(name), "{name}");
    }
    for code in Failure::ALL.iter().map(|failure| failure.code()) {
        assert!(page.contains(&format!("<code>{code}</code>")), "{code}");
    }
    fixture.finish().await;
}
