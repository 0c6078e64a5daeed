//! The site that lies inside the binary: styles, script, WASM and icon.
//!
//! In a debug build (`cargo leptos watch`) rust-embed reads the same files from disk at each request, so that
//! an edit of the style sheet shows without a rebuild.

use std::borrow::Cow;
use std::path::Path;

use axum::body::{Body, Bytes};
use axum::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rust_embed::{EmbeddedFile, RustEmbed};

/// What cargo-leptos and xtask call the site's files; a content hash may follow.
const OUTPUT_NAME: &str = "bucket-brigade";

// `allow_missing`: build.rs decides whether a server without its page may be built.
#[derive(RustEmbed)]
#[folder = "$BRIGADE_SITE"]
#[allow_missing = true]
struct Site;

/// Where the page finds its style sheet, script and WASM, from its own address; with the dot that an import needs.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SitePaths {
    pub css: String,
    pub js: String,
    pub wasm: String,
}

/// The paths of this build. Without a site they are the plain names, and lead to 404.
pub fn site_paths() -> SitePaths {
    let files: Vec<Cow<'static, str>> = Site::iter().collect();
    SitePaths { css: path_of(&files, "css"), js: path_of(&files, "js"), wasm: path_of(&files, "wasm") }
}

/// Answers GET and HEAD of `/pkg/{*file}` and the icons; 404 for what is not there.
pub async fn serve_asset(uri: Uri, headers: HeaderMap) -> Response {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    asset(uri.path(), text(ACCEPT_ENCODING), text(IF_NONE_MATCH))
        .unwrap_or_else(|| StatusCode::NOT_FOUND.into_response())
}

/// The response for an absolute URL path, or nothing where the site has no such file.
///
/// Each encoding has its own strong ETag. A name with a content hash may be kept for ever, any other is asked
/// for again with its ETag.
pub fn asset(path: &str, accept_encoding: Option<&str>, if_none_match: Option<&str>) -> Option<Response> {
    let name = path.strip_prefix('/').filter(|name| !name.ends_with(".br") && !name.ends_with(".gz"))?;
    let plain = Site::get(name)?;
    let compressed = Site::get(&format!("{name}.br"));
    let varies = compressed.is_some();
    let content_type = plain.metadata.mimetype().to_owned();
    let (file, encoding) = match compressed {
        Some(file) if accept_encoding.is_some_and(accepts_brotli) => (file, Some("br")),
        _ => (plain, None),
    };
    let tag = etag(&file);
    let cache = if is_hashed(name) { "public, max-age=31536000, immutable" } else { "no-cache" };
    let mut response = if if_none_match.is_some_and(|known| names_tag(known, &tag)) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let head = [(CONTENT_TYPE, content_type.as_str()), (X_CONTENT_TYPE_OPTIONS, "nosniff")];
        let coding = encoding.map(|name| [(CONTENT_ENCODING, name)]);
        (head, coding, Body::from(bytes(file.data))).into_response()
    };
    let headers = response.headers_mut();
    headers.insert(ETAG, tag.parse().ok()?);
    headers.insert(CACHE_CONTROL, cache.parse().ok()?);
    if varies {
        headers.insert(VARY, "Accept-Encoding".parse().ok()?);
    }
    Some(response)
}

