//! Chunked bodies: finds the data between the framing, and the end.

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Size {
        any: bool,
    },
    Extension,
    Data,
    DataEnd,
    /// At the start of a trailer line, after the last chunk.
    TrailerStart,
    Trailer,
    /// After a CR: LF is all that may follow. Then comes what LF would have led to.
    Almost(End),
}

/// The line that a CR ended.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Size,
    Data,
    Trailer,
    Body,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Chunks {
    state: State,
    left: u64,
}

/// What comes next in the bytes.
#[derive(Debug, PartialEq)]
pub enum Piece {
    /// Body bytes from one index to another; what is before them is framing.
    Data {
        from: usize,
        to: usize,
    },
    /// All of it was framing, or nothing was there.
    More,
    /// The body ends after that many of the bytes.
    End(usize),
    Invalid,
}

impl Chunks {
    pub fn new() -> Chunks {
        Chunks { state: State::Size { any: false }, left: 0 }
    }

    /// Bytes of the chunk that is being read that are to come.
    pub fn announced(&self) -> u64 {
        self.left
    }

    /// Takes framing up to the next body bytes.
    pub fn next(&mut self, bytes: &[u8]) -> Piece {
        let mut at = 0;
        while at < bytes.len() {
            let byte = bytes[at];
            if self.state == State::Data {
                let rest = bytes.len() - at;
                let take = rest.min(usize::try_from(self.left).unwrap_or(usize::MAX));
                self.left -= take as u64;
                if self.left == 0 {
                    self.state = State::DataEnd;
                }
                return Piece::Data { from: at, to: at + take };
            }
            at += 1;
            match self.state {
                State::Size { .. } if self.left > i64::MAX as u64 / 16 => return Piece::Invalid,
                State::Size { any } => match (byte as char).to_digit(16) {
                    Some(digit) => {
                        self.left = self.left * 16 + u64::from(digit);
                        self.state = State::Size { any: true };
                    }
                    None if !any => return Piece::Invalid,
                    None if byte == b'\n' => self.begin(),
                    None if byte == b'\r' => self.state = State::Almost(End::Size),
                    None if matches!(byte, b' ' | b'\t' | b';') => self.state = State::Extension,
                    None => return Piece::Invalid,
                },
                State::Extension => match byte {
                    b'\r' => self.state = State::Almost(End::Size),
                    b'\n' => self.begin(),
                    _ => {}
                },
                State::Data => {}
                State::DataEnd => match byte {
                    b'\r' => self.state = State::Almost(End::Data),
                    b'\n' => self.state = State::Size { any: false },
                    _ => return Piece::Invalid,
                },
                State::TrailerStart => match byte {
                    b'\r' => self.state = State::Almost(End::Body),
                    b'\n' => return Piece::End(at),
                    _ => self.state = State::Trailer,
                },
                State::Trailer => match byte {
                    b'\r' => self.state = State::Almost(End::Trailer),
                    b'\n' => self.state = State::TrailerStart,
                    _ => {}
                },
                State::Almost(_) if byte != b'\n' => return Piece::Invalid,
                State::Almost(End::Size) => self.begin(),
                State::Almost(End::Data) => self.state = State::Size { any: false },
                State::Almost(End::Trailer) => self.state = State::TrailerStart,
                State::Almost(End::Body) => return Piece::End(at),
            }
        }
        Piece::More
    }

    fn begin(&mut self) {
        self.state = if self.left == 0 { State::TrailerStart } else { State::Data };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The body, and how many bytes the whole took; or what went wrong.
    fn decode(text: &[u8], step: usize) -> Result<(String, Option<usize>), ()> {
        let (mut chunks, mut body, mut end) = (Chunks::new(), Vec::new(), None);
        'pieces: for (n, part) in text.chunks(step).enumerate() {
            let mut used = 0;
            loop {
                match chunks.next(&part[used..]) {
                    Piece::Data { from, to } => {
                        body.extend_from_slice(&part[used + from..used + to]);
                        used += to;
                    }
                    Piece::More => break,
                    Piece::End(count) => {
                        end = Some(n * step + used + count);
                        break 'pieces;
                    }
                    Piece::Invalid => return Err(()),
                }
            }
        }
        Ok((String::from_utf8_lossy(&body).into_owned(), end))
    }

    fn check(text: &str, expected: Result<(&str, Option<usize>), ()>) {
        let expected = expected.map(|(body, end)| (body.to_string(), end));
        assert_eq!(decode(text.as_bytes(), text.len()), expected, "{text:?}");
        assert_eq!(decode(text.as_bytes(), 1), expected, "{text:?} in single bytes");
    }

    #[test]
    fn ends() {
        check("5\r\nhello\r\n0\r\n\r\nGET", Ok(("hello", Some(15))));
        check("5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\nGET", Ok(("hello", Some(25))));
        check("5\r\nhel", Ok(("hel", None)));
        check("3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", Ok(("abcde", Some(20))));
        check("x\r\n", Err(()));
        check("1\r\nab", Err(()));
        check("ffffffffffffffff\r\n", Err(()));
        check("0000000000000000000003\r\nabc\r\n0\r\n\r\n", Ok(("abc", Some(34))));
        check("3\r\nabc\r\r\n", Err(()));
        check("3;a\rb\r\nabc", Err(()));
        check("0\r\nX: a\rb\r\n", Err(()));
    }
}
