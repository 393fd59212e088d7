//! `ngx.quote_sql_str`: a MySQL string literal.

/// Puts `text` between single quotes, with the bytes that MySQL wants escaped behind backslashes.
pub fn quote_sql_str(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 2);
    out.push(b'\'');
    for &byte in text {
        let escape = match byte {
            0 => b'0',
            0x08 => b'b',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0x1a => b'Z',
            b'\\' | b'\'' | b'"' => byte,
            _ => {
                out.push(byte);
                continue;
            }
        };
        out.extend_from_slice(&[b'\\', escape]);
    }
    out.push(b'\'');
    out
}

#[cfg(test)]
mod tests {
    fn check(text: &[u8], expected: &str) {
        assert_eq!(String::from_utf8(super::quote_sql_str(text)).unwrap(), expected);
    }

    #[test]
    fn quotes() {
        check(b"", "''");
        check(b"a\n\r\t\0\x08\x1a\\'\"$ b", r#"'a\n\r\t\0\b\Z\\\'\"$ b'"#);
        check("é".as_bytes(), "'é'");
    }
}
