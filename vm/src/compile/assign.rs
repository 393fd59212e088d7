//! Assignments: all targets' tables and keys are evaluated first, then the values, then the stores, the last one first.
use super::SyntaxError;
use super::expr::{Key, Value};
use super::function::FunctionCode;
use crate::code::Op;
use crate::parse::ast::{Expr, ExprId, FunctionId, Item, Operand, Suffix, VarId};

/// How much of an expression is searched for a variable before giving up.
const SEARCH_BUDGET: usize = 64;

/// Somewhere to store to.
enum Place {
    Local(VarId, u8),
    Cell(u8),
    Captured(u8),
    Global(u16),
    Element { table: Value, key: Key },
}

impl FunctionCode<'_> {
    pub(super) fn assign(&mut self, target: ExprId, value: ExprId, line: u32) -> Result<(), SyntaxError> {
        let place = self.place(target, &[])?;
        self.assign_to(place, value, line)
    }

    pub(super) fn assign_function(
        &mut self,
        target: ExprId,
        function: FunctionId,
        function_line: u32,
        line: u32,
    ) -> Result<(), SyntaxError> {
        let place = self.place(target, &[])?;
        let p = self.inner_function(function)?;
        if let Place::Local(_, a) = place {
            self.closure(a, p, function, None, function_line)?;
            return Ok(());
        }
        let a = self.reserve(1)?;
        self.closure(a, p, function, None, function_line)?;
        self.store(place, a, line)
    }

    pub(super) fn assign_many(&mut self, targets: &[ExprId], values: &[Operand], line: u32) -> Result<(), SyntaxError> {
        // A local that is assigned here and also used in a target must be read before it is assigned.
        let chunk = self.chunk;
        let mut assigned = Vec::new();
        for &target in targets {
            if let &Expr::Local(var) = chunk.expr(target)
                && !self.in_cell(var)
            {
                assigned.push(self.register(var));
            }
        }
        let mut places = Vec::with_capacity(targets.len());
        for &target in targets {
            let place = self.place(target, &assigned)?;
            places.push(self.pinned(place, &assigned, line)?);
        }
        let first = self.free;
        match values.split_last() {
            Some((last, others)) if values.len() == targets.len() => {
                for value in others {
                    self.expr(value.expr, None, value.line)?;
                }
                if let Some(place) = places.pop() {
                    let keep = self.free;
                    self.assign_to(place, last.expr, line)?;
                    self.free = keep;
                }
            }
            _ => self.list_of(values, targets.len(), line)?,
        }
        while let Some(place) = places.pop() {
            let keep = self.free;
            self.store(place, (first + places.len()) as u8, line)?;
            self.free = keep;
        }
        Ok(())
    }

    /// Evaluates what leads to the target. What stays in a local of `assigned` is for `pinned` to copy.
    fn place(&mut self, target: ExprId, assigned: &[u8]) -> Result<Place, SyntaxError> {
        let chunk = self.chunk;
        match chunk.expr(target) {
            &Expr::Local(var) if self.in_cell(var) => Ok(Place::Cell(self.register(var))),
            &Expr::Local(var) => Ok(Place::Local(var, self.register(var))),
            &Expr::Captured(u) => Ok(Place::Captured(u)),
            &Expr::Global(name) => Ok(Place::Global(self.global_name(name)?)),
            Expr::Suffixed { base, suffixes } => {
                let Some((last, others)) = suffixes.split_last() else { return Err(self.error("syntax error")) };
                let line = last.base_line();
                let mut table = if others.is_empty() {
                    self.value(*base, line)?
                } else {
                    Value::Register(self.suffixed(*base, others, None, line, 1)?)
                };
                if let Value::Register(b) = table
                    && assigned.contains(&b)
                {
                    table = self.copied(b, line)?;
                }
                let key = match last {
                    Suffix::Field { name, .. } => self.field_key(*name, line)?,
                    Suffix::Index { key, .. } => self.key(*key)?,
                    _ => return Err(self.error("syntax error")),
                };
                Ok(Place::Element { table, key })
            }
            _ => Err(self.error("syntax error")),
        }
    }

    fn copied(&mut self, b: u8, line: u32) -> Result<Value, SyntaxError> {
        let a = self.reserve(1)?;
        self.emit(Op::Move { a, b }, line);
        Ok(Value::Register(a))
    }

    /// The same place, unaffected by the stores that come before its own.
    fn pinned(&mut self, place: Place, assigned: &[u8], line: u32) -> Result<Place, SyntaxError> {
        let Place::Element { table, key } = place else { return Ok(place) };
        let table = self.pin(table, assigned, line)?;
        let key = match key {
            Key::Value(value) => Key::Value(self.pin(value, assigned, line)?),
            key => key,
        };
        Ok(Place::Element { table, key })
    }

    fn pin(&mut self, value: Value, assigned: &[u8], line: u32) -> Result<Value, SyntaxError> {
        match value {
            Value::Register(r) if assigned.contains(&r) => self.copied(r, line),
            Value::Register(_) => Ok(value),
            _ => Ok(Value::Register(self.load(value, line)?)),
        }
    }

    fn assign_to(&mut self, place: Place, value: ExprId, line: u32) -> Result<(), SyntaxError> {
        if let Place::Local(var, a) = place
            && !self.reads_late(value, var)
        {
            self.expr(value, Some(a), line)?;
            return Ok(());
        }
        let b = self.any(value, line)?;
        self.store(place, b, line)
    }

    fn store(&mut self, place: Place, b: u8, line: u32) -> Result<(), SyntaxError> {
        match place {
            Place::Local(_, a) if a == b => {}
            Place::Local(_, a) => {
                self.emit(Op::Move { a, b }, line);
            }
            Place::Cell(a) => {
                self.emit(Op::SetCell { a, b }, line);
            }
            Place::Captured(u) => {
                self.emit(Op::SetUpC { u, a: b }, line);
            }
            Place::Global(k) => {
                self.emit(Op::SetGlobal { a: b, k, ic: 0 }, line);
            }
            Place::Element { table, key } => {
                let a = self.load(table, line)?;
                self.emit_set(a, key, b, line)?;
            }
        }
        Ok(())
    }

    /// Whether the value reads the variable after its register may have been written: only `and` and `or` write early.
    fn reads_late(&self, value: ExprId, var: VarId) -> bool {
        let mut budget = SEARCH_BUDGET;
        match self.chunk.expr(value) {
            Expr::And(operands) | Expr::Or(operands) => {
                // A nested first operand may itself write early.
                let first_writes = operands
                    .first()
                    .is_some_and(|first| matches!(self.chunk.expr(first.expr), Expr::And(_) | Expr::Or(_)));
                operands
                    .iter()
                    .skip(usize::from(!first_writes))
                    .any(|operand| self.mentions(operand.expr, var, &mut budget))
            }
            Expr::Paren(inner) => self.reads_late(inner.expr, var),
            _ => false,
        }
    }

    /// Whether the variable occurs in the expression, or too much would have to be searched.
    fn mentions(&self, e: ExprId, var: VarId, budget: &mut usize) -> bool {
        if *budget == 0 {
            return true;
        }
        *budget -= 1;
        match self.chunk.expr(e) {
            Expr::Local(other) => *other == var,
            Expr::Nil
            | Expr::True
            | Expr::False
            | Expr::Number(_)
            | Expr::Int64 { .. }
            | Expr::String(_)
            | Expr::Vararg
            | Expr::Captured(_)
            | Expr::Global(_)
            | Expr::Function(_) => false,
            // (not read yet)
            Expr::LongTable(..) => true,
            Expr::Table(items, _) => items.iter().any(|item| match item {
                Item::Positional(value) | Item::Named { value, .. } => self.mentions(value.expr, var, budget),
                Item::Keyed { key, value } => {
                    self.mentions(key.expr, var, budget) || self.mentions(value.expr, var, budget)
                }
            }),
            Expr::Suffixed { base, suffixes } => {
                self.mentions(*base, var, budget)
                    || suffixes.iter().any(|suffix| match suffix {
                        Suffix::Field { .. } => false,
                        Suffix::Index { key, .. } => self.mentions(key.expr, var, budget),
                        Suffix::Call { args, .. } | Suffix::Method { args, .. } => {
                            args.iter().any(|arg| self.mentions(arg.expr, var, budget))
                        }
                    })
            }
            Expr::Chain(chain) => {
                self.mentions(chain.first.expr, var, budget)
                    || chain.steps.iter().any(|step| self.mentions(step.right, var, budget))
            }
            Expr::Concat { reversed: operands, .. } | Expr::And(operands) | Expr::Or(operands) => {
                operands.iter().any(|operand| self.mentions(operand.expr, var, budget))
            }
            Expr::Unary { operand, .. } => self.mentions(*operand, var, budget),
            Expr::Paren(inner) => self.mentions(inner.expr, var, budget),
        }
    }
}
