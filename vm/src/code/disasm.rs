//! Compiled functions as text, for tests and for reading.
use std::cell::Cell;
use std::fmt::Write;

use super::{Chunk, Const, Op, Proto};

/// The function and its inner functions, one instruction a line: place, source line, name, operands, and what constants
/// and jump targets they mean.
pub fn disasm(chunk: &Chunk) -> String {
    let mut out = String::new();
    list(&chunk.main, &[], chunk, "main", &mut out);
    out
}

fn list(proto: &Proto, captures: &[Cell<Op>], chunk: &Chunk, title: &str, out: &mut String) {
    let info = proto.info(&chunk.debug);
    let vararg = if proto.vararg { ", ..." } else { "" };
    let (first, last) = (info.line_defined, info.last_line);
    // Writing to a String cannot fail.
    let _ =
        writeln!(out, "{title}: lines {first}-{last}, params {}{vararg}, registers {}", proto.params, proto.max_stack);
    for (i, capture) in captures.iter().enumerate() {
        let Op::Capture { cap, cell } = capture.get() else { continue };
        let cell = if cell { " cell" } else { "" };
        let name = info.capture_name(i).unwrap_or_default();
        let _ = writeln!(out, "  up {i} {cap:?} {}{cell}", text(name));
    }
    for local in info.locals() {
        let cell = if local.cell { " cell" } else { "" };
        let _ = writeln!(out, "  local r{} {} {}..{}{cell}", local.reg, text(local.name), local.start, local.end);
    }
    for (at, (op, line)) in proto.code.iter().zip(info.lines()).enumerate() {
        let op = op.get();
        let (operands, note) = operands(proto, chunk, at, &op);
        let row = format!("  {at:4} [{line}] {:10} {operands}", op.name());
        let _ = if note.is_empty() { writeln!(out, "{}", row.trim_end()) } else { writeln!(out, "{row:44} ; {note}") };
    }
    for (i, (inner, captures)) in proto.inner().enumerate() {
        let title = if title == "main" { format!("{i}") } else { format!("{title}.{i}") };
        list(inner, captures, chunk, &title, out);
    }
}

/// The operands as the instruction's own debug form lists them, and their meaning.
fn operands(proto: &Proto, chunk: &Chunk, at: usize, op: &Op) -> (String, String) {
    let debug = format!("{op:?}");
    let inside = debug.split_once('{').map_or("", |(_, rest)| rest).trim_end_matches('}').trim();
    let mut shown = Vec::new();
    let mut note = Vec::new();
    for field in inside.split(", ").filter(|field| !field.is_empty()) {
        let Some((name, value)) = field.split_once(": ") else { continue };
        match name {
            // Inline caches change as the code runs.
            "ic" => {}
            "a" | "b" | "c" => shown.push(format!("r{value}")),
            "u" => {
                shown.push(format!("u{value}"));
                let u = value.parse().ok();
                note.extend(u.and_then(|u| proto.info(&chunk.debug).capture_name(u)).map(text));
            }
            "k" => {
                shown.push(format!("k{value}"));
                note.extend(value.parse().ok().and_then(|k: usize| proto.consts.get(k)).map(|k| constant(k, chunk)));
            }
            "off" => {
                let off: i64 = value.parse().unwrap_or(0);
                shown.push(format!("-> {}", at as i64 + 1 + off));
            }
            "n" if matches!(op, Op::GetInt { .. } | Op::SetInt { .. }) => shown.push(format!("n={value}")),
            "n" | "nargs" | "nret" if value == "255" => shown.push(format!("{name}=all")),
            _ => shown.push(format!("{name}={value}")),
        }
    }
    (shown.join(" "), note.join(" "))
}

fn constant(constant: &Const, chunk: &Chunk) -> String {
    match constant {
        Const::Nil => "nil".to_string(),
        Const::Bool(b) => b.to_string(),
        Const::Num(bits) => f64::from_bits(*bits).to_string(),
        Const::Str(symbol) => format!("\"{}\"", text(chunk.names.text(*symbol))),
        Const::Int64 { bits, unsigned: true } => format!("{bits}ULL"),
        Const::Int64 { bits, unsigned: false } => format!("{}LL", *bits as i64),
    }
}

fn text(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}
