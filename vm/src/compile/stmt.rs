//! Statements and loops.
use super::SyntaxError;
use super::function::FunctionCode;
use crate::code::{Const, MULTI, Op, VarName};
use crate::parse::ast::{Block, Expr, FunctionId, GenericFor, LabelId, NumericFor, Operand, Stmt, VarId};

impl FunctionCode<'_> {
    pub(super) fn statements(&mut self, stmts: &[Stmt]) -> Result<(), SyntaxError> {
        for stmt in stmts {
            self.statement(stmt)?;
            self.free = self.local_top;
        }
        Ok(())
    }

    fn block(&mut self, block: &Block) -> Result<(), SyntaxError> {
        let keep = self.active_locals();
        self.statements(&block.stmts)?;
        self.forget_locals(keep);
        Ok(())
    }

    fn statement(&mut self, stmt: &Stmt) -> Result<(), SyntaxError> {
        match stmt {
            &Stmt::Call(e) => self.multi(e, 0, 0),
            Stmt::Local { vars, values, line } => {
                let first = self.free;
                self.list_of(values, vars.len(), *line)?;
                self.declare(vars, first, *line);
                Ok(())
            }
            &Stmt::LocalFunction { var, function, line } => self.local_function(var, function, line),
            &Stmt::Function { target, function, function_line, line } => {
                self.assign_function(target, function, function_line, line)
            }
            &Stmt::Assign { target, value, line } => self.assign(target, value, line),
            Stmt::AssignMany { targets, values, line } => self.assign_many(targets, values, *line),
            Stmt::Do(block) => self.block(block),
            Stmt::While { condition, body, exit } => {
                let endless = self.constant_truth(condition.expr) == Some(true);
                let top = if endless { self.come_by(condition.line) } else { self.here() };
                let out = self.jump_if(condition.expr, false, condition.line)?;
                self.block(body)?;
                let line = if endless { self.line_again(top, condition.line, body.end_line) } else { body.end_line };
                self.emit_loop(top, line);
                self.patch_here(&out);
                self.place_label(*exit);
                Ok(())
            }
            Stmt::Repeat { body, exit, line } => {
                let (body, condition) = &**body;
                let top = self.come_by(*line);
                let keep = self.active_locals();
                self.statements(&body.stmts)?;
                let out = self.jump_if(condition.expr, true, condition.line)?;
                let line = self.line_again(top, *line, condition.line);
                self.emit_loop(top, line);
                self.forget_locals(keep);
                self.patch_here(&out);
                self.place_label(*exit);
                Ok(())
            }
            Stmt::If { arms, otherwise } => self.if_statement(arms, otherwise.as_deref()),
            Stmt::NumericFor(stmt) => self.numeric_for(stmt),
            Stmt::GenericFor(stmt) => self.generic_for(stmt),
            Stmt::Return { values, line } => self.return_statement(values, *line),
            &Stmt::Goto { label, line } => {
                self.goto(label, line);
                Ok(())
            }
            &Stmt::Label(label) => {
                self.place_label(label);
                Ok(())
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

    fn goto(&mut self, label: LabelId, line: u32) {
        let (label, place) = self.label(label);
        match place {
            Some(place) => self.emit_loop(place, line),
            None => {
                let at = self.emit(Op::Jmp { off: 0 }, line);
                self.patch_later(at, label);
            }
        }
    }

    fn local_function(&mut self, var: VarId, function: FunctionId, line: u32) -> Result<(), SyntaxError> {
        let a = self.reserve(1)?;
        if self.in_cell(var) {
            // The closure captures the cell, so that must be there first.
            self.emit(Op::LoadNil { a, n: 1 }, line);
            self.declare(&[var], a as usize, line);
            let p = self.inner_function(function, None)?;
            let b = self.reserve(1)?;
            self.emit(Op::Closure { a: b, p }, line);
            self.emit(Op::SetCell { a, b }, line);
        } else {
            self.set_register(var, a);
            let p = self.inner_function(function, Some(var))?;
            self.emit(Op::Closure { a, p }, line);
            self.declare(&[var], a as usize, line);
        }
        Ok(())
    }

    fn if_statement(&mut self, arms: &[(Operand, Block)], otherwise: Option<&Block>) -> Result<(), SyntaxError> {
        let mut ends = Vec::new();
        for (i, (condition, body)) in arms.iter().enumerate() {
            // `if condition then break end` is one jump.
            if let [Stmt::Goto { label: own, line }] = body.stmts[..]
                && line == condition.line
                && let (label, None) = self.label(own)
                // (else a goto out of this piece of the function: it may turn out to go back, which has to cost fuel)
                && label != own
            {
                for at in self.jump_if(condition.expr, true, condition.line)? {
                    self.patch_later(at, label);
                }
                continue;
            }
            let next = self.jump_if(condition.expr, false, condition.line)?;
            self.block(body)?;
            let last = i + 1 == arms.len() && otherwise.is_none();
            if !last && !matches!(body.stmts.last(), Some(Stmt::Return { .. } | Stmt::Goto { .. })) {
                ends.push(self.emit(Op::Jmp { off: 0 }, body.end_line));
            }
            self.patch_here(&next);
        }
        if let Some(body) = otherwise {
            self.block(body)?;
        }
        self.patch_here(&ends);
        Ok(())
    }

    fn numeric_for(&mut self, stmt: &NumericFor) -> Result<(), SyntaxError> {
        let keep = self.active_locals();
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
        self.show_hidden(0, base);
        let prepare = self.emit(Op::ForPrep { a, off: 0 }, stmt.check_line);
        let top = self.here();
        let inner = self.active_locals();
        self.reserve(1)?;
        self.declare(&[stmt.var], base + 3, stmt.check_line);
        self.statements(&stmt.body.stmts)?;
        self.forget_locals(inner);
        let up = match stmt.step {
            None => true,
            Some(step) => matches!(*self.chunk.expr(step.expr), Expr::Number(n) if n > 0.0),
        };
        let end = self.emit(if up { Op::ForUp { a, off: 0 } } else { Op::ForLoop { a, off: 0 } }, stmt.line);
        self.patch(end, top);
        self.patch_here(&[prepare]);
        self.forget_locals(keep);
        self.place_label(stmt.exit);
        Ok(())
    }

    fn generic_for(&mut self, stmt: &GenericFor) -> Result<(), SyntaxError> {
        let keep = self.active_locals();
        let base = self.free;
        let a = base as u8;
        self.list_of(&stmt.values, 3, stmt.check_line)?;
        self.show_hidden(1, base);
        self.reserve(1)?;
        let prepare = self.emit(Op::ForInPrep { a, off: 0 }, stmt.check_line);
        let top = self.here();
        let inner = self.active_locals();
        self.reserve(stmt.vars.len())?;
        // The call's own function and arguments need three.
        self.will_use(base + 4 + stmt.vars.len().max(3))?;
        self.declare(&stmt.vars, base + 4, stmt.check_line);
        self.statements(&stmt.body.stmts)?;
        self.forget_locals(inner);
        self.patch_here(&[prepare]);
        self.emit(Op::ForInCall { a, n: stmt.vars.len() as u8 }, stmt.line);
        let end = self.emit(Op::ForInLoop { a, off: 0 }, stmt.line);
        self.patch(end, top);
        self.forget_locals(keep);
        self.place_label(stmt.exit);
        Ok(())
    }

    fn show_hidden(&mut self, kind: usize, base: usize) {
        let names = HIDDEN.with(|names| names[kind].clone());
        for (i, name) in names.into_iter().enumerate() {
            self.show_local(name, base + i, false);
        }
    }

    fn return_statement(&mut self, values: &[Operand], line: u32) -> Result<(), SyntaxError> {
        let chunk = self.chunk;
        let a = self.free as u8;
        match values {
            [] => {
                self.emit(Op::Return0 {}, line);
            }
            [value] if !self.is_multi(value.expr) => {
                let a = self.any(value.expr, value.line)?;
                self.emit(Op::Return1 { a }, line);
            }
            [value] if matches!(chunk.expr(value.expr), Expr::Suffixed { .. }) => {
                self.multi(value.expr, MULTI, value.line)?;
                self.call_to_tail_call(line);
            }
            _ => {
                let n = self.list(values)?;
                self.emit(Op::Return { a, n }, line);
            }
        }
        Ok(())
    }
}

thread_local! {
    /// The names of a loop's own registers, numeric and generic.
    static HIDDEN: [[VarName; 3]; 2] = [
        ["(for index)", "(for limit)", "(for step)"],
        ["(for generator)", "(for state)", "(for control)"],
    ]
    .map(|names| names.map(|name| VarName::new(name.as_bytes().into())));
}
