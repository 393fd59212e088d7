//! Expressions into registers.
use super::SyntaxError;
use super::function::FunctionCode;
use crate::code::{Const, MULTI, Op};
use crate::lex::names::Symbol;
use crate::parse::ast::{BinaryOp, Expr, ExprId, Operand, Step, Suffix, UnaryOp};

/// An operand that may be fetched later, since its value can still change before it is used (a cell) or since an
/// instruction may take it as a constant.
#[derive(Clone, Copy)]
pub(super) enum Value {
    Register(u8),
    Cell(u8),
    Constant(ExprId),
}

/// A key that has an instruction of its own, or one in a register.
pub(super) enum Key {
    Field(u16),
    Int(u8),
    Value(Value),
}

impl FunctionCode<'_> {
    fn target(&mut self, dst: Option<u8>) -> Result<u8, SyntaxError> {
        match dst {
            Some(d) => Ok(d),
            None => self.reserve(1),
        }
    }

    /// The expression's value into `dst`, written last, or into the lowest free register.
    pub(super) fn expr(&mut self, e: ExprId, dst: Option<u8>, line: u32) -> Result<u8, SyntaxError> {
        let chunk = self.chunk;
        let before = self.free;
        match chunk.expr(e) {
            Expr::Nil => {
                let a = self.target(dst)?;
                self.emit(Op::LoadNil { a, n: 1 }, line);
                Ok(a)
            }
            truth @ (Expr::True | Expr::False) => {
                let a = self.target(dst)?;
                self.emit(Op::LoadBool { a, v: matches!(truth, Expr::True) }, line);
                Ok(a)
            }
            &Expr::Number(n) => self.constant(Const::Num(n.to_bits()), dst, line),
            &Expr::Int64 { bits, unsigned } => self.constant(Const::Int64 { bits, unsigned }, dst, line),
            &Expr::String(symbol) => self.constant(Const::Str(symbol), dst, line),
            Expr::Vararg => {
                let a = self.target(dst)?;
                self.emit(Op::Vararg { a, n: 1 }, line);
                Ok(a)
            }
            &Expr::Local(var) => {
                let b = self.register(var);
                let a = self.target(dst)?;
                if self.in_cell(var) {
                    self.emit(Op::GetCell { a, b }, line);
                } else if a != b {
                    self.emit(Op::Move { a, b }, line);
                }
                Ok(a)
            }
            &Expr::Captured(u) => {
                let a = self.target(dst)?;
                let cell = self.home.captures[u as usize].cell;
                self.emit(if cell { Op::GetUpC { a, u } } else { Op::GetUp { a, u } }, line);
                Ok(a)
            }
            &Expr::Global(name) => {
                let k = self.global_name(name)?;
                let a = self.target(dst)?;
                self.emit(Op::GetGlobal { a, k, ic: 0 }, line);
                Ok(a)
            }
            &Expr::Function(id) => {
                let a = self.target(dst)?;
                let p = self.inner_function(id)?;
                self.closure(a, p, id, None, line)?;
                Ok(a)
            }
            Expr::Table(items, first) => self.table(items, *first, dst, line),
            &Expr::LongTable(number, first) => self.long_table(number, first, dst, line),
            Expr::Suffixed { base, suffixes } => self.suffixed(*base, suffixes, dst, line, 1),
            Expr::Chain(chain) => self.chain(chain.first, &chain.steps, dst),
            Expr::Concat { reversed, line } => {
                for operand in reversed.iter().rev() {
                    self.expr(operand.expr, None, operand.line)?;
                }
                self.free = before;
                let a = self.target(dst)?;
                self.emit(Op::Concat { a, b: before as u8, n: reversed.len() as u8 }, *line);
                Ok(a)
            }
            Expr::And(_) | Expr::Or(_) => {
                let a = self.target(dst)?;
                self.logic_value(e, a, line)?;
                Ok(a)
            }
            Expr::Unary { .. } if self.is_condition(e) => {
                let a = self.target(dst)?;
                self.logic_value(e, a, line)?;
                Ok(a)
            }
            &Expr::Unary { op, operand, line } => {
                let b = self.any(operand, line)?;
                self.free = before;
                let a = self.target(dst)?;
                let op = match op {
                    UnaryOp::Minus => Op::Unm { a, b },
                    UnaryOp::Not => Op::Not { a, b },
                    UnaryOp::Length => Op::Len { a, b },
                };
                self.emit(op, line);
                Ok(a)
            }
            &Expr::Paren(inner) => self.expr(inner.expr, dst, inner.line),
        }
    }

    fn constant(&mut self, constant: Const, dst: Option<u8>, line: u32) -> Result<u8, SyntaxError> {
        let a = self.target(dst)?;
        let k = self.wide_constant(constant);
        self.emit(Op::LoadK { a, k }, line);
        Ok(a)
    }

    /// The expression's value into `d`. A temporary on top of the stack may serve as scratch space on the way.
    pub(super) fn into(&mut self, e: ExprId, d: u8, line: u32) -> Result<(), SyntaxError> {
        if d as usize + 1 == self.free && d as usize >= self.local_top {
            self.free = d as usize;
            self.expr(e, None, line)?;
        } else {
            self.expr(e, Some(d), line)?;
        }
        Ok(())
    }

    /// The expression's value in any register: a local's own, or a temporary.
    pub(super) fn any(&mut self, e: ExprId, line: u32) -> Result<u8, SyntaxError> {
        let value = self.value(e, line)?;
        self.load(value, line)
    }

    /// As `any`, but a cell is not opened yet.
    pub(super) fn value(&mut self, e: ExprId, line: u32) -> Result<Value, SyntaxError> {
        match *self.chunk.expr(e) {
            Expr::Local(var) if self.in_cell(var) => Ok(Value::Cell(self.register(var))),
            Expr::Local(var) => Ok(Value::Register(self.register(var))),
            _ => Ok(Value::Register(self.expr(e, None, line)?)),
        }
    }

    pub(super) fn load(&mut self, value: Value, line: u32) -> Result<u8, SyntaxError> {
        match value {
            Value::Register(r) => Ok(r),
            Value::Cell(b) => {
                let a = self.reserve(1)?;
                self.emit(Op::GetCell { a, b }, line);
                Ok(a)
            }
            Value::Constant(e) => self.expr(e, None, line),
        }
    }

    /// `first op a op b ...`, with the last result in `dst`.
    fn chain(&mut self, first: Operand, steps: &[Step], dst: Option<u8>) -> Result<u8, SyntaxError> {
        let before = self.free;
        let Some((last, others)) = steps.split_last() else { return self.expr(first.expr, dst, first.line) };
        let left = self.chain_value(first, others)?;
        self.step(left, last, before, dst)
    }

    /// The value of a chain's beginning.
    pub(super) fn chain_value(&mut self, first: Operand, steps: &[Step]) -> Result<Value, SyntaxError> {
        let before = self.free;
        let mut left = match self.chunk.expr(first.expr) {
            Expr::Nil | Expr::True | Expr::False | Expr::Number(_) | Expr::String(_) => Value::Constant(first.expr),
            _ => self.value(first.expr, first.line)?,
        };
        for step in steps {
            left = Value::Register(self.step(left, step, before, None)?);
        }
        Ok(left)
    }

    /// One operation of a chain; registers from `before` on are free once its operands are read.
    fn step(&mut self, left: Value, step: &Step, before: usize, dst: Option<u8>) -> Result<u8, SyntaxError> {
        let line = step.line;
        if step.op.is_comparison() {
            let jump = self.compare(left, step.op, step.right, true, line)?;
            self.free = before;
            let a = self.target(dst)?;
            self.emit(Op::LoadBool { a, v: false }, line);
            let over = self.emit(Op::Jmp { off: 0 }, line);
            self.patch_here(&[jump]);
            self.emit(Op::LoadBool { a, v: true }, line);
            self.patch_here(&[over]);
            return Ok(a);
        }
        if let Expr::Number(n) = *self.chunk.expr(step.right)
            && step.op != BinaryOp::Pow
            && let Some(k) = self.narrow_constant(Const::Num(n.to_bits()))
        {
            let b = self.load(left, line)?;
            self.free = before;
            let a = self.target(dst)?;
            let op = match step.op {
                BinaryOp::Add => Op::AddK { a, b, k },
                BinaryOp::Sub => Op::SubK { a, b, k },
                BinaryOp::Mul => Op::MulK { a, b, k },
                BinaryOp::Div => Op::DivK { a, b, k },
                _ => Op::ModK { a, b, k },
            };
            self.emit(op, line);
            return Ok(a);
        }
        let left = if let Value::Constant(_) = left { Value::Register(self.load(left, line)?) } else { left };
        let right = self.value(step.right, line)?;
        let b = self.load(left, line)?;
        let c = self.load(right, line)?;
        self.free = before;
        let a = self.target(dst)?;
        let op = match step.op {
            BinaryOp::Add => Op::Add { a, b, c },
            BinaryOp::Sub => Op::Sub { a, b, c },
            BinaryOp::Mul => Op::Mul { a, b, c },
            BinaryOp::Div => Op::Div { a, b, c },
            BinaryOp::Mod => Op::Mod { a, b, c },
            _ => Op::Pow { a, b, c },
        };
        self.emit(op, line);
        Ok(a)
    }

    pub(super) fn field_key(&mut self, name: Symbol, line: u32) -> Result<Key, SyntaxError> {
        match self.narrow_constant(Const::Str(name)) {
            Some(k) => Ok(Key::Field(k)),
            None => Ok(Key::Value(Value::Register(self.constant(Const::Str(name), None, line)?))),
        }
    }

    pub(super) fn key(&mut self, key: Operand) -> Result<Key, SyntaxError> {
        match *self.chunk.expr(key.expr) {
            Expr::String(name) => self.field_key(name, key.line),
            Expr::Number(n) if (0.0..256.0).contains(&n) && n.fract() == 0.0 => Ok(Key::Int(n as u8)),
            _ => Ok(Key::Value(self.value(key.expr, key.line)?)),
        }
    }

    fn emit_index(&mut self, a: u8, b: u8, key: Key, line: u32) -> Result<(), SyntaxError> {
        let op = match key {
            Key::Field(k) => Op::GetField { a, b, k, ic: 0 },
            Key::Int(n) => Op::GetInt { a, b, n },
            Key::Value(Value::Register(c)) => Op::GetTab { a, b, c },
            Key::Value(value) => Op::GetTab { a, b, c: self.load(value, line)? },
        };
        self.emit(op, line);
        Ok(())
    }

    /// `base` with its suffixes. If the last one is a call, it leaves `nret` results in the registers from the result
    /// on, all of which are taken unless they are `MULTI`.
    pub(super) fn suffixed(
        &mut self,
        base: ExprId,
        suffixes: &[Suffix],
        dst: Option<u8>,
        line: u32,
        nret: u8,
    ) -> Result<u8, SyntaxError> {
        let before = self.free;
        // Where the value is that the next suffix applies to; `None`: the base, not evaluated yet.
        let mut at: Option<u8> = None;
        for (i, suffix) in suffixes.iter().enumerate() {
            let last = i + 1 == suffixes.len();
            let out = if last { dst } else { None };
            let out_line = suffixes.get(i + 1).map_or(line, Suffix::base_line);
            let base_line = suffix.base_line();
            let result = match suffix {
                Suffix::Field { name, .. } => {
                    let b = self.suffix_base(base, at, base_line)?;
                    let b = self.load(b, base_line)?;
                    let key = self.field_key(*name, out_line)?;
                    self.free = before;
                    let a = self.target(out)?;
                    self.emit_index(a, b, key, out_line)?;
                    a
                }
                Suffix::Index { key, .. } => {
                    let b = self.suffix_base(base, at, base_line)?;
                    let mut key = self.key(*key)?;
                    let b = self.load(b, out_line)?;
                    if let Key::Value(value) = key {
                        key = Key::Value(Value::Register(self.load(value, out_line)?));
                    }
                    self.free = before;
                    let a = self.target(out)?;
                    self.emit_index(a, b, key, out_line)?;
                    a
                }
                Suffix::Call { args, line, .. } => {
                    let a = match at {
                        Some(a) => a,
                        None => self.expr(base, None, base_line)?,
                    };
                    self.call(a, 0, args, *line, if last { nret } else { 1 })?
                }
                Suffix::Method { name, args, line, .. } => {
                    let b = self.suffix_base(base, at, base_line)?;
                    let b = self.load(b, base_line)?;
                    self.free = before;
                    let a = self.reserve(2)?;
                    match self.field_key(*name, base_line)? {
                        Key::Field(k) => {
                            self.emit(Op::SelfField { a, b, k, ic: 0 }, base_line);
                        }
                        key => {
                            // The name is in a register above; the object moves first, as it may be in `a`.
                            self.emit(Op::Move { a: a + 1, b }, base_line);
                            self.emit_index(a, a + 1, key, base_line)?;
                            self.free = before + 2;
                        }
                    }
                    self.call(a, 1, args, *line, if last { nret } else { 1 })?
                }
            };
            if last
                && suffix.is_call()
                && let Some(d) = dst
            {
                self.emit(Op::Move { a: d, b: result }, line);
                self.free = before;
                return Ok(d);
            }
            at = Some(result);
        }
        match at {
            Some(at) => Ok(at),
            None => self.expr(base, dst, line),
        }
    }

    fn suffix_base(&mut self, base: ExprId, at: Option<u8>, line: u32) -> Result<Value, SyntaxError> {
        match at {
            Some(r) => Ok(Value::Register(r)),
            None => self.value(base, line),
        }
    }

    /// Calls R[a] with `given` arguments in place and those of the list.
    fn call(&mut self, a: u8, given: u8, args: &[Operand], line: u32, nret: u8) -> Result<u8, SyntaxError> {
        let nargs = match self.list(args)? {
            MULTI => MULTI,
            _ => (self.free - a as usize - 1) as u8,
        };
        debug_assert!(nargs >= given);
        self.emit(Op::Call { a, nargs, nret }, line);
        self.free = a as usize;
        if nret != MULTI {
            self.reserve(nret as usize)?;
        }
        Ok(a)
    }

    pub(super) fn is_multi(&self, e: ExprId) -> bool {
        match self.chunk.expr(e) {
            Expr::Vararg => true,
            Expr::Suffixed { suffixes, .. } => suffixes.last().is_some_and(Suffix::is_call),
            _ => false,
        }
    }

    /// A call or `...` with `n` results, from the lowest free register on.
    pub(super) fn multi(&mut self, e: ExprId, n: u8, line: u32) -> Result<(), SyntaxError> {
        let chunk = self.chunk;
        if let Expr::Suffixed { base, suffixes } = chunk.expr(e) {
            self.suffixed(*base, suffixes, None, line, n)?;
        } else {
            let a = self.free as u8;
            if n == MULTI {
                self.will_use(self.free + 1)?;
            } else {
                self.reserve(n as usize)?;
            }
            self.emit(Op::Vararg { a, n }, line);
        }
        Ok(())
    }

    /// Values into consecutive registers: how many, or `MULTI` if the last one brings any number.
    pub(super) fn list(&mut self, values: &[Operand]) -> Result<u8, SyntaxError> {
        let Some((last, others)) = values.split_last() else { return Ok(0) };
        for value in others {
            self.expr(value.expr, None, value.line)?;
        }
        if self.is_multi(last.expr) {
            self.multi(last.expr, MULTI, last.line)?;
            return Ok(MULTI);
        }
        self.expr(last.expr, None, last.line)?;
        Ok(values.len() as u8)
    }

    /// Values into exactly `n` consecutive registers.
    pub(super) fn list_of(&mut self, values: &[Operand], n: usize, line: u32) -> Result<(), SyntaxError> {
        let first = self.free;
        for (i, value) in values.iter().enumerate() {
            let last = i + 1 == values.len();
            if last && self.is_multi(value.expr) && i < n {
                return self.multi(value.expr, (n - i) as u8, value.line);
            }
            self.expr(value.expr, None, value.line)?;
            self.free = self.free.min(first + n.max(i + 1));
        }
        if values.len() < n {
            let missing = n - values.len();
            let a = self.reserve(missing)?;
            self.emit(Op::LoadNil { a, n: missing as u8 }, line);
        }
        self.free = first + n;
        Ok(())
    }

    /// `R[a][key] := R[b]`
    pub(super) fn emit_set(&mut self, a: u8, key: Key, b: u8, line: u32) -> Result<(), SyntaxError> {
        let op = match key {
            Key::Field(k) => Op::SetField { a, k, b, ic: 0 },
            Key::Int(n) => Op::SetInt { a, n, b },
            Key::Value(value) => Op::SetTab { a, b: self.load(value, line)?, c: b },
        };
        self.emit(op, line);
        Ok(())
    }
}
