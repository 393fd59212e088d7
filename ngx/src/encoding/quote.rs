//! `ngx.quote_sql_str`: a MySQL string literal; and set_misc's literals of PostgreSQL and JSON.

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

/// set_misc's `set_quote_pgsql_str`: as MySQL's, but for what is not ASCII, which is written in octal.
pub fn quote_pgsql_str(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 3);
    out.push(b'E');
    for byte in quote_sql_str(text) {
        if byte.is_ascii() {
            out.push(byte);
        } else {
            out.extend_from_slice(format!("\\\\{byte:03o}").as_bytes());
        }
    }
    out
}

/// set_misc's `set_quote_json_str`: a JSON string; nothing at all is null.
pub fn quote_json_str(text: &[u8]) -> Vec<u8> {
    if text.is_empty() {
        return b"null".to_vec();
    }
    let mut out = Vec::with_capacity(text.len() + 2);
    out.push(b'"');
    for &byte in text {
        let escape = match byte {
            b'\r' => b'r',
            b'\n' => b'n',
            b'\t' => b't',
            0x08 => b'b',
            0x0c => b'f',
            b'\\' | b'"' => byte,
            0..0x20 => {
                out.extend_from_slice(format!("\\u{byte:04x}").as_bytes());
                continue;
            }
            _ => {
                out.push(byte);
                continue;
            }
        };
        out.extend_from_slice(&[b'\\', escape]);
    }
    out.push(b'"');
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
        assert_eq!(super::quote_pgsql_str("a'é".as_bytes()), br"E'a\'\\303\\251'");
        assert_eq!(super::quote_json_str("a\"\\/\n\u{1}é".as_bytes()), r#""a\"\\/\n\u0001é""#.as_bytes());
        assert_eq!(super::quote_json_str(b""), b"null");
    }
}
