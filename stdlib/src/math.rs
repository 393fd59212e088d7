//! The math library (Lua 5.1 manual 5.6).
use std::cell::RefCell;

use vm::{Call, Cx, Outcome, Reply, Row, Value, row};

pub static NATIVES: &[Row] = &[
    row("abs", |c| one(c, f64::abs), "abs(x)"),
    row("acos", |c| one(c, f64::acos), "acos(x)"),
    row("asin", |c| one(c, f64::asin), "asin(x)"),
    row("atan", |c| one(c, f64::atan), "atan(x)"),
    row("atan2", |c| two(c, f64::atan2), "atan2(y, x)"),
    row("ceil", |c| one(c, f64::ceil), "ceil(x)"),
    row("cos", |c| one(c, f64::cos), "cos(x)"),
    row("cosh", |c| one(c, f64::cosh), "cosh(x)"),
    row("deg", deg, "deg(x): radians to degrees"),
    row("exp", |c| one(c, f64::exp), "exp(x)"),
    row("floor", |c| one(c, vm::value::number::floor), "floor(x)"),
    row("fmod", |c| two(c, |x, y| x % y), "fmod(x, y)"),
    row("frexp", frexp, "frexp(x) -> m, e with x = m * 2^e"),
    row("ldexp", ldexp, "ldexp(m, e) -> m * 2^e"),
    row("log", log, "log(x [, base])"),
    row("log10", |c| one(c, f64::log10), "log10(x)"),
    row("max", |c| fold(c, |a, b| if a > b { a } else { b }), "max(x, ...)"),
    row("min", |c| fold(c, |a, b| if a < b { a } else { b }), "min(x, ...)"),
    row("modf", modf, "modf(x) -> whole part, fraction"),
    row("pow", |c| two(c, f64::powf), "pow(x, y)"),
    row("rad", rad, "rad(x): degrees to radians"),
    row("random", random, "random([m [, n]]) -> a pseudo-random number"),
    row("randomseed", randomseed, "randomseed(x)"),
    row("sin", |c| one(c, f64::sin), "sin(x)"),
    row("sinh", |c| one(c, f64::sinh), "sinh(x)"),
    row("sqrt", |c| one(c, f64::sqrt), "sqrt(x)"),
    row("tan", |c| one(c, f64::tan), "tan(x)"),
    row("tanh", |c| one(c, f64::tanh), "tanh(x)"),
];

pub fn open(cx: Cx<'_>) {
    let math = cx.library("math", NATIVES);
    cx.set_field(math, "pi", Value::num(std::f64::consts::PI));
    cx.set_field(math, "huge", Value::num(f64::INFINITY));
}

fn one<'gc>(call: &mut Call<'_, 'gc>, f: fn(f64) -> f64) -> Reply<'gc> {
    let x = call.number(0)?;
    call.ret(Value::num(f(x)))
}

/// (these two are written in Lua in LuaJIT, and say so)
fn deg<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    times(call, "deg", 180.0 / std::f64::consts::PI)
}

fn rad<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    times(call, "rad", std::f64::consts::PI / 180.0)
}

fn times<'gc>(call: &mut Call<'_, 'gc>, name: &str, factor: f64) -> Reply<'gc> {
    let v = call.arg(0);
    match vm::native::to_number(v) {
        Some(n) => call.ret(Value::num(n * factor)),
        None => {
            let text = format!("[builtin:{name}]:0: attempt to perform arithmetic on a {} value", v.type_name());
            Err(call.cx.str(text.as_bytes()))
        }
    }
}

fn two<'gc>(call: &mut Call<'_, 'gc>, f: fn(f64, f64) -> f64) -> Reply<'gc> {
    let (x, y) = (call.number(0)?, call.number(1)?);
    call.ret(Value::num(f(x, y)))
}

fn fold<'gc>(call: &mut Call<'_, 'gc>, f: fn(f64, f64) -> f64) -> Reply<'gc> {
    let mut best = call.number(0)?;
    for i in 1..call.len() {
        best = f(best, call.number(i)?);
    }
    call.ret(Value::num(best))
}

