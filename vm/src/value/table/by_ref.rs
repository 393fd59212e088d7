//! Tables as natives use them: by reference.
use gc_arena::Mutation;

use super::{BadKey, Table};
use crate::value::Value;

/// What natives do with tables: safe, with the write barrier, without metamethods.
pub trait TableRef<'gc> {
    fn get(self, key: Value<'gc>) -> Value<'gc>;
    fn get_int(self, i: usize) -> Value<'gc>;
    /// A field by its name.
    fn field(self, name: &[u8]) -> Value<'gc>;
    fn set(self, mc: &Mutation<'gc>, key: Value<'gc>, v: Value<'gc>) -> Result<(), BadKey>;
    /// `t[i] = v`, i counting from 1.
    fn set_int(self, mc: &Mutation<'gc>, i: usize, v: Value<'gc>);
    /// As many items from `start` on; where they begin right behind the list, a nil among them leaves it a list.
    fn set_ints(self, mc: &Mutation<'gc>, start: usize, values: &[Value<'gc>]);
    fn length(self) -> usize;
    fn metatable(self) -> Option<Table<'gc>>;
    fn set_metatable(self, mc: &Mutation<'gc>, meta: Option<Table<'gc>>);
    #[allow(clippy::result_unit_err)]
    fn next(self, key: Value<'gc>) -> Result<Option<(Value<'gc>, Value<'gc>)>, ()>;
}

impl<'gc> TableRef<'gc> for Table<'gc> {
    fn get(self, key: Value<'gc>) -> Value<'gc> {
        self.borrow().get(key)
    }
    #[inline]
    fn get_int(self, i: usize) -> Value<'gc> {
        self.borrow().get_int(i)
    }
    fn field(self, name: &[u8]) -> Value<'gc> {
        self.borrow().field(name)
    }
    fn set(self, mc: &Mutation<'gc>, key: Value<'gc>, v: Value<'gc>) -> Result<(), BadKey> {
        self.borrow_mut(mc).set(key, v)
    }
    #[inline]
    fn set_int(self, mc: &Mutation<'gc>, i: usize, v: Value<'gc>) {
        let mut t = self.borrow_mut(mc);
        let last = t.arr.len();
        match t.arr.get_mut(i.wrapping_sub(1)) {
            Some(item) if i < last => *item = v,
            _ => t.set_num_edge(i as f64, v),
        }
    }
    fn set_ints(self, mc: &Mutation<'gc>, start: usize, values: &[Value<'gc>]) {
        self.borrow_mut(mc).set_list(start, values);
    }
    fn length(self) -> usize {
        self.borrow().len()
    }
    fn metatable(self) -> Option<Table<'gc>> {
        self.borrow().meta
    }
    fn set_metatable(self, mc: &Mutation<'gc>, meta: Option<Table<'gc>>) {
        self.borrow_mut(mc).meta = meta;
    }
    fn next(self, key: Value<'gc>) -> Result<Option<(Value<'gc>, Value<'gc>)>, ()> {
        self.borrow().next(key)
    }
}
