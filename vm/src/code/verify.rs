//! Checks what the interpreter takes for granted about compiled functions, for tests and debug builds.
//!
//! The interpreter addresses registers, constants and captures without looking; so the compiler must never make an
//! instruction that reaches outside its function. This is where that is written down.
use std::cell::Cell;
use std::collections::BTreeSet;

use super::{Cap, Chunk, Const, DebugInfo, MULTI, Op, Proto};

/// What is wrong with a function of the chunk, if anything is.
pub fn verify(chunk: &Chunk) -> Result<(), String> {
    function(&chunk.main, &[], &chunk.debug)
}

fn function(proto: &Proto, captures: &[Cell<Op>], debug: &DebugInfo) -> Verdict {
    let check = Check { proto, captures, debug };
    check.whole()?;
    for (at, op) in proto.code.iter().enumerate() {
        let op = op.get();
        check.instruction(at, &op).map_err(|what| format!("{at}: {op:?}: {what}"))?;
    }
    let made: BTreeSet<u16> = proto.code.iter().filter_map(|op| op.get().makes()).collect();
    if made.len() != proto.protos.len() || proto.inner().count() != made.len() {
        return Err("not one closure for each function".to_string());
    }
    proto.inner().try_for_each(|(inner, captures)| function(inner, captures, debug))
}

struct Check<'p> {
    proto: &'p Proto,
    captures: &'p [Cell<Op>],
    debug: &'p DebugInfo,
}

type Verdict = Result<(), String>;

