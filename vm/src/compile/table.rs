//! Table constructors. A long table's items come one by one.
use super::SyntaxError;
use super::expr::Key;
use super::function::{FunctionCode, Parts};
use crate::code::{MULTI, Op};
use crate::parse::ast::{Expr, ExprId, Item, Operand};

/// Items that one `SetList` stores.
const LIST_BATCH: usize = 50;
/// Above this many registers in use a table's items are stored earlier.
const CROWDED: usize = 190;

/// A table that is being filled: its register, the index of the first item that is still in registers, and how many are.
struct Filling {
    a: u8,
    start: u32,
    waiting: usize,
    /// The line of the table's end.
    line: u32,
}

impl FunctionCode<'_> {
    pub(super) fn table(&mut self, items: &[Item], first: u32, dst: Option<u8>, line: u32) -> Result<u8, SyntaxError> {
        let positional = items.iter().filter(|item| matches!(item, Item::Positional(_))).count();
        let (narr, nhash) = (room(positional), room(items.len() - positional));
        if items.is_empty() {
            let a = match dst {
                Some(d) => d,
                None => self.reserve(1)?,
            };
            self.emit(Op::NewTable { a, narr, nhash }, first);
            return Ok(a);
        }
        let mut filling = Filling { a: self.reserve(1)?, start: 1, waiting: 0, line };
        self.emit(Op::NewTable { a: filling.a, narr, nhash }, first);
        for (i, item) in items.iter().enumerate() {
            self.item(&mut filling, item, i + 1 == items.len())?;
        }
        self.filled(filling, dst)
    }

    pub(super) fn long_table(
        &mut self,
        number: u32,
        first: u32,
        dst: Option<u8>,
        line: u32,
    ) -> Result<u8, SyntaxError> {
        let Some(reader) = self.reader.take() else { return Err(SyntaxError::no_memory()) };
        let (positional, others) = reader.sizes(number);
        let mut filling = Filling { a: self.reserve(1)?, start: 1, waiting: 0, line };
        self.emit(Op::NewTable { a: filling.a, narr: room(positional), nhash: room(others) }, first);
        let function = self.function;
        let mut parts: Box<Parts> = std::mem::take(self.parts());
        reader.items(number, &mut |chunk, item, last, reader| {
            let sofar = std::mem::take(&mut parts);
            let mut code = FunctionCode::new(chunk, function, sofar).with_reader(reader);
            code.item(&mut filling, item, last)?;
            parts = code.into_parts();
            Ok(())
        })?;
        *self.parts() = parts;
        self.reader = Some(reader);
        self.filled(filling, dst)
    }

    fn item(&mut self, filling: &mut Filling, item: &Item, last: bool) -> Result<(), SyntaxError> {
        let a = filling.a;
        match item {
            Item::Positional(value) if last && self.is_multi(value.expr) => {
                self.multi(value.expr, MULTI, value.line)?;
                self.emit(Op::SetList { a, n: MULTI, start: filling.start }, filling.line);
                filling.waiting = 0;
            }
            Item::Positional(value) => {
                let line = self.item_line(value);
                self.expr(value.expr, None, line)?;
                filling.waiting += 1;
                if filling.waiting == LIST_BATCH || self.free > CROWDED {
                    self.store_waiting(filling, line);
                }
            }
            Item::Named { name, value } => {
                let (keep, line) = (self.free, self.item_line(value));
                let key = self.field_key(*name, line)?;
                self.set_item(a, key, value.expr, line)?;
                self.free = keep;
            }
            Item::Keyed { key, value } => {
                let constant = self.is_template(key.expr) && !matches!(self.chunk.expr(key.expr), Expr::Nil);
                let line = if constant { self.item_line(value) } else { value.line };
                let keep = self.free;
                let key = self.key(Operand { expr: key.expr, line: if constant { line } else { key.line } })?;
                self.set_item(a, key, value.expr, line)?;
                self.free = keep;
            }
        }
        Ok(())
    }

    /// LuaJIT has constant items in the table that it copies: no line has them. So what stores one belongs to the line before it.
    fn item_line(&self, value: &Operand) -> u32 {
        if self.is_template(value.expr) { self.latest_line() } else { value.line }
    }

    fn is_template(&self, e: ExprId) -> bool {
        matches!(self.chunk.expr(e), Expr::Nil | Expr::True | Expr::False | Expr::Number(_) | Expr::String(_))
    }

    fn store_waiting(&mut self, filling: &mut Filling, line: u32) {
        self.emit(Op::SetList { a: filling.a, n: filling.waiting as u8, start: filling.start }, line);
        filling.start = filling.start.saturating_add(filling.waiting as u32);
        filling.waiting = 0;
        self.free = filling.a as usize + 1;
    }

    fn filled(&mut self, mut filling: Filling, dst: Option<u8>) -> Result<u8, SyntaxError> {
        if filling.waiting > 0 {
            self.store_waiting(&mut filling, self.latest_line());
        }
        self.free = filling.a as usize + 1;
        let Some(d) = dst else { return Ok(filling.a) };
        self.emit(Op::Move { a: d, b: filling.a }, filling.line);
        self.free = filling.a as usize;
        Ok(d)
    }

    fn set_item(&mut self, a: u8, key: Key, value: ExprId, line: u32) -> Result<(), SyntaxError> {
        let b = self.any(value, line)?;
        self.emit_set(a, key, b, line)
    }
}

fn room(n: usize) -> u16 {
    u16::try_from(n).unwrap_or(u16::MAX)
}
