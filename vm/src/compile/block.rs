//! Blocks. Their statements come one by one, so what an end needs to know of its beginning waits in a list.
use super::SyntaxError;
use super::function::FunctionCode;
use crate::code::{Const, Op, VarName};
use crate::parse::ast::{Expr, GenericFor, LabelId, NumericFor, Operand, Stmt};

/// A block that has begun: how many locals were in view around it, and what its kind needs.
pub(super) struct Open {
    keep: usize,
    kind: Kind,
}

enum Kind {
    Do,
    /// Where the loop goes back to, the jumps out of it, and the condition's line if it is always true.
    While {
        top: usize,
        out: Vec<usize>,
        endless: Option<u32>,
    },
    Repeat {
        top: usize,
        line: u32,
    },
    /// The jumps to the next arm, and those to the end.
    If {
        next: Vec<usize>,
        ends: Vec<usize>,
    },
    /// `inner`: the locals in view but for the loop's own variables.
    NumericFor {
        inner: usize,
        a: u8,
        up: bool,
        prepare: usize,
        line: u32,
    },
    GenericFor {
        inner: usize,
        a: u8,
        n: u8,
        prepare: usize,
        line: u32,
    },
}

impl FunctionCode<'_> {
    pub(super) fn open_block(&mut self, stmt: &Stmt) -> Result<(), SyntaxError> {
        let keep = self.active_locals();
        let kind = match stmt {
            &Stmt::While(condition) => {
                let endless = (self.constant_truth(condition.expr) == Some(true)).then_some(condition.line);
                let top = if endless.is_some() { self.come_by(condition.line) } else { self.here() };
                Kind::While { top, out: self.jump_if(condition.expr, false, condition.line)?, endless }
            }
            &Stmt::Repeat { line } => Kind::Repeat { top: self.come_by(line), line },
            &Stmt::If(condition) => {
                let next = self.jump_if(condition.expr, false, condition.line)?;
                Kind::If { next, ends: Vec::new() }
            }
            &Stmt::IfGoto { condition, label, line, back } => {
                Kind::If { next: self.condition_and_jump(condition, label, line, back)?, ends: Vec::new() }
            }
            Stmt::NumericFor(stmt) => self.numeric_for(stmt)?,
            Stmt::GenericFor(stmt) => self.generic_for(stmt)?,
            _ => Kind::Do,
        };
        self.open.push(Open { keep, kind });
        Ok(())
    }

    /// The end of an `if`'s arm, and the beginning of another.
    pub(super) fn next_arm(&mut self, stmt: &Stmt) -> Result<(), SyntaxError> {
        let Some(Open { keep, kind: Kind::If { mut next, mut ends } }) = self.open.pop() else {
            return Ok(());
        };
        match *stmt {
            Stmt::ArmEnd { end_line } => {
                self.forget_locals(keep);
                if !self.leaves {
                    ends.push(self.emit(Op::Jmp { off: 0 }, end_line));
                }
                self.patch_here(&std::mem::take(&mut next));
            }
            Stmt::ElseIf(condition) => next = self.jump_if(condition.expr, false, condition.line)?,
            Stmt::ElseIfGoto { condition, label, line, back } => {
                next = self.condition_and_jump(condition, label, line, back)?;
            }
            _ => {}
        }
        self.open.push(Open { keep, kind: Kind::If { next, ends } });
        Ok(())
    }

    pub(super) fn close_block(&mut self, end_line: u32) {
        let Some(Open { keep, kind }) = self.open.pop() else { return };
        if let Kind::NumericFor { inner, .. } | Kind::GenericFor { inner, .. } = kind {
            self.forget_locals(inner);
        } else {
            self.forget_locals(keep);
        }
        match kind {
            // (`until` ends a `repeat`)
            Kind::Do | Kind::Repeat { .. } => {}
            Kind::While { top, out, endless } => {
                let line = endless.map_or(end_line, |line| self.line_again(top, line, end_line));
                self.emit_loop(top, line);
                self.patch_here(&out);
            }
            Kind::If { next, ends } => {
                self.patch_here(&next);
                self.patch_here(&ends);
            }
            Kind::NumericFor { a, up, prepare, line, .. } => {
                let end = self.emit(if up { Op::ForUp { a, off: 0 } } else { Op::ForLoop { a, off: 0 } }, line);
                self.patch(end, prepare + 1);
                self.patch_here(&[prepare]);
                self.forget_locals(keep);
            }
            Kind::GenericFor { a, n, prepare, line, .. } => {
                self.patch_here(&[prepare]);
                self.emit(Op::ForInCall { a, n }, line);
                let end = self.emit(Op::ForInLoop { a, off: 0 }, line);
                self.patch(end, prepare + 1);
                self.forget_locals(keep);
            }
        }
    }

    pub(super) fn until(&mut self, condition: Operand) -> Result<(), SyntaxError> {
        let Some(Open { keep, kind: Kind::Repeat { top, line } }) = self.open.pop() else { return Ok(()) };
        let out = self.jump_if(condition.expr, true, condition.line)?;
        let line = self.line_again(top, line, condition.line);
        self.emit_loop(top, line);
        self.forget_locals(keep);
        self.patch_here(&out);
        Ok(())
    }

    /// `if condition then goto label`: one jump, unless it goes back, which has to cost fuel. The result is the jumps past it.
    fn condition_and_jump(
        &mut self,
        condition: Operand,
        label: LabelId,
        line: u32,
        back: bool,
    ) -> Result<Vec<usize>, SyntaxError> {
        let forward = !back && self.label(label).is_none();
        let jumps = self.jump_if(condition.expr, forward && line == condition.line, condition.line)?;
        if forward && line == condition.line {
            for at in jumps {
                self.patch_later(at, label);
            }
            return Ok(Vec::new());
        }
        self.goto(label, line);
        Ok(jumps)
    }

    pub(super) fn goto(&mut self, label: LabelId, line: u32) {
        match self.label(label) {
            Some(place) => self.emit_loop(place, line),
            None => {
                let at = self.emit(Op::Jmp { off: 0 }, line);
                self.patch_later(at, label);
            }
        }
    }

    /// A loop without code at its start: its line is one to come by all the same, as in LuaJIT, for those who watch lines: here
    /// once, and then with the jump back. The result is where that goes.
    fn come_by(&mut self, line: u32) -> usize {
        let start = self.emit(Op::Jmp { off: 0 }, line);
        self.patch_here(&[start]);
        self.here()
    }

    /// The line of the jump back to `top`: the loop's own, unless what stands there belongs to it.
    fn line_again(&self, top: usize, line: u32, end_line: u32) -> u32 {
        if self.line_at(top) == Some(line) { end_line } else { line }
    }

    fn numeric_for(&mut self, stmt: &NumericFor) -> Result<Kind, SyntaxError> {
        let base = self.free;
        let a = base as u8;
        self.expr(stmt.start.expr, None, stmt.start.line)?;
        self.expr(stmt.limit.expr, None, stmt.limit.line)?;
        match stmt.step {
            Some(step) => {
                self.expr(step.expr, None, step.line)?;
            }
            None => {
                let a = self.reserve(1)?;
                let k = self.wide_constant(Const::Num(1f64.to_bits()));
                self.emit(Op::LoadK { a, k }, stmt.limit.line);
            }
        }
        self.show_hidden(VarName::NUMERIC_FOR, base);
        let prepare = self.emit(Op::ForPrep { a, off: 0 }, stmt.check_line);
        let inner = self.active_locals();
        self.reserve(1)?;
        self.declare(&[stmt.var], base + 3, stmt.check_line);
        let up = match stmt.step {
            None => true,
            Some(step) => matches!(*self.chunk.expr(step.expr), Expr::Number(n) if n > 0.0),
        };
        Ok(Kind::NumericFor { inner, a, up, prepare, line: stmt.line })
    }

    fn generic_for(&mut self, stmt: &GenericFor) -> Result<Kind, SyntaxError> {
        let base = self.free;
        let (a, n) = (base as u8, stmt.vars.len() as u8);
        self.list_of(&stmt.values, 3, stmt.check_line)?;
        self.show_hidden(VarName::GENERIC_FOR, base);
        self.reserve(1)?;
        let prepare = self.emit(Op::ForInPrep { a, off: 0 }, stmt.check_line);
        let inner = self.active_locals();
        self.reserve(stmt.vars.len())?;
        // The call's own function and arguments need three.
        self.will_use(base + 4 + stmt.vars.len().max(3))?;
        self.declare(&stmt.vars, base + 4, stmt.check_line);
        Ok(Kind::GenericFor { inner, a, n, prepare, line: stmt.line })
    }

    fn show_hidden(&mut self, names: [VarName; 3], base: usize) {
        for (i, name) in names.into_iter().enumerate() {
            self.show_local(name, base + i, false);
        }
    }
}
