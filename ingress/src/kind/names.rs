//! File names: as they come in a part's header, and as they go into Content-Disposition.

use std::fmt::Write;

/// Longest name kept, in bytes of UTF-8: what file systems take.
const MAX_NAME_BYTES: usize = 255;
/// Longest extension kept when a name has to be cut, with its dot.
const MAX_EXTENSION_BYTES: usize = 16;

/// The file name of a part, from the `filename` of its header: without a path, and with the three
/// characters that browsers escape there (`"`, CR, LF).
#[must_use]
pub fn file_name_from_header(value: &str) -> String {
    let name = unescape(value);
    name.rsplit(['/', '\\']).next().unwrap_or_default().to_owned()
}

/// WHATWG HTML, multipart/form-data encoding: `%22`, `%0D` and `%0A` only, a `%` itself is not escaped.
fn unescape(value: &str) -> String {
    let mut name = String::with_capacity(value.len());
    let mut rest = value;
    while let Some(at) = rest.find('%') {
        let (before, escape) = rest.split_at(at);
        name.push_str(before);
        let character = match escape.as_bytes() {
            [_, b'2', b'2', ..] => '"',
            [_, b'0', b'D' | b'd', ..] => '\r',
            [_, b'0', b'A' | b'a', ..] => '\n',
            _ => '%',
        };
        name.push(character);
        rest = &escape[if character == '%' { 1 } else { 3 }..];
    }
    name.push_str(rest);
    name
}

/// `attachment`, with the file's name in ASCII and in UTF-8 (RFC 6266, RFC 8187) if there is one.
///
/// Characters that control, reverse or hide text, and path separators, are left out.
#[must_use]
pub fn content_disposition(file_name: Option<&str>) -> String {
    let name = file_name.map(shown).unwrap_or_default();
    if name.is_empty() {
        return "attachment".to_owned();
    }
    let ascii: String = name.chars().map(plain).collect();
    if ascii == name {
        return format!("attachment; filename=\"{ascii}\"");
    }
    let mut disposition = format!("attachment; filename=\"{ascii}\"; filename*=UTF-8''");
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"!#$&+-.^_`|~".contains(&byte) {
            disposition.push(char::from(byte));
        } else {
            write!(disposition, "%{byte:02X}").expect("a String takes everything");
        }
    }
    disposition
}

/// The name as people may see it, at most [`MAX_NAME_BYTES`] long.
pub(super) fn shown(file_name: &str) -> String {
    let visible: String = file_name.chars().filter(|character| !deceives(*character)).collect();
    let name = shortened(visible.trim());
    match name.as_str() {
        "." | ".." => String::new(),
        _ => name,
    }
}

fn deceives(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '/' | '\\'
            | '\u{AD}' // soft hyphen
            | '\u{61C}' // Arabic letter mark
            | '\u{115F}' | '\u{1160}' | '\u{3164}' | '\u{FFA0}' // Hangul fillers
            | '\u{180E}' // Mongolian vowel separator
            | '\u{200B}'..='\u{200F}' // zero width, direction marks
            | '\u{2028}'..='\u{202E}' // line separators, embeddings, overrides
            | '\u{2060}'..='\u{206F}' // invisible operators, isolates
            | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}'
            | '\u{E0000}'..='\u{E007F}') // tags
}

/// Cuts the stem, not the extension.
fn shortened(name: &str) -> String {
    if name.len() <= MAX_NAME_BYTES {
        return name.to_owned();
    }
    let extension = name.rfind('.').map_or("", |dot| &name[dot..]);
    let extension = if extension.len() <= MAX_EXTENSION_BYTES { extension } else { "" };
    let stem = &name[..name.floor_char_boundary(MAX_NAME_BYTES - extension.len())];
    // The cut may lie behind a space, and some systems do not take a name that ends in one.
    format!("{}{extension}", stem.trim_end())
}

/// What stands for a character in a quoted string that old clients read: `%` would be decoded by some.
const fn plain(character: char) -> char {
    match character {
        '"' | '\\' | '%' => '_',
        ' '..='~' => character,
        _ => '_',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_escapes_and_paths_are_undone() {
        for (value, name) in [
            ("report.pdf", "report.pdf"),
            ("a %22quoted%22 name.pdf", "a \"quoted\" name.pdf"),
            ("two%0D%0Alines%0d%0a.png", "two\r\nlines\r\n.png"),
            ("100%.pdf", "100%.pdf"),
            ("%25%2", "%25%2"),
            ("%é%22", "%é\""),
            ("C:\\fakepath\\x.jpg", "x.jpg"),
            ("../../etc/passwd", "passwd"),
            ("..\\..\\boot.ini", "boot.ini"),
            ("/", ""),
            ("", ""),
        ] {
            assert_eq!(file_name_from_header(value), name, "{value}");
        }
    }

    #[test]
    fn a_name_becomes_a_header() {
        for (name, disposition) in [
            (None, "attachment"),
            (Some(""), "attachment"),
            (Some(".."), "attachment"),
            (Some(" \u{202E}\r\n"), "attachment"),
            (Some("report 1.pdf"), "attachment; filename=\"report 1.pdf\""),
            (Some("a\"b;c%.pdf"), "attachment; filename=\"a_b;c_.pdf\"; filename*=UTF-8''a%22b%3Bc%25.pdf"),
            (
                Some("Größe €.png"),
                "attachment; filename=\"Gr__e _.png\"; filename*=UTF-8''Gr%C3%B6%C3%9Fe%20%E2%82%AC.png",
            ),
            (Some("x\r\nSet-Cookie: a\0\u{1b}[31m.pdf"), "attachment; filename=\"xSet-Cookie: a[31m.pdf\""),
            (Some("fdp\u{202E}gpj.exe"), "attachment; filename=\"fdpgpj.exe\""),
            (Some("../a/b\\c.pdf"), "attachment; filename=\"..abc.pdf\""),
        ] {
            assert_eq!(content_disposition(name), disposition, "{name:?}");
        }
    }

    #[test]
    fn a_long_name_is_cut_and_keeps_its_extension() {
        let name = format!("{}.docx", "ä".repeat(40_000));
        assert_eq!(shown(&name), format!("{}.docx", "ä".repeat(125)));
        assert_eq!(shown(&format!("x.{}", "y".repeat(400))).len(), MAX_NAME_BYTES);
        let header = content_disposition(Some(&name));
        assert!(header.len() < 1200 && header.is_ascii());
        assert_eq!(shown(&"z".repeat(255)), "z".repeat(255));
        assert_eq!(shown(&format!("a{}b", " ".repeat(300))), "a");
        assert_eq!(shown(&format!(".{}b", " ".repeat(300))), "");
    }
}
