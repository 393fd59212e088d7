//! The serialization of `string.buffer`: LuaJIT's own format, byte for byte.
//!
//! What must stay true: nesting is limited, and a length read from the input is compared with the bytes that are left before
//! anything is allocated for it.
use vm::value::Kind;
use vm::value::table::TableRef;
use vm::{Call, Table, Value};

/// As LuaJIT: deeper tables are refused.
const MAX_DEPTH: usize = 100;

const NIL: u8 = 0x00;
const FALSE: u8 = 0x01;
const TRUE: u8 = 0x02;
const NULL: u8 = 0x03;
const LIGHT32: u8 = 0x04;
const LIGHT64: u8 = 0x05;
const INT: u8 = 0x06;
const NUM: u8 = 0x07;
/// An empty table; the low bits say what follows: 1 a hash part, 2 an array part from 0 on, 4 one from 1 on.
const TABLE: u8 = 0x08;
const HASH: u8 = 1;
const FROM_0: u8 = 2;
const FROM_1: u8 = 4;
const LAST_TABLE: u8 = 0x0d;
const METATABLE: u8 = 0x0e;
const DICT_STRING: u8 = 0x0f;
const INT64: u8 = 0x10;
const UINT64: u8 = 0x11;
/// Strings are their length plus this.
const STRING: u32 = 0x20;

/// Strings and metatables that are written as numbers.
#[derive(Default)]
pub struct Dictionary<'gc> {
    pub strings: Option<Table<'gc>>,
    pub string_index: Option<Table<'gc>>,
    pub metatables: Option<Table<'gc>>,
    pub metatable_index: Option<Table<'gc>>,
}

fn fail<'gc>(call: &Call<'_, 'gc>, text: &str) -> Value<'gc> {
    call.error(text)
}

/// `.U`: a number of 32 bits in one, two or five bytes.
fn put_number(n: u32, out: &mut Vec<u8>) {
    match n {
        0..0xe0 => out.push(n as u8),
        0xe0..0x1fe0 => {
            let n = n - 0xe0;
            out.extend_from_slice(&[0xe0 | (n >> 8) as u8, n as u8]);
        }
        _ => {
            out.push(0xff);
            out.extend_from_slice(&n.to_le_bytes());
        }
    }
}

pub fn encode<'gc>(
    call: &mut Call<'_, 'gc>,
    v: Value<'gc>,
    dictionary: &Dictionary<'gc>,
    out: &mut Vec<u8>,
) -> Result<(), Value<'gc>> {
    put(call, v, dictionary, MAX_DEPTH, out)
}

fn put<'gc>(
    call: &mut Call<'_, 'gc>,
    v: Value<'gc>,
    dictionary: &Dictionary<'gc>,
    depth: usize,
    out: &mut Vec<u8>,
) -> Result<(), Value<'gc>> {
    call.charge(1);
    match v.kind() {
        Kind::Nil => out.push(NIL),
        Kind::Bool(b) => out.push(if b { TRUE } else { FALSE }),
        Kind::Num(n) => {
            out.push(NUM);
            out.extend_from_slice(&n.to_le_bytes());
        }
        Kind::Str(s) => {
            call.reserve(s.len() + out.len())?;
            put_number((s.len() as u32).saturating_add(STRING), out);
            out.extend_from_slice(s.bytes());
        }
        Kind::Int64(i) => {
            out.push(if i.unsigned { UINT64 } else { INT64 });
            out.extend_from_slice(&i.bits.to_le_bytes());
        }
        Kind::Light(0) => out.push(NULL),
        Kind::Light(n) => {
            out.push(LIGHT32);
            out.extend_from_slice(&n.to_le_bytes());
        }
        Kind::Table(t) => put_table(call, t, dictionary, depth, out)?,
        _ => return Err(fail(call, &format!("cannot serialize '{}'", v.type_name()))),
    }
    Ok(())
}

