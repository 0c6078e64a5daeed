//! Every accepted type, and what must be refused, in all splits.

use super::*;

/// A ZIP written by hand; contents are stored, sizes and checksums do not matter to a directory.
#[derive(Default)]
struct Zip {
    entries: Vec<(String, Vec<u8>)>,
    /// Sizes behind the contents, as a writer does that cannot seek.
    descriptors: bool,
    comment: Vec<u8>,
}

impl Zip {
    fn of(names: &[&str]) -> Self {
        Self {
            entries: names.iter().map(|name| ((*name).into(), b"<xml/>".to_vec())).collect(),
            ..Self::default()
        }
    }

    fn with(mut self, name: &str, content: Vec<u8>) -> Self {
        self.entries.push((name.into(), content));
        self
    }

    fn header(&self, out: &mut Vec<u8>, name: &str, content: &[u8]) {
        let flags = if self.descriptors { 8u16 } else { 0 };
        let size = if self.descriptors { 0 } else { content.len() as u32 };
        for field in [20, flags, 0, 0, 0] {
            out.extend(field.to_le_bytes());
        }
        for field in [0, size, size] {
            out.extend(field.to_le_bytes());
        }
        out.extend((name.len() as u16).to_le_bytes());
        out.extend([0; 2]);
    }

    fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut directory = Vec::new();
        for (name, content) in &self.entries {
            directory.extend(b"PK\x01\x02\x14\0");
            self.header(&mut directory, name, content);
            directory.extend([0; 10]);
            directory.extend((out.len() as u32).to_le_bytes());
            directory.extend(name.bytes());

            out.extend(b"PK\x03\x04");
            self.header(&mut out, name, content);
            out.extend(name.bytes());
            out.extend(content);
            if self.descriptors {
                out.extend(b"PK\x07\x08\0\0\0\0");
                out.extend((content.len() as u32).to_le_bytes());
                out.extend((content.len() as u32).to_le_bytes());
            }
        }
        let start = out.len() as u32;
        out.extend(&directory);
        out.extend(b"PK\x05\x06\0\0\0\0");
        out.extend((self.entries.len() as u16).to_le_bytes());
        out.extend((self.entries.len() as u16).to_le_bytes());
        out.extend((directory.len() as u32).to_le_bytes());
        out.extend(start.to_le_bytes());
        out.extend((self.comment.len() as u16).to_le_bytes());
        out.extend(&self.comment);
        out
    }
}

const TYPES: &str = "[Content_Types].xml";
const DOCUMENT: &str = "word/document.xml";

fn word() -> Zip {
    Zip::of(&[TYPES, "_rels/.rels", DOCUMENT, "word/styles.xml"])
}

/// Bytes without meaning, the same every time.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x2545_F491_4F6C_DD1Du64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    std::iter::repeat_with(next).take(len).collect()
}

fn padded(head: &[u8], len: usize) -> Vec<u8> {
    [head, &noise(len)].concat()
}

/// One file of each type: long enough, and one shorter than the first look.
fn accepted() -> Vec<(MediaType, Vec<u8>)> {
    let heads: [(MediaType, &[u8]); 14] = [
        (MediaType::Pdf, b"%PDF-1.7\n%\xE2\xE3\xCF\xD3\n"),
        (MediaType::Jpeg, b"\xFF\xD8\xFF\xE0\0\x10JFIF\0\x01"),
        (MediaType::Jpeg, b"\xFF\xD8\xFF\xE1\x12\x34Exif\0\0"),
        (MediaType::Png, b"\x89PNG\r\n\x1A\n\0\0\0\rIHDR"),
        (
            MediaType::Png,
            b"\x89PNG\r\n\x1A\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1F\x15\xC4\x89\0\0\0\x08acTL",
        ),
        (MediaType::Webp, b"RIFF\x24\0\0\0WEBPVP8 "),
        (MediaType::Gif, b"GIF87a\x01\0\x01\0"),
        (MediaType::Gif, b"GIF89a\x01\0\x01\0"),
        (MediaType::Avif, b"\0\0\0\x1Cftypavif\0\0\0\0mif1miafavif"),
        (MediaType::Avif, b"\0\0\0\x1Cftypavis\0\0\0\0msf1miafavis"),
        (MediaType::Tiff, b"II*\0\x08\0\0\0\x0C\0\0\x01"),
        (MediaType::Tiff, b"MM\0*\0\0\0\x08\0\x0C"),
        (MediaType::Svg, b"<svg xmlns=\"http://www.w3.org/2000/svg\">"),
        (MediaType::Svg, b"<?xml version=\"1.0\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\"/>"),
    ];
    let mut files: Vec<_> = heads.iter().map(|(media, head)| (*media, padded(head, 3000))).collect();
    files.extend(heads.iter().map(|(media, head)| (*media, head.to_vec())));
    files.push((MediaType::Docx, word().bytes()));
    files
}

