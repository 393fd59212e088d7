//! A table's two parts grow: the array part by doubling, the hash part by a rehash, which decides anew what belongs where.
use super::{MAX_ARRAY, Node, TableObj, array_index, hash_of};
use crate::value::Value;

impl<'gc> TableObj<'gc> {
    #[cold]
    #[inline(never)]
    pub(super) fn grow(&mut self) {
        let more = self.arr.capacity().max(4);
        self.arr.reserve_exact(more);
    }
    /// Moves what follows the array part out of the hash part.
    pub(super) fn migrate(&mut self) {
        loop {
            let next = Value::num(self.arr.len() as f64 + 1.0);
            match self.find(next) {
                Some(at) if !self.nodes[at].val.is_nil() => {
                    let v = self.nodes[at].val;
                    self.nodes[at].val = Value::NIL;
                    self.push(v);
                }
                _ => return,
            }
        }
    }

    pub(super) fn free_slot(&self, hash: u32) -> usize {
        let mask = self.nodes.len() - 1;
        let mut i = hash as usize & mask;
        while !self.nodes[i].key.is_nil() {
            i = (i + 1) & mask;
        }
        i
    }

    /// Makes room for one more key: dead keys go, integers move to the array part where that is more than half used.
    pub(super) fn rehash(&mut self, extra: Value<'gc>) {
        self.size_array(extra);
        let live = self.nodes.iter().filter(|n| !n.val.is_nil()).count() + 1;
        let cap = slots_for(live + live / 4);
        let old = std::mem::replace(&mut self.nodes, vec![Node::EMPTY; cap]);
        self.used = 0;
        for node in old {
            if !node.val.is_nil() {
                let at = self.free_slot(hash_of(node.key));
                self.nodes[at] = node;
                self.used += 1;
            }
        }
    }
    /// The largest n (a power of two) such that more than half of 1..n is in use becomes the array's size, as in PUC Lua.
    fn size_array(&mut self, extra: Value<'gc>) {
        let mut bins = [0usize; 65];
        let mut count = |i: usize| bins[(usize::BITS - i.leading_zeros()) as usize] += 1;
        let mut any = false;
        let keys = self.nodes.iter().filter(|n| !n.val.is_nil()).map(|n| n.key).chain([extra]);
        for i in keys.filter_map(|k| k.as_num().and_then(array_index)) {
            if i < MAX_ARRAY {
                count(i);
                any = true;
            }
        }
        if !any {
            return;
        }
        for (i, v) in self.arr.iter().enumerate() {
            if !v.is_nil() {
                count(i);
            }
        }
        let (mut total, mut best) = (0, 0);
        for (bit, n) in bins.iter().enumerate().take(28) {
            total += n;
            if bit > 0 && total > (1usize << bit) / 2 {
                best = 1usize << bit;
            }
        }
        if best <= self.arr.len() {
            return;
        }
        self.arr.reserve_exact(best - self.arr.len());
        self.arr.resize(best, Value::NIL);
        for at in 0..self.nodes.len() {
            let node = self.nodes[at];
            if let Some(i) = node.key.as_num().and_then(array_index) {
                if i < best && !node.val.is_nil() {
                    self.arr[i] = node.val;
                    self.nodes[at].val = Value::NIL;
                }
            }
        }
    }
}

pub(super) fn slots_for(keys: usize) -> usize {
    let mut cap = 4;
    while cap * 7 < keys * 8 {
        cap *= 2;
    }
    cap
}
