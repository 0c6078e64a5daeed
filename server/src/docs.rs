//! The description of the API as a page: the same document, one section an operation and one a type.

use app::{document_html, head};
use leptos::prelude::*;
use utoipa::openapi::path::{Operation, Parameter, ParameterIn, PathItem};
use utoipa::openapi::request_body::RequestBody;
use utoipa::openapi::schema::{ArrayItems, SchemaType, Type};
use utoipa::openapi::{OpenApi, RefOr, Required, Response, Schema};

use crate::assets::site_paths;

/// What the main style sheet has no need of.
const STYLE: &str = "docs.css";

/// The page, as a whole HTML document.
#[must_use]
pub fn page_html(api: &OpenApi) -> String {
    document_html(|| page(api))
}

fn page(api: &OpenApi) -> impl IntoView + use<> {
    let operations: Vec<_> = api
        .paths
        .paths
        .iter()
        .flat_map(|(path, item)| methods(item).map(move |(method, operation)| (method, path, operation)))
        .collect();
    let contents = operations.iter().map(|(method, path, operation)| {
        let title = format!("{method} {path}");
        let summary = operation.summary.clone();
        view! { <li><a href=format!("#{}", id(operation))><code>{title}</code></a>" "{summary}</li> }
    });
    let contents = contents.collect::<Vec<_>>();
    let sections: Vec<_> =
        operations.iter().map(|(method, path, operation)| section(method, path, operation)).collect();
    let schemas = api.components.iter().flat_map(|components| &components.schemas);
    let types: Vec<_> = schemas.map(|(name, schema)| type_section(name, schema)).collect();
    view! {
        <html lang="en">
            <head>
                {head("Bucket Brigade: API", &site_paths().css)}
                <link rel="stylesheet" href=STYLE />
            </head>
            <body>
                <main class="docs">
                    <header>
                        <p class="brand"><a href="./">"Bucket Brigade"</a></p>
                        <h1>"API"</h1>
                        {text(api.info.description.as_deref())}
                        <p>"For programs: " <a href="openapi.json">"openapi.json"</a> ", OpenAPI 3.1, version " {api.info.version.clone()}</p>
                    </header>
                    <nav aria-label="Operations"><ul>{contents}</ul></nav>
                    {sections}
                    {types}
                </main>
            </body>
        </html>
    }
}

/// The operations at one path.
fn methods(item: &PathItem) -> impl Iterator<Item = (&'static str, &Operation)> {
    let all = [
        ("GET", &item.get),
        ("HEAD", &item.head),
        ("POST", &item.post),
        ("PUT", &item.put),
        ("PATCH", &item.patch),
        ("DELETE", &item.delete),
        ("OPTIONS", &item.options),
        ("TRACE", &item.trace),
    ];
    all.into_iter().filter_map(|(method, operation)| Some((method, operation.as_ref()?)))
}

fn id(operation: &Operation) -> String {
    operation.operation_id.clone().unwrap_or_default()
}

fn section(method: &str, path: &str, operation: &Operation) -> AnyView {
    let parameters: Vec<_> = operation.parameters.iter().flatten().map(parameter).collect();
    let answers = operation.responses.responses.iter().filter_map(|(status, response)| match response {
        RefOr::T(response) => Some(answer(status, response)),
        RefOr::Ref(_) => None,
    });
    view! {
        <section class="card" id=id(operation)>
            <h2><code>{format!("{method} {path}")}</code></h2>
            <p class="headline">{operation.summary.clone()}</p>
            {text(operation.description.as_deref())}
            {(!parameters.is_empty()).then(|| view! { <h3>"Parameters"</h3><dl>{parameters}</dl> })}
            {operation.request_body.as_ref().map(body)}
            <h3>"Answers"</h3>
            <dl>{answers.collect::<Vec<_>>()}</dl>
        </section>
    }
    .into_any()
}

fn parameter(parameter: &Parameter) -> AnyView {
    let place = match parameter.parameter_in {
        ParameterIn::Header => "header",
        ParameterIn::Path => "path",
        ParameterIn::Query => "query",
        ParameterIn::Cookie => "cookie",
    };
    let kind = parameter.schema.as_ref().map(kind);
    let is_needed = parameter.required == Required::True;
    term(parameter.name.clone(), (place, ", ", kind, needed(is_needed)), parameter.description.as_deref())
}

fn body(body: &RequestBody) -> AnyView {
    let bodies: Vec<_> = body
        .content
        .iter()
        .map(|(media, content)| term(media.clone(), content.schema.as_ref().map(kind), None))
        .collect();
    view! { <h3>"Body"</h3><dl>{bodies}</dl> }.into_any()
}

fn answer(status: &str, response: &Response) -> AnyView {
    let bodies = response.content.iter().enumerate().map(|(at, (media, content))| {
        let kind = content.schema.as_ref().map(kind);
        ((at > 0).then_some("; "), media.clone(), ": ", kind)
    });
    let headers = response.headers.iter().map(|(name, header)| {
        let about = inline(header.description.as_deref().unwrap_or_default());
        view! { <p class="detail"><code>{name.clone()}</code> ": " {about}</p> }
    });
    view! {
        <dt><code>{status.to_owned()}</code> " " <span class="detail">{bodies.collect::<Vec<_>>()}</span></dt>
        <dd>
            {text(Some(&response.description))}
            {headers.collect::<Vec<_>>()}
        </dd>
    }
    .into_any()
}