/// The verdict on `file` pushed in pieces of `step`.
fn verdict(inspector: &mut Inspector, file: &[u8], step: usize) -> Result<MediaType, Mismatch> {
    let mut certain = None;
    for piece in file.chunks(step.max(1)) {
        let now = inspector.push(piece)?;
        assert!(certain.is_none() || certain == now, "certain was not certain");
        certain = now;
    }
    let media = inspector.finish()?;
    assert!(certain.is_none_or(|certain| certain == media), "certain was not certain");
    Ok(media)
}

fn inspect(file_type: FileType, name: Option<&str>, file: &[u8]) -> Result<MediaType, Mismatch> {
    let steps = [1, 7, 63, 64, 65, 1000, 65_536, file.len()];
    let verdicts =
        steps.map(|step| verdict(&mut Inspector::new(file_type, name, true, u64::MAX), file, step));
    assert!(verdicts.iter().all(|verdict| *verdict == verdicts[0]), "the split decides: {verdicts:?}");
    verdicts[0]
}

fn document(file: &[u8]) -> Result<MediaType, Mismatch> {
    inspect(FileType::DocsFile, None, file)
}

fn image(file: &[u8]) -> Result<MediaType, Mismatch> {
    inspect(FileType::MsaImgs, None, file)
}

#[test]
fn every_accepted_type_is_found_in_its_own_field_only() {
    for (media, file) in accepted() {
        let other = FileType::ALL.into_iter().find(|other| *other != media.file_type()).unwrap();
        assert_eq!(inspect(media.file_type(), None, &file), Ok(media), "{media:?}, {} bytes", file.len());
        assert_eq!(inspect(other, None, &file), Err(Mismatch::WrongField), "{media:?}");
    }
}

#[test]
fn a_type_is_certain_after_64_bytes() {
    for (media, file) in accepted() {
        if file.len() > 80 {
            let mut inspector = Inspector::new(media.file_type(), None, true, u64::MAX);
            assert_eq!(inspector.push(&file[..63]), Ok(None), "{media:?}");
            let last = if media == MediaType::Svg { 256 } else { 64 };
            assert_eq!(inspector.push(&file[63..last.min(file.len())]), Ok(Some(media)), "{media:?}");
        }
    }
}

#[test]
fn what_is_none_of_ours_is_refused_at_the_first_look() {
    let files: [&[u8]; 9] = [
        b"MZ\x90\0\x03\0\0\0\x04\0\0\0\xFF\xFF\0\0",
        b"\x7FELF\x02\x01\x01\0",
        b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1",
        b"<!DOCTYPE html><p>%PDF-1.4</p>",
        b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
        b"BM\x36\0\0\0\0\0\0\0\x36",
        b"\n\n\n\n%PDF-1.4\n",
        b"#!/bin/sh\n",
        b"\xFF\xD8\xFF\xF7 JPEG-LS",
    ];
    for head in files {
        let file = padded(head, 3000);
        assert_eq!(document(&file), Err(Mismatch::TypeMismatch), "{head:?}");
        assert_eq!(image(&file), Err(Mismatch::TypeMismatch), "{head:?}");
        let mut inspector = Inspector::new(FileType::DocsFile, Some("x.pdf"), false, u64::MAX);
        assert_eq!(inspector.push(&file[..64]), Err(Mismatch::TypeMismatch), "{head:?}");
        assert_eq!(inspector.push(&file[64..]), Err(Mismatch::TypeMismatch), "the verdict stays");
        assert_eq!(inspector.finish(), Err(Mismatch::TypeMismatch));
    }
    assert_eq!(document(b""), Err(Mismatch::TypeMismatch));
    assert_eq!(image(b"x"), Err(Mismatch::TypeMismatch));
}