fn log<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let x = call.number(0)?;
    if call.is_none(1) {
        return call.ret(Value::num(x.ln()));
    }
    // (rounded as LuaJIT rounds it)
    let y = x.log2() * (1.0 / call.number(1)?.log2());
    call.ret(Value::num(y))
}

fn modf<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let x = call.number(0)?;
    let fraction = if x.is_infinite() { 0.0 } else { x.fract() };
    call.push(Value::num(x.trunc()));
    call.push(Value::num(fraction.copysign(x)));
    Ok(Outcome::Return)
}

fn frexp<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let x = call.number(0)?;
    let (mut m, mut e) = (x, 0i32);
    if x != 0.0 && x.is_finite() {
        // Subnormal numbers are lifted into the normal range first.
        if m.abs() < f64::MIN_POSITIVE {
            m *= 2f64.powi(64);
            e -= 64;
        }
        let bits = m.to_bits();
        e += ((bits >> 52) & 0x7ff) as i32 - 1022;
        m = f64::from_bits(bits & !(0x7ff << 52) | 1022 << 52);
    }
    call.push(Value::num(m));
    call.push(Value::num(f64::from(e)));
    Ok(Outcome::Return)
}

fn ldexp<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let (mut m, e) = (call.number(0)?, call.number(1)?);
    if !e.is_finite() {
        return call.ret(Value::num(if e == f64::NEG_INFINITY { m * 0.0 } else { m * e }));
    }
    let mut e = e.clamp(-3000.0, 3000.0) as i32;
    // In steps, so that no intermediate power overflows.
    while e != 0 && m != 0.0 && m.is_finite() {
        let step = e.clamp(-1000, 1000);
        m *= 2f64.powi(step);
        e -= step;
    }
    call.ret(Value::num(m))
}

/// L'Ecuyer's TW223, four Tausworthe generators in one, seeded as LuaJIT seeds it: the same seed gives the same numbers. Each OS
/// thread has one.
struct Random([u64; 4]);

thread_local! {
    static RANDOM: RefCell<Random> = RefCell::new(Random::seeded(0.0));
}

/// k, q and s of each of the four.
const TAUSWORTHE: [(u32, u32, u32); 4] = [(63, 31, 18), (58, 19, 28), (55, 24, 7), (47, 21, 8)];

impl Random {
    fn seeded(mut seed: f64) -> Random {
        let mut random = Random(TAUSWORTHE.map(|(k, ..)| {
            seed = seed * std::f64::consts::PI + std::f64::consts::E;
            let bits = seed.to_bits();
            // (of the upper k bits at least one has to be set)
            let least = 1 << (64 - k);
            if bits < least { bits + least } else { bits }
        }));
        for _ in 0..10 {
            random.next();
        }
        random
    }
    fn next(&mut self) -> u64 {
        let mut result = 0;
        for (z, (k, q, s)) in self.0.iter_mut().zip(TAUSWORTHE) {
            *z = (((*z << q) ^ *z) >> (k - s)) ^ ((*z & (u64::MAX << (64 - k))) << s);
            result ^= *z;
        }
        result
    }
    /// At least 0 and less than 1.
    fn fraction(&mut self) -> f64 {
        f64::from_bits(self.next() & 0x000f_ffff_ffff_ffff | 0x3ff0_0000_0000_0000) - 1.0
    }
}

/// (empty intervals are not refused, as in LuaJIT)
fn random<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let x = RANDOM.with_borrow_mut(Random::fraction);
    let n = match call.len() {
        0 => x,
        1 => {
            let high = call.number(0)?;
            (x * high).floor() + 1.0
        }
        _ => {
            let (low, high) = (call.number(0)?, call.number(1)?);
            (x * (high - low + 1.0)).floor() + low
        }
    };
    call.ret(Value::num(n))
}

fn randomseed<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let seed = call.number(0)?;
    RANDOM.with_borrow_mut(|r| *r = Random::seeded(seed));
    Ok(Outcome::Return)
}
