//! One page of a listing: prefix, delimiter, limit; pure.

/// At most `max` entries and common prefixes, in key order.
#[derive(Debug, PartialEq)]
pub struct Page<T> {
    pub entries: Vec<T>,
    pub prefixes: Vec<String>,
    /// The last key or common prefix of this page, when there is more.
    pub next: Option<String>,
}

pub struct Query<'a> {
    pub prefix: &'a str,
    /// Empty is none.
    pub delimiter: &'a str,
    /// The last key or common prefix of the page before; empty is none.
    pub after: &'a str,
    pub max: usize,
}

impl<'a> Query<'a> {
    /// Where the keys that are handed to [`Query::page`] may begin.
    pub fn start(&self) -> &'a str {
        self.after.max(self.prefix)
    }

    /// `keys` in ascending order, those up to `after` left out.
    pub fn page<'k, T>(&self, keys: impl Iterator<Item = (&'k str, T)>) -> Page<T> {
        let mut page = Page { entries: Vec::new(), prefixes: Vec::new(), next: None };
        let mut last = "";
        for (key, entry) in keys {
            if !key.starts_with(self.prefix) {
                break;
            }
            let group = self.group(key);
            if group.is_some_and(|g| g == self.after || g == last) {
                continue;
            }
            if page.entries.len() + page.prefixes.len() == self.max {
                // Asked for nothing: nothing to go on from.
                page.next = (self.max > 0).then(|| last.to_owned());
                break;
            }
            last = group.unwrap_or(key);
            match group {
                Some(group) => page.prefixes.push(group.to_owned()),
                None => page.entries.push(entry),
            }
        }
        page
    }

    fn group<'k>(&self, key: &'k str) -> Option<&'k str> {
        if self.delimiter.is_empty() {
            return None;
        }
        let rest = &key[self.prefix.len()..];
        let at = rest.find(self.delimiter)?;
        Some(&key[..self.prefix.len() + at + self.delimiter.len()])
    }
}

/// What `encoding-type=url` asks for: everything but unreserved characters and `/` as `%XX`.
pub fn url_encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => {
                out.push(char::from(byte));
            }
            _ => {
                out.push('%');
                out.push_str(&super::paths::hex(&[byte]).to_uppercase());
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::ops::Bound;

    use super::*;

    fn pages(keys: &BTreeSet<String>, prefix: &str, delimiter: &str, max: usize) -> Vec<String> {
        let mut seen = Vec::new();
        let mut after = String::new();
        loop {
            let query = Query { prefix, delimiter, after: &after, max };
            let from = if query.start() == after {
                Bound::Excluded(query.start())
            } else {
                Bound::Included(query.start())
            };
            let range = keys.range::<str, _>((from, Bound::Unbounded));
            let page = query.page(range.map(|k| (k.as_str(), k.clone())));
            assert!(page.entries.len() + page.prefixes.len() <= max);
            seen.extend(page.entries);
            seen.extend(page.prefixes);
            match page.next {
                Some(next) => {
                    assert!(next > after, "a listing that does not move on");
                    after = next;
                }
                None => break,
            }
        }
        seen.sort();
        seen
    }

    #[test]
    fn every_page_size_gives_the_same_listing() {
        let keys: BTreeSet<String> =
            ["a", "a/", "a/b", "a/b/c", "a/c", "a0", "b", "b/x", "b/y/z", "ä/1", "ä/2", "A", "a//", "a//x"]
                .into_iter()
                .map(String::from)
                .collect();
        for prefix in ["", "a", "a/", "b/", "ä", "zz"] {
            for delimiter in ["", "/", "b"] {
                // By definition, without paging.
                let expected: BTreeSet<String> = keys
                    .iter()
                    .filter(|k| k.starts_with(prefix))
                    .map(|k| match k[prefix.len()..].split_once(delimiter) {
                        Some((head, _)) if !delimiter.is_empty() => {
                            format!("{prefix}{head}{delimiter}")
                        }
                        _ => k.clone(),
                    })
                    .collect();
                for max in 1..=keys.len() + 1 {
                    let seen = pages(&keys, prefix, delimiter, max);
                    let expected: Vec<_> = expected.iter().cloned().collect();
                    assert_eq!(seen, expected, "{prefix:?} {delimiter:?} {max}");
                }
            }
        }
    }

    #[test]
    fn a_limit_of_nothing_is_an_empty_last_page() {
        let query = Query { prefix: "", delimiter: "", after: "", max: 0 };
        let page = query.page([("a", ())].into_iter());
        assert_eq!((page.entries.len(), page.next), (0, None));
    }

    #[test]
    fn url_encoding() {
        assert_eq!(url_encoded("a/b c+ä\n~"), "a/b%20c%2B%C3%A4%0A~");
    }
}