/// The file of one kind that the page starts from: scripts that it imports lie deeper.
fn path_of(files: &[Cow<'static, str>], kind: &str) -> String {
    let found = files.iter().find(|file| {
        let path = Path::new(file.as_ref());
        path.parent() == Some(Path::new("pkg"))
            && path.extension().is_some_and(|extension| extension == kind)
            && file.starts_with(&format!("pkg/{OUTPUT_NAME}."))
    });
    found.map_or_else(|| format!("./pkg/{OUTPUT_NAME}.{kind}"), |file| format!("./{file}"))
}

fn is_hashed(name: &str) -> bool {
    name.strip_prefix("pkg/")
        .and_then(|file| file.strip_prefix(OUTPUT_NAME)?.strip_prefix('.'))
        .is_some_and(|hash_and_kind| hash_and_kind.contains('.'))
}

fn accepts_brotli(accept_encoding: &str) -> bool {
    accept_encoding.split(',').any(|item| {
        let mut parts = item.split(';').map(str::trim);
        let named = parts.next().is_some_and(|coding| coding.eq_ignore_ascii_case("br"));
        let refused = parts
            .filter_map(|parameter| parameter.strip_prefix("q="))
            .any(|weight| weight.parse::<f32>().is_ok_and(|weight| weight <= 0.0));
        named && !refused
    })
}

/// RFC 9110, 13.1.2: If-None-Match compares weakly.
fn names_tag(if_none_match: &str, tag: &str) -> bool {
    if_none_match
        .split(',')
        .map(str::trim)
        .any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
}

fn etag(file: &EmbeddedFile) -> String {
    format!("\"{}\"", URL_SAFE_NO_PAD.encode(&file.metadata.sha256_hash()[..12]))
}

fn bytes(data: Cow<'static, [u8]>) -> Bytes {
    match data {
        Cow::Borrowed(data) => Bytes::from_static(data),
        Cow::Owned(data) => Bytes::from(data),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brotli_is_sent_to_those_who_accept_it() {
        assert!(accepts_brotli("gzip, deflate, br, zstd"));
        assert!(accepts_brotli("BR;q=0.5"));
        for refusal in ["", "gzip", "br;q=0", "br; q=0.0, gzip", "brotli", "xbr"] {
            assert!(!accepts_brotli(refusal), "{refusal}");
        }
    }

    #[test]
    fn a_known_tag_is_found_in_the_list() {
        assert!(names_tag("\"a\", W/\"b\"", "\"b\""));
        assert!(names_tag("*", "\"b\""));
        assert!(!names_tag("\"bb\"", "\"b\""));
    }

    #[test]
    fn only_a_name_with_a_hash_is_immutable() {
        assert!(is_hashed("pkg/bucket-brigade.0f1e.js"));
        assert!(!is_hashed("pkg/bucket-brigade.js"));
        assert!(!is_hashed("favicon.svg"));
    }

    #[test]
    fn the_page_starts_from_the_script_on_top() {
        let files =
            ["favicon.svg", "pkg/bucket-brigade.1.js", "pkg/bucket-brigade.1.js.br", "pkg/snippets/a/b.js"];
        let files: Vec<Cow<'static, str>> = files.into_iter().map(Cow::Borrowed).collect();
        assert_eq!(path_of(&files, "js"), "./pkg/bucket-brigade.1.js");
        assert_eq!(path_of(&files, "css"), "./pkg/bucket-brigade.css");
    }

    #[test]
    fn what_is_not_in_the_site_is_not_found() {
        for path in
            ["/", "", "/pkg/", "/pkg/none.js", "/../Cargo.toml", "/pkg/../../Cargo.toml", "pkg/none.js"]
        {
            assert!(asset(path, None, None).is_none(), "{path}");
        }
    }

    /// What only the server knows: its settings' names, the form of keys, and the values of whatever is secret in the
    /// environment of the build, which a macro may have read.
    fn secrets() -> Vec<String> {
        let names =
            ["BRIGADE_", "AWS_", "AKIA", "ASIA", "PRIVATE KEY", "store-secret-key", "store-access-key"];
        let is_secret =
            |name: &str| ["SECRET", "TOKEN", "PASSWORD", "_KEY"].iter().any(|part| name.contains(part));
        // A short value would be found anywhere.
        let values = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        let values =
            values.filter(|(name, value)| is_secret(name) && value.len() >= 8).map(|(_, value)| value);
        names.into_iter().map(str::to_owned).chain(values).collect()
    }

    #[test]
    fn no_file_of_the_page_has_a_secret_in_it() {
        let mut files = Vec::new();
        for name in Site::iter() {
            let mut data = bytes(Site::get(&name).unwrap().data).to_vec();
            if name.ends_with(".br") {
                let mut plain = Vec::new();
                brotli_decompressor::BrotliDecompress(&mut data.as_slice(), &mut plain).unwrap();
                data = plain;
            }
            files.push((name, data));
        }
        let is_required = std::env::var_os("BRIGADE_REQUIRE_SITE").is_some();
        assert!(!is_required || files.iter().filter(|(name, _)| name.ends_with(".br")).count() >= 4);
        // The files are read: this is in the script.
        assert!(
            !is_required || files.iter().any(|(_, data)| memchr::memmem::find(data, b"WebSocket").is_some())
        );
        for (name, data) in files {
            for (at, secret) in secrets().iter().enumerate() {
                // Not shown: it may be one.
                assert!(memchr::memmem::find(&data, secret.as_bytes()).is_none(), "{name} has secret {at}");
            }
        }
    }

    #[test]
    fn every_file_of_the_page_has_type_tag_and_encodings() {
        let SitePaths { css, js, wasm } = site_paths();
        if asset(&wasm[1..], None, None).is_none() && std::env::var_os("BRIGADE_REQUIRE_SITE").is_none() {
            eprintln!("not tested: this build has no site, `cargo xtask test` makes one");
            return;
        }
        let kinds = [(css, "text/css"), (js, "text/javascript"), (wasm, "application/wasm")];
        let icon = ("./favicon.svg".to_owned(), "image/svg+xml");
        for (path, kind) in kinds.into_iter().chain([icon]).map(|(path, kind)| (path[1..].to_owned(), kind)) {
            let plain = asset(&path, None, None).expect(&path);
            let small = asset(&path, Some("br"), None).expect(&path);
            assert_eq!(plain.headers()[CONTENT_TYPE], kind);
            assert_eq!(small.headers()[CONTENT_TYPE], kind);
            assert_eq!(small.headers()[X_CONTENT_TYPE_OPTIONS], "nosniff");
            assert_eq!(small.headers()[CONTENT_ENCODING], "br");
            assert_eq!(plain.headers().get(CONTENT_ENCODING), None);
            assert_eq!(plain.headers()[VARY], "Accept-Encoding");
            assert_ne!(plain.headers()[ETAG], small.headers()[ETAG]);
            assert!(asset(&format!("{path}.br"), None, None).is_none());

            let tag = small.headers()[ETAG].to_str().expect("a tag is ASCII").to_owned();
            let unchanged = asset(&path, Some("br"), Some(&tag)).expect(&path);
            assert_eq!(unchanged.status(), StatusCode::NOT_MODIFIED);
            assert_eq!(unchanged.headers()[ETAG], tag.as_str());
            assert_eq!(asset(&path, None, Some(&tag)).expect(&path).status(), StatusCode::OK);
        }
    }
}