#[test]
fn a_known_extension_must_agree() {
    let pdf = padded(b"%PDF-1.7\n", 200);
    let as_named = |name| inspect(FileType::DocsFile, Some(name), &pdf);
    for name in ["a.pdf", "a.PDF", "a", "a.pdf.", "a.exe", ".pdf", "a.php.pdf", "a.pdf.bin", "pdf", ""] {
        assert_eq!(as_named(name), Ok(MediaType::Pdf), "{name}");
    }
    for name in ["a.docx", "a.jpg", "a.pdf\0.png", "a.pdf.SVG"] {
        assert_eq!(as_named(name), Err(Mismatch::TypeMismatch), "{name}");
    }
    let jpeg = padded(b"\xFF\xD8\xFF\xE0", 200);
    for name in ["a.jpg", "a.jpeg", "a.JPG"] {
        assert_eq!(inspect(FileType::MsaImgs, Some(name), &jpeg), Ok(MediaType::Jpeg), "{name}");
    }
    assert_eq!(inspect(FileType::MsaImgs, Some("a.png"), &jpeg), Err(Mismatch::TypeMismatch));
    let tiff = padded(b"II*\0\x08\0\0\0", 200);
    assert_eq!(inspect(FileType::MsaImgs, Some("a.tif"), &tiff), Ok(MediaType::Tiff));
    assert_eq!(inspect(FileType::DocsFile, Some("a.pdf"), &word().bytes()), Err(Mismatch::TypeMismatch));
}

#[test]
fn an_image_of_too_many_pixels_is_refused_and_stays_so() {
    let png =
        |width: u32| [b"\x89PNG\r\n\x1A\n\0\0\0\rIHDR", &width.to_be_bytes()[..], &[0, 0, 0, 200]].concat();
    let jpeg = |width: u16| {
        let frame = [b"\xFF\xC0\0\x0B\x08\0\xC8", &width.to_be_bytes()[..], b"\x01\x01\x11\0"].concat();
        [&b"\xFF\xD8\xFF\xE1\xEA\x60"[..], &vec![0; 59_998], &frame, b"\xFF\xDA"].concat()
    };
    for (file, expected) in [
        (png(300), Ok(MediaType::Png)),
        (png(301), Err(Mismatch::TooManyPixels)),
        (padded(&png(300), 3000), Ok(MediaType::Png)),
        (padded(&png(301), 3000), Err(Mismatch::TooManyPixels)),
        (jpeg(300), Ok(MediaType::Jpeg)),
        (jpeg(301), Err(Mismatch::TooManyPixels)),
        (padded(&jpeg(301), 100_000), Err(Mismatch::TooManyPixels)),
    ] {
        for step in [1, 7, 63, 64, 65, 1000, 65_536, file.len()] {
            let mut inspector = Inspector::new(FileType::MsaImgs, Some("a"), false, 60_000);
            assert_eq!(verdict(&mut inspector, &file, step), expected, "{step}");
            assert_eq!(inspector.finish(), expected, "the verdict stays");
            assert_eq!(inspector.push(b"more").is_err(), expected.is_err());
        }
    }
    // What the name says comes first.
    let mut inspector = Inspector::new(FileType::MsaImgs, Some("a.gif"), false, 60_000);
    assert_eq!(verdict(&mut inspector, &png(301), 5), Err(Mismatch::TypeMismatch));
}

