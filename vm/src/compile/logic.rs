//! The values of `and`, `or`, `not` and comparisons.
//!
//! All operands aim at one register. An operand that decides jumps to the common end with its value there; one that is a
//! comparison has no value anywhere yet and jumps to where `true` or `false` is loaded.
use super::SyntaxError;
use super::function::FunctionCode;
use crate::code::Op;
use crate::parse::ast::{Expr, ExprId, UnaryOp};

/// Jumps that wait for the end: the value is in place, or is still to be loaded.
#[derive(Default)]
struct Merge {
    done: Vec<usize>,
    yes: Vec<usize>,
    no: Vec<usize>,
}

/// What holds where the code goes on.
enum Fall {
    Value,
    False,
}

impl FunctionCode<'_> {
    /// Whether the expression's value is made by jumps: a comparison, or `not` of something made so.
    pub(super) fn is_condition(&self, e: ExprId) -> bool {
        match self.chunk.expr(e) {
            Expr::Chain(chain) => chain.steps.last().is_some_and(|step| step.op.is_comparison()),
            &Expr::Unary { op: UnaryOp::Not, operand, .. } => {
                self.is_condition(operand) || matches!(self.chunk.expr(operand), Expr::And(_) | Expr::Or(_))
            }
            _ => false,
        }
    }

    /// The value of an `and`, an `or` or a condition, into `d`; `d` may be written before the last operand is read.
    pub(super) fn logic_value(&mut self, e: ExprId, d: u8, line: u32) -> Result<(), SyntaxError> {
        let mut merge = Merge::default();
        let fall = self.settle(e, d, line, &mut merge)?;
        let falls_false = matches!(fall, Fall::False);
        if falls_false || !merge.yes.is_empty() || !merge.no.is_empty() {
            if !falls_false {
                merge.done.push(self.emit(Op::Jmp { off: 0 }, line));
            }
            if falls_false || !merge.no.is_empty() {
                self.patch_here(&merge.no);
                self.emit(Op::LoadBool { a: d, v: false }, line);
                if !merge.yes.is_empty() {
                    merge.done.push(self.emit(Op::Jmp { off: 0 }, line));
                }
            }
            if !merge.yes.is_empty() {
                self.patch_here(&merge.yes);
                self.emit(Op::LoadBool { a: d, v: true }, line);
            }
        }
        self.patch_here(&merge.done);
        Ok(())
    }

    fn settle(&mut self, e: ExprId, d: u8, line: u32, merge: &mut Merge) -> Result<Fall, SyntaxError> {
        let chunk = self.chunk;
        if let logic @ (Expr::And(operands) | Expr::Or(operands)) = chunk.expr(e)
            && let Some((last, others)) = operands.split_last()
        {
            let decisive = matches!(logic, Expr::Or(_));
            for operand in others {
                self.decide(operand.expr, d, decisive, operand.line, merge)?;
            }
            return self.settle(last.expr, d, last.line, merge);
        }
        if self.is_condition(e) {
            merge.yes.append(&mut self.jump_if(e, true, line)?);
            return Ok(Fall::False);
        }
        self.into(e, d, line)?;
        Ok(Fall::Value)
    }

    /// If the operand's truth is `decisive`, puts its value in `d` and jumps to the end; else goes on.
    fn decide(&mut self, e: ExprId, d: u8, decisive: bool, line: u32, merge: &mut Merge) -> Result<(), SyntaxError> {
        let chunk = self.chunk;
        if let Some(truth) = self.constant_truth(e) {
            if truth == decisive {
                self.into(e, d, line)?;
                merge.done.push(self.emit(Op::Jmp { off: 0 }, line));
            }
            return Ok(());
        }
        // `not` needs no value here: its operand is tested.
        let is_not = matches!(chunk.expr(e), Expr::Unary { op: UnaryOp::Not, .. });
        if is_not || self.is_condition(e) {
            let mut jumps = self.jump_if(e, decisive, line)?;
            if decisive {
                merge.yes.append(&mut jumps)
            } else {
                merge.no.append(&mut jumps)
            }
            return Ok(());
        }
        match chunk.expr(e) {
            logic @ (Expr::And(operands) | Expr::Or(operands)) => {
                let inner_decisive = matches!(logic, Expr::Or(_));
                let Some((last, others)) = operands.split_last() else { return Ok(()) };
                let mut on = Vec::new();
                for operand in others {
                    if inner_decisive == decisive {
                        self.decide(operand.expr, d, decisive, operand.line, merge)?;
                    } else {
                        on.append(&mut self.jump_if(operand.expr, inner_decisive, operand.line)?);
                    }
                }
                self.decide(last.expr, d, decisive, last.line, merge)?;
                self.patch_here(&on);
            }
            _ => {
                self.into(e, d, line)?;
                let op = if decisive { Op::JmpIf { a: d, off: 0 } } else { Op::JmpIfNot { a: d, off: 0 } };
                merge.done.push(self.emit(op, line));
            }
        }
        Ok(())
    }
}
