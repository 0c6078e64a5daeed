//! The description of the API: what the routes do not say of themselves. It is made of the routes that there are, and
//! served as OpenAPI 3.1 and as a page.

use std::collections::{BTreeMap, BTreeSet};

use app::wire::{CLIENT_ID_HEADER, FileMessage, FileType, Problem, UploadAnswer};
use axum::body::Bytes;
use axum::http::StatusCode;
use serde_json::{Value, json};
use utoipa::openapi::extensions::Extensions;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::schema::{Object, SchemaFormat, SchemaType, Type};
use utoipa::openapi::{AllOf, ContentBuilder, KnownFormat, Ref, RefOr, Required, Response, Schema};
use utoipa::{IntoParams, IntoResponses, OpenApi, PartialSchema, ToSchema};

use crate::docs;
use crate::error::Failure;
use crate::error::Failure::{
    ClientIdForeign, ClientIdInvalid, ClientIdMissing, HostInvalid, Internal, MethodNotAllowed, NotFound,
    OriginRefused, RateLimited, UpgradeRequired, UploadFinished, UploadUnknown,
};
use crate::kind::MediaType;

/// What holds for all of it, in Markdown.
const ABOUT: &str = "Streams a document and an image into S3, and reports how far they are.

What fails is answered by `application/problem+json` (RFC 9457) with a stable `code`, also at any other address (404 \
`not_found`) and for any other method (405 `method_not_allowed`); HEAD goes wherever GET does. Only what cannot be read \
as HTTP is answered without a body.

A client id that a page was given works with that page's cookie and origin only. Any other is the caller's own, and \
whoever knows it may use it. Pages of other origins are refused unless the server allows them.";

#[derive(OpenApi)]
#[openapi(
    info(title = "Bucket Brigade", description = ABOUT, license(name = "MIT or Apache-2.0", identifier = "MIT OR Apache-2.0")),
    servers((url = ".", description = "Wherever this document is served.")),
    components(schemas(UploadForm, UploadAnswer, FileMessage, Problem))
)]
struct Base;

/// Without the routes yet.
#[must_use]
pub fn base() -> utoipa::openapi::OpenApi {
    Base::openapi()
}

/// What is served. Cheap to clone.
#[derive(Clone)]
pub struct Description {
    pub json: Bytes,
    pub page: Bytes,
}

impl Description {
    /// Written once, of all that the routes say.
    #[must_use]
    pub fn new(mut api: utoipa::openapi::OpenApi) -> Self {
        if let Some(components) = &mut api.components {
            components.schemas.values_mut().for_each(as_written);
            components.schemas.insert(CODE.to_owned(), code(Failure::ALL).into());
        }
        let json = serde_json::to_vec(&api).expect("the keys are strings");
        Self { json: json.into(), page: docs::page_html(&api).into() }
    }
}

/// The schema of every code that there is.
const CODE: &str = "Code";

/// What serde does and the derived schemas do not know: a member that may be missing is never null. And what the crate
/// of the types does not know: the codes.
fn as_written(schema: &mut RefOr<Schema>) {
    let RefOr::T(Schema::Object(object)) = schema else { return };
    for (name, member) in &mut object.properties {
        let RefOr::T(Schema::Object(plain)) = member else { continue };
        if name == "code" {
            let about = plain.description.take();
            *member = Ref::builder().ref_location_from_schema_name(CODE).description(about).build().into();
        } else if !object.required.contains(name)
            && let SchemaType::Array(types) = &plain.schema_type
            && let Some(kind) = types.iter().find(|kind| **kind != Type::Null)
        {
            plain.schema_type = SchemaType::Type(kind.clone());
        }
    }
}

fn code(failures: &[Failure]) -> Schema {
    let codes: BTreeSet<&str> = failures.iter().map(|failure| failure.code()).collect();
    let object = Object::builder().schema_type(Type::String).enum_values(Some(codes));
    Schema::Object(object.description(Some("The stable name of a failure.")).build())
}

/// The form, with either file or both.
pub struct UploadForm;

impl ToSchema for UploadForm {}

impl PartialSchema for UploadForm {
    fn schema() -> RefOr<Schema> {
        let binary = SchemaFormat::KnownFormat(KnownFormat::Binary);
        let form = FileType::ALL.into_iter().fold(Object::builder(), |form, file| {
            let content =
                Object::builder().schema_type(Type::String).format(Some(binary.clone())).min_length(Some(1));
            let text = format!("What its bytes are counts, not what the part says: {}.", media_types(file));
            form.property(file.field(), content.description(Some(text)))
        });
        let either = FileType::ALL.map(|file| json!({ "required": [file.field()] }));
        // Whatever has a control character in its name cannot be read.
        let name = Object::builder().schema_type(Type::String).pattern(Some("^[^\\x00-\\x1f\\x7f]*$"));
        let form = form.property_names(Some(name)).extensions(Some(keyword("anyOf", json!(either))));
        let text = "Either file, or both. Text fields are accepted and ignored, SVG is refused unless the server allows it.";
        form.description(Some(text)).into()
    }
}

/// The types that a file may be of, as a list.
#[must_use]
pub fn media_types(file: FileType) -> String {
    let types = MediaType::ALL.into_iter().filter(|media| media.file_type() == file);
    types.map(MediaType::mime).collect::<Vec<_>>().join(", ")
}

/// A keyword of JSON Schema that utoipa's objects do not have.
fn keyword(name: &str, value: Value) -> Extensions {
    [(name, value)].into_iter().collect()
}

/// A server-sent event.
pub struct Event;

impl ToSchema for Event {}

