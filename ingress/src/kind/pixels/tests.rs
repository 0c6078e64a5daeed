//! Every format's size, at every chunking; what is too large wherever it says so; what cannot be read.

use super::*;

#[path = "../../../../server/tests/support/image.rs"]
mod image;

use image::{Size, Tiff};

/// The pixels of `file` pushed in pieces of `step`; what is held stays small.
fn pixels_by(media: MediaType, file: &[u8], step: usize) -> u64 {
    let mut survey = Survey::of(media).unwrap();
    let mut pixels = 0;
    for piece in file.chunks(step) {
        let now = survey.push(piece);
        assert!(now >= pixels, "a size was taken back");
        pixels = now;
        assert!(survey.held.capacity() <= LONGEST, "{} bytes are held", survey.held.capacity());
    }
    pixels
}

fn pixels(media: MediaType, file: &[u8]) -> u64 {
    let steps = [1, 2, 3, 7, 63, 64, 65, 1000, 65_536, file.len()];
    let found = steps.map(|step| pixels_by(media, file, step));
    assert!(found.iter().all(|pixels| *pixels == found[0]), "the split decides: {found:?}");
    found[0]
}

/// One file of each way in which a format writes a size.
fn files(size: Size) -> Vec<(MediaType, Vec<u8>)> {
    let mut files = vec![
        (MediaType::Png, image::png(size)),
        (MediaType::Png, image::apple_png(size)),
        (MediaType::Gif, image::gif(size, &[(1, 1)])),
        (MediaType::Webp, image::webp(b"VP8X", size)),
        (MediaType::Jpeg, image::jpeg(size, 0)),
        (MediaType::Jpeg, image::jpeg(size, 1_000_000)),
        (MediaType::Avif, image::avif(size, 0)),
        (MediaType::Avif, image::avif(size, 1_000_000)),
        (MediaType::Avif, image::avif_sequence(size, (1, 1))),
        (MediaType::Avif, image::avif_sequence((1, 1), size)),
    ];
    for (is_little, is_big) in [(true, false), (false, false), (true, true), (false, true)] {
        for picture in [0, 1_000_001] {
            files.push((MediaType::Tiff, Tiff { is_little, is_big, picture }.pages(&[size])));
        }
    }
    files
}

#[test]
fn the_size_of_every_format_is_found_wherever_it_stands() {
    for size in [(300, 200), (1, 40_000), (65_535, 65_535)] {
        for (number, (media, file)) in files(size).into_iter().enumerate() {
            let found = pixels(media, &file);
            assert_eq!(found, u64::from(size.0) * u64::from(size.1), "{media:?} {number}");
        }
    }
    for (kind, most) in [(b"VP8 ", 16_383), (b"VP8L", 16_384), (b"VP8X", 16_777_216)] {
        let file = image::webp(kind, (most, most));
        assert_eq!(pixels(MediaType::Webp, &file), u64::from(most) * u64::from(most), "{kind:?}");
    }
    assert_eq!(pixels(MediaType::Png, &image::png((u32::MAX, u32::MAX))), u64::from(u32::MAX).pow(2));
}

#[test]
fn the_largest_of_all_pages_and_frames_counts() {
    let tiff = Tiff { is_little: true, is_big: false, picture: 500 };
    assert_eq!(pixels(MediaType::Tiff, &tiff.pages(&[(10, 10), (300, 200), (20, 20)])), 60_000);
    assert_eq!(pixels(MediaType::Gif, &image::gif((10, 10), &[(5, 5), (300, 200), (7, 7)])), 60_000);
    // Two sizes of two pages do not make one.
    assert_eq!(pixels(MediaType::Tiff, &tiff.pages(&[(60_000, 1), (1, 60_000)])), 60_000);
}

