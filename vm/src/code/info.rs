//! Debug information: what is known of a chunk's functions besides what runs. Names, lines and variables stand as bytes in one block
//! for all of a chunk, so that a short function takes a dozen bytes of it.
//!
//! A function's record: the lines where it begins and ends (the latter counted from the former), the width of the rows that stand
//! before the record, a line for each instruction; the names of its captures; its locals. Numbers are of seven bits a byte, the lowest
//! first.
use std::rc::Rc;

use super::Lines;

/// A variable's name, by its place among the chunk's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VarName(u32);

/// The names of a loop's own registers have places of their own, before all others.
const HIDDEN: [&str; 6] =
    ["(for index)", "(for limit)", "(for step)", "(for generator)", "(for state)", "(for control)"];

impl VarName {
    pub const NUMERIC_FOR: [VarName; 3] = [VarName(0), VarName(1), VarName(2)];
    pub const GENERIC_FOR: [VarName; 3] = [VarName(3), VarName(4), VarName(5)];

    /// Appends a name to the chunk's.
    pub fn new(names: &mut Vec<u8>, text: &[u8]) -> VarName {
        let at = names.len() + HIDDEN.len();
        put(names, text.len() as u32);
        names.extend_from_slice(text);
        VarName(at as u32)
    }

    fn text(self, names: &[u8]) -> &[u8] {
        match HIDDEN.get(self.0 as usize) {
            Some(hidden) => hidden.as_bytes(),
            None => {
                let mut name = Reader(names.get(self.0 as usize - HIDDEN.len()..).unwrap_or(&[]));
                let len = name.number();
                name.take(len as usize)
            }
        }
    }
}

/// Of a whole chunk.
#[derive(Debug, Default)]
pub struct DebugInfo {
    /// The chunk's name as given to `load`: `@file`, `=name` or the source itself.
    pub source: Rc<[u8]>,
    /// The texts of all variables' names.
    pub names: Box<[u8]>,
    pub records: Box<[u8]>,
}

/// A local variable while its function is compiled: its register holds it for `start <= pc < end`.
#[derive(Clone, Copy, Debug)]
pub struct LocalVar {
    pub name: VarName,
    pub start: u32,
    pub end: u32,
    pub reg: u8,
    /// The register holds a cell with the value in it.
    pub cell: bool,
}

// What a source can make most of.
const _: () = assert!(size_of::<LocalVar>() == 16);

/// A local variable of a compiled function.
#[derive(Clone, Copy, Debug)]
pub struct Local<'d> {
    pub name: &'d [u8],
    pub start: u32,
    pub end: u32,
    pub reg: u8,
    pub cell: bool,
}

impl Local<'_> {
    pub fn is_alive(&self, pc: usize) -> bool {
        self.start as usize <= pc && pc < self.end as usize
    }
}

/// Of one function.
#[derive(Clone, Copy)]
pub struct Info<'d> {
    pub source: &'d [u8],
    /// Lines of `function` and of its `end`; 0 and the last line for a main chunk.
    pub line_defined: u32,
    pub last_line: u32,
    /// The rows of `Lines`.
    rows: (&'d [u8], u8),
    /// The record from its captures on.
    variables: Reader<'d>,
    names: &'d [u8],
}

impl DebugInfo {
    /// Of the function whose record begins at `at`, of so many instructions.
    pub fn function(&self, at: u32, instructions: usize) -> Info<'_> {
        let mut record = Reader(self.records.get(at as usize..).unwrap_or(&[]));
        let line_defined = record.number();
        let last_line = line_defined.wrapping_add(record.number());
        let width = record.byte();
        let first_row = (at as usize).wrapping_sub(instructions << width);
        let rows = (self.records.get(first_row..at as usize).unwrap_or(&[]), width);
        Info { source: &self.source, line_defined, last_line, rows, variables: record, names: &self.names }
    }
}

impl<'d> Info<'d> {
    /// The source line of an instruction.
    pub fn line(&self, at: usize) -> Option<u32> {
        Lines::row(self.line_defined, self.rows, at)
    }

    pub fn lines(self) -> impl Iterator<Item = u32> + 'd {
        (0..).map_while(move |at| self.line(at))
    }

    pub fn capture_name(&self, u: usize) -> Option<&'d [u8]> {
        self.capture_names().nth(u)
    }

    fn capture_names(&self) -> impl Iterator<Item = &'d [u8]> + use<'d> {
        let (mut record, names) = (self.variables, self.names);
        let count = record.number();
        (0..count).map(move |_| VarName(record.number()).text(names))
    }

    /// In the order of their beginnings.
    pub fn locals(&self) -> impl Iterator<Item = Local<'d>> + use<'d> {
        let (mut record, names) = (self.variables, self.names);
        for _ in 0..record.number() {
            record.number();
        }
        let (count, mut start) = (record.number(), 0);
        (0..count).map(move |_| {
            let name = VarName(record.number()).text(names);
            start = record.number().wrapping_add(start);
            let (life, reg) = (record.number(), record.byte());
            Local { name, start, end: start.wrapping_add(life >> 1), reg, cell: life & 1 == 1 }
        })
    }
}

/// Appends a function's record. The result is where it begins.
pub fn write_record(
    records: &mut Vec<u8>,
    (line_defined, last_line): (u32, u32),
    lines: Lines,
    captures: impl ExactSizeIterator<Item = VarName>,
    locals: &[LocalVar],
) -> usize {
    let (mut rows, width) = lines.into_rows();
    if records.is_empty() {
        // (not copied: they may be millions)
        *records = rows;
    } else {
        records.append(&mut rows);
    }
    let at = records.len();
    put(records, line_defined);
    put(records, last_line.wrapping_sub(line_defined));
    records.push(width);
    put(records, captures.len() as u32);
    for name in captures {
        put(records, name.0);
    }
    put(records, locals.len() as u32);
    let mut start = 0;
    for local in locals {
        put(records, local.name.0);
        put(records, local.start.wrapping_sub(start));
        put(records, local.end.wrapping_sub(local.start) << 1 | u32::from(local.cell));
        records.push(local.reg);
        start = local.start;
    }
    at
}

fn put(out: &mut Vec<u8>, mut number: u32) {
    while number > 0x7f {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

#[derive(Clone, Copy)]
struct Reader<'d>(&'d [u8]);

impl<'d> Reader<'d> {
    fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    fn number(&mut self) -> u32 {
        let (mut number, mut shift) = (0, 0);
        loop {
            let byte = self.byte();
            number |= u32::from(byte & 0x7f).wrapping_shl(shift);
            shift += 7;
            if byte < 0x80 {
                return number;
            }
        }
    }

    fn take(&mut self, count: usize) -> &'d [u8] {
        let (taken, rest) = self.0.split_at_checked(count).unwrap_or((&[], &[]));
        self.0 = rest;
        taken
    }
}
