//! The bit library (LuaJIT's BitOp): 32-bit operations, results signed; 64-bit where an operand is a boxed integer.
use vm::value::Kind;
use vm::value::number::{cut_to_unsigned, cut_to_wide};
use vm::{Call, Cx, Reply, Row, Value, row};

pub static NATIVES: &[Row] = &[
    row("arshift", |c| shift(c, |x, n| ((x as i32) >> n) as u32, |x, n| ((x as i64) >> n) as u64), "arshift(x, n)"),
    row("band", |c| fold(c, |a, b| a & b), "band(x, ...)"),
    row("bnot", bnot, "bnot(x)"),
    row("bor", |c| fold(c, |a, b| a | b), "bor(x, ...)"),
    row("bswap", bswap, "bswap(x)"),
    row("bxor", |c| fold(c, |a, b| a ^ b), "bxor(x, ...)"),
    row("lshift", |c| shift(c, |x, n| x << n, |x, n| x << n), "lshift(x, n)"),
    row("rol", |c| shift(c, u32::rotate_left, u64::rotate_left), "rol(x, n)"),
    row("ror", |c| shift(c, u32::rotate_right, u64::rotate_right), "ror(x, n)"),
    row("rshift", |c| shift(c, |x, n| x >> n, |x, n| x >> n), "rshift(x, n)"),
    row("tobit", tobit, "tobit(x) -> x as a signed 32-bit number"),
    row("tohex", tohex, "tohex(x [, n]) -> hexadecimal digits"),
];

pub fn open(cx: Cx<'_>) {
    cx.library("bit", NATIVES);
}

/// A number modulo 2^32, as LuaJIT's lj_num2bit has it: rounded to the nearest (ties to even) by a sum that leaves the bits at the
/// end of the mantissa. Beyond 2^51 they are no longer the number's own.
fn to_bits(n: f64) -> u32 {
    (n + 6_755_399_441_055_744.0).to_bits() as u32
}

/// An operand: 32 bits, or 64 with the sign they had.
enum Operand {
    Narrow(u32),
    Wide(u64, bool),
}

/// A number next to 64-bit operands: cut to 64 bits as C cuts it, of the sign that the result has.
fn widened(n: f64, unsigned: bool) -> u64 {
    if unsigned { cut_to_unsigned(n) } else { cut_to_wide(n) as u64 }
}

fn operand<'gc>(call: &Call<'_, 'gc>, i: usize) -> Result<Operand, Value<'gc>> {
    match call.arg(i).kind() {
        Kind::Int64(n) => Ok(Operand::Wide(n.bits, n.unsigned)),
        _ => Ok(Operand::Narrow(to_bits(call.number(i)?))),
    }
}

fn narrow<'gc>(call: &mut Call<'_, 'gc>, x: u32) -> Reply<'gc> {
    call.ret(Value::num(f64::from(x as i32)))
}

fn wide<'gc>(call: &mut Call<'_, 'gc>, x: u64, unsigned: bool) -> Reply<'gc> {
    let v = call.cx.int64(x, unsigned);
    call.ret(v)
}

fn fold<'gc>(call: &mut Call<'_, 'gc>, f: fn(u64, u64) -> u64) -> Reply<'gc> {
    let mut is_wide = None;
    for i in 0..call.len() {
        if let Operand::Wide(_, unsigned) = operand(call, i)? {
            is_wide = Some(is_wide.unwrap_or(false) | unsigned);
        }
    }
    let word = |call: &Call<'_, 'gc>, i| {
        Ok(match (operand(call, i)?, is_wide) {
            (Operand::Wide(x, _), _) => x,
            (Operand::Narrow(_), Some(unsigned)) => widened(call.number(i)?, unsigned),
            (Operand::Narrow(x), None) => u64::from(x),
        })
    };
    let mut result = word(call, 0)?;
    for i in 1..call.len() {
        result = f(result, word(call, i)?);
    }
    match is_wide {
        Some(unsigned) => wide(call, result, unsigned),
        None => narrow(call, result as u32),
    }
}

fn shift<'gc>(call: &mut Call<'_, 'gc>, short: fn(u32, u32) -> u32, long: fn(u64, u32) -> u64) -> Reply<'gc> {
    let x = operand(call, 0)?;
    let n = match operand(call, 1)? {
        Operand::Narrow(n) => n,
        Operand::Wide(n, _) => n as u32,
    };
    match x {
        Operand::Narrow(x) => narrow(call, short(x, n & 31)),
        Operand::Wide(x, unsigned) => wide(call, long(x, n & 63), unsigned),
    }
}

fn bnot<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    match operand(call, 0)? {
        Operand::Narrow(x) => narrow(call, !x),
        Operand::Wide(x, unsigned) => wide(call, !x, unsigned),
    }
}

fn bswap<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    match operand(call, 0)? {
        Operand::Narrow(x) => narrow(call, x.swap_bytes()),
        Operand::Wide(x, unsigned) => wide(call, x.swap_bytes(), unsigned),
    }
}

fn tobit<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    match operand(call, 0)? {
        Operand::Narrow(x) => narrow(call, x),
        Operand::Wide(x, _) => narrow(call, x as u32),
    }
}

fn tohex<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let (x, full) = match operand(call, 0)? {
        Operand::Narrow(x) => (u64::from(x), 8),
        Operand::Wide(x, _) => (x, 16),
    };
    let n = match call.is_none(1) {
        true => full,
        false => match operand(call, 1)? {
            Operand::Narrow(n) => n as i32,
            Operand::Wide(n, _) => n as i32,
        },
    };
    // (as many digits as are asked for, 254 at most)
    let digits = n.unsigned_abs().min(254) as usize;
    let text = if n < 0 { format!("{x:0254X}") } else { format!("{x:0254x}") };
    let v = call.cx.str(&text.as_bytes()[254 - digits..]);
    call.ret(v)
}