#[test]
fn svg_is_refused_unless_allowed() {
    for file in [&b"<svg xmlns=\"http://www.w3.org/2000/svg\"/>"[..], b"<?xml version=\"1.0\"?><svg/>"] {
        for file_type in FileType::ALL {
            let mut inspector = Inspector::new(file_type, Some("a.svg"), false, u64::MAX);
            assert_eq!(verdict(&mut inspector, file, 5), Err(Mismatch::TypeMismatch));
        }
    }
    let late =
        [&b"<?xml version=\"1.0\"?><!--"[..], &[b' '; 5000], b"--><svg></svg>", &[b' '; 20_000]].concat();
    assert_eq!(image(&late), Ok(MediaType::Svg));
    let never = [&b"<?xml version=\"1.0\"?><feed>"[..], &[b' '; 1 << 20]].concat();
    assert_eq!(image(&never), Err(Mismatch::TypeMismatch));
    let unknown = [&b"<?xml version=\"1.0\"?><x>"[..], &[b' '; 1 << 20]].concat();
    let mut inspector = Inspector::new(FileType::MsaImgs, None, true, u64::MAX);
    assert_eq!(inspector.push(&unknown[..65_535]), Ok(None));
    assert_eq!(inspector.push(&unknown[65_535..65_536]), Err(Mismatch::TypeMismatch));
}

#[test]
fn documents_of_every_writer_are_found() {
    let writers = [
        ("Word", word()),
        ("pandoc", Zip::of(&["_rels/.rels", "docProps/app.xml", DOCUMENT, TYPES])),
        ("streamed", Zip { descriptors: true, ..word() }),
        (
            "thumbnail first",
            Zip::default()
                .with("docProps/thumbnail.jpeg", noise(3 << 20))
                .with(TYPES, vec![])
                .with(DOCUMENT, noise(300_000)),
        ),
        ("thumbnail last", word().with("docProps/thumbnail.jpeg", noise(3 << 20))),
        ("customXml first", Zip::of(&["customXml/item1.xml", TYPES, "word/document2.xml"])),
        ("comment", Zip { comment: b"made by hand".to_vec(), ..word() }),
        (
            "longest comment",
            Zip { comment: vec![b'.'; 65_535], ..word().with("word/media/a.png", noise(400_000)) },
        ),
        (
            "archive inside",
            word()
                .with("word/embeddings/a.xlsx", Zip::of(&[TYPES, "xl/workbook.xml"]).bytes())
                .with("word/b.xml", noise(200_000)),
        ),
        (
            "archive inside, last",
            word().with("word/embeddings/a.xlsx", Zip::of(&[TYPES, "xl/workbook.xml"]).bytes()),
        ),
        (
            "signature in packed data",
            word().with("word/media/a.bin", [&noise(90_000)[..], b"PK\x01\x02", &noise(50_000)].concat()),
        ),
    ];
    for (writer, zip) in writers {
        assert_eq!(document(&zip.bytes()), Ok(MediaType::Docx), "{writer}");
    }
}

#[test]
fn a_directory_of_any_honest_size_is_read() {
    for (entries, expected) in
        [(3000, Ok(MediaType::Docx)), (14_000, Ok(MediaType::Docx)), (30_000, Err(Mismatch::TypeMismatch))]
    {
        let mut zip = word();
        for number in 0..entries {
            zip = zip.with(&format!("word/media/{number}.wmf"), noise(20));
        }
        let file = zip.bytes();
        let found = verdict(&mut Inspector::new(FileType::DocsFile, None, false, u64::MAX), &file, 16_384);
        assert_eq!(found, expected, "{entries} entries");
    }
}

#[test]
fn other_archives_are_no_documents() {
    let others = [
        ("plain", Zip::of(&["a.txt"])),
        ("xlsx", Zip::of(&[TYPES, "_rels/.rels", "xl/workbook.xml"])),
        ("pptx", Zip::of(&[TYPES, "ppt/presentation.xml"])),
        ("only a program in word/", Zip::of(&["word/evil.exe"])),
        ("no content types", Zip::of(&[DOCUMENT])),
        ("near names", Zip::of(&["x[Content_Types].xml", "word/document.xml/x", "word/documents.xml"])),
        ("empty", Zip::default()),
    ];
    for (kind, zip) in others {
        assert_eq!(document(&zip.bytes()), Err(Mismatch::TypeMismatch), "{kind}");
    }
    assert_eq!(document(&Zip::of(&[TYPES, DOCUMENT, "word/vbaProject.bin"]).bytes()), Err(Mismatch::Macros));
    assert_eq!(image(&Zip::of(&["a.txt", "b.txt"]).bytes()), Err(Mismatch::TypeMismatch));
    assert_eq!(
        inspect(FileType::MsaImgs, Some("a.docx"), &Zip::of(&["a.txt", "b.txt"]).bytes()),
        Err(Mismatch::WrongField)
    );
}

