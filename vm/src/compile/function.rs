//! One function while its code is made: instructions, constants, registers, locals and labels.
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;

use super::SyntaxError;
use super::block::Open;
use crate::code::{Cap, Const, Lines, LocalVar, Op, Proto, VarName, write_record};
use crate::lex::names::Symbol;
use crate::parse::Reader;
use crate::parse::ast::{Chunk, Function, FunctionId, LabelId, Source, VarId};

/// Registers of one function.
const MAX_REGISTERS: usize = 250;
/// A constant of the pool that only `LoadK` reaches; turned into its real number at the end.
const WIDE: u32 = 1 << 31;
/// What instructions with a 16-bit constant can reach.
const MAX_NARROW: usize = 1 << 16;

/// A label that has not been met.
const NOWHERE: u32 = u32::MAX;

/// So many constants are told apart: in a data table with more, later ones may be there several times.
const MAX_KNOWN: usize = 1 << 17;

/// Where the function sits: what it shares with, and gets from, the function around it.
#[derive(Default)]
pub(super) struct Home {
    pub sheet: Rc<Sheet>,
    pub captures: Vec<Capture>,
}

/// One captured variable, as the function sees it.
pub(super) struct Capture {
    /// It is in a cell.
    pub cell: bool,
    pub name: VarName,
}

/// What becomes the chunk's debug information.
#[derive(Default)]
pub(super) struct Sheet {
    pub source: Rc<[u8]>,
    pub records: RefCell<Vec<u8>>,
}

impl Sheet {
    pub fn new(source: &[u8]) -> Rc<Sheet> {
        Rc::new(Sheet { source: source.into(), records: RefCell::default() })
    }
}

/// Constants in two pools: names and operands of 16-bit fields first, what is merely loaded after them, so that a huge
/// data table does not push a function's names out of reach.
#[derive(Default)]
struct Constants {
    narrow: Vec<Const>,
    wide: Vec<Const>,
    numbers: HashMap<Const, u32, ahash::RandomState>,
}

/// A function while its code is made. The tree it is made from may come in pieces: `parts` goes from one to the next.
pub(super) struct FunctionCode<'c> {
    pub chunk: &'c Chunk,
    pub function: &'c Function,
    /// Where the items of long tables come from.
    pub reader: Option<&'c mut (dyn Reader + 'c)>,
    // (boxed: there is a `FunctionCode` for every statement of a long source)
    parts: Box<Parts>,
}

/// What there is of the function so far.
#[derive(Default)]
pub(super) struct Parts {
    pub home: Home,
    code: Vec<Cell<Op>>,
    lines: Lines,
    constants: Constants,
    #[allow(clippy::vec_box)]
    protos: Vec<Box<Proto>>,
    locals: Vec<LocalVar>,
    /// Indices into `locals` of the variables in view.
    active: Vec<usize>,
    /// The register of each variable that has been declared.
    registers: Vec<u8>,
    /// The lowest free register, the lowest one that is not a local's, the highest use so far.
    pub free: usize,
    pub local_top: usize,
    used: usize,
    /// Where the labels met so far are, and the jumps to those that were not.
    label_places: Vec<u32>,
    label_jumps: Vec<(u32, LabelId)>,
    /// The blocks that the next statement is in.
    pub open: Vec<Open>,
    /// The last statement leaves its block.
    pub leaves: bool,
    line: u32,
}

impl Deref for FunctionCode<'_> {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.parts
    }
}

impl DerefMut for FunctionCode<'_> {
    fn deref_mut(&mut self) -> &mut Parts {
        &mut self.parts
    }
}

impl Parts {
    pub fn new(home: Home, line: u32) -> Box<Parts> {
        Box::new(Parts {
            home,
            code: Vec::new(),
            lines: Lines::new(line),
            constants: Constants::default(),
            protos: Vec::new(),
            locals: Vec::new(),
            active: Vec::new(),
            registers: Vec::new(),
            free: 0,
            local_top: 0,
            used: 2,
            label_places: Vec::new(),
            label_jumps: Vec::new(),
            open: Vec::new(),
            leaves: false,
            line,
        })
    }
}

