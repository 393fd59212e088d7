//! Conditions as jumps: comparisons fused with them, `not` folded into their sense.
use super::SyntaxError;
use super::expr::Value;
use super::function::FunctionCode;
use crate::code::{Const, Op};
use crate::parse::ast::{BinaryOp, Expr, ExprId, UnaryOp};

/// Writes the distance of a jump into it.
pub(super) fn set_offset(op: &mut Op, distance: i64) {
    let distance = i32::try_from(distance).unwrap_or(0);
    match op {
        Op::Jmp { off }
        | Op::Loop { off }
        | Op::JmpIf { off, .. }
        | Op::JmpIfNot { off, .. }
        | Op::JmpLt { off, .. }
        | Op::JmpNLt { off, .. }
        | Op::JmpLe { off, .. }
        | Op::JmpNLe { off, .. }
        | Op::JmpEq { off, .. }
        | Op::JmpNe { off, .. }
        | Op::JmpLtK { off, .. }
        | Op::JmpNLtK { off, .. }
        | Op::JmpLeK { off, .. }
        | Op::JmpNLeK { off, .. }
        | Op::JmpGtK { off, .. }
        | Op::JmpNGtK { off, .. }
        | Op::JmpGeK { off, .. }
        | Op::JmpNGeK { off, .. }
        | Op::JmpEqK { off, .. }
        | Op::JmpNeK { off, .. }
        | Op::ForPrep { off, .. }
        | Op::ForLoop { off, .. }
        | Op::ForUp { off, .. }
        | Op::ForInPrep { off, .. }
        | Op::ForInLoop { off, .. } => *off = distance,
        _ => {}
    }
}