impl Check<'_> {
    fn whole(&self) -> Verdict {
        let p = self.proto;
        let info = p.info(self.debug);
        if info.lines().count() != p.code.len() {
            return Err("not one line for each instruction".to_string());
        }
        if p.max_stack > 250 || p.params > p.max_stack {
            return Err(format!("{} registers, {} parameters", p.max_stack, p.params));
        }
        for local in info.locals() {
            self.registers(local.reg, 1)?;
            if local.start > local.end || local.end as usize > p.code.len() {
                return Err(format!("a local lives from {} to {}", local.start, local.end));
            }
        }
        match p.code.last().map(|op| op.get()) {
            Some(Op::Return0 {}) => Ok(()),
            _ => Err("does not end in Return0".to_string()),
        }
    }

    fn registers(&self, first: u8, count: usize) -> Verdict {
        if first as usize + count <= self.proto.max_stack as usize {
            return Ok(());
        }
        Err(format!("r{first} and on, {count} in all, of {}", self.proto.max_stack))
    }

    /// `MULTI` reaches as far as `top`, which the interpreter looks after.
    fn list(&self, first: u8, count: u8) -> Verdict {
        self.registers(first, if count == MULTI { 0 } else { count as usize })
    }

    fn capture(&self, u: u8, cell: bool) -> Verdict {
        match self.captures.get(u as usize).map(Cell::get) {
            Some(Op::Capture { cell: is_cell, .. }) if is_cell == cell => Ok(()),
            Some(_) => Err(format!("u{u} is a cell or not")),
            None => Err(format!("no u{u}")),
        }
    }

    fn constant(&self, k: usize, kind: fn(&Const) -> bool) -> Verdict {
        match self.proto.consts.get(k) {
            Some(constant) if kind(constant) => Ok(()),
            Some(_) => Err(format!("k{k} is of a wrong type")),
            None => Err(format!("no k{k}")),
        }
    }

    fn string(&self, k: u16) -> Verdict {
        self.constant(k as usize, |constant| matches!(constant, Const::Str(_)))
    }

    fn number(&self, k: u16) -> Verdict {
        self.constant(k as usize, |constant| matches!(constant, Const::Num(_)))
    }

    fn jump(&self, at: usize, off: i32) -> Verdict {
        let to = at as i64 + 1 + i64::from(off);
        if (0..self.proto.code.len() as i64).contains(&to) { Ok(()) } else { Err(format!("jumps to {to}")) }
    }

    fn instruction(&self, at: usize, op: &Op) -> Verdict {
        let r = |first: u8| self.registers(first, 1);
        match *op {
            Op::Move { a, b } | Op::GetCell { a, b } | Op::SetCell { a, b } => r(a).and(r(b)),
            Op::Unm { a, b } | Op::Not { a, b } | Op::Len { a, b } => r(a).and(r(b)),
            Op::LoadK { a, k } => r(a).and(self.constant(k as usize, |_| true)),
            Op::LoadNil { a, n } => self.registers(a, n as usize),
            Op::LoadBool { a, .. } | Op::NewCell { a } | Op::NewTable { a, .. } | Op::Return1 { a } => r(a),
            Op::GetUp { a, u } => r(a).and(self.capture(u, false)),
            Op::GetUpC { a, u } | Op::SetUpC { u, a } => r(a).and(self.capture(u, true)),
            Op::GetGlobal { a, k, .. } | Op::SetGlobal { a, k, .. } => r(a).and(self.string(k)),
            Op::GetTab { a, b, c } | Op::SetTab { a, b, c } => r(a).and(r(b)).and(r(c)),
            Op::Add { a, b, c } | Op::Sub { a, b, c } | Op::Mul { a, b, c } => r(a).and(r(b)).and(r(c)),
            Op::Div { a, b, c } | Op::Mod { a, b, c } | Op::Pow { a, b, c } => r(a).and(r(b)).and(r(c)),
            Op::GetInt { a, b, .. } | Op::SetInt { a, b, .. } => r(a).and(r(b)),
            Op::GetField { a, b, k, .. } | Op::SetField { a, b, k, .. } => r(a).and(r(b)).and(self.string(k)),
            Op::SelfField { a, b, k, .. } => self.registers(a, 2).and(r(b)).and(self.string(k)),
            Op::AddK { a, b, k } | Op::SubK { a, b, k } | Op::MulK { a, b, k } => r(a).and(r(b)).and(self.number(k)),
            Op::DivK { a, b, k } | Op::ModK { a, b, k } => r(a).and(r(b)).and(self.number(k)),
            Op::Concat { a, b, n } => r(a).and(self.registers(b, n as usize)),
            Op::Jmp { off } => self.jump(at, off),
            Op::Loop { off } if off >= 0 => Err("a loop goes backwards".to_string()),
            Op::Loop { off } => self.jump(at, off),
            Op::JmpIf { a, off } | Op::JmpIfNot { a, off } => r(a).and(self.jump(at, off)),
            Op::JmpLt { a, b, off } | Op::JmpNLt { a, b, off } | Op::JmpLe { a, b, off } | Op::JmpNLe { a, b, off } => {
                r(a).and(r(b)).and(self.jump(at, off))
            }
            Op::JmpEq { a, b, off } | Op::JmpNe { a, b, off } => r(a).and(r(b)).and(self.jump(at, off)),
            Op::JmpLtK { a, k, off }
            | Op::JmpNLtK { a, k, off }
            | Op::JmpLeK { a, k, off }
            | Op::JmpNLeK { a, k, off }
            | Op::JmpGtK { a, k, off }
            | Op::JmpNGtK { a, k, off }
            | Op::JmpGeK { a, k, off }
            | Op::JmpNGeK { a, k, off } => r(a).and(self.number(k)).and(self.jump(at, off)),
            Op::JmpEqK { a, k, off } | Op::JmpNeK { a, k, off } => r(a)
                .and(self.constant(k as usize, |constant| !matches!(constant, Const::Int64 { .. })))
                .and(self.jump(at, off)),
            Op::ForPrep { a, off } | Op::ForLoop { a, off } | Op::ForUp { a, off } => {
                self.registers(a, 4).and(self.jump(at, off))
            }
            Op::ForInPrep { a, off } => {
                let call = self.proto.code.get((at as i64 + 1 + i64::from(off)) as usize).map(|op| op.get());
                match call {
                    Some(Op::ForInCall { a: base, .. }) if base == a => self.registers(a, 4),
                    _ => Err("does not lead to its loop's call".to_string()),
                }
            }
            // The call's function and two arguments also go to R[a+4] and on.
            Op::ForInCall { a, n } => match self.proto.code.get(at + 1).map(|op| op.get()) {
                Some(Op::ForInLoop { a: base, .. }) if base == a => self.registers(a, 4 + usize::from(n.max(3))),
                _ => Err("is not followed by its loop's end".to_string()),
            },
            Op::ForInLoop { a, off } => self.registers(a, 5).and(self.jump(at, off)),
            Op::Call { a, nargs, nret } => r(a).and(self.after(a, nargs)).and(self.list(a, nret)),
            Op::TailCall { a, nargs } => r(a).and(self.after(a, nargs)),
            Op::Return { a, n } | Op::Vararg { a, n } => self.list(a, n),
            Op::Return0 {} => Ok(()),
            Op::Closure { a, p } => match self.proto.protos.get(p as usize) {
                Some(inner) => {
                    let captures = self.proto.code.iter().skip(at + 1).take(usize::from(inner.captures));
                    let is_capture = |op: &Cell<Op>| matches!(op.get(), Op::Capture { .. });
                    let count = captures.take_while(|op| is_capture(op)).count();
                    if count == usize::from(inner.captures) { r(a) } else { Err(format!("{count} captures")) }
                }
                None => Err(format!("no p{p}")),
            },
            Op::Capture { cap: Cap::Reg(a), .. } => r(a),
            Op::Capture { cap: Cap::Up(u), cell } => self.capture(u, cell),
            Op::Capture { cap: Cap::Itself, cell: false } => Ok(()),
            Op::Capture { cap: Cap::Itself, cell: true } => Err("a closure is no cell".to_string()),
            Op::SetList { a, n, .. } => r(a).and(self.after(a, n)),
        }
    }

    /// `count` registers above `a`.
    fn after(&self, a: u8, count: u8) -> Verdict {
        self.registers(a, if count == MULTI { 1 } else { 1 + count as usize })
    }
}
