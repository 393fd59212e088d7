//! Many keep-alive connections at once, each on a thread of its own: it asks, waits for the whole answer, asks again.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// One connection that stays open between requests.
pub struct Client {
    stream: BufReader<TcpStream>,
    /// The last answer said that the connection ends with it.
    pub closing: bool,
}

impl Client {
    pub fn new(port: u16) -> Client {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(super::PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Client { stream: BufReader::new(stream), closing: false }
    }
    pub fn send(&mut self, path: &str) {
        self.try_send(path).unwrap();
    }
    pub fn try_send(&mut self, path: &str) -> io::Result<()> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        self.stream.get_mut().write_all(request.as_bytes())
    }
    /// The next answer: its status and its body.
    pub fn answer(&mut self) -> (u16, String) {
        let (mut status, mut length, mut chunked) = (0, 0, false);
        for number in 0.. {
            let line = self.line();
            let Some((name, value)) = line.split_once(": ") else {
                match number {
                    0 => status = line.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0),
                    _ => break,
                }
                continue;
            };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse().unwrap(),
                "transfer-encoding" => chunked = true,
                "connection" => self.closing = value == "close",
                _ => {}
            }
        }
        let mut body = Vec::new();
        if chunked {
            loop {
                let size = usize::from_str_radix(&self.line(), 16).unwrap();
                self.bytes(size, &mut body);
                self.line();
                if size == 0 {
                    break;
                }
            }
        } else {
            self.bytes(length, &mut body);
        }
        (status, String::from_utf8_lossy(&body).into_owned())
    }
    /// The same; None: the server closed without a byte of it.
    pub fn answer_or_end(&mut self) -> Option<(u16, String)> {
        let first = self.stream.fill_buf();
        let ended = first.map_or_else(|error| error.kind() == ErrorKind::ConnectionReset, <[u8]>::is_empty);
        (!ended).then(|| self.answer())
    }
    /// Whether the server closes without another byte.
    pub fn ends(&mut self) -> bool {
        matches!(self.stream.get_ref().peek(&mut [0]), Ok(0))
    }
    /// Whether no byte comes within `wait`. One that comes is not lost.
    pub fn silent_for(&mut self, wait: Duration) -> bool {
        let stream = self.stream.get_ref();
        let before = stream.read_timeout().unwrap();
        stream.set_read_timeout(Some(wait)).unwrap();
        let silent = stream.peek(&mut [0]).is_err();
        stream.set_read_timeout(before).unwrap();
        silent
    }
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).unwrap();
        assert!(line.ends_with('\n'), "the server closed the connection");
        line.trim_end().to_string()
    }
    fn bytes(&mut self, count: usize, body: &mut Vec<u8>) {
        let at = body.len();
        body.resize(at + count, 0);
        self.stream.read_exact(&mut body[at..]).unwrap();
    }
}

/// `connections` connections make `requests` requests between them. `path` says what to ask (connection, number of the request
/// on it); `seen` looks at each answer.
pub fn run(
    port: u16,
    connections: usize,
    requests: usize,
    path: impl Fn(usize, usize) -> String + Sync,
    seen: impl Fn(&str, u16, &str) + Sync,
) {
    std::thread::scope(|scope| {
        for connection in 0..connections {
            let (path, seen) = (&path, &seen);
            scope.spawn(move || {
                let mut client = Client::new(port);
                let share = requests / connections + usize::from(connection < requests % connections);
                for number in 0..share {
                    let path = path(connection, number);
                    client.send(&path);
                    let (status, body) = client.answer();
                    seen(&path, status, &body);
                }
            });
        }
    });
}
