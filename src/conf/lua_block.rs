//! Finds the `}` that ends a `*_by_lua_block { ... }`: braces count, except inside Lua's strings, long strings and comments.

use super::lex::Lexer;

impl<'a> Lexer<'a> {
    /// Called right behind the opening `{`; returns the text up to the matching `}`, which is taken too. An error names the
    /// line where the block began, as lua-nginx-module does.
    pub fn lua_block(&mut self) -> Result<&'a [u8], String> {
        let (start, start_line) = (self.at, self.line);
        let mut depth = 1;
        loop {
            let Some(&byte) = self.bytes.get(self.at) else {
                return Err(self.rewind(
                    start_line,
                    "unexpected end of file, expecting terminating characters for lua code block".into(),
                ));
            };
            match byte {
                b'{' => depth += 1,
                b'}' => {
                    depth -= 1;
                    if depth == 0 {
                        let text = &self.bytes[start..self.at];
                        self.at += 1;
                        return Ok(text);
                    }
                }
                b'\n' => self.line += 1,
                b'"' | b'\'' => {
                    self.lua_string(byte);
                    continue;
                }
                b'[' if self.long_bracket()? => continue,
                b'-' if self.bytes.get(self.at + 1) == Some(&b'-') => {
                    self.at += 2;
                    if self.bytes.get(self.at) == Some(&b'[') && self.long_bracket()? {
                        continue;
                    }
                    while self.bytes.get(self.at).is_some_and(|&b| b != b'\n') {
                        self.at += 1;
                    }
                    continue;
                }
                _ => {}
            }
            self.at += 1;
        }
    }

    /// Skips a quoted string. One that is never closed is left to Lua's own compiler: only its quote is skipped.
    fn lua_string(&mut self, quote: u8) {
        let mut at = self.at + 1;
        while let Some(&byte) = self.bytes.get(at) {
            match byte {
                b'\\' => at += 1,
                b if b == quote => {
                    let lines = self.bytes[self.at..=at].iter().filter(|&&b| b == b'\n').count();
                    self.line += u32::try_from(lines).unwrap_or(0);
                    self.at = at + 1;
                    return;
                }
                _ => {}
            }
            at += 1;
        }
        self.at += 1;
    }

    /// Skips `[[...]]`, `[=[...]=]`; false where no long bracket begins.
    fn long_bracket(&mut self) -> Result<bool, String> {
        let level = self.bytes[self.at + 1..].iter().take_while(|&&b| b == b'=').count();
        let inside = self.at + level + 2;
        if self.bytes.get(inside - 1) != Some(&b'[') {
            return Ok(false);
        }
        let close = [&b"]"[..], &vec![b'='; level], b"]"].concat();
        let Some(length) = memchr::memmem::find(&self.bytes[inside..], &close) else {
            let close = String::from_utf8_lossy(&close).into_owned();
            return Err(format!(
                "Lua code block missing the closing long bracket \"{close}\", the inlined Lua code may be too long"
            ));
        };
        let end = inside + length + close.len();
        let lines = self.bytes[self.at..end].iter().filter(|&&b| b == b'\n').count();
        self.line += u32::try_from(lines).unwrap_or(0);
        self.at = end;
        Ok(true)
    }

    fn rewind(&mut self, line: u32, message: String) -> String {
        self.line = line;
        message
    }
}

#[cfg(test)]
mod tests {
    use super::super::lex::Lexer;

    fn check(text: &str, expected: &str) {
        let mut lexer = Lexer::new(text.as_bytes());
        let got = match lexer.lua_block() {
            Ok(code) => format!("{}|{}", String::from_utf8_lossy(code), lexer.line),
            Err(error) => format!("! {error}"),
        };
        assert_eq!(got, expected);
    }

    #[test]
    fn braces_that_do_not_count() {
        check("a {} }x", "a {} |1");
        check("'}' \"\\\"}\" }", "'}' \"\\\"}\" |1");
        check("[[}]] [=[ ]] } ]=] }", "[[}]] [=[ ]] } ]=] |1");
        check("-- }\n }", "-- }\n |2");
        check("--[[ }\n]] }", "--[[ }\n]] |2");
        check("a[b[1]] }", "a[b[1]] |1");
        check("-- it's }\n'x' }", "-- it's }\n'x' |2");
    }

    #[test]
    fn unfinished() {
        check(" {", "! unexpected end of file, expecting terminating characters for lua code block");
        check(
            " [==[ ]]",
            "! Lua code block missing the closing long bracket \"]==]\", the inlined Lua code may be too long",
        );
    }
}
