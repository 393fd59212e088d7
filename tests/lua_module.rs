//! The names of lua-nginx-module's README (`tests/lua_module_names`), one by one: whether the program has them, and which test
//! covers each. A name it has needs a test that uses it; one it has not needs a reason.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

use perilune::conf::directives::find;

use crate::support::Server;

const NAMES: &str = include_str!("lua_module_names");

/// One heading of the file.
pub struct Section {
    title: &'static str,
    /// The expression that is nil where the name is missing; None: they are directives.
    lua: Option<&'static str>,
    /// What stands in a test that uses it.
    used: &'static str,
    files: Vec<&'static str>,
    /// Name and what is said of it, if anything.
    names: Vec<(&'static str, &'static str)>,
}

fn sections() -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    for line in NAMES.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(heading) = line.strip_prefix("== ") {
            let cells: Vec<&str> = heading.split('|').map(str::trim).collect();
            let [title, lua, used, files] = cells[..] else { panic!("{line}") };
            let lua = Some(lua).filter(|lua| *lua != "-");
            sections.push(Section { title, lua, used, files: files.split(' ').collect(), names: Vec::new() });
        } else {
            let (name, said) = line.split_once("  ").unwrap_or((line, ""));
            sections.last_mut().expect("a heading first").names.push((name, said));
        }
    }
    sections
}

/// A test and all that stands between it and the next one: its own text and what it is made of.
struct Test {
    file: String,
    name: String,
    text: String,
}

/// The tests of the workspace that talk to a server or run Lua, file by file. What stands before a file's first test is its.
fn tests() -> Vec<Test> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut tests = Vec::new();
    for directory in ["ngx/tests/api", "tests"] {
        let entries = std::fs::read_dir(root.join(directory)).unwrap();
        let names: BTreeSet<String> = entries.map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
        for name in names.iter().filter(|name| name.ends_with(".rs")) {
            let text = std::fs::read_to_string(root.join(directory).join(name)).unwrap();
            let mut parts = text.split("#[test]");
            let fixtures = parts.next().unwrap_or_default();
            for (number, part) in parts.enumerate() {
                let Some(test) = part.split("fn ").nth(1).and_then(|rest| rest.split('(').next()) else { continue };
                // (one that a macro names is many)
                if test.starts_with('$') || name == "compatibility.rs" {
                    continue;
                }
                let text = if number == 0 { format!("{fixtures}{part}") } else { part.to_string() };
                tests.push(Test { file: format!("{directory}/{name}"), name: test.to_string(), text });
            }
        }
    }
    assert!(tests.len() > 100, "the tests are written in another way now");
    tests
}

/// Whether the text has these words, not as part of longer ones.
fn uses(text: &str, what: &str, directive: bool) -> bool {
    let word = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    text.match_indices(what).any(|(at, _)| {
        let (before, after) = (text.as_bytes()[..at].last(), &text[at + what.len()..]);
        let starts = !word(before) || !what.starts_with(|c: char| c.is_ascii_alphabetic());
        let ends = !word(after.as_bytes().first()) || what.ends_with('(');
        // (a directive is followed by its arguments, and not by what the log says of it)
        let argument = after.starts_with([' ', '\n']) && !after.starts_with(" error");
        starts && ends && before != Some(&b'.') && (!directive || argument)
    })
}

/// Where a name is used: in the files that the section says, or in any.
fn covering<'t>(tests: &'t [Test], section: &Section, name: &str) -> Option<&'t Test> {
    let what = section.used.replace("NAME", name);
    let used = |test: &&Test| uses(&test.text, &what, section.lua.is_none());
    let named = |test: &&Test| section.files.contains(&test.file.as_str());
    let others = tests.iter().filter(|_| section.files == [""]);
    tests.iter().filter(named).find(used).or_else(|| others.into_iter().find(used))
}

/// The table for COMPATIBILITY.md. Fails where a name has neither a test nor a reason.
pub fn table() -> String {
    let (sections, tests) = (sections(), tests());
    let has = present(&sections);
    let mut has = has.chars();
    let (mut out, mut wrong) = (String::new(), String::new());
    for section in &sections {
        let _ = writeln!(out, "\n### {}\n\n| name | | test |\n|---|---|---|", section.title);
        for (name, said) in &section.names {
            let there = match section.lua {
                Some(_) => has.next() == Some('1'),
                None => find(name).iter().any(|row| row.args != 0),
            };
            let refused = said.starts_with("refused: ");
            let test = covering(&tests, section, name);
            if there == refused {
                let _ = writeln!(wrong, "{name}: is it there? {there}; but: {said:?}");
            }
            assert!(said.is_empty() || refused || said.starts_with("different: "), "{name}: {said}");
            let test = match test {
                Some(test) if !refused => format!("`{}` in {}", test.name, test.file),
                None if !refused => {
                    let _ = writeln!(wrong, "{name}: no test uses it");
                    continue;
                }
                _ => String::new(),
            };
            let _ = writeln!(out, "| `{name}` | {} | {test} |", if said.is_empty() { "supported" } else { said });
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    out.push('\n');
    out
}

/// 1 or 0 for each name that is no directive, in order.
fn present(sections: &[Section]) -> String {
    let mut lua =
        String::from("local function has(f) local ok, v = pcall(f) ngx.print(ok and v ~= nil and '1' or '0') end\n");
    for section in sections {
        let Some(expression) = section.lua else { continue };
        for (name, _) in &section.names {
            // (what a name stands for is evaluated where it can be)
            let _ = writeln!(lua, "has(function() return {} end)", expression.replace("NAME", name));
        }
    }
    let http =
        "lua_shared_dict d 100k; server { listen 127.0.0.1:PORT; location / { content_by_lua_file probe.lua; } }";
    let server = Server::start(http, &[("probe.lua", &lua)]);
    let answer = server.body("/");
    let count: usize = sections.iter().filter(|section| section.lua.is_some()).map(|s| s.names.len()).sum();
    assert_eq!(answer.len(), count, "{answer}\n{}", server.log());
    answer
}