impl<'c> FunctionCode<'c> {
    /// Goes on with the function's next piece; variables and labels of the earlier ones keep their numbers.
    pub fn new(chunk: &'c Chunk, function: &'c Function, mut parts: Box<Parts>) -> FunctionCode<'c> {
        parts.registers.resize(function.vars.len(), 0);
        parts.label_places.resize(function.labels.len(), NOWHERE);
        FunctionCode { chunk, function, reader: None, parts }
    }

    /// The function's latest piece may use variables that the earlier ones did not. Where a closure finds them is seen to when the
    /// function around this one gets there.
    pub fn with_reader(mut self, reader: &'c mut (dyn Reader + 'c)) -> FunctionCode<'c> {
        for more in reader.captures().iter().skip(self.home.captures.len()) {
            self.parts.home.captures.push(Capture { cell: more.cell, name: more.name });
        }
        self.reader = Some(reader);
        self
    }

    /// What there is so far, lent to someone else.
    pub fn parts(&mut self) -> &mut Box<Parts> {
        &mut self.parts
    }

    /// The piece is done.
    pub fn into_parts(self) -> Box<Parts> {
        self.parts
    }

    /// The registers that the arguments are in.
    pub fn parameters(&mut self) -> Result<(), SyntaxError> {
        let function = self.function;
        let params: Vec<VarId> = (0..u32::from(function.params)).map(VarId).collect();
        self.reserve(params.len())?;
        self.declare(&params, 0, function.line);
        for param in &mut self.locals {
            // (a hook may look before the first instruction)
            param.start = 0;
        }
        Ok(())
    }

    /// The return that every function ends with.
    pub fn end(&mut self) {
        let function = self.function;
        // (a main chunk ends with its last token)
        let line = if function.line == 0 { function.end_line } else { function.last_line };
        self.emit(Op::Return0 {}, line);
        self.forget_locals(0);
    }

    pub fn finish(mut self) -> Result<Proto, SyntaxError> {
        for (at, label) in std::mem::take(&mut self.label_jumps) {
            let at = at as usize;
            if let Some(place) = self.label(label) {
                if place <= at {
                    // (of another piece, met too late to be known for a jump back)
                    self.code[at].set(Op::Loop { off: 0 });
                }
                self.patch(at, place);
            }
        }
        let FunctionCode { function, parts: mut this, .. } = self;
        let narrow = this.constants.narrow.len() as u32;
        for op in &mut this.code {
            if let Op::LoadK { k, .. } = op.get_mut()
                && *k & WIDE != 0
            {
                *k = (*k & !WIDE) + narrow;
            }
        }
        // (moved where they are: they may be millions)
        let Constants { narrow, wide: mut consts, .. } = this.constants;
        consts.splice(..0, narrow);
        let mut records = this.home.sheet.records.borrow_mut();
        let defined = (function.line, function.last_line);
        let captures = this.home.captures.iter().map(|capture| capture.name);
        let at = write_record(&mut records, defined, this.lines, captures, &this.locals);
        let info_at = u32::try_from(at).map_err(|_| SyntaxError::no_memory())?;
        let mut protos = this.protos;
        protos.shrink_to_fit();
        Ok(Proto {
            code: this.code.into(),
            consts: consts.into(),
            protos,
            info_at,
            params: function.params,
            vararg: function.vararg,
            max_stack: this.used as u8,
            captures: this.home.captures.len() as u8,
            ..Proto::default()
        })
    }

    // Instructions

    /// The place of the next instruction.
    pub fn here(&self) -> usize {
        self.code.len()
    }

    pub fn line_at(&self, at: usize) -> Option<u32> {
        self.lines.get(at)
    }

    /// Of the instruction that was emitted last.
    pub fn latest_line(&self) -> u32 {
        self.line
    }

    pub fn emit(&mut self, op: Op, line: u32) -> usize {
        self.line = line;
        self.code.push(Cell::new(op));
        self.lines.push(line);
        self.code.len() - 1
    }

    /// Makes the jump at `at` go to `to`.
    pub fn patch(&mut self, at: usize, to: usize) {
        super::jump::set_offset(self.parts.code[at].get_mut(), to as i64 - at as i64 - 1);
    }

    pub fn patch_here(&mut self, jumps: &[usize]) {
        for &at in jumps {
            self.patch(at, self.here());
        }
    }

    /// Jumps back to `to`.
    pub fn emit_loop(&mut self, to: usize, line: u32) {
        let at = self.emit(Op::Loop { off: 0 }, line);
        self.patch(at, to);
    }

    /// Makes the call just emitted a tail call.
    pub fn call_to_tail_call(&mut self, line: u32) {
        if let Some(Op::Call { a, nargs, .. }) = self.code.last().map(Cell::get) {
            self.code.pop();
            self.lines.pop();
            self.emit(Op::TailCall { a, nargs }, line);
        }
    }

    pub fn place_label(&mut self, label: LabelId) {
        self.label_places[label.0 as usize] = self.code.len() as u32;
    }

    /// The place of the label that `label` stands for, if it has been met.
    pub fn label(&self, label: LabelId) -> Option<usize> {
        let real = self.function.labels[label.0 as usize];
        let place = self.label_places[real.0 as usize];
        (place != NOWHERE).then_some(place as usize)
    }

    /// Makes the jump at `at` go to the label once it is met.
    pub fn patch_later(&mut self, at: usize, label: LabelId) {
        self.label_jumps.push((at as u32, label));
    }

    // Registers

    /// Takes `n` registers; the result is the first.
    pub fn reserve(&mut self, n: usize) -> Result<u8, SyntaxError> {
        let first = self.free;
        self.free += n;
        self.will_use(self.free)?;
        Ok(first as u8)
    }

    /// The function needs this many registers.
    pub fn will_use(&mut self, count: usize) -> Result<(), SyntaxError> {
        if count > MAX_REGISTERS {
            return Err(self.error("function or expression too complex"));
        }
        self.used = self.used.max(count);
        Ok(())
    }

    pub fn error(&self, text: &str) -> SyntaxError {
        SyntaxError::at(&self.home.sheet.source, self.line, text.as_bytes())
    }

    // Locals

    /// Variables whose values are in the registers from `first` on come into view.
    pub fn declare(&mut self, vars: &[VarId], first: usize, line: u32) {
        for (i, var) in vars.iter().enumerate() {
            let a = (first + i) as u8;
            self.registers[var.0 as usize] = a;
            if self.in_cell(*var) {
                self.emit(Op::NewCell { a }, line);
            }
        }
        for (i, var) in vars.iter().enumerate() {
            let var = &self.function.vars[var.0 as usize];
            self.show_local(var.name, first + i, var.in_cell());
        }
        self.local_top = self.free;
    }

    /// Names a register for messages and the debugger.
    pub fn show_local(&mut self, name: VarName, register: usize, cell: bool) {
        let start = self.code.len() as u32;
        let index = self.locals.len();
        self.active.push(index);
        self.locals.push(LocalVar { name, start, end: start, reg: register as u8, cell });
        self.local_top = self.free;
    }

    pub fn active_locals(&self) -> usize {
        self.active.len()
    }

    /// Ends the life of all but the first `keep` variables in view and frees their registers.
    pub fn forget_locals(&mut self, keep: usize) {
        let end = self.code.len() as u32;
        let Parts { active, locals, .. } = &mut *self.parts;
        for index in active.drain(keep..) {
            locals[index].end = end;
        }
        self.local_top = self.active.last().map_or(0, |&index| self.locals[index].reg as usize + 1);
        self.free = self.local_top;
    }

    pub fn in_cell(&self, var: VarId) -> bool {
        self.function.vars[var.0 as usize].in_cell()
    }

    pub fn register(&self, var: VarId) -> u8 {
        self.registers[var.0 as usize]
    }

    pub fn set_register(&mut self, var: VarId, register: u8) {
        self.registers[var.0 as usize] = register;
    }

    // Constants

    fn add_constant(&mut self, constant: Const, wide: bool, kept: usize) -> Option<u32> {
        if let Some(&k) = self.constants.numbers.get(&constant)
            && (wide || k & WIDE == 0)
        {
            return Some(k);
        }
        let constants = &mut self.parts.constants;
        let pool = if wide { &mut constants.wide } else { &mut constants.narrow };
        if !wide && pool.len() >= MAX_NARROW - kept {
            return None;
        }
        let k = pool.len() as u32 | if wide { WIDE } else { 0 };
        pool.push(constant);
        if constants.numbers.len() < MAX_KNOWN {
            constants.numbers.insert(constant, k);
        }
        Some(k)
    }

    /// The constant's number for `LoadK`.
    pub fn wide_constant(&mut self, constant: Const) -> u32 {
        self.add_constant(constant, true, 0).unwrap_or(0)
    }

    /// The constant's number, if it fits in 16 bits. (There is another way where it does not; some room is kept for global names.)
    pub fn narrow_constant(&mut self, constant: Const) -> Option<u16> {
        self.add_constant(constant, false, MAX_NARROW / 4).and_then(|k| u16::try_from(k).ok())
    }

    /// A global's name must fit in 16 bits.
    pub fn global_name(&mut self, name: Symbol) -> Result<u16, SyntaxError> {
        let k = self.add_constant(Const::Str(name), false, 0).and_then(|k| u16::try_from(k).ok());
        k.ok_or_else(|| self.too_many("constants"))
    }

    fn too_many(&self, what: &str) -> SyntaxError {
        let function = match self.function.line {
            0 => "main function".to_string(),
            line => format!("function at line {line}"),
        };
        self.error(&format!("{function} has more than {MAX_NARROW} {what}"))
    }

    // Functions

    /// Compiles an inner function.
    pub fn inner_function(&mut self, id: FunctionId) -> Result<u16, SyntaxError> {
        let chunk = self.chunk;
        let inner = chunk.function(id);
        let proto = match inner.compiled.0.take() {
            Some(proto) => proto,
            None => {
                let captures = inner.captures.iter().map(|captured| {
                    let (_, cell) = self.found_at(captured.source, None);
                    Capture { cell, name: captured.name }
                });
                let home = Home { sheet: self.home.sheet.clone(), captures: captures.collect() };
                Box::new(super::compile_function(chunk, inner, home)?)
            }
        };
        let p = u16::try_from(self.protos.len()).map_err(|_| self.too_many("constants"))?;
        self.protos.push(proto);
        Ok(p)
    }

    /// Makes a closure of the inner function `p`. `itself` is the variable that will hold it and nothing else, if there is one.
    pub fn closure(
        &mut self,
        a: u8,
        p: u16,
        id: FunctionId,
        itself: Option<VarId>,
        line: u32,
    ) -> Result<(), SyntaxError> {
        let captures = &self.chunk.function(id).captures;
        if self.protos[usize::from(p)].captures as usize != captures.len() {
            // (never: the interpreter relies on it)
            return Err(self.error("captured variables are lost"));
        }
        self.emit(Op::Closure { a, p }, line);
        for captured in captures {
            let (cap, cell) = self.found_at(captured.source, itself);
            self.emit(Op::Capture { cap, cell }, line);
        }
        Ok(())
    }

    /// Where a closure finds a variable, and whether that is a cell.
    fn found_at(&self, source: Source, itself: Option<VarId>) -> (Cap, bool) {
        match source {
            Source::Local(var) if self.in_cell(var) => (Cap::Reg(self.register(var)), true),
            Source::Local(var) if itself == Some(var) => (Cap::Itself, false),
            Source::Local(var) => (Cap::Reg(self.register(var)), false),
            Source::Captured(index) => (Cap::Up(index), self.home.captures[usize::from(index)].cell),
        }
    }
}
