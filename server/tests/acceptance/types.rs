//! What a file is stored as: what its first bytes say, whatever follows them, and always to be saved, never shown.

use std::collections::BTreeSet;

use app::sentences::{Kind, limit};
use app::wire::FileType::{DocsFile, MsaImgs};
use app::wire::{DOCUMENT_FIELD, FileType, IMAGE_FIELD};
use app::{Language, Words};
use server::config::Config;
use server::kind::MediaType;

use crate::refusal::Refusal;
use crate::support::client::Form;
use crate::support::fixture::Fixture;
use crate::support::image;
use crate::support::sample::{self, KIB, MIB};

/// A file, called by the client what a browser would run.
fn form(file: FileType, name: &str, content: &[u8]) -> Form {
    let headers = format!(
        "Content-Disposition: form-data; name=\"{}\"; filename=\"{name}\"\r\nContent-Type: text/html\r\n",
        file.field()
    );
    Form::new().part(&headers, content).size(file, content.len())
}

/// The file is stored under the type of its first bytes, with its size declared and without.
async fn stored_as(fixture: &Fixture, file: FileType, name: &str, content: &[u8], kind: &str) {
    println!("{name}: {} bytes", content.len());
    let form = form(file, name, content);
    for form in [form.clone(), form.without_sizes()] {
        let outcome = form.post(fixture.server).await.stored_one();
        assert_eq!(outcome.content_type.as_deref(), Some(kind), "{name}");
        let object = fixture.take_stored(&outcome, content).await;
        assert_eq!(object.content_type.as_deref(), Some(kind), "{name}");
        let disposition = format!("attachment; filename=\"{name}\"");
        assert_eq!(object.content_disposition, Some(disposition), "never to be shown");
        assert_eq!(object.content_encoding, None);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c07_the_right_beginning_and_garbage_behind_it() {
    let fixture = Fixture::start().await;
    let small = (300, 200);
    for size in [64, 10 * KIB, 6 * MIB] {
        let garbage = sample::noise(size);
        let spoilt = |head: &[u8]| [head, &garbage].concat();
        stored_as(&fixture, DocsFile, "a.pdf", &spoilt(b"%PDF-1.7\n"), "application/pdf").await;
        // The headers are whole: behind them anything may follow.
        let png = image::png(small)[..33].to_vec();
        stored_as(&fixture, MsaImgs, "a.png", &spoilt(&png), "image/png").await;
        let jpeg = image::jpeg(small, 100);
        let scan = jpeg.windows(2).rposition(|two| two == b"\xff\xda").unwrap();
        stored_as(&fixture, MsaImgs, "a.jpg", &spoilt(&jpeg[..scan + 10]), "image/jpeg").await;
        stored_as(&fixture, MsaImgs, "a.webp", &spoilt(&image::webp(b"VP8X", small)), "image/webp").await;
    }
    let cut = |content: Vec<u8>| content[..content.len() / 2].to_vec();
    stored_as(&fixture, MsaImgs, "cut.jpg", &cut(sample::jpeg(100 * KIB)), "image/jpeg").await;
    stored_as(&fixture, MsaImgs, "cut.png", &cut(sample::png(100 * KIB)), "image/png").await;
    stored_as(&fixture, DocsFile, "cut.pdf", &cut(sample::pdf(100 * KIB)), "application/pdf").await;
    fixture.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c08_polyglots_are_stored_as_what_they_begin_with() {
    let fixture = Fixture::start().await;
    let html: &[u8] = b"<!doctype html><html><script>alert(document.domain)</script></html>";
    // The screen is 10,799 by 1: its width is a comment's beginning.
    let gif = b"GIF89a/*\x01\0\0\0\0*/=1;alert(document.domain)//;".to_vec();
    for name in ["a.gif", "a.js", "a"] {
        stored_as(&fixture, MsaImgs, name, &gif, "image/gif").await;
    }
    let pdf = [b"%PDF-1.7\n", html, &sample::pdf(10 * KIB)].concat();
    for name in ["a.pdf", "a.html", "a.pdf.html"] {
        stored_as(&fixture, DocsFile, name, &pdf, "application/pdf").await;
    }
    let jpeg = [sample::jpeg(10 * KIB), sample::zip()].concat();
    for name in ["a.jpg", "a.zip", "a.jar"] {
        stored_as(&fixture, MsaImgs, name, &jpeg, "image/jpeg").await;
    }
    let document = [sample::pdf(10 * KIB), sample::docx(10 * KIB)].concat();
    stored_as(&fixture, DocsFile, "a.pdf", &document, "application/pdf").await;
    let program = [b"GIF89a\x01\0\x01\0\0\0\0;<?php system($_GET['c']); ?>", html].concat();
    stored_as(&fixture, MsaImgs, "a.php", &program, "image/gif").await;
    let comment = [&b"\xff\xd8\xff\xfe\0\x45"[..], html, &sample::jpeg(KIB)[2..]].concat();
    stored_as(&fixture, MsaImgs, "a.html", &comment, "image/jpeg").await;
    // Nobody's first bytes: a script before the PDF.
    let late = [html, &sample::pdf(10 * KIB)].concat();
    Refusal::of(&fixture, "HTML before PDF", 415, "type_mismatch").post(form(DocsFile, "a.pdf", &late)).await;
    fixture.finish().await;
}

/// SVG that does something.
fn active_svgs() -> Vec<(&'static str, Vec<u8>)> {
    let svg = |inside: &str| {
        let open = "<svg xmlns=\"http://www.w3.org/2000/svg\" xmlns:xlink=\"http://www.w3.org/1999/xlink\">";
        format!("{open}{inside}</svg>").into_bytes()
    };
    let entity = "<?xml version=\"1.0\"?><!DOCTYPE svg [<!ENTITY x SYSTEM \"file:///etc/passwd\">]>";
    let nested = "<g>".repeat(1_000_000) + &"</g>".repeat(1_000_000);
    vec![
        ("script.svg", svg("<script>alert(1)</script>")),
        ("onload.svg", b"<svg xmlns=\"http://www.w3.org/2000/svg\" onload=\"alert(1)\"/>".to_vec()),
        ("foreign.svg", svg("<foreignObject><body onload=\"alert(1)\"/></foreignObject>")),
        ("link.svg", svg("<a xlink:href=\"javascript:alert(1)\"><text>x</text></a>")),
        ("entity.svg", [entity.as_bytes(), &svg("<text>&x;</text>")].concat()),
        ("nested.svg", svg(&nested)),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c09_active_svg_is_refused() {
    let fixture = Fixture::start().await;
    for (name, content) in active_svgs() {
        for called in [name, "picture.png", "picture"] {
            let refusal = Refusal::of(&fixture, name, 415, "type_mismatch").ends(MsaImgs);
            refusal.post(form(MsaImgs, called, &content)).await;
            fixture.nothing_stored().await;
        }
        Refusal::of(&fixture, name, 415, "type_mismatch").post(form(DocsFile, name, &content)).await;
    }
    fixture.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c09_svg_that_is_allowed_is_an_attachment() {
    let fixture = Fixture::setup().config(|config| config.limits.allow_svg = true).start().await;
    for (name, content) in active_svgs() {
        stored_as(&fixture, MsaImgs, name, &content, "image/svg+xml").await;
        let refusal = Refusal::of(&fixture, name, 415, "wrong_field_type");
        refusal.post(form(DocsFile, "drawing", &content)).await;
    }
    fixture.finish().await;
}

/// README's table says what the code accepts, and so does the page's file dialog.
#[test]
fn the_readme_lists_what_is_accepted() {
    let readme = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let readme = std::fs::read_to_string(readme).unwrap();
    let rows = readme.lines().filter(|line| {
        line.starts_with(&format!("| `{DOCUMENT_FIELD}` |"))
            || line.starts_with(&format!("| `{IMAGE_FIELD}` |"))
    });
    let limits = Config::defaults().limits;
    let words = Words::of(Language::English);
    // As the page calls them, in the same order.
    let titles = [DocsFile, MsaImgs].map(|file_type| Kind { file_type, limit: 0, svg: true }.types(words));
    let titles = titles.iter().flat_map(|titles| titles.split(", ")).flat_map(|titles| titles.split(" or "));
    let wanted: Vec<String> = MediaType::ALL
        .into_iter()
        .zip(titles)
        .map(|(media, title)| {
            assert!(title.eq_ignore_ascii_case(&format!("{media:?}")), "{title} is {media:?}");
            let names: Vec<String> = media.extensions().iter().map(|end| format!("`.{end}`")).collect();
            let size = match media.file_type() {
                DocsFile => limits.max_document_size,
                MsaImgs => limits.max_image_size,
            };
            let only = if media == MediaType::Svg { " (with `--allow-svg`)" } else { "" };
            let (field, size) = (media.file_type().field(), limit(words, size.as_u64()));
            format!("| `{field}` | {title}{only} | `{}` | {} | {size} |", media.mime(), names.join(", "))
        })
        .collect();
    assert_eq!(wanted.len(), MediaType::ALL.len());
    assert_eq!(rows.collect::<Vec<_>>(), wanted);
    let pixels = limits.max_image_pixels / 1_000_000;
    assert!(readme.contains(&format!("{pixels} million pixels")), "{pixels}");
    for (file_type, svg) in [(DocsFile, false), (MsaImgs, false), (MsaImgs, true)] {
        let dialog = Kind { file_type, limit: 0, svg }.accept();
        let of_field = MediaType::ALL.into_iter().filter(|media| media.file_type() == file_type);
        let accepted = of_field.filter(|media| svg || *media != MediaType::Svg);
        let ends: BTreeSet<String> =
            accepted.flat_map(MediaType::extensions).map(|end| format!(".{end}")).collect();
        assert_eq!(dialog.split(',').map(str::to_owned).collect::<BTreeSet<_>>(), ends);
    }
}
