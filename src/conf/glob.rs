//! File name patterns of `include`: `*`, `?`, `[...]` in any path component; matches come sorted, as glob(3) gives them.

use std::path::{Path, PathBuf};

pub fn is_pattern(path: &str) -> bool {
    path.contains(['*', '?', '['])
}

/// All existing paths that match, in byte order.
pub fn expand(pattern: &Path) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    for part in pattern.components() {
        let text = part.as_os_str().to_string_lossy().into_owned();
        if !is_pattern(&text) {
            found.iter_mut().for_each(|path| path.push(part));
            continue;
        }
        let mut next = Vec::new();
        for directory in &found {
            let Ok(entries) = std::fs::read_dir(directory) else { continue };
            for name in entries.flatten().map(|entry| entry.file_name()) {
                let bytes = name.as_encoded_bytes();
                let hidden = bytes.starts_with(b".") && !text.starts_with('.');
                if !hidden && matches(text.as_bytes(), bytes) {
                    next.push(directory.join(&name));
                }
            }
        }
        found = next;
    }
    found.retain(|path| path.exists());
    found.sort();
    found
}

/// The paths among these that match, in byte order.
pub fn select<'a>(pattern: &Path, paths: impl Iterator<Item = &'a PathBuf>) -> Vec<PathBuf> {
    let fits = |path: &Path| {
        let same = |(part, name): (std::path::Component<'_>, std::path::Component<'_>)| {
            let (text, name) = (part.as_os_str().as_encoded_bytes(), name.as_os_str().as_encoded_bytes());
            let hidden = name.starts_with(b".") && !text.starts_with(b".");
            text == name || (!hidden && matches(text, name))
        };
        pattern.components().count() == path.components().count()
            && pattern.components().zip(path.components()).all(same)
    };
    let mut found: Vec<PathBuf> = paths.filter(|path| fits(path)).cloned().collect();
    found.sort();
    found.dedup();
    found
}

fn matches(pattern: &[u8], name: &[u8]) -> bool {
    // The last star is the only point worth going back to, so this takes at most |pattern| x |name| steps.
    let (mut p, mut n, mut star) = (0, 0, None);
    while n < name.len() {
        let step = match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
                continue;
            }
            Some(b'?') => Some(1),
            Some(b'[') => class(&pattern[p..], name[n]),
            Some(&byte) if byte == name[n] => Some(1),
            _ => None,
        };
        match (step, star) {
            (Some(width), _) => {
                p += width;
                n += 1;
            }
            (None, Some((at, from))) => {
                star = Some((at, from + 1));
                p = at + 1;
                n = from + 1;
            }
            (None, None) => return false,
        }
    }
    pattern[p..].iter().all(|&b| b == b'*')
}

/// The width of the class at the start of `pattern` when `byte` is in it.
fn class(pattern: &[u8], byte: u8) -> Option<usize> {
    let negated = matches!(pattern.get(1), Some(b'!' | b'^'));
    let first = if negated { 2 } else { 1 };
    let end = first + 1 + pattern.get(first + 1..)?.iter().position(|&b| b == b']')?;
    let set = &pattern[first..end];
    let mut at = 0;
    let mut inside = false;
    while at < set.len() {
        if set.get(at + 1) == Some(&b'-') && at + 2 < set.len() {
            inside |= (set[at]..=set[at + 2]).contains(&byte);
            at += 3;
        } else {
            inside |= set[at] == byte;
            at += 1;
        }
    }
    (inside != negated).then_some(end + 1)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns() {
        for (pattern, name, expected) in [
            ("*.conf", "a.conf", true),
            ("*.conf", "a.conf.bak", false),
            ("a?c", "abc", true),
            ("[a-c]*", "bx", true),
            ("[!a-c]*", "bx", false),
            ("*a*b", "xaaxb", true),
            ("", "", true),
        ] {
            assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), expected, "{pattern} {name}");
        }
    }
}
