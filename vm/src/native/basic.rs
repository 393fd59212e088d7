//! The natives that the interpreter knows by their address, to run them inside its loop.
use super::{Call, Outcome, Reply, Row, row};
use crate::value::Value;

/// `next`.
pub static NEXT: Row =
    row("next", next, "next(table [, key]) -> key, value: the entry after a key, nil after the last");
/// The iterator of `ipairs`.
pub static IPAIRS_STEP: Row =
    row("ipairs_aux", ipairs_step, "the iterator of ipairs: (table, i) -> i+1, table[i+1]; or nothing");

fn next<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let t = call.table(0)?;
    call.charge(call.arg(1).weight());
    let (at, found, room) = {
        let t = t.borrow();
        let at = t.position(call.arg(1)).map_err(|()| call.cx.str(b"invalid key to 'next'"))?;
        (at, t.next_from(at), t.room())
    };
    // (what is empty is looked at, too)
    call.charge(found.map_or(room, |(next, ..)| next).saturating_sub(at) / 32);
    match found {
        Some((_, k, v)) => {
            call.push(k);
            call.push(v);
        }
        None => call.push(Value::NIL),
    }
    Ok(Outcome::Return)
}

fn ipairs_step<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let t = call.table(0)?;
    let i = call.number(1)? + 1.0;
    let v = t.borrow().get_num(i);
    // (at the end nothing at all, where `next` gives nil)
    if !v.is_nil() {
        call.push(Value::num(i));
        call.push(v);
    }
    Ok(Outcome::Return)
}