fn put_table<'gc>(
    call: &mut Call<'_, 'gc>,
    t: Table<'gc>,
    dictionary: &Dictionary<'gc>,
    depth: usize,
    out: &mut Vec<u8>,
) -> Result<(), Value<'gc>> {
    let Some(depth) = depth.checked_sub(1) else { return Err(fail(call, "too deep to serialize")) };
    if let (Some(index), Some(meta)) = (dictionary.metatable_index, t.metatable()) {
        if let Some(i) = index.get(Value::table(meta)).as_num() {
            out.push(METATABLE);
            put_number(i as u32, out);
        }
    }
    let mut items = t.borrow().array().len();
    while items > 0 && t.get_int(items).is_nil() {
        items -= 1;
    }
    let zero = t.get_int(0);
    let from = if items == 0 { 1 } else { usize::from(zero.is_nil()) };
    let in_list = |k: Value<'gc>| {
        k.as_num().is_some_and(|n| items > 0 && n == n.trunc() && n >= from as f64 && n <= items as f64)
    };
    let mut pairs = t.borrow().count();
    pairs -= (1..=items).filter(|i| !t.get_int(*i).is_nil()).count() + usize::from(items > 0 && from == 0);
    let list = if items == 0 {
        0
    } else if from == 0 {
        FROM_0
    } else {
        FROM_1
    };
    out.push(TABLE + list + if pairs > 0 { HASH } else { 0 });
    if items > 0 {
        // (the length counts slot 0)
        put_number(items as u32 + 1, out);
    }
    if pairs > 0 {
        put_number(pairs as u32, out);
    }
    if items > 0 {
        for i in from..=items {
            put(call, t.get_int(i), dictionary, depth, out)?;
        }
    }
    if pairs > 0 {
        let mut key = Value::NIL;
        while let Ok(Some((k, v))) = t.next(key) {
            key = k;
            if in_list(k) {
                continue;
            }
            let known = k.as_str().and(dictionary.string_index).and_then(|index| index.get(k).as_num());
            match known {
                Some(i) => {
                    out.push(DICT_STRING);
                    put_number(i as u32, out);
                }
                None => put(call, k, dictionary, depth, out)?,
            }
            put(call, v, dictionary, depth, out)?;
        }
    }
    call.cx.check_memory(out.len())
}

/// Reads one value off the front of `rest`.
pub fn decode<'gc>(
    call: &mut Call<'_, 'gc>,
    rest: &mut &[u8],
    dictionary: &Dictionary<'gc>,
) -> Result<Value<'gc>, Value<'gc>> {
    take(call, rest, dictionary, MAX_DEPTH)
}

fn bytes<'a, 'gc>(call: &Call<'_, 'gc>, rest: &mut &'a [u8], n: usize) -> Result<&'a [u8], Value<'gc>> {
    let Some((head, tail)) = rest.split_at_checked(n) else { return Err(fail(call, "unexpected end of buffer")) };
    *rest = tail;
    Ok(head)
}

fn array<'gc, const N: usize>(call: &Call<'_, 'gc>, rest: &mut &[u8]) -> Result<[u8; N], Value<'gc>> {
    let mut word = [0; N];
    word.copy_from_slice(bytes(call, rest, N)?);
    Ok(word)
}

fn number<'gc>(call: &Call<'_, 'gc>, rest: &mut &[u8]) -> Result<u32, Value<'gc>> {
    let [first] = array(call, rest)?;
    match first {
        0..0xe0 => Ok(u32::from(first)),
        0xe0..0xff => {
            let [second] = array(call, rest)?;
            Ok((u32::from(first & 0x1f) << 8) + u32::from(second) + 0xe0)
        }
        0xff => Ok(u32::from_le_bytes(array(call, rest)?)),
    }
}

