//! JSON text to Lua values.

use vm::value::table::TableRef;
use vm::{Call, Cx, Table, Value};

use super::{NULL, Options, options};

/// A container that is being read: an array with its length so far, or an object with the key whose value comes.
enum Filling<'gc> {
    Array(Table<'gc>, usize),
    Object(Table<'gc>, Value<'gc>),
}

struct Reader<'s> {
    text: &'s [u8],
    at: usize,
    invalid_numbers: bool,
}

pub(super) fn value<'gc>(call: &mut Call<'_, 'gc>) -> Result<Result<Value<'gc>, String>, Value<'gc>> {
    let options = options(call)?;
    if call.len() != 1 {
        return Err(call.arg_error(0, "expected 1 argument"));
    }
    let text = call.bytes(0)?;
    call.charge(text.len() / 8);
    call.reserve(text.len())?;
    if text.len() >= 2 && (text[0] == 0 || text[1] == 0) {
        return Ok(Err("JSON parser does not support UTF-16 or UTF-32".into()));
    }
    let mut reader = Reader { text, at: 0, invalid_numbers: options.invalid_in.get() };
    Ok(reader.value(call.cx, &options))
}

impl Reader<'_> {
    fn fail<T>(&self, expected: &str, at: usize) -> Result<T, String> {
        let mut token = Reader { text: self.text, at, invalid_numbers: self.invalid_numbers };
        Err(format!("Expected {expected} but found {} at character {}", token.name(), at + 1))
    }

    /// What cjson calls the token here.
    fn name(&mut self) -> &'static str {
        match self.text.get(self.at) {
            None => "T_END",
            Some(b'{') => "T_OBJ_BEGIN",
            Some(b'}') => "T_OBJ_END",
            Some(b'[') => "T_ARR_BEGIN",
            Some(b']') => "T_ARR_END",
            Some(b',') => "T_COMMA",
            Some(b':') => "T_COLON",
            Some(b'"') => "T_STRING",
            Some(b'-' | b'0'..=b'9') => "T_NUMBER",
            _ if self.word(b"true") || self.word(b"false") => "T_BOOLEAN",
            _ if self.word(b"null") => "T_NULL",
            Some(_) => "invalid token",
        }
    }
    fn word(&self, word: &[u8]) -> bool {
        self.text[self.at.min(self.text.len())..].starts_with(word)
    }
    fn skip(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.text.get(self.at) {
            self.at += 1;
        }
        self.text.get(self.at).copied()
    }

    fn value<'gc>(&mut self, cx: Cx<'gc>, options: &Options) -> Result<Value<'gc>, String> {
        let mut open: Vec<Filling<'gc>> = Vec::new();
        let marked = options.array_mt.get().then(|| cx.registry().field(b"cjson array").as_table()).flatten();
        loop {
            let mut done = match self.skip() {
                Some(c @ (b'{' | b'[')) => {
                    if open.len() >= options.decode_depth.get() {
                        return Err(format!(
                            "Found too many nested data structures ({}) at character {}",
                            open.len() + 1,
                            self.at + 1
                        ));
                    }
                    self.at += 1;
                    let t = cx.table(0, 0);
                    if c == b'[' {
                        t.set_metatable(cx.mc, marked);
                        if self.skip() == Some(b']') {
                            self.at += 1;
                            Some(Value::table(t))
                        } else {
                            open.push(Filling::Array(t, 0));
                            None
                        }
                    } else if self.skip() == Some(b'}') {
                        self.at += 1;
                        Some(Value::table(t))
                    } else {
                        let key = self.key(cx)?;
                        open.push(Filling::Object(t, key));
                        None
                    }
                }
                Some(b'"') => Some(Value::str(self.string(cx)?)),
                _ => Some(self.scalar()?),
            };
            // A finished value goes into the container around it, which may be finished by it.
            while let Some(v) = done.take() {
                match open.last_mut() {
                    None => {
                        if self.skip().is_some() {
                            return self.fail("the end", self.at);
                        }
                        return Ok(v);
                    }
                    Some(Filling::Array(t, n)) => {
                        *n += 1;
                        t.set_int(cx.mc, *n, v);
                        match self.skip() {
                            Some(b',') => self.at += 1,
                            Some(b']') => {
                                self.at += 1;
                                done = Some(Value::table(*t));
                                open.pop();
                            }
                            _ => return self.fail("comma or array end", self.at),
                        }
                    }
                    Some(Filling::Object(t, key)) => {
                        // (a string key is never refused)
                        let _ = t.set(cx.mc, *key, v);
                        match self.skip() {
                            Some(b',') => {
                                self.at += 1;
                                self.skip();
                                let next = self.key(cx)?;
                                if let Some(Filling::Object(_, key)) = open.last_mut() {
                                    *key = next;
                                }
                            }
                            Some(b'}') => {
                                self.at += 1;
                                done = Some(Value::table(*t));
                                open.pop();
                            }
                            _ => return self.fail("comma or object end", self.at),
                        }
                    }
                }
            }
        }
    }

    /// `"key":`
    fn key<'gc>(&mut self, cx: Cx<'gc>) -> Result<Value<'gc>, String> {
        if self.skip() != Some(b'"') {
            return self.fail("object key string", self.at);
        }
        let key = self.string(cx)?;
        if self.skip() != Some(b':') {
            return self.fail("colon", self.at);
        }
        self.at += 1;
        Ok(Value::str(cx.intern(key.bytes())))
    }

    fn string<'gc>(&mut self, cx: Cx<'gc>) -> Result<vm::Str<'gc>, String> {
        self.at += 1;
        let from = self.at;
        // Most strings have no escapes.
        match memchr::memchr2(b'"', b'\\', &self.text[from..]) {
            Some(n) if self.text[from + n] == b'"' => {
                let bytes = &self.text[from..from + n];
                if let Some(bad) = bytes.iter().position(|c| *c < 0x20) {
                    return Err(format!("Expected value but found invalid token at character {}", from + bad + 1));
                }
                self.at = from + n + 1;
                return Ok(cx.string(bytes));
            }
            _ => {}
        }
        let mut out = Vec::new();
        loop {
            let Some(&c) = self.text.get(self.at) else {
                return Err(format!("Expected value but found unexpected end of string at character {}", self.at + 1));
            };
            self.at += 1;
            match c {
                b'"' => return Ok(cx.string(&out)),
                b'\\' => self.escape(&mut out)?,
                0..=0x1f => {
                    return Err(format!("Expected value but found invalid token at character {}", self.at));
                }
                _ => out.push(c),
            }
        }
    }

    fn escape(&mut self, out: &mut Vec<u8>) -> Result<(), String> {
        let Some(&c) = self.text.get(self.at) else {
            return Err(format!("Expected value but found unexpected end of string at character {}", self.at + 1));
        };
        self.at += 1;
        out.push(match c {
            b'"' | b'\\' | b'/' => c,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let mut code = self.hex()?;
                if (0xD800..0xDC00).contains(&code) && self.word(b"\\u") {
                    self.at += 2;
                    let low = self.hex()?;
                    if !(0xDC00..0xE000).contains(&low) {
                        return self.bad_escape();
                    }
                    code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
                }
                let Some(c) = char::from_u32(code) else { return self.bad_escape() };
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            _ => return self.bad_escape(),
        });
        Ok(())
    }
    fn bad_escape<T>(&self) -> Result<T, String> {
        Err(format!("Expected value but found invalid escape code at character {}", self.at.saturating_sub(1)))
    }
    fn hex(&mut self) -> Result<u32, String> {
        let digits = self.text.get(self.at..self.at + 4).and_then(|d| std::str::from_utf8(d).ok());
        let code =
            digits.filter(|d| d.bytes().all(|c| c.is_ascii_hexdigit())).and_then(|d| u32::from_str_radix(d, 16).ok());
        match code {
            Some(code) => {
                self.at += 4;
                Ok(code)
            }
            None => Err(format!("Expected value but found invalid unicode escape code at character {}", self.at - 1)),
        }
    }

    fn scalar<'gc>(&mut self) -> Result<Value<'gc>, String> {
        for (word, v) in [(b"true".as_slice(), Value::TRUE), (b"false", Value::FALSE), (b"null", Value::light(NULL))] {
            if self.word(word) {
                self.at += word.len();
                return Ok(v);
            }
        }
        let rest = &self.text[self.at..];
        let length = rest.iter().take_while(|c| matches!(c, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E')).count();
        let digits = &rest[..length];
        let strict = match digits.strip_prefix(b"-").unwrap_or(digits) {
            [b'0', b'0'..=b'9', ..] => false,
            [b'0'..=b'9', ..] => true,
            _ => false,
        };
        let parsed = std::str::from_utf8(digits).ok().and_then(|t| t.parse::<f64>().ok());
        if let (true, Some(n)) = (strict || self.invalid_numbers && length > 0, parsed) {
            self.at += length;
            return Ok(Value::num(n));
        }
        if self.invalid_numbers {
            for (word, n) in [
                (b"NaN".as_slice(), f64::NAN),
                (b"nan", f64::NAN),
                (b"Infinity", f64::INFINITY),
                (b"inf", f64::INFINITY),
                (b"-Infinity", f64::NEG_INFINITY),
                (b"-inf", f64::NEG_INFINITY),
            ] {
                if self.word(word) {
                    self.at += word.len();
                    return Ok(Value::num(n));
                }
            }
        }
        self.fail("value", self.at)
    }
}
