//! Raw bytes and what nginx makes of them: every case of `tests/wire/cases` against perilune, which must answer as nginx did
//! when `tests/wire/record` asked it, or as a line `ours:` says: something stricter.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::support::{PATIENCE, Server};

const CASES: &str = include_str!("wire/cases");
const CONF: &str = include_str!("wire/nginx.conf");

struct Case {
    name: &'static str,
    send: Vec<u8>,
    nginx: &'static str,
    /// A verdict of our own, and why.
    ours: Option<(&'static str, &'static str)>,
}

impl Case {
    fn expected(&self) -> &str {
        self.ours.map_or(self.nginx, |(verdict, _)| verdict)
    }
}

fn cases() -> Vec<Case> {
    let records = CASES.split("\n\n").filter(|record| record.starts_with("name: "));
    records
        .map(|record| {
            let line = |label: &str| record.lines().find_map(|line| line.strip_prefix(label));
            Case {
                name: line("name: ").unwrap(),
                send: decode(line("send: ").unwrap_or_default()),
                nginx: line("nginx: ").unwrap(),
                ours: line("ours: ").map(|text| text.split_once(" -- ").expect("a reason")),
            }
        })
        .collect()
}

/// The bytes of a `send:` line; see the head of the cases' file for its escapes.
fn decode(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        let (kind, after) = rest[at + 1..].split_at(1);
        rest = after;
        match kind {
            "r" => out.push(b'\r'),
            "n" => out.push(b'\n'),
            "t" => out.push(b'\t'),
            "0" => out.push(0),
            "x" => {
                out.push(u8::from_str_radix(&rest[..2], 16).unwrap());
                rest = &rest[2..];
            }
            "{" => {
                let (inside, after) = rest.split_once('}').unwrap();
                let (word, count) = inside.rsplit_once('*').unwrap();
                out.extend_from_slice(&decode(word).repeat(count.parse().unwrap()));
                rest = after;
            }
            other => out.extend_from_slice(other.as_bytes()),
        }
    }
    out.extend_from_slice(rest.as_bytes());
    out
}

fn shown(bytes: &[u8]) -> String {
    let show = |&byte: &u8| match byte {
        b'\\' | b'(' | b')' | 0..=0x1f | 0x7f.. => format!("\\x{byte:02x}"),
        byte => (byte as char).to_string(),
    };
    bytes.iter().map(show).collect()
}

/// The answers in the bytes, one word each.
fn answers(mut data: &[u8]) -> Vec<String> {
    let mut words = Vec::new();
    while !data.is_empty() {
        let head_end = data.windows(4).position(|four| four == b"\r\n\r\n");
        let (Some(end), true) = (head_end, data.starts_with(b"HTTP/1.1 ")) else {
            words.push(format!("bare({})", shown(&data[..data.len().min(60)])));
            break;
        };
        let head = String::from_utf8_lossy(&data[..end]).to_ascii_lowercase();
        let status = &head[9..12];
        data = &data[end + 4..];
        let mut body = Vec::new();
        if head.contains("transfer-encoding: chunked") {
            while let Some(line) = data.windows(2).position(|two| two == b"\r\n") {
                let size = usize::from_str_radix(&String::from_utf8_lossy(&data[..line]), 16).unwrap_or(0);
                let from = (line + 2).min(data.len());
                body.extend_from_slice(&data[from..(from + size).min(data.len())]);
                data = &data[(from + size + 2).min(data.len())..];
                if size == 0 {
                    break;
                }
            }
        } else {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
            // (the answer to HEAD has a length and no body)
            let length = if data.starts_with(b"HTTP/1.1 ") { 0 } else { data.len().min(length) };
            body.extend_from_slice(&data[..length]);
            data = &data[length..];
        }
        words.push(if status == "200" { format!("200({})", shown(&body)) } else { status.to_string() });
    }
    words
}

/// What the server does with the bytes. It has time to come to what is expected, and then a moment to do more.
fn verdict(port: u16, case: &Case) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(150))).unwrap();
    let _ = stream.write_all(&case.send);
    let (mut data, mut buffer, started) = (Vec::new(), [0; 65536], Instant::now());
    let told = |data: &[u8], end: &str| {
        let mut words = answers(data);
        words.push(end.into());
        words.join(" ")
    };
    loop {
        match stream.read(&mut buffer) {
            Ok(count) if count > 0 => data.extend_from_slice(&buffer[..count]),
            Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
                let verdict = told(&data, "open");
                if verdict == case.expected() || started.elapsed() > PATIENCE {
                    return verdict;
                }
            }
            _ => return told(&data, "closed"),
        }
    }
}

#[test]
fn bytes_are_judged_as_nginx_judges_them() {
    let server = Server::with_conf(CONF, &[("html/file/x", "file")], &[]);
    let cases = cases();
    assert!(cases.len() >= 300);
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..32 {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let got = verdict(server.port, case);
                    if got != case.expected() {
                        wrong.lock().unwrap().push(format!(
                            "{}\n  expected {}\n  got      {got}",
                            case.name,
                            case.expected()
                        ));
                    }
                }
            });
        }
    });
    let mut wrong = wrong.into_inner().unwrap();
    wrong.sort();
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    assert!(!server.log().contains("panic"), "{}", server.log());
}

/// What nginx took for a request is refused, or nothing of it is taken that nginx did not take: never more requests.
#[test]
fn own_verdicts_are_stricter() {
    let taken = |verdict: &'static str| verdict.matches("200(").count() + verdict.matches("bare(").count();
    for case in cases() {
        let Some((ours, why)) = case.ours else { continue };
        let refused = |verdict: &'static str| verdict.split(' ').any(|word| word.starts_with(['4', '5']));
        assert!(why.len() > 10, "{}: why?", case.name);
        let stricter = taken(ours) < taken(case.nginx) || (refused(ours) && ours.ends_with("closed"));
        assert!(stricter, "{}: {ours} is not stricter than {}", case.name, case.nginx);
    }
}