#[test]
fn a_broken_directory_is_refused() {
    let whole = Zip { comment: b"remark".to_vec(), ..word() }.bytes();
    for len in 0..whole.len() {
        let cut = verdict(&mut Inspector::new(FileType::DocsFile, None, false, u64::MAX), &whole[..len], 100);
        assert_eq!(cut, Err(Mismatch::TypeMismatch), "cut at {len}");
    }
    assert_eq!(document(&[&whole[..], b"x"].concat()), Err(Mismatch::TypeMismatch), "something behind");

    let end = whole.len() - 22 - 6;
    for (what, at) in [("entries", 10), ("size", 12), ("size", 14), ("offset", 16), ("offset", 19)] {
        let mut file = whole.clone();
        file[end + at] ^= 0x55;
        assert_eq!(document(&file), Err(Mismatch::TypeMismatch), "{what}");
    }
    let start = whole.windows(4).position(|four| four == b"PK\x01\x02").unwrap();
    for (what, at) in [("signature", 0), ("name length", 28), ("name length", 29), ("comment length", 33)] {
        let mut file = whole.clone();
        file[start + at] ^= 0x55;
        assert_eq!(document(&file), Err(Mismatch::TypeMismatch), "{what}");
    }
}

#[test]
fn nothing_but_the_end_and_the_directory_is_kept() {
    let mut archive = Archive::new();
    archive.push(&Zip::of(&[TYPES]).with("big", noise(100)).bytes()[..30]);
    for _ in 0..100 {
        archive.push(&noise(100_000));
        assert!(archive.held() <= 128 * 1024, "{}", archive.held());
    }
    let entry = [&b"PK\x01\x02"[..], &[0; 42]].concat();
    for _ in 0..100 {
        archive.push(&entry.repeat(1000));
        assert!(archive.held() <= 1024 * 1024 + 128 * 1024, "{}", archive.held());
    }
}

#[test]
fn a_directory_made_to_be_slow_is_not() {
    let entry = [&b"PK\x01\x02"[..], &[0; 42]].concat();
    let hostile = [entry.repeat(20_000), b"stop".to_vec()].concat().repeat(5);
    let mut archive = Archive::new();
    let began = std::time::Instant::now();
    for piece in hostile.chunks(16 * 1024) {
        archive.push(piece);
    }
    assert_eq!(archive.check(), Err(NotWord::Other));
    assert!(began.elapsed().as_secs() < 2, "{:?} for {} bytes", began.elapsed(), hostile.len());
}

#[test]
fn keys_say_nothing_but_the_type() {
    let key = ObjectKey::random(MediaType::Docx);
    let hex =
        key.as_str().strip_prefix("supporting_documents/docs_file").unwrap().strip_suffix(".docx").unwrap();
    assert_eq!(hex.len(), 64);
    assert!(hex.bytes().all(|digit| digit.is_ascii_digit() || (b'a'..=b'f').contains(&digit)));
    assert_ne!(key, ObjectKey::random(MediaType::Docx));
    for (media, extension) in accepted().iter().map(|(media, _)| (*media, media.extension())) {
        let key = ObjectKey::random(media);
        assert!(ObjectKey::PREFIXES.iter().any(|prefix| key.as_str().starts_with(prefix)), "{key}");
        assert!(key.as_str().ends_with(&format!(".{extension}")));
    }
    assert!(ObjectKey::random(MediaType::Jpeg).as_str().starts_with("photos/msa_imgs"));
}
