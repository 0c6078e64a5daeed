//! Images of any stated size that are little more than their headers: no decoder gets far, which is not asked here.

/// What stands for the picture itself.
const PICTURE: [u8; 300] = [0x5a; 300];

/// What a size is written with.
pub type Size = (u32, u32);

#[must_use]
pub fn png((width, height): Size) -> Vec<u8> {
    let size = [width.to_be_bytes(), height.to_be_bytes()].concat();
    [b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", &size[..], b"\x08\x06\0\0\0\0\0\0\0", &PICTURE].concat()
}

/// As Apple's tools write it for their own devices: another chunk comes first.
#[must_use]
pub fn apple_png(size: Size) -> Vec<u8> {
    let mut file = png(size);
    file.splice(8..8, *b"\0\0\0\x04CgBI\x50\0\x20\x02\x2b\xd5\xb3\x7f");
    file
}

/// A GIF with its frames; each has a comment before it, and two blocks of data.
#[must_use]
pub fn gif(screen: Size, frames: &[Size]) -> Vec<u8> {
    let size = |(width, height): Size| [(width as u16).to_le_bytes(), (height as u16).to_le_bytes()].concat();
    let mut file = [b"GIF89a", &size(screen)[..], b"\x91\0\0", &[0x33; 12]].concat();
    for frame in frames {
        file.extend(b"\x21\xfe\x05hello\0");
        file.extend([b"\x2c\0\0\0\0", &size(*frame)[..], b"\x82", &[0x44; 24], b"\x02"].concat());
        file.extend([&[255][..], &[0x2c; 255], b"\x03abc\0"].concat());
    }
    file.push(0x3b);
    file
}

/// A WebP whose first chunk is `VP8 `, `VP8L` or `VP8X`.
#[must_use]
pub fn webp(kind: &[u8; 4], (width, height): Size) -> Vec<u8> {
    let (less_one, three) = ((width.wrapping_sub(1), height.wrapping_sub(1)), |n: u32| n.to_le_bytes());
    let data = match kind {
        b"VP8 " => [b"\x30\x01\0\x9d\x01\x2a", &three(width)[..2], &three(height)[..2]].concat(),
        b"VP8L" => [&b"\x2f"[..], &three(less_one.0 | less_one.1 << 14)].concat(),
        _ => [b"\x10\0\0\0", &three(less_one.0)[..3], &three(less_one.1)[..3]].concat(),
    };
    [b"RIFF\xff\0\0\0WEBP", &kind[..], b"\x80\0\0\0", &data, &PICTURE].concat()
}

/// A JPEG with `exif` bytes of EXIF before its frame header, and an SOF marker inside them.
#[must_use]
pub fn jpeg((width, height): Size, exif: usize) -> Vec<u8> {
    let mut file = b"\xff\xd8".to_vec();
    for segment in vec![0x11; exif].chunks(65_000) {
        let decoy = b"\xff\xc0\0\x11\x08\xff\xff\xff\xff\x03";
        let len = (2 + decoy.len() + segment.len()) as u16;
        file.extend([b"\xff\xe1", &len.to_be_bytes()[..], decoy, segment].concat());
    }
    let size = [(height as u16).to_be_bytes(), (width as u16).to_be_bytes()].concat();
    file.extend(
        [b"\xff\xdb\0\x43\0", &[1; 64][..], b"\xff\xc2\0\x0b\x08", &size, b"\x01\x01\x11\0"].concat(),
    );
    file.extend([b"\xff\xda\0\x08\x01\x01\0\0\x3f\0", &PICTURE[..], b"\xff\xd9"].concat());
    file
}

/// How a TIFF is written.
#[derive(Clone, Copy, Debug)]
pub struct Tiff {
    pub is_little: bool,
    /// With offsets of 64 bits.
    pub is_big: bool,
    /// Bytes of picture before each page's directory.
    pub picture: usize,
}

impl Tiff {
    /// A TIFF of these pages.
    #[must_use]
    pub fn pages(self, pages: &[Size]) -> Vec<u8> {
        let (version, offset_len) = if self.is_big { (43, 8) } else { (42, 4) };
        let mut file = if self.is_little { b"II".to_vec() } else { b"MM".to_vec() };
        file.extend(self.number(version, 2));
        if self.is_big {
            file.extend([self.number(8, 2), self.number(0, 2)].concat());
        }
        let mut link = file.len();
        file.extend(self.number(0, offset_len));
        for page in pages {
            file.extend(vec![0x5a; self.picture]);
            let here = self.number(file.len() as u64, offset_len);
            file.splice(link..link + offset_len, here);
            file.extend(self.directory(*page));
            link = file.len();
            file.extend(self.number(0, offset_len));
        }
        file
    }

    fn directory(self, (width, height): Size) -> Vec<u8> {
        // Subfile type, width, height, bits: a tag, its type (4 is LONG) and the value.
        let entries = [(254, 4, 0), (256, 4, width), (257, 4, height), (258, 3, 8)];
        let (count_len, value_len) = if self.is_big { (8, 8) } else { (2, 4) };
        let mut directory = self.number(entries.len() as u64, count_len);
        for (tag, kind, value) in entries {
            directory.extend([self.number(tag, 2), self.number(kind, 2), self.number(1, value_len)].concat());
            let mut field = self.number(value.into(), if kind == 3 { 2 } else { 4 });
            field.resize(value_len, 0);
            directory.extend(field);
        }
        directory
    }

    fn number(self, number: u64, len: usize) -> Vec<u8> {
        if self.is_little {
            number.to_le_bytes()[..len].to_vec()
        } else {
            number.to_be_bytes()[8 - len..].to_vec()
        }
    }
}

/// An AVIF with a thumbnail item besides; `behind` bytes of picture come before the box that says how large it is.
#[must_use]
pub fn avif((width, height): Size, behind: usize) -> Vec<u8> {
    let ispe = |width: u32, height: u32| {
        boxed(b"ispe", &[[0; 4], width.to_be_bytes(), height.to_be_bytes()].concat())
    };
    let properties = boxed(b"ipco", &[ispe(64, 64), boxed(b"pixi", &[0; 8]), ispe(width, height)].concat());
    let meta = [&[0; 4][..], &boxed(b"hdlr", &[0; 24]), &boxed(b"iprp", &properties)].concat();
    let kind = boxed(b"ftyp", b"avif\0\0\0\0mif1miafavif");
    [kind, boxed(b"mdat", &vec![0x5a; behind]), boxed(b"meta", &meta), boxed(b"free", &PICTURE)].concat()
}

/// A sequence of frames in one track: the size stands in its header, and again with the codec.
#[must_use]
pub fn avif_sequence((width, height): Size, codec: Size) -> Vec<u8> {
    let fraction = |number: u32| (number << 16).to_be_bytes();
    let track = boxed(b"tkhd", &[&[0; 76][..], &fraction(width), &fraction(height)].concat());
    let size = [(codec.0 as u16).to_be_bytes(), (codec.1 as u16).to_be_bytes()].concat();
    let entry = boxed(b"av01", &[&[0; 24][..], &size, &[0; 50]].concat());
    let table = boxed(b"stbl", &boxed(b"stsd", &[b"\0\0\0\0\0\0\0\x01", &entry[..]].concat()));
    let media = boxed(b"mdia", &boxed(b"minf", &table));
    let movie = boxed(b"moov", &boxed(b"trak", &[track, media].concat()));
    [boxed(b"ftyp", b"avis\0\0\0\0msf1miafavis"), movie, boxed(b"mdat", &PICTURE)].concat()
}

fn boxed(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
    [&(content.len() as u32 + 8).to_be_bytes()[..], kind, content].concat()
}
