//! Compiled functions as text, for tests and for reading.
use std::fmt::Write;

use super::{Chunk, Const, Op, Proto};
use crate::lex::names::Names;

/// The function and its inner functions, one instruction a line: place, source line, name, operands, and what constants
/// and jump targets they mean.
pub fn disasm(chunk: &Chunk) -> String {
    let mut out = String::new();
    list(&chunk.main, &chunk.names, "main", &mut out);
    out
}

fn list(proto: &Proto, names: &Names, title: &str, out: &mut String) {
    let vararg = if proto.vararg { ", ..." } else { "" };
    let (first, last) = (proto.line_defined, proto.last_line);
    // Writing to a String cannot fail.
    let _ =
        writeln!(out, "{title}: lines {first}-{last}, params {}{vararg}, registers {}", proto.params, proto.max_stack);
    for (i, capture) in proto.captures.iter().enumerate() {
        let cell = if capture.cell { " cell" } else { "" };
        let _ = writeln!(out, "  up {i} {:?} {}{cell}", capture.cap, text(&capture.name));
    }
    for local in &proto.locals {
        let cell = if local.cell { " cell" } else { "" };
        let _ = writeln!(out, "  local r{} {} {}..{}{cell}", local.reg, text(&local.name), local.start, local.end);
    }
    for (at, (op, line)) in proto.code.iter().zip(proto.lines.iter()).enumerate() {
        let op = op.get();
        let (operands, note) = operands(proto, names, at, &op);
        let row = format!("  {at:4} [{line}] {:10} {operands}", op.name());
        let _ = if note.is_empty() { writeln!(out, "{}", row.trim_end()) } else { writeln!(out, "{row:44} ; {note}") };
    }
    for (i, inner) in proto.protos.iter().enumerate() {
        let title = if title == "main" { format!("{i}") } else { format!("{title}.{i}") };
        list(inner, names, &title, out);
    }
}

/// The operands as the instruction's own debug form lists them, and their meaning.
fn operands(proto: &Proto, names: &Names, at: usize, op: &Op) -> (String, String) {
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
                let capture = value.parse().ok().and_then(|u: usize| proto.captures.get(u));
                note.extend(capture.map(|capture| text(&capture.name)));
            }
            "k" => {
                shown.push(format!("k{value}"));
                note.extend(value.parse().ok().and_then(|k: usize| proto.consts.get(k)).map(|k| constant(k, names)));
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

fn constant(constant: &Const, names: &Names) -> String {
    match constant {
        Const::Nil => "nil".to_string(),
        Const::Bool(b) => b.to_string(),
        Const::Num(bits) => f64::from_bits(*bits).to_string(),
        Const::Str(symbol) => format!("\"{}\"", text(names.text(*symbol))),
        Const::Int64 { bits, unsigned: true } => format!("{bits}ULL"),
        Const::Int64 { bits, unsigned: false } => format!("{}LL", *bits as i64),
    }
}

fn text(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}
