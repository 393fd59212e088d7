//! The access log: formats compiled to pieces, one line per request.

use std::sync::Arc;

use crate::conf::value::{Names, Piece, Value};

use super::LogFile;
use super::buffer::Buffered;

#[derive(Clone, Debug)]
pub struct AccessLog {
    pub target: Target,
    pub format: Arc<Format>,
    /// `if=`: written unless this is empty or `0`.
    pub condition: Option<Value>,
}

/// Where the lines go.
#[derive(Clone, Debug)]
pub enum Target {
    File(Arc<LogFile>),
    Buffered(Arc<Buffered>),
    /// The file's name has variables in it.
    Named(Value),
}

#[derive(Debug)]
pub struct Format {
    pub value: Value,
    pub escape: Escape,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Escape {
    Default,
    Json,
    None,
}

const COMBINED: &[u8] = b"$remote_addr - $remote_user [$time_local] \"$request\" $status $body_bytes_sent \
    \"$http_referer\" \"$http_user_agent\"";

impl Format {
    /// The predefined format.
    pub fn combined(names: &mut Names) -> Arc<Format> {
        let value = Value::compile(COMBINED, names).unwrap_or_default();
        Arc::new(Format { value, escape: Escape::Default })
    }

    /// One line; `variable` gives a piece's value.
    pub fn line(&self, variable: impl Fn(&Piece) -> Option<Vec<u8>>) -> Vec<u8> {
        let mut line = Vec::with_capacity(200);
        for piece in &self.value.pieces {
            if let Piece::Text(text) = piece {
                line.extend_from_slice(text);
                continue;
            }
            match (variable(piece), self.escape) {
                (Some(value), Escape::None) => line.extend_from_slice(&value),
                (Some(value), Escape::Default) => escape(&value, &mut line),
                (Some(value), Escape::Json) => escape_json(&value, &mut line),
                (None, Escape::Default) => line.push(b'-'),
                (None, _) => {}
            }
        }
        line.push(b'\n');
        line
    }
}

fn escape(value: &[u8], out: &mut Vec<u8>) {
    for &byte in value {
        if matches!(byte, b'"' | b'\\' | 0..0x20 | 0x7f..) {
            out.extend_from_slice(b"\\x");
            out.push(HEX[usize::from(byte >> 4)]);
            out.push(HEX[usize::from(byte & 15)]);
        } else {
            out.push(byte);
        }
    }
}

pub fn escape_json(value: &[u8], out: &mut Vec<u8>) {
    for &byte in value {
        let short = match byte {
            b'"' => b'"',
            b'\\' => b'\\',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0x08 => b'b',
            0x0c => b'f',
            0..0x20 => {
                out.extend_from_slice(b"\\u00");
                out.push(HEX[usize::from(byte >> 4)]);
                out.push(HEX[usize::from(byte & 15)]);
                continue;
            }
            _ => {
                out.push(byte);
                continue;
            }
        };
        out.extend_from_slice(&[b'\\', short]);
    }
}

const HEX: &[u8; 16] = b"0123456789ABCDEF";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let value = Value { pieces: vec![Piece::Text(b"[".to_vec()), Piece::Capture(1), Piece::Text(b"]".to_vec())] };
        for (escape, input, expected) in [
            (Escape::Default, Some("a\"\n\u{7f}"), "[a\\x22\\x0A\\x7F]\n"),
            (Escape::Json, Some("a\"\n\u{1}"), "[a\\\"\\n\\u0001]\n"),
            (Escape::None, Some("a\""), "[a\"]\n"),
            (Escape::Default, None, "[-]\n"),
            (Escape::Json, None, "[]\n"),
        ] {
            let format = Format { value: value.clone(), escape };
            let line = format.line(|_| input.map(|text| text.as_bytes().to_vec()));
            assert_eq!(String::from_utf8_lossy(&line), expected);
        }
    }
}
