//! Follows a chunked body byte by byte, only to know where it ends; decoding is hyper's.

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

#[derive(Debug, PartialEq)]
pub enum Progress {
    /// All bytes belong to the body, which goes on.
    More,
    /// The body ends after that many of the bytes.
    End(usize),
    Invalid,
}

impl Chunks {
    pub fn new() -> Chunks {
        Chunks { state: State::Size { digits: 0 }, left: 0 }
    }

    pub fn follow(&mut self, bytes: &[u8]) -> Progress {
        let mut at = 0;
        while at < bytes.len() {
            let byte = bytes[at];
            at += 1;
            match self.state {
                State::Size { digits } => match (byte as char).to_digit(16) {
                    Some(digit) if digits < 15 => {
                        self.left = self.left * 16 + u64::from(digit);
                        self.state = State::Size { digits: digits + 1 };
                    }
                    Some(_) => return Progress::Invalid,
                    None if digits == 0 => return Progress::Invalid,
                    None if byte == b'\n' => self.begin(),
                    None if matches!(byte, b'\r' | b' ' | b'\t' | b';') => self.state = State::Extension,
                    None => return Progress::Invalid,
                },
                State::Extension => {
                    if byte == b'\n' {
                        self.begin();
                    }
                }
                State::Data => {
                    let rest = u64::try_from(bytes.len() - at + 1).unwrap_or(0);
                    let take = rest.min(self.left);
                    self.left -= take;
                    at += usize::try_from(take).unwrap_or(1) - 1;
                    if self.left == 0 {
                        self.state = State::DataEnd;
                    }
                }
                State::DataEnd => match byte {
                    b'\r' => {}
                    b'\n' => self.state = State::Size { digits: 0 },
                    _ => return Progress::Invalid,
                },
                State::Trailer { blank } => match byte {
                    b'\n' if blank => return Progress::End(at),
                    b'\n' => self.state = State::Trailer { blank: true },
                    b'\r' => {}
                    _ => self.state = State::Trailer { blank: false },
                },
            }
        }
        Progress::More
    }

    fn begin(&mut self) {
        self.state = if self.left == 0 { State::Trailer { blank: true } } else { State::Data };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Progress) {
        assert_eq!(Chunks::new().follow(text.as_bytes()), expected, "{text:?}");
        // The same, a byte at a time.
        let mut chunks = Chunks::new();
        let mut got = Progress::More;
        for (n, byte) in text.bytes().enumerate() {
            got = match chunks.follow(&[byte]) {
                Progress::End(_) => Progress::End(n + 1),
                other => other,
            };
            if got != Progress::More {
                break;
            }
        }
        assert_eq!(got, expected, "{text:?} in single bytes");
    }

    #[test]
    fn ends() {
        check("5\r\nhello\r\n0\r\n\r\nGET", Progress::End(15));
        check("5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\nGET", Progress::End(25));
        check("5\r\nhel", Progress::More);
        check("x\r\n", Progress::Invalid);
        check("1\r\nab", Progress::Invalid);
        check("ffffffffffffffff\r\n", Progress::Invalid);
    }
}
