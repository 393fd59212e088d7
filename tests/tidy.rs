//! The rules of the house that a machine can check: where unsafe code lives, how long files are, that each says what it is, that
//! each dependency says why it is there.

use std::path::{Path, PathBuf};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The Rust files of the workspace with their paths from its root.
fn sources() -> Vec<(String, String)> {
    fn walk(directory: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                walk(&path, found);
            } else if name.ends_with(".rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(Path::new(ROOT), &mut found);
    found.sort();
    assert!(found.len() > 100);
    let name = |path: &Path| path.strip_prefix(ROOT).unwrap().to_string_lossy().into_owned();
    found.iter().map(|path| (name(path), std::fs::read_to_string(path).unwrap())).collect()
}

fn read(name: &str) -> String {
    std::fs::read_to_string(Path::new(ROOT).join(name)).unwrap()
}

/// Uses of the keyword: blocks, functions, impls. Not comments, and not lint names.
fn unsafe_count(text: &str) -> usize {
    let code = text.lines().map(|line| line.split("//").next().unwrap_or_default());
    let forms = ["unsafe {", "unsafe fn ", "unsafe impl", "unsafe extern"];
    code.map(|line| forms.iter().map(|form| line.matches(form).count()).sum::<usize>()).sum()
}

#[test]
fn unsafe_code_lives_where_unsafe_md_says() {
    // `| value/value.rs | 7 | why |`
    let listed: Vec<(String, usize)> = read("vm/UNSAFE.md")
        .lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| `")?.split('|').map(|cell| cell.trim().trim_matches('`').to_string());
            Some((format!("vm/src/{}", cells.next()?), cells.next()?.parse().ok()?))
        })
        .collect();
    let found: Vec<(String, usize)> = sources()
        .iter()
        // (fuzz/ is no part of the workspace)
        .filter(|(name, _)| name != "tests/tidy.rs" && !name.starts_with("fuzz/"))
        .map(|(name, text)| (name.clone(), unsafe_count(text)))
        .filter(|(_, count)| *count > 0)
        .collect();
    assert_eq!(found, listed, "found against listed in vm/UNSAFE.md; raising a count needs a reason there");
}

#[test]
fn every_unsafe_block_says_why_it_is_sound() {
    for (name, text) in sources().iter().filter(|(name, _)| name.starts_with("vm/src/")) {
        let lines: Vec<&str> = text.lines().collect();
        for (at, line) in lines.iter().enumerate().filter(|(_, line)| unsafe_count(line) > 0) {
            let nearby = lines[at.saturating_sub(8)..=at].iter();
            let said = nearby.clone().any(|line| line.contains("SAFETY") || line.contains("# Safety"));
            // The interpreter loop and its macros: one numbered list in the header is the reason for each.
            let loop_rule = name == "vm/src/interp/exec.rs";
            assert!(said || loop_rule, "{name}:{}: no SAFETY comment: {line}", at + 1);
        }
    }
}

#[test]
fn other_crates_forbid_unsafe_code() {
    for name in ["src/main.rs", "src/lib.rs", "stdlib/src/lib.rs", "ngx/src/lib.rs", "bench/src/main.rs"] {
        assert!(read(name).contains("#![forbid(unsafe_code)]"), "{name}");
    }
}

#[test]
fn files_are_short_or_say_why_not() {
    for (name, text) in sources() {
        let header: Vec<&str> = text.lines().take_while(|line| line.starts_with("//!")).collect();
        let long = text.lines().count() > 900;
        let excused = header.iter().any(|line| line.contains("one idea") || line.contains("long because"));
        assert!(!long || excused, "{name} has over 900 lines and does not say why it is one idea");
    }
}

#[test]
fn every_file_says_what_it_is() {
    for (name, text) in sources() {
        assert!(text.starts_with("//! ") && !text.starts_with("//! placeholder"), "{name} has no header");
    }
}

#[test]
fn every_dependency_has_a_reason() {
    let manifest = read("Cargo.toml");
    let table = manifest.split("[workspace.dependencies]\n").nth(1).and_then(|rest| rest.split("\n[").next()).unwrap();
    let mut before = "";
    for line in table.lines().filter(|line| !line.is_empty()) {
        let own = line.contains("path = ");
        assert!(own || line.starts_with('#') || before.starts_with('#'), "no reason above: {line}");
        before = line;
    }
    for name in ["vm", "stdlib", "ngx", "bench"] {
        let manifest = read(&format!("{name}/Cargo.toml"));
        assert!(!manifest.contains("version = "), "{name}: versions belong in the workspace's table");
    }
}

/// The machine has never heard of IO, clocks, tokio or HTTP; arrows between crates point one way.
#[test]
fn crates_depend_in_one_direction() {
    let allowed: &[(&str, &[&str])] = &[
        ("vm", &[]),
        ("stdlib", &["perilune-vm"]),
        ("ngx", &["perilune-vm", "perilune-stdlib"]),
        // (it measures the others from inside; nothing depends on it)
        ("bench", &["perilune-vm", "perilune-stdlib", "perilune-ngx"]),
    ];
    for (name, own) in allowed {
        let manifest = read(&format!("{name}/Cargo.toml"));
        let dependencies = manifest.split("[dependencies]\n").nth(1).unwrap().split("\n[").next().unwrap();
        for line in dependencies.lines().filter(|line| line.starts_with("perilune-")) {
            assert!(own.iter().any(|own| line.starts_with(own)), "{name} depends on {line}");
        }
    }
    assert!(!read("vm/Cargo.toml").contains("tokio") && !read("stdlib/Cargo.toml").contains("tokio"));
    for (name, text) in sources().iter().filter(|(name, _)| name.starts_with("vm/src/")) {
        for word in ["std::net", "std::fs", "std::time", "std::process", "tokio::"] {
            let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            assert!(!code.clone().any(|line| line.contains(word)), "{name} mentions {word}");
        }
    }
}

/// Nothing that ships refers to how, or where, it was made.
#[test]
fn documents_name_only_what_exists() {
    for document in
        ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "COMPATIBILITY.md", "vm/UNSAFE.md"]
    {
        let text = read(document);
        for word in text.split(|c: char| c.is_whitespace() || "()`,;:".contains(c)) {
            let path = word.trim_end_matches('.');
            let is_path = path.contains('/') && path.ends_with(".rs") && !path.contains('*');
            let exists = ["", "vm/src"].iter().any(|from| Path::new(ROOT).join(from).join(path).exists());
            assert!(!is_path || exists, "{document}: {path} does not exist");
        }
    }
}