fn type_section(name: &str, schema: &RefOr<Schema>) -> AnyView {
    let members = members(schema);
    let plain = members.is_empty().then(|| view! { <p>{kind(schema)}</p> });
    view! {
        <section class="card" id=name.to_owned()>
            <h2>{name.to_owned()}</h2>
            {text(about(schema))}
            {plain}
            <dl>{members}</dl>
        </section>
    }
    .into_any()
}

fn members(schema: &RefOr<Schema>) -> Vec<AnyView> {
    let RefOr::T(Schema::Object(object)) = schema else { return Vec::new() };
    let members = object.properties.iter().map(|(name, member)| {
        let is_needed = object.required.contains(name);
        term(name.clone(), (kind(member), needed(is_needed)), about(member))
    });
    members.collect()
}

fn about(member: &RefOr<Schema>) -> Option<&str> {
    match member {
        RefOr::T(Schema::Object(object)) => object.description.as_deref(),
        RefOr::T(Schema::Array(array)) => array.description.as_deref(),
        RefOr::T(Schema::OneOf(one)) => one.items.iter().find_map(about),
        RefOr::T(_) => None,
        RefOr::Ref(reference) => Some(&reference.description),
    }
}

fn needed(is_needed: bool) -> &'static str {
    if is_needed { "" } else { ", optional" }
}

fn term(name: String, what: impl IntoView + 'static, about: Option<&str>) -> AnyView {
    view! {
        <dt><code>{name}</code> " " <span class="detail">{what.into_any()}</span></dt>
        <dd>{text(about)}</dd>
    }
    .into_any()
}

/// A type in a few words; one with a name leads to its section.
fn kind(schema: &RefOr<Schema>) -> AnyView {
    let schema = match schema {
        RefOr::T(schema) => schema,
        RefOr::Ref(reference) => {
            let name = reference.ref_location.rsplit('/').next().unwrap_or_default().to_owned();
            let address = format!("#{name}");
            return view! { <a href=address>{name}</a> }.into_any();
        }
    };
    match schema {
        Schema::Object(object) => match &object.enum_values {
            Some(values) => joined(values.iter().map(|value| code(value.as_str().unwrap_or_default()))),
            None => type_of(&object.schema_type).into_any(),
        },
        Schema::Array(array) => match &array.items {
            ArrayItems::RefOrSchema(items) => ("array of ", kind(items)).into_any(),
            ArrayItems::False => "array".into_any(),
        },
        Schema::OneOf(one) => joined(one.items.iter().map(kind)),
        Schema::AnyOf(any) => joined(any.items.iter().map(kind)),
        // What is added to the first narrows it, and is told in words.
        Schema::AllOf(all) => all.items.first().map(kind).into_any(),
        _ => ().into_any(),
    }
}

fn joined(kinds: impl Iterator<Item = AnyView>) -> AnyView {
    kinds.enumerate().map(|(at, kind)| ((at > 0).then_some(" or "), kind)).collect::<Vec<_>>().into_any()
}

fn type_of(schema: &SchemaType) -> String {
    let name = |kind: &Type| match kind {
        Type::Object => "object",
        Type::String => "string",
        Type::Integer => "integer",
        Type::Number => "number",
        Type::Boolean => "boolean",
        Type::Array => "array",
        Type::Null => "null",
    };
    match schema {
        SchemaType::Type(kind) => name(kind).to_owned(),
        SchemaType::Array(kinds) => kinds.iter().map(name).collect::<Vec<_>>().join(" or "),
        SchemaType::AnyValue => "any".to_owned(),
    }
}

/// The Markdown that the descriptions are written in: paragraphs, lists, fenced code, and `code`.
fn text(markdown: Option<&str>) -> Vec<AnyView> {
    let mut views = Vec::new();
    // What lies between fences is code.
    for (at, piece) in markdown.unwrap_or_default().split("```").enumerate() {
        if at % 2 == 1 {
            let (_language, code) = piece.split_once('\n').unwrap_or_default();
            views
                .push(view! { <pre tabindex="0"><code>{code.trim_end().to_owned()}</code></pre> }.into_any());
        } else {
            let blocks = piece.split("\n\n").map(str::trim).filter(|block| !block.is_empty());
            views.extend(blocks.map(block));
        }
    }
    views
}

fn block(block: &str) -> AnyView {
    if !block.starts_with("- ") {
        return view! { <p>{inline(block)}</p> }.into_any();
    }
    let items = block.lines().map(|line| view! { <li>{inline(line.trim_start_matches("- "))}</li> });
    view! { <ul>{items.collect::<Vec<_>>()}</ul> }.into_any()
}

fn inline(markdown: &str) -> Vec<AnyView> {
    let pieces = markdown.split('`').enumerate();
    pieces.map(|(at, piece)| if at % 2 == 1 { code(piece) } else { piece.to_owned().into_any() }).collect()
}

fn code(text: &str) -> AnyView {
    view! { <code>{text.to_owned()}</code> }.into_any()
}