impl PartialSchema for Event {
    fn schema() -> RefOr<Schema> {
        let message = keyword("contentSchema", json!(Ref::from_schema_name("FileMessage")));
        let data = Object::builder().schema_type(Type::String).content_media_type("application/json");
        let data = data.extensions(Some(message)).description(Some("A `FileMessage`."));
        Object::builder().property("data", data).required("data").into()
    }
}

/// What the head of an upload may announce.
pub struct UploadHeaders;

impl IntoParams for UploadHeaders {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let header = |name: &str, schema: Object, text: String| {
            let header = ParameterBuilder::new().name(name).parameter_in(ParameterIn::Header);
            header.required(Required::False).schema(Some(schema)).description(Some(text)).build()
        };
        let size = |file: FileType| {
            let size = Object::builder().schema_type(Type::Integer).minimum(Some(0));
            let text = format!(
                "Size of `{}` in bytes, and true: then the file streams through, and its progress has a percentage.",
                file.field()
            );
            header(file.size_header(), size.build(), text)
        };
        let watcher =
            header(CLIENT_ID_HEADER, client_id(), "Who may watch the upload, under this id.".to_owned());
        FileType::ALL.into_iter().map(size).chain([watcher]).collect()
    }
}

/// Whose uploads are watched.
pub struct WatchedId;

impl IntoParams for WatchedId {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let id = ParameterBuilder::new().name("client_id").parameter_in(ParameterIn::Query);
        let id = id.required(Required::True).schema(Some(client_id()));
        vec![id.description(Some("The id that uploads name in `x-client-id`.")).build()]
    }
}

fn client_id() -> Object {
    Object::builder().schema_type(Type::String).pattern(Some("^[A-Za-z0-9_-]{1,128}$")).build()
}

/// Defines what an operation may be refused for; status and texts are those of [`Failure`]'s table.
macro_rules! problems {
    ($($(#[$doc:meta])* $name:ident: $failures:expr;)+) => {$(
        $(#[$doc])*
        pub struct $name;

        impl IntoResponses for $name {
            fn responses() -> BTreeMap<String, RefOr<Response>> {
                by_status($failures).map(|(status, problem)| (status, problem.build().into())).collect()
            }
        }
    )+};
}

problems! {
    /// Of any operation.
    AnyProblem: &[HostInvalid, Internal];
    /// Of those that watch.
    WatchProblem: &WATCHED;
    /// Of the socket.
    SocketProblem: &[&WATCHED[..], &[UpgradeRequired]].concat();
    /// Of those that name an upload.
    SnapshotProblem: &[HostInvalid, Internal, OriginRefused, ClientIdForeign, UploadUnknown];
    /// Of the end of an upload.
    CancelProblem: &[HostInvalid, Internal, OriginRefused, ClientIdForeign, UploadUnknown, UploadFinished];
}

const WATCHED: [Failure; 7] =
    [HostInvalid, Internal, ClientIdInvalid, ClientIdMissing, OriginRefused, ClientIdForeign, RateLimited];

/// What no upload fails with; all else it may.
const NO_UPLOADS: [Failure; 6] =
    [ClientIdMissing, MethodNotAllowed, NotFound, UpgradeRequired, UploadUnknown, UploadFinished];

/// Of an upload: a page, for those who ask for one.
pub struct UploadProblem;

impl IntoResponses for UploadProblem {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let failures = Failure::ALL.iter().filter(|failure| !NO_UPLOADS.contains(failure));
        let page = || ContentBuilder::new().schema(Some(String::schema())).build();
        by_status(&failures.copied().collect::<Vec<_>>())
            .map(|(status, problem)| (status, problem.content("text/html", page()).build().into()))
            .collect()
    }
}

/// One answer a status, with the codes that it may carry.
fn by_status(failures: &[Failure]) -> impl Iterator<Item = (String, ResponseBuilder)> {
    let mut statuses: BTreeMap<StatusCode, Vec<Failure>> = BTreeMap::new();
    for &failure in failures {
        statuses.entry(failure.status()).or_default().push(failure);
    }
    statuses.into_iter().map(|(status, failures)| {
        let lines = failures.iter().map(|failure| format!("- `{}`: {}", failure.code(), failure.sentence()));
        let problem = ResponseBuilder::new().description(lines.collect::<Vec<_>>().join("\n"));
        let with_code = Object::builder().property("code", code(&failures));
        let schema = AllOf::builder().item(Ref::from_schema_name("Problem")).item(with_code).build();
        let content = ContentBuilder::new().schema(Some(Schema::AllOf(schema))).build();
        let problem = problem.content("application/problem+json", content);
        (status.as_str().to_owned(), with_headers(status, problem))
    })
}

/// Those that [`crate::error::problem_response`] adds.
fn with_headers(status: StatusCode, problem: ResponseBuilder) -> ResponseBuilder {
    let header = |kind: Type, text: &str| {
        let schema = Object::builder().schema_type(kind).build();
        HeaderBuilder::new().schema(schema).description(Some(text)).build()
    };
    match status {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            problem.header("retry-after", header(Type::Integer, "Seconds to wait."))
        }
        StatusCode::UPGRADE_REQUIRED => problem
            .header("upgrade", header(Type::String, "`websocket`"))
            .header("sec-websocket-version", header(Type::String, "`13`")),
        _ => problem,
    }
}

/// Whether the process answers.
#[derive(serde::Serialize, ToSchema)]
pub struct Health {
    /// Always `ok`.
    pub status: &'static str,
}

/// Whether uploads can be taken now.
#[derive(ToSchema)]
#[expect(dead_code, reason = "its answer is written by the route")]
pub struct Readiness {
    /// `ready`, or `not ready`.
    status: &'static str,
    /// Why not: `stopping`, or the code of what the store answered.
    reason: Option<String>,
}
