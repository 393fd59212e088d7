//! Statements and loops.
use super::SyntaxError;
use super::function::FunctionCode;
use crate::code::{MULTI, Op};
use crate::parse::ast::{Expr, FunctionId, Operand, Stmt, VarId};

impl FunctionCode<'_> {
    pub(super) fn statements(&mut self, stmts: &[Stmt]) -> Result<(), SyntaxError> {
        for stmt in stmts {
            self.statement(stmt)?;
            self.free = self.local_top;
            self.leaves =
                matches!(stmt, Stmt::Return { .. } | Stmt::Goto { .. } | Stmt::IfGoto { .. } | Stmt::ElseIfGoto { .. });
        }
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
            Stmt::Do
            | Stmt::While(_)
            | Stmt::Repeat { .. }
            | Stmt::If(_)
            | Stmt::IfGoto { .. }
            | Stmt::NumericFor(_)
            | Stmt::GenericFor(_) => self.open_block(stmt),
            Stmt::ArmEnd { .. } | Stmt::ElseIf(_) | Stmt::ElseIfGoto { .. } | Stmt::Else => self.next_arm(stmt),
            &Stmt::End { end_line } => {
                self.close_block(end_line);
                Ok(())
            }
            &Stmt::Until(condition) => self.until(condition),
            Stmt::Return { values, line } => self.return_statement(values, *line),
            &Stmt::Goto { label, line, .. } => {
                self.goto(label, line);
                Ok(())
            }
            &Stmt::Label(label) => {
                self.place_label(label);
                Ok(())
            }
        }
    }

    fn local_function(&mut self, var: VarId, function: FunctionId, line: u32) -> Result<(), SyntaxError> {
        let a = self.reserve(1)?;
        if self.in_cell(var) {
            // The closure captures the cell, so that must be there first.
            self.emit(Op::LoadNil { a, n: 1 }, line);
            self.declare(&[var], a as usize, line);
            let p = self.inner_function(function)?;
            let b = self.reserve(1)?;
            self.closure(b, p, function, None, line)?;
            self.emit(Op::SetCell { a, b }, line);
        } else {
            self.set_register(var, a);
            let p = self.inner_function(function)?;
            self.closure(a, p, function, Some(var), line)?;
            self.declare(&[var], a as usize, line);
        }
        Ok(())
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
