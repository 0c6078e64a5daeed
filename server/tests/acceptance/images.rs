//! Images that would be too large once they are decoded, by the size that their headers state.

use app::wire::FileType::MsaImgs;
use app::wire::IMAGE_FIELD;

use crate::refusal::Refusal;
use crate::support::client::{Form, RawConnection};
use crate::support::fixture::Fixture;
use crate::support::image::{self, Size, Tiff};
use crate::support::sample::{KIB, MIB};

const TIFF: Tiff = Tiff { is_little: true, is_big: false, picture: 0 };
/// 4.3 gigapixels, or as near to it as a format can say.
const FLOOD: Size = (65_535, 65_535);

fn form(content: &[u8]) -> Form {
    Form::new().file(IMAGE_FIELD, "picture", content).size(MsaImgs, content.len())
}

/// Every way in which a format states a size.
fn ways(size: Size) -> Vec<(&'static str, Vec<u8>)> {
    let (width, height) = size;
    vec![
        ("PNG", image::png(size)),
        ("PNG for Apple's devices", image::apple_png(size)),
        ("GIF", image::gif(size, &[(1, 1)])),
        ("GIF, by a frame", image::gif((1, 1), &[(1, 1), size])),
        ("WebP", image::webp(b"VP8X", size)),
        ("WebP without loss", image::webp(b"VP8L", (width.min(16_384), height.min(16_384)))),
        ("WebP of one frame", image::webp(b"VP8 ", (width.min(16_383), height.min(16_383)))),
        ("JPEG", image::jpeg(size, 0)),
        ("JPEG behind 300 KiB of EXIF", image::jpeg(size, 300 * KIB)),
        ("JPEG behind 6 MiB of EXIF", image::jpeg(size, 6 * MIB)),
        ("TIFF", TIFF.pages(&[size])),
        ("TIFF, the other end first", Tiff { is_little: false, ..TIFF }.pages(&[size])),
        ("TIFF with 64-bit offsets", Tiff { is_big: true, ..TIFF }.pages(&[size])),
        ("TIFF, by its second page", TIFF.pages(&[(1, 1), size])),
        ("TIFF, the directory behind 6 MiB", Tiff { picture: 6 * MIB, ..TIFF }.pages(&[size])),
        ("AVIF", image::avif(size, 0)),
        ("AVIF, the header behind 6 MiB", image::avif(size, 6 * MIB)),
        ("AVIF sequence, by its track", image::avif_sequence(size, (1, 1))),
        ("AVIF sequence, by its codec", image::avif_sequence((1, 1), size)),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c11_a_flood_of_pixels() {
    let fixture = Fixture::start().await;
    let mut files = ways(FLOOD);
    files.extend([
        ("PNG, 64k", image::png((65_536, 65_536))),
        ("PNG, the largest", image::png((u32::MAX, u32::MAX))),
        ("PNG of one line", image::png((1, 1 << 30))),
        ("WebP, 64k", image::webp(b"VP8X", (65_536, 65_536))),
        ("TIFF, 64k", TIFF.pages(&[(65_536, 65_536)])),
        ("AVIF, 64k", image::avif((65_536, 65_536), 0)),
    ]);
    for (name, content) in files {
        let refusal = Refusal::of(&fixture, name, 422, "too_many_pixels").ends(MsaImgs);
        let problem = refusal.leaves_nothing(form(&content)).await;
        assert!(!problem.retryable);
        let refusal = Refusal::of(&fixture, name, 422, "too_many_pixels").ends(MsaImgs);
        refusal.post(form(&content).without_sizes()).await;
        fixture.nothing_stored().await;
    }
    fixture.finish().await;
}

/// The limit is the operator's; exactly the limit is accepted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c11_exactly_the_limit_and_one_line_more() {
    let fixture = Fixture::setup().config(|config| config.limits.max_image_pixels = 60_000).start().await;
    for (name, content) in ways((300, 200)) {
        println!("{name}");
        let file = form(&content).post(fixture.server).await.stored_one();
        fixture.take_stored(&file, &content).await;
    }
    for (name, content) in ways((300, 201)) {
        Refusal::of(&fixture, name, 422, "too_many_pixels").ends(MsaImgs).post(form(&content)).await;
        fixture.nothing_stored().await;
    }
    fixture.finish().await;
}

/// By default an A0 sheet at 300 dpi, an A4 one at 1200 and a photograph of 100 megapixels are welcome.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c11_the_largest_scans_and_photographs_pass() {
    let fixture = Fixture::start().await;
    for size in [(9_933, 14_043), (9_921, 14_031), (11_648, 8_736), (15_000, 10_000)] {
        for content in [image::jpeg(size, KIB), TIFF.pages(&[size])] {
            let file = form(&content).post(fixture.server).await.stored_one();
            fixture.take_stored(&file, &content).await;
        }
    }
    let over = image::jpeg((15_000, 10_001), KIB);
    Refusal::of(&fixture, "one line more", 422, "too_many_pixels").post(form(&over)).await;
    fixture.finish().await;
}

/// The answer comes when the header has come, though the client has sent no more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c11_refused_before_the_rest_was_sent() {
    let fixture = Fixture::start().await;
    for (name, content) in [
        ("PNG", [&image::png(FLOOD)[..], &vec![0x5a; 9 * MIB]].concat()),
        ("JPEG", [&image::jpeg(FLOOD, 50 * KIB)[..], &vec![0x5a; 9 * MIB]].concat()),
    ] {
        let refusal = Refusal::of(&fixture, name, 422, "too_many_pixels").ends(MsaImgs);
        refusal
            .send(form(&content), async |form, server| {
                let body = form.body();
                let mut client = RawConnection::connect(server).await;
                client.write(&form.head(body.len())).await;
                client.write(&body[..form.offset(0, 128 * KIB)]).await;
                client.answer().await
            })
            .await;
        fixture.nothing_stored().await;
    }
    fixture.finish().await;
}

/// What has no size that a decoder could find is stored as it is (C7); so is a page behind its own directory (README).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c07_c11_a_size_that_cannot_be_found() {
    let fixture = Fixture::start().await;
    let mut back = Tiff { picture: 40, ..TIFF }.pages(&[(300, 200), (200, 300)]);
    let first = back.windows(4).position(|four| four == 48_u32.to_le_bytes()).unwrap();
    let link = 48 + 2 + 4 * 12;
    assert_eq!(first, 4);
    back.splice(link..link + 4, 48_u32.to_le_bytes());
    for (name, content) in [
        ("TIFF whose directory is behind its end", b"II*\0\xff\xff\xff\x7f and no more".to_vec()),
        ("TIFF whose pages go round", back),
        ("JPEG without a frame", [&b"\xff\xd8\xff\xe0\0\x10JFIF\0"[..], &[0; 500], b"\xff\xd9"].concat()),
        ("AVIF without a meta box", b"\0\0\0\x1cftypavif\0\0\0\0mif1miafavif\0\0\0\x08mdat".to_vec()),
        ("PNG cut in its header", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\xff\xff".to_vec()),
        ("GIF cut in its header", b"GIF89a\xff\xff".to_vec()),
    ] {
        println!("{name}");
        let file = form(&content).post(fixture.server).await.stored_one();
        fixture.take_stored(&file, &content).await;
    }
    // It would be in the header, where some decoders read it and we are past it.
    let within = [&b"II*\0\x02\0\0\0"[..], &[0; 500]].concat();
    Refusal::of(&fixture, "TIFF's directory in its header", 415, "type_mismatch").post(form(&within)).await;
    fixture.finish().await;
}