impl FunctionCode<'_> {
    /// The truth of an expression that is a constant.
    pub(super) fn constant_truth(&self, e: ExprId) -> Option<bool> {
        match self.chunk.expr(e) {
            Expr::Nil | Expr::False => Some(false),
            Expr::True | Expr::Number(_) | Expr::Int64 { .. } | Expr::String(_) => Some(true),
            _ => None,
        }
    }

    /// Jumps if the expression's truth is `want`, else goes on. The result is the jumps, to be patched.
    pub(super) fn jump_if(&mut self, e: ExprId, want: bool, line: u32) -> Result<Vec<usize>, SyntaxError> {
        let chunk = self.chunk;
        if let Some(truth) = self.constant_truth(e) {
            return Ok(if truth == want { vec![self.emit(Op::Jmp { off: 0 }, line)] } else { Vec::new() });
        }
        match chunk.expr(e) {
            &Expr::Unary { op: UnaryOp::Not, operand, line } => self.jump_if(operand, !want, line),
            Expr::Paren(inner) => self.jump_if(inner.expr, want, inner.line),
            logic @ (Expr::And(operands) | Expr::Or(operands)) => {
                // The truth of one operand that decides the whole.
                let decisive = matches!(logic, Expr::Or(_));
                let mut jumps = Vec::new();
                if want == decisive {
                    for operand in operands {
                        jumps.append(&mut self.jump_if(operand.expr, want, operand.line)?);
                    }
                    return Ok(jumps);
                }
                let Some((last, others)) = operands.split_last() else { return Ok(jumps) };
                for operand in others {
                    jumps.append(&mut self.jump_if(operand.expr, decisive, operand.line)?);
                }
                let result = self.jump_if(last.expr, want, last.line)?;
                self.patch_here(&jumps);
                Ok(result)
            }
            Expr::Chain(chain) if chain.steps.last().is_some_and(|step| step.op.is_comparison()) => {
                let before = self.free;
                let Some((last, others)) = chain.steps.split_last() else { return Ok(Vec::new()) };
                let left = self.chain_value(chain.first, others)?;
                let jump = self.compare(left, last.op, last.right, want, last.line)?;
                self.free = before;
                Ok(vec![jump])
            }
            _ => {
                let before = self.free;
                let a = self.any(e, line)?;
                self.free = before;
                let op = if want { Op::JmpIf { a, off: 0 } } else { Op::JmpIfNot { a, off: 0 } };
                Ok(vec![self.emit(op, line)])
            }
        }
    }

    /// The constant that `e` is, if comparisons with `op` have a form for it.
    fn comparand(&mut self, e: ExprId, op: BinaryOp) -> Option<u16> {
        let equality = matches!(op, BinaryOp::Eq | BinaryOp::Ne);
        let constant = match *self.chunk.expr(e) {
            Expr::Number(n) => Const::Num(n.to_bits()),
            Expr::Nil if equality => Const::Nil,
            Expr::True if equality => Const::Bool(true),
            Expr::False if equality => Const::Bool(false),
            Expr::String(symbol) if equality => Const::Str(symbol),
            _ => return None,
        };
        self.narrow_constant(constant)
    }

    /// Jumps if `left op right` is `want`.
    pub(super) fn compare(
        &mut self,
        left: Value,
        op: BinaryOp,
        right: ExprId,
        want: bool,
        line: u32,
    ) -> Result<usize, SyntaxError> {
        if let Some(k) = self.comparand(right, op) {
            let a = self.load(left, line)?;
            return Ok(self.emit(with_constant(op, want, a, k), line));
        }
        if let Value::Constant(e) = left
            && let Some(k) = self.comparand(e, op)
        {
            let right = self.value(right, line)?;
            let a = self.load(right, line)?;
            return Ok(self.emit(with_constant(mirrored(op), want, a, k), line));
        }
        let left = if let Value::Constant(_) = left { Value::Register(self.load(left, line)?) } else { left };
        let right = self.value(right, line)?;
        let a = self.load(left, line)?;
        let b = self.load(right, line)?;
        let op = match (op, want) {
            (BinaryOp::Lt, true) => Op::JmpLt { a, b, off: 0 },
            (BinaryOp::Lt, false) => Op::JmpNLt { a, b, off: 0 },
            (BinaryOp::Le, true) => Op::JmpLe { a, b, off: 0 },
            (BinaryOp::Le, false) => Op::JmpNLe { a, b, off: 0 },
            (BinaryOp::Gt, true) => Op::JmpLt { a: b, b: a, off: 0 },
            (BinaryOp::Gt, false) => Op::JmpNLt { a: b, b: a, off: 0 },
            (BinaryOp::Ge, true) => Op::JmpLe { a: b, b: a, off: 0 },
            (BinaryOp::Ge, false) => Op::JmpNLe { a: b, b: a, off: 0 },
            (op, want) if (op == BinaryOp::Ne) == want => Op::JmpNe { a, b, off: 0 },
            _ => Op::JmpEq { a, b, off: 0 },
        };
        Ok(self.emit(op, line))
    }
}

/// The comparison that holds of `b, a` when `op` holds of `a, b`.
fn mirrored(op: BinaryOp) -> BinaryOp {
    match op {
        BinaryOp::Lt => BinaryOp::Gt,
        BinaryOp::Le => BinaryOp::Ge,
        BinaryOp::Gt => BinaryOp::Lt,
        BinaryOp::Ge => BinaryOp::Le,
        _ => op,
    }
}

fn with_constant(op: BinaryOp, want: bool, a: u8, k: u16) -> Op {
    let off = 0;
    match (op, want) {
        (BinaryOp::Lt, true) => Op::JmpLtK { a, k, off },
        (BinaryOp::Lt, false) => Op::JmpNLtK { a, k, off },
        (BinaryOp::Le, true) => Op::JmpLeK { a, k, off },
        (BinaryOp::Le, false) => Op::JmpNLeK { a, k, off },
        (BinaryOp::Gt, true) => Op::JmpGtK { a, k, off },
        (BinaryOp::Gt, false) => Op::JmpNGtK { a, k, off },
        (BinaryOp::Ge, true) => Op::JmpGeK { a, k, off },
        (BinaryOp::Ge, false) => Op::JmpNGeK { a, k, off },
        (op, want) if (op == BinaryOp::Ne) == want => Op::JmpNeK { a, k, off },
        _ => Op::JmpEqK { a, k, off },
    }
}
