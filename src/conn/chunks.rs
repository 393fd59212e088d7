//! Chunked bodies: finds the data between the framing, and the end.

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Size {
        digits: u8,
    },
    Extension,
    Data,
    DataEnd,
    /// At the start of a trailer line, after the last chunk; `blank`: nothing but CR on it so far.
    Trailer {
        blank: bool,
    },
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
        Chunks { state: State::Size { digits: 0 }, left: 0 }
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
                State::Size { digits } => match (byte as char).to_digit(16) {
                    Some(digit) if digits < 15 => {
                        self.left = self.left * 16 + u64::from(digit);
                        self.state = State::Size { digits: digits + 1 };
                    }
                    Some(_) => return Piece::Invalid,
                    None if digits == 0 => return Piece::Invalid,
                    None if byte == b'\n' => self.begin(),
                    None if matches!(byte, b'\r' | b' ' | b'\t' | b';') => self.state = State::Extension,
                    None => return Piece::Invalid,
                },
                State::Extension => {
                    if byte == b'\n' {
                        self.begin();
                    }
                }
                State::Data => {}
                State::DataEnd => match byte {
                    b'\r' => {}
                    b'\n' => self.state = State::Size { digits: 0 },
                    _ => return Piece::Invalid,
                },
                State::Trailer { blank } => match byte {
                    b'\n' if blank => return Piece::End(at),
                    b'\n' => self.state = State::Trailer { blank: true },
                    b'\r' => {}
                    _ => self.state = State::Trailer { blank: false },
                },
            }
        }
        Piece::More
    }

    fn begin(&mut self) {
        self.state = if self.left == 0 { State::Trailer { blank: true } } else { State::Data };
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
    }
}
