//! What a person at a terminal is told beside nginx's words: the line at fault, and a directive of nearly the same name.

use std::path::Path;

use crate::conf::directives::TABLES;

/// More words about a refused configuration; empty where there is nothing to add.
pub fn of(error: &str) -> String {
    let mut out = String::new();
    let name = error.strip_prefix("unknown directive \"").and_then(|rest| rest.split('"').next());
    if let Some((line, text)) = line_at_fault(error) {
        out.push_str(&format!("{line:>6} | {}\n", text.trim_end()));
        // The word itself where it is known, else all that is written.
        let start = name.and_then(|name| text.find(name)).unwrap_or(text.len() - text.trim_start().len());
        let width = name.map_or(text.trim().chars().count(), |name| name.chars().count());
        let indent: String = text[..start].chars().map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        out.push_str(&format!("       | {indent}{}\n", "^".repeat(width.max(1))));
    }
    if let Some(near) = name.and_then(nearest) {
        out.push_str(&format!("       = did you mean \"{near}\"?\n"));
    }
    out
}

/// The line that ` in FILE:LINE` at the end of a message names.
fn line_at_fault(error: &str) -> Option<(usize, String)> {
    let (file, line) = error.rsplit_once(" in ")?.1.rsplit_once(':')?;
    let number: usize = line.parse().ok()?;
    let text = std::fs::read(Path::new(file)).ok()?;
    let text = String::from_utf8_lossy(&text).into_owned();
    Some((number, text.lines().nth(number.checked_sub(1)?)?.to_string()))
}

/// The directive whose name takes the fewest changes, at most one for every three letters.
fn nearest(name: &str) -> Option<&'static str> {
    let rows = TABLES.iter().copied().flatten().map(|row| row.name);
    let best = rows.map(|known| (distance(name, known), known)).min()?;
    (best.0 > 0 && best.0 <= (name.len() / 3).clamp(1, 3)).then_some(best.1)
}

/// How many letters have to be put in, taken out or exchanged.
fn distance(a: &str, b: &str) -> usize {
    const LONGEST: usize = 64;
    if a.len() > LONGEST || b.len() > LONGEST {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut corner = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.bytes().enumerate() {
            let here = (corner + usize::from(x != y)).min(row[j] + 1).min(row[j + 1] + 1);
            corner = std::mem::replace(&mut row[j + 1], here);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    #[test]
    fn near_names() {
        for (name, expected) in [
            ("sever_name", Some("server_name")),
            ("locaton", Some("location")),
            ("proxi_pass_to", None),
            ("xyz", None),
            ("retrun", Some("return")),
        ] {
            assert_eq!(super::nearest(name), expected, "{name}");
        }
    }

    #[test]
    fn underlined() {
        let path = std::env::temp_dir().join(format!("perilune-hint-{}", std::process::id()));
        std::fs::write(&path, "events {}\n  locaton / { }\n").expect("written");
        let said = super::of(&format!("unknown directive \"locaton\" in {}:2", path.display()));
        let _ = std::fs::remove_file(&path);
        assert_eq!(said, "     2 |   locaton / { }\n       |   ^^^^^^^\n       = did you mean \"location\"?\n");
    }
}