fn take<'gc>(
    call: &mut Call<'_, 'gc>,
    rest: &mut &[u8],
    dictionary: &Dictionary<'gc>,
    depth: usize,
) -> Result<Value<'gc>, Value<'gc>> {
    call.charge(1);
    let tag = number(call, rest)?;
    if let Some(n) = tag.checked_sub(STRING) {
        let text = bytes(call, rest, n as usize)?;
        call.reserve(text.len())?;
        return Ok(call.cx.str(text));
    }
    let tag = tag as u8;
    Ok(match tag {
        NIL => Value::NIL,
        FALSE => Value::FALSE,
        TRUE => Value::TRUE,
        NULL => Value::light(0),
        LIGHT32 => Value::light(u32::from_le_bytes(array(call, rest)?)),
        LIGHT64 => Value::light(u64::from_le_bytes(array(call, rest)?) as u32),
        INT => Value::num(f64::from(i32::from_le_bytes(array(call, rest)?))),
        NUM => Value::num(f64::from_le_bytes(array(call, rest)?)),
        INT64 | UINT64 => {
            let bits = u64::from_le_bytes(array(call, rest)?);
            call.cx.int64(bits, tag == UINT64)
        }
        METATABLE => {
            let i = number(call, rest)? as usize;
            let meta = dictionary.metatables.and_then(|list| list.get_int(i.saturating_add(1)).as_table());
            let Some(meta) = meta else {
                return Err(fail(call, &format!("cannot deserialize dictionary index {}", i + 1)));
            };
            let [kind] = array(call, rest)?;
            if !(TABLE..=LAST_TABLE).contains(&kind) {
                return Err(fail(call, &format!("cannot deserialize tag 0x{kind:02x}")));
            }
            let t = take_table(call, kind, rest, dictionary, depth)?;
            t.set_metatable(call.cx.mc, Some(meta));
            Value::table(t)
        }
        DICT_STRING => {
            let i = number(call, rest)? as usize;
            let s = dictionary.strings.map_or(Value::NIL, |list| list.get_int(i.saturating_add(1)));
            if s.is_nil() {
                return Err(fail(call, &format!("cannot deserialize dictionary index {}", i + 1)));
            }
            s
        }
        TABLE..=LAST_TABLE => Value::table(take_table(call, tag, rest, dictionary, depth)?),
        _ => return Err(fail(call, &format!("cannot deserialize tag 0x{tag:02x}"))),
    })
}

fn take_table<'gc>(
    call: &mut Call<'_, 'gc>,
    tag: u8,
    rest: &mut &[u8],
    dictionary: &Dictionary<'gc>,
    depth: usize,
) -> Result<Table<'gc>, Value<'gc>> {
    let Some(depth) = depth.checked_sub(1) else { return Err(fail(call, "too deep to serialize")) };
    let parts = tag - TABLE;
    // Every entry takes a byte at least.
    let length = |call: &Call<'_, 'gc>, rest: &mut &[u8], least: usize| {
        let n = number(call, rest)? as usize;
        let fits = n.saturating_sub(1).saturating_mul(least) <= rest.len();
        if fits { Ok(n) } else { Err(fail(call, "unexpected end of buffer")) }
    };
    let slots = if parts >= FROM_0 { length(call, rest, 1)? } else { 0 };
    let pairs = if parts & HASH != 0 { length(call, rest, 2)? } else { 0 };
    call.reserve(slots * 8)?;
    let t = call.cx.table(slots, 0);
    let from = usize::from(parts >= FROM_1);
    for i in from..slots {
        let v = take(call, rest, dictionary, depth)?;
        t.set_int(call.cx.mc, i, v);
    }
    for _ in 0..pairs {
        let k = take(call, rest, dictionary, depth)?;
        if !k.is_nil() && !t.get(k).is_nil() {
            return Err(fail(call, "duplicate table key"));
        }
        let v = take(call, rest, dictionary, depth)?;
        call.cx.check_growth(t)?;
        t.set(call.cx.mc, k, v).map_err(|bad| fail(call, bad.message()))?;
    }
    Ok(t)
}