#[test]
fn bytes_between_the_headers_of_a_jpeg_do_not_hide_its_size() {
    let file = image::jpeg((300, 200), 10);
    let sof = file.windows(2).rposition(|two| two == b"\xff\xc2").unwrap();
    for (what, stray) in [
        ("fill bytes", vec![0xff; 5]),
        ("fill bytes without end", vec![0xff; 100_000]),
        ("bytes that are no marker", b"abc".to_vec()),
        ("a stuffed byte", b"\xff\0".to_vec()),
        ("markers without content", b"\xff\xd0\xff\x01".to_vec()),
        ("an empty comment", b"\xff\xfe\0\x02".to_vec()),
    ] {
        let mut file = file.clone();
        file.splice(sof..sof, stray);
        assert_eq!(pixels(MediaType::Jpeg, &file), 60_000, "{what}");
    }
}

#[test]
fn boxes_of_every_length_are_passed_over() {
    let file = image::avif((300, 200), 0);
    let mdat = file.windows(4).position(|four| four == b"mdat").unwrap() - 4;
    let long = [&b"\0\0\0\x01free\0\0\0\0\0\0\0\x19"[..], &[7; 9]].concat();
    let mut with_long = file.clone();
    with_long.splice(mdat..mdat, long);
    assert_eq!(pixels(MediaType::Avif, &with_long), 60_000);
    for (what, header) in [
        ("to the end", &b"\0\0\0\0free"[..]),
        ("too short", b"\0\0\0\x07free"),
        ("too short, in 64 bits", b"\0\0\0\x01ispe\0\0\0\0\0\0\0\x02"),
        ("longer than all files", b"\0\0\0\x01ispe\xff\xff\xff\xff\xff\xff\xff\xff"),
    ] {
        let mut file = file.clone();
        file.splice(mdat..mdat, header.to_vec());
        assert_eq!(pixels(MediaType::Avif, &file), 0, "{what}");
    }
}

/// A file that breaks off, or has other bytes anywhere, is read to its end all the same.
#[test]
fn no_bytes_disturb_the_survey() {
    for (media, file) in files((300, 200)).into_iter().filter(|(_, file)| file.len() < 2000) {
        for at in 0..file.len() {
            let mut broken = file.clone();
            for byte in [0, 0xff, 0x80] {
                broken[at] = byte;
                pixels_by(media, &broken, 7);
            }
            pixels_by(media, &file[..at.max(1)], 7);
        }
    }
}

/// A file of nothing but the smallest headers takes no longer than one of pixels.
#[test]
fn headers_without_end_are_read_quickly() {
    let boxes = b"\0\0\0\x08free".repeat(1 << 20);
    let stray = vec![0x5a; 8 << 20];
    let fills = vec![0xff; 8 << 20];
    let blocks = [&image::gif((1, 1), &[])[..25], &b"\x21\xfe\0".repeat(3 << 20)].concat();
    let mut tiff = b"II+\0\x08\0\0\0\x10\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff".to_vec();
    tiff.extend(&stray);
    for (media, file) in [
        (MediaType::Avif, &boxes),
        (MediaType::Jpeg, &stray),
        (MediaType::Jpeg, &fills),
        (MediaType::Gif, &blocks),
        (MediaType::Tiff, &tiff),
    ] {
        let began = std::time::Instant::now();
        pixels_by(media, file, 16_384);
        println!("{media:?}: {:?} for {} bytes", began.elapsed(), file.len());
        assert!(began.elapsed().as_secs() < 2, "{media:?}: {:?}", began.elapsed());
    }
}

#[test]
fn a_directory_within_the_header_is_none() {
    let tiff = |is_big| Tiff { is_little: false, is_big, picture: 0 }.pages(&[(1, 1)]);
    for (file, at) in [(tiff(false), 7), (tiff(true), 15)] {
        assert!(has_tiff_directory(&file));
        let mut within = file;
        within[at] -= 1;
        assert!(!has_tiff_directory(&within));
    }
    assert!(has_tiff_directory(b"II*\0"));
}
