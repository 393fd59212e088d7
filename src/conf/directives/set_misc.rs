//! The set-misc module: `set_NAME $variable ...`, one row a function of `http::set_misc`, run where `set` is.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use super::super::build::{Builder, Directive};
use super::super::tree::Op;
use super::super::value::Value;
use super::arity::{NONE, ONE};
use super::context::{ALL, LOCATION_IF, RULES, SERVER_IF};
use super::{Row, rewrite, row};
use crate::http::set_misc::{FUNCTIONS, Function, Own};

const AT: u32 = ALL | LOCATION_IF | SERVER_IF;

pub static SETTINGS: &[Row] = &[
    row("set_misc_base32_padding", AT, ONE, |b, d| b.flag(d, |s| &mut s.set_base32_padding)),
    row("set_base32_padding", AT, ONE, |b, d| b.flag(d, |s| &mut s.set_base32_padding)),
    row("set_base32_alphabet", AT, ONE, |b, d| {
        let count = d.arg(0).len();
        if count != 32 {
            let words = "directive takes an alphabet of";
            return Err(format!("\"set_base32_alphabet\" {words} {count} bytes but 32 expected"));
        }
        b.put(d, |s| &mut s.set_base32_alphabet, d.arg(0).to_vec())
    }),
];

/// The functions' rows.
pub static ROWS: &[Row] = &rows(&FUNCTIONS);

const fn rows<const N: usize>(functions: &[Function; N]) -> [Row; N] {
    let mut rows = [const { row("", 0, 0, set) }; N];
    let mut at = 0;
    while at < N {
        // (the variable, and then from the least to the most)
        let mut args = NONE << (functions[at].least + 1);
        if functions[at].most > functions[at].least {
            args |= NONE << (functions[at].most + 1);
        }
        rows[at] = row(functions[at].name, RULES, args, set);
        at += 1;
    }
    rows
}

fn set(b: &mut Builder, d: &Directive) -> Result<(), String> {
    let Some(function) = FUNCTIONS.iter().find(|function| function.name == d.name) else {
        return Err(format!("unknown directive \"{}\"", d.name));
    };
    let name = rewrite::variable(d, 0)?.to_vec();
    let slot = b.http().define(&name);
    let mut args: Vec<Value> = d.args()[1..].iter().map(|word| b.value(word)).collect::<Result<_, _>>()?;
    if function.own == Own::Always || (function.own == Own::Alone && args.is_empty()) {
        args.insert(0, b.value(d.arg(0))?);
    }
    b.location().rewrite.push(Op::SetMisc { slot, function, place: Arc::new(AtomicI64::new(-1)), args });
    Ok(())
}
